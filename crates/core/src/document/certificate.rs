//! What certificates from an ACME authority need kept, beside the sealed settings that hold account and certificate.

use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to a certificate authority's challenge (RFC 8555 section 8), until it has looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChallenge {
    /// `tls-alpn-01:NAME` or `http-01:TOKEN`.
    pub id: String,
    /// Token and thumbprint of the account's key; not secret.
    pub key_authorization: String,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Document for PendingChallenge {
    const KIND: Kind = Kind::Challenge;
    fn id(&self) -> String {
        self.id.clone()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// Who may do something that only one node may do at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What for; the id.
    pub name: String,
    /// The process that has it.
    pub holder: String,
    /// When others may take it.
    pub expires_at: Timestamp,
}

impl Document for Lease {
    const KIND: Kind = Kind::Lease;
    fn id(&self) -> String {
        self.name.clone()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}
