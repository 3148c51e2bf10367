//! Encoded text, and space that pushes text out of sight.

use super::{Found, Severity};
use crate::text;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};

/// Characters from which a run counts as encoded.
const SHORTEST: usize = 40;
/// The same where what it means is no text.
const SHORTEST_OPAQUE: usize = 120;
/// Line breaks in a row that push text out of sight.
const LINES: usize = 12;
/// Blanks in a row that do.
const BLANKS: usize = 120;

pub(super) fn check(found: &mut Found, place: &str, content: &str) {
    let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    for run in content.split(|c: char| !encoded(c)).filter(|run| run.len() >= SHORTEST) {
        let run = run.trim_end_matches('=');
        if let Some(meaning) = decoded(run) {
            let what = "encoded text";
            found.push(
                "encoded-text",
                Severity::Serious,
                place,
                what,
                format!("it says: {}", text::shown(&meaning, 120)),
            );
        } else if run.len() >= SHORTEST_OPAQUE && looks_random(run) {
            let what = format!("{} characters that look encoded", run.len());
            found.push("encoded-text", Severity::Notable, place, what, text::shown(run, 60));
        }
    }
}

/// What base64 or hexadecimal digits mean, if that is text.
fn decoded(run: &str) -> Option<String> {
    let whole = run.get(..run.len() - run.len() % 4)?;
    let even = run.get(..run.len() - run.len() % 2)?;
    let bytes = HEXLOWER_PERMISSIVE
        .decode(even.as_bytes())
        .or_else(|_| BASE64_NOPAD.decode(whole.as_bytes()))
        .or_else(|_| BASE64URL_NOPAD.decode(whole.as_bytes()))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let plain = |c: char| c.is_ascii_graphic() || matches!(c, ' ' | '\n' | '\t' | '\r');
    text.chars().all(plain).then_some(text)
}

/// Large letters, small letters and digits, and no words of a path between slashes.
fn looks_random(run: &str) -> bool {
    run.bytes().any(|byte| byte.is_ascii_uppercase())
        && run.bytes().any(|byte| byte.is_ascii_lowercase())
        && run.bytes().filter(u8::is_ascii_digit).count() >= 4
}

pub(super) fn check_padding(found: &mut Found, place: &str, content: &str) {
    let content = content.trim_end();
    let (mut lines, mut blanks, mut seen) = (0, 0, false);
    for (at, c) in content.char_indices() {
        if !c.is_whitespace() {
            seen = true;
            (lines, blanks) = (0, 0);
            continue;
        }
        lines += usize::from(c == '\n');
        blanks += 1;
        if seen && (lines >= LINES || blanks >= BLANKS) {
            let rest = content.get(at..).unwrap_or_default().trim_start();
            let what = "much empty space, with more text behind it";
            return found.push("padding", Severity::Serious, place, what, text::shown(rest, 120));
        }
    }
}
