//! The records of a pack against the hashes beside them, and both against the ledger's tree: which record was changed, moved,
//! taken out or put in.

use super::Proof;
use portunus_core::digest::Digest;
use portunus_ledger::checkpoint::Checkpoint;
use portunus_ledger::entry;
use portunus_ledger::layout::{LineKind, Lines};
use portunus_ledger::merkle::{Frontier, leaf_hash};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Findings that are listed one by one.
const LISTED: usize = 100;

/// The hashes of the records `first..end`, one a line.
pub(super) fn hashes(path: &Path, (first, end): (u64, u64)) -> io::Result<Result<Vec<Digest>, String>> {
    let wanted = end - first;
    let mut hashes = Vec::new();
    let mut lines = Lines::open(path, 0)?;
    while let Some(kind) = lines.advance()? {
        let text = std::str::from_utf8(lines.line()).ok().filter(|_| kind == LineKind::Whole);
        let Some(hash) = text.and_then(|text| Digest::try_from(text.to_owned()).ok()) else {
            return Ok(Err(format!("{}:{}: this is no hash", path.display(), lines.number())));
        };
        hashes.push(hash);
        if hashes.len() as u64 > wanted {
            break;
        }
    }
    if hashes.len() as u64 == wanted {
        return Ok(Ok(hashes));
    }
    Ok(Err(format!("{}: it does not have the hashes of {wanted} records", path.display())))
}

/// Whether the ledger's tree has exactly these leaves from `first` on.
pub(super) fn stand_in_tree(hashes: &[Digest], first: u64, proof: &Proof, checkpoint: &Checkpoint) -> bool {
    let Some(mut frontier) = Frontier::resume(first, proof.before.clone()) else { return false };
    for hash in hashes {
        frontier.push(*hash, |_| ());
    }
    frontier.close(checkpoint.size, &proof.after) == Some(checkpoint.root)
}

/// Compares each line with its hash; names what does not fit. `each` sees the lines that do.
pub(super) fn compare(
    path: &Path,
    first: u64,
    hashes: &[Digest],
    mut each: impl FnMut(&[u8]),
) -> io::Result<Vec<String>> {
    let places: HashMap<&Digest, usize> = hashes.iter().enumerate().map(|(at, hash)| (hash, at)).collect();
    let mut found = Findings { path, listed: Vec::new(), more: 0 };
    let mut next = 0;
    let mut lines = Lines::open(path, 0)?;
    while let Some(kind) = lines.advance()? {
        let line = lines.line();
        let hash = leaf_hash(line);
        let number = |at: usize| first + at as u64;
        if kind == LineKind::Whole && hashes.get(next) == Some(&hash) {
            each(line);
            next += 1;
            continue;
        }
        match places.get(&hash).filter(|_| kind == LineKind::Whole) {
            Some(&at) if at > next => {
                found.add(None, &format!("records {} to {} are missing", number(next), number(at - 1)));
                each(line);
                next = at + 1;
            }
            Some(&at) => {
                found.add(Some(lines.number()), &format!("record {} stands here again", number(at)));
            }
            None => {
                let claim = entry::split(line).map(|(seq, _)| seq);
                let stands_in = next < hashes.len() && claim.is_none_or(|claim| claim == number(next));
                if stands_in {
                    found.add(Some(lines.number()), &format!("record {} was changed", number(next)));
                    next += 1;
                } else {
                    found.add(Some(lines.number()), "this is no record of this ledger");
                }
            }
        }
    }
    if let Some(last) = hashes.len().checked_sub(1).filter(|last| next <= *last) {
        let (from, to) = (first + next as u64, first + last as u64);
        found.add(None, &format!("records {from} to {to} are missing"));
    }
    Ok(found.finish())
}

struct Findings<'a> {
    path: &'a Path,
    listed: Vec<String>,
    more: usize,
}

impl Findings<'_> {
    fn add(&mut self, line: Option<u64>, what: &str) {
        if self.listed.len() < LISTED {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            self.listed.push(format!("{}{line}: {what}", self.path.display()));
        } else {
            self.more += 1;
        }
    }
    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("{}: and {} more", self.path.display(), self.more));
        }
        self.listed
    }
}
