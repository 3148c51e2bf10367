//! Which identity was used by whom, through which client, for which tool: counted in memory, added to the store off the way of
//! a request.

use crate::Edge;
use crate::decide::Case;
use crate::key::Key;
use portunus_core::caller::Caller;
use portunus_core::document::Usage;
use portunus_core::limits::{BATCH_STEPS, USES_HELD};
use portunus_core::store::{Batch, Document, Store, StoreError, load};
use portunus_core::time::Timestamp;
use portunus_pins::Kind;
use portunus_policy::Permit;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts a permitted request, by tools that exist: names are a client's own texts. A look of the edge's own, which no policy
/// was asked about, is no use.
pub fn note(edge: &Edge, case: &Case<'_>, permit: &Permit, key: Option<&Key>) {
    if permit.policies().is_empty() {
        return;
    }
    let server = &case.published.server.name;
    let lock = edge.pins.lock();
    let known = |tool: &&str| {
        case.snapshot.engine.knows_tool(server, tool) || lock.entry(server, Kind::Tool, tool).is_some()
    };
    let tool = case.asked.tool().filter(known);
    edge.uses.note(&case.known.caller, key.map(Key::identity), tool.unwrap_or_default(), case.now);
}

/// Uses that are not in the store yet.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<String, Usage>>);

impl Uses {
    /// Counts a permitted request: for the identity that goes along, and its version, or for the server alone. `tool` is one that the server
    /// has, or empty.
    pub fn note(&self, caller: &Caller, identity: Option<(String, u32)>, tool: &str, now: Timestamp) {
        let (identity, version) = identity.unwrap_or_else(|| (format!("server:{}", caller.server), 0));
        let usage = Usage {
            identity,
            user: caller.user.clone(),
            client: caller.client.clone(),
            server: caller.server.clone(),
            tool: tool.to_owned(),
            version,
            actor: caller.actor,
            count: 1,
            first_at: now,
            last_at: now,
        };
        let id = usage.id();
        let mut held = self.lock();
        if let Some(known) = held.get_mut(&id) {
            add(known, &usage);
        } else if held.len() < USES_HELD {
            held.insert(id, usage);
        }
        // Else the store does not keep up: what is lost is a count, not a call.
    }

    /// Adds what was counted to the store; what could not be written is kept for the next time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut pending: Vec<Usage> = std::mem::take(&mut *self.lock()).into_values().collect();
        while !pending.is_empty() {
            let rest = pending.split_off(pending.len().min(BATCH_STEPS));
            if let Err(error) = write_some(store, &pending).await {
                self.give_back(pending.into_iter().chain(rest));
                return if matches!(error, StoreError::Conflict { .. }) { Ok(()) } else { Err(error) };
            }
            pending = rest;
        }
        Ok(())
    }

    fn give_back(&self, uses: impl Iterator<Item = Usage>) {
        let mut held = self.lock();
        for usage in uses {
            let id = usage.id();
            if let Some(known) = held.get_mut(&id) {
                add(known, &usage);
            } else if held.len() < USES_HELD {
                held.insert(id, usage);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_some(store: &dyn Store, uses: &[Usage]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for usage in uses {
        batch = match load::<Usage>(store, &usage.id()).await? {
            Some(mut found) => {
                add(&mut found.value, usage);
                batch.update(&found.value, found.version)
            }
            None => batch.insert(usage),
        };
    }
    store.commit(batch).await.map(drop)
}

fn add(known: &mut Usage, more: &Usage) {
    known.count = known.count.saturating_add(more.count);
    known.first_at = known.first_at.min(more.first_at);
    if more.last_at >= known.last_at {
        (known.last_at, known.version, known.actor) = (more.last_at, more.version, more.actor);
    }
}
