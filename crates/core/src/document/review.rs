//! Reviews of identities: somebody else than the owner says whether each is still wanted.

use crate::id::{Id, UserName};
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One identity in one review campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// `rvw_…`
    pub id: Id,
    /// The campaign's name.
    pub campaign: String,
    /// The identity: `credential:NAME` …
    pub identity: String,
    /// Who answered for it when the campaign began.
    pub owner: Option<String>,
    /// Who is to say; never the owner.
    pub reviewer: UserName,
    /// How many reviews the campaign has: it is there when all of them are. 0 in documents of older versions.
    #[serde(default)]
    pub of: usize,
    /// When the campaign began.
    pub opened_at: Timestamp,
    /// Silence until then disables it.
    pub due_at: Timestamp,
    /// What was said.
    pub verdict: Option<ReviewVerdict>,
    /// When what follows from it was done.
    pub closed_at: Option<Timestamp>,
}

/// What a reviewer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewVerdict {
    /// Whether it is still wanted.
    pub keep: bool,
    /// Who said so.
    pub by: UserName,
    /// Why, for whoever reads it later.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// All of this, signed by the edge: a JWS (RFC 7515) with its Ed25519 key.
    pub signed: String,
}

impl Document for Review {
    const KIND: Kind = Kind::Review;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Some(self.campaign.clone())
    }
}
