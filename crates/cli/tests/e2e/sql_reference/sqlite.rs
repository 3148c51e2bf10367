//! `mcp-server-sqlite`, whose `write_query` runs whatever is not a `SELECT` and whose `describe_table` pastes its argument.

use super::corpus::{self, Statement};
use super::{Outcome, Stage, Tally, ask};
use crate::clients;
use portunus_core::digest::sha256;
use std::path::Path;
use std::time::{Duration, Instant};

/// As an administrator would confirm them. `write_query` is confirmed as reading here, so that nothing but the facts about
/// its SQL stands between a caller and the database.
const TOOLS: &str = "{ read_query: { groups: [read], sql: { argument: query, dialect: sqlite } }, write_query: { groups: [read], sql: { argument: query, dialect: sqlite } }, create_table: { groups: [write, destructive], sql: { argument: query, dialect: sqlite } }, list_tables: [read], describe_table: [read], append_insight: [write] }";

/// Analytical statements that the edge refuses, though they only read.
const FALSE_REFUSALS: &[&str] = &[];

/// What the edge lets through and SQLite before 3.44, with which this server may run, does not know.
const NEWER: &[&str] = &["current time in several forms", "aggregated text in order"];

#[tokio::test]
async fn nothing_that_is_asked_of_the_reference_server_for_sqlite_changes_its_database() {
    if clients::skipped() {
        return;
    }
    let begun = Instant::now();
    let (hostile, analytical) = (corpus::read("sqlite-hostile", 200), corpus::read("sqlite-analytical", 100));
    let directory = tempfile::tempdir().unwrap();
    let stage = Stage::set(&program(&directory.path().join("shop.db")), TOOLS).await;
    for sql in analytical.setup.split(";\n").map(str::trim).filter(|sql| !sql.is_empty()) {
        let done = ask(&stage.open, "write_query", "query", sql.trim_end_matches(';')).await;
        assert!(matches!(done, Outcome::Answered { failed: false, .. }), "{sql}: {done:?}");
    }
    let before = state(directory.path());

    let mut tally = Tally::default();
    for statement in &hostile.statements {
        for tool in ["read_query", "write_query", "create_table"] {
            tally.count(statement, ask(&stage.guarded, tool, "query", &statement.sql).await);
        }
    }
    tally.print("hostile, through three tools");
    assert!(tally.passed.is_empty() && tally.failed.is_empty(), "reached the server: {tally:#?}");
    assert_eq!(state(directory.path()), before, "the directory is as it was, and the file in it");

    let mut tally = Tally::default();
    for statement in &analytical.statements {
        let outcome = ask(&stage.guarded, tool_for(statement), "query", &statement.sql).await;
        tally.count(statement, outcome);
    }
    tally.print("analytical");
    assert_eq!(tally.refused, FALSE_REFUSALS, "refused by mistake");
    let unknown = |failed: &&String| !NEWER.iter().any(|name| failed.starts_with(name));
    assert_eq!(tally.failed.iter().find(unknown), None, "refused by the server's own SQLite");
    assert_eq!(state(directory.path()), before, "the directory is as it was, and the file in it");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());

    // Without the guard each of these would have worked.
    let stolen = directory.path().join("stolen.db");
    let stolen = stolen.to_str().unwrap();
    for sql in [format!("VACUUM INTO '{stolen}'"), "DELETE FROM order_lines".to_owned()] {
        assert_eq!(ask(&stage.guarded, "write_query", "query", &sql).await, Outcome::Refused, "{sql}");
        let done = ask(&stage.open, "write_query", "query", &sql).await;
        assert!(matches!(done, Outcome::Answered { failed: false, .. }), "{sql}: {done:?}");
        assert_ne!(state(directory.path()), before, "{sql} changes something where nothing guards");
    }
    assert!(Path::new(stolen).exists());
    stage.app.verify();
}

/// `read_query` takes what begins with `SELECT`, `write_query` all else.
fn tool_for(statement: &Statement) -> &'static str {
    let select = statement.sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    if select { "read_query" } else { "write_query" }
}

fn program(database: &Path) -> Vec<String> {
    let program = clients::directory().join(".venv-sqlite/bin/mcp-server-sqlite");
    assert!(program.exists(), "no {}; run tests/clients/setup.sh", program.display());
    let words = [program.to_str().unwrap(), "--db-path", database.to_str().unwrap()];
    words.map(str::to_owned).to_vec()
}

/// Every file of a directory with the digest of its bytes.
fn state(directory: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let digest = sha256(&[&std::fs::read(&path).unwrap()]);
            (path.display().to_string(), format!("{:?}", digest.0))
        })
        .collect();
    files.sort();
    files
}
