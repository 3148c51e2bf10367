//! A statement made ready to run: compiled, its parameters bound, its program checked against what was decided.

use crate::authorizer::{Access, Denial};
use crate::failure::Failure;
use crate::flow::{self, Shown, Used};
use crate::limits;
use crate::mask::Treated;
use crate::program::Program;
use crate::session::Frame;
use crate::statement;
use rusqlite::Statement;
use rusqlite::types::Value;

/// A statement that may run.
pub(crate) struct Ready<'c> {
    pub(crate) statement: Statement<'c>,
    /// Columns of the answer that show treated values.
    pub(crate) shown: Vec<Option<Shown>>,
}

/// Why an attempt came to nothing.
enum Stop {
    /// Treated columns are used for more than being shown.
    Used(Used),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes a SELECT ready. Treated columns are read first; those whose values would be used for more than being shown are
/// hidden then, and the statement is compiled anew, so that it can only be shown or be NULL what they hold.
pub(crate) fn read<'c>(frame: &Frame<'c>, sql: &str, parameters: &[Value]) -> Result<Ready<'c>, Failure> {
    let before = frame.witness.columns();
    let mut treated = frame.mask.map(|mask| mask.treated(frame.catalog)).unwrap_or_default();
    let mut attempts = 0;
    loop {
        attempts += 1;
        frame.witness.attempt(&before, treated.iter().map(|column| column.name.clone()));
        let stop = match attempt(frame, sql, parameters, Access::Read, &treated) {
            Ok(ready) => return Ok(ready),
            Err(stop) => stop,
        };
        let count = treated.len();
        match stop {
            Stop::Failed(failure) if treated.is_empty() => return Err(failure),
            _ if frame.budget.is_over() => return Err(frame.budget.failure()),
            Stop::Used(Used(names)) => treated.retain(|column| !names.contains(&column.name)),
            Stop::Failed(Failure::Leak(leak)) => treated.retain(|column| column.table != leak.table()),
            Stop::Failed(_) => treated.clear(),
        }
        if treated.len() == count || attempts >= limits::FLOW_ATTEMPTS {
            treated.clear();
        }
    }
}

/// Makes an INSERT, UPDATE or DELETE ready. It may not read a treated column at all.
pub(crate) fn write<'c>(
    frame: &Frame<'c>,
    sql: &str,
    parameters: &[Value],
) -> Result<Statement<'c>, Failure> {
    match attempt(frame, sql, parameters, Access::Write, &[]) {
        Ok(ready) => Ok(ready.statement),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Used(Used(names))) => Err(Failure::Internal(names.join(", "))),
    }
}

fn attempt<'c>(
    frame: &Frame<'c>,
    sql: &str,
    parameters: &[Value],
    access: Access,
    treated: &[Treated],
) -> Result<Ready<'c>, Stop> {
    let mut statement = statement::shaped(frame.connection, sql, access, &frame.witness)?;
    statement::bind(&mut statement, parameters)?;
    let unread = std::mem::take(&mut frame.witness.seen().unread);
    if frame.mask.is_none() && unread.is_empty() {
        return Ok(Ready { statement, shown: Vec::new() });
    }
    let program = Program::of(frame, sql, parameters)?;
    for table in unread.iter().filter_map(|name| frame.catalog.find(name)) {
        if program.reads(table) {
            return Err(Failure::Denied(Denial::Undecided(table.name.clone())).into());
        }
    }
    if let Some(mask) = frame.mask {
        program.check(frame.catalog, mask, treated).map_err(Failure::Leak)?;
    }
    let width = statement.column_count();
    let shown = flow::follow(&program, frame.catalog, treated, width).map_err(Stop::Used)?;
    Ok(Ready { statement, shown })
}
