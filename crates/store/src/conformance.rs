//! What every store must do. A back end's tests call [`run`] with a way to open its databases; a panic says what it
//! does otherwise.

#![expect(clippy::unwrap_used, reason = "a suite of assertions: it is called by tests only")]

use futures_util::future::join_all;
use portunus_core::limits::{BATCH_STEPS, DOCUMENT_BYTES, DOCUMENT_ID_BYTES, PAGE_DOCUMENTS};
use portunus_core::store::{
    Batch, Change, Changed, Entry, Expect, Kind, Query, Store, StoreError, Versioned, Write, list_all, load,
};
use portunus_core::time::Timestamp;
use std::sync::{Arc, Mutex};

/// Runs the whole suite. `open` opens the database of the given name: empty the first time, and with all that was
/// committed when it is opened again after the earlier handle was dropped.
///
/// # Panics
/// When the store does not conform.
pub async fn run(open: impl AsyncFn(&str) -> Arc<dyn Store>) {
    insert_demands_a_free_id(&*open("insert").await).await;
    update_demands_the_version_that_was_read(&*open("update").await).await;
    the_last_writer_wins_when_anything_is_expected(&*open("upsert").await).await;
    delete_demands_what_it_expects(&*open("delete").await).await;
    a_check_changes_nothing_and_can_stop_a_batch(&*open("check").await).await;
    a_failing_batch_changes_nothing(&*open("atomic").await).await;
    steps_see_the_steps_before_them(&*open("order").await).await;
    pages_follow_the_bytes_of_the_ids(&*open("paging").await).await;
    children_are_listed_by_parent(&*open("parent").await).await;
    every_field_survives_as_it_was_given(&*open("fields").await).await;
    purge_removes_the_expired_and_no_others(&*open("purge").await).await;
    what_is_out_of_bounds_is_refused(&*open("bounds").await).await;
    the_generation_counts_commits(&*open("generation").await).await;
    observers_have_heard_of_a_commit_when_it_returns(&*open("observers").await).await;
    parallel_increments_lose_none(&*open("increments").await).await;
    one_of_many_inserts_of_an_id_succeeds(&*open("race").await).await;
    commits_survive_opening_again(&open).await;
}

async fn insert_demands_a_free_id(store: &dyn Store) {
    assert_eq!(store.get(Kind::User, "ana").await.unwrap(), None);
    store.commit(one(Kind::User, "ana", Expect::Absent, put("1"))).await.unwrap();
    let again = store.commit(one(Kind::User, "ana", Expect::Absent, put("2"))).await;
    assert_eq!(again, Err(StoreError::Conflict { kind: "user" }));
    let entry = store.get(Kind::User, "ana").await.unwrap().unwrap();
    assert_eq!((entry.version, entry.value.as_slice()), (1, b"1".as_slice()));
    // The same id of another kind is another document.
    store.commit(one(Kind::Client, "ana", Expect::Absent, put("3"))).await.unwrap();
    assert_eq!(store.count(Kind::User).await.unwrap(), 1);
}

async fn update_demands_the_version_that_was_read(store: &dyn Store) {
    let missing = store.commit(one(Kind::Grant, "g", Expect::Version(1), put("0"))).await;
    assert_eq!(missing, Err(StoreError::Conflict { kind: "grant" }), "an update makes no document");
    store.commit(one(Kind::Grant, "g", Expect::Absent, put("1"))).await.unwrap();
    store.commit(one(Kind::Grant, "g", Expect::Version(1), put("2"))).await.unwrap();
    for stale in [0, 1, 3, u64::MAX] {
        let lost = store.commit(one(Kind::Grant, "g", Expect::Version(stale), put("3"))).await;
        assert_eq!(lost, Err(StoreError::Conflict { kind: "grant" }), "version {stale}");
    }
    let entry = store.get(Kind::Grant, "g").await.unwrap().unwrap();
    assert_eq!((entry.version, entry.value.as_slice()), (2, b"2".as_slice()));
}

async fn the_last_writer_wins_when_anything_is_expected(store: &dyn Store) {
    for (round, text) in (1..).zip(["a", "b", "c"]) {
        store.commit(one(Kind::Setting, "s", Expect::Any, put(text))).await.unwrap();
        let entry = store.get(Kind::Setting, "s").await.unwrap().unwrap();
        assert_eq!((entry.version, entry.value.as_slice()), (round, text.as_bytes()));
    }
}

async fn delete_demands_what_it_expects(store: &dyn Store) {
    let conflict = Err(StoreError::Conflict { kind: "code" });
    store.commit(one(Kind::Code, "absent", Expect::Any, Change::Delete)).await.unwrap();
    store.commit(one(Kind::Code, "absent", Expect::Absent, Change::Delete)).await.unwrap();
    assert_eq!(store.commit(one(Kind::Code, "absent", Expect::Version(1), Change::Delete)).await, conflict);
    store.commit(one(Kind::Code, "c", Expect::Absent, put("1"))).await.unwrap();
    assert_eq!(store.commit(one(Kind::Code, "c", Expect::Version(2), Change::Delete)).await, conflict);
    assert_eq!(store.commit(one(Kind::Code, "c", Expect::Absent, Change::Delete)).await, conflict);
    store.commit(one(Kind::Code, "c", Expect::Version(1), Change::Delete)).await.unwrap();
    assert_eq!(store.get(Kind::Code, "c").await.unwrap(), None);
    store.commit(one(Kind::Code, "c", Expect::Absent, put("2"))).await.unwrap();
    store.commit(one(Kind::Code, "c", Expect::Any, Change::Delete)).await.unwrap();
    assert_eq!(store.count(Kind::Code).await.unwrap(), 0);
}

async fn a_check_changes_nothing_and_can_stop_a_batch(store: &dyn Store) {
    store.commit(one(Kind::Grant, "g", Expect::Absent, put("1"))).await.unwrap();
    let batch = |expect| Batch {
        writes: vec![
            write(Kind::Grant, "g", expect, Change::Check),
            write(Kind::Access, "token", Expect::Any, put("t")),
        ],
    };
    for fails in [Expect::Version(2), Expect::Absent] {
        assert_eq!(store.commit(batch(fails)).await, Err(StoreError::Conflict { kind: "grant" }));
    }
    assert_eq!(store.get(Kind::Access, "token").await.unwrap(), None);
    for holds in [Expect::Version(1), Expect::Any] {
        store.commit(batch(holds)).await.unwrap();
    }
    assert_eq!(store.get(Kind::Access, "token").await.unwrap().unwrap().version, 2);
    assert_eq!(store.get(Kind::Grant, "g").await.unwrap().unwrap().version, 1);
    store.commit(one(Kind::Grant, "none", Expect::Absent, Change::Check)).await.unwrap();
    assert_eq!(store.get(Kind::Grant, "none").await.unwrap(), None);
}

async fn a_failing_batch_changes_nothing(store: &dyn Store) {
    store.commit(one(Kind::Refresh, "old", Expect::Absent, put("1"))).await.unwrap();
    store.commit(one(Kind::Refresh, "gone", Expect::Absent, put("1"))).await.unwrap();
    let before = (store.list(Kind::Refresh, Query::default()).await, store.generation().await);
    let batch = Batch {
        writes: vec![
            write(Kind::Refresh, "new", Expect::Absent, put("2")),
            write(Kind::Refresh, "old", Expect::Version(1), put("2")),
            write(Kind::Refresh, "gone", Expect::Any, Change::Delete),
            write(Kind::Session, "s", Expect::Version(7), Change::Check),
        ],
    };
    assert_eq!(store.commit(batch).await, Err(StoreError::Conflict { kind: "session" }));
    assert_eq!((store.list(Kind::Refresh, Query::default()).await, store.generation().await), before);
}

async fn steps_see_the_steps_before_them(store: &dyn Store) {
    let batch = Batch {
        writes: vec![
            write(Kind::Setting, "a", Expect::Absent, put("1")),
            write(Kind::Setting, "a", Expect::Version(1), put("2")),
            write(Kind::Setting, "b", Expect::Absent, put("1")),
            write(Kind::Setting, "b", Expect::Version(1), Change::Delete),
            write(Kind::Setting, "b", Expect::Absent, Change::Check),
        ],
    };
    store.commit(batch).await.unwrap();
    let entries = store.list(Kind::Setting, Query::default()).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| (entry.id.as_str(), entry.version)).collect::<Vec<_>>(),
        [("a", 2)]
    );
}

async fn pages_follow_the_bytes_of_the_ids(store: &dyn Store) {
    let mut ids: Vec<String> = (0..PAGE_DOCUMENTS + 5).map(|number| format!("id{number:05}")).collect();
    ids.extend(["Z", "_", "a", "aa", "a b", "\u{e9}", "\u{10348}", "%", "'"].map(str::to_owned));
    for chunk in ids.chunks(BATCH_STEPS) {
        let writes = chunk.iter().rev().map(|id| write(Kind::Client, id, Expect::Absent, put("1"))).collect();
        store.commit(Batch { writes }).await.unwrap();
    }
    store.commit(one(Kind::Connector, "a0", Expect::Absent, put("1"))).await.unwrap();
    ids.sort_by(|left, right| left.as_bytes().cmp(right.as_bytes()));

    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let query = Query { after: after.as_deref(), limit: 300, ..Query::default() };
        let page = store.list(Kind::Client, query).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 300);
        seen.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(seen, ids);
    let mut backwards = Vec::new();
    loop {
        let after = backwards.last().cloned();
        let query = Query { after: after.as_deref(), limit: 700, backwards: true, parent: None };
        let page = store.list(Kind::Client, query).await.unwrap();
        if page.is_empty() {
            break;
        }
        backwards.extend(page.into_iter().map(|entry| entry.id));
    }
    backwards.reverse();
    assert_eq!(backwards, ids, "the same documents, the greatest id first");
    for limit in [0, PAGE_DOCUMENTS, usize::MAX] {
        let page = store.list(Kind::Client, Query { limit, ..Query::default() }).await.unwrap();
        assert_eq!(page.len(), PAGE_DOCUMENTS, "limit {limit}");
    }
    assert_eq!(store.count(Kind::Client).await.unwrap(), ids.len() as u64);
}

async fn children_are_listed_by_parent(store: &dyn Store) {
    let under = |id: &str, parent: Option<&str>| {
        let change =
            Change::Put { parent: parent.map(str::to_owned), expires_at: None, value: b"1".to_vec() };
        one(Kind::Access, id, Expect::Any, change)
    };
    for (id, parent) in
        [("t1", Some("g1")), ("t2", Some("g2")), ("t3", Some("g1")), ("t4", None), ("t5", Some("g1"))]
    {
        store.commit(under(id, parent)).await.unwrap();
    }
    assert_eq!(children(store, "g1", None).await, ["t1", "t3", "t5"]);
    assert_eq!(children(store, "g1", Some("t1")).await, ["t3", "t5"]);
    assert_eq!(children(store, "g", None).await, [""; 0]);
    let latest = Query { parent: Some("g1"), limit: 2, backwards: true, after: None };
    let latest = store.list(Kind::Access, latest).await.unwrap();
    assert_eq!(latest.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["t5", "t3"]);
    store.commit(under("t3", Some("g2"))).await.unwrap();
    assert_eq!(children(store, "g1", None).await, ["t1", "t5"], "a document moves with its parent");
    assert_eq!(children(store, "g2", None).await, ["t2", "t3"]);
}

async fn children(store: &dyn Store, parent: &str, after: Option<&str>) -> Vec<String> {
    let query = Query { parent: Some(parent), after, ..Query::default() };
    store.list(Kind::Access, query).await.unwrap().into_iter().map(|entry| entry.id).collect()
}

async fn every_field_survives_as_it_was_given(store: &dyn Store) {
    let value: Vec<u8> = (0..=255).collect();
    let parent = Some("p'; DROP TABLE document; --".to_owned());
    for (id, millis) in [("zero", 0), ("now", 1_795_000_123_456), ("late", i64::MAX.unsigned_abs())] {
        let expires_at = Some(Timestamp::from_millis(millis));
        let change = Change::Put { parent: parent.clone(), expires_at, value: value.clone() };
        store.commit(one(Kind::Approval, id, Expect::Absent, change)).await.unwrap();
        let expected =
            Entry { id: id.to_owned(), version: 1, parent: parent.clone(), expires_at, value: value.clone() };
        assert_eq!(store.get(Kind::Approval, id).await.unwrap(), Some(expected));
    }
    // What never expires may come back as a moment that is never reached.
    let change = Change::Put {
        parent: None,
        expires_at: Some(Timestamp::from_millis(u64::MAX)),
        value: value.clone(),
    };
    store.commit(one(Kind::Approval, "never", Expect::Absent, change)).await.unwrap();
    let never = store.get(Kind::Approval, "never").await.unwrap().unwrap();
    assert!(never.expires_at.unwrap() >= Timestamp::from_millis(i64::MAX.unsigned_abs()));
}

async fn purge_removes_the_expired_and_no_others(store: &dyn Store) {
    for millis in 1..=20_u64 {
        let expires_at = Some(Timestamp::from_millis(millis * 10));
        let change = Change::Put { parent: None, expires_at, value: b"1".to_vec() };
        store.commit(one(Kind::Session, &format!("s{millis:02}"), Expect::Absent, change)).await.unwrap();
    }
    store.commit(one(Kind::Session, "forever", Expect::Absent, put("1"))).await.unwrap();
    assert!(store.get(Kind::Session, "s01").await.unwrap().is_some(), "the expired are not hidden");
    let now = Timestamp::from_millis(100);
    assert_eq!(store.purge(now, 4).await.unwrap(), 4);
    assert_eq!(store.get(Kind::Session, "s04").await.unwrap(), None, "the longest expired go first");
    assert!(store.get(Kind::Session, "s05").await.unwrap().is_some());
    assert_eq!(store.purge(now, 100).await.unwrap(), 5);
    assert!(store.get(Kind::Session, "s10").await.unwrap().is_some(), "not before its moment has passed");
    let generation = store.generation().await.unwrap();
    assert_eq!(store.purge(now, 100).await.unwrap(), 0);
    assert_eq!(store.generation().await.unwrap(), generation);
    assert_eq!(store.count(Kind::Session).await.unwrap(), 12);
}

async fn what_is_out_of_bounds_is_refused(store: &dyn Store) {
    let sized = |bytes: usize| Change::Put { parent: None, expires_at: None, value: vec![b'1'; bytes] };
    let below = |parent: &str| Change::Put {
        parent: Some(parent.to_owned()),
        expires_at: None,
        value: b"1".to_vec(),
    };
    let longest = "i".repeat(DOCUMENT_ID_BYTES);
    let steps = |count: usize| Batch {
        writes: (0..count).map(|step| write(Kind::Code, &step.to_string(), Expect::Any, put("1"))).collect(),
    };
    for good in [
        one(Kind::Setting, &longest, Expect::Any, sized(DOCUMENT_BYTES)),
        one(Kind::Setting, "a", Expect::Any, below(&longest)),
        steps(BATCH_STEPS),
    ] {
        store.commit(good).await.unwrap();
    }
    let before = store.generation().await.unwrap();
    for bad in [
        one(Kind::Setting, "b", Expect::Any, sized(DOCUMENT_BYTES + 1)),
        one(Kind::Setting, "b", Expect::Any, sized(0)),
        one(Kind::Setting, "", Expect::Any, put("1")),
        one(Kind::Setting, "b\0", Expect::Any, put("1")),
        one(Kind::Setting, &format!("{longest}i"), Expect::Any, put("1")),
        one(Kind::Setting, "b", Expect::Any, below(&format!("{longest}i"))),
        one(Kind::Setting, "b", Expect::Any, below("")),
        steps(BATCH_STEPS + 1),
    ] {
        assert!(matches!(store.commit(bad).await, Err(StoreError::Failed(_))));
    }
    assert_eq!(store.generation().await.unwrap(), before);
    assert_eq!(store.count(Kind::Setting).await.unwrap(), 2);
}

async fn the_generation_counts_commits(store: &dyn Store) {
    let mut last = store.generation().await.unwrap();
    for number in 0..5 {
        let after =
            store.commit(one(Kind::Join, &number.to_string(), Expect::Absent, put("1"))).await.unwrap();
        assert_eq!(after, last + 1);
        assert_eq!(store.generation().await.unwrap(), after);
        last = after;
    }
    assert!(store.commit(one(Kind::Join, "0", Expect::Absent, put("1"))).await.is_err());
    assert_eq!(store.generation().await.unwrap(), last, "a conflict is no commit");
}

async fn observers_have_heard_of_a_commit_when_it_returns(store: &dyn Store) {
    let heard: Arc<Mutex<Vec<Changed>>> = Arc::default();
    for _ in 0..2 {
        let heard = Arc::clone(&heard);
        store.observe(Box::new(move |changed| heard.lock().unwrap().extend_from_slice(changed)));
    }
    let take = || std::mem::take(&mut *heard.lock().unwrap());
    let changed = |kind, id: &str| Changed { kind, id: id.to_owned() };
    let batch = Batch {
        writes: vec![
            write(Kind::Grant, "g", Expect::Absent, put("1")),
            write(Kind::User, "u", Expect::Absent, Change::Check),
            write(Kind::Code, "none", Expect::Any, Change::Delete),
            write(Kind::Client, "c", Expect::Any, put("1")),
        ],
    };
    store.commit(batch).await.unwrap();
    let once = [changed(Kind::Grant, "g"), changed(Kind::Client, "c")];
    assert_eq!(take(), [once.clone(), once].concat(), "each observer hears what changed, in order");
    assert!(store.commit(one(Kind::Grant, "g", Expect::Absent, put("2"))).await.is_err());
    store.commit(one(Kind::Grant, "g", Expect::Version(1), Change::Check)).await.unwrap();
    assert_eq!(take(), [], "nothing changed");
    store.commit(one(Kind::Grant, "g", Expect::Version(1), Change::Delete)).await.unwrap();
    assert_eq!(take(), [changed(Kind::Grant, "g"), changed(Kind::Grant, "g")]);
    let expires_at = Some(Timestamp::from_millis(1));
    let short = Change::Put { parent: None, expires_at, value: b"1".to_vec() };
    store.commit(one(Kind::Session, "s", Expect::Absent, short)).await.unwrap();
    take();
    store.purge(Timestamp::from_millis(2), 10).await.unwrap();
    assert_eq!(take(), [changed(Kind::Session, "s"), changed(Kind::Session, "s")]);
}

async fn parallel_increments_lose_none(store: &dyn Store) {
    const TASKS: u64 = 200;
    let counter = |value: u64| Count { value };
    store.commit(Batch::new().insert(&counter(0))).await.unwrap();
    join_all((0..TASKS).map(|_| async {
        loop {
            let read: Versioned<Count> = load(store, "count").await.unwrap().unwrap();
            match store.commit(Batch::new().update(&counter(read.value.value + 1), read.version)).await {
                Ok(_) => return,
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => assert_eq!(other.to_string(), "a conflict"),
            }
        }
    }))
    .await;
    let read: Versioned<Count> = load(store, "count").await.unwrap().unwrap();
    assert_eq!((read.value.value, read.version), (TASKS, TASKS + 1));
}

async fn one_of_many_inserts_of_an_id_succeeds(store: &dyn Store) {
    let attempts = (0..50).map(|_| store.commit(one(Kind::Code, "once", Expect::Absent, put("1"))));
    let won = join_all(attempts).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

async fn commits_survive_opening_again(open: &impl AsyncFn(&str) -> Arc<dyn Store>) {
    let store = open("again").await;
    store.commit(Batch::new().insert(&Count { value: 7 })).await.unwrap();
    let generation = store.commit(one(Kind::User, "ana", Expect::Absent, put("1"))).await.unwrap();
    drop(store);
    let store = open("again").await;
    assert_eq!(store.generation().await.unwrap(), generation);
    let all: Vec<Versioned<Count>> = list_all(&*store, None).await.unwrap();
    assert_eq!(all, [Versioned { value: Count { value: 7 }, version: 1 }]);
    assert_eq!(store.commit(one(Kind::User, "bo", Expect::Absent, put("1"))).await.unwrap(), generation + 1);
}

/// A document of the suite's own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Count {
    value: u64,
}

impl portunus_core::store::Document for Count {
    const KIND: Kind = Kind::Setting;
    fn id(&self) -> String {
        "count".to_owned()
    }
}

fn put(text: &str) -> Change {
    Change::Put { parent: None, expires_at: None, value: text.as_bytes().to_vec() }
}

fn write(kind: Kind, id: &str, expect: Expect, change: Change) -> Write {
    Write { kind, id: id.to_owned(), expect, change }
}

fn one(kind: Kind, id: &str, expect: Expect, change: Change) -> Batch {
    Batch { writes: vec![write(kind, id, expect, change)] }
}
