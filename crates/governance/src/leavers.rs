//! What becomes of what somebody owned who left: a week to find a new owner, then nobody may use it.

use crate::findings::has_left;
use portunus_core::document::{Credential, User};
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
