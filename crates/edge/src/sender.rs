//! Tokens that are bound to a key (RFC 9449, RFC 8705): whoever brings one must prove the key, with this very request or
//! with the connection it came through. Nothing is read from the store.

use crate::caller::{Borne, Known};
use crate::refusal::{Refusal, Unauthorized};
use http::{HeaderMap, Request};
use portunus_core::caller::Confirmation;
use portunus_core::digest::{Digest, sha256};
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;
use portunus_oauth::dpop::{self, DpopError, Expected, Guard};
use std::sync::Arc;

/// How a token was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Bearer` (RFC 6750).
    Bearer,
    /// `DPoP` (RFC 9449 section 7.1).
    Dpop,
}

/// The caller, once the key that the token is bound to is proven. A token of no key is for `Bearer` alone, and a bound one
/// is refused as `Bearer`: otherwise whoever stole it would simply leave the proof out.
///
/// # Errors
/// [`Refusal::Unauthorized`]; [`Refusal::Proofs`].
pub fn check<B>(
    guard: &Guard,
    public_url: &str,
    borne: Borne<'_>,
    request: &Request<B>,
    now: Timestamp,
) -> Result<Arc<Known>, Refusal> {
    let Borne { known, scheme, token } = borne;
    let holding = &known.caller.holding;
    match (holding.bound, scheme) {
        (None, Scheme::Bearer) => Ok(known),
        (None, Scheme::Dpop) => Err(Unauthorized::NotBound),
        (Some(Confirmation::Dpop(_)), Scheme::Bearer) => Err(Unauthorized::Bound),
        (Some(Confirmation::Dpop(key)), Scheme::Dpop) => {
            let url = format!("{public_url}/{}/mcp", known.caller.server);
            let expected = Expected {
                method: request.method().as_str(),
                url: &url,
                access_token: Some(token),
                key: Some(key),
                now,
            };
            // Its user's share, since one user may have as many keys as they like.
            let holder = sha256(&[known.caller.user.as_str().as_bytes()]);
            match prove(guard, request.headers(), &expected, holder) {
                Ok(()) => Ok(known),
                Err(DpopError::Full) => return Err(Refusal::Proofs),
                Err(error) => Err(Unauthorized::Proof(error)),
            }
        }
        (Some(Confirmation::Certificate(thumbprint)), Scheme::Bearer) => {
            let shown = ClientCertificate::of(request.extensions());
            let same = shown.is_some_and(|shown| shown.thumbprint == thumbprint);
            if same { Ok(known) } else { Err(Unauthorized::Certificate) }
        }
        (Some(Confirmation::Certificate(_)), Scheme::Dpop) => Err(Unauthorized::NotBound),
    }
    .map_err(Refusal::Unauthorized)
}

fn prove(
    guard: &Guard,
    headers: &HeaderMap,
    expected: &Expected<'_>,
    holder: Digest,
) -> Result<(), DpopError> {
    let mut proofs = headers.get_all(dpop::HEADER).iter();
    let (Some(proof), None) = (proofs.next(), proofs.next()) else { return Err(DpopError::Missing) };
    let proven = dpop::verify(proof.to_str().map_err(|_| DpopError::Malformed)?, expected)?;
    guard.take(&proven, holder, expected.now)
}
