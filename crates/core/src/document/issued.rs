//! What Portunus' own authorities signed for upstream servers, and which of it they are to refuse.

use crate::id::CredentialName;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A certificate of one of Portunus' own authorities. It is written down before it is signed, so that none is out there that
/// nobody knows of; and kept until it ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Which authority signs it.
    pub authority: IssuedBy,
    /// Its serial number as that authority writes it; unique there.
    pub serial: String,
    /// The credential that it was made for.
    pub credential: CredentialName,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Since when it is in the authority's list of those to be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// An authority of Portunus for certificates that upstream servers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuedBy {
    /// X.509 client certificates.
    X509,
    /// SSH user certificates.
    Ssh,
}

impl IssuedBy {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Ssh => "ssh",
        }
    }
}

impl Document for Issued {
    const KIND: Kind = Kind::Issued;
    fn id(&self) -> String {
        format!("{}:{}", self.authority.word(), self.serial)
    }
    fn parent(&self) -> Option<String> {
        Some(self.credential.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}
