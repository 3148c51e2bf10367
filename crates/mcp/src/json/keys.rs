//! Duplicate keys: equal after unescaping, or equal to a parser that ignores case.

use super::error::{JsonError, JsonErrorKind};
use super::string::Quoted;
use std::borrow::Cow;

/// Up to this many keys of one object are compared with each other as they come; more are sorted at its end. Neither
/// needs a hash whose collisions an attacker could aim for.
const COMPARED: usize = 16;
/// Characters of a key shown in an error.
const SHOWN: usize = 64;

/// The keys of all objects that are open, innermost last.
#[derive(Debug)]
pub(super) struct Keys<'a>(Vec<Key<'a>>);

#[derive(Debug)]
struct Key<'a> {
    /// Length, first and last byte, without case: unequal tags are unequal keys.
    tag: u32,
    /// Offset of the opening quote.
    at: usize,
    raw: Quoted<'a>,
    /// Unescaped, and folded but for the case of ASCII letters.
    folded: Cow<'a, str>,
}

impl<'a> Keys<'a> {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(32))
    }

    /// Where the keys of an object that opens now will start.
    pub(super) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Adds a key to the innermost object, whose keys start at `mark`.
    #[inline]
    pub(super) fn add(&mut self, mark: usize, at: usize, raw: Quoted<'a>) -> Result<(), JsonError> {
        let folded = fold_beyond_ascii(raw.unescaped());
        let key = Key { tag: tag(&folded), at, raw, folded };
        let earlier = self.0.get(mark..).unwrap_or_default();
        if earlier.len() < COMPARED
            && let Some(other) = earlier.iter().find(|other| key.collides(other))
        {
            return Err(collision(other, &key));
        }
        self.0.push(key);
        Ok(())
    }

    /// Ends the innermost object, whose keys start at `mark`.
    #[inline]
    pub(super) fn close(&mut self, mark: usize) -> Result<(), JsonError> {
        if self.0.len() - mark > COMPARED {
            self.check_sorted(mark)?;
        }
        self.0.truncate(mark);
        Ok(())
    }

    fn check_sorted(&mut self, mark: usize) -> Result<(), JsonError> {
        let keys = self.0.get_mut(mark..).unwrap_or_default();
        let lower = |byte: u8| byte.to_ascii_lowercase();
        keys.sort_unstable_by(|a, b| {
            a.tag.cmp(&b.tag).then_with(|| a.folded.bytes().map(lower).cmp(b.folded.bytes().map(lower)))
        });
        let neighbours = keys.iter().zip(keys.iter().skip(1));
        // The first in the text, so that the error does not depend on the order of sorting.
        let found = neighbours.filter(|(a, b)| a.collides(b)).min_by_key(|(a, b)| a.at.max(b.at));
        match found {
            Some((a, b)) if a.at < b.at => Err(collision(a, b)),
            Some((a, b)) => Err(collision(b, a)),
            None => Ok(()),
        }
    }
}

impl Key<'_> {
    #[inline]
    fn collides(&self, other: &Self) -> bool {
        self.tag == other.tag && self.folded.eq_ignore_ascii_case(&other.folded)
    }
}

fn collision(earlier: &Key<'_>, later: &Key<'_>) -> JsonError {
    let text = later.raw.unescaped();
    let shown = text.chars().take(SHOWN).collect();
    let kind = if earlier.raw.unescaped() == text {
        JsonErrorKind::DuplicateKey(shown)
    } else {
        JsonErrorKind::CollidingKeys(shown)
    };
    JsonError::new(later.at, kind)
}

#[inline]
fn tag(key: &str) -> u32 {
    let byte = |byte: Option<&u8>| u32::from(byte.map_or(0, u8::to_ascii_lowercase));
    let bytes = key.as_bytes();
    // Only equality matters, so the low bits of the length do.
    ((bytes.len() as u32) << 16) | (byte(bytes.first()) << 8) | byte(bytes.last())
}

/// A key as parsers see it that ignore case: equal results mean that such a parser holds the keys for the same.
/// Simple case folding as in Go's `encoding/json` and .NET, so U+017F (`ſ`) is `s` and U+212A (the Kelvin sign) is `k`.
#[must_use]
pub fn fold(key: &str) -> String {
    let mut folded = fold_beyond_ascii(Cow::Borrowed(key)).into_owned();
    folded.make_ascii_lowercase();
    folded
}

/// The first of `keys` that is one of `known` in another spelling of case, with the right one; the known names
/// are ASCII. A server that ignores case would read such a key, whoever decides on exact names would not.
pub fn misspelling<K: AsRef<str>>(
    keys: impl IntoIterator<Item = K>,
    known: &[&'static str],
) -> Option<(String, &'static str)> {
    keys.into_iter().find_map(|key| {
        let key = key.as_ref();
        // Most keys are just right, or of another length than all known ones.
        if key.is_ascii() && known.iter().all(|name| name.len() != key.len() || *name == key) {
            return None;
        }
        let folded = fold_beyond_ascii(Cow::Borrowed(key));
        let right =
            known.iter().find(|name| name.eq_ignore_ascii_case(&folded)).filter(|right| **right != key)?;
        Some((key.to_owned(), *right))
    })
}

/// Folds all but the case of ASCII letters, which comparisons ignore; so ordinary keys are not copied.
#[inline]
fn fold_beyond_ascii(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.is_ascii() { key } else { Cow::Owned(key.chars().map(fold_character).collect()) }
}

fn fold_character(character: char) -> char {
    // Dotless and dotted i are letters of their own in simple folding.
    if character.is_ascii() || matches!(character, 'ı' | 'İ') {
        return character;
    }
    let upper = only(character.to_uppercase()).unwrap_or(character);
    only(upper.to_lowercase()).unwrap_or(upper)
}

/// The one item of an iterator that has just one.
fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    mapped.next().filter(|_| mapped.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_joins_what_case_insensitive_parsers_join() {
        for (a, b) in [("Name", "nAME"), ("ſtate", "STATE"), ("\u{212A}ey", "key"), ("É", "é"), ("ς", "Σ")]
        {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        for (a, b) in
            [("name", "names"), ("ı", "i"), ("İ", "i"), ("é", "e"), ("a_b", "a-b"), ("@", "`"), ("[", "{")]
        {
            assert_ne!(fold(a), fold(b), "{a} {b}");
        }
    }
}
