//! Words that a database never takes for a name unless they are quoted. Where the parser here does, it has not understood:
//! `FROM ONLY staff` is no table called `only`, and `SELECT BINARY salary` is no column called `binary`.

use super::dialect::{Dialect, Name};
use super::scope::lower;

/// Whether a name cannot be one.
pub(super) fn is_reserved(name: Name<'_>, dialect: Dialect) -> bool {
    let words = match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
        _ => return false,
    };
    !name.quoted && words.binary_search(&&*lower(name.value)).is_ok()
}

/// Those that SQLite's parser never falls back to a name for.
#[rustfmt::skip]
const SQLITE: &[&str] = &[
    "all", "and", "as", "between", "case", "check", "collate", "commit", "constraint", "create", "default",
    "deferrable", "delete", "distinct", "drop", "else", "escape", "except", "exists", "foreign", "from",
    "group", "having", "in", "index", "insert", "intersect", "into", "is", "isnull", "join", "limit", "not",
    "notnull", "null", "on", "or", "order", "primary", "references", "select", "set", "table", "then", "to",
    "transaction", "union", "unique", "update", "using", "values", "when", "where",
];

/// Those that cannot name a table or a column; PostgreSQL 18, appendix C, without what is a function.
#[rustfmt::skip]
const POSTGRES: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization",
    "binary", "both", "case", "cast", "check", "collate", "column", "concurrently", "constraint", "create",
    "cross", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "false", "fetch",
    "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in", "initially",
    "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "like", "limit", "natural",
    "not", "notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "placing",
    "primary", "references", "returning", "select", "similar", "some", "symmetric", "table", "tablesample",
    "then", "to", "trailing", "true", "union", "unique", "using", "variadic", "verbose", "when", "where",
    "window", "with",
];

/// Reserved in MySQL 8.4 or MariaDB 11, and modifiers of `SELECT`.
#[rustfmt::skip]
const MYSQL: &[&str] = &[
    "accessible", "add", "all", "alter", "analyze", "and", "as", "asc", "asensitive", "before", "between",
    "binary", "both", "by", "call", "cascade", "case", "change", "check", "collate", "column", "condition",
    "constraint", "continue", "create", "cross", "cursor", "databases", "declare", "delayed", "delete",
    "desc", "describe", "deterministic", "distinct", "distinctrow", "div", "drop", "each", "else", "elseif",
    "enclosed", "escaped", "except", "exists", "exit", "explain", "fetch", "for", "force", "foreign",
    "from", "fulltext", "generated", "grant", "group", "having", "high_priority", "ignore", "in", "index",
    "infile", "inner", "inout", "intersect", "into", "is", "iterate", "join", "key", "keys", "kill",
    "lateral", "leading", "leave", "like", "limit", "linear", "lines", "load", "lock", "loop",
    "low_priority", "match", "mod", "natural", "not", "null", "of", "on", "optimize", "option",
    "optionally", "or", "order", "out", "outer", "outfile", "over", "partition", "primary", "procedure",
    "purge", "range", "read", "recursive", "references", "regexp", "release", "rename", "require",
    "resignal", "restrict", "return", "revoke", "rlike", "row", "rows", "select", "sensitive", "separator",
    "set", "show", "signal", "spatial", "specific", "sql", "sql_big_result", "sql_buffer_result",
    "sql_cache", "sql_calc_found_rows", "sql_no_cache", "sql_small_result", "starting", "stored",
    "straight_join", "system", "table", "terminated", "then", "to", "trailing", "trigger", "undo", "union",
    "unique", "unlock", "unsigned", "update", "usage", "use", "using", "varying", "virtual", "when",
    "where", "while", "window", "with", "write", "xor", "zerofill",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_so_that_they_can_be_searched() {
        for list in [SQLITE, POSTGRES, MYSQL] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
