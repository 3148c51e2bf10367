//! The walk over a JSON text: every string, number and key is looked at, and what changes is told as ranges of the text.
//!
//! Read is whatever some parser could read as JSON; what is not balanced is refused. Duplicate keys and numbers beyond a
//! float do no harm here: each value is looked at by itself.

use crate::base64::Base64;
use crate::find::{FEWEST_DIGITS, Traits};
use crate::mapped::Mapped;
use crate::place::Place;
use crate::text::{Edit, Screener, apply};
use crate::veil::ScreenError;
use portunus_core::limits::JSON_DEPTH;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

type Result<T> = std::result::Result<T, ScreenError>;

/// The changes to a message.
pub(crate) fn message(text: &str, screener: &mut Screener<'_>) -> Result<Vec<Edit>> {
    let mut walk = Walk::new(text, 0, screener);
    walk.skip_space();
    walk.value(Place::Root, None)?;
    walk.skip_space();
    if walk.at < text.len() {
        return Err(walk.broken());
    }
    Ok(walk.edits)
}

/// The changes to one or more JSON texts with nothing but space between them; `None` when the text is anything else. Numbers
/// between them are no texts of their own: `[] 4111 1111 1111 1111 []` has a card in it, not four numbers.
pub(crate) fn values(text: &str, level: usize, screener: &mut Screener<'_>) -> Option<Vec<Edit>> {
    let mut walk = Walk::new(text, level, screener);
    walk.skip_space();
    while walk.at < text.len() {
        if !matches!(walk.byte(), Some(b'{' | b'[' | b'"')) {
            return None;
        }
        walk.value(Place::Data, None).ok()?;
        walk.skip_space();
    }
    Some(walk.edits)
}

struct Walk<'t, 's, 'r> {
    text: &'t str,
    at: usize,
    depth: usize,
    /// How many texts this one is in.
    level: usize,
    screener: &'s mut Screener<'r>,
    edits: Vec<Edit>,
    /// The keys of all objects that are open, innermost last, as they stand in the text.
    keys: Vec<Range<usize>>,
}

impl<'t, 's, 'r> Walk<'t, 's, 'r> {
    fn new(text: &'t str, level: usize, screener: &'s mut Screener<'r>) -> Self {
        Self { text, at: 0, depth: 0, level, screener, edits: Vec::new(), keys: Vec::new() }
    }

    /// Reads the value at the present position. `key` is the name of the member whose value it is, or is within by arrays, or
    /// by objects when the name is a secret's.
    fn value(&mut self, place: Place, key: Option<&str>) -> Result<()> {
        match self.byte() {
            Some(b'"') => self.string(place, key),
            Some(b'{') => self.nested(|walk| walk.object(place.object(), key)),
            Some(b'[') => self.nested(|walk| walk.array(place.element(), key)),
            Some(b'-' | b'0'..=b'9' | b'+' | b'.') => self.number(place, key),
            _ => self.literal(),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.depth == JSON_DEPTH {
            return Err(ScreenError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        read(self)?;
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    /// The members of an object that is the value of `outer`, up to its closing bracket.
    fn object(&mut self, place: Place, outer: Option<&str>) -> Result<()> {
        let mark = self.keys.len();
        // A schema's object under `password` says what a password is.
        let outer = outer.filter(|_| place != Place::Schema && self.screener.is_secret(outer));
        let mut changed = Vec::new();
        if self.byte() == Some(b'}') {
            return Ok(());
        }
        loop {
            if self.byte() != Some(b'"') {
                return Err(self.broken());
            }
            let start = self.at;
            let (inner, escaped) = self.quoted()?;
            self.keys.push(start..self.at);
            let key = decoded(inner, escaped);
            if let Some(edit) = self.key(&key, start..self.at) {
                changed.push((self.edits.len(), self.keys.len() - 1));
                self.edits.push(edit);
            }
            self.skip_space();
            if self.byte() != Some(b':') {
                return Err(self.broken());
            }
            self.at += 1;
            self.skip_space();
            let name = outer.filter(|_| key != "type").unwrap_or(&key);
            self.value(place.member(&key), Some(name))?;
            self.skip_space();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.broken()),
            }
            self.skip_space();
        }
        if !changed.is_empty() {
            self.tell_apart(mark, &changed);
        }
        self.keys.truncate(mark);
        Ok(())
    }

    /// What becomes of a key that holds values.
    fn key(&mut self, key: &str, quoted: Range<usize>) -> Option<Edit> {
        let traits = Traits::of(key.as_bytes());
        if !traits.at
            && traits.digits < FEWEST_DIGITS
            && key.len() < 8
            && !self.screener.rule.wanted.has_patterns()
        {
            return None;
        }
        let edits = self.screener.text_with(key, traits, None, self.level);
        (!edits.is_empty()).then(|| Edit { range: quoted, to: apply(key, &edits) })
    }

    /// Makes the changed keys of an object differ from each other and from all its other keys, and puts them in quotes.
    /// `mark` is where the object's keys start, `changed` are indices of edits and of keys.
    fn tell_apart(&mut self, mark: usize, changed: &[(usize, usize)]) {
        let keys = self.keys.get(mark..).unwrap_or_default();
        let own: BTreeSet<usize> = changed.iter().map(|(_, key)| key - mark).collect();
        let others = keys.iter().enumerate().filter(|(index, _)| !own.contains(index));
        let mut taken: BTreeSet<String> = others
            .filter_map(|(_, key)| self.text.get(key.start + 1..key.end - 1))
            .map(|inner| decoded(inner, inner.contains('\\')).into_owned())
            .collect();
        let mut next = std::collections::BTreeMap::new();
        for (edit, _) in changed {
            let Some(edit) = self.edits.get_mut(*edit) else { continue };
            let mut name = edit.to.clone();
            if taken.contains(&name) {
                let number = next.entry(edit.to.clone()).or_insert(2_usize);
                while taken.contains(&name) {
                    name = format!("{} {number}", edit.to);
                    *number += 1;
                }
            }
            edit.to = quote(&name);
            taken.insert(name);
        }
    }

    /// The elements of an array, up to its closing bracket.
    fn array(&mut self, place: Place, key: Option<&str>) -> Result<()> {
        if self.byte() == Some(b']') {
            return Ok(());
        }
        loop {
            self.value(place, key)?;
            self.skip_space();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b']') => return Ok(()),
                _ => return Err(self.broken()),
            }
            self.skip_space();
        }
    }

    fn string(&mut self, place: Place, key: Option<&str>) -> Result<()> {
        let start = self.at;
        let (inner, escaped) = self.quoted()?;
        if place == Place::Handle || (inner.len() < 3 && !self.screener.is_secret(key)) {
            return Ok(());
        }
        let whole = start..self.at;
        if matches!(key, Some("blob" | "data")) && inner.len() >= 8 && self.encoded(inner, escaped, &whole) {
            return Ok(());
        }
        if escaped {
            let mapped = unescape(inner);
            let edits = self.screener.text(&mapped.text, key, self.level);
            if !edits.is_empty() {
                let lifted =
                    edits.into_iter().map(|edit| Edit { range: mapped.original(&edit.range), ..edit });
                self.change(whole, inner.len(), lifted.collect(), place);
            }
        } else {
            let edits = self.screener.text_with(inner, Traits::of(inner.as_bytes()), key, self.level);
            if !edits.is_empty() {
                self.change(whole, inner.len(), edits, place);
            }
        }
        Ok(())
    }

    /// Takes over the changes to the inside of a string of this length.
    fn change(&mut self, whole: Range<usize>, length: usize, edits: Vec<Edit>, place: Place) {
        if let [Edit { range, to }] = edits.as_slice()
            && to.is_empty()
            && *range == (0..length)
            && place == Place::Data
        {
            self.edits.push(Edit { range: whole, to: "null".to_owned() });
            return;
        }
        let start = whole.start + 1;
        let escape = |edit: Edit| {
            let quoted = quote(&edit.to);
            let to = quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned();
            Edit { range: edit.range.start + start..edit.range.end + start, to }
        };
        self.edits.extend(edits.into_iter().map(escape));
    }

    /// Base64 of text, as in the `blob` of a resource. Whether it was that, and so needs no other look.
    fn encoded(&mut self, inner: &str, escaped: bool, whole: &Range<usize>) -> bool {
        let Some(base64) = Base64::read(&decoded(inner, escaped)) else { return false };
        if !base64.is_text() {
            return false;
        }
        let mut changed = false;
        let mut out = Vec::with_capacity(base64.bytes.len());
        for chunk in base64.bytes.utf8_chunks() {
            let edits = self.screener.text(chunk.valid(), None, self.level);
            changed |= !edits.is_empty();
            out.extend_from_slice(apply(chunk.valid(), &edits).as_bytes());
            out.extend_from_slice(chunk.invalid());
        }
        if changed {
            self.edits.push(Edit { range: whole.clone(), to: quote(&base64.written(&out)) });
        }
        // What is text by chance only is looked at as it stands, too.
        changed || std::str::from_utf8(&base64.bytes).is_ok()
    }

    fn number(&mut self, place: Place, key: Option<&str>) -> Result<()> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let sign = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !sign(byte)).unwrap_or(rest.len());
        self.at += length;
        let text = self.text.get(start..self.at).unwrap_or_default();
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return self.literal();
        }
        let patterns = self.screener.rule.wanted.has_patterns();
        let secret = self.screener.is_secret(key);
        if place == Place::Handle || (length < FEWEST_DIGITS && !patterns && !secret) {
            return Ok(());
        }
        let written = if secret { Some(Cow::Borrowed(text)) } else { integer(text) };
        let Some(integer) = written else { return Ok(()) };
        // Whatever is found in a number is treated as the whole of it.
        let mut edits = self.screener.text(&integer, key, self.level);
        if let Some(edit) = edits.pop() {
            let whole = edit.range == (0..integer.len()) && edits.is_empty();
            let to = if whole || edit.to.is_empty() { edit.to } else { apply(&integer, &[edit]) };
            let to = if to.is_empty() { "null".to_owned() } else { quote(&to) };
            self.edits.push(Edit { range: start..self.at, to });
        }
        Ok(())
    }

    /// A word: those of JSON, and what Python and JavaScript write for numbers that are none.
    fn literal(&mut self) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let words: [&[u8]; 5] = [b"true", b"false", b"null", b"NaN", b"Infinity"];
        let word = words.iter().find(|word| rest.starts_with(word)).ok_or(ScreenError::NotJson(self.at))?;
        self.at += word.len();
        Ok(())
    }

    /// The inside of the string at the present position, and whether a backslash is in it; moves behind it.
    fn quoted(&mut self) -> Result<(&'t str, bool)> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let hit = memchr::memchr2(b'"', b'\\', rest).ok_or(ScreenError::NotJson(bytes.len()))?;
            at += hit;
            if bytes.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Ok((self.text.get(start..at).unwrap_or_default(), escaped));
            }
            escaped = true;
            at += 2;
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn broken(&self) -> ScreenError {
        ScreenError::NotJson(self.at)
    }
}

/// A number that is an integer, as its digits.
fn integer(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_start_matches(['-', '+']);
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(text));
    }
    if let Some((whole, fraction)) = text.split_once('.')
        && fraction.bytes().all(|byte| byte == b'0')
    {
        return Some(Cow::Borrowed(whole));
    }
    let value: f64 = text.contains(['e', 'E']).then(|| text.parse().ok())??;
    (value.fract() == 0.0 && (1e6..1e19).contains(&value)).then(|| Cow::Owned(format!("{value:.0}")))
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What the inside of a string means.
fn decoded(inner: &str, escaped: bool) -> Cow<'_, str> {
    if escaped { Cow::Owned(unescape(inner).text) } else { Cow::Borrowed(inner) }
}

/// What the inside of a string means, and where its characters stand. An escape that JSON does not know is the character
/// behind the backslash; half a surrogate is U+FFFD.
fn unescape(inner: &str) -> Mapped {
    let bytes = inner.as_bytes();
    let mut out = Mapped::with_capacity(inner.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(hit) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let start = at + hit;
        out.push_same(inner.get(copied..start).unwrap_or_default());
        let (character, end) = unescape_one(inner, start);
        out.push_other(Some(character), start, end);
        (at, copied) = (end, end);
    }
    out.push_same(inner.get(copied..).unwrap_or_default());
    out
}

/// The character of the escape at `start`, and the offset behind it.
fn unescape_one(inner: &str, start: usize) -> (char, usize) {
    let simple = match inner.as_bytes().get(start + 1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(inner, start),
        _ => {
            let other = inner.get(start + 1..).and_then(|rest| rest.chars().next()).unwrap_or('\\');
            return (other, (start + 1 + other.len_utf8()).min(inner.len()));
        }
    };
    (simple, start + 2)
}

fn unescape_unicode(inner: &str, start: usize) -> (char, usize) {
    let unit = |at: usize| {
        let digits = inner.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    match (unit(start), unit(start + 6)) {
        (Some(high @ 0xD800..0xDC00), Some(low @ 0xDC00..0xE000)) => {
            let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), start + 12)
        }
        (Some(code), _) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), start + 6),
        (None, _) => ('u', start + 2),
    }
}
