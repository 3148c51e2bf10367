//! The key that a request to the token endpoint proves to hold, and that the tokens it leads to are bound to
//! (RFC 9449 section 5, RFC 8705 section 3).

use crate::client_auth::Authenticated;
use crate::dpop::{self, DpopError, Expected, Reserved};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::ports::Ports;
use portunus_core::caller::Confirmation;
use portunus_core::digest::Digest;

/// What a request has shown.
pub(crate) struct Shown<'a> {
    /// The key of a proof, and the proof's place among those that are used up.
    dpop: Option<(Digest, Reserved<'a>)>,
    certificate: Option<Digest>,
}

/// Checks what a request to the token endpoint shows of keys. Whatever it shows must be right. A proof has its place from
/// here on: whoever finds none is turned away before anything is redeemed, and can simply ask again.
pub(crate) fn shown<'a>(ports: &Ports<'_>, request: &Request<'a>) -> Result<Shown<'a>, OAuthError> {
    let certificate = request.keys.certificate.map(|certificate| certificate.thumbprint);
    let Some(proof) = request.keys.dpop else { return Ok(Shown { dpop: None, certificate }) };
    let url = request.issuer.endpoint("/oauth/token");
    let expected = Expected { method: "POST", url: &url, access_token: None, key: None, now: ports.now };
    let proven = dpop::verify(proof, &expected)?;
    let place = request.keys.guard.reserve(&proven, ports.now)?;
    Ok(Shown { dpop: Some((proven.key, place)), certificate })
}

impl Shown<'_> {
    /// The key of a proof that was sent for this purpose; a certificate is shown by the connection, for whatever purpose.
    pub(crate) fn bound(&self) -> Option<Confirmation> {
        self.dpop.as_ref().map(|(key, _)| Confirmation::Dpop(*key))
    }

    /// Binds a client to what it has shown, as it registered.
    pub(crate) fn bind(&self, client: Authenticated) -> Result<Authenticated, OAuthError> {
        if client.client().dpop_bound && self.dpop.is_none() {
            let description = "this client registered to use DPoP; send a proof";
            return Err(OAuthError::new(ErrorCode::InvalidDpopProof, description));
        }
        let bound = match (self.bound(), client.client().certificate_bound) {
            (Some(key), _) => Some(key),
            (None, false) => None,
            (None, true) => Some(Confirmation::Certificate(self.certificate.ok_or_else(|| {
                let description = "this client registered to use its certificate; connect with it";
                OAuthError::new(ErrorCode::InvalidClient, description)
            })?)),
        };
        Ok(client.bind(bound))
    }

    /// Uses the proof up; one that leads to nothing leaves nothing behind.
    pub(crate) fn spend(self) {
        if let Some((_, place)) = self.dpop {
            place.keep();
        }
    }
}

impl From<DpopError> for OAuthError {
    fn from(error: DpopError) -> Self {
        let code = match error {
            DpopError::Nonce(_) => ErrorCode::UseDpopNonce,
            DpopError::Full => ErrorCode::TemporarilyUnavailable,
            _ => ErrorCode::InvalidDpopProof,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
#[path = "possession_tests.rs"]
mod tests;
