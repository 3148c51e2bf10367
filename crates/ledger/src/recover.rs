//! Opening a ledger that may have been left in the middle of a write.
//!
//! The writer lays out zeros ahead and writes lines over them, so what a crash or a power cut leaves behind the last
//! durable record is a line with a NUL in it or without an end: it was never acknowledged and is cut. Anything else that
//! is wrong, and anything missing that a checkpoint covers, is damage: then the ledger does not open.

use crate::checkpoint::{Checkpoint, NOTE_BYTES, VerifierKey};
use crate::disk::{owner_only, sync_parent};
use crate::entry;
use crate::keys::KeyError;
use crate::layout::{CHECKPOINT, CHECKPOINTS, HASHES, Hashes, LineKind, Lines, Notes, Segment, segments};
use crate::merkle::{Frontier, leaf_hash};
use portunus_core::digest::Digest;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes at the end of the history that are read: several notes.
const HISTORY_BYTES: u64 = 4 * NOTE_BYTES as u64;

/// Why a ledger does not open. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The public key could not be laid into the directory.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another process writes this ledger.
    #[error("{0}: another process has this ledger open; stop it first")]
    Locked(PathBuf),
    /// Something is wrong that no crash explains.
    #[error(
        "{place}: {what}; run `portunus audit verify` for the whole picture, \
         then restore a backup or move the directory away to start a new ledger"
    )]
    Damaged {
        /// File, with line where there is one.
        place: String,
        /// What.
        what: String,
    },
}

/// Where the writer goes on.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The segment to write to.
    pub(crate) segment: Segment,
    /// Bytes of whole records in it.
    pub(crate) offset: u64,
    /// The tree over all records.
    pub(crate) frontier: Frontier,
    /// For how many records the file of hashes can be relied on.
    pub(crate) hashed: u64,
    /// The stored nodes after those.
    pub(crate) nodes: Vec<u8>,
    /// How many records the last checkpoint covers.
    pub(crate) signed: u64,
    /// Bytes of whole notes in the history.
    pub(crate) history_bytes: u64,
    /// Bytes behind the last whole record, or whole note, that must be cut.
    pub(crate) torn_bytes: u64,
}

/// Reads what the writer must know, and checks the records since the start of the last segment against the last
/// checkpoint. Removes a last segment that holds no record.
pub(crate) fn open(dir: &Path, key: &VerifierKey) -> Result<Opened, OpenError> {
    let (anchor, history_bytes) = anchor(dir, key)?;
    let mut segments = segments(dir).map_err(|error| io_error(dir, error))?;
    if segments.len() > 1
        && let Some(last) = segments.last()
        && !holds_records(&last.path)?
    {
        std::fs::remove_file(&last.path).map_err(|error| io_error(&last.path, error))?;
        segments.pop();
    }
    let signed = anchor.as_ref().map_or(0, |anchor| anchor.size);
    let recent = segments.iter().rposition(|segment| segment.first <= signed).unwrap_or(0);
    let from_recent = segments.get(recent..).unwrap_or_default();
    let first = from_recent.first().map_or(0, |segment| segment.first);
    let mut nodes = Vec::new();
    let stored = stored_frontier(dir, first);
    let mut replay = match &stored {
        Some(frontier) => Replay::run(from_recent, frontier.clone(), signed, &mut nodes)?,
        None => Replay::default(),
    };
    let mut hashed = first;
    if !replay.fits(anchor.as_ref()) {
        // The file of hashes may be what is wrong: the records alone decide.
        nodes.clear();
        replay = rebuild(dir, &segments, anchor.as_ref())?;
        hashed = replay.frontier.size();
    }
    Ok(Opened {
        segment: segments.last().cloned().unwrap_or_else(|| Segment::starting(dir, 0)),
        offset: replay.offset,
        frontier: replay.frontier,
        hashed,
        nodes,
        signed,
        history_bytes,
        torn_bytes: replay.torn_bytes,
    })
}

/// The last checkpoint, and how many bytes of the history are whole notes.
fn anchor(dir: &Path, key: &VerifierKey) -> Result<(Option<Checkpoint>, u64), OpenError> {
    let path = dir.join(CHECKPOINTS);
    let failed = |error| io_error(&path, error);
    let (start, bytes) = read_end(&path).map_err(failed)?;
    let mut whole = bytes.len();
    let mut notes = Notes::new(bytes.as_slice()).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    if let Some((_, torn)) = notes.pop_if(|(_, note)| is_torn(note)) {
        whole -= torn.len();
    }
    let last = notes.last().map(|(_, note)| key.open(&String::from_utf8_lossy(note))).transpose();
    let history = last.map_err(|error| damaged(path.display(), format!("the last checkpoint: {error}")))?;

    let path = dir.join(CHECKPOINT);
    let latest = match std::fs::read_to_string(&path) {
        Ok(note) => Some(key.open(&note).map_err(|error| damaged(path.display(), error.to_string()))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error(&path, error)),
    };
    let (in_history, size) = (size_of(history.as_ref()), size_of(latest.as_ref()));
    if size > in_history {
        let what = format!("it ends at {in_history} records, but `{CHECKPOINT}` covers {size}");
        return Err(damaged(dir.join(CHECKPOINTS).display(), what));
    }
    Ok((history, start + whole as u64))
}

fn size_of(checkpoint: Option<&Checkpoint>) -> u64 {
    checkpoint.map_or(0, |checkpoint| checkpoint.size)
}

/// Whether a crash while it was written explains that the piece is no note.
pub(crate) fn is_torn(piece: &[u8]) -> bool {
    let signature = "\n\n\u{2014} ".as_bytes();
    let signed = piece.windows(signature.len()).any(|window| window == signature);
    !signed || piece.contains(&0) || !piece.ends_with(b"\n")
}

/// The last bytes of a file and where they start; nothing when there is no file.
fn read_end(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(HISTORY_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(HISTORY_BYTES).read_to_end(&mut bytes)?;
    Ok((start, bytes))
}

/// The tree over the first `size` records by the file of hashes; `None` when that does not hold it.
fn stored_frontier(dir: &Path, size: u64) -> Option<Frontier> {
    if size == 0 {
        return Some(Frontier::default());
    }
    let mut hashes = Hashes::open(dir).ok()?;
    Frontier::load(size, &mut |index| hashes.node(index)).ok()
}

/// Reads all records again and writes the file of hashes anew.
fn rebuild(dir: &Path, segments: &[Segment], anchor: Option<&Checkpoint>) -> Result<Replay, OpenError> {
    let temporary = dir.join("hashes.new");
    let rebuilt = rebuild_as(&temporary, dir, segments, anchor);
    if rebuilt.is_err() {
        // The error matters more than a file that the next attempt overwrites.
        let _ = std::fs::remove_file(&temporary);
    }
    rebuilt
}

fn rebuild_as(
    temporary: &Path,
    dir: &Path,
    segments: &[Segment],
    anchor: Option<&Checkpoint>,
) -> Result<Replay, OpenError> {
    let failed = |error| io_error(temporary, error);
    let file = owner_only().create(true).truncate(true).open(temporary).map_err(failed)?;
    let mut hashes = BufWriter::new(file);
    let replay = Replay::run(segments, Frontier::default(), size_of(anchor), &mut hashes)?;
    if !replay.fits(anchor) {
        let (have, want) = (replay.frontier.size(), size_of(anchor));
        let what = if have < want {
            format!("it ends at {have} records, but a signed checkpoint covers {want}")
        } else {
            format!("the first {want} records are not those of the signed checkpoint")
        };
        return Err(damaged(dir.display(), what));
    }
    let file = hashes.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    let path = dir.join(HASHES);
    std::fs::rename(temporary, &path).and_then(|()| sync_parent(&path)).map_err(failed)?;
    Ok(replay)
}

/// What reading records again gave.
#[derive(Debug, Default)]
struct Replay {
    frontier: Frontier,
    /// The root when the tree had the anchor's size.
    root: Option<Digest>,
    offset: u64,
    torn_bytes: u64,
}

impl Replay {
    fn run(
        segments: &[Segment],
        frontier: Frontier,
        anchor: u64,
        nodes: &mut impl Write,
    ) -> Result<Self, OpenError> {
        let mut replay = Self { frontier, ..Self::default() };
        replay.remember_root(anchor);
        for (index, segment) in segments.iter().enumerate() {
            replay.segment(segment, anchor, nodes)?;
            if replay.torn_bytes > 0 && index + 1 < segments.len() {
                let what = format!("it breaks off after record {}", replay.frontier.size());
                return Err(damaged(segment.path.display(), what));
            }
        }
        Ok(replay)
    }

    fn segment(&mut self, segment: &Segment, anchor: u64, nodes: &mut impl Write) -> Result<(), OpenError> {
        let path = &segment.path;
        let failed = |error| io_error(path, error);
        if segment.first != self.frontier.size() {
            let what = format!("it should start with record {}", self.frontier.size());
            return Err(damaged(path.display(), what));
        }
        self.offset = 0;
        let mut lines = Lines::open(path, 0).map_err(failed)?;
        while let Some(kind) = lines.advance().map_err(failed)? {
            if kind == LineKind::Torn {
                let length = std::fs::metadata(path).map_err(failed)?.len();
                self.torn_bytes = length.saturating_sub(self.offset);
                return Ok(());
            }
            let seq = entry::split(lines.line()).map(|(seq, _)| seq);
            if kind == LineKind::TooLong || seq != Some(self.frontier.size()) {
                let place = format!("{}:{}", path.display(), lines.number());
                return Err(damaged(place, format!("this is not record {}", self.frontier.size())));
            }
            let mut written = Ok(());
            self.frontier.push(leaf_hash(lines.line()), |node| {
                if written.is_ok() {
                    written = nodes.write_all(&node.0);
                }
            });
            written.map_err(failed)?;
            self.offset = lines.end();
            self.remember_root(anchor);
        }
        Ok(())
    }

    fn remember_root(&mut self, anchor: u64) {
        if self.frontier.size() == anchor {
            self.root = Some(self.frontier.root());
        }
    }

    fn fits(&self, anchor: Option<&Checkpoint>) -> bool {
        anchor.is_none_or(|anchor| self.root == Some(anchor.root))
    }
}

fn holds_records(path: &Path) -> Result<bool, OpenError> {
    let mut lines = Lines::open(path, 0).map_err(|error| io_error(path, error))?;
    let kind = lines.advance().map_err(|error| io_error(path, error))?;
    Ok(!matches!(kind, None | Some(LineKind::Torn)))
}

fn damaged(place: impl ToString, what: String) -> OpenError {
    OpenError::Damaged { place: place.to_string(), what }
}

pub(crate) fn io_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error }
}
