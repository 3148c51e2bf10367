//! Where each epoch of the sealing key comes from. The store has a list of them: number, id, source; never a key that is not
//! wrapped. A key from a key service is made here and kept in that list in the form the service wrapped it: the service is
//! asked once at every start and never in the way of a request.
//!
//! A change of key goes: recorded → the new epoch in the list (seals from now on; the old one still opens) → everything
//! rewrapped ([`crate::rewrap`]) → nothing left, twice → recorded → the old epoch retired in the list. A process that ends in
//! between finds an epoch before the last that is not retired, and goes on.

use crate::key::KeyError;
use crate::sealing::SealingError;
use crate::service::{KeyService, ServiceError};
use portunus_core::record::LedgerError;
use portunus_core::store::StoreError;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

mod desk;

pub use desk::{Desk, Opened};

/// Where the configuration says that the sealing key comes from.
#[derive(Clone)]
pub enum Provider {
    /// A file, made at the first start.
    File(PathBuf),
    /// A credential that systemd gives: its name, and the directory, when there is one.
    Systemd {
        /// `$CREDENTIALS_DIRECTORY`.
        directory: Option<PathBuf>,
        /// The credential's name.
        name: String,
    },
    /// A service that wraps keys.
    Service {
        /// Which kind.
        kind: ServiceKind,
        /// The name of its key.
        key: String,
        /// How it is asked.
        service: Arc<dyn KeyService>,
    },
}

/// A kind of key service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// The transit engine of OpenBao or Vault.
    Openbao,
    /// AWS KMS.
    AwsKms,
}

/// One key-encryption key in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// Names the key without telling anything about it.
    pub key_id: String,
    /// Where it comes from.
    pub source: Source,
    /// When it was made the sealing key.
    pub created_at: Timestamp,
    /// When nothing in the store was sealed with it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
}

/// Where an epoch's key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A credential of systemd.
    Systemd(String),
    /// Made here, wrapped by a service.
    Service {
        /// Which kind.
        kind: ServiceKind,
        /// The name of its key.
        key: String,
        /// As the service gave it.
        wrapped: String,
    },
}

/// Why there is no sealing key, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A needed key is gone.
    #[error(
        "the store's secrets are sealed with the key {key_id} of {from}, which is not there ({why}); give it back, or restore a store from before that key"
    )]
    Missing {
        /// Which key.
        key_id: String,
        /// Where it should be.
        from: String,
        /// What was found instead.
        why: String,
    },
    /// The list and the configuration do not agree.
    #[error("{0}")]
    Misconfigured(String),
    /// The key service failed.
    #[error("the key service: {0}")]
    Service(#[from] ServiceError),
    /// What is in the store does not open.
    #[error("{name} in the store: {error}")]
    Sealed {
        /// Which setting.
        name: &'static str,
        /// Why.
        error: SealingError,
    },
    /// The store failed, or somebody else changed the list at the same time.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was not recorded, so it was not done.
    #[error("nothing was changed, because it could not be recorded: {0}")]
    Ledger(#[from] LedgerError),
}

impl Source {
    /// In words, without the key.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Systemd(name) => format!("the systemd credential {name}"),
            Self::Service { kind: ServiceKind::Openbao, key, .. } => format!("the transit key {key}"),
            Self::Service { kind: ServiceKind::AwsKms, key, .. } => format!("the KMS key {key}"),
        }
    }
}
