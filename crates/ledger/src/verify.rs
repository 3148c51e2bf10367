//! The offline verifier: reads a ledger's directory, trusts nothing in it but signatures by the key, and names what is
//! wrong.
//!
//! The hashes of all records lie beside them, and their root is signed. So a record that does not fit its hash is the
//! one that was changed; and whoever changes the hash as well is found by the root.

mod evidence;
mod records;

use crate::checkpoint::{Checkpoint, VerifierKey};
use crate::keys;
use crate::layout::{CHECKPOINT, CHECKPOINTS, Notes};
use crate::recover::is_torn;
use portunus_core::digest::Digest;
use portunus_core::time::Timestamp;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Findings that are listed one by one.
const LISTED: usize = 1000;

/// What a ledger without fault holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Report {
    /// Records.
    pub records: u64,
    /// Those after the last checkpoint, which no signature covers yet.
    pub unsigned: u64,
    /// Signed checkpoints.
    pub checkpoints: u64,
    /// The root of the last checkpoint; keep it elsewhere with its size, and a shortened ledger is found.
    pub root: Option<Digest>,
    /// When the first record was made.
    pub first_at: Option<Timestamp>,
    /// When the last record was made.
    pub last_at: Option<Timestamp>,
    /// Admitted calls whose end is not recorded: they were running when the process was killed, or still run.
    pub intents_without_outcome: u64,
    /// The decisions of the first hundred of them.
    pub open_decisions: Vec<String>,
    /// Records of a kind this version does not know.
    pub unknown: u64,
    /// Bytes of a record that a crash left unfinished; it was never acknowledged.
    pub torn_bytes: u64,
    /// The key came out of the directory itself, so it proves only that the directory agrees with itself.
    pub own_key: bool,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A record is not the one that was signed.
    #[error("{place}: record {seq} was changed")]
    Changed {
        /// Its sequence number.
        seq: u64,
        /// Where it stands.
        place: Place,
    },
    /// Records are gone from the middle.
    #[error("records {first} to {last} are missing")]
    Missing {
        /// The first that is gone.
        first: u64,
        /// The last that is gone.
        last: u64,
    },
    /// Records are gone from the end.
    #[error("the ledger ends after {records} records, but {signed} were signed: records {records} to {last} were cut off", last = signed - 1)]
    Truncated {
        /// How many are left.
        records: u64,
        /// How many there were at least.
        signed: u64,
    },
    /// A record stands behind one that came after it.
    #[error("{place}: record {seq} was moved here")]
    Moved {
        /// Its sequence number.
        seq: u64,
        /// Where it stands.
        place: Place,
    },
    /// A record stands there twice.
    #[error("{place}: record {seq} is repeated here")]
    Repeated {
        /// Its sequence number.
        seq: u64,
        /// Where its repetition stands.
        place: Place,
    },
    /// A line that is no record of this ledger.
    #[error("{place}: this line was put in; it is no record of this ledger")]
    Foreign {
        /// Where it stands.
        place: Place,
    },
    /// Records and their hashes agree with each other but not with what was signed.
    #[error("one or more of the records {first} to {last} were changed together with their hashes")]
    Root {
        /// The first that may have been changed.
        first: u64,
        /// The last that may have been changed.
        last: u64,
    },
    /// The records are those that were signed, but the file of hashes is not.
    #[error(
        "{file}: damaged from record {seq} on; the records themselves are as signed, so the ledger rebuilds it"
    )]
    Evidence {
        /// The file of hashes.
        file: PathBuf,
        /// The first record it does not fit, as far as can be told.
        seq: u64,
    },
    /// A checkpoint is not whole, or not signed by the key.
    #[error("{place}: {why}")]
    Checkpoint {
        /// Where it starts.
        place: Place,
        /// Why it does not count.
        why: String,
    },
    /// Two signed checkpoints contradict each other: the key signed two histories.
    #[error("{place}: the key signed another history for the first {size} records")]
    Fork {
        /// Where the checkpoint starts that does not fit the last one.
        place: Place,
        /// Its size.
        size: u64,
    },
    /// There are records, and nothing signed.
    #[error("{0}: no signed checkpoint covers these records")]
    Unsigned(PathBuf),
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// There are more than are listed.
    #[error("and {0} more")]
    More(u64),
}

impl Finding {
    fn seq(&self) -> u64 {
        match self {
            Self::Changed { seq, .. } | Self::Moved { seq, .. } | Self::Repeated { seq, .. } => *seq,
            Self::Missing { first, .. } | Self::Root { first, .. } => *first,
            Self::Truncated { records, .. } => *records,
            _ => u64::MAX,
        }
    }
}

/// Verifies the ledger in `dir` with `key`, or with the one that lies there. `kept` are checkpoints, as signed notes,
/// that were kept elsewhere: a ledger that is shorter than one of them, or another one, is found by it.
///
/// A ledger that is being written can be verified.
///
/// # Errors
/// What is wrong, by record.
pub fn verify(dir: &Path, key: Option<&VerifierKey>, kept: &[String]) -> Result<Report, Vec<Finding>> {
    let mut findings = Findings::default();
    let own_key = key.is_none();
    let key = match key.cloned().map_or_else(|| keys::verifier(dir), Ok) {
        Ok(key) => key,
        Err(error) => {
            return Err(vec![Finding::Unreadable { path: dir.to_owned(), error: error.to_string() }]);
        }
    };
    let mut report = Report { own_key, ..Report::default() };
    let mut signed = signed_checkpoints(dir, &key, &mut report, &mut findings);
    for (number, note) in (1..).zip(kept) {
        let place = Place { file: PathBuf::from("kept checkpoint"), line: number };
        signed.extend(open_note(&key, note.as_bytes(), place, &mut findings));
    }
    signed.sort_by_key(|signed| signed.checkpoint.size);
    report.root = signed.last().map(|last| last.checkpoint.root);
    if let Err((path, error)) = check_records(dir, &signed, &mut report, &mut findings) {
        findings.add(Finding::Unreadable { path, error: error.to_string() });
    }
    findings.finish().map(|()| report)
}

/// A checkpoint whose signature fits.
struct Signed {
    checkpoint: Checkpoint,
    place: Place,
}

fn check_records(
    dir: &Path,
    signed: &[Signed],
    report: &mut Report,
    findings: &mut Findings,
) -> Result<(), (PathBuf, io::Error)> {
    let evidence = evidence::check(dir, signed, findings)?;
    let mut from_records = Findings::default();
    let read = records::check(dir, signed, &evidence, report, &mut from_records)?;
    if let (Some(seq), true) = (evidence.damaged_at, read.as_signed) {
        // The records decide: then what does not fit the hashes is the hashes' fault.
        findings.add(Finding::Evidence { file: evidence.path, seq });
        return Ok(());
    }
    if let Some(range) = read.contradicted.filter(|_| evidence.damaged_at.is_some()) {
        findings.add(Finding::Root { first: range.start, last: range.end.saturating_sub(1) });
    }
    findings.append(from_records);
    if signed.is_empty() && report.records > 0 && findings.is_empty() {
        findings.add(Finding::Unsigned(dir.to_owned()));
    }
    Ok(())
}

/// All checkpoints in the directory that are signed by the key. The last one of the history may be torn: a crash does
/// that, or the writer is just writing it.
fn signed_checkpoints(
    dir: &Path,
    key: &VerifierKey,
    report: &mut Report,
    findings: &mut Findings,
) -> Vec<Signed> {
    let mut signed = Vec::new();
    for name in [CHECKPOINTS, CHECKPOINT] {
        let path = dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                findings.add(Finding::Unreadable { path, error: error.to_string() });
                continue;
            }
        };
        let mut notes = Notes::new(BufReader::new(file)).peekable();
        while let Some(note) = notes.next() {
            match note {
                Ok((_, note)) if name == CHECKPOINTS && notes.peek().is_none() && is_torn(&note) => {}
                Ok((line, note)) => {
                    let place = Place { file: path.clone(), line };
                    signed.extend(open_note(key, &note, place, findings));
                }
                Err(error) => {
                    findings.add(Finding::Unreadable { path: path.clone(), error: error.to_string() });
                    break;
                }
            }
        }
        if name == CHECKPOINTS {
            report.checkpoints = signed.len() as u64;
        }
    }
    signed
}

fn open_note(key: &VerifierKey, note: &[u8], place: Place, findings: &mut Findings) -> Option<Signed> {
    match key.open(&String::from_utf8_lossy(note)) {
        Ok(checkpoint) => Some(Signed { checkpoint, place }),
        Err(error) => {
            findings.add(Finding::Checkpoint { place, why: error.to_string() });
            None
        }
    }
}

/// Findings, of which a bounded number is kept.
#[derive(Default)]
struct Findings {
    listed: Vec<Finding>,
    more: u64,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        if self.listed.len() < LISTED {
            self.listed.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn append(&mut self, other: Self) {
        self.more += other.more;
        for finding in other.listed {
            self.add(finding);
        }
    }

    fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.more == 0
    }

    fn finish(mut self) -> Result<(), Vec<Finding>> {
        if self.is_empty() {
            return Ok(());
        }
        self.listed.sort_by_key(Finding::seq);
        if self.more > 0 {
            self.listed.push(Finding::More(self.more));
        }
        Err(self.listed)
    }
}
