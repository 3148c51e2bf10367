//! Facts about SQL: a statement cannot be hidden behind or before another, and doubt about one dialect is doubt about all.

use crate::sql::{self, Dialect, SqlFacts};
use portunus_core::limits;
use std::collections::BTreeSet;

const DIALECTS: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::Generic];
/// A statement that no input should be able to hide.
const CANARY: &str = "DELETE FROM canary_table";

/// `data` as SQL in every dialect.
///
/// # Panics
/// When a promise is broken.
pub fn sql_facts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let all = DIALECTS.map(|dialect| (dialect, sql::facts(text, dialect)));
    for (dialect, facts) in &all {
        let again = sql::facts(text, *dialect);
        assert!(*facts == again, "two readings differ: {facts:?} and {again:?}");
        if facts.complete {
            assert!(!facts.kinds.is_empty() && !facts.kinds.contains("unknown"), "{dialect:?}: {facts:?}");
        }
        if text.len() + 64 < limits::SQL_BYTES {
            assert_space_is_nothing(text, *dialect, facts);
            assert_nothing_hides(text, *dialect);
        }
    }
    let [(_, sqlite), (_, postgres), (_, generic)] = &all;
    assert!(!generic.complete || sqlite.complete && postgres.complete, "complete in one dialect alone");
    for facts in [sqlite, postgres] {
        let inside = |part: fn(&SqlFacts) -> &BTreeSet<String>| part(facts).is_subset(part(generic));
        let whole = inside(|facts| &facts.kinds)
            && inside(|facts| &facts.reads)
            && inside(|facts| &facts.writes)
            && inside(|facts| &facts.functions);
        assert!(whole, "what one dialect does is missing where the dialect is not known");
    }
}

fn assert_space_is_nothing(text: &str, dialect: Dialect, facts: &SqlFacts) {
    let spaced = sql::facts(&format!(" \n{text}\n "), dialect);
    assert!(spaced == *facts, "{dialect:?}: space around changes {facts:?} to {spaced:?}");
}

/// What follows or goes before is in the facts, or they are incomplete.
fn assert_nothing_hides(text: &str, dialect: Dialect) {
    for both in [format!("{text}\n;{CANARY}"), format!("{CANARY};\n{text}")] {
        let facts = sql::facts(&both, dialect);
        let seen = facts.kinds.contains("delete") && facts.writes.contains("canary_table");
        assert!(seen || !facts.complete, "{dialect:?}: {both:?} hides a statement: {facts:?}");
    }
}
