//! What only reads: functions, tables and arguments that `read_only` may be said of. What is not named here is not
//! harmless.

use super::dialect::{Dialect, Name};
use super::functions::{MYSQL, POSTGRES, SQLITE};
use super::names;
use super::scope::lower;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, ObjectName, Value};

/// Digits of the largest number that is a harmless length, and of the largest that is a harmless end of a series.
const LENGTH_DIGITS: usize = 4;
const SERIES_DIGITS: usize = 6;

/// SQLite's modules that are tables without being created, and reach files or internals.
const SQLITE_MODULES: [&str; 14] = [
    "bytecode",
    "completion",
    "csv",
    "dbstat",
    "fsdir",
    "lsmode",
    "prefixes",
    "sqlite_dbdata",
    "sqlite_dbpage",
    "sqlite_dbptr",
    "sqlite_memstat",
    "sqlite_stmt",
    "tables_used",
    "zipfile",
];

/// Functions of PostgreSQL that take a whole row, so that `t.f` can mean `f(t)`.
const OF_ROWS: [&str; 22] = [
    "array_agg",
    "array_append",
    "concat",
    "concat_ws",
    "count",
    "first_value",
    "format",
    "hash_record",
    "json_agg",
    "json_build_array",
    "jsonb_agg",
    "jsonb_build_array",
    "last_value",
    "max",
    "min",
    "quote_literal",
    "quote_nullable",
    "record_out",
    "record_send",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

const KNOWN: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];

/// Whether a function of this name is the database's own, and harmless; of an unknown database, in any of those known.
pub(super) fn is_function(name: &ObjectName, dialect: Option<Dialect>) -> bool {
    match dialect {
        Some(dialect) => is_function_of(name, dialect),
        None => {
            let folds = names::last(name).is_some_and(|own| Name::from(own).folds(Dialect::Postgres));
            folds && KNOWN.iter().any(|dialect| is_function_of(name, *dialect))
        }
    }
}

fn is_function_of(name: &ObjectName, dialect: Dialect) -> bool {
    let allowed = match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
        _ => return false,
    };
    let Some(own) = names::last(name) else { return false };
    let schema = match name.0.as_slice() {
        [_] => true,
        [schema, _] if dialect == Dialect::Postgres => {
            schema.as_ident().is_some_and(|schema| schema.value.eq_ignore_ascii_case("pg_catalog"))
        }
        _ => false,
    };
    let folds = Name::from(own).folds(dialect) || dialect == Dialect::MySql;
    schema && folds && allowed.binary_search(&&*lower(&own.value)).is_ok()
}

/// Whether `t.name` can be a call with the whole row.
pub(super) fn takes_rows(name: &str) -> bool {
    OF_ROWS.binary_search(&name).is_ok()
}

/// Whether a table is neither one of the system's, which tell of other users, passwords and files, nor a function in
/// disguise; of an unknown database, in all of those known.
pub(super) fn is_table(name: &ObjectName, dialect: Option<Dialect>) -> bool {
    match dialect {
        Some(dialect) => is_table_of(name, dialect),
        None => KNOWN.iter().all(|dialect| is_table_of(name, *dialect)),
    }
}

fn is_table_of(name: &ObjectName, dialect: Dialect) -> bool {
    let Some(own) = names::last(name) else { return false };
    let own = lower(&own.value);
    match dialect {
        Dialect::Sqlite => !own.starts_with("pragma_") && SQLITE_MODULES.binary_search(&&*own).is_err(),
        Dialect::Postgres => !own.starts_with("pg_"),
        Dialect::MySql => {
            let system = |schema: &str| ["mysql", "performance_schema", "sys"].contains(&schema);
            let first = names::idents(name).next().map(|schema| lower(&schema.value));
            name.0.len() == 1 || !first.is_some_and(|schema| system(&schema))
        }
        _ => false,
    }
}

/// Whether a call makes no more than its arguments suggest: lengths and series that are written out are small, and are
/// written out where a length alone makes a value.
pub(super) fn is_small(name: &ObjectName, arguments: &[FunctionArg]) -> bool {
    let Some(own) = names::last(name) else { return false };
    let value = |index: usize| arguments.get(index).and_then(literal);
    let small = |index: usize| match value(index) {
        Some(Value::Number(digits, _)) => digits.len() <= LENGTH_DIGITS,
        _ => false,
    };
    match &*lower(&own.value) {
        "lpad" | "rpad" | "repeat" => small(1),
        "space" => small(0),
        "printf" | "format" => match value(0) {
            Some(Value::SingleQuotedString(text)) => is_small_format(text),
            // `format(number, places)` is MySQL's.
            _ => arguments.len() == 2 && small(1),
        },
        "generate_series" => (0..arguments.len()).all(|index| match value(index) {
            Some(Value::Number(digits, _)) => digits.len() <= SERIES_DIGITS,
            _ => true,
        }),
        "array_fill" => false,
        _ => true,
    }
}

fn literal(argument: &FunctionArg) -> Option<&Value> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => Some(&value.value),
        _ => None,
    }
}

/// Whether widths in a format are written out and small.
fn is_small_format(text: &str) -> bool {
    let mut digits = 0;
    text.bytes().all(|byte| {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits < LENGTH_DIGITS && byte != b'*'
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_so_that_they_can_be_searched() {
        for list in [SQLITE, POSTGRES, MYSQL, &SQLITE_MODULES, &OF_ROWS] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
