//! Calls that wait for a client's answer to a server's question, each behind a handle that cannot be guessed, is good once,
//! for its own caller and the same call, and expires.

use super::call::Open;
use super::session::{Session, lock};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::{Digest, sha256};
use portunus_core::limits;
use portunus_core::time::Rng;
use portunus_mcp::bridge::Question;
use portunus_mcp::json::{self, Bounds};
use portunus_mcp::message::Call;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// The parked calls of one server.
pub(super) struct Parked {
    table: Arc<Mutex<HashMap<String, Entry>>>,
    rng: Arc<dyn Rng>,
}

struct Entry {
    waiting: Waiting,
    timer: AbortHandle,
}

/// A parked call and what it waits for.
pub(super) struct Waiting {
    pub(super) open: Open,
    pub(super) question: Question,
}

impl Parked {
    pub(super) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { table: Arc::default(), rng }
    }

    /// Parks a call; its handle, or nothing when too many are parked (the call is then cancelled).
    pub(super) fn put(&self, open: Open, question: Question) -> Option<String> {
        let mut random = [0_u8; 24];
        self.rng.fill(&mut random);
        let handle = BASE64URL_NOPAD.encode(&random);
        let mut table = lock(&self.table);
        let caller = open.session().key.caller;
        let own = table.values().filter(|entry| entry.waiting.open.session().key.caller == caller).count();
        if table.len() >= limits::PARKED_CALLS.0 || own >= limits::PARKED_CALLS.1 {
            return None;
        }
        let timer = tokio::spawn(expire(Arc::downgrade(&self.table), handle.clone())).abort_handle();
        table.insert(handle.clone(), Entry { waiting: Waiting { open, question }, timer });
        Some(handle)
    }

    /// Takes out the call that this one goes on with: same caller, same method, target and arguments. Anything else leaves
    /// it where it is.
    pub(super) fn take(&self, caller: Digest, call: &Call) -> Option<Waiting> {
        let handle = call.request_state.as_ref().and_then(|raw| text(raw))?;
        let mut table = lock(&self.table);
        let open = &table.get(&handle)?.waiting.open;
        if open.session().key.caller != caller || open.same() != same(call) {
            return None;
        }
        let entry = table.remove(&handle)?;
        entry.timer.abort();
        Some(entry.waiting)
    }

    /// Gives up the calls of a session that has ended.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        let gone: Vec<Entry> = {
            let mut table = lock(&self.table);
            let of_session = |entry: &Entry| Arc::ptr_eq(entry.waiting.open.session(), session);
            let handles: Vec<String> = table
                .iter()
                .filter(|(_, entry)| of_session(entry))
                .map(|(handle, _)| handle.clone())
                .collect();
            handles.iter().filter_map(|handle| table.remove(handle)).collect()
        };
        gone.iter().for_each(|entry| entry.timer.abort());
    }
}

/// What must be the same of the call that goes on.
pub(super) fn same(call: &Call) -> Digest {
    let parts = [
        call.method.as_str().as_bytes(),
        call.target.as_deref().unwrap_or_default().as_bytes(),
        call.arguments.as_deref().unwrap_or_default(),
    ];
    let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
    let [method, target, arguments] = parts;
    sha256(&[lengths.as_flattened(), method, target, arguments])
}

async fn expire(table: std::sync::Weak<Mutex<HashMap<String, Entry>>>, handle: String) {
    sleep(limits::PARKED_TTL).await;
    if let Some(table) = table.upgrade() {
        // Dropping it cancels the call upstream.
        let entry = lock(&table).remove(&handle);
        drop(entry);
    }
}

/// What a JSON string means.
fn text(raw: &[u8]) -> Option<String> {
    let scan = json::scan(raw, &Bounds::default()).ok()?;
    scan.root().string().map(std::borrow::Cow::into_owned)
}
