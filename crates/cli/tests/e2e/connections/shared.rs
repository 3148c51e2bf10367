//! The store's file opened by several processes at once, as a shared database is: nobody is told of what others commit.

use async_trait::async_trait;
use portunus_core::store::{Batch, Change, Entry, Expect, Kind, Observer, Query, Store, StoreError, Write};
use portunus_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

pub(super) struct SharedStore(Mutex<Connection>);

impl SharedStore {
    pub(super) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        Self(Mutex::new(connection))
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

fn version(connection: &Connection, write: &Write) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT version FROM document WHERE kind = ?1 AND id = ?2";
    connection
        .query_row(sql, (write.kind.as_str(), &write.id), |row| row.get::<_, i64>(0))
        .optional()
        .map(|found| found.and_then(|found| found.try_into().ok()))
}

#[async_trait]
impl Store for SharedStore {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        let connection = self.0.lock().unwrap();
        let sql = "SELECT version, parent, value FROM document WHERE kind = ?1 AND id = ?2";
        let entry = connection.query_row(sql, (kind.as_str(), id), |row| {
            Ok(Entry {
                id: id.to_owned(),
                version: row.get::<_, i64>(0)?.try_into().unwrap(),
                parent: row.get(1)?,
                expires_at: None,
                value: row.get(2)?,
            })
        });
        entry.optional().map_err(failed)
    }

    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        let mut connection = self.0.lock().unwrap();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for write in &batch.writes {
            let found = version(&transaction, write).map_err(failed)?;
            let holds = match write.expect {
                Expect::Absent => found.is_none(),
                Expect::Version(version) => found == Some(version),
                Expect::Any => true,
            };
            let Change::Put { parent, value, .. } = &write.change else {
                panic!("only puts are expected here")
            };
            if !holds {
                return Err(StoreError::Conflict { kind: write.kind.as_str() });
            }
            let sql = "INSERT OR REPLACE INTO document (kind, id, version, parent, value) VALUES (?1, ?2, ?3, ?4, ?5)";
            let next = i64::try_from(found.unwrap_or(0) + 1).unwrap();
            transaction
                .execute(sql, (write.kind.as_str(), &write.id, next, parent, value))
                .map_err(failed)?;
        }
        transaction.execute("UPDATE meta SET generation = generation + 1", ()).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(0)
    }

    async fn list(&self, _kind: Kind, _query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        panic!("no lists are expected here")
    }
    async fn count(&self, _kind: Kind) -> Result<u64, StoreError> {
        panic!("no counts are expected here")
    }
    async fn purge(&self, _now: Timestamp, _limit: usize) -> Result<u64, StoreError> {
        panic!("no purges are expected here")
    }
    async fn generation(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn observe(&self, _observer: Observer) {}
}
