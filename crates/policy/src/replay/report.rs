//! What comes of a replay.

use crate::explain::Outcome;
use portunus_core::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of all calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Report {
    /// Recorded calls.
    pub calls: u64,
    /// Decided as before.
    pub same: u64,
    /// Decided otherwise.
    pub flipped: u64,
    /// Decisions that depend on what is not recorded.
    pub unknown: u64,
    /// Refused before any policy was asked, or by something else than a policy.
    pub not_by_policy: u64,
    /// Flips beyond the bound on kinds, counted above but in no row.
    pub uncounted: u64,
    /// What the unknown ones would need, and how many each.
    pub missing: BTreeMap<String, u64>,
    /// Flips by kind, most frequent first.
    pub flips: Vec<Flip>,
    /// By day (UTC), oldest first.
    pub days: BTreeMap<String, Day>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Day {
    /// Decided as before.
    pub same: u64,
    /// Less is permitted than before.
    pub narrower: u64,
    /// More is permitted than before.
    pub wider: u64,
    /// As much is permitted, but somebody else must approve it.
    pub approver: u64,
    /// It cannot be told.
    pub unknown: u64,
    /// Refused by something else than a policy, so that no policy changes it.
    pub not_by_policy: u64,
}

/// Calls of one kind that flip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Who asked.
    pub user: String,
    /// Through which client.
    pub client: String,
    /// Of which server.
    pub server: String,
    /// The tool, or the method and what it is about.
    pub tool: String,
    /// What was decided.
    pub was: Outcome,
    /// What would be.
    pub now: Outcome,
    /// Who had to approve and who would have to, where that is what differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvers: Option<(String, String)>,
    /// The policies that would decide; none when nothing would permit it. `(release)` and `(disclose)` stand for those about
    /// what may be shown, where the decision alone would permit it.
    pub policies: Vec<String>,
    /// How often.
    pub count: u64,
    /// The last one.
    pub example: Example,
}

/// One recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its decision's id.
    pub decision: String,
    /// When.
    pub at: Timestamp,
    /// Its arguments as recorded.
    pub arguments: Option<String>,
}
