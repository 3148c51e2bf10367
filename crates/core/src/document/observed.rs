use crate::digest::sha256;
use crate::id::{ClientId, ServerName, UserName};
use crate::limits;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something in traffic that is registered nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What it is.
    pub kind: ObservedKind,
    /// A secret's fingerprint, a tool's name, `host:port`. Never the secret.
    pub name: String,
    /// At which server.
    pub server: ServerName,
    /// In calls of which tool; empty where there is none.
    pub tool: String,
    /// Whose request it was, the first time.
    pub user: UserName,
    /// Through which client.
    pub client: ClientId,
    /// Whether it was refused.
    pub refused: bool,
    /// How often it was seen.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedKind {
    /// A secret in the arguments of a call.
    Credential,
    /// A tool that is not in the lockfile was called.
    Tool,
    /// A server sent its caller elsewhere.
    Host,
}

impl fmt::Display for ObservedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "credential",
            Self::Tool => "tool",
            Self::Host => "host",
        })
    }
}

impl Observed {
    /// Adds what was seen of the same. Whose it was and where stays as it was the first time, or the first time that it was
    /// let through: who sends a thing again cannot talk it away, nor take it over.
    pub fn add(&mut self, more: Self) {
        let (count, first_at) = (self.count.saturating_add(more.count), self.first_at.min(more.first_at));
        let last_at = self.last_at.max(more.last_at);
        if self.refused && !more.refused {
            *self = more;
        }
        (self.count, self.first_at, self.last_at) = (count, first_at, last_at);
    }
}

impl Document for Observed {
    const KIND: Kind = Kind::Observed;
    /// A secret is the same wherever it is seen.
    fn id(&self) -> String {
        let server = if self.kind == ObservedKind::Credential { "" } else { self.server.as_str() };
        let fields = [&self.kind.to_string(), server, &self.name].join("\0");
        sha256(&[b"portunus observed 1\0", fields.as_bytes()]).hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.last_at.plus(limits::OBSERVED_KEPT))
    }
}
