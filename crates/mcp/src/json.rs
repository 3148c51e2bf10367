//! One strict, linear pass over a JSON text (RFC 8259), refusing whatever two parsers could read differently.
//!
//! What is accepted is read the same by Node's, Python's and serde's parsers. Refused beyond the RFC: duplicate keys at
//! any level (compared after unescaping), keys that differ only by case, integers outside ±(2^53−1), numbers beyond a
//! 64-bit float, lone surrogates, a byte-order mark, bytes after the value, and anything over [`Bounds`].

mod error;
mod keys;
mod number;
mod raw;
mod scanner;
mod string;

pub use error::{JsonError, JsonErrorKind};
pub use keys::{fold, misspelling};
pub use raw::{Elements, Kind, Members, Raw};

use portunus_core::limits;
use std::borrow::Cow;

/// How much of a text is accepted. Time and memory of a scan are linear in its bytes (n log n in the keys of one object).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the text.
    pub bytes: usize,
    /// Depth of nested arrays and objects; a lone `[]` has depth 1.
    pub depth: usize,
    /// Members of all objects and elements of all arrays together.
    pub members: usize,
}

impl Bounds {
    /// The bounds of [`limits`], for a text of at most this many bytes.
    #[must_use]
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, depth: limits::JSON_DEPTH, members: limits::JSON_MEMBERS }
    }
}

impl Default for Bounds {
    /// The bounds of [`limits`], bytes as for the longest event that is inspected.
    fn default() -> Self {
        Self::of_bytes(limits::EVENT_BYTES)
    }
}

/// The objects of a message whose members a scan keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The outermost object.
    Root,
    /// The object under `params`.
    Params,
    /// The object under `params._meta`.
    Meta,
    /// The object under `result`.
    Result,
}

/// A text that was scanned: its value, and the members of its [`Part`]s found on the way.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    root: Raw<'a>,
    members: Vec<Member<'a>>,
}

#[derive(Debug, Clone)]
struct Member<'a> {
    part: Part,
    key: Cow<'a, str>,
    value: Raw<'a>,
}

impl<'a> Scan<'a> {
    /// The whole value.
    #[must_use]
    pub const fn root(&self) -> Raw<'a> {
        self.root
    }
    /// The members of one part in the order of the text; none when the text has no such object.
    pub fn members(&self, part: Part) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.members
            .iter()
            .filter(move |member| member.part == part)
            .map(|member| (&*member.key, member.value))
    }
    /// The value of one member of a part.
    #[must_use]
    pub fn get(&self, part: Part, key: &str) -> Option<Raw<'a>> {
        self.members(part).find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// One balanced value in UTF-8, its grammar unchecked: whoever can read it as JSON at all finds the members that [`Raw`]
/// finds. For looking into what is passed on, not for deciding: it may hold what two parsers read differently.
#[must_use]
pub fn skim(bytes: &[u8]) -> Option<Raw<'_>> {
    raw::balanced(std::str::from_utf8(bytes).ok()?)
}

/// Reads the whole text once.
///
/// # Errors
/// The first thing that is wrong, with the offset of its byte.
pub fn scan<'a>(bytes: &'a [u8], bounds: &Bounds) -> Result<Scan<'a>, JsonError> {
    if bytes.len() > bounds.bytes {
        return Err(JsonError::new(bounds.bytes, JsonErrorKind::TooLong(bounds.bytes)));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError::new(0, JsonErrorKind::ByteOrderMark));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::new(error.valid_up_to(), JsonErrorKind::NotUtf8))?;
    let (root, members) = scanner::Scanner::new(text, bounds).run()?;
    Ok(Scan { root, members })
}
