//! What one step of a batch does to the table, and what a purge does.

use portunus_core::store::{Batch, Change, Changed, Expect, Kind, Write};
use portunus_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// Why a batch was not applied.
#[derive(Debug)]
pub(super) enum Stop {
    /// An expectation about this kind did not hold.
    Conflict(Kind),
    /// The database failed.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// Applies the steps in order and says which documents changed. After an error some may have been applied: the caller
/// rolls back.
pub(super) fn apply(connection: &Connection, batch: &Batch) -> Result<Vec<Changed>, Stop> {
    let mut changed = Vec::with_capacity(batch.writes.len());
    for write in &batch.writes {
        if apply_write(connection, write)? {
            changed.push(Changed { kind: write.kind, id: write.id.clone() });
        }
    }
    Ok(changed)
}

/// Removes documents that expired before `now`, the longest expired first.
pub(super) fn purge(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<Changed>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "DELETE FROM document WHERE (kind, id) IN
             (SELECT kind, id FROM document WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)
         RETURNING kind, id",
    )?;
    let mut rows = statement.query(params![signed(now.as_millis()), limit])?;
    let mut changed = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(0)?;
        // Observers know nothing of kinds that this version does not know.
        if let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) {
            changed.push(Changed { kind, id: row.get(1)? });
        }
    }
    Ok(changed)
}

/// Whether the step changed anything.
fn apply_write(connection: &Connection, write: &Write) -> Result<bool, Stop> {
    let rows = match (&write.change, write.expect) {
        (Change::Put { .. }, _) => put(connection, write)?,
        (Change::Delete, Expect::Version(version)) => connection
            .prepare_cached("DELETE FROM document WHERE kind = ?1 AND id = ?2 AND version = ?3")?
            .execute(params![write.kind.as_str(), write.id, signed(version)])?,
        (Change::Delete, Expect::Any) => {
            return Ok(connection
                .prepare_cached("DELETE FROM document WHERE kind = ?1 AND id = ?2")?
                .execute(params![write.kind.as_str(), write.id])?
                > 0);
        }
        (Change::Delete, Expect::Absent) | (Change::Check, _) => {
            let found = version(connection, write)?;
            let holds = match write.expect {
                Expect::Absent => found.is_none(),
                Expect::Version(expected) => found == Some(signed(expected)),
                Expect::Any => true,
            };
            return if holds { Ok(false) } else { Err(Stop::Conflict(write.kind)) };
        }
    };
    if rows == 1 { Ok(true) } else { Err(Stop::Conflict(write.kind)) }
}

/// How many rows were written: none when the expectation does not hold.
fn put(connection: &Connection, write: &Write) -> rusqlite::Result<usize> {
    let Change::Put { parent, expires_at, value } = &write.change else { return Ok(0) };
    let (kind, expires_at) = (write.kind.as_str(), expires_at.map(|moment| signed(moment.as_millis())));
    match write.expect {
        Expect::Absent => connection
            .prepare_cached(
                "INSERT INTO document (kind, id, version, parent, expires_at, value) VALUES (?1, ?2, 1, ?3, ?4, ?5)
                 ON CONFLICT (kind, id) DO NOTHING",
            )?
            .execute(params![kind, write.id, parent, expires_at, value]),
        Expect::Version(version) => connection
            .prepare_cached(
                "UPDATE document SET version = version + 1, parent = ?3, expires_at = ?4, value = ?5
                 WHERE kind = ?1 AND id = ?2 AND version = ?6",
            )?
            .execute(params![kind, write.id, parent, expires_at, value, signed(version)]),
        Expect::Any => connection
            .prepare_cached(
                "INSERT INTO document (kind, id, version, parent, expires_at, value) VALUES (?1, ?2, 1, ?3, ?4, ?5)
                 ON CONFLICT (kind, id) DO UPDATE SET version = version + 1, parent = excluded.parent,
                     expires_at = excluded.expires_at, value = excluded.value",
            )?
            .execute(params![kind, write.id, parent, expires_at, value]),
    }
}

fn version(connection: &Connection, write: &Write) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT version FROM document WHERE kind = ?1 AND id = ?2")?
        .query_row(params![write.kind.as_str(), write.id], |row| row.get(0))
        .optional()
}

/// SQLite's integers are signed; what lies beyond them is 292 million years away, and stays there.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
