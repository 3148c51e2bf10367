//! `Portunus-Assertion`: the edge's signed word on who calls, with what tool, and which columns they may see.

use crate::limits;
use crate::mask::Mask;
use http::{HeaderMap, HeaderName};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use portunus_core::time::{Clock, Timestamp};
use serde::Deserialize;
use std::sync::Arc;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("portunus-assertion");

/// Checks assertions.
#[derive(Clone)]
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    clock: Arc<dyn Clock>,
}

/// What a valid assertion says.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    pub(crate) mask: Arc<Mask>,
    /// The tool the call was admitted for.
    pub(crate) tool: Option<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionError {
    #[error(
        "this server takes requests with exactly one Portunus-Assertion header only: call it through its gateway"
    )]
    Missing,
    #[error("the Portunus-Assertion is not one that this server's gateway signed for it")]
    Invalid,
    #[error(
        "the Portunus-Assertion is not valid at this time; compare the clocks of the gateway and this machine"
    )]
    Expired,
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default)]
    tool: Option<String>,
    /// Without one, nothing is disclosed.
    #[serde(default = "Mask::nothing")]
    mask: Mask,
}

impl Verifier {
    /// From the gateway's Ed25519 public key (32 bytes) and the name this server is published under.
    pub(crate) fn new(public_key: &[u8; 32], audience: &str, clock: Arc<dyn Clock>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        // Time is checked below, against the clock that was given.
        validation.validate_exp = false;
        Self { key: DecodingKey::from_ed_der(public_key), validation, clock }
    }

    /// Checks the assertion of a request.
    pub(crate) fn verify(&self, headers: &HeaderMap) -> Result<Verified, AssertionError> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(AssertionError::Missing);
        };
        if value.len() > limits::ASSERTION_BYTES {
            return Err(AssertionError::Invalid);
        }
        let data = jsonwebtoken::decode::<Claims>(value.as_bytes(), &self.key, &self.validation)
            .map_err(|_| AssertionError::Invalid)?;
        let claims = data.claims;
        let now = self.clock.now();
        let expiry = Timestamp::from_secs(claims.exp);
        let longest = now.plus(portunus_core::limits::ASSERTION_TTL).plus(limits::CLOCK_LEEWAY);
        let too_early =
            claims.nbf.is_some_and(|nbf| Timestamp::from_secs(nbf) > now.plus(limits::CLOCK_LEEWAY));
        if expiry.plus(limits::CLOCK_LEEWAY).is_past(now) || expiry > longest || too_early {
            return Err(AssertionError::Expired);
        }
        Ok(Verified { mask: Arc::new(claims.mask), tool: claims.tool })
    }
}
