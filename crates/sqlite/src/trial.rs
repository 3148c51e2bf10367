//! A write that is run to see how many rows it changes. The frame rolls it back, whatever comes of it.

use crate::failure::Failure;
use crate::prepare;
use crate::session::Frame;
use rusqlite::types::Value;
use std::collections::BTreeMap;

/// What a statement would do.
#[derive(Debug)]
pub(crate) struct Estimate {
    /// Rows that the statement itself would insert, change or delete.
    pub(crate) rows_changed: u64,
    /// By table, those of triggers and foreign keys included; for tables WITHOUT ROWID only what the statement itself
    /// would change.
    pub(crate) tables: BTreeMap<String, u64>,
}

/// Runs the statement to its end. Rows of RETURNING are not kept. Foreign keys that are checked at the commit only are
/// not checked here.
pub(crate) fn trial(frame: &Frame<'_>, sql: &str, parameters: &[Value]) -> Result<Estimate, Failure> {
    let run = || {
        let mut statement = prepare::write(frame, sql, parameters)?;
        let mut rows = statement.raw_query();
        while rows.next().map_err(Failure::Sqlite)?.is_some() {}
        drop(rows);
        drop(statement);
        Ok(frame.connection.changes())
    };
    let rows_changed = run().map_err(|failure| frame.explain(failure, sql))?;
    let (target, mut tables) = frame.witness.changed();
    if let Some(target) = target.and_then(|name| frame.catalog.find(&name))
        && target.without_rowid
        && rows_changed > 0
    {
        tables.insert(target.name.clone(), rows_changed);
    }
    // A table that is as if it were not there is not counted either.
    tables.retain(|name, _| {
        let relation = frame.catalog.find(name);
        relation.is_some_and(|relation| !frame.mask.is_some_and(|mask| mask.hides_whole(relation)))
    });
    Ok(Estimate { rows_changed, tables })
}
