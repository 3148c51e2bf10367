//! What lies in a ledger's directory, and reading its lines.
//!
//! | name | holds |
//! |---|---|
//! | `records/NNNNNNNNNNNNNNNNNNNN.jsonl` | the records from that sequence number on; the one being written ends in zeros |
//! | `hashes` | every complete node of the tree, 32 bytes each, in the order of [`merkle::stored_index`]: the evidence by which a changed record is named; covered by the signed roots |
//! | `checkpoints` | every signed checkpoint, one after the other |
//! | `checkpoint` | the latest one |
//! | `ledger.vkey` | the key that checks them; keep a copy elsewhere |
//! | `signing.key`, `redaction.key` | secrets, for the owner only |
//! | `lock` | held by the one process that writes |

use crate::checkpoint::NOTE_BYTES;
use crate::entry::LINE_BYTES;
use crate::merkle;
use portunus_core::digest::Digest;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub(crate) const RECORDS: &str = "records";
pub(crate) const HASHES: &str = "hashes";
pub(crate) const CHECKPOINTS: &str = "checkpoints";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const VKEY: &str = "ledger.vkey";
pub(crate) const SIGNING_KEY: &str = "signing.key";
pub(crate) const REDACTION_KEY: &str = "redaction.key";
pub(crate) const LOCK: &str = "lock";

/// Bytes of one stored node.
pub(crate) const NODE_BYTES: u64 = 32;

/// One file of records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The sequence number of its first record, by its name.
    pub first: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    /// The segment that starts with this record.
    #[must_use]
    pub fn starting(dir: &Path, first: u64) -> Self {
        Self { first, path: dir.join(RECORDS).join(format!("{first:020}.jsonl")) }
    }
}

/// The segments of a ledger in order. Files of other names are ignored; a missing directory has none.
///
/// # Errors
/// When the directory cannot be read.
pub fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir.join(RECORDS)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jsonl"));
        let digits = name.filter(|name| name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()) {
            found.push(Segment { first, path });
        }
    }
    found.sort();
    Ok(found)
}

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// Ended by a newline, no NUL in it.
    Whole,
    /// The file ends before a newline, or there is a NUL in it: written in part, or the zeros laid out ahead.
    Torn,
    /// Longer than any record; its bytes were dropped.
    TooLong,
}

/// A file of records, line by line; a line's memory is bounded whatever the file holds.
#[derive(Debug)]
pub struct Lines<R = BufReader<File>> {
    reader: R,
    line: Vec<u8>,
    /// Bytes up to the end of the present line.
    end: u64,
    number: u64,
}

impl Lines {
    /// Starts at a byte of a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self::new(BufReader::with_capacity(256 * 1024, file), offset))
    }
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, offset: u64) -> Self {
        Self { reader, line: Vec::new(), end: offset, number: 0 }
    }

    /// Goes on to the next line; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn advance(&mut self) -> io::Result<Option<LineKind>> {
        let longest = LINE_BYTES as u64;
        self.line.clear();
        let read = self.reader.by_ref().take(longest).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.end += read as u64;
        self.number += 1;
        let torn = self.line.contains(&0);
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(Some(if torn { LineKind::Torn } else { LineKind::Whole }));
        }
        if (read as u64) < longest {
            return Ok(Some(LineKind::Torn));
        }
        let nothing_but_zeros = self.drop_rest()? && self.line.iter().all(|byte| *byte == 0);
        Ok(Some(if nothing_but_zeros { LineKind::Torn } else { LineKind::TooLong }))
    }

    /// The present line without its newline.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The number of the present line among those read, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the present line ends, newline included, in bytes from the start of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Skips to the end of a line that is too long; whether that was zeros up to the end of the file.
    fn drop_rest(&mut self) -> io::Result<bool> {
        let mut zeros = true;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(zeros);
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(buffer.len(), |found| found + 1);
            zeros &= buffer.iter().take(length).all(|byte| *byte == 0);
            self.reader.consume(length);
            self.end += length as u64;
            if newline.is_some() {
                return Ok(false);
            }
        }
    }
}

/// The stored nodes of the tree.
#[derive(Debug)]
pub struct Hashes {
    reader: BufReader<File>,
    at: u64,
    nodes: u64,
}

impl Hashes {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir.join(HASHES))?;
        let nodes = file.metadata()?.len() / NODE_BYTES;
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, file), at: 0, nodes })
    }

    /// How many records' hashes it holds, at most.
    #[must_use]
    pub fn size(&self) -> u64 {
        // A tree of n leaves has between n and 2n nodes; find the largest that fits.
        let (mut low, mut high) = (self.nodes / 2, self.nodes);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if merkle::stored_count(middle) <= self.nodes { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// The node at this place; reading forwards is cheap.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn node(&mut self, index: u64) -> io::Result<Digest> {
        let wanted = index.checked_mul(NODE_BYTES).and_then(|to| i64::try_from(to).ok());
        let wanted = wanted.ok_or(io::ErrorKind::UnexpectedEof)?;
        let here = i64::try_from(self.at).map_err(io::Error::other)?;
        self.reader.seek_relative(wanted - here)?;
        self.at = wanted.unsigned_abs();
        let mut node = [0; 32];
        self.reader.read_exact(&mut node)?;
        self.at += NODE_BYTES;
        Ok(Digest(node))
    }

    /// The leaf of this record.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn leaf(&mut self, seq: u64) -> io::Result<Digest> {
        self.node(merkle::stored_index(0, seq))
    }
}

/// The notes in `checkpoints`, each with the number of its first line, from 1. What is not a whole note comes out as a
/// piece that no key opens.
pub(crate) struct Notes<R> {
    reader: R,
    /// The line that was read last and belongs to the next note.
    ahead: Vec<u8>,
    lines: u64,
}

impl<R: BufRead> Notes<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, ahead: Vec::new(), lines: 0 }
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.by_ref().take(NOTE_BYTES as u64).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn read_note(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut note = std::mem::take(&mut self.ahead);
        if note.is_empty() {
            note = self.read_line()?;
        }
        if note.is_empty() {
            return Ok(None);
        }
        let first_line = self.lines + 1;
        let mut signed = false;
        loop {
            self.lines += 1;
            let line = self.read_line()?;
            let is_signature = line.starts_with("\u{2014}".as_bytes());
            if line.is_empty() || (signed && !is_signature) || note.len() > NOTE_BYTES {
                self.ahead = line;
                return Ok(Some((first_line, note)));
            }
            signed = is_signature;
            note.extend_from_slice(&line);
        }
    }
}

impl<R: BufRead> Iterator for Notes<R> {
    type Item = io::Result<(u64, Vec<u8>)>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read_note().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(LineKind, Vec<u8>, u64)> {
        let mut lines = Lines::new(bytes, 0);
        let mut found = Vec::new();
        while let Some(kind) = lines.advance().unwrap() {
            found.push((kind, lines.line().to_vec(), lines.end()));
        }
        found
    }

    #[test]
    fn lines_are_told_apart_from_torn_ones_and_zeros() {
        use LineKind::{Torn, Whole};
        assert_eq!(
            lines(b"ab\n\nc\0d\nef"),
            [
                (Whole, b"ab".to_vec(), 3),
                (Whole, b"".to_vec(), 4),
                (Torn, b"c\0d".to_vec(), 8),
                (Torn, b"ef".to_vec(), 10)
            ]
        );
        let mut ahead = b"ab\n".to_vec();
        ahead.resize(300_000, 0);
        let found = lines(&ahead);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].0, found[1].2), (Torn, 300_000));
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut long = vec![b'x'; 3 * LINE_BYTES];
        long.extend_from_slice(b"\nab\n");
        let found = lines(&long);
        assert_eq!(found[0].0, LineKind::TooLong);
        assert!(found[0].1.len() <= LINE_BYTES);
        assert_eq!(found[1], (LineKind::Whole, b"ab".to_vec(), long.len() as u64));
    }

    #[test]
    fn notes_are_cut_apart_at_their_signatures() {
        let text = "a\n1\nr\n\n\u{2014} a x\nb\n2\nr\n\n\u{2014} b x\n\u{2014} c x\ntorn\n";
        let found: Vec<_> = Notes::new(text.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 6, 12]);
        assert_eq!(found.into_iter().flat_map(|(_, note)| note).collect::<Vec<_>>(), text.as_bytes());
        assert_eq!(Notes::new(&b""[..]).count(), 0);
        let endless = vec![b'x'; 10 * NOTE_BYTES];
        assert!(Notes::new(&endless[..]).all(|note| note.unwrap().1.len() <= 2 * NOTE_BYTES));
    }

    #[test]
    fn a_file_of_hashes_knows_for_how_many_records_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for records in 0..200 {
            let bytes = merkle::stored_count(records) * NODE_BYTES;
            std::fs::write(dir.path().join(HASHES), vec![0; bytes as usize]).unwrap();
            assert_eq!(Hashes::open(dir.path()).unwrap().size(), records);
        }
    }
}
