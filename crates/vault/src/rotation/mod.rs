//! A credential's secret is changed without a failed call, and the old one is proven dead:
//! create → verify → switch → drain → disable → verify dead → delete.
//!
//! | module | holds |
//! |---|---|
//! | [`rotator`] | what an upstream must be able to do: the port that drivers implement |
//! | [`engine`] | a rotation begun, and taken one step further |
//! | `steps` | each step |
//! | `end` | a revoked credential's secrets ended at the upstream, and tried; those replaced by hand tried |
//! | `door` | the second way to a secret besides a permit: only to a rotator |
//! | [`due`] | when a rotation's time has come, and how long to pause after a failure (pure) |
//!
//! Each step is recorded, then tried at the upstream, then committed to the store together with the step that follows. A
//! process that ends anywhere in between does the same step once more when it is back: everything that is asked of an
//! upstream may be asked twice. A secret that we choose is sealed into the store *before* the upstream hears of it, so that
//! none is ever lost; what an upstream made and nobody kept is removed before the next is made.

mod door;
pub mod due;
mod end;
pub mod engine;
pub mod rotator;
mod steps;

pub use end::{ENDED, Trial};
pub use engine::Engine;
pub use rotator::{
    Administrator, Case, Created, Known, Origin, Plan, Rotator, RotatorError, Verdict, Version,
};

use crate::sealing::SealingError;
use portunus_core::document::Rotation;
use portunus_core::id::CredentialName;
use portunus_core::record::LedgerError;
use portunus_core::store::StoreError;
use portunus_core::time::Timestamp;

/// How many calls carry a version of a credential: the old one is not disabled while there are some.
pub trait Calls: Send + Sync {
    /// Calls on this node that carry it now.
    fn carrying(&self, name: &CredentialName, version: u32) -> usize;
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It was taken; there is another one.
    Again,
    /// Nothing is to be done before that.
    At(Timestamp),
    /// The upstream did not do it; it is tried again then.
    Stumbled {
        /// When.
        at: Timestamp,
        /// Why; no secrets.
        why: String,
    },
    /// The rotation ended: see its step for how.
    Ended(Box<Rotation>),
    /// There is no rotation under way.
    Idle,
}

/// Why a rotation did not begin, or a step was not taken. The store says the same as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// There is no such credential.
    #[error("there is no credential `{0}`; `portunus cred list` names them")]
    Unknown(CredentialName),
    /// Nobody said how.
    #[error("the credential `{0}` has no rotation plan; give it one with `portunus cred bind --rotate`")]
    NoPlan(CredentialName),
    /// It may not be used, so its secret is not changed either.
    #[error("the credential `{name}` is {status}; its secret is not changed")]
    Unusable {
        /// The credential.
        name: CredentialName,
        /// Why.
        status: &'static str,
    },
    /// The plan's method is none that this edge knows.
    #[error(
        "the credential `{name}` is rotated by `{method}`, which this edge does not know; it knows {known}"
    )]
    NoRotator {
        /// The credential.
        name: CredentialName,
        /// What the plan says.
        method: String,
        /// What there is.
        known: String,
    },
    /// The plan's settings are wrong.
    #[error("the rotation plan of `{name}` is not valid: {why}")]
    Settings {
        /// The credential.
        name: CredentialName,
        /// What is wrong.
        why: String,
    },
    /// The credential that a rotator works with cannot be used.
    #[error("`{name}` is rotated with the credential `{administrator}`, {why}")]
    Administrator {
        /// The credential that is rotated.
        name: CredentialName,
        /// The one that it is rotated with.
        administrator: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Rotations are stopped.
    #[error("rotations are paused; `portunus cred rotation resume` lets them go on")]
    Paused,
    /// Nothing that is stored fits what the step needs.
    #[error(
        "the rotation of `{0}` cannot go on: a version that it needs is gone; replace the secret by hand"
    )]
    Broken(CredentialName),
    /// A sealed secret did not open, or could not be sealed.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The store did not take it, or somebody else changed the credential at the same time.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger did not record it, so it was not done.
    #[error("nothing was done, because it could not be recorded: {0}")]
    Ledger(#[from] LedgerError),
}
