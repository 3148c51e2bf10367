//! The statements of `tests/sql`: none of the hostile ones is read-only, and every analytical one is understood.

use super::super::*;

/// Analytical queries that are refused all the same: what they ask, and why.
const REFUSED: &[(&str, &str)] = &[];

/// What each entry tries, and its text.
fn entries(file: &str) -> Vec<(String, String)> {
    let path = format!("{}/../../tests/sql/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let entry = |entry: &str| {
        let (what, sql) = entry.split_once('\n').unwrap_or((entry, ""));
        (what.to_owned(), characters(sql.strip_suffix('\n').unwrap_or(sql)))
    };
    format!("\n{text}").split("\n--- ").skip(1).map(entry).collect()
}

/// `{U+200B}` is that character.
fn characters(text: &str) -> String {
    let mut parts = text.split("{U+");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        whole.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        whole.push_str(rest);
    }
    whole
}

fn no_hostile_one_is_read_only(file: &str, dialects: &[Dialect]) {
    let entries = entries(file);
    assert!(entries.len() >= 200, "{file} shrank to {}", entries.len());
    let mut wrong = Vec::new();
    for (what, sql) in &entries {
        for dialect in dialects {
            let facts = facts(sql, *dialect);
            assert!(facts.complete || !facts.read_only, "{what}");
            if facts.read_only {
                wrong.push(format!("{dialect}: {what}: {sql}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn every_analytical_one_is_read_only(file: &str, dialect: Dialect) {
    let entries = entries(file);
    assert!(entries.len() >= 100, "{file} shrank to {}", entries.len());
    let mut wrong = Vec::new();
    for (what, sql) in &entries {
        let facts = facts(sql, dialect);
        let refused = REFUSED.iter().any(|(known, _)| known == what);
        if facts.read_only == refused {
            wrong.push(format!("{what}: {sql}\n  {facts:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_statements_for_sqlite_are_not_read_only() {
    no_hostile_one_is_read_only("sqlite-hostile.sql", &[Dialect::Sqlite, Dialect::Generic]);
}

#[test]
fn hostile_statements_for_postgresql_are_not_read_only() {
    no_hostile_one_is_read_only("postgres-hostile.sql", &[Dialect::Postgres, Dialect::Generic]);
}

#[test]
fn analytical_queries_for_sqlite_are_read_only() {
    every_analytical_one_is_read_only("sqlite-analytical.sql", Dialect::Sqlite);
}

#[test]
fn analytical_queries_for_postgresql_are_read_only() {
    every_analytical_one_is_read_only("postgres-analytical.sql", Dialect::Postgres);
}
