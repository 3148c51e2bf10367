//! The sealing key from its first start through changes, with every step in between the last one of its process.

use crate::support::{Book, CANARY, LATER, NOW, Os, name, new, secret};
use async_trait::async_trait;
use portunus_core::document::{Lease, Setting};
use portunus_core::record::{Ledger, LedgerError, Receipt, Record};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError, load};
use portunus_core::time::{Clock, Timestamp};
use portunus_store::SqliteStore;
use portunus_vault::credential::{self, Replacement};
use portunus_vault::epochs::{Desk, EpochError, Provider, ServiceKind, Source};
use portunus_vault::rewrap::Progress;
use portunus_vault::service::{KeyService, ServiceError};
use portunus_vault::{Context, Kek, KeyError, SealingKey};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

struct Still;
impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A directory with a store, that outlives the processes that use it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.file("portunus.db")).unwrap()
    }
    fn provider(&self) -> Provider {
        Provider::File(self.file("old.key"))
    }
}

fn desk<'a>(store: &'a dyn Store, ledger: &'a dyn Ledger, provider: &'a Provider) -> Desk<'a> {
    Desk { store, ledger, provider, clock: &Still, rng: &Os }
}

/// A store and a ledger that fail from some step on, as for a process that ends there.
struct Mortal<T> {
    inner: T,
    left: AtomicI64,
}

impl<T> Mortal<T> {
    fn new(inner: T, steps: i64) -> Self {
        Self { inner, left: AtomicI64::new(steps) }
    }
    fn step(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) > 0
    }
}

#[async_trait]
impl Store for Mortal<SqliteStore> {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        self.inner.get(kind, id).await
    }
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(kind, query).await
    }
    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        self.inner.count(kind).await
    }
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        if self.step() { self.inner.commit(batch).await } else { Err(StoreError::Failed("ended".to_owned())) }
    }
    async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(now, limit).await
    }
    async fn generation(&self) -> Result<u64, StoreError> {
        self.inner.generation().await
    }
    fn observe(&self, observer: Observer) {
        self.inner.observe(observer);
    }
}

impl Ledger for Mortal<Book> {
    fn append(&self, record: Record) -> Receipt {
        if self.step() { self.inner.append(record) } else { Receipt::failed(LedgerError::Stopped) }
    }
}

const CREDENTIALS: usize = 3;

fn elsewhere() -> Context {
    Context::of(&["lease", "somewhere"])
}

/// Credentials, one of them with two versions; a setting; and a sealed value in a document that the vault knows nothing of.
async fn fill(store: &dyn Store, key: &SealingKey) {
    let book = Book::default();
    for number in 0..CREDENTIALS {
        credential::add(store, &book, key, new(&format!("db{number}")), NOW, &Os).await.unwrap();
    }
    let replacement =
        Replacement { name: name("db0"), secret: secret("newer"), expires_at: LATER, by: "ana".to_owned() };
    credential::add_version(store, &book, key, replacement, NOW, &Os).await.unwrap();
    let setting = key.seal_setting("ca", b"authority", &Os).unwrap();
    let holder = key.seal(&elsewhere(), b"held", &Os).unwrap();
    let lease = Lease { name: "somewhere".to_owned(), holder, expires_at: LATER };
    let plain = Setting { name: "plain".to_owned(), value: "no secret".to_owned() };
    store.commit(Batch::new().insert(&setting).insert(&lease).insert(&plain)).await.unwrap();
}

/// Of [`fill`], and the key that names secrets.
const SEALED: u64 = CREDENTIALS as u64 + 1 + 1 + 1 + 1;

async fn opens(store: &dyn Store, key: &SealingKey) {
    let setting = load::<Setting>(store, "ca").await.unwrap().unwrap().value;
    assert_eq!(key.open_setting(&setting).unwrap().expose(), b"authority");
    let lease = load::<Lease>(store, "somewhere").await.unwrap().unwrap().value;
    assert_eq!(key.open(&elsewhere(), &lease.holder).unwrap().expose(), b"held");
    let plain = load::<Setting>(store, "plain").await.unwrap().unwrap().value;
    assert_eq!(plain.value, "no secret");
    // Equal secrets still have equal names, and of credentials only the newest version's is CANARY's or not.
    let all = credential::list(store, NOW).await.unwrap();
    let named = |secret: &str| key.fingerprint(secret.as_bytes());
    assert_eq!(all[0].versions[0].fingerprint, named(CANARY));
    assert_eq!(all[0].versions[1].fingerprint, named("newer"));
    assert_eq!(all[1].versions[0].fingerprint, named(CANARY));
}

fn instantly(_: std::time::Duration) -> std::future::Ready<()> {
    std::future::ready(())
}

async fn finish(desk: &Desk<'_>, key: &SealingKey) -> Result<u64, EpochError> {
    desk.finish(key, &Progress::default(), instantly).await
}

#[tokio::test]
async fn a_change_of_key_that_ends_at_any_step_goes_on_at_the_next_start() {
    let mut ended = 0;
    for records in 0..=2 {
        for commits in 0..=6 {
            ended += usize::from(!ends_after(commits, records).await);
        }
    }
    // Only with both records, and with commits for the new epoch, for three kinds of documents and for the end, is it done.
    assert_eq!(ended, 7 + 7 + 5);
}

/// Changes the key in a process that ends after so many commits, or so many records; whether it came to the end all the same.
async fn ends_after(commits: i64, records: i64) -> bool {
    let (place, book) = (Place::new(), Book::default());
    let provider = place.provider();
    let store = place.store();
    let key = desk(&store, &book, &provider).open().await.unwrap().key;
    fill(&store, &key).await;
    drop(store);
    let (store, ledger) = (Mortal::new(place.store(), commits), Mortal::new(Book::default(), records));
    let dying = desk(&store, &ledger, &provider);
    let done = match dying.begin(&key, Some(&place.file("new.key")), "ana").await {
        Ok(_) => finish(&dying, &key).await.is_ok(),
        Err(_) => false,
    };
    drop(store);
    // The next one: nothing but the files is left.
    let (store, book) = (place.store(), Book::default());
    let next = desk(&store, &book, &provider);
    let opened = next.open().await.unwrap();
    opens(&store, &opened.key).await;
    let (epochs, _) = next.status(&opened.key).await.unwrap();
    assert_eq!(opened.unfinished, epochs.len() == 2 && !done, "{commits} commits, {records} records");
    if epochs.len() == 1 {
        next.begin(&opened.key, Some(&place.file("new.key")), "ana").await.unwrap();
    }
    finish(&next, &opened.key).await.unwrap();
    // The old key is not needed any more.
    std::fs::remove_file(place.file("old.key")).unwrap();
    let opened = next.open().await.unwrap();
    opens(&store, &opened.key).await;
    let (epochs, census) = next.status(&opened.key).await.unwrap();
    assert!(epochs[0].retired_at.is_some() && epochs[1].retired_at.is_none());
    let counted: Vec<_> = census.sealed.iter().map(|(id, count)| (id.to_string(), *count)).collect();
    assert_eq!(counted, [(epochs[1].key_id.clone(), SEALED)], "{commits} commits, {records} records");
    assert_eq!(census.damaged, 0);
    done
}

#[tokio::test]
async fn while_a_key_is_changed_both_open_and_only_the_new_one_seals() {
    let (place, book) = (Place::new(), Book::default());
    let (store, provider) = (place.store(), place.provider());
    let desk = desk(&store, &book, &provider);
    let key = desk.open().await.unwrap().key;
    fill(&store, &key).await;
    let epoch = desk.begin(&key, Some(&place.file("new.key")), "ana").await.unwrap();
    opens(&store, &key).await;
    credential::add(&store, &book, &key, new("later"), NOW, &Os).await.unwrap();
    let (_, census) = desk.status(&key).await.unwrap();
    assert_eq!(census.sealed.len(), 2);
    assert_eq!(census.sealed.iter().find(|(id, _)| id.to_string() == epoch.key_id).unwrap().1, &1);
    let again = desk.begin(&key, Some(&place.file("third.key")), "ana").await.unwrap_err();
    assert!(again.to_string().contains("--status"), "{again}");
    assert!(!place.file("third.key").exists());
    assert_eq!(finish(&desk, &key).await.unwrap(), SEALED);
    assert_eq!(finish(&desk, &key).await.unwrap(), 0, "a second time finds nothing to do");
    let actions = book.actions();
    assert_eq!(actions.iter().filter(|action| action.starts_with("sealing_key")).count(), 2, "{actions:?}");
    // The old key comes not back as a new one.
    let back = desk.begin(&key, Some(&place.file("old.key")), "ana").await.unwrap_err();
    assert!(back.to_string().contains("must be new"), "{back}");
}

#[tokio::test]
async fn a_document_that_changes_at_the_same_moment_is_rewrapped_as_it_became() {
    /// Changes a credential under the first commit that touches it.
    struct Meddling(SqliteStore, SealingKey, AtomicI64);
    #[async_trait]
    impl Store for Meddling {
        async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
            self.0.get(kind, id).await
        }
        async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
            self.0.list(kind, query).await
        }
        async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
            self.0.count(kind).await
        }
        async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
            let touches = batch.writes.iter().any(|write| write.kind == Kind::Credential);
            if touches && self.2.fetch_sub(1, Ordering::SeqCst) == 1 {
                let replacement = Replacement {
                    name: name("db1"),
                    secret: secret("meanwhile"),
                    expires_at: LATER,
                    by: "ana".to_owned(),
                };
                credential::add_version(&self.0, &Book::default(), &self.1, replacement, NOW, &Os)
                    .await
                    .unwrap();
            }
            self.0.commit(batch).await
        }
        async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
            self.0.purge(now, limit).await
        }
        async fn generation(&self) -> Result<u64, StoreError> {
            self.0.generation().await
        }
        fn observe(&self, observer: Observer) {
            self.0.observe(observer);
        }
    }
    let (place, book) = (Place::new(), Book::default());
    let provider = place.provider();
    let store = place.store();
    let key = desk(&store, &book, &provider).open().await.unwrap().key;
    fill(&store, &key).await;
    let late = SealingKey::load(&place.file("old.key")).unwrap();
    let store = Meddling(store, late, AtomicI64::new(1));
    let desk = desk(&store, &book, &provider);
    desk.begin(&key, Some(&place.file("new.key")), "ana").await.unwrap();
    assert_eq!(finish(&desk, &key).await.unwrap(), SEALED + 1);
    let (_, census) = desk.status(&key).await.unwrap();
    assert_eq!(census.sealed.len(), 1, "what was sealed with the old key meanwhile is rewrapped too");
    assert_eq!(credential::show(&store, &name("db1"), NOW).await.unwrap().version, 2);
}

#[tokio::test]
async fn a_store_that_has_a_key_never_gets_a_fresh_one() {
    let (place, book) = (Place::new(), Book::default());
    let (store, provider) = (place.store(), place.provider());
    let desk = desk(&store, &book, &provider);
    fill(&store, &desk.open().await.unwrap().key).await;
    std::fs::rename(place.file("old.key"), place.file("away.key")).unwrap();
    let lost = desk.open().await.err().unwrap();
    assert!(matches!(lost, EpochError::Missing { .. }) && lost.to_string().contains("old.key"), "{lost}");
    assert!(!place.file("old.key").exists());
    Kek::load_or_create(&place.file("old.key"), &Os).unwrap();
    let other = desk.open().await.err().unwrap();
    assert!(other.to_string().contains("that is the key"), "{other}");
    // Moved, and said so: the same key.
    let moved = Provider::File(place.file("away.key"));
    let opened = Desk { provider: &moved, ..desk }.open().await.unwrap();
    assert_eq!(opened.notice, None);
    opens(&store, &opened.key).await;
}

/// Before there were epochs, a store said nowhere which key it has.
#[tokio::test]
async fn a_store_from_before_epochs_takes_its_own_key_and_no_other() {
    let (place, book) = (Place::new(), Book::default());
    let (store, provider) = (place.store(), place.provider());
    let before = SealingKey::load_or_create(&place.file("old.key"), &Os).unwrap();
    fill(&store, &before).await;
    let wrong = Provider::File(place.file("wrong.key"));
    assert!(Desk { provider: &wrong, ..desk(&store, &book, &provider) }.open().await.is_err());
    assert!(!place.file("wrong.key").exists());
    Kek::load_or_create(&place.file("wrong.key"), &Os).unwrap();
    let error = Desk { provider: &wrong, ..desk(&store, &book, &provider) }.open().await.err().unwrap();
    assert!(matches!(error, EpochError::Missing { .. }), "{error}");
    let service =
        Provider::Service { kind: ServiceKind::Openbao, key: "k".to_owned(), service: Arc::new(Shelf) };
    let error = Desk { provider: &service, ..desk(&store, &book, &provider) }.open().await.err().unwrap();
    assert!(error.to_string().contains("cred rewrap"), "{error}");
    opens(&store, &desk(&store, &book, &provider).open().await.unwrap().key).await;
}

/// "Wraps" by turning every byte over. What counts here is who is asked when; real services are asked by the binary's tests.
struct Shelf;
#[async_trait]
impl KeyService for Shelf {
    async fn wrap(&self, context: &str, key: &[u8; 32]) -> Result<String, ServiceError> {
        Ok(format!("{context}:{}", data_encoding::HEXLOWER.encode(&key.map(|byte| !byte))))
    }
    async fn unwrap(&self, context: &str, wrapped: &str) -> Result<Secret<[u8; 32]>, ServiceError> {
        let refused = || ServiceError::NotReady("another context".to_owned());
        let text = wrapped.strip_prefix(&format!("{context}:")).ok_or_else(refused)?;
        let bytes: [u8; 32] = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap();
        Ok(Secret::new(bytes.map(|byte| !byte)))
    }
}

#[tokio::test]
async fn from_a_file_to_a_key_service_and_back() {
    let (place, book) = (Place::new(), Book::default());
    let (store, file) = (place.store(), place.provider());
    let key = desk(&store, &book, &file).open().await.unwrap().key;
    fill(&store, &key).await;
    // The configuration names the service now; what is there still opens with the file.
    let service =
        Provider::Service { kind: ServiceKind::AwsKms, key: "k".to_owned(), service: Arc::new(Shelf) };
    let at_service = desk(&store, &book, &service);
    let opened = at_service.open().await.unwrap();
    assert!(opened.notice.unwrap().contains("cred rewrap"));
    let epoch = at_service.begin(&opened.key, None, "ana").await.unwrap();
    finish(&at_service, &opened.key).await.unwrap();
    std::fs::remove_file(place.file("old.key")).unwrap();
    let opened = at_service.open().await.unwrap();
    assert_eq!(opened.notice, None);
    opens(&store, &opened.key).await;
    let Source::Service { wrapped, .. } = &epoch.source else { panic!("{epoch:?}") };
    let stored = load::<Setting>(&store, "sealing-epochs").await.unwrap().unwrap().value.value;
    assert!(stored.contains(wrapped.as_str()));
    // Without the service nothing opens.
    assert!(matches!(desk(&store, &book, &file).open().await, Err(EpochError::Misconfigured(_))));
    at_service.begin(&opened.key, Some(&place.file("back.key")), "ana").await.unwrap();
    finish(&at_service, &opened.key).await.unwrap();
    let back = Provider::File(place.file("back.key"));
    opens(&store, &desk(&store, &book, &back).open().await.unwrap().key).await;
}

#[tokio::test]
async fn a_wrapped_key_that_was_exchanged_in_the_store_is_refused() {
    let (place, book) = (Place::new(), Book::default());
    let store = place.store();
    let service =
        Provider::Service { kind: ServiceKind::Openbao, key: "k".to_owned(), service: Arc::new(Shelf) };
    let desk = desk(&store, &book, &service);
    desk.open().await.unwrap();
    let found = load::<Setting>(&store, "sealing-epochs").await.unwrap().unwrap();
    let mut setting = found.value;
    let mut epochs: serde_json::Value = serde_json::from_str(&setting.value).unwrap();
    let other = Kek::random(&Os);
    // Wrapped by the same service for the very context, but another key.
    let context = format!("portunus sealing key {}", epochs[0]["key_id"].as_str().unwrap());
    assert_ne!(epochs[0]["key_id"], other.id().to_string());
    epochs[0]["source"]["service"]["wrapped"] = Shelf.wrap(&context, &[7; 32]).await.unwrap().into();
    setting.value = epochs.to_string();
    store.commit(Batch::new().update(&setting, found.version)).await.unwrap();
    let error = desk.open().await.err().unwrap();
    assert!(error.to_string().contains("another key"), "{error}");
}

#[tokio::test]
async fn a_systemd_credential_is_the_key_when_only_root_and_the_service_can_read_it() {
    let (place, book) = (Place::new(), Book::default());
    let store = place.store();
    let missing = Provider::Systemd { directory: None, name: "portunus.key".to_owned() };
    let error = desk(&store, &book, &missing).open().await.err().unwrap();
    assert!(matches!(error, EpochError::Key(KeyError::NoCredentials { .. })), "{error}");
    assert!(error.to_string().contains("LoadCredential"), "{error}");
    let directory = Some(place.0.path().to_owned());
    let provider = Provider::Systemd { directory, name: "portunus.key".to_owned() };
    let desk = desk(&store, &book, &provider);
    assert!(desk.open().await.is_err(), "it is never made here");
    let path = place.file("portunus.key");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    std::fs::write(&path, "11".repeat(32)).unwrap();
    mode(&path, 0o444);
    assert!(desk.open().await.is_err());
    // systemd's own: root's, with an access list for the service's user, which shows as the group's bits.
    mode(&path, 0o440);
    let key = desk.open().await.unwrap().key;
    fill(&store, &key).await;
    let same = desk.begin(&key, None, "ana").await.unwrap_err();
    assert!(same.to_string().contains("--new-key-file"), "{same}");
    let new_key =
        Provider::Systemd { directory: Some(place.0.path().to_owned()), name: "portunus2.key".to_owned() };
    std::fs::write(place.file("portunus2.key"), "22".repeat(32)).unwrap();
    mode(&place.file("portunus2.key"), 0o400);
    let changed = Desk { provider: &new_key, ..desk };
    let key = changed.open().await.unwrap().key;
    changed.begin(&key, None, "ana").await.unwrap();
    finish(&changed, &key).await.unwrap();
    std::fs::remove_file(path).unwrap();
    opens(&store, &changed.open().await.unwrap().key).await;
}

/// Somebody who may write documents (a client names itself) cannot make a change of key stop or damage anything.
#[tokio::test]
async fn texts_that_only_look_sealed_stay_as_they_are_and_hold_nothing_up() {
    let (place, book) = (Place::new(), Book::default());
    let (store, provider) = (place.store(), place.provider());
    let desk = desk(&store, &book, &provider);
    let key = desk.open().await.unwrap().key;
    fill(&store, &key).await;
    let real = key.seal(&elsewhere(), b"x", &Os).unwrap();
    // The same with its last bytes changed: the wrapping opens, the content does not. And one with a foreign wrapping.
    let foreign = SealingKey::new(Secret::new([1; 32])).seal(&elsewhere(), b"x", &Os).unwrap();
    let damaged = real.replacen(&real[70..80], "AAAAAAAAAA", 1);
    for (id, holder) in [
        ("a", "sealed-2."),
        ("b", "sealed-2.AAAA"),
        ("c", "sealed-2.sealed-2.sealed-2."),
        ("d", damaged.as_str()),
        ("e", foreign.as_str()),
        ("f", "sealed-2.\u{1f600}\"\\"),
    ] {
        let lease = Lease { name: id.to_owned(), holder: holder.to_owned(), expires_at: LATER };
        store.commit(Batch::new().insert(&lease)).await.unwrap();
    }
    desk.begin(&key, Some(&place.file("new.key")), "ana").await.unwrap();
    assert_eq!(finish(&desk, &key).await.unwrap(), SEALED);
    for (id, holder) in [("d", &damaged), ("e", &foreign)] {
        assert_eq!(&load::<Lease>(&store, id).await.unwrap().unwrap().value.holder, holder);
    }
    let (_, census) = desk.status(&key).await.unwrap();
    assert_eq!((census.damaged, census.damaged_at.as_slice()), (1, ["lease/d".to_owned()].as_slice()));
}

/// Deleting a wrapped data key is what ends a value for who has the old sealing key: no page keeps it.
#[tokio::test]
async fn after_a_change_of_key_no_page_of_the_database_has_an_old_wrapped_key() {
    let (place, book) = (Place::new(), Book::default());
    let provider = place.provider();
    let store = place.store();
    let key = desk(&store, &book, &provider).open().await.unwrap().key;
    fill(&store, &key).await;
    let old = load::<Lease>(&store, "somewhere").await.unwrap().unwrap().value.holder;
    let desk = desk(&store, &book, &provider);
    desk.begin(&key, Some(&place.file("new.key")), "ana").await.unwrap();
    finish(&desk, &key).await.unwrap();
    let new = load::<Lease>(&store, "somewhere").await.unwrap().unwrap().value.holder;
    drop(store);
    let held = |text: &str| {
        let files = std::fs::read_dir(place.0.path()).unwrap();
        let contents = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        contents
            .map(|bytes| bytes.windows(60).filter(|part| *part == &text.as_bytes()[40..100]).count())
            .sum::<usize>()
    };
    assert!(held(&new) > 0);
    assert_eq!(held(&old), 0);
}
