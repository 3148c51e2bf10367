//! Looking into a text that was scanned, without building a tree.

use super::string::{self, Quoted};
use std::borrow::Cow;
use std::ops::Range;

/// One JSON value of a scanned text, as it stands there. Made by a scan only, so it is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Raw<'a> {
    /// `text` must be one value of a scanned text, without surrounding space.
    pub(super) const fn new(text: &'a str) -> Self {
        Self(text)
    }
    /// The text of the value, without surrounding space.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.0
    }
    /// Where it stands in the text that was scanned; `None` for any other text.
    #[must_use]
    pub fn range_in(self, text: &[u8]) -> Option<Range<usize>> {
        let start = self.0.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let end = start + self.0.len();
        (end <= text.len()).then_some(start..end)
    }
    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }
    /// What a string means; `None` for anything else.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String)
            .then(|| string::quoted(self.0, 0).ok())?
            .map(|(string, _)| string.unescaped())
    }
    /// A truth value; `None` for anything else.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    /// A number as a 64-bit float; `None` for anything else.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.0.parse().ok())?
    }
    /// Whether it is a number written as an integer: no fraction, no exponent, and not `-0`.
    #[must_use]
    pub fn is_integer(self) -> bool {
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && self.0 != "-0"
    }
    /// The members of an object in the order of the text; none for anything else.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members(Inside::new(self, Kind::Object))
    }
    /// The elements of an array; none for anything else.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements(Inside::new(self, Kind::Array))
    }
    /// The value of a member of an object.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Raw<'a>> {
        self.members().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// The members of an object.
#[derive(Debug, Clone)]
pub struct Members<'a>(Inside<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Raw<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        let (key, end) = self.0.string()?;
        self.0.at = end;
        let value = self.0.value()?;
        Some((key.unescaped(), value))
    }
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'a>(Inside<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.value()
    }
}

/// A walk over the inside of a container. The grammar was checked by the scan, so separators need no second look.
#[derive(Debug, Clone)]
struct Inside<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Inside<'a> {
    fn new(value: Raw<'a>, kind: Kind) -> Self {
        let text = if value.kind() == kind { value.0 } else { "" };
        Self { text, at: 1 }
    }

    /// Skips space and separators; the first byte of the next token, none at the closing bracket.
    fn token(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => self.at += 1,
                b'}' | b']' => return None,
                byte => return Some(byte),
            }
        }
    }

    fn string(&mut self) -> Option<(Quoted<'a>, usize)> {
        self.token()?;
        string::quoted(self.text, self.at).ok()
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        self.token()?;
        let start = self.at;
        self.at = value_end(self.text, start)?;
        self.text.get(start..self.at).map(Raw)
    }
}

/// The one value of a text with its brackets and quotes in balance, without surrounding space.
pub(super) fn balanced(text: &str) -> Option<Raw<'_>> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    (!text.is_empty() && value_end(text, 0)? == text.len()).then_some(Raw(text))
}

/// The offset behind the value that starts at `start`.
fn value_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut depth = 0_usize;
    loop {
        match *bytes.get(at)? {
            b'"' => at = string::quoted(text, at).ok()?.1,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => at += bytes.get(at..)?.iter().take_while(|byte| !is_delimiter(**byte)).count(),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"' | b' ' | b'\t' | b'\n' | b'\r')
}
