//! A change of a credential's secret, step by step, so that one that was interrupted goes on where it was.

use crate::id::CredentialName;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The latest change of a credential's secret: the one under way, or the last one that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Whose secret changes; the id.
    pub credential: CredentialName,
    /// What is done next, or how it ended.
    pub step: RotationStep,
    /// The version that was in use when it began.
    pub from: u32,
    /// The version that replaces it.
    pub to: u32,
    /// Whether the new version is among the credential's: until then its number can be taken by one that was added by hand.
    #[serde(default)]
    pub stored: bool,
    /// Whom the new version belongs to at the upstream, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who wanted it: `admin`, or `portunus` when its time had come.
    pub by: String,
    /// How often this step was tried without success.
    #[serde(default)]
    pub attempts: u32,
    /// Why the last attempt failed; no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Rotations of this credential in a row that were given up.
    #[serde(default)]
    pub failures: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it came to this step.
    pub step_at: Timestamp,
    /// Nothing is tried before that.
    pub retry_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What the upstream calls what it gave out with a version, such as a lease; no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub handles: BTreeMap<u32, String>,
    /// When the upstream lets a version die by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lapses: BTreeMap<u32, Timestamp>,
}

impl Document for Rotation {
    const KIND: Kind = Kind::Rotation;
    fn id(&self) -> String {
        self.credential.to_string()
    }
}

/// Where a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationStep {
    /// The new secret is made known to the upstream, or asked of it.
    Create,
    /// The new secret is tried.
    Verify,
    /// New calls carry the new version.
    Switch,
    /// Calls that carry the old version end.
    Drain,
    /// The upstream is told to refuse the old secret.
    Disable,
    /// The old secret is tried: it must be refused.
    VerifyDead,
    /// What is left of the old version at the upstream is removed.
    Delete,
    /// The new version does not work: it is taken back.
    Undo,
    /// It ended well.
    Done,
    /// It was given up; the old version is in use.
    Failed,
}

impl RotationStep {
    /// Whether there is still something to do.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Done | Self::Failed)
    }
    /// Whether calls carry the new version.
    #[must_use]
    pub const fn has_switched(self) -> bool {
        matches!(self, Self::Drain | Self::Disable | Self::VerifyDead | Self::Delete | Self::Done)
    }
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Verify => "verify",
            Self::Switch => "switch",
            Self::Drain => "drain",
            Self::Disable => "disable",
            Self::VerifyDead => "verify_dead",
            Self::Delete => "delete",
            Self::Undo => "undo",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}
