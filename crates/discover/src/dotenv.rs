//! Environment files: `NAME=value`, `export NAME="value"`, with quotes that may span lines, and comments.

use crate::tree::{Budget, Member, Node, TreeError, Value};
use std::ops::Range;
use zeroize::Zeroizing;

/// Reads what can be read; a line that assigns nothing is nothing.
pub(crate) fn parse(text: &str) -> Result<Node, TreeError> {
    let (mut members, mut budget) = (Vec::new(), Budget::new());
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let line = rest.split_inclusive('\n').next().unwrap_or_default();
        let Some((key, value)) = assignment(text, at..at + line.len()) else {
            at += line.len();
            continue;
        };
        budget.take(1)?;
        let (span, value) = value_at(text, value, at + line.len());
        // A quoted value may have gone on over lines.
        at = (at + line.len()).max(end_of_line(text, span.end));
        let name = text.get(key.clone()).unwrap_or_default().to_owned();
        members.push(Member { key: name, key_span: key, value: Node { span, value: Value::Text(value) } });
    }
    Ok(Node { span: 0..text.len(), value: Value::Table(members) })
}

/// Where the name is, and where the value begins, when the line assigns one.
fn assignment(text: &str, line: Range<usize>) -> Option<(Range<usize>, usize)> {
    let whole = text.get(line.clone())?;
    let mut rest = whole.trim_start_matches(['\u{feff}', ' ', '\t']);
    for word in ["export ", "set ", "setx "] {
        rest = rest.strip_prefix(word).unwrap_or(rest).trim_start_matches([' ', '\t']);
    }
    let start = line.end - rest.len();
    let length = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    let after = rest.get(length..)?.trim_start_matches([' ', '\t']);
    // Some readers take `NAME: value` as well.
    let value = after.strip_prefix('=').or_else(|| after.strip_prefix(": "))?.trim_start_matches([' ', '\t']);
    (length > 0).then(|| (start..start + length, line.end - value.len()))
}

/// The bytes of a value that begins at `at`, quotes included, and what it says.
fn value_at(text: &str, at: usize, line_end: usize) -> (Range<usize>, Zeroizing<String>) {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))
        && let Some(length) = closed(rest, quote)
    {
        let inner = rest.get(1..length - 1).unwrap_or_default();
        return (
            at..at + length,
            if quote == '"' { unescaped(inner) } else { Zeroizing::new(inner.to_owned()) },
        );
    }
    let line = text.get(at..line_end).unwrap_or_default();
    let line = if line.starts_with('#') { "" } else { line };
    let value = line.split([' ', '\t']).next().map_or(line, |first| {
        // ` #` begins a comment; other blanks are part of the value.
        let comment = line.find(" #").or_else(|| line.find("\t#"));
        comment.map_or(line, |end| line.get(..end).unwrap_or(first))
    });
    let value = value.trim_end();
    (at..at + value.len(), Zeroizing::new(value.to_owned()))
}

/// The length of a quoted value with both quotes, when it is closed.
fn closed(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

fn end_of_line(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.find('\n').map_or(rest.len(), |end| end + 1)
}
