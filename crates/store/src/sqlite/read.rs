//! The threads that read, and what they ask.

use super::{OpenError, enqueue, failed, stopped};
use futures_channel::oneshot;
use portunus_core::limits::{PAGE_DOCUMENTS, STORE_QUEUE};
use portunus_core::store::{Entry, Kind, StoreError};
use portunus_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Reads are look-ups by key in pages that are cached: a few threads saturate any machine.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Threads with a connection each that take reads from one queue.
pub(super) struct Readers {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts the threads; `broken` says what a thread that could not be started means.
    pub(super) fn start(
        open: impl Fn() -> Result<Connection, OpenError>,
        broken: impl Fn(std::io::Error) -> OpenError,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = sync_channel(STORE_QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = Self { queue: Some(queue), threads: Vec::with_capacity(READERS) };
        for _ in 0..READERS {
            let (connection, jobs) = (open()?, Arc::clone(&jobs));
            let thread = std::thread::Builder::new().name("store-reader".to_owned());
            let thread = thread.spawn(move || run(&connection, &jobs)).map_err(&broken)?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs a query on one of the threads. It sees every commit that was acknowledged before.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !reply.is_canceled() {
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(query(connection).map_err(|error| failed(&error)));
            }
        });
        enqueue(self.queue.as_ref(), job)?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting, which is how the next job finds one thread and not four.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}

pub(super) fn get(connection: &Connection, kind: Kind, id: &str) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(
            "SELECT id, version, parent, expires_at, value FROM document WHERE kind = ?1 AND id = ?2",
        )?
        .query_row(params![kind.as_str(), id], entry)
        .optional()
}

/// What a page is to hold.
pub(super) struct Page {
    pub(super) parent: Option<String>,
    /// Empty for the first page.
    pub(super) after: String,
    pub(super) limit: usize,
    pub(super) backwards: bool,
}

/// A page in order of the bytes of the ids.
pub(super) fn list(connection: &Connection, kind: Kind, page: &Page) -> rusqlite::Result<Vec<Entry>> {
    let limit = if page.limit == 0 { PAGE_DOCUMENTS } else { page.limit.min(PAGE_DOCUMENTS) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (kind, after) = (kind.as_str(), &page.after);
    let sql = match (page.parent.is_some(), page.backwards) {
        (true, false) => {
            "SELECT id, version, parent, expires_at, value FROM document
             WHERE kind = ?1 AND id > ?2 AND parent = ?4 ORDER BY id LIMIT ?3"
        }
        (false, false) => {
            "SELECT id, version, parent, expires_at, value FROM document
             WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        }
        (true, true) => {
            "SELECT id, version, parent, expires_at, value FROM document
             WHERE kind = ?1 AND (?2 = '' OR id < ?2) AND parent = ?4 ORDER BY id DESC LIMIT ?3"
        }
        (false, true) => {
            "SELECT id, version, parent, expires_at, value FROM document
             WHERE kind = ?1 AND (?2 = '' OR id < ?2) ORDER BY id DESC LIMIT ?3"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    match &page.parent {
        Some(parent) => statement.query_map(params![kind, after, limit, parent], entry)?.collect(),
        None => statement.query_map(params![kind, after, limit], entry)?.collect(),
    }
}

pub(super) fn count(connection: &Connection, kind: Kind) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM document WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let expires_at: Option<i64> = row.get(3)?;
    Ok(Entry {
        id: row.get(0)?,
        version: row.get::<_, i64>(1)?.unsigned_abs(),
        parent: row.get(2)?,
        expires_at: expires_at.map(|millis| Timestamp::from_millis(millis.unsigned_abs())),
        value: row.get(4)?,
    })
}
