//! Signed tokens of identity providers (JWS compact, RFC 7515): bounded, and verified only with keys that were
//! fetched from where we know them to be. Whatever a token says about where its key is (`jku`, `x5u`, `jwk`, `x5c`) is
//! not looked at, and its algorithm must be one of ours and of the key's own kind (RFC 8725 sections 3.1 and 3.2).

use crate::keys::{KeySet, NoKey, algorithm};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`limits::FOREIGN_TOKEN_BYTES`], or not three parts of base64url, or no JSON in them.
    #[error("it is not a signed JWT")]
    Malformed,
    /// `none`, a shared-secret algorithm, or one that is not accepted here.
    #[error("its algorithm is not RS256, PS256, ES256 or EdDSA")]
    Algorithm,
    /// It demands an extension (RFC 7515 section 4.1.11); none is known.
    #[error("it has critical header parameters, which are not supported")]
    Critical,
    /// No key of the signer fits its `kid` and algorithm.
    #[error("its signer publishes no key that fits it")]
    UnknownKey,
    /// Several do, and it names none (OpenID Connect Core section 10.1).
    #[error("it does not say which of its signer's keys it was signed with")]
    Ambiguous,
    /// The signature is not of that key.
    #[error("its signature is wrong")]
    Signature,
}

/// A token as it was sent: nothing in it is proven.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: &'a str,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// A token whose signature is its signer's. What it says, and to whom, is still to be checked.
#[derive(Debug)]
pub struct Verified {
    /// The header's `typ` in lower case, without `application/`.
    pub typ: Option<String>,
    /// Its claims.
    pub claims: Claims,
}

/// Takes a token apart.
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn read(text: &str) -> Result<Unverified<'_>, TokenError> {
    if text.len() > limits::FOREIGN_TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let part = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| TokenError::Malformed);
    // The decoder takes no dot, so there are three parts exactly.
    let (header, claims) = (part(header)?, part(claims)?);
    part(signature)?;
    let header = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    let claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
    Ok(Unverified { header, claims: Claims(claims), signed, signature })
}

impl Unverified<'_> {
    /// Who it says has signed it: good for choosing whose keys to try, and for nothing else.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.text("iss")
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// See [`TokenError`]; on [`TokenError::UnknownKey`] the keys may be older than the token.
    pub fn verify(self, keys: &KeySet) -> Result<Verified, TokenError> {
        // RFC 9864 names the curve; it is the same algorithm.
        let name = if self.header.alg == "Ed25519" { "EdDSA" } else { self.header.alg.as_str() };
        let algorithm = algorithm(name).ok_or(TokenError::Algorithm)?;
        if self.header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let key = keys.choose(algorithm, self.header.kid.as_deref()).map_err(|no_key| match no_key {
            NoKey::Unknown => TokenError::UnknownKey,
            NoKey::Ambiguous => TokenError::Ambiguous,
        })?;
        let key = key.decoding().ok_or(TokenError::UnknownKey)?;
        let message = self.signed.as_bytes();
        if !jsonwebtoken::crypto::verify(self.signature, message, &key, algorithm).unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let typ = self.header.typ.map(|typ| {
            let lower = typ.to_ascii_lowercase();
            lower.strip_prefix("application/").map_or_else(|| lower.clone(), str::to_owned)
        });
        Ok(Verified { typ, claims: self.claims })
    }
}

impl Claims {
    /// From an answer that is not signed, such as that of a userinfo endpoint.
    #[must_use]
    pub const fn unsigned(members: Map<String, Value>) -> Self {
        Self(members)
    }
    /// A claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
    /// A claim that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
    /// A claim that is a moment (`NumericDate`, RFC 7519 section 2); fractions are dropped.
    #[must_use]
    pub fn moment(&self, name: &str) -> Option<Timestamp> {
        let value = self.get(name)?;
        let seconds = value.as_u64().or_else(|| {
            let seconds = value.as_f64().filter(|seconds| (0.0..=1e12).contains(seconds))?;
            format!("{seconds:.0}").parse().ok()
        })?;
        Some(Timestamp::from_secs(seconds))
    }
    /// Whether the token is for `audience`: named alone, or among others with `azp` naming it too (OpenID Connect Core
    /// section 3.1.3.7). An `azp` that names another is a no in any case.
    #[must_use]
    pub fn is_for(&self, audience: &str) -> bool {
        let alone = match self.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(some)) => {
                let named = some.iter().any(|one| one == audience);
                if !named || some.len() > limits::AMR_VALUES {
                    return false;
                }
                some.len() == 1
            }
            _ => return false,
        };
        match self.get("azp") {
            None => alone,
            Some(party) => party == audience && (alone || matches!(self.get("aud"), Some(Value::Array(_)))),
        }
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
