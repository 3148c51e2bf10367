//! Labels on what a user does through one client, over all servers and grants, with or without sessions of the protocol: put
//! on by tools, servers and classes of data, durable before the call is sent or its answer released, and falling off after
//! their time.

use portunus_core::caller::Caller;
use portunus_core::digest::Digest;
use portunus_core::document::SessionLabels;
use portunus_core::limits;
use portunus_core::store::{self, Batch, Store, StoreError};
use portunus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The labels of all sessions.
pub struct Labels {
    store: Arc<dyn Store>,
    warm: Mutex<HashMap<Digest, BTreeMap<String, Timestamp>>>,
}

/// Labels to put on, each with how long it stays.
pub type Put = BTreeMap<String, Duration>;

/// Times that writing is tried when others write too.
const TRIES: usize = 10;

impl Labels {
    /// Those in this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, warm: Mutex::default() }
    }

    /// The labels on a caller's session now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(&self, caller: &Caller, now: Timestamp) -> Result<BTreeSet<String>, StoreError> {
        let key = SessionLabels::key(&caller.user, &caller.client);
        if let Some(labels) = self.warm().get(&key) {
            return Ok(live(labels, now));
        }
        let found = store::load::<SessionLabels>(&*self.store, &key.hex()).await?;
        let labels = found.map(|found| found.value.labels).unwrap_or_default();
        Ok(live(&self.keep(key, &labels), now))
    }

    /// The labels on a caller's session as far as they are known here; `None` when they must be read first.
    #[must_use]
    pub fn known(&self, caller: &Caller, now: Timestamp) -> Option<BTreeSet<String>> {
        let key = SessionLabels::key(&caller.user, &caller.client);
        self.warm().get(&key).map(|labels| live(labels, now))
    }

    /// Puts labels on a caller's session; returns when that is durable.
    ///
    /// # Errors
    /// When the store fails: what was to be labelled must not go on.
    pub async fn put(&self, caller: &Caller, put: &Put, now: Timestamp) -> Result<(), StoreError> {
        let key = SessionLabels::key(&caller.user, &caller.client);
        if self
            .warm()
            .get(&key)
            .is_some_and(|labels| put.iter().all(|(label, life)| suffices(labels, label, *life, now)))
        {
            return Ok(());
        }
        for _ in 0..TRIES {
            let found = store::load::<SessionLabels>(&*self.store, &key.hex()).await?;
            let mut labels = found.as_ref().map(|found| found.value.labels.clone()).unwrap_or_default();
            labels.retain(|_, until| !until.is_past(now));
            for (label, life) in put {
                let until = labels.entry(label.clone()).or_insert(now);
                *until = (*until).max(now.plus(*life));
            }
            let document = SessionLabels { user: caller.user.clone(), client: caller.client.clone(), labels };
            let batch = match &found {
                Some(found) => Batch::new().update(&document, found.version),
                None => Batch::new().insert(&document),
            };
            match self.store.commit(batch).await {
                Ok(_) => {
                    self.keep(key, &document.labels);
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Failed(String::from("the labels of a session change too often")))
    }

    /// Keeps what was read or written; a label never gets a shorter life by being read late.
    fn keep(&self, key: Digest, labels: &BTreeMap<String, Timestamp>) -> BTreeMap<String, Timestamp> {
        let mut warm = self.warm();
        if warm.len() >= limits::LABELLED_SESSIONS && !warm.contains_key(&key) {
            warm.clear();
        }
        let kept = warm.entry(key).or_default();
        for (label, until) in labels {
            let known = kept.entry(label.clone()).or_insert(*until);
            *known = (*known).max(*until);
        }
        kept.clone()
    }

    fn warm(&self) -> MutexGuard<'_, HashMap<Digest, BTreeMap<String, Timestamp>>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn live(labels: &BTreeMap<String, Timestamp>, now: Timestamp) -> BTreeSet<String> {
    labels.iter().filter(|(_, until)| !until.is_past(now)).map(|(label, _)| label.clone()).collect()
}

/// Whether a label stays long enough as it is. So that not every call is a write, the last sixteenth of its life may be
/// missing.
fn suffices(labels: &BTreeMap<String, Timestamp>, label: &str, life: Duration, now: Timestamp) -> bool {
    let enough = now.plus(life - life / 16);
    labels.get(label).is_some_and(|until| *until >= enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::caller::{Holding, SignIn};
    use portunus_core::id::{ClientId, Id, ServerName, UserName};
    use portunus_core::server::Actor;
    use portunus_core::testing::MemoryStore;

    fn caller(user: &str, client: &str, server: &str) -> Caller {
        Caller {
            user: UserName::parse(user).unwrap(),
            groups: Vec::new(),
            client: ClientId::parse(client).unwrap(),
            client_name: String::new(),
            grant: Id::parse("grt_00000000000000000000000001").unwrap(),
            server: ServerName::parse(server).unwrap(),
            scopes: Vec::new(),
            actor: Actor::Assistant,
            sign_in: SignIn::new("pwd", Timestamp::from_secs(0)),
            holding: Holding::default(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000 + seconds)
    }

    #[tokio::test]
    async fn labels_follow_a_user_and_client_from_server_to_server_and_fall_off() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let labels = Labels::new(store.clone());
        let (here, there) = (caller("ana", "c", "sales"), caller("ana", "c", "mail"));
        let put = |label: &str, seconds| Put::from([(label.to_owned(), Duration::from_secs(seconds))]);
        labels.put(&here, &put("private", 100), at(0)).await.unwrap();
        labels.put(&here, &put("untrusted", 1000), at(0)).await.unwrap();
        let both = BTreeSet::from(["private".to_owned(), "untrusted".to_owned()]);
        assert_eq!(labels.of(&there, at(99)).await.unwrap(), both);
        assert_eq!(labels.of(&there, at(101)).await.unwrap(), BTreeSet::from(["untrusted".to_owned()]));
        assert!(labels.of(&caller("ana", "d", "sales"), at(1)).await.unwrap().is_empty());
        assert!(labels.of(&caller("bo", "c", "sales"), at(1)).await.unwrap().is_empty());
        // After a restart they are still there.
        assert_eq!(Labels::new(store).of(&there, at(99)).await.unwrap(), both);
    }

    #[tokio::test]
    async fn labels_put_on_at_once_are_all_there() {
        let labels = Arc::new(Labels::new(Arc::new(MemoryStore::default())));
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let labels = labels.clone();
                let put = Put::from([(format!("l{n}"), Duration::from_secs(60))]);
                tokio::spawn(async move { labels.put(&caller("ana", "c", "sales"), &put, at(0)).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(labels.of(&caller("ana", "c", "sales"), at(1)).await.unwrap().len(), 8);
    }
}
