//! The embedded store: one SQLite file in WAL mode that one process holds at a time. One thread writes and commits
//! whatever waits as a group, a few threads read; the callers only await answers, so any executor will do.

mod read;
mod schema;
mod step;
mod write;

use crate::bounds;
use async_trait::async_trait;
use futures_channel::oneshot;
use portunus_core::limits::STORE_QUEUE;
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError};
use portunus_core::time::Timestamp;
use read::Readers;
pub use schema::OpenError;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use write::{Job, Shared, Work};

/// A store in one SQLite file.
///
/// A commit that was begun happens even when its future is dropped. An observer that panics stops the writer: what it
/// had to forget could still be trusted, so nothing is committed any more until Portunus is started again.
pub struct SqliteStore {
    // Dropped in this order: the writer closes last, folds the log into the file, and then the lock goes.
    readers: Readers,
    writer: Writer,
    shared: Arc<Shared>,
    _lock: File,
}

impl SqliteStore {
    /// Opens the store at `path`, making it and its directory when they are missing: the directory for its owner only
    /// (0700), the file too (0600). A lock beside the file keeps any second process (or second opening) out, because
    /// its commits would go unseen by the observers of the first.
    ///
    /// # Errors
    /// When the files cannot be made or locked, others may write to the directory, or the file is not a store that this
    /// version can use.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = schema::prepare_files(path)?;
        let (connection, generation) = schema::open_writer(path)?;
        let shared = Arc::new(Shared::new(generation));
        let threads = |error| OpenError::Io { path: path.to_owned(), error };
        let writer = Writer::start(connection, Arc::clone(&shared)).map_err(threads)?;
        let readers = Readers::start(|| schema::open_reader(path), threads)?;
        Ok(Self { readers, writer, shared, _lock: lock })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        let id = id.to_owned();
        self.readers.ask(move |connection| read::get(connection, kind, &id)).await
    }

    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        let page = read::Page {
            parent: query.parent.map(str::to_owned),
            after: query.after.unwrap_or_default().to_owned(),
            limit: query.limit,
            backwards: query.backwards,
        };
        self.readers.ask(move |connection| read::list(connection, kind, &page)).await
    }

    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        self.readers.ask(move |connection| read::count(connection, kind)).await
    }

    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        bounds::check(&batch)?;
        self.writer.ask(Work::Commit(batch)).await
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer.ask(Work::Purge { now, limit }).await
    }

    async fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.shared.generation())
    }

    fn observe(&self, observer: Observer) {
        self.shared.observe(observer);
    }
}

/// The thread that writes, and the way to it.
struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(connection: rusqlite::Connection, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(STORE_QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write::run(connection, &jobs, &shared))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    async fn ask(&self, work: Work) -> Result<u64, StoreError> {
        let (reply, answer) = oneshot::channel();
        enqueue(self.queue.as_ref(), Job { work, reply })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Writer {
    /// Waits until what is queued is committed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has answered nobody, which its callers were told.
            let _ = thread.join();
        }
    }
}

/// Queues a job without waiting: a queue that is full means that the disk does not keep up, and more waiting makes
/// nothing better.
fn enqueue<T>(queue: Option<&SyncSender<T>>, job: T) -> Result<(), StoreError> {
    match queue.map(|queue| queue.try_send(job)) {
        Some(Ok(())) => Ok(()),
        Some(Err(TrySendError::Full(_))) => Err(StoreError::Failed(format!(
            "it is overloaded: {STORE_QUEUE} requests wait already; try again"
        ))),
        Some(Err(TrySendError::Disconnected(_))) | None => Err(stopped()),
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("it has stopped after an earlier fault; restart Portunus".to_owned())
}

/// What the database said, for the operator. SQLite's messages name tables and columns, never values.
fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}
