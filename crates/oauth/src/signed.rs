//! Signed assertions with which a client proves itself (RFC 7523 section 3, draft-ietf-oauth-rfc7523bis): one function from
//! text, keys and expectations to a proof. Which key is asked is decided by the keys that were registered, never by what
//! the assertion brings (RFC 8725 section 3).

use crate::keys::{KeySet, NoKey, algorithm};
use jsonwebtoken::{Algorithm, Validation};
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::Duration;

/// What an assertion of a client must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its issuer and subject.
    pub client_id: &'a str,
    /// What its audience may be: the issuer identifier, which the drafts prefer, or the token endpoint's URL, which many
    /// clients still send. Nothing else may stand beside them.
    pub audiences: [&'a str; 2],
    /// The only algorithm, if the client registered one.
    pub algorithm: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

/// An assertion that is good, if it was not used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its `jti`.
    pub id: String,
    /// From then on it is refused for its age.
    pub refused_from: Timestamp,
}

/// Why an assertion proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// Not a compact JWS of bounded length with the members it needs.
    #[error(
        "the assertion is not a JWT with iss, sub, aud, exp and jti of at most {} bytes",
        limits::SIGNED_ASSERTION_BYTES
    )]
    Malformed,
    /// Its header brings a key, or demands something of its reader.
    #[error("the assertion's header must not have jku, jwk, x5u, x5c, crit, b64, zip or enc")]
    Header,
    /// It is a token for another purpose.
    #[error("the assertion's `typ` must be client-authentication+jwt, JWT or absent")]
    Type,
    /// Another algorithm than those of its keys.
    #[error(
        "the assertion must be signed with RS256, PS256, ES256 or EdDSA, and with the client's own choice if it registered one"
    )]
    Algorithm,
    /// No key of the client's.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The signature does not fit the key.
    #[error("the assertion's signature is wrong")]
    Signature,
    /// Another issuer or subject.
    #[error("`iss` and `sub` of the assertion must both be the client's id")]
    Subject,
    /// Made for somebody else.
    #[error(
        "`aud` of the assertion must be the issuer's identifier or the token endpoint, and nothing besides"
    )]
    Audience,
    /// Too old.
    #[error("the assertion has expired; compare the clocks")]
    Expired,
    /// Not valid yet.
    #[error("the assertion is not valid yet; compare the clocks")]
    Early,
    /// Valid for too long.
    #[error("`exp` of the assertion is more than {} minutes away", limits::SIGNED_ASSERTION_TTL.as_secs() / 60)]
    TooLong,
}

impl SignedError {
    /// Whether newer keys could change the answer.
    #[must_use]
    pub fn may_be_a_new_key(&self) -> bool {
        matches!(self, Self::Key(NoKey::Unknown) | Self::Signature)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    jku: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Whom an assertion claims to be from: enough to look up the keys that will tell, and good for nothing else.
///
/// # Errors
/// When it is malformed.
pub fn claimed_subject(assertion: &str) -> Result<String, SignedError> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let (_header, payload, _signature) = parts(assertion)?;
    decode::<Subject>(payload).map(|claims| claims.sub)
}

/// Checks an assertion against the client's keys.
///
/// # Errors
/// See [`SignedError`].
pub fn verify(assertion: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Proven, SignedError> {
    let (header, ..) = parts(assertion)?;
    let (algorithm, kid) = read_header(header, expected)?;
    let key = keys.choose(algorithm, kid.as_deref())?.decoding().ok_or(NoKey::Unknown)?;
    let data = jsonwebtoken::decode::<Claims>(assertion, &key, &only_the_signature(algorithm));
    let claims = data.map_err(|error| wrong(&error))?.claims;
    if claims.iss != expected.client_id || claims.sub != expected.client_id {
        return Err(SignedError::Subject);
    }
    let ours = |audience: &String| expected.audiences.contains(&audience.as_str());
    let for_us = match &claims.aud {
        OneOrMany::One(audience) => ours(audience),
        OneOrMany::Many(audiences) => !audiences.is_empty() && audiences.iter().all(ours),
    };
    if !for_us {
        return Err(SignedError::Audience);
    }
    let refused_from = check_times(&claims, expected.now)?;
    if !(1..=limits::ID_BYTES).contains(&claims.jti.len()) {
        return Err(SignedError::Malformed);
    }
    Ok(Proven { id: claims.jti, refused_from })
}

fn read_header(header: &str, expected: &Expected<'_>) -> Result<(Algorithm, Option<String>), SignedError> {
    let Header { alg, kid, typ, jku, jwk, x5u, x5c, crit, b64, zip, enc } = decode(header)?;
    if [jku, jwk, x5u, x5c, crit, b64, zip, enc].iter().any(Option::is_some) {
        return Err(SignedError::Header);
    }
    // A token that was signed for something else (an access token, a logout token) must not serve here.
    let typ = typ.map(|typ| typ.to_ascii_lowercase());
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    if !matches!(typ, None | Some("jwt" | "client-authentication+jwt")) {
        return Err(SignedError::Type);
    }
    if expected.algorithm.is_some_and(|only| only != alg) {
        return Err(SignedError::Algorithm);
    }
    Ok((algorithm(&alg).ok_or(SignedError::Algorithm)?, kid))
}

/// `exp` is near, `nbf` and `iat` are past, give or take the clocks; returns from when on `exp` refuses.
fn check_times(claims: &Claims, now: Timestamp) -> Result<Timestamp, SignedError> {
    let moment = |seconds: f64| {
        let millis = Duration::try_from_secs_f64(seconds).ok()?.as_millis();
        u64::try_from(millis).ok().map(Timestamp::from_millis)
    };
    let skew = limits::SIGNED_ASSERTION_SKEW;
    let refused_from = moment(claims.exp).ok_or(SignedError::Malformed)?.plus(skew);
    if refused_from.is_past(now) {
        return Err(SignedError::Expired);
    }
    if refused_from > now.plus(limits::SIGNED_ASSERTION_TTL).plus(skew).plus(skew) {
        return Err(SignedError::TooLong);
    }
    for begins in [claims.nbf, claims.iat].into_iter().flatten() {
        if moment(begins).ok_or(SignedError::Malformed)? > now.plus(skew) {
            return Err(SignedError::Early);
        }
    }
    Ok(refused_from)
}

/// Everything but the signature is checked here, against the clock that was given.
fn only_the_signature(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn wrong(error: &jsonwebtoken::errors::Error) -> SignedError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => SignedError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => SignedError::Algorithm,
        _ => SignedError::Malformed,
    }
}

fn parts(assertion: &str) -> Result<(&str, &str, &str), SignedError> {
    if assertion.len() > limits::SIGNED_ASSERTION_BYTES {
        return Err(SignedError::Malformed);
    }
    let mut parts = assertion.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, payload, signature)),
        _ => Err(SignedError::Malformed),
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, SignedError> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| SignedError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| SignedError::Malformed)
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
