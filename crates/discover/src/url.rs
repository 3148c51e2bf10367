//! Secrets in URLs: before the host, and among the parameters.

use crate::recognise::{Spot, Why, is_likely};
use crate::reference;
use portunus_ledger::secret_name::is_secret_name;
use std::ops::Range;

/// Parameters that carry a secret though their names say little.
const PARAMETERS: [&str; 10] = ["key", "sig", "code", "sid", "auth", "k", "apikey", "st", "pat", "sas"];

/// Whether the text begins as a URL of the web or of MCP's transports does.
pub(crate) fn is_url(text: &str) -> bool {
    ["http://", "https://", "ws://", "wss://", "sse://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Adds the secrets of all URLs in the text.
pub(crate) fn spots(text: &str, references: &[Range<usize>], spots: &mut Vec<Spot>) {
    // At most one so far: what the name of the whole text says.
    let named: Vec<Range<usize>> = spots.iter().map(|spot| spot.range.clone()).collect();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("://")) {
        let start = at + found + 3;
        let end = start + length(text.get(start..).unwrap_or_default());
        for (range, why) in user_info(text, start..end).into_iter().chain(parameters(text, start..end)) {
            let secret = text.get(range.clone()).unwrap_or_default();
            let taken = reference::covers(&named, &range) || reference::covers(references, &range);
            if !taken && !reference::is_hollow(secret) {
                spots.push(Spot { range, why });
            }
        }
        at = end.max(start);
    }
}

fn length(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(text.len())
}

/// The password in `user:password@`, or a key that is the only thing before `@`.
fn user_info(text: &str, url: Range<usize>) -> Option<(Range<usize>, Why)> {
    let rest = text.get(url.clone())?;
    let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    // A password may hold an unescaped `/`; the last `@` before the query then tells.
    let authority = if authority.contains('@') {
        authority
    } else {
        rest.get(..rest.find(['?', '#']).unwrap_or(rest.len()))?
    };
    let at = authority.rfind('@')?;
    let user = authority.get(..at)?;
    match user.find(':') {
        Some(colon) if colon + 1 < at => Some((url.start + colon + 1..url.start + at, Why::UserInfo)),
        Some(_) => None,
        None => (!user.contains('/') && is_likely(user)).then(|| (url.start..url.start + at, Why::UserInfo)),
    }
}

fn parameters(text: &str, url: Range<usize>) -> Vec<(Range<usize>, Why)> {
    let rest = text.get(url.clone()).unwrap_or_default();
    let Some(query) = rest.find(['?', '#']) else { return Vec::new() };
    let (mut found, mut at) = (Vec::new(), url.start + query + 1);
    for pair in rest.get(query + 1..).unwrap_or_default().split(['&', '#', ';', '?']) {
        if let Some((name, value)) = pair.split_once('=') {
            let known = PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known));
            let start = at + name.len() + 1;
            if value.len() >= 3 && (is_secret_name(name.as_bytes()) || known || is_key(name)) {
                found.push((start..start + value.len(), Why::Query));
            }
        }
        at += pair.len() + 1;
    }
    found
}

fn is_key(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with("key") && lower != "sortkey" && lower != "sort_key"
}

/// The user before the password that begins at `at`.
pub(crate) fn user_before(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at)?.strip_suffix(':')?;
    before.get(before.rfind("://")? + 3..)
}

/// The name of the parameter whose value begins at `at`.
pub(crate) fn parameter_before(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at)?.strip_suffix('=')?;
    before.get(before.rfind(['?', '&', '#', ';'])? + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_are_found_and_named() {
        for (text, secret) in [
            ("https://ana:hunter2@example.com/mcp", "hunter2"),
            ("https://a1b2c3d4e5f6a7b8@sentry.example.com/1", "a1b2c3d4e5f6a7b8"),
            ("https://example.com/mcp?api_key=abc&x=1", "abc"),
            ("https://example.com/mcp?x=1&key=abc#top", "abc"),
            ("go to https://example.com/?access_token=abc now", "abc"),
            ("postgres://u:p/q@db/x", "p/q"),
        ] {
            let mut found = Vec::new();
            spots(text, &reference::find(text), &mut found);
            let found: Vec<&str> = found.into_iter().map(|spot| text.get(spot.range).unwrap()).collect();
            assert_eq!(found, [secret], "{text}");
        }
        let text = "https://ana:hunter2@example.com/?key=abc";
        assert_eq!(user_before(text, 12), Some("ana"));
        assert_eq!(parameter_before(text, 37), Some("key"));
        for text in [
            "https://example.com/a@b",
            "https://u:${PW}@h/",
            "https://h/?q=token&page=2",
            "https://ana@h/",
            "a://",
        ] {
            let mut found = Vec::new();
            spots(text, &reference::find(text), &mut found);
            assert!(found.is_empty(), "{text} {found:?}");
        }
    }
}
