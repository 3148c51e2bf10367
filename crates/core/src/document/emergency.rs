//! Emergencies: access to one server for one person and a short time, which two others allowed.

use super::Ruling;
use crate::id::{CredentialName, GroupName, Id, ServerName, UserName};
use crate::limits::EMERGENCY_KEPT;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One emergency, from the question to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// `emg_…`
    pub id: Id,
    /// Who asked, and whom it is for.
    pub user: UserName,
    /// For which server.
    pub server: ServerName,
    /// The credential that this server's calls carry: it is rotated afterwards. `None`: they carry none of ours.
    pub credential: Option<CredentialName>,
    /// Why, in their words.
    pub reason: String,
    /// For how many seconds.
    pub seconds: u64,
    /// Two of this group must say yes.
    pub approvers: GroupName,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Nobody can say yes after that.
    pub answer_by: Timestamp,
    /// What people said, in that order; each by somebody else.
    pub rulings: Vec<Ruling>,
    /// When the second yes came.
    pub allowed_at: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// How it ended, if it did.
    pub ended: Option<EmergencyEnd>,
    /// When what follows from its end was done: grants revoked, the secret marked for rotation.
    pub closed_at: Option<Timestamp>,
}

/// How an emergency ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyEnd {
    /// When.
    pub at: Timestamp,
    /// By whom: a user, `admin`, or `portunus` when time was over.
    pub by: String,
    /// Why, for people.
    pub why: String,
}

impl Emergency {
    /// Whether it gives access at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.until.is_some_and(|until| !until.is_past(now))
    }
    /// Whether somebody can still say yes.
    #[must_use]
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.allowed_at.is_none() && !self.answer_by.is_past(now)
    }
    /// The word for where it stands.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> &'static str {
        match (self.allowed_at, &self.ended) {
            _ if self.is_active(now) => "active",
            _ if self.is_waiting(now) => "waiting",
            (Some(_), _) => "over",
            (None, Some(_)) => "denied",
            (None, None) => "lapsed",
        }
    }
}

impl Document for Emergency {
    const KIND: Kind = Kind::Emergency;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
    /// The ledger is the lasting record of it.
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.asked_at.plus(EMERGENCY_KEPT))
    }
}
