//! Keys, tokens and passwords by their makers' forms. Unlike what the ledger hides of arguments, randomness alone makes no
//! secret here: results are full of digests, identifiers and encoded data.

use super::context::{ends_secret_key, is_secret_key, word_before};
use super::{Found, SECRET, before, byte};
use portunus_core::limits::PRIVATE_KEY_BYTES;
use std::borrow::Cow;
use std::ops::Range;

/// How a token starts, how many token characters follow at least, and whether one of them must be a digit.
const FORMS: [(&[u8], usize, bool); 51] = [
    (b"sk-ant-", 20, false),
    (b"sk-proj-", 16, false),
    (b"sk-svcacct-", 16, false),
    (b"sk-svc-", 12, true),
    (b"sk-", 20, true),
    (b"sk_live_", 10, false),
    (b"sk_test_", 10, false),
    (b"rk_live_", 10, false),
    (b"rk_test_", 10, false),
    (b"pk_live_", 10, false),
    (b"whsec_", 16, false),
    (b"ghp_", 30, false),
    (b"gho_", 30, false),
    (b"ghu_", 30, false),
    (b"ghs_", 30, false),
    (b"ghr_", 30, false),
    (b"github_pat_", 20, false),
    (b"glpat-", 16, false),
    (b"gldt-", 16, false),
    (b"ptn_", 20, false),
    (b"AKIA", 16, false),
    (b"ASIA", 16, false),
    (b"AIza", 30, false),
    (b"ya29.", 20, false),
    (b"GOCSPX-", 20, false),
    (b"xoxb-", 10, true),
    (b"xoxp-", 10, true),
    (b"xoxa-", 10, true),
    (b"xoxr-", 10, true),
    (b"xoxs-", 10, true),
    (b"xoxe-", 10, true),
    (b"xoxe.", 10, true),
    (b"xapp-", 10, true),
    (b"hf_", 30, false),
    (b"npm_", 30, false),
    (b"pypi-", 40, false),
    (b"dop_v1_", 40, false),
    (b"SG.", 40, false),
    (b"hvs.", 20, false),
    (b"hvb.", 20, false),
    (b"shpat_", 24, false),
    (b"shpss_", 24, false),
    (b"AGE-SECRET-KEY-", 40, false),
    (b"PRIVATE+KEY+", 16, false),
    (b"lin_api_", 24, false),
    (b"sq0atp-", 16, false),
    (b"sq0csp-", 24, false),
    (b"rubygems_", 32, false),
    (b"r8_", 30, false),
    (b"gsk_", 30, false),
    (b"eyJ", 20, false),
];
/// A bit for the first three bytes of each of [`FORMS`], which few other words share.
const STARTS: [u64; 128] = starts();

pub(crate) const PEM_START: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";

/// Bytes of a value that are looked at before it is read to its end.
const PROBE_BYTES: usize = 256;

/// Every secret in `text`. `key` is the name of the member that the text is the value of.
pub(super) fn find(text: &str, key: Option<&str>, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    if let Some(key) = key
        && is_secret_key(key)
        && is_worth_hiding(bytes)
    {
        found.push(Found { range: 0..bytes.len(), class: SECRET });
        return;
    }
    if bytes.len() < 8 {
        return;
    }
    let mut push = |range: Range<usize>| {
        let end = range.end;
        found.push(Found { range, class: SECRET });
        end
    };
    let (mut at, mut no_dot) = (0, 0);
    while let Some(next) = bytes.get(at) {
        match kind(*next) {
            WORD => {
                at = token(bytes, at, &mut no_dot).map_or(at + 1, |end| push(at..end));
                at += run(bytes, at, |byte| kind(byte) == WORD);
            }
            SIGN => at = behind_sign(bytes, at).map_or(at, &mut push).max(at + 1),
            _ => at += 1,
        }
    }
}

/// The tokens of known makers and private keys in `text`: what nobody writes by chance.
#[must_use]
pub fn tokens(text: &str) -> Vec<Range<usize>> {
    let open = opened(text);
    let bytes = open.as_bytes();
    let (mut found, mut at, mut no_dot) = (Vec::new(), 0, 0);
    while let Some(next) = bytes.get(at) {
        let range = match kind(*next) {
            WORD => token(bytes, at, &mut no_dot).map(|end| at..end),
            SIGN if bytes.get(at..at + 2) == Some(b"--") => private_key(bytes, at),
            _ => None,
        };
        match range {
            Some(range) => {
                at = range.end;
                found.push(range);
            }
            None => at += 1,
        }
        if kind(*next) == WORD {
            at += run(bytes, at, |byte| kind(byte) == WORD);
        }
    }
    found
}

/// The text with spaces instead of escapes (`\\n`, `%3D`), whose last character would else be a token's first.
fn opened(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut open = text.as_bytes().to_vec();
    let mut at = 0;
    while at < open.len() {
        let length = match (byte(&open, at), byte(&open, at + 1)) {
            (b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'"' | b'/' | b'\\') => 2,
            (b'%', first) if first.is_ascii_hexdigit() && byte(&open, at + 2).is_ascii_hexdigit() => 3,
            _ => 0,
        };
        if let Some(escape) = open.get_mut(at..at + length) {
            escape.fill(b' ');
        }
        at += length.max(1);
    }
    String::from_utf8(open).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// What a `-`, `:`, `=` or space at `at` announces.
fn behind_sign(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    match byte(bytes, at) {
        b'-' if byte(bytes, at + 1) == b'-' => private_key(bytes, at),
        b'-' => None,
        b':' if bytes.get(at..at + 3) == Some(b"://") => user_info(bytes, at + 3),
        b' ' => {
            if !matches!(before(bytes, at), b'r' | b'R' | b'c' | b'C') {
                return None;
            }
            let word = word_before(bytes, at);
            let scheme = word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic");
            let start = at + 1;
            let end = start + run(bytes, start, is_token68);
            let value = bytes.get(start..end)?;
            let token = value.len() >= 16 && value.iter().any(u8::is_ascii_digit) || value.len() >= 32;
            (scheme && token).then_some(start..end)
        }
        _ => assigned(bytes, at),
    }
}

/// The value in `password=x`, `password: "x"`, `Pwd=x;`, `PASSWORD = 'x'` where `:` or `=` is at `at`.
fn assigned(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let mut name_end = at;
    while matches!(before(bytes, name_end), b' ' | b'"' | b'\'' | b'`' | b'\\')
        && name_end > 0
        && at - name_end < 4
    {
        name_end -= 1;
    }
    if !ends_secret_key(before(bytes, name_end)) {
        return None;
    }
    let mut name_start = name_end;
    while is_name(before(bytes, name_start)) && name_end - name_start < 48 && name_start > 0 {
        name_start -= 1;
    }
    let name =
        std::str::from_utf8(bytes.get(name_start..name_end)?).ok().filter(|name| is_secret_key(name))?;
    let mut start = at + 1;
    start += run(bytes, start, |byte| matches!(byte, b' ' | b'\\')).min(6);
    let quote = byte(bytes, start);
    let quoted = matches!(quote, b'"' | b'\'' | b'`');
    let from = start + usize::from(quoted);
    let goes_on = |byte: u8| {
        if quoted {
            byte != quote && byte != b'\n' && byte != b'\\'
        } else {
            let stops = matches!(byte, b';' | b'&' | b',' | b'"' | b'\'' | b')' | b'}' | b'|' | b'<' | b'>');
            !byte.is_ascii_whitespace() && !stops
        }
    };
    let probe = bytes.get(from..bytes.len().min(from + PROBE_BYTES))?;
    let value = probe.get(..run(probe, 0, goes_on))?;
    // In prose ("the password: please ask") a bare word is no password; behind `=` it is.
    let bare_word = byte(bytes, at) == b':' && !quoted && value.iter().all(u8::is_ascii_alphabetic);
    let hides = !bare_word && !name.is_empty() && is_worth_hiding(value);
    hides.then(|| from..from + run(bytes, from, goes_on))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The password in `scheme://user:password@host` whose authority starts at `start`.
fn user_info(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = bytes.get(start..bytes.len().min(start + 512))?;
    let length = rest.iter().position(|byte| {
        !byte.is_ascii_graphic() && *byte < 0x80
            || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
    });
    let authority = rest.get(..length.unwrap_or(rest.len()))?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority.iter().position(|byte| *byte == b':').filter(|colon| colon + 1 < at)?;
    let password = authority.get(colon + 1..at)?;
    is_worth_hiding(password).then_some(start + colon + 1..start + at)
}

/// The end of the token with a known start at `at`. From there to `no_dot` no part of a JWT has ended.
fn token(bytes: &[u8], at: usize, no_dot: &mut usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let [first, second, third, ..] = *rest else { return None };
    let bit = start_bit(first, second, third);
    if STARTS.get(bit / 64)? >> (bit % 64) & 1 == 0 {
        return None;
    }
    let fits = |start: &[u8]| start.first() == Some(&first) && rest.starts_with(start);
    FORMS.iter().filter(|(start, ..)| fits(start)).find_map(|(start, fewest, digit)| {
        // Only what fits is read to its end, so that hostile text is not read again and again.
        let from = at + start.len();
        let probe = bytes.get(from..bytes.len().min(from + PROBE_BYTES))?;
        let body = probe.get(..run(probe, 0, is_token_byte))?;
        let fits = match *start {
            b"AKIA" | b"ASIA" => {
                let key = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
                run(probe, 0, key) == 16 && !byte(probe, 16).is_ascii_alphanumeric()
            }
            b"eyJ" => is_jwt(bytes, from, no_dot),
            _ => !*digit || body.iter().any(u8::is_ascii_digit),
        };
        if !fits || body.len() < *fewest {
            return None;
        }
        let end = from + run(bytes, from, is_token_byte);
        // A full stop behind a token is not its own.
        let end = end - usize::from(before(bytes, end) == b'.');
        Some(end + run(bytes, end, |byte| byte == b'=').min(2))
    })
}

/// Whether base64url goes on from `from` up to a full stop with more behind it, as the first part of a JWT does, which is a
/// JSON object of any length (RFC 7515 section 7.1). Without the full stop it is any JSON in base64.
fn is_jwt(bytes: &[u8], from: usize, no_dot: &mut usize) -> bool {
    // What was read for an earlier start is not read again.
    let end = from.max(*no_dot);
    let end = end + run(bytes, end, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let found = byte(bytes, end) == b'.' && is_token_byte(byte(bytes, end + 1));
    *no_dot = end;
    found
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'/')
}

fn is_token68(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'~' | b'=')
}

/// A PEM private key (RFC 7468) whose first dash is at `at`; without an end line, all that may belong to it.
fn private_key(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    if before(bytes, at) == b'-' {
        return None;
    }
    let rest = bytes.get(at..)?;
    opens_private_key(rest)
        .then(|| at..at + end_of_private_key(rest).unwrap_or(rest.len().min(PRIVATE_KEY_BYTES)))
}

pub(crate) fn opens_private_key(text: &[u8]) -> bool {
    text.strip_prefix(PEM_START).is_some_and(|label| {
        let length =
            label.iter().take(64).take_while(|byte| byte.is_ascii_uppercase() || **byte == b' ').count();
        label.get(..length).is_some_and(|label| label.windows(7).any(|word| word == b"PRIVATE"))
    })
}

/// The offset behind a private key's end line, when it is within its bound.
pub(crate) fn end_of_private_key(text: &[u8]) -> Option<usize> {
    rest_of_private_key(text.get(..text.len().min(PRIVATE_KEY_BYTES))?)
}

/// The offset behind the end line that is in this text.
pub(crate) fn rest_of_private_key(text: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(text, PEM_END)? + PEM_END.len();
    let end = end + run(text, end, |byte| byte.is_ascii_uppercase() || byte == b' ');
    Some(end + run(text, end, |byte| byte == b'-').min(5))
}

/// Values that stand for nothing, or are what an earlier screening left.
fn is_worth_hiding(value: &[u8]) -> bool {
    let nothing: [&[u8]; 11] =
        [b"", b"null", b"none", b"true", b"false", b"string", b"***", b"?", b"%s", b"undefined", b"nil"];
    let variable = value.starts_with(b"$") || value.starts_with(b"{{") || value.starts_with(b"<");
    let left = crate::treat::is_replacement(value);
    let stars = value.iter().all(|byte| *byte == b'*' || *byte == b'.' || byte.is_ascii_whitespace());
    !(variable || left || stars || nothing.iter().any(|word| word.eq_ignore_ascii_case(value)))
}

/// How many bytes from `at` on are `wanted`.
fn run(bytes: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len())
}

const WORD: u8 = 1;
const SIGN: u8 = 2;

fn kind(byte: u8) -> u8 {
    KIND.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const KIND: [u8; 256] = {
    let mut kind = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            kind[byte as usize] = WORD;
        } else if matches!(byte, b'-' | b':' | b'=' | b' ') {
            kind[byte as usize] = SIGN;
        }
        byte += 1;
    }
    kind
};

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const fn starts() -> [u64; 128] {
    let mut starts = [0; 128];
    let mut index = 0;
    while index < FORMS.len() {
        let form = FORMS[index].0;
        let bit = start_bit(form[0], form[1], form[2]);
        starts[bit / 64] |= 1 << (bit % 64);
        index += 1;
    }
    starts
}

/// The bit in [`STARTS`], from the upper bits of a product so that words that are alike fall apart; below 8192.
const fn start_bit(first: u8, second: u8, third: u8) -> usize {
    let three = first as u32 | (second as u32) << 8 | (third as u32) << 16;
    (three.wrapping_mul(0x9E37_79B1) >> 19) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<'a>(text: &'a str, key: Option<&str>) -> Vec<&'a str> {
        let mut found = Vec::new();
        find(text, key, &mut found);
        found.into_iter().map(|found| &text[found.range]).collect()
    }

    #[test]
    fn tokens_are_found_by_their_makers_forms() {
        for token in [
            "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
            "sk-proj-Ab12Cd34Ef56Gh78Ij90",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "AKIAIOSFODNN7EXAMPLE",
            "xoxb-123456789012-abcdefABCDEF",
            "ptn_at_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
            &format!("eyJ{}.eyJzdWIiOiIxMjM0In0.dozj", "hbGci0Ijo".repeat(1000)),
        ] {
            for text in [
                token.to_owned(),
                format!("use {token} now"),
                format!("({token})"),
                format!("k={token};"),
                format!("\"{token}\""),
            ] {
                assert_eq!(all(&text, None), [token], "{text}");
            }
        }
    }

    #[test]
    fn secrets_are_found_by_what_stands_before_them() {
        for (text, secret) in [
            ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
            ("postgres://ana:hunter2@db.example.com/sales", "hunter2"),
            ("Server=db;User Id=sa;Password=hunter2;Timeout=3", "hunter2"),
            ("password = \"hunter 2\"", "hunter 2"),
            ("{'api_key': 'x1y2z3'}", "x1y2z3"),
            ("{\\\"client_secret\\\": \\\"x1y2z3\\\"}", "x1y2z3"),
        ] {
            assert_eq!(all(text, None), [secret], "{text}");
        }
        assert_eq!(all("hunter2", Some("db_password")), ["hunter2"]);
    }

    #[test]
    fn what_only_looks_random_or_only_speaks_of_secrets_stays() {
        for text in [
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "dGhpcyBpcyBhIHZlcnkgc2VjcmV0IGtleQ==",
            "the password: please ask your administrator",
            "sk-learn and risk-averse",
            "https://example.com:8080/a@b",
            "eyJub3QiOiJhIHRva2VuIn0",
            &format!("eyJ{}", "hbGci0Ijo".repeat(100)),
            &format!("see eyJ{}. Then", "hbGci0Ijo".repeat(100)),
            "AKIAB",
            "password=",
            "password: ***",
            "-----BEGIN CERTIFICATE-----",
            "bearer of news",
            "basic understanding of things",
            "task-force",
            "[secret]",
        ] {
            assert!(all(text, None).is_empty(), "{text} {:?}", all(text, None));
        }
        for text in ["", "[secret]", "null", "***"] {
            assert!(all(text, Some("password")).is_empty(), "{text}");
        }
    }
}
