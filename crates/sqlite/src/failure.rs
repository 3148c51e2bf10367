//! Why a tool call did not do what was asked. Each message goes to a model, and says what to do next.

use crate::authorizer::Denial;
use crate::cursor::CursorError;
use crate::program::Leak;
use rusqlite::ErrorCode;
use std::time::Duration;

/// Why a tool call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the statement ran for {} ms, its limit, and was stopped: read fewer rows (WHERE, LIMIT), join on indexed columns, or ask for less at once; explain_query shows where the time goes", .0.as_millis())]
    TimedOut(Duration),
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the server is busy with other statements; try again in a moment")]
    Busy,
    #[error("the database is locked by another program that writes to it; try again in a moment")]
    Locked,
    #[error("`sql` is empty; write one statement")]
    Empty,
    #[error("`sql` holds more than one statement; send one statement per call")]
    SeveralStatements,
    #[error("`sql` is {0} bytes long; the limit is {limit}", limit = portunus_core::limits::SQL_BYTES)]
    TooLong(usize),
    #[error("`sql` contains a NUL character; remove it")]
    Nul,
    #[error("this tool runs a single SELECT (or WITH … SELECT, or VALUES) and nothing else")]
    NotASelect,
    #[error("this tool runs a single INSERT, UPDATE or DELETE and nothing else; use read_query to read")]
    NotAWrite,
    #[error(
        "a trial run and a call are not the same: only the gateway asks for trials, and only of write_query"
    )]
    NoTrial,
    #[error("EXPLAIN is not run here; give the plain statement to explain_query")]
    Explain,
    #[error("{0}")]
    Denied(Denial),
    #[error("{0}")]
    Leak(Leak),
    #[error("the statement has {expected} parameters (?), but `params` has {given} values")]
    Parameters { given: usize, expected: usize },
    #[error("params[{0}] is an array or object; a parameter is a string, number, boolean or null")]
    ParameterType(usize),
    #[error("`params` has {0} values; the limit is {limit}", limit = crate::limits::PARAMETERS)]
    TooManyParameters(usize),
    #[error("a text, blob or row of more than {limit} bytes came up: select fewer or shorter columns, for example substr(column, 1, 200) or length(column)", limit = crate::limits::VALUE_BYTES)]
    ValueTooBig,
    #[error(
        "one row alone is larger than the {0} bytes that fit in an answer: select fewer columns, or substr(column, 1, 200) of long ones"
    )]
    RowTooBig(usize),
    #[error(
        "the statement needs more memory than it may use: sort, group or collect fewer rows (WHERE, LIMIT before ORDER BY in a subquery)"
    )]
    OutOfMemory,
    #[error("{0}")]
    Cursor(#[from] CursorError),
    #[error("{0}")]
    Sql(String),
    #[error("nothing was changed: {0}")]
    Constraint(String),
    #[error("there is no table or view `{name}`{hint}")]
    NoSuchTable { name: String, hint: String },
    #[error("the arguments do not fit the tool's input schema: {0}")]
    Arguments(String),
    /// What SQLite said; [`crate::advice`] turns it into one of the others.
    #[error("the database said: {0}")]
    Sqlite(#[source] rusqlite::Error),
    #[error("the server could not run the statement: {0}")]
    Internal(String),
}

impl Failure {
    /// The meaning of an error of SQLite's that needs no knowledge of the statement.
    pub(crate) fn from_code(error: &rusqlite::Error) -> Option<Self> {
        match error.sqlite_error_code()? {
            ErrorCode::TooBig => Some(Self::ValueTooBig),
            ErrorCode::OutOfMemory => Some(Self::OutOfMemory),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some(Self::Locked),
            ErrorCode::ConstraintViolation => Some(Self::Constraint(error.to_string())),
            _ => None,
        }
    }
}
