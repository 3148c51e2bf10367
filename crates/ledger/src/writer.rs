//! What the writer thread does to the files: batches, checkpoints, new segments, and getting up again after an error.
//! Each field moves on only once what it says is durable, so that after an error everything behind it can be cut.

use crate::checkpoint::{ExtensionLine, SigningKey};
use crate::disk::{Disk, DiskFile};
use crate::layout::{CHECKPOINT, CHECKPOINTS, HASHES, NODE_BYTES, Segment};
use crate::merkle::{Frontier, leaf_hash, stored_count};
use crate::recover::Opened;
use crate::{Options, entry};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of zeros laid out ahead: with them, making a batch durable changes no metadata of the file system, which takes
/// about a third less time.
const AHEAD_BYTES: u64 = 1024 * 1024;
/// Bytes of the buffer kept between batches.
const BUFFER_BYTES: usize = 1024 * 1024;

pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: SigningKey,
    rotate_bytes: u64,

    records: Box<dyn DiskFile>,
    segment: Segment,
    /// Bytes of durable records in the segment, and of zeros laid out after them.
    offset: u64,
    ahead: u64,
    /// The tree over all durable records.
    frontier: Frontier,

    hashes: Box<dyn DiskFile>,
    /// For how many records the file of hashes is durable, and the nodes after those.
    hashed: u64,
    nodes: Vec<u8>,

    history: Box<dyn DiskFile>,
    history_bytes: u64,
    signed: u64,

    buffer: Vec<u8>,
}

impl Writer {
    /// Goes on where the ledger was left: cuts what was not whole, and signs what no checkpoint covers. A new ledger is
    /// signed while it is empty, so that one without any checkpoint has been tampered with.
    pub(crate) fn new(options: Options, opened: Opened) -> io::Result<Self> {
        let Options { dir, key, rotate_bytes, disk, .. } = options;
        let records = disk.open(&opened.segment.path)?;
        let hashes = disk.open(&dir.join(HASHES))?;
        let history = disk.open(&dir.join(CHECKPOINTS))?;
        let mut writer = Self {
            disk,
            dir,
            key,
            rotate_bytes,
            records,
            segment: opened.segment,
            offset: opened.offset,
            ahead: 0,
            frontier: opened.frontier,
            hashes,
            hashed: opened.hashed,
            nodes: opened.nodes,
            history,
            history_bytes: opened.history_bytes,
            signed: opened.signed,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        };
        writer.store_hashes()?;
        writer.cut()?;
        writer.checkpoint(&[])?;
        writer.lay_ahead()?;
        Ok(writer)
    }

    /// How many records are durable.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// How many of them the last checkpoint covers.
    pub(crate) fn signed(&self) -> u64 {
        self.signed
    }

    /// Writes records, given as JSON texts, and returns once they are durable; the first one's sequence number.
    pub(crate) fn commit<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
        let known_nodes = self.nodes.len();
        let frontier = self.stage(records);
        let written = self.write_batch();
        self.buffer.shrink_to(BUFFER_BYTES);
        if let Err(error) = written {
            self.nodes.truncate(known_nodes);
            return Err(error);
        }
        let first = self.frontier.size();
        self.frontier = frontier;
        Ok(first)
    }

    /// Puts the lines into the buffer and their nodes behind the known ones; the tree as it will be.
    fn stage<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> Frontier {
        let mut frontier = self.frontier.clone();
        self.buffer.clear();
        for json in records {
            let start = self.buffer.len();
            entry::write_line(&mut self.buffer, frontier.size(), json);
            let leaf = leaf_hash(self.buffer.get(start..).unwrap_or_default());
            frontier.push(leaf, |node| self.nodes.extend_from_slice(&node.0));
            self.buffer.push(b'\n');
        }
        frontier
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.records.write_at(self.offset, &self.buffer)?;
        self.records.sync()?;
        self.offset += self.buffer.len() as u64;
        Ok(())
    }

    /// Signs the tree over all durable records, unless that is done. The evidence is durable before the signature, and
    /// the history before the latest checkpoint.
    pub(crate) fn checkpoint(&mut self, extensions: &[ExtensionLine]) -> io::Result<()> {
        let size = self.frontier.size();
        if size == self.signed && self.history_bytes > 0 {
            return Ok(());
        }
        self.store_hashes()?;
        let note = self.key.sign(size, self.frontier.root(), extensions);
        self.history.write_at(self.history_bytes, note.as_bytes())?;
        self.history.sync()?;
        self.history_bytes += note.len() as u64;

        self.disk.replace(&self.dir.join(CHECKPOINT), note.as_bytes())?;
        self.signed = size;
        Ok(())
    }

    fn store_hashes(&mut self) -> io::Result<()> {
        self.hashes.write_at(stored_count(self.hashed) * NODE_BYTES, &self.nodes)?;
        self.hashes.sync()?;
        self.hashed = self.frontier.size();
        self.nodes.clear();
        self.nodes.shrink_to(BUFFER_BYTES);
        Ok(())
    }

    /// Whether few zeros are left to write over.
    pub(crate) fn is_short_of_zeros(&self) -> bool {
        self.ahead.saturating_sub(self.offset) < AHEAD_BYTES / 4 && self.ahead < self.rotate_bytes
    }

    /// Lays out zeros behind the records.
    pub(crate) fn lay_ahead(&mut self) -> io::Result<()> {
        let zeros = self.rotate_bytes.saturating_sub(self.offset).min(AHEAD_BYTES);
        self.buffer.clear();
        self.buffer.resize(usize::try_from(zeros).unwrap_or(0), 0);
        self.records.write_at(self.offset, &self.buffer)?;
        self.records.sync()?;
        self.ahead = self.offset + zeros;
        Ok(())
    }

    /// Whether the segment is full.
    pub(crate) fn is_full(&self) -> bool {
        self.offset >= self.rotate_bytes
    }

    /// Goes on in a new segment.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        self.trim()?;
        let segment = Segment::starting(&self.dir, self.frontier.size());
        let records = self.disk.open(&segment.path)?;
        (self.records, self.segment, self.offset, self.ahead) = (records, segment, 0, 0);
        self.lay_ahead()
    }

    /// Takes the zeros off the end of the segment.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        self.ahead = self.offset;
        self.records.set_len(self.offset)?;
        self.records.sync()
    }

    /// After an error: opens the files again, cuts what was not acknowledged, and proves by laying out zeros that the
    /// disk takes data again.
    pub(crate) fn recover(&mut self) -> io::Result<()> {
        self.records = self.disk.open(&self.segment.path)?;
        self.hashes = self.disk.open(&self.dir.join(HASHES))?;
        self.history = self.disk.open(&self.dir.join(CHECKPOINTS))?;
        self.cut()?;
        self.lay_ahead()
    }

    fn cut(&mut self) -> io::Result<()> {
        self.trim()?;
        self.hashes.set_len(stored_count(self.hashed) * NODE_BYTES)?;
        self.hashes.sync()?;
        self.history.set_len(self.history_bytes)?;
        self.history.sync()
    }
}
