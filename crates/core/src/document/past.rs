//! What is remembered of earlier calls: labels on sessions, and counts.

use crate::digest::{Digest, sha256};
use crate::id::{ClientId, UserName};
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The labels on what a user does through one client, over all servers and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLabels {
    /// Whose.
    pub user: UserName,
    /// Through which client.
    pub client: ClientId,
    /// Each label with the moment at which it falls off.
    pub labels: BTreeMap<String, Timestamp>,
}

impl SessionLabels {
    /// The id of the document for this user and client.
    #[must_use]
    pub fn key(user: &UserName, client: &ClientId) -> Digest {
        sha256(&[user.as_str().as_bytes(), b"\0", client.as_str().as_bytes()])
    }
}

impl Document for SessionLabels {
    const KIND: Kind = Kind::Labels;
    fn id(&self) -> String {
        Self::key(&self.user, &self.client).hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        self.labels.values().max().copied()
    }
}

/// What was counted of one user, client or tool: for each of three lengths of time the pieces of it in which something
/// happened, as number of the piece since 1970 and calls, rows, bytes and refusals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// What is counted.
    pub key: String,
    /// Seconds of the last minute, minutes of the last hour, quarters of an hour of the last day.
    pub spans: [Vec<(u64, [u64; 4])>; 3],
    /// When nothing of it counts any more.
    pub ends_at: Timestamp,
}

impl Document for Tally {
    const KIND: Kind = Kind::Tally;
    fn id(&self) -> String {
        sha256(&[self.key.as_bytes()]).hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.ends_at)
    }
}
