//! One identity, as people and auditors see it: everything but its secret.

use portunus_core::document::{RotationPlan, TestOutcome, Tested, VersionState};
use portunus_core::id::{ClientId, ServerName, UserName};
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An identity that is no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `credential:NAME`, `connector:ID` …; unique.
    pub id: String,
    /// What it is.
    pub kind: IdentityKind,
    /// In more detail: `bearer`, `postgres`, `private_key_jwt` …
    pub form: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// Where it belongs.
    pub environment: Option<String>,
    /// Who issued it.
    pub vendor: Option<String>,
    /// The hosts that it is good at.
    pub upstreams: Vec<String>,
    /// The servers that it is for.
    pub servers: Vec<ServerName>,
    /// What it allows, as far as that is known.
    pub scopes: Vec<String>,
    /// Its versions, oldest first; only of what has any.
    pub versions: Vec<Version>,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// How its secret is changed.
    pub rotation: Option<RotationPlan>,
    /// When its secret was last changed.
    pub changed_at: Timestamp,
    /// What was found the last time that an ended secret of it was tried.
    pub tested: Option<Tested>,
    /// The last use that is known of.
    pub last_used: Option<LastUse>,
    /// How often it was used, as far as that was counted.
    pub uses: u64,
    /// Where it is in its life.
    pub standing: Standing,
    /// Until when its age is put up with.
    pub waived_until: Option<Timestamp>,
    /// Until when somebody had access to it in an emergency, if its secret was not changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_at: Option<Timestamp>,
}

/// What an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// An upstream secret.
    Credential,
    /// A user's tokens at an upstream.
    Connection,
    /// A program beside a tool.
    Connector,
    /// An OAuth client.
    Client,
    /// A workload of another platform.
    Workload,
    /// A token with which a connector enrols.
    JoinToken,
    /// A key of the edge itself.
    Key,
    /// A certificate of the edge itself.
    Certificate,
    /// Seen in traffic or in configuration files, registered nowhere.
    Observed,
}

impl IdentityKind {
    /// The word for it, as in ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Connection => "connection",
            Self::Connector => "connector",
            Self::Client => "client",
            Self::Workload => "workload",
            Self::JoinToken => "join_token",
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Observed => "observed",
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an identity is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Something that it needs is missing: it cannot be used yet.
    Proposed,
    /// It can be used.
    Active,
    /// Two versions live.
    Rotating,
    /// An old version serves its last calls.
    Draining,
    /// Nobody may use it for now.
    Disabled,
    /// Its end has come.
    Expired,
    /// It is over.
    Retired,
    /// It was ended before its time.
    Revoked,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
    /// Whether it can be used, now or after somebody completes or enables it: what governance is about.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Expired | Self::Retired | Self::Revoked)
    }
}

/// A version of an identity's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// What becomes of it.
    pub state: VersionState,
    /// Names its secret without telling anything about it.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Set for one that somebody replaced by hand and that was not seen dead since: what was seen, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
}

/// A secret that was replaced by hand and may live on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// What was seen when it was tried; `None`: it was not tried yet.
    pub outcome: Option<TestOutcome>,
    /// In words.
    pub detail: String,
}

/// The last use of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub user: UserName,
    /// Through which client.
    pub client: ClientId,
    /// Of which server.
    pub server: ServerName,
    /// For which tool; empty for everything that is no tool call.
    pub tool: String,
    /// Of which version.
    pub version: u32,
}
