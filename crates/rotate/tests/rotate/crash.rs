//! A process that ends at a chosen moment: at one of its commits, records or requests to the upstream, before it takes effect
//! or right after. From then on nothing of it has any effect.

use async_trait::async_trait;
use portunus_core::record::{Ledger, LedgerError, Receipt, Record};
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError};
use portunus_core::testing::MemoryLedger;
use portunus_core::time::Timestamp;
use portunus_vault::rotation::{Case, Created, Plan, Rotator, RotatorError, Verdict, Version};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// When the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// At which effect, from 0.
    pub(crate) effect: usize,
    /// After it, not before.
    pub(crate) after: bool,
}

/// Counts effects, and ends the process.
#[derive(Default)]
pub(crate) struct Fate {
    end: Option<Moment>,
    count: AtomicUsize,
    dead: AtomicBool,
    said: Mutex<Vec<String>>,
}

impl Fate {
    pub(crate) fn new(end: Option<Moment>) -> Arc<Self> {
        Arc::new(Self { end, ..Self::default() })
    }
    /// How many effects there were.
    pub(crate) fn effects(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
    /// What they were.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Before an effect: its number, unless the process has ended.
    fn begin(&self, what: &str) -> Option<usize> {
        if self.is_dead() {
            return None;
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.said.lock().unwrap().push(what.to_owned());
        self.meet(Moment { effect: number, after: false }).then_some(number)
    }
    /// After it: whether the process still lives.
    fn finish(&self, number: usize) -> bool {
        self.meet(Moment { effect: number, after: true })
    }
    fn meet(&self, moment: Moment) -> bool {
        if self.end == Some(moment) {
            self.dead.store(true, Ordering::SeqCst);
        }
        !self.is_dead()
    }
}

pub(crate) struct Mortal<T: ?Sized> {
    pub(crate) fate: Arc<Fate>,
    pub(crate) inner: Arc<T>,
}

fn killed() -> StoreError {
    StoreError::Failed(String::from("killed"))
}

#[async_trait]
impl Store for Mortal<dyn Store> {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        if self.fate.is_dead() { Err(killed()) } else { self.inner.get(kind, id).await }
    }
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(kind, query).await
    }
    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        self.inner.count(kind).await
    }
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        let what = batch.writes.first().map_or("", |write| write.kind.as_str());
        let number = self.fate.begin(&format!("commit {what}")).ok_or_else(killed)?;
        let committed = self.inner.commit(batch).await?;
        if self.fate.finish(number) { Ok(committed) } else { Err(killed()) }
    }
    async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(now, limit).await
    }
    async fn generation(&self) -> Result<u64, StoreError> {
        self.inner.generation().await
    }
    fn observe(&self, observer: Observer) {
        self.inner.observe(observer);
    }
}

impl Ledger for Mortal<MemoryLedger> {
    fn append(&self, record: Record) -> Receipt {
        let killed = || Receipt::failed(LedgerError::Stopped);
        let Record::Event(event) = &record else { panic!("only events are expected here") };
        let Some(number) = self.fate.begin(&format!("record {}", event.action)) else { return killed() };
        let receipt = self.inner.append(record);
        if self.fate.finish(number) { receipt } else { killed() }
    }
}

impl Mortal<dyn Rotator> {
    async fn ask<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, RotatorError>>,
    ) -> Result<T, RotatorError> {
        let killed = || RotatorError::Later(String::from("killed"));
        let number = self.fate.begin(&format!("ask {what}")).ok_or_else(killed)?;
        let answer = asked.await;
        if self.fate.finish(number) { answer } else { Err(killed()) }
    }
}

#[async_trait]
impl Rotator for Mortal<dyn Rotator> {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        self.inner.plan(case)
    }
    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        self.ask("create", self.inner.create(case, new)).await
    }
    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("verify", self.inner.verify(case, new)).await
    }
    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("disable", self.inner.disable(case, old)).await
    }
    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        self.ask("verify_dead", self.inner.verify_dead(case, old)).await
    }
    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("delete", self.inner.delete(case, old)).await
    }
    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        self.ask("undo", self.inner.undo(case, new, old)).await
    }
}
