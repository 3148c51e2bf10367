//! Functions and tables through which any column of any table may be read, so that facts about text that uses them are not
//! complete: functions that run SQL, read pages, files or large objects, and tables that keep copies of values.

use super::dialect::Dialect;
use super::names;
use super::scope::lower;
use sqlparser::ast::ObjectName;
use std::collections::BTreeSet;

/// How names of such functions begin, in any database.
const FUNCTIONS: [&str; 22] = [
    "bt_page_",
    "connectby",
    "crosstab",
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "get_raw_page",
    "load_file",
    "lo_export",
    "lo_get",
    "lo_import",
    "loread",
    "pg_logical_",
    "pg_ls_",
    "pg_read_",
    "query_to_xml",
    "readfile",
    "schema_to_xml",
    "table_to_xml",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// How names of PostgreSQL's tables with values, or with the text of other statements, begin.
const POSTGRES: [&str; 9] = [
    "pg_cursors",
    "pg_largeobject",
    "pg_prepared_",
    "pg_stat_activity",
    "pg_stat_monitor",
    "pg_stat_statements",
    "pg_statistic",
    "pg_stats",
    "pg_toast",
];

/// Those of SQLite; the statistics of `ANALYZE` hold samples of what is indexed.
const SQLITE: [&str; 5] = ["dbstat", "sqlite_dbdata", "sqlite_dbpage", "sqlite_dbptr", "sqlite_stat"];

/// Whole schemas of MySQL.
const MYSQL_SCHEMAS: [&str; 3] = ["mysql", "performance_schema", "sys"];

/// Those of MySQL's `information_schema`.
const MYSQL: [&str; 4] = ["column_statistics", "innodb_buffer_page", "innodb_ft_index_", "processlist"];

/// How the tables end that SQLite's full-text and spatial indexes keep beside themselves, and their columns with values.
/// Other tables may end so, too, so that only those columns count.
const SHADOWS: [(&str, &[&str]); 8] = [
    ("_content", &[]),
    ("_data", &["block"]),
    ("_docsize", &["sz", "size"]),
    ("_idx", &["term"]),
    ("_node", &["data"]),
    ("_segdir", &["root"]),
    ("_segments", &["block"]),
    ("_stat", &["value"]),
];

/// Whether it is not known what a function of this name reads, whatever is passed to it.
pub(super) fn is_function(name: &ObjectName) -> bool {
    let own = names::last(name).map(|own| own.value.as_bytes());
    let starts = |start: &&str| {
        own.and_then(|own| own.get(..start.len()))
            .is_some_and(|own| own.eq_ignore_ascii_case(start.as_bytes()))
    };
    // SQLite's extension of that name runs its argument.
    FUNCTIONS.iter().any(starts) || own.is_some_and(|own| own.eq_ignore_ascii_case(b"eval"))
}

/// Whether a table holds values of others; of an unknown database, in any of those known.
pub(super) fn is_table(name: &ObjectName, dialect: Option<Dialect>) -> bool {
    let Some(own) = names::last(name) else { return true };
    let own = lower(&own.value);
    let is = |of: Dialect| dialect.is_none_or(|dialect| dialect == of);
    let starts = |list: &[&str]| list.iter().any(|start| own.starts_with(start));
    let schema = || {
        let schema = names::idents(name).next().filter(|_| names::is_qualified(name));
        schema.is_some_and(|schema| MYSQL_SCHEMAS.contains(&&*lower(&schema.value)))
    };
    (is(Dialect::Postgres) && starts(&POSTGRES))
        || (is(Dialect::Sqlite) && starts(&SQLITE))
        || (is(Dialect::MySql) && (starts(&MYSQL) || schema()))
}

/// Whether columns are read that could be what SQLite's indexes keep of the tables that they index.
pub(super) fn reads_shadows(columns: &BTreeSet<String>, dialect: Option<Dialect>) -> bool {
    dialect.is_none_or(|dialect| dialect == Dialect::Sqlite)
        && columns.iter().any(|name| {
            let Some((table, column)) = name.rsplit_once('.') else { return true };
            // `c0`, `c1name` …
            let numbered =
                || column.starts_with('c') && column.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
            SHADOWS.iter().any(|(end, values)| {
                table.ends_with(end)
                    && (column == "*" || values.contains(&column) || (values.is_empty() && numbered()))
            })
        })
}
