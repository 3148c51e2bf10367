//! Tells whatever holds a credential open (streams, connections, processes) that it may not be used any more: revoked,
//! disabled, gone, or bound to another place. A version that was only replaced goes on to the end of what carries it.

use crate::vault::VaultError;
use portunus_core::document::Credential;
use portunus_core::store::{Store, load};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Becomes true when the credential may not be used any more.
pub type Ended = watch::Receiver<bool>;

/// Until the store is asked again that could not say how a credential stands.
const AGAIN: Duration = Duration::from_millis(100);

/// What is told to whom.
#[derive(Default)]
pub(crate) struct Endings {
    /// As they were read, each once, for as long as anybody listens.
    open: Mutex<Vec<Open>>,
    /// Ids of credentials that changed and were not looked at since.
    changed: Mutex<BTreeSet<String>>,
    told: Notify,
}

struct Open {
    credential: Arc<Credential>,
    version: u32,
    ended: watch::Sender<bool>,
}

impl Endings {
    /// The signal of this version as it is bound now, shared by all that carry it.
    pub(crate) fn of(&self, credential: &Arc<Credential>, version: u32) -> Ended {
        let mut open = lock(&self.open);
        open.retain(|one| one.ended.receiver_count() > 0);
        let same = |one: &&Open| {
            one.version == version
                && one.credential.name == credential.name
                && is_bound_alike(&one.credential, credential)
        };
        if let Some(one) = open.iter().find(same) {
            return one.ended.subscribe();
        }
        let (ended, receiver) = watch::channel(false);
        open.push(Open { credential: credential.clone(), version, ended });
        receiver
    }

    /// Notes that a credential changed. Quick: it is called within a commit.
    pub(crate) fn note(&self, id: &str) {
        if lock(&self.open).iter().any(|one| one.credential.name.as_str() == id) {
            lock(&self.changed).insert(id.to_owned());
            self.told.notify_one();
        }
    }

    /// Looks at each credential that changed, and tells those that must hear of it; never ends.
    pub(crate) async fn watch(&self, store: &dyn Store) {
        loop {
            self.told.notified().await;
            let changed = std::mem::take(&mut *lock(&self.changed));
            for id in changed {
                match load::<Credential>(store, &id).await {
                    Ok(stored) => self.settle(&id, stored.as_ref().map(|stored| &stored.value)),
                    Err(error) => {
                        tracing::warn!(%error, credential = id, "whether it still may be used is asked again");
                        lock(&self.changed).insert(id);
                        tokio::time::sleep(AGAIN).await;
                        self.told.notify_one();
                    }
                }
            }
        }
    }

    fn settle(&self, id: &str, stored: Option<&Credential>) {
        let stands = |held: &Credential| {
            stored.is_some_and(|stored| in_force(stored).is_ok() && is_bound_alike(held, stored))
        };
        lock(&self.open).retain(|one| {
            let goes_on = one.credential.name.as_str() != id || stands(&one.credential);
            if !goes_on {
                one.ended.send_replace(true);
            }
            goes_on
        });
    }
}

/// # Errors
/// When nobody may use it, whoever asks.
pub(crate) fn in_force(credential: &Credential) -> Result<(), VaultError> {
    if credential.revoked_at.is_some() {
        return Err(VaultError::Revoked(credential.name.clone()));
    }
    match &credential.disabled {
        Some(disabled) => {
            Err(VaultError::Disabled { name: credential.name.clone(), why: disabled.why.clone() })
        }
        None => Ok(()),
    }
}

/// Whether it may go to the same place in the same manner.
pub(crate) fn is_bound_alike(one: &Credential, other: &Credential) -> bool {
    (&one.server, &one.environment, &one.hosts, &one.kind)
        == (&other.server, &other.environment, &other.hosts, &other.kind)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
