//! Reading records: the last ones, following, searching. For people and tools; nothing here is verified.

use crate::entry::{self, Entry};
use crate::layout::{LineKind, Lines, Segment, segments};
use portunus_core::id::{Id, ServerName, UserName};
use portunus_core::record::{Record, Verdict};
use portunus_core::time::Timestamp;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which records are wanted; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this user.
    pub user: Option<UserName>,
    /// Of this server.
    pub server: Option<ServerName>,
    /// With this decision: its intent and its outcome.
    pub decision: Option<Id>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub before: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is wanted. Outcomes name neither user nor server: they are found by their decision.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        let (at, user, server, decision, verdict) = match record {
            Record::Intent(i) => {
                (i.at, Some(i.user.as_str()), Some(&i.server), Some(&i.decision), Some(i.verdict))
            }
            Record::Outcome(o) => (o.at, None, None, Some(&o.decision), None),
            Record::Event(e) => (e.at, Some(e.by.as_str()), None, None, None),
        };
        self.user.as_ref().is_none_or(|wanted| user == Some(wanted.as_str()))
            && self.server.as_ref().is_none_or(|wanted| server == Some(wanted))
            && self.decision.as_ref().is_none_or(|wanted| decision == Some(wanted))
            && self.verdict.is_none_or(|wanted| verdict == Some(wanted))
            && self.since.is_none_or(|since| at >= since)
            && self.before.is_none_or(|before| at < before)
    }
}

/// The last `count` wanted records, oldest first. Lines that are no records are passed over: naming them is
/// [`mod@crate::verify`]'s job.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(dir: &Path, count: usize, filter: &Filter) -> io::Result<Vec<Entry>> {
    let mut found = VecDeque::new();
    for segment in segments(dir)?.into_iter().rev() {
        let mut newest = VecDeque::new();
        for entry in Reader::new(vec![segment]) {
            let entry = entry?;
            if filter.admits(&entry.record) {
                newest.push_back(entry);
                if newest.len() + found.len() > count {
                    newest.pop_front();
                }
            }
        }
        newest.append(&mut found);
        found = newest;
        if found.len() >= count {
            break;
        }
    }
    Ok(found.into())
}

/// All wanted records, oldest first.
///
/// # Errors
/// When the directory cannot be read; each item, when a file cannot be read.
pub fn search(dir: &Path, filter: Filter) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    let all = Reader::new(segments(dir)?);
    Ok(all.filter(move |entry| entry.as_ref().map_or(true, |entry| filter.admits(&entry.record))))
}

/// The run of records, the first and one past the last, in which everything is that was made from `since` until `before`. A
/// few that were made a moment earlier or later may stand between: a ledger is in the order in which records became durable.
///
/// # Errors
/// When a file cannot be read.
pub fn span(dir: &Path, since: Timestamp, before: Timestamp) -> io::Result<(u64, u64)> {
    let filter = Filter { since: Some(since), before: Some(before), ..Filter::default() };
    let mut span = None;
    let all = segments(dir)?;
    // Segments that begin after the end hold nothing of it, nor do those before the last one that begins before the start.
    let begins = |segment: &Segment| -> io::Result<Option<Timestamp>> {
        Ok(Reader::new(vec![segment.clone()]).next().transpose()?.map(|entry| at(&entry.record)))
    };
    let mut from = 0;
    for (index, segment) in all.iter().enumerate() {
        if begins(segment)?.is_some_and(|moment| moment.plus(DISORDER) < since) {
            from = index;
        }
    }
    for entry in Reader::new(all.into_iter().skip(from).collect()) {
        let entry = entry?;
        if filter.admits(&entry.record) {
            let (first, _) = span.unwrap_or((entry.seq, 0));
            span = Some((first, entry.seq + 1));
        } else if at(&entry.record) > before.plus(DISORDER) {
            break;
        }
    }
    Ok(span.unwrap_or((0, 0)))
}

/// How far records that wait for one commit may stand from the order of their times, at most.
const DISORDER: Duration = Duration::from_secs(600);

fn at(record: &Record) -> Timestamp {
    match record {
        Record::Intent(intent) => intent.at,
        Record::Outcome(outcome) => outcome.at,
        Record::Event(event) => event.at,
    }
}

/// The lines of the records `first..end` as they stand in the files, without their newlines, for as long as they are whole.
///
/// # Errors
/// When the directory cannot be read; each item, when a file cannot be read.
pub fn lines(dir: &Path, first: u64, end: u64) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let all = segments(dir)?;
    let from = all.iter().rposition(|segment| segment.first <= first).unwrap_or(0);
    let mut segments = all.into_iter().skip(from);
    let mut next = first;
    let mut open: Option<(u64, Lines)> = None;
    let mut read = move || -> io::Result<Option<Vec<u8>>> {
        while next < end {
            let Some((seq, lines)) = &mut open else {
                let Some(segment) = segments.next() else { return Ok(None) };
                open = Some((segment.first, Lines::open(&segment.path, 0)?));
                continue;
            };
            if lines.advance()? != Some(LineKind::Whole) {
                open = None;
                continue;
            }
            let wanted = *seq == next;
            *seq += 1;
            if wanted {
                next += 1;
                return Ok(Some(lines.line().to_vec()));
            }
        }
        Ok(None)
    };
    Ok(std::iter::from_fn(move || read().transpose()))
}

/// Reads segments one after the other.
struct Reader {
    segments: std::vec::IntoIter<Segment>,
    lines: Option<Lines>,
}

impl Reader {
    fn new(segments: Vec<Segment>) -> Self {
        Self { segments: segments.into_iter(), lines: None }
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                self.lines = Some(Lines::open(&segment.path, 0)?);
                continue;
            };
            match lines.advance()? {
                None => self.lines = None,
                Some(LineKind::Whole) => {
                    if let Ok(entry) = entry::parse(lines.line()) {
                        return Ok(Some(entry));
                    }
                }
                Some(LineKind::Torn | LineKind::TooLong) => {}
            }
        }
    }
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Follows a ledger while it grows: each [`Follow::poll`] gives what is new. The caller waits between two polls.
#[derive(Debug)]
pub struct Follow {
    dir: PathBuf,
    next: u64,
    position: Option<(Segment, u64)>,
}

/// Records that one poll gives at most.
const POLLED: usize = 1000;

impl Follow {
    /// Starts with record `first`; one more than the last of [`tail`], to go on after it.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, first: u64) -> Self {
        Self { dir: dir.into(), next: first, position: None }
    }

    /// The records since the last poll, at most a thousand; empty when there are none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        while found.len() < POLLED {
            let Some((segment, offset)) = self.place()? else { break };
            let before = found.len();
            let end = self.read(&segment, offset, &mut found)?;
            self.position = Some((segment, end));
            if found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// Where to read on: the segment that holds, or will hold, the next record.
    fn place(&mut self) -> io::Result<Option<(Segment, u64)>> {
        let holder = segments(&self.dir)?.into_iter().rev().find(|segment| segment.first <= self.next);
        Ok(holder.map(|segment| match self.position.take() {
            Some((known, offset)) if known == segment => (segment, offset),
            _ => (segment, 0),
        }))
    }

    fn read(&mut self, segment: &Segment, offset: u64, found: &mut Vec<Entry>) -> io::Result<u64> {
        let mut lines = Lines::open(&segment.path, offset)?;
        let mut end = offset;
        while found.len() < POLLED && lines.advance()? == Some(LineKind::Whole) {
            end = lines.end();
            match entry::parse(lines.line()) {
                Ok(entry) if entry.seq >= self.next => {
                    self.next = entry.seq + 1;
                    found.push(entry);
                }
                _ => {}
            }
        }
        Ok(end)
    }
}
