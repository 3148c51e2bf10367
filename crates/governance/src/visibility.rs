//! Which share of the identities is known in full. Whatever is unknown counts as failing.

use crate::identity::{Identity, IdentityKind};
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A revocation that was tried longer ago than this proves nothing any more.
pub const TESTED_WITHIN: Duration = Duration::from_secs(90 * 86_400);

/// What must be known of an identity, as the columns of the report name it.
pub const FIELDS: [&str; 8] = [
    "owner",
    "purpose",
    "kind",
    "expiry",
    "rotation",
    "revocation tested ≤ 90 days ago",
    "upstream",
    "observed use",
];

/// The share, its parts, and what nobody looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visibility {
    /// Identities of which everything is known.
    pub known: usize,
    /// All live identities, registered or observed.
    pub all: usize,
    /// Tenths of a percent, rounded down; 0 when there is none at all.
    pub per_mille: usize,
    /// For each of [`FIELDS`], how many have it.
    pub have: Vec<Have>,
    /// What is not seen at all, in sentences.
    pub blind_spots: Vec<String>,
}

/// How many identities have a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Which.
    pub field: String,
    /// How many have it.
    pub have: usize,
    /// How many do not.
    pub lack: usize,
}

/// Counts. Identities that ended are not counted.
#[must_use]
pub fn visibility(identities: &[Identity], blind_spots: Vec<String>, now: Timestamp) -> Visibility {
    let live: Vec<_> = identities.iter().filter(|identity| identity.standing.is_live()).collect();
    let facts: Vec<[bool; 8]> = live.iter().map(|identity| fields(identity, now)).collect();
    let known = facts.iter().filter(|fields| fields.iter().all(|has| *has)).count();
    let have = FIELDS.iter().enumerate().map(|(at, field)| {
        let have = facts.iter().filter(|fields| fields.get(at) == Some(&true)).count();
        Have { field: (*field).to_owned(), have, lack: live.len() - have }
    });
    let per_mille = (known * 1000).checked_div(live.len()).unwrap_or(0);
    Visibility { known, all: live.len(), per_mille, have: have.collect(), blind_spots }
}

/// Whether each of [`FIELDS`] is known.
#[must_use]
pub fn fields(identity: &Identity, now: Timestamp) -> [bool; 8] {
    let tested = identity.tested.as_ref().is_some_and(|tested| now.since(tested.at) <= TESTED_WITHIN);
    [
        identity.owner.is_some(),
        !identity.purpose.is_empty(),
        identity.kind != IdentityKind::Observed && !identity.form.is_empty(),
        identity.expires_at.is_some(),
        identity.rotation.is_some(),
        tested,
        !identity.upstreams.is_empty(),
        identity.last_used.is_some(),
    ]
}

/// What is missing of an identity, by the names of [`FIELDS`].
#[must_use]
pub fn missing(identity: &Identity, now: Timestamp) -> Vec<&'static str> {
    FIELDS.iter().zip(fields(identity, now)).filter(|(_, has)| !has).map(|(field, _)| *field).collect()
}
