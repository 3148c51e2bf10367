//! The records against the evidence.

use super::evidence::Evidence;
use super::{Finding, Findings, LISTED, Place, Report, Signed};
use crate::entry;
use crate::layout::{Hashes, LineKind, Lines, Segment, segments};
use crate::merkle::{Frontier, leaf_hash};
use portunus_core::digest::Digest;
use portunus_core::record::Verdict;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Decisions without outcome that are listed.
const OPEN_DECISIONS: usize = 100;

/// What the records say about what was signed.
pub(super) struct Read {
    /// Every signed root is the root of these records.
    pub(super) as_signed: bool,
    /// Where the first signed root that is not theirs says a change must be.
    pub(super) contradicted: Option<Range<u64>>,
}

/// Reads all records, compares each with its hash, and fills in the report.
pub(super) fn check(
    dir: &Path,
    signed: &[Signed],
    evidence: &Evidence,
    report: &mut Report,
    findings: &mut Findings,
) -> Result<Read, (PathBuf, io::Error)> {
    let hashes = (evidence.size > 0).then(|| Hashes::open(dir)).transpose();
    let mut audit = Audit {
        hashes: hashes.map_err(|error| (evidence.path.clone(), error))?,
        hashed: evidence.size,
        signed: signed.last().map_or(0, |last| last.checkpoint.size),
        next: 0,
        gaps: Vec::new(),
        strangers: Vec::new(),
        // Only needed when the evidence does not settle it.
        own: evidence.damaged_at.map(|_| OwnTree::new(signed)),
        open: HashSet::new(),
        report,
        findings,
    };
    let segments = segments(dir).map_err(|error| (dir.to_owned(), error))?;
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        audit.segment(segment, is_last).map_err(|error| (segment.path.clone(), error))?;
    }
    Ok(audit.finish())
}

/// A line that is not the record that should stand there.
struct Stranger {
    place: Place,
    /// The sequence number it claims.
    claim: Option<u64>,
}

struct Audit<'a> {
    hashes: Option<Hashes>,
    hashed: u64,
    /// How many records are signed.
    signed: u64,
    /// The record that should come next: one more than the highest genuine one so far.
    next: u64,
    /// Records below that which have not been seen.
    gaps: Vec<Range<u64>>,
    /// Lines since the last genuine record that are none.
    strangers: Vec<Stranger>,
    own: Option<OwnTree<'a>>,
    open: HashSet<String>,
    report: &'a mut Report,
    findings: &'a mut Findings,
}

impl Audit<'_> {
    fn segment(&mut self, segment: &Segment, is_last: bool) -> io::Result<()> {
        let mut lines = Lines::open(&segment.path, 0)?;
        let mut torn = false;
        while let Some(kind) = lines.advance()? {
            // Behind everything signed, what a crash left of the last batch is no finding: opening cuts it.
            torn |=
                is_last && kind == LineKind::Torn && self.next >= self.signed && self.strangers.is_empty();
            let written = lines.line().iter().filter(|byte| **byte != 0).count() as u64;
            if torn {
                self.report.torn_bytes += written;
            } else if written > 0 || kind == LineKind::Whole {
                self.line(segment, kind, &lines)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, segment: &Segment, kind: LineKind, lines: &Lines) -> io::Result<()> {
        let line = lines.line();
        let place = || Place { file: segment.path.clone(), line: lines.number() };
        let entry = (kind == LineKind::Whole).then(|| entry::split(line)).flatten();
        let leaf = leaf_hash(line);
        if let Some(own) = &mut self.own {
            own.push(leaf, entry.map(|(seq, _)| seq));
        }
        let claim = entry.map(|(seq, _)| seq);
        if let Some((seq, json)) = entry {
            match self.fits(seq, &leaf)? {
                Some(true) if seq < self.next => {
                    self.second_time(seq, place());
                    return Ok(());
                }
                Some(true) => {
                    self.accept(seq, json);
                    return Ok(());
                }
                None if self.is_plausible(seq) => {
                    self.accept(seq, json);
                    return Ok(());
                }
                _ => {}
            }
        }
        if self.strangers.len() < LISTED {
            self.strangers.push(Stranger { place: place(), claim });
        } else {
            self.findings.more += 1;
        }
        Ok(())
    }

    /// Whether a record without hash may be record `seq`: the next one if strangers stand for those between, or the
    /// one after a stranger that claims to be its predecessor, so that records are missing before that.
    fn is_plausible(&mut self, seq: u64) -> bool {
        let follows = seq == self.next + self.strangers.len() as u64;
        let next = self.next;
        let pair = self.strangers.pop_if(|last| {
            !follows && last.claim.is_some_and(|claim| claim >= next && claim.checked_add(1) == Some(seq))
        });
        if pair.is_some() {
            self.explain_strangers(seq - 1);
            self.next = seq;
            self.report.records += 1;
        }
        follows || pair.is_some()
    }

    /// Whether the line is record `seq`, by its hash; `None` when there is no hash.
    fn fits(&mut self, seq: u64, leaf: &Digest) -> io::Result<Option<bool>> {
        match &mut self.hashes {
            Some(hashes) if seq < self.hashed => Ok(Some(hashes.leaf(seq)? == *leaf)),
            _ => Ok(None),
        }
    }

    fn accept(&mut self, seq: u64, json: &[u8]) {
        if seq > self.next || !self.strangers.is_empty() {
            self.explain_strangers(seq);
        }
        self.next = seq + 1;
        self.note(json);
    }

    /// Lines that are no records stand for those that should stand there, in order.
    fn explain_strangers(&mut self, seq: u64) {
        for stranger in std::mem::take(&mut self.strangers) {
            let place = stranger.place;
            if self.next < seq {
                self.findings.add(Finding::Changed { seq: self.next, place });
                self.next += 1;
            } else {
                self.findings.add(Finding::Foreign { place });
            }
        }
        if self.next < seq {
            self.gaps.push(self.next..seq);
        }
    }

    fn second_time(&mut self, seq: u64, place: Place) {
        let Some(index) = self.gaps.iter().position(|gap| gap.contains(&seq)) else {
            self.findings.add(Finding::Repeated { seq, place });
            return;
        };
        let gap = self.gaps.swap_remove(index);
        self.gaps.extend([gap.start..seq, seq + 1..gap.end].into_iter().filter(|gap| !gap.is_empty()));
        self.findings.add(Finding::Moved { seq, place });
    }

    fn note(&mut self, json: &[u8]) {
        self.report.records += 1;
        let Ok(glance) = serde_json::from_slice::<Glance>(json) else {
            self.report.unknown += 1;
            return;
        };
        self.report.first_at.get_or_insert(glance.at);
        self.report.last_at = Some(glance.at);
        match (glance.kind.as_str(), glance.decision) {
            ("intent", Some(decision)) if glance.verdict == Some(Verdict::Permit) => {
                self.open.insert(decision);
            }
            ("outcome", Some(decision)) => {
                self.open.remove(&decision);
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Read {
        let signed = self.signed;
        let seen = self.next;
        let end = signed.max(seen);
        self.explain_strangers(end);
        // What is missing up to the end was cut off, the rest is missing from the middle.
        self.gaps.sort_by_key(|gap| gap.start);
        if let Some(cut) = self.gaps.pop_if(|gap| gap.end == signed && gap.start >= seen) {
            self.findings.add(Finding::Truncated { records: cut.start, signed });
        }
        for gap in &self.gaps {
            self.findings.add(Finding::Missing { first: gap.start, last: gap.end - 1 });
        }
        self.report.unsigned = seen.saturating_sub(signed);
        self.report.intents_without_outcome = self.open.len() as u64;
        let mut open: Vec<String> = self.open.into_iter().collect();
        open.sort();
        open.truncate(OPEN_DECISIONS);
        self.report.open_decisions = open;
        self.own.map_or(Read { as_signed: true, contradicted: None }, OwnTree::finish)
    }
}

/// What the report needs of a record; reading only that is several times faster than reading all.
#[derive(Deserialize)]
struct Glance {
    kind: String,
    at: Timestamp,
    decision: Option<String>,
    verdict: Option<Verdict>,
}

/// The tree over the lines as they stand in the files.
struct OwnTree<'a> {
    tree: Frontier,
    /// Every line so far claims to be the record that should stand there.
    in_order: bool,
    rest: std::iter::Peekable<std::slice::Iter<'a, Signed>>,
    proven: u64,
    contradicted: Option<Range<u64>>,
}

impl<'a> OwnTree<'a> {
    fn new(signed: &'a [Signed]) -> Self {
        let rest = signed.iter().peekable();
        let mut own = Self { tree: Frontier::default(), in_order: true, rest, proven: 0, contradicted: None };
        own.compare();
        own
    }

    fn push(&mut self, leaf: Digest, seq: Option<u64>) {
        if self.rest.peek().is_some() {
            self.in_order &= seq == Some(self.tree.size());
            self.tree.push(leaf, |_| ());
            self.compare();
        }
    }

    fn compare(&mut self) {
        while let Some(signed) = self.rest.next_if(|signed| signed.checkpoint.size == self.tree.size()) {
            if signed.checkpoint.root == self.tree.root() {
                self.proven = self.tree.size();
            } else if self.contradicted.is_none() {
                self.contradicted = Some(self.proven..signed.checkpoint.size);
            }
        }
    }

    fn finish(mut self) -> Read {
        let complete = self.rest.peek().is_none();
        Read {
            as_signed: complete && self.in_order && self.contradicted.is_none(),
            contradicted: self.contradicted,
        }
    }
}
