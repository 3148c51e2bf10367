//! What every operation is given: the store, the ledger, randomness and the time.

use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::store::{Store, StoreError};
use portunus_core::time::{Rng, Timestamp};

/// The world, as one operation sees it.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// Durable state.
    pub store: &'a dyn Store,
    /// The audit log.
    pub ledger: &'a dyn Ledger,
    /// Unpredictable bytes.
    pub rng: &'a dyn Rng,
    /// The present moment.
    pub now: Timestamp,
}

/// Something on our side failed, so what was asked is refused (law 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The step could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Others kept changing the same document.
    #[error("the same thing was changed by others again and again; try once more")]
    Busy,
}

/// How often a change computed from a document that changed meanwhile is computed anew.
pub(crate) const ATTEMPTS: usize = 8;

impl Ports<'_> {
    /// Appends an event and waits until it is durable.
    ///
    /// # Errors
    /// When it could not be recorded; the caller must then not report success.
    pub async fn record(
        &self,
        by: &str,
        action: &str,
        subject: &str,
        detail: &[(&str, &str)],
    ) -> Result<(), LedgerError> {
        let event = Event {
            at: self.now,
            by: by.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        self.ledger.append(Record::Event(event)).await.map(|_sequence| ())
    }
}
