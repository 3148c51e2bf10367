//! SQL text in a call's arguments → facts for the policy. Pure.

use portunus_mcp::json::{self, Bounds, Part};
use portunus_mcp::message::{Call, Method};
use portunus_policy::sql::{self, Dialect, SqlFacts};

/// Names of arguments that hold SQL, as servers commonly call them.
const SQL_NAMES: [&str; 3] = ["sql", "query", "statement"];

/// What an administrator says about a tool's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// None of them holds SQL, whatever they are called.
    Nothing,
    /// This one does, in this dialect.
    Argument(String, Dialect),
}

/// Facts about the SQL that a tool call carries: in the argument that was declared, or else in a text called `sql`, `query`
/// or `statement`, in a dialect that is not known. A name in other letters, two such names, or a value that is no text give
/// incomplete facts, which policies must treat as the worst case: some server may read them.
#[must_use]
pub fn facts(call: &Call, declared: Option<&Declared>) -> Option<SqlFacts> {
    if call.method != Method::ToolsCall {
        return None;
    }
    of_tool(call.arguments.as_deref(), declared)
}

/// The same, for the raw JSON object of a tool call's arguments.
#[must_use]
pub fn of_tool(arguments: Option<&[u8]>, declared: Option<&Declared>) -> Option<SqlFacts> {
    match declared {
        Some(Declared::Nothing) => None,
        Some(Declared::Argument(name, dialect)) => arguments.map_or_else(
            || Some(SqlFacts::unknown()),
            |arguments| of_names(arguments, &[name], *dialect).or_else(|| Some(SqlFacts::unknown())),
        ),
        None => of_arguments(arguments?, Dialect::Generic),
    }
}

fn of_arguments(arguments: &[u8], dialect: Dialect) -> Option<SqlFacts> {
    of_names(arguments, &SQL_NAMES, dialect)
}

fn of_names(arguments: &[u8], names: &[&str], dialect: Dialect) -> Option<SqlFacts> {
    let unknown = || Some(SqlFacts::unknown());
    let Ok(scan) = json::scan(arguments, &Bounds::of_bytes(arguments.len())) else { return unknown() };
    let folded = |key: &str| names.iter().any(|name| *json::fold(key) == *json::fold(name));
    let mut found = scan.members(Part::Root).filter(|(key, _)| folded(key));
    let (key, value) = found.next()?;
    match value.string() {
        Some(text) if found.next().is_none() && names.contains(&key) => Some(sql::facts(&text, dialect)),
        _ => unknown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_seen_however_its_key_is_written() {
        let drop = "DROP TABLE t";
        for arguments in [
            format!(r#"{{"sql":"{drop}"}}"#),
            format!(r#"{{"s\u0071l":"{drop}"}}"#),
            format!(r#"{{"query":"{drop}"}}"#),
        ] {
            let facts = of_arguments(arguments.as_bytes(), Dialect::Sqlite).expect("SQL is there");
            assert!(facts.kinds.contains("drop"), "{arguments}: {facts:?}");
        }
        let both = of_arguments(br#"{"sql":"SELECT 1","query":"DROP TABLE t"}"#, Dialect::Sqlite)
            .expect("SQL is there");
        assert!(!both.complete && both.kinds.contains("unknown"));
        let shouted =
            of_arguments(br#"{"SQL":"DROP TABLE t"}"#, Dialect::Sqlite).expect("some server reads it");
        assert!(!shouted.complete && shouted.kinds.contains("unknown"));
        let odd = of_arguments(br#"{"sql":{"a":1}}"#, Dialect::Sqlite).expect("something is there");
        assert!(!odd.complete && odd.kinds.contains("unknown"));
        assert_eq!(of_arguments(br#"{"table":"orders"}"#, Dialect::Sqlite), None);
    }
}
