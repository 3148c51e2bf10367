//! What becomes of what somebody owned who left: a week to find a new owner, then nobody may use it.

use crate::findings::has_left;
use portunus_core::document::{Connection, Credential, User};
use portunus_core::id::CredentialName;
use portunus_core::time::Timestamp;
use std::time::Duration;

/// The time that there is to find a new owner.
pub const GRACE: Duration = Duration::from_secs(7 * 86_400);

/// A credential whose owner left too long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The credential.
    pub credential: CredentialName,
    /// Who left, and when.
    pub why: String,
}

/// Why nobody may have a connection any more, if so: its server is not connected to like this any more, its user's account was
/// disabled, or nobody took over in time what everybody shares.
#[must_use]
pub fn must_end(
    connection: &Connection,
    is_configured: bool,
    users: &[User],
    now: Timestamp,
) -> Option<String> {
    if !is_configured {
        return Some(format!("{} is not connected to like this any more", connection.server));
    }
    let left = |name: &str| {
        let accounts = users.iter().filter(|user| has_left(name, std::slice::from_ref(user)));
        accounts.filter_map(|user| user.disabled_at).max()
    };
    match &connection.user {
        Some(user) => left(user.as_str()).map(|at| format!("the account of {user} was disabled at {at}")),
        None => {
            let by = &connection.connected_by;
            let at = left(by.as_str()).filter(|at| now.since(*at) >= GRACE)?;
            Some(format!("{by}, who connected it, left at {at}, and nobody took it over within 7 days"))
        }
    }
}

/// The credentials that are to be disabled at `now`.
#[must_use]
pub fn orphans(credentials: &[Credential], users: &[User], now: Timestamp) -> Vec<Orphan> {
    let open = credentials.iter().filter(|c| c.revoked_at.is_none() && c.disabled.is_none());
    open.filter_map(|credential| {
        let owner = credential.owner.as_deref()?;
        let left = users.iter().filter(|user| has_left(owner, std::slice::from_ref(user)));
        let left = left.filter_map(|user| user.disabled_at).max()?;
        (now.since(left) >= GRACE).then(|| Orphan {
            credential: credential.name.clone(),
            why: format!("its owner {owner} left at {left}, and nobody took it over within 7 days"),
        })
    })
    .collect()
}
