//! The pass itself: a loop with an explicit stack, so depth costs no call stack.

use super::error::{JsonError, JsonErrorKind};
use super::keys::Keys;
use super::raw::Raw;
use super::string::{self, Quoted};
use super::{Bounds, Member, Part, number};

type Result<T> = std::result::Result<T, JsonError>;

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    bounds: Bounds,
    /// Members and elements so far.
    count: usize,
    open: Vec<Frame<'a>>,
    keys: Keys<'a>,
    found: Vec<Member<'a>>,
}

/// An array or object that is open.
struct Frame<'a> {
    shape: Shape,
    /// Set for objects whose members are kept.
    part: Option<Part>,
    /// Where this object's keys start in [`Keys`].
    mark: usize,
    /// The present member's key and where its value starts, for objects whose members are kept.
    key: Quoted<'a>,
    value_start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    Object,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, bounds: &Bounds) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            bounds: *bounds,
            count: 0,
            open: Vec::with_capacity(8),
            keys: Keys::new(),
            found: Vec::with_capacity(16),
        }
    }

    pub(super) fn run(mut self) -> Result<(Raw<'a>, Vec<Member<'a>>)> {
        self.skip_space();
        let start = self.at;
        loop {
            let complete = self.begin_value()?;
            if complete && self.end_values()? {
                break;
            }
        }
        let root = Raw::new(self.text.get(start..self.at).unwrap_or_default());
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(self.error(JsonErrorKind::Trailing));
        }
        Ok((root, self.found))
    }

    /// Reads a scalar or an empty container whole (`true`), or opens a container up to its first value (`false`).
    #[inline]
    fn begin_value(&mut self) -> Result<bool> {
        match self.bytes.get(self.at) {
            Some(b'"') => {
                self.at = string::quoted(self.text, self.at)?.1;
                Ok(true)
            }
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b'-' | b'0'..=b'9') => {
                self.at = number::end(self.text, self.at)?;
                Ok(true)
            }
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(_) => Err(self.error(JsonErrorKind::Expected("a JSON value"))),
            None => Err(self.error(JsonErrorKind::Truncated)),
        }
    }

    /// A value has ended: goes on to the next one (`false`), closing what closes on the way; `true` at the very end.
    #[inline]
    fn end_values(&mut self) -> Result<bool> {
        loop {
            let Some(frame) = self.open.last() else { return Ok(true) };
            let shape = frame.shape;
            if let Some(part) = frame.part {
                let value = Raw::new(self.text.get(frame.value_start..self.at).unwrap_or_default());
                self.found.push(Member { part, key: frame.key.unescaped(), value });
            }
            self.skip_space();
            match (self.bytes.get(self.at), shape) {
                (Some(b','), Shape::Array) => {
                    self.at += 1;
                    self.skip_space();
                    self.tally()?;
                    return Ok(false);
                }
                (Some(b','), Shape::Object) => {
                    self.at += 1;
                    self.skip_space();
                    self.key()?;
                    return Ok(false);
                }
                (Some(b']'), Shape::Array) | (Some(b'}'), Shape::Object) => self.close()?,
                (Some(_), Shape::Array) => return Err(self.error(JsonErrorKind::Expected("',' or ']'"))),
                (Some(_), Shape::Object) => return Err(self.error(JsonErrorKind::Expected("',' or '}'"))),
                (None, _) => return Err(self.error(JsonErrorKind::Truncated)),
            }
        }
    }

    fn open_object(&mut self) -> Result<bool> {
        let part = self.part_here();
        self.open(Shape::Object, part)?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.close()?;
            return Ok(true);
        }
        self.key()?;
        Ok(false)
    }

    fn open_array(&mut self) -> Result<bool> {
        self.open(Shape::Array, None)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.close()?;
            return Ok(true);
        }
        self.tally()?;
        Ok(false)
    }

    fn open(&mut self, shape: Shape, part: Option<Part>) -> Result<()> {
        if self.open.len() >= self.bounds.depth {
            return Err(self.error(JsonErrorKind::TooDeep(self.bounds.depth)));
        }
        let key = Quoted { inner: "", escaped: false };
        self.open.push(Frame { shape, part, mark: self.keys.mark(), key, value_start: 0 });
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some(frame) = self.open.pop()
            && frame.shape == Shape::Object
        {
            self.keys.close(frame.mark)?;
        }
        self.at += 1;
        Ok(())
    }

    /// Which part an object that opens here is.
    fn part_here(&self) -> Option<Part> {
        let Some(parent) = self.open.last() else { return Some(Part::Root) };
        match (parent.part?, &*parent.key.unescaped()) {
            (Part::Root, "params") => Some(Part::Params),
            (Part::Root, "result") => Some(Part::Result),
            (Part::Params, "_meta") => Some(Part::Meta),
            _ => None,
        }
    }

    /// Reads a key and its colon, up to the value.
    fn key(&mut self) -> Result<()> {
        let quote = self.at;
        match self.bytes.get(quote) {
            Some(b'"') => {}
            Some(_) => return Err(self.error(JsonErrorKind::Expected("a key in double quotes"))),
            None => return Err(self.error(JsonErrorKind::Truncated)),
        }
        self.tally()?;
        let (key, end) = string::quoted(self.text, quote)?;
        let mark = self.open.last().map_or(0, |frame| frame.mark);
        self.keys.add(mark, quote, key)?;
        self.at = end;
        self.skip_space();
        match self.bytes.get(self.at) {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.error(JsonErrorKind::Expected("':' after a key"))),
            None => return Err(self.error(JsonErrorKind::Truncated)),
        }
        self.skip_space();
        if let Some(frame) = self.open.last_mut() {
            frame.key = key;
            frame.value_start = self.at;
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<bool> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(true);
        }
        let kind = if word.starts_with(rest) {
            JsonErrorKind::Truncated
        } else {
            JsonErrorKind::Expected("a JSON value")
        };
        Err(self.error(kind))
    }

    /// Counts one more member or element.
    #[inline]
    fn tally(&mut self) -> Result<()> {
        self.count += 1;
        if self.count > self.bounds.members {
            return Err(self.error(JsonErrorKind::TooManyMembers(self.bounds.members)));
        }
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    const fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError::new(self.at, kind)
    }
}
