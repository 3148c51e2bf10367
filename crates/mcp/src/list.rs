//! Lists: entries that policy refuses are cut out of the answer, all other bytes stay as they are.
//!
//! An answer that cannot be read without doubt is an error, and must be withheld.

use crate::envelope::NAMES;
use crate::json::{self, Bounds, JsonError, Kind, Part, Raw, Scan, misspelling};
use crate::message::{Era, List, shown};
use bytes::Bytes;
use portunus_core::limits;
use std::collections::HashSet;
use std::ops::Range;

/// Members of a tool that this module reads.
const TOOL: [&str; 3] = ["name", "inputSchema", "annotations"];
/// Members of a tool's annotations.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// A list after filtering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The message; the very bytes that came in when nothing had to change.
    pub body: Bytes,
    /// Entries that were cut out.
    pub removed: usize,
}

/// One tool of a `tools/list` result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolView {
    /// Its name.
    pub name: String,
    /// Its whole definition, exactly as sent.
    pub raw: Bytes,
    /// Its input schema, exactly as sent; an object.
    pub input_schema: Option<Bytes>,
    /// What it claims about itself.
    pub annotations: Annotations,
}

/// A tool's claims about itself. `None`: absent, or not a truth value; the cautious default applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Annotations {
    /// `readOnlyHint`
    pub read_only: Option<bool>,
    /// `destructiveHint`
    pub destructive: Option<bool>,
    /// `idempotentHint`
    pub idempotent: Option<bool>,
    /// `openWorldHint`
    pub open_world: Option<bool>,
}

/// Why a list cannot be read without doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not unambiguous JSON.
    #[error("the server's answer cannot be read: {0}")]
    Json(#[from] JsonError),
    /// Not one JSON-RPC message.
    #[error("the server's answer is not a JSON-RPC message: {0}")]
    Envelope(&'static str),
    /// A member that some clients would read and others not.
    #[error("the server's answer has {wrong:?} where {right:?} is meant")]
    Spelling {
        /// As it stands there.
        wrong: String,
        /// As the protocol has it.
        right: &'static str,
    },
    /// The list is not an array of objects with names.
    #[error("entry {index} of {list:?} {why}")]
    Entry {
        /// The list's name.
        list: &'static str,
        /// From 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two entries of the same name.
    #[error("{list:?} has two entries {name:?}")]
    Duplicate {
        /// The list's name.
        list: &'static str,
        /// The entries' name.
        name: String,
    },
}

/// Cuts the entries that `keep` refuses out of a response. In the modern era the result becomes `"cacheScope":"private"`
/// even when nothing was cut, since another caller's list may differ. Errors, notifications and results without the list
/// pass untouched.
///
/// # Errors
/// See [`ListError`]: the answer must be withheld.
pub fn rewrite(
    list: List,
    era: Era,
    body: &Bytes,
    keep: &mut dyn FnMut(&str) -> bool,
) -> Result<Rewritten, ListError> {
    let scan = json::scan(body, &Bounds::default())?;
    let Some(array) = array(&scan, list)? else { return Ok(Rewritten { body: body.clone(), removed: 0 }) };
    let mut kept = Vec::new();
    let mut removed = 0;
    for (name, entry) in entries(list, array)? {
        if keep(&name) {
            kept.push(entry.text());
        } else {
            removed += 1;
        }
    }
    let mut edits = Vec::new();
    if removed > 0 {
        edits.extend(edit(body, array, format!("[{}]", kept.join(","))));
    }
    if era == Era::Modern {
        edits.extend(make_private(body, &scan));
    }
    Ok(Rewritten { body: splice(body, edits), removed })
}

/// The tools of a `tools/list` response; none when it is an error or another message.
///
/// # Errors
/// See [`ListError`].
pub fn tools(body: &Bytes) -> Result<Vec<ToolView>, ListError> {
    let scan = json::scan(body, &Bounds::default())?;
    let Some(array) = array(&scan, List::Tools)? else { return Ok(Vec::new()) };
    let entries = entries(List::Tools, array)?;
    entries.into_iter().map(|(name, tool)| view(body, name, tool)).collect()
}

/// The entries of a list, each with its name and its whole definition exactly as sent; `None` when the message is an error,
/// a notification or another result.
///
/// # Errors
/// See [`ListError`].
pub fn definitions(list: List, body: &Bytes) -> Result<Option<Vec<(String, Bytes)>>, ListError> {
    let scan = json::scan(body, &Bounds::default())?;
    let Some(array) = array(&scan, list)? else { return Ok(None) };
    let entries = entries(list, array)?.into_iter();
    Ok(Some(entries.map(|(name, entry)| (name, body.slice_ref(entry.text().as_bytes()))).collect()))
}

/// Where the next page of a list begins; `None` when there is none, or the answer is no result.
#[must_use]
pub fn next_cursor(body: &Bytes) -> Option<String> {
    let scan = json::scan(body, &Bounds::default()).ok()?;
    scan.get(Part::Result, "nextCursor")?.string().map(|cursor| cursor.into_owned())
}

fn view(body: &Bytes, name: String, tool: Raw<'_>) -> Result<ToolView, ListError> {
    let annotations = tool.get("annotations");
    check_spelling(annotations.into_iter().flat_map(Raw::members).map(|(key, _)| key), &HINTS)?;
    let hint = |key| annotations.and_then(|annotations| annotations.get(key)).and_then(Raw::bool);
    let schema = tool.get("inputSchema").filter(|schema| schema.kind() == Kind::Object);
    Ok(ToolView {
        name,
        raw: body.slice_ref(tool.text().as_bytes()),
        input_schema: schema.map(|schema| body.slice_ref(schema.text().as_bytes())),
        annotations: Annotations {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        },
    })
}

/// The list of a response; `None` when the message has none to filter.
pub(crate) fn array<'a>(scan: &Scan<'a>, list: List) -> Result<Option<Raw<'a>>, ListError> {
    if scan.root().kind() != Kind::Object {
        return Err(ListError::Envelope("it is not an object"));
    }
    check_spelling(scan.members(Part::Root).map(|(key, _)| key), &NAMES)?;
    let has = |key| scan.get(Part::Root, key).is_some();
    match (has("result"), has("error"), has("method")) {
        (true, false, false) => {}
        (false, true, false) | (false, false, true) => return Ok(None),
        _ => return Err(ListError::Envelope("it must have one of result, error and method")),
    }
    check_spelling(scan.members(Part::Result).map(|(key, _)| key), &[list.key(), "cacheScope"])?;
    match scan.get(Part::Result, list.key()) {
        Some(array) if array.kind() == Kind::Array => Ok(Some(array)),
        Some(_) => Err(ListError::Envelope("its list is not an array")),
        None => Ok(None),
    }
}

/// The entries with their names, each name once.
pub(crate) fn entries<'a>(list: List, array: Raw<'a>) -> Result<Vec<(String, Raw<'a>)>, ListError> {
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    let known: &[&'static str] = if list == List::Tools { &TOOL } else { &[list.entry_key()] };
    for (index, entry) in array.elements().enumerate() {
        let wrong = |why| ListError::Entry { list: list.key(), index, why };
        if entry.kind() != Kind::Object {
            return Err(wrong("is not an object"));
        }
        let mut name = None;
        // One walk over the members for both: lists are long.
        let keys = entry.members().map(|(key, value)| {
            if key == list.entry_key() {
                name = value.string();
            }
            key
        });
        check_spelling(keys, known)?;
        let name = name.ok_or_else(|| wrong("has no name"))?;
        if name.is_empty() || name.len() > limits::URI_BYTES {
            return Err(wrong("has a name that is empty or too long"));
        }
        if !seen.insert(name.clone()) {
            return Err(ListError::Duplicate { list: list.key(), name: shown(&name) });
        }
        entries.push((name.into_owned(), entry));
    }
    Ok(entries)
}

fn check_spelling<K: AsRef<str>>(
    keys: impl IntoIterator<Item = K>,
    known: &[&'static str],
) -> Result<(), ListError> {
    match misspelling(keys, known) {
        Some((wrong, right)) => Err(ListError::Spelling { wrong: shown(&wrong), right }),
        None => Ok(()),
    }
}

/// The edit that gives a result `"cacheScope":"private"`.
fn make_private(body: &[u8], scan: &Scan<'_>) -> Option<(Range<usize>, String)> {
    match scan.get(Part::Result, "cacheScope") {
        Some(scope) if scope.string().as_deref() == Some("private") => None,
        Some(scope) => edit(body, scope, "\"private\"".to_owned()),
        None => {
            // Behind the opening brace. The result holds a list, so a member follows.
            let at = scan.get(Part::Root, "result")?.range_in(body)?.start + 1;
            Some((at..at, "\"cacheScope\":\"private\",".to_owned()))
        }
    }
}

pub(crate) fn edit(body: &[u8], old: Raw<'_>, new: String) -> Option<(Range<usize>, String)> {
    Some((old.range_in(body)?, new))
}

/// The body with some ranges replaced, which do not overlap.
pub(crate) fn splice(body: &Bytes, mut edits: Vec<(Range<usize>, String)>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(body.len() + 32);
    let mut at = 0;
    for (range, new) in &edits {
        out.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out.into()
}
