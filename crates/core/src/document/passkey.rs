//! Passkeys, and the challenges that they have answered.

use crate::digest::Digest;
use crate::id::UserName;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A passkey of a built-in account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// The credential's id, base64url; the id.
    pub id: String,
    /// Whose.
    pub user: UserName,
    /// What they call it.
    pub name: String,
    /// Its public key, as `oauth::passkey` writes it.
    pub key: String,
    /// The authenticator's counter when it was last used; 0: it does not count.
    pub counter: u32,
    /// Whether the key may be on several devices.
    pub synced: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
}

impl Document for Passkey {
    const KIND: Kind = Kind::Passkey;
    fn id(&self) -> String {
        self.id.clone()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
}

/// A challenge that was answered, kept until it would be too old anyway, so that it is answered once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedChallenge {
    /// Of the challenge; the id.
    pub digest: Digest,
    /// When it can be forgotten.
    pub expires_at: Timestamp,
}

impl Document for UsedChallenge {
    const KIND: Kind = Kind::UsedChallenge;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}
