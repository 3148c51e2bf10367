//! Counters of uses are bounded in number; those used longest ago go first.

use super::bound_uses;
use portunus_core::document::Usage;
use portunus_core::id::{ClientId, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::store::{Batch, Kind, Store, list_all};
use portunus_core::testing::MemoryStore;
use portunus_core::time::Timestamp;

fn usage(number: usize) -> Usage {
    let at = Timestamp::from_secs(1_000_000 + number as u64);
    Usage {
        identity: "credential:a".to_owned(),
        user: UserName::parse("ana").unwrap(),
        client: ClientId::parse(&format!("https://c.example/{number}")).unwrap(),
        server: ServerName::parse("sales").unwrap(),
        tool: "query".to_owned(),
        version: 1,
        actor: Actor::Assistant,
        count: 1,
        first_at: at,
        last_at: at,
    }
}

#[tokio::test]
async fn of_too_many_counters_those_used_longest_ago_go() {
    let store = MemoryStore::default();
    for number in 0..=100 {
        bound_uses(&store, (100, 80)).await.unwrap();
        assert_eq!(store.count(Kind::Usage).await.unwrap(), number as u64, "there is room");
        store.commit(Batch::new().insert(&usage(number))).await.unwrap();
    }
    bound_uses(&store, (100, 80)).await.unwrap();
    let kept = list_all::<Usage>(&store, None).await.unwrap();
    assert_eq!(kept.len(), 80);
    let oldest = kept.iter().map(|usage| usage.value.last_at).min().unwrap();
    assert_eq!(oldest, usage(21).last_at, "the newest are kept");
}
