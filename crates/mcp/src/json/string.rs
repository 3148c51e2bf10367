//! Strings: the first byte that is not plain, escapes, unescaping.

use super::error::{JsonError, JsonErrorKind};
use std::borrow::Cow;

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub(super) inner: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Quoted<'a> {
    /// What the string means.
    pub(super) fn unescaped(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.inner)) } else { Cow::Borrowed(self.inner) }
    }
}

/// Reads the string whose opening quote is at `quote`. Returns it and the offset behind its closing quote.
#[inline]
pub(super) fn quoted(text: &str, quote: usize) -> Result<(Quoted<'_>, usize), JsonError> {
    let bytes = text.as_bytes();
    let start = quote + 1;
    let mut at = start;
    let mut escaped = false;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => {
                let inner = text.get(start..at).unwrap_or_default();
                return Ok((Quoted { inner, escaped }, at + 1));
            }
            Some(b'\\') => {
                escaped = true;
                at = escape_end(bytes, at)?;
            }
            Some(_) => return Err(JsonError::new(at, JsonErrorKind::ControlCharacter)),
            None => return Err(JsonError::new(at, JsonErrorKind::Truncated)),
        }
    }
}

/// The offset of the first quote, backslash or control character at or after `at`, or the length. Eight bytes at a
/// time: in each sum the lowest set high bit marks the first byte that matches (a borrow only spreads upwards).
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let hit = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// The offset behind the escape whose backslash is at `at`.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(bytes, at)? {
            0xD800..0xDC00 => {
                let lone = || JsonError::new(at, JsonErrorKind::LoneSurrogate);
                if bytes.get(at + 6..at + 8) != Some(b"\\u") {
                    return Err(lone());
                }
                match unit(bytes, at + 6)? {
                    0xDC00..0xE000 => Ok(at + 12),
                    _ => Err(lone()),
                }
            }
            0xDC00..0xE000 => Err(JsonError::new(at, JsonErrorKind::LoneSurrogate)),
            _ => Ok(at + 6),
        },
        Some(_) => Err(JsonError::new(at, JsonErrorKind::Escape)),
        None => Err(JsonError::new(at + 1, JsonErrorKind::Truncated)),
    }
}

/// The UTF-16 unit of the `\uXXXX` at `at`.
fn unit(bytes: &[u8], at: usize) -> Result<u32, JsonError> {
    let digits = bytes.get(at + 2..at + 6).ok_or(JsonError::new(bytes.len(), JsonErrorKind::Truncated))?;
    hex(digits).ok_or(JsonError::new(at, JsonErrorKind::Escape))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

/// What a string with escapes means. The escapes were checked by [`quoted`].
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let (character, after) = unescape_one(tail);
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The character of the escape whose text behind the backslash starts `tail`, and the text after it.
fn unescape_one(tail: &str) -> (char, &str) {
    let after = tail.get(1..).unwrap_or_default();
    let simple = match tail.as_bytes().first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(after),
        Some(&byte) => char::from(byte),
        None => char::REPLACEMENT_CHARACTER,
    };
    (simple, after)
}

fn unescape_unicode(digits: &str) -> (char, &str) {
    let unit = |at: usize| digits.as_bytes().get(at..at + 4).and_then(hex).unwrap_or(0xFFFD);
    let first = unit(0);
    let (code, length) = match first {
        0xD800..0xDC00 => (0x1_0000 + ((first - 0xD800) << 10) + (unit(6) & 0x3FF), 10),
        _ => (first, 4),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character, digits.get(length..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_plain_text_is_found_at_any_distance_and_alignment() {
        for stop in [b'"', b'\\', 0, 0x1F, b'\n'] {
            for length in 0..40 {
                for filler in [b'a', 0x7F, 0xC3, 0xFF, 0x20, 0x21, 0x23, 0x5B, 0x5D, 0x80, 0xA2, 0xDC] {
                    let mut bytes = vec![filler; length];
                    bytes.push(stop);
                    bytes.extend([b'"'; 9]);
                    assert_eq!(plain_end(&bytes, 0), length, "stop {stop:#x} filler {filler:#x}");
                }
            }
        }
        assert_eq!(plain_end(b"no end here", 3), 11);
    }

    #[test]
    fn every_escape_means_what_the_rfc_says() {
        let text = r#""\" \\ \/ \b \f \n \r \t \u0041 \u00e9 \uD834\uDD1E \u0000.""#;
        let (string, end) = quoted(text, 0).unwrap();
        assert_eq!(end, text.len());
        assert_eq!(string.unescaped(), "\" \\ / \u{8} \u{c} \n \r \t A é 𝄞 \0.");
    }
}
