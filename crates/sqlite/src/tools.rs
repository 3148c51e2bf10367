//! The tools as clients see them: names, words for the model, schemas, annotations; and their results.

use crate::describe::{Plan, TableDescription, TableList};
use crate::rows::ResultColumn;
use crate::{limits, widget};
use rmcp::handler::server::common::schema_for_output;
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const LIST_TABLES: &str = "list_tables";
pub(crate) const DESCRIBE_TABLE: &str = "describe_table";
pub(crate) const READ_QUERY: &str = "read_query";
pub(crate) const EXPLAIN_QUERY: &str = "explain_query";
pub(crate) const WRITE_QUERY: &str = "write_query";
/// A trial of [`WRITE_QUERY`]: by a name of its own, so that a server which does not know of trials runs nothing.
pub(crate) const TRIAL: &str = "write_query.trial";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoArguments {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableArguments {
    pub(crate) table: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadArguments {
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) params: Vec<Json>,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatementArguments {
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) params: Vec<Json>,
}

/// Rows of a SELECT.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueryResult {
    /// In order of selection.
    pub(crate) columns: Vec<ResultColumn>,
    /// One array of values per row. Integers beyond 2^53 and blobs come as text.
    #[schemars(schema_with = "rows_schema")]
    pub(crate) rows: Vec<Vec<Json>>,
    /// How many rows this answer holds.
    pub(crate) row_count: usize,
    /// There are more rows.
    pub(crate) truncated: bool,
    /// Give this back as `cursor`, with the same `sql` and `params`, for the next rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    /// Columns that are hidden from the caller: their values read as NULL, in conditions and aggregates too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) masked: Vec<String>,
    /// Columns whose values are shown in another form: `hash` (equal values of the column have equal digests), `token`
    /// (equal values have equal tokens), `partial` (the last characters), `mask` (a word).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) treated: BTreeMap<String, &'static str>,
}

/// What a statement changed.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct WriteResult {
    /// Rows inserted, updated or deleted by the statement itself.
    pub(crate) rows_changed: u64,
    /// Columns of RETURNING; empty without it.
    pub(crate) columns: Vec<ResultColumn>,
    /// Rows of RETURNING, as many as fit in an answer.
    #[schemars(schema_with = "rows_schema")]
    pub(crate) rows: Vec<Vec<Json>>,
    /// RETURNING gave more rows than fit.
    pub(crate) truncated: bool,
    /// The statement was only tried, and everything rolled back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) trial: bool,
    /// In a trial: rows that would change by table, those of triggers and foreign keys included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tables: Option<BTreeMap<String, u64>>,
}

pub(crate) fn cells_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "type": ["string", "number", "null"] } })
}

fn rows_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let cells = cells_schema(generator);
    schemars::json_schema!({ "type": "array", "items": cells })
}

/// The tools on offer.
pub(crate) fn all(write: bool, max_rows: usize) -> Vec<Tool> {
    let mut tools = vec![list_tables(), describe_table(), read_query(max_rows), explain_query()];
    if write {
        tools.push(write_query());
    }
    tools
}

/// Name and input schema (JSON) of every tool there can be: what a policy about them is checked against.
#[must_use]
pub fn schemas() -> Vec<(String, String)> {
    let tools = all(true, 1).into_iter();
    tools
        .map(|tool| (tool.name.to_string(), Json::Object((*tool.input_schema).clone()).to_string()))
        .collect()
}

fn list_tables() -> Tool {
    reading::<TableList>(
        LIST_TABLES,
        "List tables",
        "Lists the tables and views of the database with their number of rows and columns. Start here, then call \
         describe_table for the ones you need.",
        json!({ "type": "object", "properties": {}, "additionalProperties": false }),
    )
}

fn describe_table() -> Tool {
    reading::<TableDescription>(
        DESCRIBE_TABLE,
        "Describe a table",
        "Tells everything needed to write SQL for one table or view: columns with type, keys and sample values, foreign \
         keys to join on, indexes, number of rows.",
        json!({
            "type": "object",
            "properties": { "table": { "type": "string", "description": "Name of a table or view." } },
            "required": ["table"],
            "additionalProperties": false
        }),
    )
}

fn read_query(max_rows: usize) -> Tool {
    let mut input = statement_schema("One SELECT (or WITH … SELECT) in SQLite's dialect.");
    if let Some(properties) = input.get_mut("properties").and_then(Json::as_object_mut) {
        let cursor =
            "next_cursor of an earlier answer, to get the rows after it; sql and params stay the same.";
        properties.insert("cursor".to_owned(), json!({ "type": "string", "description": cursor }));
    }
    let description = format!(
        "Runs one read-only SQL query (SQLite dialect: window functions, CTEs, JSON and date functions) and returns up \
         to {max_rows} rows. Prefer aggregating in SQL over fetching many rows; give ORDER BY when you page with \
         `cursor`. Changing data, PRAGMA and ATTACH are refused."
    );
    reading::<QueryResult>(READ_QUERY, "Run a query", description, input).with_meta(widget_meta())
}

fn explain_query() -> Tool {
    reading::<Plan>(
        EXPLAIN_QUERY,
        "Explain a query",
        "Shows how SQLite would run a query without running it, with warnings about what makes it slow. Use it when \
         read_query timed out.",
        statement_schema("The query, as for read_query (without EXPLAIN)."),
    )
}

fn write_query() -> Tool {
    let annotations = ToolAnnotations::with_title("Change data")
        .read_only(false)
        .destructive(true)
        .idempotent(false)
        .open_world(false);
    define::<WriteResult>(
        WRITE_QUERY,
        "Change data",
        "Runs one INSERT, UPDATE or DELETE in a transaction of its own: all of it happens or nothing. Returns the number \
         of rows changed, and the rows of RETURNING. The schema cannot be changed. Check the condition with read_query \
         first.",
        statement_schema("One INSERT, UPDATE or DELETE in SQLite's dialect."),
        annotations,
    )
}

fn statement_schema(sql: &str) -> Json {
    json!({
        "type": "object",
        "properties": {
            "sql": { "type": "string", "description": sql, "maxLength": portunus_core::limits::SQL_BYTES },
            "params": {
                "type": "array",
                "description": "Values for the ? placeholders, in order. Use them for text that users gave.",
                "items": { "type": ["string", "number", "boolean", "null"] },
                "maxItems": limits::PARAMETERS
            }
        },
        "required": ["sql"],
        "additionalProperties": false
    })
}

fn reading<T: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    description: impl Into<std::borrow::Cow<'static, str>>,
    input: Json,
) -> Tool {
    let annotations = ToolAnnotations::with_title(title)
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(false);
    define::<T>(name, title, description, input, annotations)
}

fn define<T: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    description: impl Into<std::borrow::Cow<'static, str>>,
    input: Json,
    annotations: ToolAnnotations,
) -> Tool {
    let input: JsonObject = match input {
        Json::Object(members) => members,
        _ => JsonObject::new(),
    };
    Tool::new(name, description, Arc::new(input))
        .with_title(title)
        .with_raw_output_schema(output_schema::<T>())
        .with_annotations(annotations)
}

/// The schema of an answer, without the names of Rust's integer types as formats, which other validators complain about.
fn output_schema<T: JsonSchema + 'static>() -> Arc<JsonObject> {
    let mut schema = Json::Object((*schema_for_output::<T>()).clone());
    plain(&mut schema);
    match schema {
        Json::Object(members) => Arc::new(members),
        _ => Arc::default(),
    }
}

fn plain(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            members.retain(|key, value| key != "format" || !value.is_string());
            members.values_mut().for_each(plain);
        }
        Json::Array(elements) => elements.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Where hosts find the widget for a result (MCP Apps; the second key is ChatGPT's).
fn widget_meta() -> MetaObject {
    let mut meta = MetaObject::new();
    meta.0.insert("ui".to_owned(), json!({ "resourceUri": widget::URI }));
    meta.0.insert("openai/outputTemplate".to_owned(), json!(widget::URI));
    meta
}
