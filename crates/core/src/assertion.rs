//! `Portunus-Assertion`: the edge's signed word on who calls and what was decided, as a server checks it (JWT, RFC 7519,
//! EdDSA per RFC 8037).

use crate::limits;
use crate::time::{Clock, Timestamp};
use http::{HeaderMap, HeaderName};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("portunus-assertion");

/// Checks assertions.
#[derive(Clone)]
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    clock: Arc<dyn Clock>,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// None, or more than one.
    #[error(
        "this server takes requests with exactly one Portunus-Assertion header only: call it through its gateway"
    )]
    Missing,
    /// Signed by somebody else, for somebody else, or not at all.
    #[error("the Portunus-Assertion is not one that this server's gateway signed for it")]
    Invalid,
    /// Before or after its time, or with a longer life than the gateway gives.
    #[error(
        "the Portunus-Assertion is not valid at this time; compare the clocks of the gateway and this machine"
    )]
    Expired,
}

/// The gateway's public key has not the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an assertion key is the 32 bytes of an Ed25519 public key, not {0}")]
pub struct BadKey(pub usize);

#[derive(Deserialize)]
struct Timed<T> {
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(flatten)]
    claims: T,
}

impl Verifier {
    /// From the gateway's Ed25519 public key (32 bytes) and the name this server is published under.
    ///
    /// # Errors
    /// When the key has another length.
    pub fn new(public_key: &[u8], audience: &str, clock: Arc<dyn Clock>) -> Result<Self, BadKey> {
        let public_key: &[u8; 32] = public_key.try_into().map_err(|_| BadKey(public_key.len()))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        // Time is checked below, against the clock that was given.
        validation.validate_exp = false;
        Ok(Self { key: DecodingKey::from_ed_der(public_key), validation, clock })
    }

    /// Checks the assertion of a request and gives the claims that are asked for.
    ///
    /// # Errors
    /// When there is not exactly one, or it is not good here and now.
    pub fn verify<T: DeserializeOwned + Clone>(&self, headers: &HeaderMap) -> Result<T, AssertionError> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(AssertionError::Missing);
        };
        if value.len() > limits::ASSERTION_BYTES {
            return Err(AssertionError::Invalid);
        }
        let data = jsonwebtoken::decode::<Timed<T>>(value.as_bytes(), &self.key, &self.validation)
            .map_err(|_| AssertionError::Invalid)?;
        let now = self.clock.now();
        let leeway = limits::ASSERTION_LEEWAY;
        let expiry = Timestamp::from_secs(data.claims.exp);
        let longest = now.plus(limits::ASSERTION_TTL).plus(leeway);
        let too_early = data.claims.nbf.is_some_and(|nbf| Timestamp::from_secs(nbf) > now.plus(leeway));
        if expiry.plus(leeway).is_past(now) || expiry > longest || too_early {
            return Err(AssertionError::Expired);
        }
        Ok(data.claims.claims)
    }
}
