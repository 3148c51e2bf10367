//! What the store holds about identities, kept in memory while somebody looks at it: read once, then only what changed. The store
//! tells of each change before whoever made it hears of success, so that an answer is never older than its question.

use portunus_core::document::{Client, Connector, Credential, Grant, JoinToken, Observed, Usage, User};
use portunus_core::limits::MIRROR_CHANGES;
use portunus_core::store::{Document, Kind, Store, StoreError, list_all, load};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Quick, MutexGuard, PoisonError};
use tokio::sync::Mutex;

/// Documents of one kind, in order of id.
#[derive(Clone)]
pub struct Shelf<T> {
    ids: Vec<String>,
    all: Vec<T>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { ids: Vec::new(), all: Vec::new() }
    }
}

/// Everything that governance looks at in the store.
#[derive(Clone, Default)]
pub struct Documents {
    /// Upstream secrets, sealed.
    pub credentials: Shelf<Credential>,
    /// Programs beside tools.
    pub connectors: Shelf<Connector>,
    /// OAuth clients.
    pub clients: Shelf<Client>,
    /// Tokens with which connectors enrol.
    pub join_tokens: Shelf<JoinToken>,
    /// What was used.
    pub uses: Shelf<Usage>,
    /// Accounts.
    pub users: Shelf<User>,
    /// What users agreed to.
    pub grants: Shelf<Grant>,
    /// What was seen in traffic and is registered nowhere.
    pub observed: Shelf<Observed>,
}

/// Keeps [`Documents`] up to date.
pub struct Mirror {
    store: Arc<dyn Store>,
    changed: Arc<Quick<Changed>>,
    held: Mutex<Arc<Documents>>,
    /// Somebody asked since the last [`Mirror::rest`].
    asked: AtomicBool,
}

/// What is to be read anew.
#[derive(Debug, Clone, Default)]
struct Changed {
    ids: BTreeMap<Kind, BTreeSet<String>>,
    count: usize,
    /// All of it: nothing was read yet, or too much changed to tell apart.
    everything: bool,
}

const KINDS: [Kind; 8] = [
    Kind::Credential,
    Kind::Connector,
    Kind::Client,
    Kind::Join,
    Kind::Usage,
    Kind::User,
    Kind::Grant,
    Kind::Observed,
];

impl Changed {
    fn all() -> Self {
        Self { everything: true, ..Self::default() }
    }
    fn add(&mut self, kind: Kind, id: &str) {
        if self.everything || !KINDS.contains(&kind) {
            return;
        }
        self.count += usize::from(self.ids.entry(kind).or_default().insert(id.to_owned()));
        if self.count > MIRROR_CHANGES {
            *self = Self::all();
        }
    }
}

/// Changes that were taken: should they not be read to the end, everything is read the next time.
struct Taken<'a> {
    from: &'a Quick<Changed>,
    changed: Changed,
    done: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.done {
            *lock(self.from) = Changed::all();
        }
    }
}

impl Mirror {
    /// Over this store; nothing is read before somebody asks.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let changed = Arc::new(Quick::new(Changed::all()));
        let told = changed.clone();
        store.observe(Box::new(move |changes| {
            let mut changed = lock(&told);
            changes.iter().for_each(|change| changed.add(change.kind, &change.id));
        }));
        Self { store, changed, held: Mutex::default(), asked: AtomicBool::new(false) }
    }

    /// Everything as it is now.
    ///
    /// # Errors
    /// When the store fails or a document cannot be read.
    pub async fn documents(&self) -> Result<Arc<Documents>, StoreError> {
        self.asked.store(true, Ordering::Relaxed);
        let mut held = self.held.lock().await;
        let changed = std::mem::take(&mut *lock(&self.changed));
        let mut taken = Taken { from: &self.changed, changed, done: false };
        let (store, changed) = (&*self.store, &taken.changed);
        if changed.everything {
            *held = Arc::new(Documents::read(store).await?);
        } else if changed.count > 0 {
            let fresh = Fresh::read(store, changed).await?;
            fresh.put(Arc::make_mut(&mut held));
        }
        taken.done = true;
        Ok(held.clone())
    }

    /// Lets go of what nobody has asked for since the last time that this was called.
    pub async fn rest(&self) {
        if !self.asked.swap(false, Ordering::Relaxed) {
            let mut held = self.held.lock().await;
            *held = Arc::default();
            *lock(&self.changed) = Changed::all();
        }
    }
}

fn lock(changed: &Quick<Changed>) -> MutexGuard<'_, Changed> {
    changed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Documents {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            credentials: Shelf::read(store).await?,
            connectors: Shelf::read(store).await?,
            clients: Shelf::read(store).await?,
            join_tokens: Shelf::read(store).await?,
            uses: Shelf::read(store).await?,
            users: Shelf::read(store).await?,
            grants: Shelf::read(store).await?,
            observed: Shelf::read(store).await?,
        })
    }
}

/// Documents that changed; `None`: it is gone.
type News<T> = BTreeMap<String, Option<T>>;

/// What changed, as it is now.
struct Fresh {
    credentials: News<Credential>,
    connectors: News<Connector>,
    clients: News<Client>,
    join_tokens: News<JoinToken>,
    uses: News<Usage>,
    users: News<User>,
    grants: News<Grant>,
    observed: News<Observed>,
}

impl Fresh {
    async fn read(store: &dyn Store, changed: &Changed) -> Result<Self, StoreError> {
        Ok(Self {
            credentials: news(store, changed).await?,
            connectors: news(store, changed).await?,
            clients: news(store, changed).await?,
            join_tokens: news(store, changed).await?,
            uses: news(store, changed).await?,
            users: news(store, changed).await?,
            grants: news(store, changed).await?,
            observed: news(store, changed).await?,
        })
    }

    fn put(self, documents: &mut Documents) {
        documents.credentials.put(self.credentials);
        documents.connectors.put(self.connectors);
        documents.clients.put(self.clients);
        documents.join_tokens.put(self.join_tokens);
        documents.uses.put(self.uses);
        documents.users.put(self.users);
        documents.grants.put(self.grants);
        documents.observed.put(self.observed);
    }
}

async fn news<T: Document>(store: &dyn Store, changed: &Changed) -> Result<News<T>, StoreError> {
    let mut news = BTreeMap::new();
    for id in changed.ids.get(&T::KIND).into_iter().flatten() {
        news.insert(id.clone(), load::<T>(store, id).await?.map(|found| found.value));
    }
    Ok(news)
}

impl<T> Shelf<T> {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[T] {
        &self.all
    }

    /// The one with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&T> {
        self.place(id).ok().and_then(|at| self.all.get(at))
    }

    fn place(&self, id: &str) -> Result<usize, usize> {
        self.ids.binary_search_by(|known| known.as_str().cmp(id))
    }

    fn put(&mut self, news: News<T>) {
        let mut added = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for (id, document) in news {
            match (self.place(&id), document) {
                (Ok(at), Some(document)) => {
                    if let Some(old) = self.all.get_mut(at) {
                        *old = document;
                    }
                }
                (Ok(at), None) => drop(gone.insert(at)),
                (Err(_), Some(document)) => drop(added.insert(id, document)),
                (Err(_), None) => {}
            }
        }
        if added.is_empty() && gone.is_empty() {
            return;
        }
        // One pass, however many there are.
        let old = std::mem::take(&mut self.ids).into_iter().zip(std::mem::take(&mut self.all));
        let mut kept = old.enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, old)| old).peekable();
        let mut new = added.into_iter().peekable();
        loop {
            let (id, document) = match (kept.peek(), new.peek()) {
                (Some((old, _)), Some((fresh, _))) if old < fresh => kept.next(),
                (_, Some(_)) => new.next(),
                (_, None) => kept.next(),
            }
            .unzip();
            let (Some(id), Some(document)) = (id, document) else { return };
            self.ids.push(id);
            self.all.push(document);
        }
    }
}

impl<T: Document> Shelf<T> {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let all = list_all::<T>(store, None).await?.into_iter().map(|found| found.value);
        let (mut ids, mut documents) = (Vec::new(), Vec::new());
        for document in all {
            ids.push(document.id());
            documents.push(document);
        }
        Ok(Self { ids, all: documents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_shelf_is_what_the_store_has_after_any_changes(
            rounds in proptest::collection::vec(proptest::collection::btree_map(0_u8..40, any::<Option<u8>>(), 0..20), 0..12),
        ) {
            let (mut shelf, mut model) = (Shelf::<u8>::default(), BTreeMap::new());
            for round in rounds {
                for (id, value) in &round {
                    match value {
                        Some(value) => drop(model.insert(format!("{id:02}"), *value)),
                        None => drop(model.remove(&format!("{id:02}"))),
                    }
                }
                shelf.put(round.into_iter().map(|(id, value)| (format!("{id:02}"), value)).collect());
                prop_assert_eq!(&shelf.ids, &model.keys().cloned().collect::<Vec<_>>());
                prop_assert_eq!(shelf.all(), &model.values().copied().collect::<Vec<_>>()[..]);
            }
        }
    }
}
