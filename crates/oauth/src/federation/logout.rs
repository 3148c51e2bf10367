//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): a provider tells us, not the browser, that somebody has
//! signed out there.

use super::id_token::session;
use super::provider::{Ends, Provider};
use crate::grants;
use crate::jwt::Verified;
use crate::ports::{Ports, Trouble};
use portunus_core::document::{Identity, ProviderSession, Session, UsedLogout};
use portunus_core::id::UserName;
use portunus_core::limits;
use portunus_core::store::{Batch, Expect, StoreError, Versioned, list_all, load};
use portunus_core::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// The event that a logout token is about (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be that names no end, and how far off its end may be.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// A good logout token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// Who signed out.
    pub subject: Option<String>,
    /// Of which session there; `None`: of all.
    pub sid: Option<String>,
    jti: String,
    expires_at: Timestamp,
}

/// Why a logout token was not taken (section 2.6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutError {
    /// An ID token, or anything else that is no logout token.
    #[error("it is not a logout token (`typ`, `events`, `nonce`)")]
    Kind,
    /// Of another issuer.
    #[error("it is of another issuer")]
    Issuer,
    /// For another client.
    #[error("it is for another client")]
    Audience,
    /// Too old, from the future, or without its times.
    #[error("it is not valid at this time; compare the clocks")]
    Time,
    /// Without `jti`, or with neither `sub` nor `sid`.
    #[error("it lacks `jti`, or both `sub` and `sid`")]
    Incomplete,
    /// Taken before.
    #[error("it was taken before")]
    Replayed,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for LogoutError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}

/// What a logout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// Browser sessions.
    pub sessions: usize,
    /// Grants.
    pub grants: usize,
}

/// Checks a logout token whose signature is verified.
///
/// # Errors
/// See [`LogoutError`].
pub fn check(token: &Verified, provider: &Provider, now: Timestamp) -> Result<LogoutToken, LogoutError> {
    let Verified { typ, claims } = token;
    let typed = typ.as_deref().is_none_or(|typ| typ == "logout+jwt" || typ == "jwt");
    let event = claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object);
    if !typed || !event || claims.get("nonce").is_some() {
        return Err(LogoutError::Kind);
    }
    if claims.text("iss") != Some(provider.issuer.as_str()) {
        return Err(LogoutError::Issuer);
    }
    if !claims.is_for(&provider.client_id) {
        return Err(LogoutError::Audience);
    }
    let issued = claims.moment("iat").ok_or(LogoutError::Time)?;
    let end = match claims.get("exp") {
        None => issued.plus(LONGEST),
        Some(_) => claims.moment("exp").ok_or(LogoutError::Time)?.min(issued.plus(LONGEST)),
    };
    let expires_at = end.plus(limits::CLOCK_SKEW);
    if expires_at.is_past(now) || issued > now.plus(limits::CLOCK_SKEW) {
        return Err(LogoutError::Time);
    }
    let subject = claims.text("sub").map(str::to_owned);
    let sid = session(claims);
    // A session that cannot be read is not the same as none: the latter would end them all.
    if (subject.is_none() && sid.is_none()) || (sid.is_none() && claims.get("sid").is_some()) {
        return Err(LogoutError::Incomplete);
    }
    let jti =
        claims.text("jti").filter(|jti| (1..=512).contains(&jti.len())).ok_or(LogoutError::Incomplete)?;
    Ok(LogoutToken { subject, sid, jti: jti.to_owned(), expires_at })
}

/// Does what a logout token says, once. Somebody who is not signed in here is signed out already (section 2.7).
///
/// # Errors
/// [`LogoutError::Replayed`], or that something failed; then the provider may send the token again.
pub async fn apply(
    ports: &Ports<'_>,
    provider: &Provider,
    token: &LogoutToken,
) -> Result<Ended, LogoutError> {
    let used = UsedLogout::new(&provider.issuer, &token.jti, token.expires_at);
    if load::<UsedLogout>(ports.store, &used.digest.hex()).await?.is_some() {
        return Err(LogoutError::Replayed);
    }
    let mut ended = Ended::default();
    if let Some(user) = user(ports, provider, token).await? {
        let sessions = sessions(ports, provider, token, &user).await?;
        ended.sessions = sessions.len();
        let count = sessions.len().to_string();
        let mut detail = vec![("provider", provider.id.as_str()), ("sessions", count.as_str())];
        detail.extend(token.sid.as_deref().map(|sid| ("sid", sid)));
        let by = format!("provider {}", provider.id);
        ports.record(&by, "user.signed_out", user.as_str(), &detail).await.map_err(Trouble::from)?;
        for chunk in sessions.chunks(limits::BATCH_STEPS) {
            let batch = chunk.iter().fold(Batch::new(), |batch, session| {
                batch.delete::<Session>(&session.value.digest.hex(), Expect::Any)
            });
            ports.store.commit(batch).await?;
        }
        // Only now: a browser that is still signed in could give another grant meanwhile.
        if provider.backchannel_logout == Ends::Grants {
            ended.grants = end_grants(ports, provider, &user, &by).await?;
        }
    }
    // Used up only after the last step: a token that was not carried out whole is still good.
    match ports.store.commit(Batch::new().insert(&used)).await {
        Ok(_generation) => Ok(ended),
        Err(StoreError::Conflict { .. }) => Err(LogoutError::Replayed),
        Err(error) => Err(error.into()),
    }
}

async fn user(
    ports: &Ports<'_>,
    provider: &Provider,
    token: &LogoutToken,
) -> Result<Option<UserName>, StoreError> {
    if let Some(subject) = &token.subject {
        let id = Identity::id_of(&provider.issuer, subject);
        return Ok(load::<Identity>(ports.store, &id).await?.map(|identity| identity.value.user));
    }
    let Some(sid) = &token.sid else { return Ok(None) };
    let id = ProviderSession::id_of(&provider.issuer, sid);
    Ok(load::<ProviderSession>(ports.store, &id).await?.map(|session| session.value.user))
}

/// The user's sessions that came of the provider's session, or of the provider when the token names none. One of which
/// it is not known what it came of ends as well.
async fn sessions(
    ports: &Ports<'_>,
    provider: &Provider,
    token: &LogoutToken,
    user: &UserName,
) -> Result<Vec<Versioned<Session>>, StoreError> {
    let mut sessions = list_all::<Session>(ports.store, Some(user.as_str())).await?;
    sessions.retain(|session| {
        let session = &session.value;
        session.sign_in.issuer.as_ref() == Some(&provider.issuer)
            && (token.sid.is_none() || session.sid.is_none() || session.sid == token.sid)
    });
    Ok(sessions)
}

async fn end_grants(
    ports: &Ports<'_>,
    provider: &Provider,
    user: &UserName,
    by: &str,
) -> Result<usize, Trouble> {
    let mut ended = 0;
    for grant in grants::of_user(ports.store, user).await? {
        let of_provider = grant.sign_in.issuer.as_ref() == Some(&provider.issuer);
        if of_provider && grants::revoke(ports, &grant.id, by, "signed out at the identity provider").await? {
            ended += 1;
        }
    }
    Ok(ended)
}

#[cfg(test)]
#[path = "logout_tests.rs"]
mod tests;
