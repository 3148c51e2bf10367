//! A decoded text and what changes in it: JSON within it is read as JSON, everything else by value.

use crate::class::Treatment;
use crate::find::{self, Found, Traits};
use crate::fold;
use crate::treat;
use crate::veil::Rule;
use crate::walk;
use portunus_core::limits::JSON_IN_TEXT;
use std::borrow::Cow;
use std::ops::Range;

/// Looks at a text at most: each finds what touches the values of the one before.
const LOOKS: usize = 4;

/// One change: what stands in the place of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) range: Range<usize>,
    pub(crate) to: String,
}

/// Looks at texts by one caller's rules, and counts.
pub(crate) struct Screener<'r> {
    pub(crate) rule: &'r Rule,
    /// Values found, by the index of their class.
    pub(crate) counts: Vec<usize>,
}

impl<'r> Screener<'r> {
    pub(crate) fn new(rule: &'r Rule) -> Self {
        Self { rule, counts: vec![0; rule.treatments.len()] }
    }

    /// The changes to a text, ascending. `key` is the name of the member that it is the value of; `level` says how many
    /// texts it is in.
    pub(crate) fn text(&mut self, text: &str, key: Option<&str>, level: usize) -> Vec<Edit> {
        self.text_with(text, Traits::of(text.as_bytes()), key, level)
    }

    /// The same, when its traits are known.
    pub(crate) fn text_with(
        &mut self,
        text: &str,
        traits: Traits,
        key: Option<&str>,
        level: usize,
    ) -> Vec<Edit> {
        if level < JSON_IN_TEXT
            && looks_like_json(text)
            && !self.is_secret(key)
            && let Some(edits) = self.json(text, level)
        {
            return edits;
        }
        let folded = if traits.folds { fold::fold(text) } else { None };
        match folded {
            None => {
                let found = self.find(text, traits, key);
                self.edits(text, found)
            }
            Some(folded) => {
                let traits = Traits::of(folded.text.as_bytes());
                let found = self.find(&folded.text, traits, key);
                let mut edits = self.edits(&folded.text, found);
                for edit in &mut edits {
                    edit.range = folded.original(&edit.range);
                }
                edits
            }
        }
    }

    /// Every value of a folded text, also one that touches another and shows only once that one is replaced.
    fn find(&self, text: &str, traits: Traits, key: Option<&str>) -> Vec<Found> {
        let mut found = find::find(text, traits, key, &self.rule.wanted);
        let mut fresh = found.clone();
        let mut veiled = Cow::Borrowed(text);
        for _ in 1..LOOKS {
            fresh.retain(|found| self.rule.treatments.get(found.class).copied().flatten().is_some());
            if fresh.is_empty() {
                break;
            }
            found.sort_by_key(|found| found.range.start);
            veiled = Cow::Owned(covered(&veiled, &fresh));
            fresh = find::find(&veiled, Traits::of(veiled.as_bytes()), key, &self.rule.wanted);
            fresh.retain(|new| is_new(&found, new));
            found.extend(fresh.iter().cloned());
        }
        found
    }

    /// Whether the value of a member of this name is hidden whatever it says.
    pub(crate) fn is_secret(&self, key: Option<&str>) -> bool {
        self.rule.wanted.has(find::SECRET) && key.is_some_and(find::is_secret_key)
    }

    /// The changes to a text that is JSON; `None` when it is not.
    fn json(&mut self, text: &str, level: usize) -> Option<Vec<Edit>> {
        let before = self.counts.clone();
        let edits = walk::values(text, level + 1, self);
        if edits.is_none() {
            self.counts = before;
        }
        edits
    }

    /// Counts what was found and says what becomes of it.
    pub(crate) fn edits(&mut self, text: &str, mut found: Vec<Found>) -> Vec<Edit> {
        if found.is_empty() {
            return Vec::new();
        }
        for Found { class, .. } in &found {
            if let Some(count) = self.counts.get_mut(*class) {
                *count += 1;
            }
        }
        let treatment = |found: &Found| self.rule.treatments.get(found.class).copied().flatten();
        found.retain(|found| treatment(found).is_some() && !found.range.is_empty());
        found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
        let mut merged: Vec<(Found, Treatment)> = Vec::with_capacity(found.len());
        for next in found {
            let Some(wanted) = treatment(&next) else { continue };
            match merged.last_mut() {
                // Of values that overlap all is treated, as the strictest of them.
                Some((last, strictest)) if next.range.start < last.range.end => {
                    last.range.end = last.range.end.max(next.range.end);
                    if wanted > *strictest {
                        (last.class, *strictest) = (next.class, wanted);
                    }
                }
                _ => merged.push((next, wanted)),
            }
        }
        merged.into_iter().map(|(found, treatment)| self.edit(text, found, treatment)).collect()
    }

    fn edit(&self, text: &str, found: Found, treatment: Treatment) -> Edit {
        let value = text.get(found.range.clone()).unwrap_or_default();
        let name = self.rule.name(found.class);
        let to = treat::replacement(treatment, found.class, name, value, self.rule.keys.as_ref());
        Edit { range: found.range, to }
    }
}

/// The text with brackets in the places of values, as later screenings see it; of the same length.
fn covered(text: &str, found: &[Found]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for Found { range, .. } in found {
        if let Some([first, rest @ ..]) = bytes.get_mut(range.clone()) {
            *first = b'[';
            rest.fill(b' ');
            if let Some(last) = rest.last_mut() {
                *last = b']';
            }
        }
    }
    // Values start and end between characters.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether a value is none of these, which are sorted by their starts.
fn is_new(found: &[Found], new: &Found) -> bool {
    let first = found.partition_point(|found| found.range.start < new.range.start);
    let same = found.get(first..).unwrap_or_default().iter();
    !same.take_while(|found| found.range.start == new.range.start).any(|found| found == new)
}

fn looks_like_json(text: &str) -> bool {
    let text = text.trim_ascii().as_bytes();
    let ends = (text.first(), text.last());
    matches!(ends, (Some(b'{' | b'['), Some(b'}' | b']')) | (Some(b'"'), Some(b'"'))) && text.len() > 2
}

/// The text with changes made, which are ascending and do not overlap.
pub(crate) fn apply(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.range.start).unwrap_or_default());
        out.push_str(&edit.to);
        at = edit.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
