//! Text that has the shape of a secret. Linear in the text, without allocation. It errs towards finding too much: a record
//! with one digest too many is still a record.

use crate::secret_name::is_secret_name;
use std::ops::Range;

/// How tokens of well-known makers start.
const PREFIXES: [&[u8]; 43] = [
    b"sk-",
    b"sk_live_",
    b"sk_test_",
    b"rk_live_",
    b"rk_test_",
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"github_pat_",
    b"glpat-",
    b"ptn_",
    b"AKIA",
    b"ASIA",
    b"AIza",
    b"xoxb-",
    b"xoxp-",
    b"xoxa-",
    b"xoxr-",
    b"xoxs-",
    b"xoxe-",
    b"xapp-",
    b"hf_",
    b"npm_",
    b"pypi-",
    b"dop_v1_",
    b"SG.",
    b"ya29.",
    b"hvs.",
    b"hvb.",
    b"shpat_",
    b"shpss_",
    b"whsec_",
    b"eyJ",
    b"AGE-SECRET-KEY-",
    b"PRIVATE+KEY+",
    b"lin_api_",
    b"sq0atp-",
    b"sq0csp-",
    b"rubygems_",
    b"dapi",
    b"r8_",
];
/// The first two bytes of [`PREFIXES`], five bits of each: a bit per pair. Most words of ordinary text end here.
const PREFIX_PAIRS: [u64; 16] = prefix_pairs();
const PEM_START: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";

/// Bytes of the shortest run that is looked into, and of the shortest that may be a secret by its randomness alone.
const RUN_BYTES: usize = 8;
const RANDOM_BYTES: usize = 20;

/// The next secret in `text` at or after `from`.
#[must_use]
pub fn find(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at < text.len() {
        at += skip(text, at, |byte| !is_run(byte));
        let end = at + skip(text, at, is_run);
        let found = in_run(text, at, end).or_else(|| {
            // Two words in a row, as nearly everywhere in ordinary text: only few words make the next one a secret.
            let next = text.get(end + 1).copied().unwrap_or_default();
            if text.get(end) == Some(&b' ') && is_run(next) && !announces_a_word(text, at, end) {
                return None;
            }
            assigned(text, at, end).or_else(|| user_info(text, end))
        });
        if found.is_some() {
            return found;
        }
        at = end;
    }
    None
}

/// Whether the text begins as only a secret of a well-known maker does.
#[must_use]
pub fn has_known_start(text: &[u8]) -> bool {
    known_start(text, 0, skip(text, 0, is_run)).is_some()
}

/// A secret that starts within the run of token characters `start..end`.
fn in_run(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let run = text.get(start..end)?;
    if run.len() < RUN_BYTES {
        return None;
    }
    let mut inside_word = false;
    for (offset, byte) in run.iter().enumerate() {
        if !inside_word && let Some(length) = known_start(text, start + offset, end) {
            return Some(start + offset..start + offset + length);
        }
        inside_word = byte.is_ascii_alphanumeric();
    }
    if run.len() < RANDOM_BYTES {
        return None;
    }
    if is_random(run) {
        return Some(start..padded(text, end));
    }
    let mut at = start;
    for piece in run.split(|byte| matches!(byte, b'/' | b'.')) {
        if piece.len() >= RANDOM_BYTES && piece.len() < run.len() && is_random(piece) {
            return Some(at..padded(text, end));
        }
        at += piece.len() + 1;
    }
    None
}

/// The length of a secret with a well-known start at `start`, in a run that ends at `end`.
fn known_start(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let rest = text.get(start..end)?;
    let first = *rest.first()?;
    if first == b'-' {
        return private_key(text.get(start..)?);
    }
    let pair = pair(first, rest.get(1).copied()?);
    if PREFIX_PAIRS.get(pair / 64).is_none_or(|bits| bits >> (pair % 64) & 1 == 0) {
        return None;
    }
    let prefix = PREFIXES.iter().find(|prefix| rest.starts_with(prefix))?;
    let secret = rest.get(prefix.len()..)?;
    is_token(secret).then_some(padded(text, end) - start)
}

/// The length of a PEM private key at the start of `text`; to the end of the text when its last line is missing.
fn private_key(text: &[u8]) -> Option<usize> {
    let header = text.strip_prefix(PEM_START)?;
    let label = header.get(..skip(header, 0, |byte| byte.is_ascii_uppercase() || byte == b' '))?;
    if !label.windows(7).any(|word| word == b"PRIVATE") {
        return None;
    }
    let end = text.windows(PEM_END.len()).position(|window| window == PEM_END);
    let Some(end) = end.map(|end| end + PEM_END.len()) else { return Some(text.len()) };
    let label = end + skip(text, end, |byte| byte.is_ascii_uppercase() || byte == b' ');
    Some(label + skip(text, label, |byte| byte == b'-').min(5))
}

/// The value in `password = 'x'`, `"secret": "x"`, `--token x`, `PASSWORD 'x'`, `IDENTIFIED BY 'x'`, `Bearer x`, where
/// the run `start..end` is the name.
fn assigned(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let run = text.get(start..end).filter(|run| run.len() >= 2)?;
    let closed = text.get(end).is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`' | b']'));
    let after_name = end + usize::from(closed);
    let operator = after_name + skip(text, after_name, is_blank);
    let operator_end =
        operator + skip(text, operator, |byte| matches!(byte, b':' | b'=' | b'<' | b'>' | b'!'));
    let value = operator_end + skip(text, operator_end, is_blank);
    let quoted = text.get(value).is_some_and(|byte| is_quote(*byte));
    if !quoted && text.get(end..value).is_some_and(|between| between.contains(&b'\n')) {
        return None;
    }
    if operator_end == operator {
        let blank = value > end && !closed;
        if blank && !quoted && is_scheme(run) {
            return Some(bare(text, value)).filter(|range| text.get(range.clone()).is_some_and(is_token));
        }
        let sql = quoted
            && (is_secret_name(run) || (same(run, b"by") && ends_with_word(text, start, b"identified")));
        let flag = run.starts_with(b"--") && is_secret_name(run);
        if !(blank && (sql || flag)) {
            return None;
        }
    } else if !is_secret_name(run) {
        return None;
    }
    let range = if quoted { quoted_value(text, value) } else { bare_value(text, value) };
    Some(range).filter(|range| text.get(range.clone()).is_some_and(is_worth_hiding))
}

/// The password in `scheme://user:password@host`, where a run ended at `end`.
fn user_info(text: &[u8], end: usize) -> Option<Range<usize>> {
    let start = end + 3;
    let authority = text.get(end..start).filter(|mark| *mark == b"://").and_then(|_| text.get(start..))?;
    let length = skip(authority, 0, |byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'')
    });
    let authority = authority.get(..length)?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority.iter().position(|byte| *byte == b':').filter(|colon| colon + 1 < at)?;
    Some(start + colon + 1..start + at)
}

/// What stands between the quote at `open` and the one that closes it, which is neither doubled as in SQL nor behind a
/// backslash.
fn quoted_value(text: &[u8], open: usize) -> Range<usize> {
    let quote = text.get(open).copied().unwrap_or(b'"');
    let mut end = open + 1;
    while end < text.len() {
        end += skip(text, end, |byte| byte != quote && byte != b'\\');
        let escaped = text.get(end) == Some(&b'\\');
        if !escaped && text.get(end + 1) != Some(&quote) {
            break;
        }
        end += 2;
    }
    open + 1..end.min(text.len())
}

/// The unquoted value at `start`, with the token after a scheme such as `Bearer`.
fn bare_value(text: &[u8], start: usize) -> Range<usize> {
    let first = bare(text, start);
    let next = first.end + skip(text, first.end, is_blank);
    if next > first.end && text.get(first.clone()).is_some_and(is_scheme) { bare(text, next) } else { first }
}

fn bare(text: &[u8], start: usize) -> Range<usize> {
    let ends = |byte: u8| {
        byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'&' | b')' | b'}' | b'"' | b'\'')
    };
    start..start + skip(text, start, |byte| !ends(byte))
}

/// Values that stand for another value, or for none.
fn is_worth_hiding(value: &[u8]) -> bool {
    let parameter =
        matches!(value.split_first(), Some((b'$', digits)) if digits.iter().all(u8::is_ascii_digit));
    let nothing =
        [&b"?"[..], b"null", b"true", b"false", b"none", b"%s"].iter().any(|word| same(value, word));
    !(value.is_empty() || parameter || nothing)
}

/// Whether the run makes a secret of the word after it, with nothing but a space between: `Bearer x`, `--token x`.
fn announces_a_word(text: &[u8], start: usize, end: usize) -> bool {
    text.get(start..end).is_some_and(|run| is_scheme(run) || run.starts_with(b"--"))
}

/// Whether what follows `Bearer` is a token and not a word of prose.
fn is_token(word: &[u8]) -> bool {
    word.len() >= 20 || (word.len() >= 8 && word.iter().any(u8::is_ascii_digit))
}

fn is_scheme(word: &[u8]) -> bool {
    same(word, b"bearer") || same(word, b"basic") || same(word, b"token")
}

fn ends_with_word(text: &[u8], end: usize, word: &[u8]) -> bool {
    let before = text.get(..end).unwrap_or_default().trim_ascii_end();
    before.len() < end && same(tail(before, word.len()), word)
}

/// Whether letters and digits alternate as they do only in random text: base64, hexadecimal, base 32. Names made of
/// words, paths, dates and UUIDs (which are identifiers far more often than secrets) do not count.
fn is_random(run: &[u8]) -> bool {
    let (mut changes, mut letters_and_digits, mut digits) = (0_usize, 0_usize, 0_usize);
    let (mut before, mut before_that) = (Class::Other, Class::Other);
    let mut seen = 0_u128;
    for byte in run {
        let class = Class::of(*byte);
        let word_start = class == Class::Lower && before == Class::Upper && before_that != Class::Upper;
        let both = class != Class::Other && before != Class::Other;
        changes += usize::from(both && class != before && !word_start);
        letters_and_digits += usize::from(class != Class::Other);
        digits += usize::from(class == Class::Digit);
        seen |= 1 << (byte & 127);
        (before_that, before) = (before, class);
    }
    let mixed = digits > 0 && digits < letters_and_digits;
    let distinct = seen.count_ones();
    let hexadecimal = run.iter().all(u8::is_ascii_hexdigit);
    (mixed || distinct >= 16)
        && distinct >= if hexadecimal { 7 } else { 10 }
        && changes * if run.len() < 32 { 8 } else { 9 } >= letters_and_digits * 2
        && letters_and_digits * 8 >= run.len() * 7
        && !is_uuid(run)
}

fn is_uuid(run: &[u8]) -> bool {
    run.len() == 36
        && run.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Other,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b'a'..=b'z' => Self::Lower,
            b'A'..=b'Z' => Self::Upper,
            b'0'..=b'9' => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// How many bytes from `at` on are `wanted`.
pub(crate) fn skip(text: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len())
}

/// `end`, past base64 padding.
fn padded(text: &[u8], end: usize) -> usize {
    end + skip(text, end, |byte| byte == b'=').min(2)
}

pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.eq_ignore_ascii_case(right)
}

pub(crate) fn tail(text: &[u8], length: usize) -> &[u8] {
    text.get(text.len().saturating_sub(length)..).unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Characters that tokens are made of.
fn is_run(byte: u8) -> bool {
    RUN.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const RUN: [bool; 256] = {
    let mut run = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        run[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/' | b'.');
        byte += 1;
    }
    run
};

const fn pair(first: u8, second: u8) -> usize {
    ((first & 31) as usize) << 5 | (second & 31) as usize
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const fn prefix_pairs() -> [u64; 16] {
    let mut pairs = [0; 16];
    let mut index = 0;
    while index < PREFIXES.len() {
        let pair = pair(PREFIXES[index][0], PREFIXES[index][1]);
        pairs[pair / 64] |= 1 << (pair % 64);
        index += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Vec<&str> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(range) = find(text.as_bytes(), at) {
            at = range.end;
            found.push(&text[range]);
        }
        found
    }

    #[test]
    fn secrets_are_found_by_their_shape() {
        for secret in [
            "sk-proj-Ab12Cd34Ef56Gh78",
            "sk-svc-Zy98Xw76Vu54Ts32",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0abcdefghijkl",
            "glpat-abcdefghij1234567890",
            "AKIAIOSFODNN7EXAMPLE",
            "AIzaSyA-1234567890abcdefghijklmnopqrstu",
            "xoxb-123456789012-abcdefABCDEF",
            "ptn_at_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmFaabcdef",
            "npm_abcdefghijklmnopqrstuvwxyz0123456789",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "dGhpcyBpcyBhIHZlcnkgc2VjcmV0IGtleQ==",
            "kQ3xZp9Lm2Vt7Rw5Yb8Nc4Hd",
        ] {
            assert_eq!(secrets(secret), [secret]);
            let sql = format!("SELECT * FROM t WHERE k = '{secret}' AND n > 3");
            assert_eq!(secrets(&sql), [secret], "{sql}");
            assert_eq!(secrets(&format!("(see {secret}, and {secret})")), [secret, secret]);
        }
    }

    #[test]
    fn secrets_are_found_by_what_stands_before_them() {
        for (text, secret) in [
            ("ALTER USER ana PASSWORD 'hunter2'", "hunter2"),
            ("alter user ana identified by 'hunter2'", "hunter2"),
            ("update users set password='it''s me' where id=1", "it''s me"),
            ("password = \"hunter2\"", "hunter2"),
            ("WHERE `password` != 'hunter2'", "hunter2"),
            ("Server=db;User Id=sa;Password=hunter2;Timeout=3", "hunter2"),
            ("postgres://ana:hunter2@db.example.com/sales", "hunter2"),
            ("postgres://ana:hun@ter2@db.example.com/sales", "hun@ter2"),
            ("curl --token hunter2 -v", "hunter2"),
            ("curl -H 'Authorization: Bearer abc'", "abc"),
            ("Bearer abcdefgh1", "abcdefgh1"),
            ("{\"password\": \"hunter2\"}", "hunter2"),
            ("https://example.com/cb?x=1&access_token=abc&y=2", "abc"),
            ("'api_key' => 'abc'", "abc"),
            ("secret:\thunter2\nnext", "hunter2"),
            ("ALTER USER ana\n  PASSWORD\n  'hunter2'", "hunter2"),
            ("password = 'it\\'s me'", "it\\'s me"),
        ] {
            let found = secrets(text);
            assert!(found.iter().any(|found| found.contains(secret)), "{text}: {found:?}");
        }
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nIIGlRQ==\n-----END EC PRIVATE KEY-----";
        assert_eq!(secrets(&format!("key: {key} end")), [key]);
        assert_eq!(secrets("-----BEGIN PRIVATE KEY-----\nMHc"), ["-----BEGIN PRIVATE KEY-----\nMHc"]);
    }

    #[test]
    fn makers_are_known_by_the_start_alone() {
        for text in [
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "sk-proj-Ab12Cd34Ef56Gh78",
            "AKIAIOSFODNN7EXAMPLE and",
        ] {
            assert!(has_known_start(text.as_bytes()), "{text}");
        }
        for text in ["", "kQ3xZp9Lm2Vt7Rw5Yb8Nc4Hd", "hunter2", " ghp_16C7e42F292c6912E7710c838347Ae178B4a"] {
            assert!(!has_known_start(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in [
            "SELECT c.customer_id, SUM(o.total) FROM orders_2024 o JOIN customers c ON c.id = o.customer_id \
             WHERE o.placed_at >= '2024-01-01T00:00:00Z' GROUP BY 1 ORDER BY 2 DESC LIMIT 100",
            "SELECT password_hash_type FROM users WHERE token IS NOT NULL AND password = ? AND pin = $1",
            "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30",
            "550e8400-e29b-41d4-a716-446655440000",
            "https://example.com/a/rather/long/path/to/some/page.html?page=2&sort=asc",
            "getCustomerOrderHistoryByRegionAndProduct",
            "the token expiration and basic information pages",
            "customer_orders_by_region_2023_and_2024",
            "sk-learn and ask-me",
            "ana.garcia.lopez@example.com",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "12345678901234567890",
            "-----BEGIN CERTIFICATE-----",
            "2024-01-01T00:00:00.000Z",
            "a://b://c",
            "the password is wrong",
            "password:\nnext line",
            "Größe: 12 Straße",
        ] {
            assert!(secrets(text).is_empty(), "{text}: {:?}", secrets(text));
        }
    }
}
