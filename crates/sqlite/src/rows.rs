//! Running a statement and keeping a bounded page of its rows, as JSON and as a table in text.

use crate::decision::Decision;
use crate::failure::Failure;
use crate::flow::Shown;
use crate::prepare;
use crate::session::Frame;
use crate::treat::{Key, treat};
use rusqlite::types::{Value, ValueRef};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ResultColumn {
    /// Name or alias.
    pub(crate) name: String,
    /// `integer`, `real`, `text`, `blob`, `mixed`, or `null` when every value of the page is NULL.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// Some rows of a result.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) rows: Vec<Vec<Json>>,
    /// There are more rows after these.
    pub(crate) more: bool,
}

/// Which rows of a result, and how much of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) offset: u64,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Window {
    /// As large as the server gives and the gateway decided, whichever is less.
    pub(crate) fn within(self, decision: &Decision) -> Self {
        let least = |own: usize, decided: Option<std::num::NonZeroUsize>| {
            decided.map_or(own, |most| own.min(most.get()))
        };
        Self { rows: least(self.rows, decision.rows), bytes: least(self.bytes, decision.bytes), ..self }
    }
}

/// Runs a SELECT in its frame.
pub(crate) fn select(
    frame: &Frame<'_>,
    sql: &str,
    parameters: &[Value],
    window: Window,
) -> Result<Page, Failure> {
    let run = || {
        let mut ready = prepare::read(frame, sql, parameters)?;
        collect_shown(&mut ready.statement, window, &ready.shown, frame.decision.key.as_ref())
    };
    run().map_err(|failure| frame.explain(failure, sql))
}

/// Steps through a statement whose parameters are bound.
pub(crate) fn collect(statement: &mut rusqlite::Statement<'_>, window: Window) -> Result<Page, Failure> {
    collect_shown(statement, window, &[], None)
}

fn collect_shown(
    statement: &mut rusqlite::Statement<'_>,
    window: Window,
    shown: &[Option<Shown>],
    key: Option<&Key>,
) -> Result<Page, Failure> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut kinds: Vec<Option<&'static str>> = vec![None; names.len()];
    let mut page = Page::default();
    let mut rows = statement.raw_query();
    let mut skipped = 0;
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(Failure::Sqlite)? {
        if skipped < window.offset {
            skipped += 1;
            continue;
        }
        if page.rows.len() >= window.rows {
            page.more = true;
            break;
        }
        let mut cells = Vec::with_capacity(names.len());
        for (position, kind) in kinds.iter_mut().enumerate() {
            let value = row.get_ref(position).map_err(Failure::Sqlite)?;
            match shown.get(position) {
                Some(Some(shown)) => {
                    let cell = treat(shown.treatment, &shown.column, value, key);
                    *kind = if cell.is_null() { *kind } else { Some("text") };
                    cells.push(cell);
                }
                _ => {
                    *kind = merge(*kind, value);
                    cells.push(json(value));
                }
            }
        }
        let row_bytes: usize = cells.iter().map(size).sum();
        if bytes + row_bytes > window.bytes {
            if page.rows.is_empty() {
                return Err(Failure::RowTooBig(window.bytes));
            }
            page.more = true;
            break;
        }
        bytes += row_bytes;
        page.rows.push(cells);
    }
    let typed = names.into_iter().zip(kinds);
    page.columns = typed.map(|(name, kind)| ResultColumn { name, kind: kind.unwrap_or("null") }).collect();
    Ok(page)
}

fn merge(known: Option<&'static str>, value: ValueRef<'_>) -> Option<&'static str> {
    let kind = match value {
        ValueRef::Null => return known,
        ValueRef::Integer(_) => "integer",
        ValueRef::Real(_) => "real",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "blob",
    };
    match known {
        None => Some(kind),
        Some(known) if known == kind => Some(kind),
        Some("integer" | "real") if matches!(kind, "integer" | "real") => Some("real"),
        Some(_) => Some("mixed"),
    }
}

/// The largest integer that every JSON reader keeps exact.
const EXACT: i64 = (1 << 53) - 1;
/// Bytes of a blob that are shown.
const BLOB_BYTES: usize = 32;

/// A value as JSON. Integers beyond 2⁵³ become text, so that no reader rounds them; of a blob the start is shown.
pub(crate) fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) if (-EXACT..=EXACT).contains(&number) => Json::from(number),
        ValueRef::Integer(number) => Json::from(number.to_string()),
        ValueRef::Real(number) if number.is_finite() => Json::from(number),
        ValueRef::Real(number) => Json::from(if number > 0.0 { "Infinity" } else { "-Infinity" }),
        ValueRef::Text(text) => Json::from(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let shown = bytes.get(..BLOB_BYTES).unwrap_or(bytes);
            let dots = if shown.len() < bytes.len() { "…" } else { "" };
            let hex = data_encoding::HEXUPPER.encode(shown);
            Json::from(format!("x'{hex}{dots}' ({} bytes)", bytes.len()))
        }
    }
}

/// Bytes that a cell takes in an answer, near enough.
fn size(cell: &Json) -> usize {
    match cell {
        Json::String(text) => text.len() + 3,
        Json::Number(_) => 20,
        _ => 6,
    }
}

/// The rows as a Markdown table.
pub(crate) fn markdown<'a>(header: impl IntoIterator<Item = &'a str>, rows: &[Vec<Json>]) -> String {
    let mut text = String::from("|");
    let mut rule = String::from("|");
    for name in header {
        push_cell(&mut text, name);
        rule.push_str("---|");
    }
    text.push('\n');
    text.push_str(&rule);
    for row in rows {
        text.push_str("\n|");
        for cell in row {
            match cell {
                Json::Null => text.push_str(" NULL |"),
                Json::String(value) => push_cell(&mut text, value),
                other => push_cell(&mut text, &other.to_string()),
            }
        }
    }
    text
}

fn push_cell(text: &mut String, value: &str) {
    text.push(' ');
    for character in value.chars() {
        match character {
            '|' => text.push_str("\\|"),
            '\n' | '\r' | '\t' => text.push(' '),
            other => text.push(other),
        }
    }
    text.push_str(" |");
}
