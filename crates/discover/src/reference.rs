//! What only stands for a secret: `${input:token}`, `${env:TOKEN}`, `$TOKEN`, `%TOKEN%`, `{{token}}`, `op://vault/item`, and
//! what a person has yet to fill in: `<your key>`, `YOUR_API_KEY`, `xxxx`.

use std::ops::Range;

/// Schemes of texts that name a secret in a safe.
const SAFES: [&str; 12] = [
    "op://",
    "vault:",
    "vault://",
    "secret://",
    "keyring:",
    "keychain:",
    "pass://",
    "ref+",
    "awssm://",
    "gcpsm://",
    "bws://",
    "env:",
];

/// Bytes of the longest reference.
const REFERENCE_BYTES: usize = 1024;

/// The references in a text, in order. The default in `${NAME:-default}` is not part of one: it is as plain as any text.
#[must_use]
pub fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let length = match rest.as_bytes() {
            [b'$', b'{', ..] => braced(rest),
            [b'$', b'(', ..] => close(rest, ")"),
            [b'{', b'{', ..] => close(rest, "}}"),
            [b'$', ..] if opens(before) => variable(rest),
            [b'%', ..] => percent(rest),
            [b'<', ..] => to_fill_in(rest),
            _ => None,
        };
        match length {
            Some(length) => {
                found.push(at..at + length);
                at += length;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    found
}

/// The bytes up to and with the mark. What opens and does not close is not looked through again and again.
fn close(text: &str, mark: &str) -> Option<usize> {
    let bytes = text.as_bytes().get(..text.len().min(REFERENCE_BYTES))?;
    bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).map(|at| at + mark.len())
}

/// Whether one of the references, which are in order, overlaps the range.
#[must_use]
pub fn covers(references: &[Range<usize>], range: &Range<usize>) -> bool {
    let next = references.partition_point(|reference| reference.end <= range.start);
    references.get(next).is_some_and(|reference| reference.start < range.end)
}

/// `${NAME}`; of `${NAME:-default}` what stands before the default.
fn braced(text: &str) -> Option<usize> {
    let end = close(text, "}")? - 1;
    let inside = text.get(2..end)?;
    let name = inside.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let operator = inside.get(name..)?;
    let length =
        [":-", ":=", ":+", "-", "="].iter().find(|mark| operator.starts_with(**mark)).map(|mark| mark.len());
    // `${input:name}` and `${env:NAME}` are references as a whole.
    Some(match length {
        Some(length) if name > 0 => 2 + name + length,
        _ => end + 1,
    })
}

/// `$NAME` in capitals, or as the whole text in any letters.
fn variable(text: &str) -> Option<usize> {
    let name = text.bytes().skip(1).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let inside = text.get(1..=name)?;
    let starts = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let capitals = !inside.contains(|c: char| c.is_ascii_lowercase());
    (starts && (capitals || name + 1 == text.len())).then_some(name + 1)
}

/// `<your token>`: words in angle brackets.
fn to_fill_in(text: &str) -> Option<usize> {
    let end = close(text, ">")?;
    let words = text.get(1..end - 1)?;
    let fits = |c: char| c.is_ascii_alphabetic() || matches!(c, ' ' | '_' | '-');
    (words.len() <= 64 && !words.is_empty() && words.chars().all(fits)).then_some(end)
}

fn percent(text: &str) -> Option<usize> {
    let name = text
        .bytes()
        .skip(1)
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        .count();
    (name > 2 && text.as_bytes().get(name + 1) == Some(&b'%')).then_some(name + 2)
}

/// Whether a variable may begin after this character: within a word, `$` is a character like others.
fn opens(before: Option<char>) -> bool {
    before.is_none_or(|c| {
        c.is_whitespace() || matches!(c, ':' | '=' | '/' | '@' | '"' | '\'' | ',' | '&' | ';')
    })
}

/// Whether the text is nothing that anybody could sign in with: empty, a reference, or a place to fill in.
#[must_use]
pub fn is_hollow(text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let inner = lower.trim_matches(|c| matches!(c, '<' | '>' | '[' | ']' | '{' | '}' | '"' | '\''));
    let bracketed =
        (text.starts_with('<') && text.ends_with('>')) || (text.starts_with('[') && text.ends_with(']'));
    let same = |c: char| matches!(c, 'x' | '*' | '.' | '-' | '_' | '#' | '…' | '•');
    let asks = [
        "your_", "your-", "your ", "my_", "my-", "insert_", "insert-", "enter_", "enter-", "replace_",
        "replace-",
    ];
    let asks = asks.iter().any(|start| inner.starts_with(start))
        || inner == "replaceme"
        || inner.ends_with("_here")
        || inner.ends_with("-here");
    text.is_empty()
        || bracketed
        || inner.chars().all(same)
        // A maker's start with a word or dots to fill in: `sk-...`, `ghp_xxxx`.
        || (inner.ends_with("...") || inner.ends_with("xxxx")) && inner.len() < 40
        || (asks && !inner.contains(|c: char| c.is_ascii_digit()))
        || SAFES.iter().any(|safe| lower.starts_with(safe))
        || rest(text).trim().is_empty()
}

/// The text without its references.
#[must_use]
pub fn rest(text: &str) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for range in find(text) {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_something_else_is_no_secret() {
        for text in [
            "",
            " ",
            "${TOKEN}",
            "${env:TOKEN}",
            "${input:github-token}",
            "$TOKEN",
            "$token",
            "%API_TOKEN%",
            "{{ token }}",
            "$(pass show x)",
            "<your key>",
            "<YOUR_API_KEY>",
            "YOUR_API_KEY",
            "your-token",
            "xxxxxxxx",
            "****",
            "...",
            "sk-...",
            "ghp_xxxxxxxxxxxx",
            "op://Private/github/token",
            "INSERT_KEY_HERE",
            "${A}${B}",
            "[token]",
        ] {
            assert!(is_hollow(text), "{text}");
        }
    }

    #[test]
    fn what_only_holds_a_dollar_or_asks_is_kept() {
        for text in [
            "pa$$word",
            "S3cr$ABC",
            "hunter2",
            "x$y",
            "${TOKEN:-ghp_16C7e42F292c}",
            "100%SURE%",
            "my-s3cret-7",
        ] {
            assert!(!is_hollow(text), "{text}");
        }
        assert_eq!(rest("${TOKEN:-abc}"), "abc}");
        assert_eq!(rest("Bearer ${TOKEN}"), "Bearer ");
    }
}
