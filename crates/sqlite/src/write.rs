//! One INSERT, UPDATE or DELETE: all of it or nothing.

use crate::failure::Failure;
use crate::prepare;
use crate::rows::{Page, Window, collect};
use crate::session::Frame;
use rusqlite::types::Value;

/// What a statement did.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Rows that the statement itself inserted, changed or deleted, not those of triggers and foreign keys.
    pub(crate) rows_changed: u64,
    /// What RETURNING gave.
    pub(crate) returned: Page,
}

/// Runs the statement; the frame commits it when this succeeds.
pub(crate) fn write(
    frame: &Frame<'_>,
    sql: &str,
    parameters: &[Value],
    window: Window,
) -> Result<Changes, Failure> {
    let run = || {
        let mut statement = prepare::write(frame, sql, parameters)?;
        // SQLite makes all changes before it gives the first row of RETURNING.
        let returned = collect(&mut statement, window)?;
        drop(statement);
        Ok(Changes { rows_changed: frame.connection.changes(), returned })
    };
    run().map_err(|failure| frame.explain(failure, sql))
}
