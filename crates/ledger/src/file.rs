//! The ledger in a directory: one thread writes, in groups. While one group is being made durable the next one gathers,
//! so the cost of a disk flush is shared by everyone who waits.
//!
//! After an error of the disk nothing is admitted: every waiting and every further record fails at once. The thread then
//! tries each second to cut what was not acknowledged and to go on.

use crate::checkpoint::{ExtensionLine, SigningKey};
use crate::disk::{Disk, RealDisk, create_dir};
use crate::layout::{LOCK, RECORDS};
use crate::recover::{self, OpenError, io_error};
use crate::writer::Writer;
use crate::{entry, keys};
use portunus_core::limits::{LEDGER_QUEUE, LEDGER_QUEUE_BYTES};
use portunus_core::record::{Ledger, LedgerError, Receipt, ReceiptSender, Record};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a record that nobody waits for may wait for company.
const LATER: Duration = Duration::from_millis(50);
/// How long a batch gathers when several are waiting anyway: far fewer flushes for a little time of each.
const GATHER: Duration = Duration::from_micros(200);

/// How a ledger is kept.
pub struct Options {
    /// Its directory, for it alone.
    pub dir: PathBuf,
    /// Signs its checkpoints.
    pub key: SigningKey,
    /// Bytes of a segment after which a new one is begun. Opening reads one segment again.
    pub rotate_bytes: u64,
    /// Records after which a checkpoint is signed.
    pub checkpoint_records: u64,
    /// Time after which a checkpoint is signed, when there are new records.
    pub checkpoint_interval: Duration,
    /// Time between two attempts to go on after an error.
    pub retry_interval: Duration,
    /// Where it writes.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// 16 MiB a segment; a checkpoint each 4,096 records and each 10 s; a new attempt each second.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, key: SigningKey) -> Self {
        Self {
            dir: dir.into(),
            key,
            rotate_bytes: 16 * 1024 * 1024,
            checkpoint_records: 4096,
            checkpoint_interval: Duration::from_secs(10),
            retry_interval: Duration::from_secs(1),
            disk: Arc::new(RealDisk),
        }
    }
}

/// How the ledger is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records waiting, those being written now included.
    pub queued: usize,
    /// How long the oldest of them has waited.
    pub lag: Duration,
    /// Durable records.
    pub records: u64,
    /// How many of them a checkpoint covers.
    pub signed: u64,
    /// Batches made durable since it was opened.
    pub commits: u64,
    /// Time the last of them took.
    pub last_commit: Duration,
    /// Bytes that were cut when it was opened: what a crash left of records that were never acknowledged.
    pub torn_bytes: u64,
    /// Why nothing is admitted at present.
    pub failure: Option<String>,
}

/// The ledger in a directory. Dropping it makes everything durable that was appended, and signs a checkpoint.
#[derive(Debug)]
pub struct FileLedger {
    dir: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger for FileLedger {
    fn append(&self, record: Record) -> Receipt {
        // Here and not in the writer: callers have many threads, the writer has one.
        match entry::encode(&record).and_then(|json| self.shared.push(json)) {
            Ok(receipt) => receipt,
            Err(error) => Receipt::failed(error),
        }
    }

    fn append_later(&self, record: Record) {
        // Nobody waits to hear that it failed; the next record that somebody waits for fails too.
        let _ = entry::encode(&record).and_then(|json| self.shared.push_later(json));
    }
}

impl FileLedger {
    /// Opens the ledger, making the directory at the first time. Only one process may have it open.
    ///
    /// # Errors
    /// When the disk refuses, when another process has it, or when it is damaged.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        create_dir(&options.dir.join(RECORDS)).map_err(|error| io_error(&options.dir, error))?;
        let lock = lock(&options.dir.join(LOCK))?;
        let opened = recover::open(&options.dir, options.key.verifier())?;
        keys::publish(&options.dir, options.key.verifier())?;
        let retry_interval = options.retry_interval;
        let (records, interval) = (options.checkpoint_records, options.checkpoint_interval);
        let (torn_bytes, dir) = (opened.torn_bytes, options.dir.clone());
        let writer = Writer::new(options, opened).map_err(|error| io_error(&dir, error))?;
        let shared = Arc::new(Shared::default());
        shared.lock().stats =
            Stats { records: writer.size(), signed: writer.signed(), torn_bytes, ..Stats::default() };
        let mut turn = Turn {
            shared: Arc::clone(&shared),
            writer,
            dir: dir.clone(),
            sign: false,
            checkpoint_records: records,
            checkpoint_interval: interval,
            retry_interval,
            unsigned_since: None,
            busy: false,
            batch: Vec::new(),
            _lock: lock,
        };
        let thread = std::thread::Builder::new().name("portunus-ledger".into()).spawn(move || turn.run());
        let thread = thread.map_err(|error| io_error(&dir, error))?;
        Ok(Self { dir, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Signs a checkpoint over everything durable soon, without waiting for its time; [`Stats::signed`] says when it is done.
    pub fn sign(&self) {
        self.shared.lock().sign = true;
        self.shared.wake.notify_all();
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        let lag = state.oldest.map_or(Duration::ZERO, |since| since.elapsed());
        Stats { queued: state.queue.len() + state.writing, lag, ..state.stats.clone() }
    }

    /// Further lines for the checkpoints from now on, such as the store's generation.
    pub fn set_extensions(&self, lines: Vec<ExtensionLine>) {
        self.shared.lock().extensions = lines;
    }

    /// Makes everything durable that was appended, signs a checkpoint and stops; further records fail. Blocks.
    pub fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panicked writer has failed all receipts already.
            let _ = thread.join();
        }
    }
}

impl Drop for FileLedger {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| io_error(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(io_error(path, error)),
    }
}

/// What callers and the writer share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Waiting>,
    /// Those in the queue that somebody waits for.
    awaited: usize,
    /// The writer sleeps without a look at the clock: even a record that nobody waits for must wake it.
    dozing: bool,
    queue_bytes: usize,
    /// Records the writer has taken and not yet made durable.
    writing: usize,
    writing_bytes: usize,
    /// When the oldest waiting record came.
    oldest: Option<Instant>,
    /// When the oldest record behind the batch being written came.
    oldest_queued: Option<Instant>,
    extensions: Vec<ExtensionLine>,
    /// Somebody wants a checkpoint now.
    sign: bool,
    closing: bool,
    stopped: bool,
    stats: Stats,
}

#[derive(Debug)]
struct Waiting {
    json: Vec<u8>,
    /// `None`: nobody waits for it.
    receipt: Option<ReceiptSender>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, json: Vec<u8>) -> Result<Receipt, LedgerError> {
        let (sender, receipt) = Receipt::pair();
        let mut state = self.lock();
        state.enter(json, Some(sender))?;
        state.awaited += 1;
        let first = state.awaited == 1;
        drop(state);
        if first {
            self.wake.notify_one();
        }
        Ok(receipt)
    }

    fn push_later(&self, json: Vec<u8>) -> Result<(), LedgerError> {
        let mut state = self.lock();
        state.enter(json, None)?;
        let dozing = state.dozing;
        drop(state);
        if dozing {
            self.wake.notify_one();
        }
        Ok(())
    }
}

impl State {
    fn enter(&mut self, json: Vec<u8>, receipt: Option<ReceiptSender>) -> Result<(), LedgerError> {
        if self.closing || self.stopped {
            return Err(LedgerError::Stopped);
        }
        if let (Some(failure), Some(_)) = (&self.stats.failure, &receipt) {
            return Err(LedgerError::Io(failure.clone()));
        }
        let bytes = self.queue_bytes + self.writing_bytes + json.len();
        if self.queue.len() + self.writing >= LEDGER_QUEUE || bytes > LEDGER_QUEUE_BYTES {
            return Err(LedgerError::Full);
        }
        self.keep(Waiting { json, receipt });
        Ok(())
    }

    fn keep(&mut self, waiting: Waiting) {
        if self.queue.is_empty() {
            let now = Instant::now();
            self.oldest_queued = Some(now);
            self.oldest.get_or_insert(now);
        }
        self.queue_bytes += waiting.json.len();
        self.queue.push(waiting);
    }

    /// Whether the queue should be written now.
    fn is_due(&self) -> bool {
        let old = || self.oldest_queued.is_some_and(|since| since.elapsed() >= LATER);
        !self.queue.is_empty() && (self.awaited > 0 || self.closing || old())
    }
}

/// The writer thread.
struct Turn {
    shared: Arc<Shared>,
    writer: Writer,
    dir: PathBuf,
    /// Somebody wants a checkpoint now.
    sign: bool,
    checkpoint_records: u64,
    checkpoint_interval: Duration,
    retry_interval: Duration,
    /// When the first record after the last checkpoint became durable.
    unsigned_since: Option<Instant>,
    /// The last batch had several records that somebody waited for: the next one will, given a moment.
    busy: bool,
    batch: Vec<Waiting>,
    _lock: File,
}

impl Turn {
    fn run(&mut self) {
        while self.take() {
            if !self.batch.is_empty() && !self.commit() {
                continue;
            }
            let done = self.after_commit();
            self.report(done);
        }
        let extensions = self.shared.lock().extensions.clone();
        let done = self.writer.checkpoint(&extensions).and_then(|()| self.writer.trim());
        self.report(done);
    }

    /// Waits for something to do and takes everything that waits; false when the ledger closes and all is done.
    fn take(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let mut rested = false;
        loop {
            if state.stats.failure.is_some() {
                let closing = self.wait_out_failure(state);
                if closing {
                    return false;
                }
                state = shared.lock();
                continue;
            }
            if state.is_due() {
                if self.busy && !state.closing {
                    drop(state);
                    std::thread::sleep(GATHER);
                    state = shared.lock();
                }
                std::mem::swap(&mut state.queue, &mut self.batch);
                self.busy = std::mem::take(&mut state.awaited) > 1;
                state.writing = self.batch.len();
                state.writing_bytes = std::mem::take(&mut state.queue_bytes);
                state.oldest = state.oldest_queued.take();
                return true;
            }
            if state.closing {
                return false;
            }
            if std::mem::take(&mut state.sign) {
                self.sign = true;
                return true;
            }
            let checkpoint =
                self.unsigned_since.map(|since| self.checkpoint_interval.saturating_sub(since.elapsed()));
            if checkpoint == Some(Duration::ZERO) {
                return true;
            }
            // After a batch, records that nobody waits for are likely: look again soon, then doze.
            let soon = if state.queue.is_empty() && rested { None } else { Some(LATER) };
            state.dozing = soon.is_none();
            state = match soon.into_iter().chain(checkpoint).min() {
                Some(left) => shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.dozing = false;
            rested = true;
        }
    }

    /// Makes the batch durable and resolves its receipts in order; whether that worked.
    fn commit(&mut self) -> bool {
        let start = Instant::now();
        let committed = self.writer.commit(self.batch.iter().map(|waiting| waiting.json.as_slice()));
        let mut state = self.shared.lock();
        (state.writing, state.writing_bytes, state.oldest) = (0, 0, state.oldest_queued);
        match committed {
            Ok(first) => {
                state.stats.records = self.writer.size();
                state.stats.commits += 1;
                state.stats.last_commit = start.elapsed();
                drop(state);
                for (waiting, seq) in self.batch.drain(..).zip(first..) {
                    // Whoever no longer waits does not want to know.
                    if let Some(receipt) = waiting.receipt {
                        let _ = receipt.send(Ok(seq));
                    }
                }
                self.unsigned_since.get_or_insert(start);
                true
            }
            Err(error) => {
                drop(state);
                self.report(Err(error));
                false
            }
        }
    }

    /// What is due and nobody waits for: a checkpoint, a new segment, more zeros.
    fn after_commit(&mut self) -> io::Result<()> {
        let unsigned = self.writer.size() - self.writer.signed();
        let late = self.unsigned_since.is_some_and(|since| since.elapsed() >= self.checkpoint_interval);
        let full = self.writer.is_full();
        if full || late || std::mem::take(&mut self.sign) || unsigned >= self.checkpoint_records {
            let extensions = self.shared.lock().extensions.clone();
            self.writer.checkpoint(&extensions)?;
            self.unsigned_since = None;
            self.shared.lock().stats.signed = self.writer.signed();
        }
        if full {
            self.writer.rotate()
        } else if self.writer.is_short_of_zeros() {
            self.writer.lay_ahead()
        } else {
            Ok(())
        }
    }

    /// After an error: everyone who waits is told, and nobody else need wait.
    fn report(&mut self, done: io::Result<()>) {
        let mut state = self.shared.lock();
        state.stats.signed = self.writer.signed();
        let Err(error) = done else { return };
        let failure = self.explain(&error);
        state.stats.failure = Some(failure.clone());
        let queued = std::mem::take(&mut state.queue);
        (state.queue_bytes, state.awaited, state.oldest, state.oldest_queued) = (0, 0, None, None);
        let (told, kept): (Vec<_>, Vec<_>) =
            self.batch.drain(..).chain(queued).partition(|waiting| waiting.receipt.is_some());
        // Nobody can ask again for these: they are written when the disk works.
        if !state.closing {
            for waiting in kept {
                state.keep(waiting);
            }
        }
        drop(state);
        for receipt in told.into_iter().filter_map(|waiting| waiting.receipt) {
            let _ = receipt.send(Err(LedgerError::Io(failure.clone())));
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.dir.display())
    }

    /// One pause and one attempt to go on; whether the ledger closes meanwhile.
    fn wait_out_failure(&mut self, state: MutexGuard<'_, State>) -> bool {
        let shared = Arc::clone(&self.shared);
        let waited = shared.wake.wait_timeout_while(state, self.retry_interval, |state| !state.closing);
        drop(waited);
        let recovered = self.writer.recover();
        let mut state = self.shared.lock();
        state.stats.failure = recovered.err().map(|error| self.explain(&error));
        if state.stats.failure.is_none() && self.writer.size() > self.writer.signed() {
            self.unsigned_since.get_or_insert_with(Instant::now);
        }
        state.closing && state.stats.failure.is_some()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        // Dropping the senders tells everyone who waits.
        state.queue.clear();
        state.queue_bytes = 0;
    }
}
