//! Sessions that the bridge itself holds for legacy clients of an upstream that knows none: what the client said in its
//! handshake, its open calls, the questions it is asked, the resources it watches.

use super::session::lock;
use super::wire::Behalf;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_core::time::Rng;
use portunus_mcp::bridge::to_modern::Client;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// What the ids of these sessions start with.
const PREFIX: &str = "portunus-";

/// A client's answer to a question, and the request that it came with.
pub(super) type Answer = (Behalf, Bytes);

/// One session.
pub(super) struct Visit {
    pub(super) id: HeaderValue,
    caller: Digest,
    client: Mutex<Client>,
    /// Open calls by the client's id; dropping the sender cancels one.
    calls: Mutex<HashMap<Bytes, oneshot::Sender<()>>>,
    questions: Mutex<HashMap<Bytes, oneshot::Sender<Answer>>>,
    next: AtomicU64,
    /// The resources that the client watches, and how often they have changed.
    pub(super) watched: watch::Sender<Watched>,
    /// Up to which change the upstream has said that it watches too; `None` while the client has no stream open.
    pub(super) honoured: watch::Sender<Option<u64>>,
    used: Mutex<Instant>,
    over: watch::Sender<bool>,
}

/// The resources that a client watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    pub(super) uris: BTreeSet<String>,
    pub(super) changes: u64,
}

impl Visit {
    pub(super) fn client(&self) -> Client {
        lock(&self.client).clone()
    }
    pub(super) fn set_level(&self, level: String) {
        lock(&self.client).log_level = Some(level);
    }

    /// An open call; resolved or dropped when it is cancelled. `None` when the id is in use.
    pub(super) fn open(self: &Arc<Self>, id: &Bytes) -> Option<(oneshot::Receiver<()>, OpenCall)> {
        let mut calls = lock(&self.calls);
        if self.is_over() || calls.contains_key(id) {
            return None;
        }
        let (sender, cancelled) = oneshot::channel();
        calls.insert(id.clone(), sender);
        Some((cancelled, OpenCall { visit: self.clone(), id: id.clone() }))
    }
    pub(super) fn cancel(&self, id: &[u8]) {
        lock(&self.calls).remove(id);
    }

    /// A question to the client: the id it is asked under, and where the answer comes. `None` when too many are open.
    pub(super) fn ask(self: &Arc<Self>) -> Option<(String, oneshot::Receiver<Answer>)> {
        let mut questions = lock(&self.questions);
        questions.retain(|_, sender| !sender.is_closed());
        if questions.len() >= limits::BRIDGED_QUESTIONS {
            return None;
        }
        let id = format!("portunus-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        questions.insert(Bytes::from(format!("\"{id}\"")), sender);
        Some((id, answer))
    }
    /// The client's answer to a question; one that nobody waits for is dropped.
    pub(super) fn answer(&self, id: &[u8], answer: Answer) {
        let waiting = lock(&self.questions).remove(id);
        if let Some(waiting) = waiting {
            drop(waiting.send(answer));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }
    /// Resolves when the session ends.
    pub(super) async fn ended(&self) {
        let mut over = self.over.subscribe();
        drop(over.wait_for(|over| *over).await);
    }
    fn end(&self) {
        self.over.send_replace(true);
        lock(&self.calls).clear();
        lock(&self.questions).clear();
    }
    fn is_busy(&self) -> bool {
        !lock(&self.calls).is_empty() || self.honoured.borrow().is_some()
    }
    fn is_stale(&self) -> bool {
        !self.is_busy() && lock(&self.used).elapsed() >= limits::VISIT_IDLE
    }
}

/// The place of an open call; given up when dropped.
pub(super) struct OpenCall {
    visit: Arc<Visit>,
    id: Bytes,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.visit.cancel(&self.id);
    }
}

/// The sessions of one upstream's legacy clients.
pub(super) struct Visits {
    table: Mutex<HashMap<HeaderValue, Arc<Visit>>>,
    rng: Arc<dyn Rng>,
}

impl Visits {
    pub(super) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { table: Mutex::default(), rng }
    }

    /// Whether this is an id of such a session, known or not.
    pub(super) fn is_ours(id: &HeaderValue) -> bool {
        id.as_bytes().starts_with(PREFIX.as_bytes())
    }

    /// A new session; `None` when there is no room for another one.
    pub(super) fn begin(&self, caller: Digest, client: Client) -> Option<Arc<Visit>> {
        let mut random = [0_u8; 24];
        self.rng.fill(&mut random);
        let id = HeaderValue::try_from(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&random))).ok()?;
        let mut table = lock(&self.table);
        table.retain(|_, visit| !visit.is_stale());
        let own = table.values().filter(|visit| visit.caller == caller);
        if own.clone().count() >= limits::BRIDGED_SESSIONS.1 {
            let idle = own.filter(|visit| !visit.is_busy());
            let oldest = idle.min_by_key(|visit| *lock(&visit.used)).map(|visit| visit.id.clone())?;
            table.remove(&oldest).inspect(|visit| visit.end());
        }
        if table.len() >= limits::BRIDGED_SESSIONS.0 {
            return None;
        }
        let visit = Arc::new(Visit {
            id: id.clone(),
            caller,
            client: Mutex::new(client),
            calls: Mutex::default(),
            questions: Mutex::default(),
            next: AtomicU64::new(1),
            watched: watch::Sender::default(),
            honoured: watch::Sender::default(),
            used: Mutex::new(Instant::now()),
            over: watch::Sender::new(false),
        });
        table.insert(id, visit.clone());
        Some(visit)
    }

    /// The caller's session of this id.
    pub(super) fn find(&self, id: &HeaderValue, caller: Digest) -> Option<Arc<Visit>> {
        let visit = lock(&self.table).get(id).filter(|visit| visit.caller == caller).cloned()?;
        *lock(&visit.used) = Instant::now();
        Some(visit)
    }

    pub(super) fn end(&self, visit: &Visit) {
        lock(&self.table).remove(&visit.id);
        visit.end();
    }
}
