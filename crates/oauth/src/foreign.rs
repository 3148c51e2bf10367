//! Signed assertions of issuers that an administrator named (RFC 7523 section 3): tokens of Kubernetes and CI services,
//! and ID-JAGs of identity providers. One function from text, keys and expectations to claims. The key is chosen among
//! the issuer's own, never by what the token brings (RFC 8725 section 3).

use crate::keys::{KeySet, NoKey, algorithm};
use crate::strict;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// What an assertion must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its issuer, byte for byte.
    pub issuer: &'a str,
    /// Its one audience: any of these.
    pub audiences: &'a [&'a str],
    /// Its type: any of these, lower case; whether one without a type is taken is said by `""` among them.
    pub types: &'a [&'a str],
    /// Longest time from its making to its end.
    pub longest: Duration,
    /// The present moment.
    pub now: Timestamp,
}

/// An assertion that is good, if it was not used before.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// Whom it is about.
    pub subject: String,
    /// Its `jti`, if it has one.
    pub id: Option<String>,
    /// From then on it is refused for its age.
    pub refused_from: Timestamp,
    /// All that it says.
    pub claims: Map<String, Value>,
}

/// Why an assertion proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Not a compact JWS of bounded length with the members it needs, each once.
    #[error(
        "the assertion is not a JWT with iss, sub, aud, exp and iat, each once, of at most {} bytes",
        limits::FOREIGN_ASSERTION_BYTES
    )]
    Malformed,
    /// Its header brings a key, or demands something of its reader.
    #[error("the assertion's header must not have jku, jwk, x5u, x5c, crit, b64, zip or enc")]
    Header,
    /// It is a token for another purpose.
    #[error("the assertion's `typ` is that of another kind of token")]
    Type,
    /// Another algorithm.
    #[error("the assertion must be signed with RS256, PS256, ES256 or EdDSA")]
    Algorithm,
    /// No issuer that an administrator named.
    #[error("the assertion's issuer is not configured here")]
    Issuer,
    /// No key of the issuer's.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The signature does not fit the key.
    #[error("the assertion's signature is wrong")]
    Signature,
    /// Made for somebody else, or for several.
    #[error("`aud` of the assertion must be what is configured here, and nothing besides")]
    Audience,
    /// Too old.
    #[error("the assertion has expired; compare the clocks")]
    Expired,
    /// Not valid yet.
    #[error("the assertion is not valid yet; compare the clocks")]
    Early,
    /// Valid for too long.
    #[error("the assertion is valid for longer than is accepted here")]
    TooLong,
}

impl ForeignError {
    /// Whether newer keys could change the answer.
    #[must_use]
    pub fn may_be_a_new_key(&self) -> bool {
        matches!(self, Self::Key(NoKey::Unknown) | Self::Signature)
    }
}

struct Parts<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    message: &'a str,
    signature: &'a str,
}

/// What an assertion says of itself: good for choosing who is to judge it, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// `iss`.
    pub issuer: String,
    /// `typ`, lower case, without `application/`; empty when there is none.
    pub kind: String,
}

/// Whose an assertion claims to be.
///
/// # Errors
/// When it is malformed.
pub fn claimed(text: &str) -> Result<Claimed, ForeignError> {
    let parts = parts(text)?;
    let issuer = text_of(&parts.claims, "iss").ok_or(ForeignError::Malformed)?.to_owned();
    Ok(Claimed { issuer, kind: kind(&parts.header)? })
}

/// Checks an assertion against its issuer's keys.
///
/// # Errors
/// See [`ForeignError`].
pub fn verify(text: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Assertion, ForeignError> {
    let Parts { header, claims, message, signature } = parts(text)?;
    let smuggled = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"];
    if smuggled.iter().any(|name| header.contains_key(*name)) {
        return Err(ForeignError::Header);
    }
    if !expected.types.contains(&kind(&header)?.as_str()) {
        return Err(ForeignError::Type);
    }
    let alg = text_of(&header, "alg").and_then(algorithm).ok_or(ForeignError::Algorithm)?;
    let kid = match header.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().ok_or(ForeignError::Malformed)?),
    };
    let key = keys.choose(alg, kid)?.decoding().ok_or(NoKey::Unknown)?;
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, alg) {
        Ok(true) => {}
        _ => return Err(ForeignError::Signature),
    }
    if text_of(&claims, "iss") != Some(expected.issuer) {
        return Err(ForeignError::Issuer);
    }
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => Some(one.as_str()),
        // Whoever else is named could pass the token on to us.
        Some(Value::Array(some)) if some.len() == 1 => some.first().and_then(Value::as_str),
        _ => None,
    };
    if !audience.is_some_and(|audience| expected.audiences.contains(&audience)) {
        return Err(ForeignError::Audience);
    }
    let refused_from = check_times(&claims, expected)?;
    let bounded =
        |name| text_of(&claims, name).filter(|text| (1..=limits::NAME_BYTES * 4).contains(&text.len()));
    let subject = bounded("sub").ok_or(ForeignError::Malformed)?.to_owned();
    let id = match claims.get("jti") {
        None => None,
        Some(_) => Some(bounded("jti").ok_or(ForeignError::Malformed)?.to_owned()),
    };
    Ok(Assertion { subject, id, refused_from, claims })
}

/// `exp` is not past, `nbf` and `iat` are, give or take the clocks; returns from when on `exp` refuses.
fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Timestamp, ForeignError> {
    let skew = limits::SIGNED_ASSERTION_SKEW;
    let made = moment(claims, "iat")?.ok_or(ForeignError::Malformed)?;
    let end = moment(claims, "exp")?.ok_or(ForeignError::Malformed)?;
    let refused_from = end.plus(skew);
    if refused_from.is_past(expected.now) {
        return Err(ForeignError::Expired);
    }
    let begins = moment(claims, "nbf")?.unwrap_or(made).max(made);
    if begins > expected.now.plus(skew) {
        return Err(ForeignError::Early);
    }
    if end.since(made) > expected.longest { Err(ForeignError::TooLong) } else { Ok(refused_from) }
}

/// A `NumericDate` (RFC 7519 section 2), if the claim is there.
pub(crate) fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, ForeignError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(ForeignError::Malformed)?;
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| ForeignError::Malformed)?;
    let millis = u64::try_from(span.as_millis()).map_err(|_| ForeignError::Malformed)?;
    Ok(Some(Timestamp::from_millis(millis)))
}

fn text_of<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

fn kind(header: &Map<String, Value>) -> Result<String, ForeignError> {
    let Some(typ) = header.get("typ") else { return Ok(String::new()) };
    let typ = typ.as_str().ok_or(ForeignError::Malformed)?.to_ascii_lowercase();
    Ok(typ.strip_prefix("application/").map_or_else(|| typ.clone(), str::to_owned))
}

fn parts(text: &str) -> Result<Parts<'_>, ForeignError> {
    if text.len() > limits::FOREIGN_ASSERTION_BYTES {
        return Err(ForeignError::Malformed);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(ForeignError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(ForeignError::Malformed)?;
    let part = |text: &str| {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ForeignError::Malformed)?;
        strict::object(&bytes).map_err(|_| ForeignError::Malformed)
    };
    Ok(Parts { header: part(header)?, claims: part(claims)?, message, signature })
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
