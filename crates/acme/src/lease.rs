//! One node at a time: a document that names who may do something, and until when, changed by compare-and-swap.

use portunus_core::document::Lease;
use portunus_core::store::{self, Batch, Expect, Store, StoreError};
use portunus_core::time::Timestamp;
use std::time::Duration;

/// Takes the lease for `holder` unless somebody else holds it; false when somebody does.
///
/// # Errors
/// When the store fails.
pub async fn take(
    store: &dyn Store,
    name: &str,
    holder: &str,
    span: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = store::load::<Lease>(store, name).await?;
    let lease = Lease { name: name.to_owned(), holder: holder.to_owned(), expires_at: now.plus(span) };
    let batch = match &found {
        None => Batch::new().insert(&lease),
        // A clock that was set back must not keep everybody out for longer than one span.
        Some(held)
            if held.value.holder != holder
                && !held.value.expires_at.is_past(now)
                && held.value.expires_at <= lease.expires_at =>
        {
            return Ok(false);
        }
        Some(held) => Batch::new().update(&lease, held.version),
    };
    match store.commit(batch).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lease back, if `holder` still has it.
///
/// # Errors
/// When the store fails.
pub async fn give_back(store: &dyn Store, name: &str, holder: &str) -> Result<(), StoreError> {
    let Some(held) = store::load::<Lease>(store, name).await?.filter(|held| held.value.holder == holder)
    else {
        return Ok(());
    };
    match store.commit(Batch::new().delete::<Lease>(name, Expect::Version(held.version))).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::testing::MemoryStore;
    use portunus_store::SqliteStore;

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
        assert!(
            take("b", 1).await.unwrap(),
            "a lease from a clock that ran ahead does not lock everybody out"
        );
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
}
