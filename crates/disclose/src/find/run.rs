//! Groups of digits with separators between them: `4111 1111-1111 1111`, `+49 (0)30 / 1234`, `2026-07-31`.

use super::{before, byte};
use std::ops::Range;

/// Most digits that are read as one run, and most groups; what follows starts a run of its own, with an overlap.
const DIGITS: usize = 64;
const GROUPS: usize = 32;
/// Groups at the end of a full run that are read again as the start of the next one, so that no value falls between.
const OVERLAP: usize = 20;
/// Characters between two groups at most.
const SEPARATORS: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
    /// Digits of the run before this group.
    first: usize,
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) bytes: &'a [u8],
    digits: [u8; DIGITS],
    count: usize,
    groups: [Group; GROUPS],
    length: usize,
    end: usize,
}

impl<'a> Run<'a> {
    /// No run yet. One is used for all runs of a text, since to fill it with zeros takes longer than to read most runs.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, digits: [0; DIGITS], count: 0, groups: [Group::default(); GROUPS], length: 0, end: 0 }
    }

    /// Becomes the run whose first digit is at `start`.
    pub(super) fn read(&mut self, start: usize) {
        (self.count, self.length, self.end) = (0, 0, start);
        let mut at = start;
        while let Some(end) = self.group(at) {
            self.end = end;
            match next_group(self.bytes, end) {
                Some(next) => at = next,
                None => return,
            }
        }
        self.close_full(at);
    }

    /// Adds the group at `start`; `None` when it does not fit.
    fn group(&mut self, start: usize) -> Option<usize> {
        let first = self.count;
        let slot = self.groups.get_mut(self.length)?;
        let mut at = start;
        while let Some(digit) = self.bytes.get(at).filter(|digit| digit.is_ascii_digit()) {
            // A group that is longer than any value is kept with its true bounds and cannot match.
            if let Some(place) = self.digits.get_mut(self.count) {
                *place = digit - b'0';
                self.count += 1;
            } else if first > 0 {
                self.count = first;
                return None;
            }
            at += 1;
        }
        *slot = Group { start, end: at, first };
        self.length += 1;
        Some(at)
    }

    /// The run is full: the next one starts within it, unless that would be where this one started.
    fn close_full(&mut self, next: usize) {
        let again = self.length.saturating_sub(OVERLAP).max(1);
        self.end = self.groups.get(again).filter(|_| again < self.length).map_or(next, |group| group.start);
    }

    pub(super) const fn groups(&self) -> usize {
        self.length
    }

    pub(super) const fn digits(&self) -> usize {
        self.count
    }

    /// Where the next run may start.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    pub(super) fn start_of(&self, group: usize) -> usize {
        self.groups.get(group).map_or(self.end, |group| group.start)
    }

    pub(super) fn end_of(&self, group: usize) -> usize {
        self.groups.get(group).map_or(self.end, |group| group.end)
    }

    /// Digits in a group.
    pub(super) fn width(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, |group| group.end - group.start)
    }

    /// The last group of those from `group` on that together have exactly `digits` digits.
    pub(super) fn last_of(&self, group: usize, digits: usize) -> Option<usize> {
        let mut sum = 0;
        for last in group..self.length {
            sum += self.width(last);
            if sum >= digits {
                return (sum == digits).then_some(last);
            }
        }
        None
    }

    /// The digits of some groups, by their values.
    pub(super) fn digits_of(&self, groups: Range<usize>) -> &[u8] {
        let start = self.groups.get(groups.start).map_or(self.count, |group| group.first);
        let end =
            self.groups.get(groups.end).filter(|_| groups.end < self.length).map_or(self.count, |g| g.first);
        self.digits.get(start..end).unwrap_or_default()
    }

    /// What stands between a group and the next.
    pub(super) fn separator(&self, group: usize) -> &[u8] {
        self.bytes.get(self.end_of(group)..self.start_of(group + 1)).unwrap_or_default()
    }

    /// Whether the groups have these widths.
    pub(super) fn has_widths(&self, group: usize, widths: &[usize]) -> bool {
        group + widths.len() <= self.length
            && widths.iter().enumerate().all(|(index, width)| self.width(group + index) == *width)
    }

    /// Whether no letter or digit touches the groups from outside.
    pub(super) fn stands_alone(&self, first: usize, last: usize) -> bool {
        !before(self.bytes, self.start_of(first)).is_ascii_alphanumeric()
            && !byte(self.bytes, self.end_of(last)).is_ascii_alphanumeric()
    }

    /// Whether a group is what follows a decimal point.
    pub(super) fn is_fraction(&self, group: usize) -> bool {
        let start = self.start_of(group);
        before(self.bytes, start) == b'.'
            && start.checked_sub(1).is_some_and(|dot| before(self.bytes, dot).is_ascii_digit())
            && group.checked_sub(1).is_some_and(|integer| {
                !matches!(before(self.bytes, self.start_of(integer)), b'.') && self.width(integer) <= 4
            })
            && byte(self.bytes, self.end_of(group)) != b'.'
    }

    /// From the start of one group to the end of another.
    pub(super) fn range(&self, first: usize, last: usize) -> Range<usize> {
        self.start_of(first)..self.end_of(last)
    }
}

fn next_group(bytes: &[u8], end: usize) -> Option<usize> {
    for next in end..=end + SEPARATORS {
        match bytes.get(next)? {
            byte if byte.is_ascii_digit() => return (next > end).then_some(next),
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'_' | b'\t' => {}
            _ => return None,
        }
    }
    None
}
