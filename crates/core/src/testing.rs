//! In-memory ports for tests: a store, a ledger, a clock that stands still and a repeatable generator. They keep the
//! promises of their traits, and can be made to fail; and inputs that were meddled with.

mod meddle;

pub use meddle::Meddler;

use crate::digest::sha256;
use crate::record::{Event, Ledger, LedgerError, Receipt, Record};
use crate::store::{Batch, Change, Changed, Entry, Expect, Kind, Observer, Query, Store, StoreError, Write};
use crate::time::{Clock, Rng, Timestamp};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    documents: Mutex<Documents>,
    observers: Mutex<Vec<Observer>>,
    generation: AtomicU64,
    failing: AtomicBool,
}

type Documents = BTreeMap<(Kind, String), Entry>;

impl MemoryStore {
    /// While `failing`, every operation fails.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }
    fn open(&self) -> Result<MutexGuard<'_, Documents>, StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("told to fail".to_owned()));
        }
        Ok(lock(&self.documents))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.open()?.get(&(kind, id.to_owned())).cloned())
    }
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        let limit = if query.limit == 0 { 1000 } else { query.limit.min(1000) };
        let documents = self.open()?;
        let of_kind = documents.iter().filter(|((k, _), _)| *k == kind).map(|(_, entry)| entry);
        let beyond = |entry: &Entry, after: &str| {
            if query.backwards { entry.id.as_str() < after } else { entry.id.as_str() > after }
        };
        let mut found: Vec<Entry> = of_kind
            .filter(|entry| query.parent.is_none_or(|parent| entry.parent.as_deref() == Some(parent)))
            .filter(|entry| query.after.is_none_or(|after| beyond(entry, after)))
            .cloned()
            .collect();
        if query.backwards {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }
    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        Ok(self.open()?.keys().filter(|(k, _)| *k == kind).count() as u64)
    }
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        let changed = {
            let mut documents = self.open()?;
            let mut next = documents.clone();
            let mut changed = Vec::new();
            for write in batch.writes {
                changed.extend(apply(&mut next, write)?);
            }
            *documents = next;
            changed
        };
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        for observer in lock(&self.observers).iter() {
            observer(&changed);
        }
        Ok(generation)
    }
    async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut documents = self.open()?;
        let expired: Vec<_> = documents
            .iter()
            .filter(|(_, entry)| entry.expires_at.is_some_and(|at| at.is_past(now)))
            .map(|(key, _)| key.clone())
            .take(limit)
            .collect();
        for key in &expired {
            documents.remove(key);
        }
        Ok(expired.len() as u64)
    }
    async fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.generation.load(Ordering::SeqCst))
    }
    fn observe(&self, observer: Observer) {
        lock(&self.observers).push(observer);
    }
}

fn apply(documents: &mut Documents, write: Write) -> Result<Option<Changed>, StoreError> {
    let key = (write.kind, write.id.clone());
    let present = documents.get(&key).map(|entry| entry.version);
    let holds = match write.expect {
        Expect::Absent => present.is_none(),
        Expect::Version(version) => present == Some(version),
        Expect::Any => true,
    };
    if !holds {
        return Err(StoreError::Conflict { kind: write.kind.as_str() });
    }
    match write.change {
        Change::Check => return Ok(None),
        Change::Delete => drop(documents.remove(&key)),
        Change::Put { parent, expires_at, value } => {
            let version = present.unwrap_or(0) + 1;
            documents.insert(key, Entry { id: write.id.clone(), version, parent, expires_at, value });
        }
    }
    Ok(Some(Changed { kind: write.kind, id: write.id }))
}

/// A [`Ledger`] in memory.
#[derive(Default)]
pub struct MemoryLedger {
    records: Mutex<Vec<Record>>,
    failing: AtomicBool,
}

impl MemoryLedger {
    /// While `failing`, nothing can be recorded.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }
    /// Everything recorded so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        lock(&self.records).clone()
    }
    /// The events among it.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let event = |record| if let Record::Event(event) = record { Some(event) } else { None };
        self.records().into_iter().filter_map(event).collect()
    }
    /// How many events with this action were recorded.
    #[must_use]
    pub fn count(&self, action: &str) -> usize {
        self.events().iter().filter(|event| event.action == action).count()
    }
}

impl Ledger for MemoryLedger {
    fn append(&self, record: Record) -> Receipt {
        if self.failing.load(Ordering::SeqCst) {
            return Receipt::failed(LedgerError::Io("told to fail".to_owned()));
        }
        let mut records = lock(&self.records);
        records.push(record);
        let (sender, receipt) = Receipt::pair();
        // The receiver is alive: it is `receipt`.
        let _ = sender.send(Ok(records.len() as u64));
        receipt
    }
}

/// A [`Clock`] that moves only when told to.
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Starts at this moment.
    #[must_use]
    pub fn at(moment: Timestamp) -> Self {
        Self(AtomicU64::new(moment.as_millis()))
    }
    /// Moves on.
    pub fn advance(&self, span: std::time::Duration) {
        let later = self.now().plus(span);
        self.0.store(later.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An [`Rng`] whose bytes are the same in every run and never repeat within one.
#[derive(Default)]
pub struct CountingRng(AtomicU64);

impl Rng for CountingRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&[&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes()]);
            for (to, from) in chunk.iter_mut().zip(block.0) {
                *to = from;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
