//! What facts claim about SQL text, held against what SQLite itself says while it compiles the same text. Complete facts claim
//! every table, column and function that SQLite uses; text that only reads does nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus_policy::sql::{Dialect, SqlFacts, facts};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};

const SCHEMA: &str = "
CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT, c TEXT, d REAL);
CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER, x TEXT, f INTEGER);
CREATE TABLE c (a INTEGER, e TEXT, f INTEGER, price REAL, PRIMARY KEY (a, e)) WITHOUT ROWID;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, status TEXT);
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT);
CREATE TABLE t (a, b, c);
CREATE TABLE w (a, b);
";

/// What SQLite asked leave for, lower-case: a use, and its names.
type Seen = BTreeSet<(&'static str, String, String)>;

struct Judge {
    connection: Connection,
    seen: Arc<Mutex<Seen>>,
}

static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let seen = Arc::new(Mutex::new(Seen::new()));
    let witness = Arc::clone(&seen);
    let authorizer = move |context: AuthContext<'_>| {
        let lower = str::to_ascii_lowercase;
        let used = match context.action {
            AuthAction::Select => ("select", String::new(), String::new()),
            AuthAction::Recursive => ("recursive", String::new(), String::new()),
            AuthAction::Read { table_name, column_name } => ("read", lower(table_name), lower(column_name)),
            AuthAction::Function { function_name } => ("function", lower(function_name), String::new()),
            AuthAction::Insert { table_name } => ("insert", lower(table_name), String::new()),
            AuthAction::Delete { table_name } => ("delete", lower(table_name), String::new()),
            AuthAction::Update { table_name, column_name } => {
                ("update", lower(table_name), lower(column_name))
            }
            other => ("other", format!("{other:?}"), String::new()),
        };
        witness.lock().unwrap().insert(used);
        Authorization::Allow
    };
    connection.authorizer(Some(authorizer)).unwrap();
    Mutex::new(Judge { connection, seen })
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let facts = facts(text, Dialect::Sqlite);
    if !facts.complete {
        return;
    }
    let judge = JUDGE.lock().unwrap();
    judge.seen.lock().unwrap().clear();
    let Ok(statement) = judge.connection.prepare(text) else { return };
    let seen = judge.seen.lock().unwrap();
    if facts.read_only {
        assert!(statement.readonly() && statement.is_explain() == 0, "not read-only: {text}");
        let harmless = |used: &str| ["select", "recursive", "read", "function"].contains(&used);
        let other = seen.iter().find(|(used, ..)| !harmless(used));
        assert!(other.is_none(), "{other:?} is not reading: {text}");
    }
    let missing = seen.iter().find(|used| !claims(&facts, used));
    assert!(missing.is_none(), "{missing:?} is not claimed\n{text}\n{facts:?}");
});

fn claims(facts: &SqlFacts, (used, table, column): &(&'static str, String, String)) -> bool {
    let has = |set: &BTreeSet<String>| {
        set.contains(&format!("{table}.*")) || set.contains(&format!("{table}.{column}"))
    };
    // What a statement about the schema reads and writes of SQLite's own tables goes without saying.
    let structure = table.starts_with("sqlite_") && !facts.read_only;
    structure
        || match *used {
            "read" => facts.reads.contains(table) && (column.is_empty() || has(&facts.columns_read)),
            "insert" | "delete" => facts.writes.contains(table),
            "update" => facts.writes.contains(table) && has(&facts.columns_written),
            // Operators are functions to SQLite, and what it calls by itself to change a table's structure is nobody's.
            "function" => {
                facts.kinds.contains("alter") || ["like", "glob", "->", "->>", "regexp", "match"].contains(&table.as_str())
                    || facts.functions.contains(table)
            }
            _ => true,
        }
}
