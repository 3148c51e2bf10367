//! Bounds of the SQL server (law 5). What an operator may set is in [`crate::Options`].

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of any text, blob or row that SQLite handles.
pub(crate) const VALUE_BYTES: usize = MIB;
/// Bytes of an HTTP request body.
pub(crate) const REQUEST_BYTES: usize = MIB;
/// Statements that run at once; others wait.
pub(crate) const CONCURRENT_STATEMENTS: usize = 4;
/// Time beyond a statement's own until its caller is answered even so: one step, such as a sort, cannot be cut.
pub(crate) const ANSWER_GRACE: Duration = Duration::from_millis(250);
/// Virtual-machine instructions between two looks at the clock; one may work on values of [`VALUE_BYTES`] each.
pub(crate) const STEPS_BETWEEN_CHECKS: i32 = 32;
/// Parameters of one statement.
pub(crate) const PARAMETERS: usize = 100;
/// Time for counting the rows of one table or view for an overview.
pub(crate) const COUNT_TIMEOUT: Duration = Duration::from_millis(250);
/// Tables and views in one overview.
pub(crate) const LISTED_TABLES: usize = 500;
/// Rows from which sample values are taken.
pub(crate) const SAMPLE_ROWS: usize = 3;
/// Characters of a sample value.
pub(crate) const SAMPLE_CHARS: usize = 80;
/// Arguments of one function.
pub(crate) const FUNCTION_ARGUMENTS: i64 = 64;
/// Instructions, and registers handed on, that are looked at to see where treated values go. A statement that needs more
/// gets NULL.
pub(crate) const FLOW_STEPS: usize = 2_000_000;
/// Attempts at a statement with ever fewer treated columns, until all of them are hidden.
pub(crate) const FLOW_ATTEMPTS: usize = 4;
/// Bytes of a text in a statement that may be carried along with a treated value.
pub(crate) const NARROW_BYTES: usize = 256;

/// SQLite's own limits for every connection.
pub(crate) const SQLITE: &[(rusqlite::limits::Limit, i32)] = {
    use rusqlite::limits::Limit::*;
    &[
        (SQLITE_LIMIT_LENGTH, VALUE_BYTES as i32),
        (SQLITE_LIMIT_SQL_LENGTH, portunus_core::limits::SQL_BYTES as i32),
        (SQLITE_LIMIT_EXPR_DEPTH, 500),
        (SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (SQLITE_LIMIT_VDBE_OP, 25_000),
        (SQLITE_LIMIT_FUNCTION_ARG, FUNCTION_ARGUMENTS as i32),
        (SQLITE_LIMIT_ATTACHED, 0),
        (SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
        (SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS as i32),
        (SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (SQLITE_LIMIT_WORKER_THREADS, 0),
    ]
};
