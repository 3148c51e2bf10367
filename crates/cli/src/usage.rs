//! When each grant was last used, written down off the way of a request and at most once a minute.

use portunus_core::caller::Usage;
use portunus_core::document::GrantUse;
use portunus_core::id::Id;
use portunus_core::limits;
use portunus_core::store::{Batch, Store};
use portunus_core::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Reports waiting to be sorted; further ones are forgotten.
const QUEUE: usize = 8192;
/// Interval of a look at what is to be written.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest time between two writes about one grant.
const PAUSE: Duration = Duration::from_secs(60);

/// Where the edge reports to.
pub(crate) struct Reports(mpsc::Sender<(Id, Timestamp)>);

impl Usage for Reports {
    fn used(&self, grant: &Id, at: Timestamp) {
        // A full queue loses a report, not a call.
        let _ = self.0.try_send((grant.clone(), at));
    }
}

/// A place to report to, and what was reported.
pub(crate) fn channel() -> (Reports, mpsc::Receiver<(Id, Timestamp)>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Reports(sender), receiver)
}

/// What is known of one grant's use.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    at: Timestamp,
    written: Option<Timestamp>,
}

impl Seen {
    fn is_due(&self) -> bool {
        self.written.is_none_or(|written| self.at.since(written) >= PAUSE)
    }
}

/// Writes down what is reported until stopped.
pub(crate) async fn record(
    store: Arc<dyn Store>,
    mut reports: mpsc::Receiver<(Id, Timestamp)>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut seen: HashMap<Id, Seen> = HashMap::new();
    loop {
        tokio::select! {
            _gone = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let mut latest = Timestamp::default();
        while let Ok((grant, at)) = reports.try_recv() {
            latest = latest.max(at);
            seen.entry(grant).or_default().at = at;
        }
        write(&*store, &mut seen).await;
        if latest > Timestamp::default() {
            // What was not used for a while is written at its next use at once: nothing need be remembered of it.
            seen.retain(|_, seen| latest.since(seen.at) < PAUSE);
        }
    }
}

async fn write(store: &dyn Store, seen: &mut HashMap<Id, Seen>) {
    let due: Vec<GrantUse> = seen
        .iter()
        .filter(|(_, seen)| seen.is_due())
        .take(limits::BATCH_STEPS)
        .map(|(grant, seen)| GrantUse { grant: grant.clone(), at: seen.at })
        .collect();
    if due.is_empty() {
        return;
    }
    let batch = due.iter().fold(Batch::new(), Batch::upsert);
    match store.commit(batch).await {
        Ok(_generation) => {
            for written in due {
                if let Some(seen) = seen.get_mut(&written.grant) {
                    seen.written = Some(written.at);
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the use of grants could not be written down"),
    }
}

/// Writes what was counted to the store, again and again until stopped and once more then.
pub(crate) async fn write_counters(edge: Arc<portunus_edge::Edge>, mut stopped: watch::Receiver<bool>) {
    loop {
        let stop = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => true,
            () = tokio::time::sleep(limits::COUNTS_WRITTEN) => false,
        };
        if let Err(error) = edge.counters.write(&*edge.store).await {
            tracing::warn!(%error, "what was counted could not be written");
        }
        if let Err(error) = edge.uses.write(&*edge.store).await {
            tracing::warn!(%error, "uses of identities could not be written");
        }
        if let Err(error) = edge.observed.write(&*edge.store).await {
            tracing::warn!(%error, "what was seen that nobody registered could not be written");
        }
        if stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::store::load;
    use portunus_store::SqliteStore;

    #[tokio::test]
    async fn a_grant_is_written_about_once_a_minute_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("portunus.db")).unwrap();
        let grant = Id::parse("grt_01abcdefghjkmnpqrstvwxyz23").unwrap();
        let mut seen = HashMap::new();
        let mut written = Vec::new();
        for second in 0..150 {
            seen.entry(grant.clone()).or_insert_with(Seen::default).at =
                Timestamp::from_secs(1_000_000 + second);
            let before = store.generation().await.unwrap();
            write(&store, &mut seen).await;
            if store.generation().await.unwrap() > before {
                written.push(second);
            }
        }
        assert_eq!(written, [0, 60, 120]);
        let stored = load::<GrantUse>(&store, grant.as_str()).await.unwrap().unwrap().value;
        assert_eq!(stored.at, Timestamp::from_secs(1_000_120));
    }
}
