//! What the ledger's tests share: records, a key, and a disk that fails on command.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use futures_executor::block_on;
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::record::{End, Event, Intent, Ledger, LedgerError, Outcome, Record, Verdict};
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_ledger::checkpoint::SigningKey;
use portunus_ledger::disk::{Disk, DiskFile, RealDisk};
use portunus_ledger::entry::Entry;
use portunus_ledger::layout::segments;
use portunus_ledger::read::{Filter, search};
use portunus_ledger::{FileLedger, Options};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

pub fn key() -> SigningKey {
    SigningKey::new("test.example/ledger", &Secret::new([7; 32])).unwrap()
}

pub fn options(dir: &Path) -> Options {
    Options::new(dir, key())
}

pub fn open(dir: &Path) -> FileLedger {
    FileLedger::open(options(dir)).unwrap()
}

pub fn event(number: u64) -> Record {
    Record::Event(Event {
        at: Timestamp::from_millis(1000 + number),
        by: "ana".into(),
        action: "grant.created".into(),
        subject: number.to_string(),
        detail: BTreeMap::new(),
    })
}

pub fn decision(number: u64) -> Id {
    Id::parse(&format!("dec_{number:026}")).unwrap()
}

pub fn intent(number: u64, user: &str, server: &str, verdict: Verdict) -> Record {
    Record::Intent(Box::new(Intent {
        at: Timestamp::from_millis(1000 + number),
        decision: decision(number),
        verdict,
        server: ServerName::parse(server).unwrap(),
        method: "tools/call".into(),
        target: Some("read_query".into()),
        user: UserName::parse(user).unwrap(),
        client: ClientId::parse("chat").unwrap(),
        grant: Id::parse(&format!("grt_{number:026}")).unwrap(),
        arguments_digest: None,
        arguments: Some("{\"limit\":3}".into()),
        policies: vec!["readers".into()],
        reason: None,
        approval: None,
        credential: None,
        connection: None,
        trace: None,
        circumstances: None,
    }))
}

pub fn outcome(number: u64) -> Record {
    Record::Outcome(Outcome {
        at: Timestamp::from_millis(2000 + number),
        decision: decision(number),
        end: End::Done,
        status: Some(200),
        bytes: 5,
        micros: 7,
    })
}

/// Appends and waits.
pub fn append(ledger: &FileLedger, record: Record) -> Result<u64, LedgerError> {
    block_on(ledger.append(record))
}

/// A closed ledger of `count` events in segments of 4 KiB, with a checkpoint each `signed_each` records.
pub fn filled(dir: &Path, count: u64, signed_each: u64) {
    let ledger = FileLedger::open(Options {
        rotate_bytes: 4096,
        checkpoint_records: signed_each,
        checkpoint_interval: Duration::from_secs(3600),
        ..options(dir)
    })
    .unwrap();
    for number in 0..count {
        assert_eq!(append(&ledger, event(number)), Ok(number));
    }
}

pub fn entries(dir: &Path) -> Vec<Entry> {
    search(dir, Filter::default()).unwrap().map(Result::unwrap).collect()
}

/// The subjects of the events in a ledger, after checking that their sequence numbers are without gap.
pub fn subjects(dir: &Path) -> Vec<u64> {
    let subject = |(index, entry): (usize, Entry)| {
        assert_eq!(entry.seq, index as u64);
        match entry.record {
            Record::Event(event) => event.subject.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    entries(dir).into_iter().enumerate().map(subject).collect()
}

pub fn last_segment(dir: &Path) -> PathBuf {
    segments(dir).unwrap().pop().unwrap().path
}

pub fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Tries again until `done` gives something; the condition is waited for, not a time.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::yield_now();
    }
}

/// The file system, with switches.
#[derive(Default)]
pub struct FaultyDisk {
    /// Writes put down half their bytes and fail.
    pub full: AtomicBool,
    /// Flushes fail.
    pub broken: AtomicBool,
    /// Replacing files fails.
    pub stuck: AtomicBool,
    /// Flushes wait.
    pub held: Mutex<bool>,
    pub released: Condvar,
    pub syncs: AtomicU64,
    /// Held for writing while nothing may happen.
    pub frozen: RwLock<()>,
}

impl FaultyDisk {
    pub fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }

    /// A copy of the ledger as a crash between two operations of the disk would leave it.
    pub fn crash(&self, dir: &Path) -> tempfile::TempDir {
        let _frozen = self.frozen.write().unwrap();
        copy(dir)
    }
}

/// The disk that is given to the ledger.
pub struct Handle(pub Arc<FaultyDisk>);

struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: Arc<FaultyDisk>,
}

impl Disk for Handle {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let _running = self.0.frozen.read().unwrap();
        Ok(Box::new(FaultyFile { file: RealDisk.open(path)?, disk: Arc::clone(&self.0) }))
    }
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let _running = self.0.frozen.read().unwrap();
        if self.0.stuck.load(Ordering::SeqCst) {
            return Err(io::Error::other("read-only file system"));
        }
        RealDisk.replace(path, content)
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _running = self.disk.frozen.read().unwrap();
        if self.disk.full.load(Ordering::SeqCst) {
            self.file.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(offset, bytes)
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let _running = self.disk.frozen.read().unwrap();
        self.file.set_len(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut held = self.disk.held.lock().unwrap();
        while *held {
            held = self.disk.released.wait(held).unwrap();
        }
        drop(held);
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        if self.disk.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        self.file.sync()
    }
}
