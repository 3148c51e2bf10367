//! Browsers that are signed in. The cookie holds a token that is stored as a digest; a session is made anew at each
//! sign-in, so that nobody can plant one beforehand.

use crate::ports::{Ports, Trouble};
use portunus_core::caller::SignIn;
use portunus_core::document::{ProviderSession, Session, User};
use portunus_core::id::UserName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Expect, Store, StoreError, list_all, load};
use portunus_core::time::Timestamp;
use portunus_core::token::{self, TokenKind};

/// A session and its user, both in force.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub user: User,
}

impl SignedIn {
    /// Whether nothing may be done but choosing a password.
    #[must_use]
    pub fn must_change_password(&self) -> bool {
        self.user.one_time_password
    }
}

/// Starts a session and returns the cookie's value. `sid` is the provider's session that it came of.
///
/// # Errors
/// When it cannot be stored.
pub async fn start(
    ports: &Ports<'_>,
    user: &UserName,
    sign_in: SignIn,
    sid: Option<String>,
) -> Result<Secret<String>, Trouble> {
    let text = token::mint(TokenKind::Session, ports.rng);
    let digest = token::digest(TokenKind::Session, text.expose()).ok_or(Trouble::Busy)?;
    let expires_at = ports.now.plus(limits::SESSION_TTL);
    let mut batch = Batch::new();
    if let (Some(issuer), Some(sid)) = (&sign_in.issuer, &sid) {
        let (issuer, sid) = (issuer.clone(), sid.clone());
        batch = batch.upsert(&ProviderSession { issuer, sid, user: user.clone(), expires_at });
    }
    let session = Session { digest, user: user.clone(), sign_in, sid, expires_at };
    ports.store.commit(batch.insert(&session)).await?;
    Ok(text)
}

/// The session of a cookie, if it and its user are in force.
///
/// # Errors
/// When the store fails.
pub async fn resolve(
    store: &dyn Store,
    now: Timestamp,
    cookie: &str,
) -> Result<Option<SignedIn>, StoreError> {
    let Some(digest) = token::digest(TokenKind::Session, cookie) else { return Ok(None) };
    let Some(session) = load::<Session>(store, &digest.hex()).await? else { return Ok(None) };
    if session.value.expires_at.is_past(now) {
        return Ok(None);
    }
    let user = load::<User>(store, session.value.user.as_str()).await?;
    let enabled = user.filter(|user| user.value.disabled_at.is_none());
    Ok(enabled.map(|user| SignedIn { session: session.value, user: user.value }))
}

/// Ends the session of a cookie, if there is one.
///
/// # Errors
/// When the store or the ledger fails.
pub async fn end(ports: &Ports<'_>, cookie: &str) -> Result<(), Trouble> {
    let Some(digest) = token::digest(TokenKind::Session, cookie) else { return Ok(()) };
    let Some(session) = load::<Session>(ports.store, &digest.hex()).await? else { return Ok(()) };
    ports.store.commit(Batch::new().delete::<Session>(&digest.hex(), Expect::Any)).await?;
    let user = session.value.user;
    Ok(ports.record(user.as_str(), "user.signed_out", user.as_str(), &[]).await?)
}

/// The sessions of a user that are in force, newest first.
///
/// # Errors
/// When the store fails.
pub async fn of_user(store: &dyn Store, now: Timestamp, user: &UserName) -> Result<Vec<Session>, StoreError> {
    let mut sessions: Vec<Session> = list_all::<Session>(store, Some(user.as_str()))
        .await?
        .into_iter()
        .map(|session| session.value)
        .filter(|session| !session.expires_at.is_past(now))
        .collect();
    sessions.sort_by_key(|session| std::cmp::Reverse(session.expires_at));
    Ok(sessions)
}

/// Ends the sessions of a user but this one; returns how many.
///
/// # Errors
/// When the store or the ledger fails.
pub async fn end_others(ports: &Ports<'_>, kept: &Session) -> Result<usize, Trouble> {
    let mut others = of_user(ports.store, ports.now, &kept.user).await?;
    others.retain(|session| session.digest != kept.digest);
    let count = others.len().to_string();
    let user = kept.user.as_str();
    ports.record(user, "user.signed_out", user, &[("other_sessions", &count)]).await?;
    for chunk in others.chunks(limits::BATCH_STEPS) {
        let batch = chunk
            .iter()
            .fold(Batch::new(), |batch, session| batch.delete::<Session>(&session.digest.hex(), Expect::Any));
        ports.store.commit(batch).await?;
    }
    Ok(others.len())
}

/// Ends all sessions of a user.
///
/// # Errors
/// When the store fails.
pub async fn end_all(store: &dyn Store, user: &UserName) -> Result<(), StoreError> {
    for sessions in list_all::<Session>(store, Some(user.as_str())).await?.chunks(limits::BATCH_STEPS) {
        let batch = sessions.iter().fold(Batch::new(), |batch, session| {
            batch.delete::<Session>(&session.value.digest.hex(), Expect::Any)
        });
        store.commit(batch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use std::time::Duration;

    #[tokio::test]
    async fn signing_out_elsewhere_keeps_this_browser_and_nobody_elses() {
        let world = World::new().await;
        let start = async || start(&world.ports(), &world.ana.name, world.sign_in(), None).await.unwrap();
        let (here, there, _third) = (start().await, start().await, start().await);
        let kept = resolve(&world.store, world.now(), here.expose()).await.unwrap().unwrap().session;
        assert_eq!(of_user(&world.store, world.now(), &world.ana.name).await.unwrap().len(), 3);
        assert_eq!(end_others(&world.ports(), &kept).await, Ok(2));
        assert!(resolve(&world.store, world.now(), here.expose()).await.unwrap().is_some());
        assert!(resolve(&world.store, world.now(), there.expose()).await.unwrap().is_none());
        assert_eq!(world.ledger.count("user.signed_out"), 1);
    }

    #[tokio::test]
    async fn a_session_lasts_until_it_ends_expires_or_its_user_is_disabled() {
        let world = World::new().await;
        let resolved = async |cookie: &Secret<String>| {
            resolve(&world.store, world.now(), cookie.expose()).await.unwrap().map(|s| s.user.name)
        };
        let ana = world.ana.name.clone();
        let start = async || start(&world.ports(), &world.ana.name, world.sign_in(), None).await.unwrap();

        let ended = start().await;
        assert_eq!(resolved(&ended).await, Some(ana.clone()));
        end(&world.ports(), ended.expose()).await.unwrap();
        assert_eq!(resolved(&ended).await, None);

        let (first, second) = (start().await, start().await);
        end_all(&world.store, &ana).await.unwrap();
        assert_eq!((resolved(&first).await, resolved(&second).await), (None, None));

        let old = start().await;
        world.clock.advance(limits::SESSION_TTL - Duration::from_millis(1));
        assert_eq!(resolved(&old).await, Some(ana.clone()));
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(resolved(&old).await, None);

        let live = start().await;
        crate::users::disable(&world.ports(), &ana, "admin").await.unwrap();
        assert_eq!(resolved(&live).await, None);
        assert!(resolve(&world.store, world.now(), "ptn_ss_nonsense").await.unwrap().is_none());
    }
}
