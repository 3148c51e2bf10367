//! A device that waits for a person to let it in from another screen (RFC 8628).

use crate::digest::Digest;
use crate::id::{ClientId, Id, ServerName};
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One device's request, kept until it expires even when it was answered, so that a second use is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Digest of the device code; the id.
    pub digest: Digest,
    /// Digest of the code that the person types in.
    pub user_code: Digest,
    /// The client that runs on the device.
    pub client_id: ClientId,
    /// For which server.
    pub server: ServerName,
    /// For what.
    pub scopes: Vec<String>,
    /// Where it stands.
    pub state: DeviceState,
    /// Seconds that the client must wait between two questions.
    pub interval: u64,
    /// When it last asked.
    pub asked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Document for DeviceRequest {
    const KIND: Kind = Kind::Device;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user_code.hex())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// Where a device's request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// A person said yes; this is what they agreed to.
    Allowed(Id),
    /// A person said no.
    Denied,
    /// The tokens were fetched.
    Used(Id),
}
