//! The checks of an ID token (OpenID Connect Core section 3.1.3.7) whose signature is already verified.

use crate::jwt::{Claims, Verified};
use portunus_core::digest::equal;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What an ID token must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider's issuer.
    pub issuer: &'a str,
    /// Us.
    pub client_id: &'a str,
    /// Of the attempt.
    pub nonce: &'a str,
    /// How old the sign-in may be, if that was asked for.
    pub max_age: Option<Duration>,
    /// The present moment.
    pub now: Timestamp,
}

/// A good ID token.
#[derive(Debug, Clone, PartialEq)]
pub struct IdToken {
    /// The provider's own name for the person.
    pub subject: String,
    /// The provider's session.
    pub sid: Option<String>,
    /// When they signed in there.
    pub auth_time: Option<Timestamp>,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// How strongly.
    pub acr: Option<String>,
    /// Everything that it says.
    pub claims: Claims,
}

/// Why an ID token was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Another kind of token (RFC 8725 section 3.11).
    #[error("it is another kind of token")]
    Kind,
    /// Of another issuer.
    #[error("it is of another issuer")]
    Issuer,
    /// For another client, or for several without naming us as the one it was issued to.
    #[error("it is for another client (`aud`, `azp`)")]
    Audience,
    /// Past its end, or without one.
    #[error("it has expired, or has no `exp`; compare the clocks")]
    Expired,
    /// From the future, or without `iat`.
    #[error("it is not valid yet, or has no `iat`; compare the clocks")]
    Early,
    /// Of another sign-in.
    #[error("it belongs to another sign-in (`nonce`)")]
    Nonce,
    /// Of a sign-in that is too old.
    #[error(
        "the sign-in at the provider is older than was asked for, or it does not say when it was (`auth_time`)"
    )]
    TooOld,
    /// Nobody's.
    #[error("it has no usable `sub`")]
    Subject,
}

/// Checks an ID token.
///
/// # Errors
/// See [`IdTokenError`].
pub fn check(token: Verified, expected: &Expected<'_>) -> Result<IdToken, IdTokenError> {
    let Verified { typ, claims } = token;
    // A logout token is signed by the same key for the same client.
    if typ.is_some_and(|typ| typ != "jwt") || claims.get("events").is_some() {
        return Err(IdTokenError::Kind);
    }
    if claims.text("iss") != Some(expected.issuer) {
        return Err(IdTokenError::Issuer);
    }
    if !claims.is_for(expected.client_id) {
        return Err(IdTokenError::Audience);
    }
    check_times(&claims, expected.now)?;
    if !equal(claims.text("nonce").unwrap_or_default().as_bytes(), expected.nonce.as_bytes()) {
        return Err(IdTokenError::Nonce);
    }
    let auth_time = claims.moment("auth_time");
    if auth_time.is_some_and(|at| at > expected.now.plus(limits::CLOCK_SKEW)) {
        return Err(IdTokenError::Early);
    }
    if let Some(max_age) = expected.max_age {
        let latest = |at: Timestamp| at.plus(max_age).plus(limits::CLOCK_SKEW);
        if auth_time.is_none_or(|at| latest(at) < expected.now) {
            return Err(IdTokenError::TooOld);
        }
    }
    let subject = claims.text("sub").filter(|sub| is_plain(sub, 255)).ok_or(IdTokenError::Subject)?;
    Ok(IdToken {
        subject: subject.to_owned(),
        sid: session(&claims),
        auth_time,
        amr: methods(claims.get("amr")),
        acr: class(claims.get("acr")),
        claims,
    })
}

/// `exp` and `iat` are there, and `now` is between them and after `nbf`, give or take [`limits::CLOCK_SKEW`].
fn check_times(claims: &Claims, now: Timestamp) -> Result<(), IdTokenError> {
    let expiry = claims.moment("exp").ok_or(IdTokenError::Expired)?;
    if expiry.plus(limits::CLOCK_SKEW).is_past(now) {
        return Err(IdTokenError::Expired);
    }
    let latest = now.plus(limits::CLOCK_SKEW);
    let issued = claims.moment("iat").ok_or(IdTokenError::Early)?;
    let not_before = match claims.get("nbf") {
        None => issued,
        Some(_) => claims.moment("nbf").ok_or(IdTokenError::Early)?,
    };
    if issued > latest || not_before > latest { Err(IdTokenError::Early) } else { Ok(()) }
}

/// `sid`, when it can be one.
pub(crate) fn session(claims: &Claims) -> Option<String> {
    claims.text("sid").filter(|sid| is_plain(sid, 255)).map(str::to_owned)
}

/// `amr`, as far as it is a list of texts.
pub(crate) fn methods(amr: Option<&Value>) -> Vec<String> {
    let Some(Value::Array(methods)) = amr else { return Vec::new() };
    let texts = methods.iter().filter_map(Value::as_str).filter(|text| is_plain(text, limits::AMR_BYTES));
    texts.take(limits::AMR_VALUES).map(str::to_owned).collect()
}

/// `acr`, when it can be one.
pub(crate) fn class(acr: Option<&Value>) -> Option<String> {
    acr?.as_str().filter(|acr| is_plain(acr, limits::AMR_BYTES)).map(str::to_owned)
}

/// Text without anything invisible.
pub(crate) fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(|c| !c.is_control() && c != '\u{fffd}')
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
