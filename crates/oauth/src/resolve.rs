//! Access token → caller, for the edge. Every step is looked up anew; the edge keeps the answer and drops it when the
//! store says that the token, its grant or its user changed.

use portunus_core::caller::Caller;
use portunus_core::document::{AccessToken, Grant, User};
use portunus_core::id::{GroupName, UserName};
use portunus_core::server::Actor;
use portunus_core::store::{Store, StoreError, load};
use portunus_core::time::Timestamp;
use portunus_core::token::{self, TokenKind};

/// How users sign in who are named by an administrator for a script instead of signing in themselves.
pub const ISSUED: &str = "local";

/// A good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Who holds it. `caller.server` is the only server it is for: the edge must compare.
    pub caller: Caller,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a token proves nothing. People and clients are told `invalid_token` for all but the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It does not have the form of an access token.
    #[error("not an access token of Portunus")]
    Malformed,
    /// It was never issued, or was revoked by itself, or was purged after its end.
    #[error("the access token is unknown")]
    Unknown,
    /// It has ended.
    #[error("the access token has expired")]
    Expired,
    /// What the user agreed to was revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// The user's account was disabled or removed.
    #[error("the user's account is disabled")]
    Disabled,
    /// It cannot be found out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who holds this access token.
///
/// # Errors
/// See [`ResolveError`].
pub async fn resolve(store: &dyn Store, now: Timestamp, text: &str) -> Result<Resolved, ResolveError> {
    let digest = token::digest(TokenKind::Access, text).ok_or(ResolveError::Malformed)?;
    let token = load::<AccessToken>(store, &digest.hex()).await?.ok_or(ResolveError::Unknown)?.value;
    if token.expires_at.is_past(now) {
        return Err(ResolveError::Expired);
    }
    let grant = load::<Grant>(store, token.grant.as_str()).await?.ok_or(ResolveError::Revoked)?.value;
    if grant.revoked_at.is_some() {
        return Err(ResolveError::Revoked);
    }
    let groups = groups(store, &grant.user).await?;
    let caller = Caller {
        user: grant.user,
        groups,
        // The last of the clients that handed it on by exchange is the one that holds it.
        client: token.holding.via.first().cloned().unwrap_or(grant.client_id),
        client_name: grant.client_name,
        grant: grant.id,
        server: token.server,
        scopes: token.scopes,
        actor: grant.actor.unwrap_or_else(|| actor(&grant.sign_in.method)),
        sign_in: grant.sign_in,
        holding: token.holding,
    };
    Ok(Resolved { caller, expires_at: token.expires_at })
}

/// The groups of a user in force. A workload has no account: its identity is in its own token, and what it may do is in
/// policy.
async fn groups(store: &dyn Store, name: &UserName) -> Result<Vec<GroupName>, ResolveError> {
    if name.workload().is_some() {
        return Ok(Vec::new());
    }
    let user = load::<User>(store, name.as_str()).await?.ok_or(ResolveError::Disabled)?.value;
    if user.disabled_at.is_some() { Err(ResolveError::Disabled) } else { Ok(user.groups) }
}

/// A token that came through the consent page is held by something a person sits in front of; one that an administrator
/// issued for a script is not.
fn actor(sign_in_method: &str) -> Actor {
    if sign_in_method == ISSUED { Actor::Autonomous } else { Actor::Assistant }
}
