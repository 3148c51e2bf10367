//! An entry that goes to the edge instead, and a value that is taken out: bytes of the file are replaced, all others stay
//! as they were, comments and blanks included. What comes out is read again and compared before anybody sees it.

use crate::place::{Client, Format, Word};
use crate::scan::{Found, Server, URLS};
use crate::tree::{Member, Node, Value, parse};
use std::ops::Range;

/// Bytes to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which.
    pub range: Range<usize>,
    /// By what.
    pub text: String,
}

/// Why a file is not rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It says something else than when it was searched, or cannot be read.
    #[error("the entry is not in the file any more, or the file cannot be read; search again")]
    Gone,
    /// A name on the way to the entry is there twice: programs differ in which one they take.
    #[error(
        "`{0}` is there twice, and programs differ in which one they take; leave one of them and try again"
    )]
    Twice(String),
    /// The edits would have changed something else.
    #[error(
        "the entry is written in a way that cannot be replaced without touching something else; edit it by hand"
    )]
    Entangled,
}

/// Bytes around an edit by which its place is known again.
const AROUND: usize = 48;
/// See [`AROUND`]; for an edit of [`DISTINCT`] bytes.
const LITTLE_AROUND: usize = 8;
const DISTINCT: usize = 16;

/// Members of an entry that say where its server is, and what it is given.
const CONNECTION: [&str; 24] = [
    "command",
    "args",
    "env",
    "envFile",
    "env_file",
    "cwd",
    "type",
    "transport",
    "transportType",
    "headers",
    "http_headers",
    "httpHeaders",
    "env_http_headers",
    "env_vars",
    "bearer_token_env_var",
    "bearer_token",
    "headersHelper",
    "requestInit",
    "oauth",
    "auth",
    "authProviderType",
    "environment",
    "initialize_timeout_override",
    "inputs",
];

/// The text with the server's entry replaced by one that goes to `url`. What else the entry says (`disabled`, `timeout`)
/// stays, unless there is a secret in it.
///
/// # Errors
/// When the entry is gone, ambiguous, or written so that other bytes would have to change.
pub fn entry(
    client: Client,
    format: Format,
    text: &str,
    server: &Server,
    secrets: &[Found],
    url: &str,
) -> Result<String, RewriteError> {
    let root = parse(format, text).map_err(|_| RewriteError::Gone)?;
    single(&root, &server.path)?;
    let node = root.at(&server.path).ok_or(RewriteError::Gone)?;
    let members = node.members();
    let goes = |member: &Member| {
        CONNECTION.contains(&member.key.as_str())
            || URLS.contains(&member.key.as_str())
            || secrets.iter().any(|found| {
                found.path.starts_with(&server.path) && found.path.get(server.path.len()) == Some(&member.key)
            })
    };
    let anchor = members.iter().position(|m| goes(m) && !matches!(m.value.value, Value::Table(_)));
    let anchor = anchor.ok_or(RewriteError::Gone)?;
    let words = client.entry(url);
    let edits = match format {
        Format::Json => {
            let spelled: Vec<String> =
                words.iter().map(|(key, word)| format!("{}: {}", quoted(key), spelled(word))).collect();
            joined_edits(members, anchor, goes, &spelled.join(", "))
        }
        Format::Toml => toml_edits(text, node, anchor, goes, &words),
        Format::Dotenv => return Err(RewriteError::Gone),
    };
    let edited = apply(text, edits).ok_or(RewriteError::Entangled)?;
    check(format, &root, &edited, server, members, goes, &words).ok_or(RewriteError::Entangled)?;
    Ok(edited)
}

/// The text with nothing where the secret's value was.
///
/// # Errors
/// When the value is gone, or other bytes would have to change.
pub fn without(format: Format, text: &str, found: &Found) -> Result<String, RewriteError> {
    let root = parse(format, text).map_err(|_| RewriteError::Gone)?;
    let path: Vec<String> = found.path.clone();
    single(&root, &path)?;
    let node = root.at(&path).filter(|node| node.span == found.span).ok_or(RewriteError::Gone)?;
    let nothing = if format == Format::Dotenv { "" } else { "\"\"" };
    let edit = Edit { range: node.span.clone(), text: nothing.to_owned() };
    let edited = apply(text, vec![edit]).ok_or(RewriteError::Entangled)?;
    let again = parse(format, &edited).map_err(|_| RewriteError::Entangled)?;
    let empty = again.at(&path).and_then(Node::text) == Some("");
    (empty && root.same_but(&again, &path)).then_some(edited).ok_or(RewriteError::Entangled)
}

/// Replaces the ranges; `None` when they overlap, lie outside of the text or cut a character.
#[must_use]
pub fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for edit in edits {
        out.push_str(text.get(at..edit.range.start)?);
        out.push_str(&edit.text);
        text.get(edit.range.clone())?;
        at = edit.range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// Takes an edit back in a text that was changed elsewhere since: what `edited` has in place of bytes of `original` must be
/// in `current` exactly once, with what stood around it.
#[must_use]
pub fn revert(original: &str, edited: &str, current: &str) -> Option<String> {
    let before = original.bytes().zip(edited.bytes()).take_while(|(left, right)| left == right).count();
    let room = original.len().min(edited.len()) - before;
    let same = |(left, right): &(u8, u8)| left == right;
    let after = original.bytes().rev().zip(edited.bytes().rev()).take(room).take_while(same).count();
    // Little around it is enough for what is long by itself.
    let distinct = edited.len() - before - after >= DISTINCT;
    let rooms: &[usize] = if distinct { &[AROUND, LITTLE_AROUND] } else { &[AROUND] };
    rooms.iter().find_map(|around| {
        let start = (0..=before.saturating_sub(*around)).rev().find(|at| edited.is_char_boundary(*at))?;
        let fits = |at: &usize| edited.is_char_boundary(edited.len() - at);
        let tail = (after.saturating_sub(*around)..=after).find(fits)?;
        let new = edited.get(start..edited.len() - tail)?;
        let old = original.get(start..original.len() - tail)?;
        let at = current.find(new)?;
        if new.is_empty()
            || current
                .get(at..)?
                .char_indices()
                .nth(1)
                .is_some_and(|(next, _)| current.get(at + next..).is_some_and(|rest| rest.contains(new)))
        {
            return None;
        }
        Some([current.get(..at)?, old, current.get(at + new.len()..)?].concat())
    })
}

/// Refuses a path with a name that is there twice.
fn single(root: &Node, path: &[String]) -> Result<(), RewriteError> {
    let mut node = root;
    for key in path {
        if node.members().iter().filter(|member| member.key == *key).count() > 1 {
            return Err(RewriteError::Twice(key.clone()));
        }
        node = &node.member(key).ok_or(RewriteError::Gone)?.value;
    }
    Ok(())
}

/// The first member that goes becomes `text`; the others go with the comma that joined them.
fn joined_edits(members: &[Member], anchor: usize, goes: impl Fn(&Member) -> bool, text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, member) in members.iter().enumerate().filter(|(_, member)| goes(member)) {
        let range = member.key_span.start..member.value.span.end;
        if index == anchor {
            edits.push(Edit { range, text: text.to_owned() });
        } else if index < anchor {
            let end = members.get(index + 1).map_or(range.end, |next| next.key_span.start);
            edits.push(Edit { range: range.start..end, text: String::new() });
        } else {
            let before = index.checked_sub(1).and_then(|index| members.get(index));
            let start = before.map_or(range.start, |member| member.value.span.end);
            edits.push(Edit { range: start..range.end, text: String::new() });
        }
    }
    edits
}

/// As in JSON for an entry in braces; else whole lines go, those of its sub-tables included.
fn toml_edits(
    text: &str,
    entry: &Node,
    anchor: usize,
    goes: impl Fn(&Member) -> bool,
    words: &[(&str, Word)],
) -> Vec<Edit> {
    let members = entry.members();
    let spelled: Vec<String> = words.iter().map(|(key, word)| format!("{key} = {}", spelled(word))).collect();
    if is_inline(text, entry) {
        return joined_edits(members, anchor, goes, &spelled.join(", "));
    }
    let mut edits = Vec::new();
    for (index, member) in members.iter().enumerate().filter(|(_, member)| goes(member)) {
        if index == anchor {
            let range = member.key_span.start..member.value.span.end;
            edits.push(Edit { range, text: spelled.join("\n") });
        } else {
            lines_of(text, member, &mut edits);
        }
    }
    edits
}

/// Whether a table of TOML is one in braces.
fn is_inline(text: &str, table: &Node) -> bool {
    text.get(table.span.clone()).is_some_and(|text| text.starts_with('{'))
}

/// The lines that a member and all below it are on.
fn lines_of(text: &str, member: &Member, edits: &mut Vec<Edit>) {
    let start =
        text.get(..member.key_span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let header = text.get(start..).is_some_and(|line| line.trim_start().starts_with('['));
    let table = matches!(member.value.value, Value::Table(_)) && !is_inline(text, &member.value);
    let last = if table { member.key_span.end } else { member.value.span.end };
    if header || !table {
        let rest = text.get(last..).unwrap_or_default();
        let end = last + rest.find('\n').map_or(rest.len(), |at| at + 1);
        push_line(edits, start..end);
    }
    if table {
        for member in member.value.members() {
            lines_of(text, member, edits);
        }
    }
}

/// Two members may be on one line: of a dotted name, or under one header.
fn push_line(edits: &mut Vec<Edit>, range: Range<usize>) {
    let edit = Edit { range, text: String::new() };
    if !edits.contains(&edit) {
        edits.push(edit);
    }
}

/// Whether what came out says what it should, and the same as before everywhere else.
fn check(
    format: Format,
    before: &Node,
    edited: &str,
    server: &Server,
    members: &[Member],
    goes: impl Fn(&Member) -> bool,
    words: &[(&str, Word)],
) -> Option<()> {
    let after = parse(format, edited).ok()?;
    let entry = after.at(&server.path)?;
    let kept: Vec<&Member> = members.iter().filter(|member| !goes(member)).collect();
    let stays = kept
        .iter()
        .all(|member| entry.member(&member.key).is_some_and(|now| now.value.same_but(&member.value, &[])));
    let says = words.iter().all(|(key, word)| {
        entry.member(key).is_some_and(|member| match word {
            Word::Text(text) => member.value.text() == Some(text),
            Word::List(list) => {
                let elements: Vec<_> = member.value.elements().iter().filter_map(Node::text).collect();
                elements == *list
            }
        })
    });
    let exact = entry.members().len() == kept.len() + words.len();
    (stays && says && exact && before.same_but(&after, &server.path)).then_some(())
}

fn spelled(word: &Word) -> String {
    match word {
        Word::Text(text) => quoted(text),
        Word::List(list) => {
            format!("[{}]", list.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text as JSON and TOML write it alike: a URL has nothing but visible ASCII.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
