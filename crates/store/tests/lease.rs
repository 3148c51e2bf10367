//! Leases: one node at a time.

use portunus_core::lease::{give_back, take};
use portunus_core::testing::MemoryStore;
use portunus_core::time::Timestamp;
use portunus_store::SqliteStore;
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[tokio::test]
async fn one_node_holds_it_until_it_gives_it_back_or_its_time_is_over() {
    let store = MemoryStore::default();
    let take = |holder: &'static str, now| take(&store, "x", holder, SPAN, at(now));
    assert!(take("a", 0).await.unwrap());
    assert!(!take("b", 59).await.unwrap());
    assert!(take("a", 59).await.unwrap(), "its holder may go on");
    assert!(!take("b", 60).await.unwrap());
    assert!(take("b", 119).await.unwrap());
    give_back(&store, "x", "a").await.unwrap();
    assert!(!take("a", 120).await.unwrap(), "only its holder gives it back");
    give_back(&store, "x", "b").await.unwrap();
    assert!(take("a", 120).await.unwrap());
    assert!(take("b", 1).await.unwrap(), "a lease from a clock that ran ahead does not lock everybody out");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_race_on_a_real_store_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(SqliteStore::open(dir.path().join("store.db")).unwrap());
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        racers.spawn(async move { take(&*store, "x", &format!("node {n}"), SPAN, at(0)).await.unwrap() });
    }
    assert_eq!(racers.join_all().await.into_iter().filter(|won| *won).count(), 1);
}
