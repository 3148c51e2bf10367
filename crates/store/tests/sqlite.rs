//! The embedded store on a real disk: the suite, its files, and what an observer may rely on.

use futures_util::future::join_all;
use portunus_core::store::{Batch, Change, Expect, Kind, Store, StoreError, Write};
use portunus_core::time::Timestamp;
use portunus_store::{OpenError, SqliteStore, conformance};
use std::path::Path;
use std::sync::{Arc, Mutex};

fn put(id: &str, value: &str) -> Batch {
    let change = Change::Put { parent: None, expires_at: None, value: value.as_bytes().to_vec() };
    Batch { writes: vec![Write { kind: Kind::Setting, id: id.to_owned(), expect: Expect::Any, change }] }
}

#[tokio::test]
async fn sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conformance::run(async |name: &str| {
        let path = directory.path().join(name).join("portunus.db");
        Arc::new(SqliteStore::open(path).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("made").join("state");
    let path = home.join("portunus.db");
    std::fs::create_dir_all(directory.path().join("made")).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(put("a", "1")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    let mut files = Vec::new();
    for file in std::fs::read_dir(&home).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        files.push(file.file_name().unwrap().to_str().unwrap().to_owned());
    }
    files.sort();
    assert_eq!(files, ["portunus.db", "portunus.db-shm", "portunus.db-wal", "portunus.db.lock"]);
    drop(store);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600, "a file that was open to others is closed to them");

    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::OthersMayWrite { .. })));
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portunus.db");
    let first = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("stop that one"), "{error}");
    drop(first);
    SqliteStore::open(&path).unwrap();
    assert!(!path.with_extension("db-wal").exists(), "closing folds the log into the file");
}

#[test]
fn a_newer_schema_a_foreign_database_and_rubbish_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&newer).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");

    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let rubbish = directory.path().join("rubbish.db");
    std::fs::write(&rubbish, "not a database ".repeat(1000)).unwrap();
    for (path, wanted) in [(foreign, "not a Portunus store"), (rubbish, "restore a backup")] {
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn an_observer_is_called_when_the_commit_can_be_read_and_before_it_returns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portunus.db");
    let store = SqliteStore::open(&path).unwrap();
    let seen: Arc<Mutex<Vec<i64>>> = Arc::default();
    let (reader, notes) = (Mutex::new(rusqlite::Connection::open(&path).unwrap()), Arc::clone(&seen));
    store.observe(Box::new(move |changed| {
        for one in changed {
            let sql = "SELECT version FROM document WHERE id = ?1";
            let version = reader.lock().unwrap().query_row(sql, [&one.id], |row| row.get(0)).unwrap();
            notes.lock().unwrap().push(version);
        }
    }));
    for expected in 1..=3 {
        store.commit(put("a", "1")).await.unwrap();
        assert_eq!(seen.lock().unwrap().last(), Some(&expected));
    }
}

#[tokio::test]
async fn after_an_observer_panicked_nothing_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("portunus.db")).unwrap();
    store.commit(put("before", "1")).await.unwrap();
    store.observe(Box::new(|_| panic!("an observer's fault, meant by this test")));
    for id in ["during", "after"] {
        let error = store.commit(put(id, "1")).await.unwrap_err();
        assert!(error.to_string().contains("restart Portunus"), "{error}");
    }
    assert!(store.purge(Timestamp::from_millis(1), 1).await.is_err());
    assert!(store.get(Kind::Setting, "before").await.unwrap().is_some(), "reading goes on");
    assert!(store.get(Kind::Setting, "after").await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_whose_future_is_dropped_happens_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("portunus.db")).unwrap();
    let mut commit = Box::pin(store.commit(put("a", "1")));
    // Queued by its first poll, and then forgotten.
    let _ = commit.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    drop(commit);
    store.commit(put("b", "1")).await.unwrap();
    assert!(store.get(Kind::Setting, "a").await.unwrap().is_some());
}

#[tokio::test]
async fn a_conflict_spoils_no_other_commit_of_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("portunus.db")).unwrap();
    let commits = (0..600).map(|number| {
        let mut batch = put(&format!("n{number}"), "1");
        if number % 3 == 0 {
            let check = Write {
                kind: Kind::Grant,
                id: "none".to_owned(),
                expect: Expect::Version(1),
                change: Change::Check,
            };
            batch.writes.push(check);
        }
        store.commit(batch)
    });
    let mut generations = Vec::new();
    for (number, outcome) in join_all(commits).await.into_iter().enumerate() {
        match outcome {
            Ok(generation) => generations.push(generation),
            Err(error) => assert_eq!((number % 3, error), (0, StoreError::Conflict { kind: "grant" })),
        }
        let stored = store.get(Kind::Setting, &format!("n{number}")).await.unwrap().is_some();
        assert_eq!(stored, number % 3 != 0, "n{number}");
    }
    assert_eq!(generations, (1..=400).collect::<Vec<_>>(), "each commit has a generation of its own");
}
