//! What a model needs to know before it writes SQL: which tables there are, what is in them, and how SQLite would go
//! about a statement.

use crate::advice;
use crate::catalog::{Column, Kind, Relation, quote};
use crate::failure::Failure;
use crate::limits;
use crate::prepare;
use crate::rows::{Window, collect, select};
use crate::session::Frame;
use crate::statement;
use crate::treat::Treatment;
use rusqlite::types::Value;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

/// The tables and views of the database.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableList {
    /// In order of name.
    pub(crate) tables: Vec<TableSummary>,
    /// There are more tables than can be listed.
    pub(crate) truncated: bool,
}

/// One table or view.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableSummary {
    /// Name.
    pub(crate) name: String,
    /// `table`, `view` or `virtual table`.
    pub(crate) kind: &'static str,
    /// How many columns it has.
    pub(crate) columns: usize,
    /// How many rows it has; null when counting took too long.
    pub(crate) rows: Option<i64>,
}

/// One table or view in detail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableDescription {
    /// Name.
    pub(crate) name: String,
    /// `table`, `view` or `virtual table`.
    pub(crate) kind: &'static str,
    /// How many rows it has; null when counting took too long.
    pub(crate) rows: Option<i64>,
    /// In order.
    pub(crate) columns: Vec<ColumnDescription>,
    /// References to other tables.
    pub(crate) foreign_keys: Vec<Reference>,
    /// What look-ups are fast.
    pub(crate) indexes: Vec<IndexDescription>,
    /// Columns whose values are hidden from the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) masked: Vec<String>,
}

/// A column.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ColumnDescription {
    /// Name.
    pub(crate) name: String,
    /// Declared type; may be empty.
    #[serde(rename = "type")]
    pub(crate) declared: String,
    /// Position in the primary key, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_key: Option<i64>,
    /// NULL is not allowed.
    pub(crate) not_null: bool,
    /// SQL text of the default value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    /// Computed from other columns.
    pub(crate) generated: bool,
    /// The values are hidden from the caller and read as NULL.
    pub(crate) masked: bool,
    /// The values are shown in another form only: `hash`, `token`, `partial` or `mask`. In conditions, functions, groups
    /// and orders they read as NULL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) treated: Option<&'static str>,
    /// Values from the first rows.
    #[schemars(schema_with = "crate::tools::cells_schema")]
    pub(crate) samples: Vec<Json>,
}

/// A foreign key.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reference {
    /// Column of this table.
    pub(crate) column: String,
    /// Table that it refers to.
    pub(crate) table: String,
    /// Column there; null means its primary key.
    pub(crate) to: Option<String>,
}

/// An index.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IndexDescription {
    /// Name.
    pub(crate) name: String,
    /// Indexed columns, in order; an expression shows as `(expression)`.
    pub(crate) columns: Vec<String>,
    /// No two rows have the same values.
    pub(crate) unique: bool,
    /// Holds only some of the rows.
    pub(crate) partial: bool,
}

/// How SQLite would run a statement.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Plan {
    /// One step per line, indented by nesting.
    pub(crate) plan: String,
    /// What makes it slow.
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn list_tables(frame: &Frame<'_>) -> Result<TableList, Failure> {
    let mut tables = Vec::new();
    let mut truncated = false;
    for relation in advice::visible(frame.catalog, frame.mask) {
        if tables.len() >= limits::LISTED_TABLES {
            truncated = true;
            break;
        }
        tables.push(TableSummary {
            name: relation.name.clone(),
            kind: kind(relation),
            columns: relation.columns.iter().filter(|column| !column.is_hidden()).count(),
            rows: count(frame, relation)?,
        });
    }
    Ok(TableList { tables, truncated })
}

pub(crate) fn describe_table(frame: &Frame<'_>, name: &str) -> Result<TableDescription, Failure> {
    let relation = advice::visible(frame.catalog, frame.mask)
        .find(|relation| relation.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| Failure::NoSuchTable {
            name: name.chars().take(100).collect(),
            hint: advice::table_hint(name, frame.catalog, frame.mask),
        })?;
    let rows = count(frame, relation)?;
    let samples = samples(frame, relation)?;
    let treatment = |column: &Column| {
        frame.mask.and_then(|mask| mask.treatment(relation, &column.name)).map(Treatment::name)
    };
    let is_masked = |column: &Column| {
        treatment(column).is_none() && frame.mask.is_some_and(|mask| mask.hides(relation, &column.name))
    };
    let shown = relation.columns.iter().filter(|column| !column.is_hidden());
    let columns: Vec<ColumnDescription> = shown
        .zip(samples.into_iter().chain(std::iter::repeat_with(Vec::new)))
        .map(|(column, samples)| ColumnDescription {
            name: column.name.clone(),
            declared: column.declared.clone(),
            primary_key: (column.key > 0).then_some(column.key),
            not_null: column.not_null,
            default: column.default.clone(),
            generated: column.is_generated(),
            masked: is_masked(column),
            treated: treatment(column),
            samples: if is_masked(column) { Vec::new() } else { samples },
        })
        .collect();
    let references = relation.foreign_keys.iter().map(|key| Reference {
        column: key.column.clone(),
        table: key.table.clone(),
        to: key.to.clone(),
    });
    let mut masked: Vec<String> = frame.witness.seen().masked.iter().cloned().collect();
    masked.extend(columns.iter().filter(|c| c.masked).map(|c| format!("{}.{}", relation.name, c.name)));
    masked.retain(|name| {
        !columns.iter().any(|c| c.treated.is_some() && *name == format!("{}.{}", relation.name, c.name))
    });
    masked.sort_unstable();
    masked.dedup();
    Ok(TableDescription {
        name: relation.name.clone(),
        kind: kind(relation),
        rows,
        foreign_keys: references.collect(),
        indexes: indexes(relation),
        columns,
        masked,
    })
}

/// The query plan of a statement that read_query would run.
pub(crate) fn explain_query(frame: &Frame<'_>, sql: &str, parameters: &[Value]) -> Result<Plan, Failure> {
    let run = || {
        // The plan of what would run: with the same columns hidden.
        drop(prepare::read(frame, sql, parameters)?);
        let mut statement = statement::only(frame.connection, &format!("EXPLAIN QUERY PLAN {sql}"))?;
        statement::bind(&mut statement, parameters)?;
        collect(&mut statement, Window { offset: 0, rows: 500, bytes: limits::VALUE_BYTES })
    };
    let page = run().map_err(|failure| frame.explain(failure, sql))?;
    let mut lines: Vec<String> = Vec::new();
    let mut warnings = Vec::new();
    let mut depths = std::collections::BTreeMap::from([(0, 0)]);
    for row in &page.rows {
        let [id, parent, _, detail] = row.as_slice() else { continue };
        let detail = detail.as_str().unwrap_or_default();
        let depth = depths.get(&parent.as_i64().unwrap_or(0)).copied().unwrap_or(0);
        depths.insert(id.as_i64().unwrap_or(0), depth + 1);
        lines.push(format!("{}{detail}", "  ".repeat(depth)));
        warnings.extend(warning(frame, detail));
    }
    Ok(Plan { plan: lines.join("\n"), warnings })
}

fn warning(frame: &Frame<'_>, detail: &str) -> Option<String> {
    let words: Vec<&str> = detail.split(' ').collect();
    match words.as_slice() {
        ["SCAN", name] if frame.catalog.find(name).is_some() => {
            Some(format!("every row of `{name}` is read: no index fits the conditions"))
        }
        ["SCAN", name, rest @ ..] if frame.catalog.find(name).is_some() && rest.contains(&"INDEX") => {
            Some(format!("every entry of an index of `{name}` is read"))
        }
        ["USE", "TEMP", "B-TREE", "FOR", what @ ..] => {
            Some(format!("all matching rows are collected and sorted for {}", what.join(" ")))
        }
        _ if detail.contains("AUTOMATIC") => Some(String::from(
            "a temporary index is built for this statement alone: the join has no index to use",
        )),
        _ if detail.starts_with("CORRELATED") => Some(String::from(
            "a subquery runs once for every row outside it; a join or a window function may be faster",
        )),
        _ => None,
    }
}

fn kind(relation: &Relation) -> &'static str {
    match relation.kind {
        Kind::Table => "table",
        Kind::View => "view",
        Kind::Virtual | Kind::Shadow => "virtual table",
    }
}

fn indexes(relation: &Relation) -> Vec<IndexDescription> {
    let name = |column: &crate::catalog::IndexColumn| {
        column.name.clone().unwrap_or_else(|| String::from("(expression)"))
    };
    let describe = |index: &crate::catalog::Index| IndexDescription {
        name: index.name.clone(),
        columns: index.columns.iter().filter(|column| column.is_key).map(name).collect(),
        unique: index.unique,
        partial: index.partial,
    };
    relation.indexes.iter().map(describe).collect()
}

/// Counts rows, if that is quick and allowed.
fn count(frame: &Frame<'_>, relation: &Relation) -> Result<Option<i64>, Failure> {
    let sql = format!("SELECT count(*) FROM main.{}", quote(&relation.name));
    let page = frame
        .budget
        .within(limits::COUNT_TIMEOUT, || select(frame, &sql, &[], Window { offset: 0, rows: 1, bytes: 64 }));
    match page {
        Ok(page) => Ok(page.rows.first().and_then(|row| row.first()).and_then(Json::as_i64)),
        Err(Failure::Cancelled) => Err(Failure::Cancelled),
        Err(_) => Ok(None),
    }
}

/// The first values of each column, as far as they may be seen.
fn samples(frame: &Frame<'_>, relation: &Relation) -> Result<Vec<Vec<Json>>, Failure> {
    // A table is read by itself, not by an index whose order could tell of a hidden column.
    let hint = if relation.kind == Kind::Table { " NOT INDEXED" } else { "" };
    let columns = relation.columns.iter().filter(|column| !column.is_hidden());
    let is_treated =
        |column: &Column| frame.mask.is_some_and(|mask| mask.treatment(relation, &column.name).is_some());
    let list: Vec<String> = columns
        .map(|column| match is_treated(column) {
            true => quote(&column.name),
            false => sample_expression(&column.name),
        })
        .collect();
    let table = quote(&relation.name);
    let sql = format!("SELECT {} FROM main.{table}{hint} LIMIT {}", list.join(", "), limits::SAMPLE_ROWS);
    let window =
        Window { offset: 0, rows: limits::SAMPLE_ROWS, bytes: limits::VALUE_BYTES }.within(frame.decision);
    let page = match frame.budget.within(limits::COUNT_TIMEOUT, || select(frame, &sql, &[], window)) {
        Ok(page) => page,
        Err(Failure::Cancelled) => return Err(Failure::Cancelled),
        Err(_) => return Ok(Vec::new()),
    };
    let mut samples = vec![Vec::new(); list.len()];
    for row in page.rows {
        for (value, column) in row.into_iter().zip(&mut samples) {
            if !value.is_null() && !column.contains(&value) {
                column.push(value);
            }
        }
    }
    Ok(samples)
}

/// Long values are cut by SQLite, so that none is carried further than needed.
fn sample_expression(column: &str) -> String {
    let name = quote(column);
    let longest = limits::SAMPLE_CHARS;
    format!(
        "CASE typeof({name}) WHEN 'text' THEN substr({name}, 1, {longest}) WHEN 'blob' THEN substr({name}, 1, 32) ELSE {name} END"
    )
}
