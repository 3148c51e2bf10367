//! The thread that writes. Whatever waits is committed as one group with one sync of the disk; each batch stands in a
//! savepoint of its own, so that one conflict does not spoil the others.

use super::failed;
use super::step::{self, Stop};
use futures_channel::oneshot;
use portunus_core::store::{Batch, Changed, Observer, StoreError};
use portunus_core::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{PoisonError, RwLock};

/// Jobs committed together: enough to share a sync, few enough that the first does not wait long for the last.
const GROUP: usize = 256;

/// What is to be done.
pub(super) enum Work {
    /// Apply a batch; answers with the generation after it.
    Commit(Batch),
    /// Remove expired documents; answers with how many.
    Purge { now: Timestamp, limit: usize },
}

/// Work, and who waits for it.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<u64, StoreError>>,
}

/// What the writer shares with the callers.
pub(super) struct Shared {
    generation: AtomicU64,
    observers: RwLock<Vec<Observer>>,
}

impl Shared {
    pub(super) fn new(generation: u64) -> Self {
        Self { generation: AtomicU64::new(generation), observers: RwLock::default() }
    }
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
    pub(super) fn observe(&self, observer: Observer) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }
    fn tell(&self, changed: &[Changed]) {
        if !changed.is_empty() {
            for observer in self.observers.read().unwrap_or_else(PoisonError::into_inner).iter() {
                observer(changed);
            }
        }
    }
}

/// Work that was done.
#[derive(Debug)]
struct Done {
    answer: u64,
    changed: Vec<Changed>,
}

/// A committed group: the generation after it, and how each job fared.
#[derive(Debug)]
struct Group {
    generation: u64,
    outcomes: Vec<Result<Done, StoreError>>,
}

/// Serves the queue until its senders are gone.
pub(super) fn run(mut connection: Connection, queue: &Receiver<Job>, shared: &Shared) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1));
        let (works, replies): (Vec<Work>, Vec<_>) = jobs.map(|job| (job.work, job.reply)).unzip();
        // Nobody listening for an answer is no reason to stop.
        match commit(&mut connection, shared.generation(), &works) {
            Ok(group) => {
                shared.generation.store(group.generation, Ordering::Release);
                for (outcome, reply) in group.outcomes.into_iter().zip(replies) {
                    let _ = reply.send(outcome.map(|done| {
                        shared.tell(&done.changed);
                        done.answer
                    }));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(failed(&error)));
                }
            }
        }
    }
}

/// Commits what can be committed. An error other than a conflict undoes the whole group: SQLite may already have
/// rolled the transaction back, and another savepoint would silently begin a new one.
fn commit(connection: &mut Connection, mut generation: u64, works: &[Work]) -> rusqlite::Result<Group> {
    let before = generation;
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        // Dropped without its commit, a savepoint is undone.
        let savepoint = transaction.savepoint()?;
        outcomes.push(match perform(&savepoint, &mut generation, work) {
            Ok(done) => {
                savepoint.commit()?;
                Ok(done)
            }
            Err(Stop::Conflict(kind)) => {
                savepoint.finish()?;
                Err(StoreError::Conflict { kind: kind.as_str() })
            }
            Err(Stop::Failed(error)) => return Err(error),
        });
    }
    if generation != before {
        let stored = i64::try_from(generation).unwrap_or(i64::MAX);
        transaction.prepare_cached("UPDATE meta SET generation = ?1")?.execute([stored])?;
        transaction.commit()?;
    }
    Ok(Group { generation, outcomes })
}

fn perform(connection: &Connection, generation: &mut u64, work: &Work) -> Result<Done, Stop> {
    match work {
        Work::Commit(batch) => {
            let changed = step::apply(connection, batch)?;
            *generation += 1;
            Ok(Done { answer: *generation, changed })
        }
        Work::Purge { now, limit } => {
            let changed = step::purge(connection, *now, *limit)?;
            if !changed.is_empty() {
                *generation += 1;
            }
            Ok(Done { answer: changed.len() as u64, changed })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use portunus_core::store::{Change, Expect, Kind, Write};

    fn put(id: &str, expect: Expect) -> Work {
        let change = Change::Put { parent: None, expires_at: None, value: b"1".to_vec() };
        Work::Commit(Batch { writes: vec![Write { kind: Kind::Setting, id: id.to_owned(), expect, change }] })
    }

    fn ids(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT id FROM document ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn open(directory: &tempfile::TempDir) -> Connection {
        let path = directory.path().join("portunus.db");
        schema::prepare_files(&path).unwrap();
        schema::open_writer(&path).unwrap().0
    }

    #[test]
    fn a_group_is_one_commit_and_a_conflict_takes_only_its_own_batch_out() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = open(&directory);
        let watcher = Connection::open(directory.path().join("portunus.db")).unwrap();
        let seen = || watcher.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).unwrap();
        let before = seen();
        let works = [put("a", Expect::Absent), put("a", Expect::Absent), put("b", Expect::Any)];
        let group = commit(&mut connection, 41, &works).unwrap();
        let answers: Vec<_> = group.outcomes.into_iter().map(|one| one.map(|done| done.answer)).collect();
        assert_eq!(answers, [Ok(42), Err(StoreError::Conflict { kind: "setting" }), Ok(43)]);
        assert_eq!(group.generation, 43);
        assert_eq!(ids(&connection), ["a", "b"]);
        assert_eq!(seen(), before + 1, "another connection saw one commit");
        let stored: i64 = connection.query_row("SELECT generation FROM meta", [], |row| row.get(0)).unwrap();
        assert_eq!(stored, 43);
    }

    /// As after a full disk: SQLite has ended the transaction by itself, in the middle of the group.
    #[test]
    fn a_failure_undoes_the_whole_group_and_the_next_group_is_whole_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = open(&directory);
        let trigger = "CREATE TEMP TRIGGER full BEFORE INSERT ON document WHEN new.id = 'bad'
                       BEGIN SELECT RAISE(ROLLBACK, 'disk full, says the test'); END";
        connection.execute_batch(trigger).unwrap();
        let works = [put("a", Expect::Any), put("bad", Expect::Any), put("b", Expect::Any)];
        let error = commit(&mut connection, 0, &works).unwrap_err();
        assert!(error.to_string().contains("disk full"), "{error}");
        assert_eq!(ids(&connection), [""; 0]);
        assert!(connection.is_autocommit(), "no transaction is left open");
        assert_eq!(commit(&mut connection, 0, &[put("c", Expect::Any)]).unwrap().generation, 1);
        assert_eq!(ids(&connection), ["c"]);
    }
}
