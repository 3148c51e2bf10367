//! What is kept of people whom identity providers vouch for, and of what they use.

use crate::digest::{Digest, sha256};
use crate::id::{Id, UserName};
use crate::limits;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who somebody at an identity provider is here: bound at first sight, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The provider's own unchanging name for them (`sub`).
    pub subject: String,
    /// The user that was made for them.
    pub user: UserName,
    /// When.
    pub bound_at: Timestamp,
}

impl Identity {
    /// The id of the binding of this subject.
    #[must_use]
    pub fn id_of(issuer: &str, subject: &str) -> String {
        digest(b"identity", issuer, subject).hex()
    }
}

impl Document for Identity {
    const KIND: Kind = Kind::Identity;
    fn id(&self) -> String {
        Self::id_of(&self.issuer, &self.subject)
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
}

/// Whose a provider's session is, so that a logout that names only the session finds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSession {
    /// The provider.
    pub issuer: String,
    /// The session (`sid`).
    pub sid: String,
    /// Whose.
    pub user: UserName,
    /// The end of the last of our sessions that came of it.
    pub expires_at: Timestamp,
}

impl ProviderSession {
    /// The id of this session of a provider.
    #[must_use]
    pub fn id_of(issuer: &str, sid: &str) -> String {
        digest(b"provider session", issuer, sid).hex()
    }
}

impl Document for ProviderSession {
    const KIND: Kind = Kind::ProviderSession;
    fn id(&self) -> String {
        Self::id_of(&self.issuer, &self.sid)
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// When a grant was last used, to the minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    /// The grant; the id.
    pub grant: Id,
    /// The last time that is known of.
    pub at: Timestamp,
}

impl Document for GrantUse {
    const KIND: Kind = Kind::GrantUse;
    fn id(&self) -> String {
        self.grant.to_string()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        // By then no token of the grant can be good any more.
        Some(self.at.plus(limits::REFRESH_TTL).plus(limits::ACCESS_TTL))
    }
}

/// A logout token that was taken in, kept until it would no longer be good, so that it is taken once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedLogout {
    /// Digest over issuer and `jti`; the id.
    pub digest: Digest,
    /// When it can be forgotten.
    pub expires_at: Timestamp,
}

impl UsedLogout {
    /// Of the token that this provider calls `jti`.
    #[must_use]
    pub fn new(issuer: &str, jti: &str, expires_at: Timestamp) -> Self {
        Self { digest: digest(b"logout", issuer, jti), expires_at }
    }
}

impl Document for UsedLogout {
    const KIND: Kind = Kind::UsedLogout;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// The length of the first part goes in too: no two pairs are hashed alike.
fn digest(what: &[u8], issuer: &str, name: &str) -> Digest {
    let length = (issuer.len() as u64).to_be_bytes();
    sha256(&[b"portunus ", what, b" ", &length, issuer.as_bytes(), name.as_bytes()])
}
