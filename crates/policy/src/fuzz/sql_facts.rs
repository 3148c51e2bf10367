//! Facts about SQL: a statement cannot be hidden behind, before or around another, and doubt about one dialect is doubt
//! where the dialect is not known.

use crate::sql::{self, Dialect, SqlFacts};
use portunus_core::limits;
use std::collections::BTreeSet;

/// Those whose facts can be complete.
const DIALECTS: [Dialect; 4] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::Generic];
/// Those whose facts never are.
const OTHERS: [Dialect; 5] =
    [Dialect::MsSql, Dialect::BigQuery, Dialect::Snowflake, Dialect::DuckDb, Dialect::ClickHouse];
/// What stands before and behind the text, none of which may be taken for nothing.
const AROUND: [(&str, &str); 8] = [
    ("", "\n;DELETE FROM canary_table"),
    ("DELETE FROM canary_table;\n", ""),
    ("INSERT INTO canary_table ", "\n"),
    ("CREATE TABLE canary_table AS ", "\n"),
    ("WITH canary AS (DELETE FROM canary_table RETURNING 1) ", "\n"),
    ("EXPLAIN ", "\n"),
    ("SELECT load_extension('canary') UNION ALL ", "\n"),
    ("SELECT (", "\n), load_extension('canary')"),
];

/// `data` as SQL in every dialect.
///
/// # Panics
/// When a promise is broken.
pub fn sql_facts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let all = DIALECTS.map(|dialect| sql::facts(text, dialect));
    for (dialect, facts) in DIALECTS.into_iter().zip(&all) {
        let again = sql::facts(text, dialect);
        assert!(*facts == again, "two readings differ: {facts:?} and {again:?}");
        assert_sound(dialect, facts);
        if text.len() + 64 < limits::SQL_BYTES {
            let spaced = sql::facts(&format!(" \n{text}\n "), dialect);
            // MySQL takes `--` for a comment before space only, and a lone carriage return is not lone before a new line.
            let same = spaced == *facts || text.ends_with("--") || text.ends_with('\r');
            assert!(same, "{dialect:?}: space around changes {facts:?} to {spaced:?}");
            AROUND.iter().for_each(|around| assert_not_hidden(text, *around, dialect));
        }
    }
    for dialect in OTHERS {
        let facts = sql::facts(text, dialect);
        assert!(!facts.complete && !facts.read_only, "{dialect:?}: {facts:?}");
    }
    let [sqlite, postgres, _, generic] = &all;
    if generic.complete {
        for facts in [sqlite, postgres] {
            let inside = |part: fn(&SqlFacts) -> &BTreeSet<String>| part(facts).is_subset(part(generic));
            let whole = inside(|facts| &facts.kinds)
                && inside(|facts| &facts.reads)
                && inside(|facts| &facts.writes)
                && inside(|facts| &facts.functions);
            assert!(
                facts.complete && whole,
                "{facts:?} is not all in {generic:?}, where the dialect is not known"
            );
        }
    }
    // A function that one of them knows as harmless may be unknown to the other, and that is all the difference.
    let reads = |facts: &SqlFacts| facts.complete && facts.statements == 1 && facts.writes.is_empty();
    assert!(!generic.read_only || reads(sqlite) && reads(postgres), "only reads where nobody knows");
}

/// Facts do not contradict themselves.
fn assert_sound(dialect: Dialect, facts: &SqlFacts) {
    if facts.complete {
        let known = !facts.kinds.is_empty() && !facts.kinds.contains("unknown") && facts.statements > 0;
        assert!(known, "{dialect:?}: {facts:?}");
    }
    if facts.read_only {
        let reads = facts.complete && facts.statements == 1 && facts.writes.is_empty();
        assert!(reads && facts.columns_written.is_empty(), "{dialect:?}: {facts:?}");
    }
}

/// Whatever the text is, what stands around it counts.
fn assert_not_hidden(text: &str, (before, behind): (&str, &str), dialect: Dialect) {
    let whole = format!("{before}{text}{behind}");
    let facts = sql::facts(&whole, dialect);
    assert!(!facts.read_only, "{dialect:?}: {whole:?} only reads: {facts:?}");
    if before.contains("canary_table") || behind.contains("canary_table") {
        let seen = facts.writes.contains("canary_table");
        assert!(seen || !facts.complete, "{dialect:?}: {whole:?} hides a table: {facts:?}");
    }
}
