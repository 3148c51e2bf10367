//! What is shown in place of the values of a treated column: a digest, a token, their end, or a word.

use aws_lc_rs::hmac;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use rusqlite::types::ValueRef;
use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// How the values of a column are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Treatment {
    /// 32 hexadecimal digits: HMAC-SHA-256 over `hash`, the column's name and the value, each ended by NUL, cut to 16
    /// bytes. Equal values of one column have equal digests under one key.
    Hash,
    /// `tok_` and 20 base32 characters: HMAC-SHA-256 over `token`, NUL and the value. Equal values have equal tokens
    /// under one key, whatever column they are in.
    Token,
    /// The last four characters, never more than half of them; the others as `•`.
    Partial,
    /// `[masked]`.
    Mask,
}

impl Treatment {
    /// As in the claim.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Token => "token",
            Self::Partial => "partial",
            Self::Mask => "mask",
        }
    }
    /// Whether it cannot be done without a key.
    pub(crate) fn needs_key(self) -> bool {
        matches!(self, Self::Hash | Self::Token)
    }
}

/// The key of digests and tokens. It cannot be printed; the library wipes its own copy.
#[derive(Clone)]
pub(crate) struct Key(hmac::Key);

impl Key {
    /// From the base64url text (no padding) of 32 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        (bytes.len() == 32).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
    fn tag(&self, parts: &[&[u8]], value: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
            context.update(b"\0");
        }
        context.update(value);
        context.sign()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Characters at the end of a value that `partial` leaves, at most.
const LEFT: usize = 4;
/// `•` in front of them, at most.
const DOTS: usize = 64;
/// Digest bytes behind a token: 20 base32 characters hold 100 bits.
const TOKEN_CHARS: usize = 20;

/// What is shown for a value of `column` (`table.column`). NULL stays NULL; a number is treated as its text. Without
/// the key that a treatment needs, nothing of the value is shown.
pub(crate) fn treat(treatment: Treatment, column: &str, value: ValueRef<'_>, key: Option<&Key>) -> Json {
    let number;
    let bytes: &[u8] = match value {
        ValueRef::Null => return Json::Null,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Integer(integer) => {
            number = Zeroizing::new(integer.to_string());
            number.as_bytes()
        }
        ValueRef::Real(real) => {
            number = Zeroizing::new(format!("{real:?}"));
            number.as_bytes()
        }
    };
    match (treatment, key) {
        (Treatment::Partial, _) => Json::from(partial(&String::from_utf8_lossy(bytes))),
        (Treatment::Hash, Some(key)) => {
            let tag = key.tag(&[b"hash", column.to_ascii_lowercase().as_bytes()], bytes);
            Json::from(HEXLOWER.encode(tag.as_ref().get(..16).unwrap_or_default()))
        }
        (Treatment::Token, Some(key)) => {
            let tag = key.tag(&[b"token"], bytes);
            let text: String = BASE32_NOPAD.encode(tag.as_ref()).chars().take(TOKEN_CHARS).collect();
            Json::from(format!("tok_{}", text.to_ascii_lowercase()))
        }
        (Treatment::Mask | Treatment::Hash | Treatment::Token, _) => Json::from("[masked]"),
    }
}

fn partial(text: &str) -> String {
    let count = text.chars().count();
    let left = LEFT.min(count / 2);
    let dots = std::iter::repeat_n('•', (count - left).min(DOTS));
    dots.chain(text.chars().skip(count - left)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::parse(&BASE64URL_NOPAD.encode(&[byte; 32])).unwrap()
    }
    fn shown(treatment: Treatment, column: &str, value: ValueRef<'_>, byte: u8) -> String {
        treat(treatment, column, value, Some(&key(byte))).as_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_is_the_same_wherever_the_value_is_and_another_under_another_key() {
        let token = |column, value, byte| shown(Treatment::Token, column, ValueRef::Text(value), byte);
        let one = token("a.b", b"4912345", 1);
        assert_eq!(one.len(), 24);
        assert!(one.starts_with("tok_"));
        assert_eq!(one, token("c.d", b"4912345", 1));
        assert_ne!(one, token("a.b", b"4912345", 2));
        assert_ne!(one, token("a.b", b"4912346", 1));
        assert_eq!(one, shown(Treatment::Token, "a.b", ValueRef::Integer(4_912_345), 1));
    }

    #[test]
    fn a_digest_belongs_to_its_column() {
        let hash = |column, byte| shown(Treatment::Hash, column, ValueRef::Text(b"x"), byte);
        assert_eq!(hash("a.b", 1).len(), 32);
        assert_eq!(hash("a.b", 1), hash("A.B", 1));
        assert_ne!(hash("a.b", 1), hash("a.c", 1));
        assert_ne!(hash("a.b", 1), hash("a.b", 2));
    }

    #[test]
    fn partial_never_shows_more_than_half() {
        for (value, expected) in [
            ("DE89370400440532013000", "••••••••••••••••••3000"),
            ("12345678", "••••5678"),
            ("12345", "•••45"),
            ("ab", "•b"),
            ("x", "•"),
            ("", ""),
            ("äöüß", "••üß"),
        ] {
            assert_eq!(partial(value), expected);
        }
        assert_eq!(partial(&"z".repeat(100_000)).chars().count(), DOTS + LEFT);
    }

    #[test]
    fn without_a_key_nothing_is_shown_and_null_stays_null() {
        for treatment in [Treatment::Hash, Treatment::Token, Treatment::Mask] {
            assert_eq!(treat(treatment, "a.b", ValueRef::Text(b"x"), None), Json::from("[masked]"));
            assert_eq!(treat(treatment, "a.b", ValueRef::Null, None), Json::Null);
        }
    }

    #[test]
    fn a_key_is_32_bytes_and_is_not_printed() {
        for text in ["", "AAAA", &BASE64URL_NOPAD.encode(&[1; 31]), &BASE64URL_NOPAD.encode(&[1; 33]), "+"] {
            assert!(Key::parse(text).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", key(1)), "Key(…)");
    }
}
