//! The key that a request to the token endpoint proves to hold, and that the tokens it leads to are bound to
//! (RFC 9449 section 5, RFC 8705 section 3).

use crate::client_auth::Authenticated;
use crate::dpop::{self, DpopError, Expected, Proven};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::ports::Ports;
use portunus_core::caller::Confirmation;
use portunus_core::digest::Digest;

/// What a request has shown.
pub(crate) struct Shown {
    dpop: Option<Proven>,
    certificate: Option<Digest>,
}

/// Checks what a request to the token endpoint shows of keys. Whatever it shows must be right.
pub(crate) fn shown(ports: &Ports<'_>, request: &Request<'_>) -> Result<Shown, OAuthError> {
    let certificate = request.keys.certificate.map(|certificate| certificate.thumbprint);
    let Some(proof) = request.keys.dpop else { return Ok(Shown { dpop: None, certificate }) };
    let url = request.issuer.endpoint("/oauth/token");
    let expected = Expected { method: "POST", url: &url, access_token: None, key: None, now: ports.now };
    let proven = dpop::verify(proof, &expected)?;
    request.keys.guard.check(&proven, ports.now)?;
    Ok(Shown { dpop: Some(proven), certificate })
}

impl Shown {
    /// The key of a proof that was sent for this purpose; a certificate is shown by the connection, for whatever purpose.
    pub(crate) fn bound(&self) -> Option<Confirmation> {
        self.dpop.as_ref().map(|proven| Confirmation::Dpop(proven.key))
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

    /// Uses the proof up.
    pub(crate) fn spend(&self, ports: &Ports<'_>, request: &Request<'_>) -> Result<(), OAuthError> {
        match &self.dpop {
            Some(proven) => Ok(request.keys.guard.take(proven, ports.now)?),
            None => Ok(()),
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
