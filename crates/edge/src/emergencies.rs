//! Who has emergency access to what, in memory: read anew after each change, which the store tells of before whoever made the change
//! hears of success. So an emergency that was ended is over for the next request.

use portunus_core::document::Emergency;
use portunus_core::id::{Id, ServerName, UserName};
use portunus_core::store::{Kind, Store, StoreError, list_all};
use portunus_core::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Emergencies that may be active.
pub struct Emergencies {
    /// Grows with each change.
    epoch: Arc<AtomicU64>,
    held: RwLock<Held>,
}

struct Held {
    /// The epoch in which they were read.
    epoch: u64,
    all: Vec<Emergency>,
}

impl Emergencies {
    /// Over this store; nothing is read before the first request.
    #[must_use]
    pub fn new(store: &dyn Store) -> Self {
        let epoch = Arc::new(AtomicU64::new(1));
        let grows = epoch.clone();
        store.observe(Box::new(move |changes| {
            if changes.iter().any(|change| change.kind == Kind::Emergency) {
                grows.fetch_add(1, Ordering::SeqCst);
            }
        }));
        Self { epoch, held: RwLock::new(Held { epoch: 0, all: Vec::new() }) }
    }

    /// The emergency that this user has at this server now.
    ///
    /// # Errors
    /// When the store fails: what may have ended is not taken for open.
    pub async fn of(
        &self,
        store: &dyn Store,
        (user, server): (&UserName, &ServerName),
        now: Timestamp,
    ) -> Result<Option<Id>, StoreError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        if let Some(found) = self.look(epoch, user, server, now) {
            return Ok(found);
        }
        // Read after the epoch was: whatever changes meanwhile makes it old.
        let all = list_all::<Emergency>(store, None).await?;
        let all: Vec<_> = all.into_iter().map(|one| one.value).filter(|one| one.is_active(now)).collect();
        let found = find(&all, user, server, now);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.epoch < epoch {
            *held = Held { epoch, all };
        }
        Ok(found)
    }

    /// `None` when what is held is old.
    #[expect(clippy::option_option, reason = "two questions: is it known, and is there one")]
    fn look(&self, epoch: u64, user: &UserName, server: &ServerName, now: Timestamp) -> Option<Option<Id>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        (held.epoch == epoch).then(|| find(&held.all, user, server, now))
    }
}

fn find(all: &[Emergency], user: &UserName, server: &ServerName, now: Timestamp) -> Option<Id> {
    let found = all.iter().find(|one| one.user == *user && one.server == *server && one.is_active(now));
    found.map(|one| one.id.clone())
}
