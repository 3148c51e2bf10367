//! Why a text is refused, in words for whoever sent it.

use portunus_core::limits;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {at})")]
pub struct JsonError {
    /// Offset of the byte, from 0.
    pub at: usize,
    /// What is wrong there.
    pub kind: JsonErrorKind,
}

impl JsonError {
    pub(super) const fn new(at: usize, kind: JsonErrorKind) -> Self {
        Self { at, kind }
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// More bytes than the bound.
    #[error("the JSON text is longer than {0} bytes")]
    TooLong(usize),
    /// It starts with U+FEFF.
    #[error("the JSON text starts with a byte-order mark: send plain UTF-8")]
    ByteOrderMark,
    /// Not UTF-8: a wrong, overlong or truncated sequence, or an encoded surrogate.
    #[error("the JSON text is not valid UTF-8")]
    NotUtf8,
    /// It ends inside a value.
    #[error("the JSON text ends too early")]
    Truncated,
    /// Something else was due.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More bytes after the value.
    #[error("there is more after the JSON value: send one value and nothing else")]
    Trailing,
    /// A raw control character in a string.
    #[error("a control character in a string must be escaped")]
    ControlCharacter,
    /// A backslash with something that RFC 8259 does not know.
    #[error("invalid escape in a string")]
    Escape,
    /// An escaped surrogate without its other half.
    #[error("an escaped surrogate without its other half is not a character")]
    LoneSurrogate,
    /// The same key twice in one object.
    #[error("duplicate key {0:?} in one object")]
    DuplicateKey(String),
    /// Two keys of one object that some parsers hold for the same.
    #[error("key {0:?} differs from another key of the same object only by case")]
    CollidingKeys(String),
    /// Deeper than the bound.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// More members and elements than the bound.
    #[error("more than {0} members and elements")]
    TooManyMembers(usize),
    /// An integer that a 64-bit float cannot hold exactly.
    #[error("integer outside ±9007199254740991: parsers disagree about it, send it as a string")]
    IntegerRange,
    /// A number beyond a 64-bit float.
    #[error("number too large for a 64-bit float: send it as a string")]
    FloatRange,
    /// A number with very many digits.
    #[error("number longer than {max} bytes: send it as a string", max = limits::NUMBER_BYTES)]
    NumberLength,
}
