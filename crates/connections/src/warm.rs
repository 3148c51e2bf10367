//! Warm connections: what was read lately, sealed still. What this process commits is forgotten before the commit is
//! acknowledged; what another process commits is seen after [`limits::CONNECTION_TTL`] at the latest, or when the server
//! refuses the old token.

use portunus_core::document::Connection;
use portunus_core::limits;
use portunus_core::store::{Kind, Store};
use portunus_core::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection as it was read.
pub(crate) struct Held {
    pub(crate) connection: Connection,
    pub(crate) read_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct Warm(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Counts what was forgotten, so that a read begun before is not kept after.
    epoch: u64,
    held: HashMap<String, Arc<Held>>,
}

impl Warm {
    pub(crate) fn watching(store: &dyn Store) -> Arc<Self> {
        let warm = Arc::new(Self::default());
        let told = Arc::clone(&warm);
        store.observe(Box::new(move |changed| {
            for change in changed.iter().filter(|change| change.kind == Kind::Connection) {
                let mut table = told.table();
                table.epoch += 1;
                table.held.remove(&change.id);
            }
        }));
        warm
    }

    pub(crate) fn fresh(&self, id: &str, now: Timestamp) -> Option<Arc<Held>> {
        let table = self.table();
        table.held.get(id).filter(|held| now.since(held.read_at) < limits::CONNECTION_TTL).cloned()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.table().epoch
    }

    /// Keeps what was read after the epoch was.
    pub(crate) fn keep(&self, id: &str, held: &Arc<Held>, epoch: u64) {
        let mut table = self.table();
        if table.epoch != epoch {
            return;
        }
        if table.held.len() >= limits::CACHED_CONNECTIONS {
            table.held.clear();
        }
        table.held.insert(id.to_owned(), Arc::clone(held));
    }

    /// What another process may have changed is read anew.
    pub(crate) fn doubt(&self, id: &str) {
        self.table().held.remove(id);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
