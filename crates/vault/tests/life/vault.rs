//! The way of a request through the vault, and every way it must end before a secret goes out.

use crate::support::{CANARY, Fixture, LATER, NOW, Os, name, new, permit, secret, server};
use async_trait::async_trait;
use http::{HeaderMap, HeaderValue};
use portunus_core::document::{Credential, CredentialKind};
use portunus_core::limits::CREDENTIAL_TTL;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError, Versioned, load};
use portunus_core::time::Timestamp;
use portunus_store::SqliteStore;
use portunus_vault::credential::{self, New, Replacement};
use portunus_vault::{SealingError, SealingKey, Vault, VaultError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

async fn ready() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&fixture.store);
    let vault = Vault::new(store, fixture.key.clone());
    fixture.add(new("sales-db")).await.unwrap();
    (fixture, vault)
}

/// Changes the stored credential past the rules, as an older version or a hand might have.
async fn change(fixture: &Fixture, with: impl FnOnce(&mut Credential)) {
    let Versioned { mut value, version } =
        load::<Credential>(fixture.store(), "sales-db").await.unwrap().unwrap();
    with(&mut value);
    fixture.store.commit(Batch::new().update(&value, version)).await.unwrap();
}

async fn replace(fixture: &Fixture, text: &str) {
    let replacement =
        Replacement { name: name("sales-db"), secret: secret(text), expires_at: LATER, by: "bo".to_owned() };
    credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, replacement, NOW, &Os)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bearer_secret_goes_to_its_own_host_in_place_of_what_was_there() {
    let (_fixture, vault) = ready().await;
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    assert_eq!((bound.credential().name.as_str(), bound.credential().version), ("sales-db", 1));
    assert_eq!((bound.hosts(), bound.server()), (&["api.example.com".to_owned()][..], &server("sales")));
    let mut headers = HeaderMap::new();
    headers.append("authorization", HeaderValue::from_static("Bearer inbound-1"));
    headers.append("authorization", HeaderValue::from_static("Bearer inbound-2"));
    let opened = vault.open(&permit("sales"), &bound).await.unwrap();
    opened.inject(&mut headers, "API.example.com").unwrap();
    let all: Vec<_> = headers.get_all("authorization").iter().collect();
    assert_eq!(all, [format!("Bearer {CANARY}").as_str()]);
    assert!(all[0].is_sensitive());
    assert!(!format!("{headers:?}").contains(CANARY));
}

#[tokio::test]
async fn a_header_secret_goes_as_it_is() {
    let (fixture, vault) = ready().await;
    let kind = CredentialKind::Header("X-Api-Key".to_owned());
    fixture.add(New { kind, hosts: vec!["api.example.com:8443".to_owned()], ..new("keyed") }).await.unwrap();
    let bound = vault.bound(&name("keyed"), &server("sales"), NOW).await.unwrap();
    let mut headers = HeaderMap::new();
    let opened = vault.open(&permit("sales"), &bound).await.unwrap();
    opened.inject(&mut headers, "api.example.com:8443").unwrap();
    assert_eq!(headers.get("x-api-key").unwrap(), CANARY);
}

#[tokio::test]
async fn any_other_host_is_refused_and_the_headers_stay() {
    let (_fixture, vault) = ready().await;
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    for host in [
        "",
        "example.com",
        "evil.example.com",
        "api.example.com.evil.test",
        "api.example.com:80",
        "api.example.com:443",
        "api.example.com.",
        "xapi.example.com",
        "user@api.example.com",
    ] {
        let mut headers = HeaderMap::new();
        let opened = vault.open(&permit("sales"), &bound).await.unwrap();
        let error = opened.inject(&mut headers, host).unwrap_err();
        assert!(matches!(error, VaultError::ForeignHost { .. }), "{host}");
        assert!(headers.is_empty());
    }
}

#[tokio::test]
async fn another_server_gets_neither_the_binding_nor_the_secret() {
    let (_fixture, vault) = ready().await;
    let error = vault.bound(&name("sales-db"), &server("hr"), NOW).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
    // The same when it is warm.
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    let error = vault.bound(&name("sales-db"), &server("hr"), NOW).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
    let error = vault.open(&permit("hr"), &bound).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
}

#[tokio::test]
async fn the_unknown_expired_ownerless_endless_and_revoked_are_refused() {
    let (fixture, vault) = ready().await;
    let (sales, db) = (server("sales"), name("sales-db"));
    let refused = async |now| vault.bound(&db, &sales, now).await.map(|_| ()).unwrap_err();
    let unknown = vault.bound(&name("none"), &sales, NOW).await.unwrap_err();
    assert_eq!(unknown, VaultError::Unknown(name("none")));
    vault.bound(&db, &sales, NOW).await.unwrap();
    let before = Timestamp::from_millis(LATER.as_millis() - 1);
    vault.bound(&db, &sales, before).await.unwrap();
    assert_eq!(refused(LATER).await, VaultError::Expired(db.clone()), "warm, at its very end");

    change(&fixture, |credential| credential.owner = None).await;
    assert_eq!(refused(NOW).await, VaultError::Ownerless(db.clone()));
    change(&fixture, |credential| credential.owner = Some(" ".to_owned())).await;
    assert_eq!(refused(NOW).await, VaultError::Ownerless(db.clone()));
    change(&fixture, |credential| {
        credential.owner = Some("ana".to_owned());
        credential.expires_at = None;
    })
    .await;
    assert_eq!(refused(NOW).await, VaultError::Endless(db.clone()));
    change(&fixture, |credential| credential.expires_at = Some(LATER)).await;
    vault.bound(&db, &sales, NOW).await.unwrap();
    credential::revoke(fixture.store(), &fixture.ledger, &db, "bo", NOW).await.unwrap();
    assert_eq!(refused(NOW).await, VaultError::Revoked(db.clone()));
    change(&fixture, |credential| {
        credential.revoked_at = None;
        credential.versions.clear();
    })
    .await;
    assert_eq!(refused(NOW).await, VaultError::Unusable(db.clone()));
}

#[tokio::test]
async fn a_call_already_bound_when_its_credential_is_revoked_does_not_get_it() {
    let (fixture, vault) = ready().await;
    let (db, permit) = (name("sales-db"), permit("sales"));
    let bound = vault.bound(&db, &server("sales"), NOW).await.unwrap();
    vault.open(&permit, &bound).await.unwrap();
    credential::revoke(fixture.store(), &fixture.ledger, &db, "bo", NOW).await.unwrap();
    assert_eq!(vault.open(&permit, &bound).await.unwrap_err(), VaultError::Revoked(db));
}

#[tokio::test]
async fn a_call_already_bound_when_its_secret_is_replaced_goes_out_as_it_was_recorded() {
    let (fixture, vault) = ready().await;
    let (db, sales) = (name("sales-db"), server("sales"));
    let bound = vault.bound(&db, &sales, NOW).await.unwrap();
    replace(&fixture, "the-second").await;
    let mut headers = HeaderMap::new();
    vault.open(&permit("sales"), &bound).await.unwrap().inject(&mut headers, "api.example.com").unwrap();
    assert_eq!(headers.get("authorization").unwrap(), format!("Bearer {CANARY}").as_str());

    let next = vault.bound(&db, &sales, NOW).await.unwrap();
    assert_eq!(next.credential().version, 2);
    vault.open(&permit("sales"), &next).await.unwrap().inject(&mut headers, "api.example.com").unwrap();
    assert_eq!(headers.get("authorization").unwrap(), "Bearer the-second");
}

#[tokio::test]
async fn a_credential_rebound_to_another_host_or_server_does_not_open_as_it_was_bound() {
    let (fixture, vault) = ready().await;
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    change(&fixture, |credential| credential.hosts = vec!["evil.example".to_owned()]).await;
    assert_eq!(
        vault.open(&permit("sales"), &bound).await.unwrap_err(),
        VaultError::Changed(name("sales-db"))
    );
    // Nor as it is bound now: the secret was sealed for the old host.
    let moved = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    let error = vault.open(&permit("sales"), &moved).await.unwrap_err();
    assert_eq!(error, VaultError::Sealed { name: name("sales-db"), why: SealingError::Refused });
    change(&fixture, |credential| {
        credential.hosts = vec!["api.example.com".to_owned()];
        credential.server = server("hr");
    })
    .await;
    let moved = vault.bound(&name("sales-db"), &server("hr"), NOW).await.unwrap();
    let error = vault.open(&permit("hr"), &moved).await.unwrap_err();
    assert_eq!(error, VaultError::Sealed { name: name("sales-db"), why: SealingError::Refused });
}

#[tokio::test]
async fn a_secret_sealed_with_another_key_does_not_open() {
    let (fixture, _vault) = ready().await;
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&fixture.store);
    let vault = Vault::new(store, SealingKey::new(Secret::new([6; 32])));
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    let error = vault.open(&permit("sales"), &bound).await.unwrap_err();
    assert_eq!(error, VaultError::Sealed { name: name("sales-db"), why: SealingError::OtherKey });
    assert!(error.to_string().contains("key file"), "{error}");
}

#[tokio::test]
async fn a_warm_credential_needs_no_store_until_its_time_is_up() {
    let (fixture, _) = ready().await;
    let (db, sales) = (name("sales-db"), server("sales"));
    let store = Arc::new(Watched::over(&fixture));
    let vault = Vault::new(Arc::clone(&store) as Arc<dyn Store>, fixture.key.clone());
    let reads = || store.reads.load(Ordering::SeqCst);
    for _ in 0..3 {
        let bound = vault.bound(&db, &sales, NOW).await.unwrap();
        vault.open(&permit("sales"), &bound).await.unwrap();
    }
    let last = Timestamp::from_millis(NOW.plus(CREDENTIAL_TTL).as_millis() - 1);
    vault.bound(&db, &sales, last).await.unwrap();
    assert_eq!(reads(), 1);
    vault.bound(&db, &sales, NOW.plus(CREDENTIAL_TTL)).await.unwrap();
    assert_eq!(reads(), 2);
}

#[tokio::test]
async fn revoking_under_load_lets_no_later_call_through() {
    let (fixture, vault) = ready().await;
    let (db, sales, permit) = (name("sales-db"), server("sales"), permit("sales"));
    for round in 0..20 {
        let named = name(&format!("c{round}"));
        fixture.add(New { name: named.clone(), ..new("x") }).await.unwrap();
        let calls = async {
            while let Ok(bound) = vault.bound(&named, &sales, NOW).await {
                if vault.open(&permit, &bound).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        let revoke = async {
            credential::revoke(fixture.store(), &fixture.ledger, &named, "bo", NOW).await.unwrap();
            assert_eq!(
                vault.bound(&named, &sales, NOW).await.map(|_| ()),
                Err(VaultError::Revoked(named.clone()))
            );
        };
        tokio::join!(calls, calls_of(&vault, &db), revoke);
    }
}

/// Calls with another credential, which a revocation does not disturb.
async fn calls_of(vault: &Vault, name: &portunus_core::id::CredentialName) {
    for _ in 0..20 {
        vault.bound(name, &server("sales"), NOW).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_secret_is_in_no_debug_text_and_no_file_of_the_store() {
    let (fixture, vault) = ready().await;
    replace(&fixture, &format!("{CANARY}-2")).await;
    let bound = vault.bound(&name("sales-db"), &server("sales"), NOW).await.unwrap();
    let opened = vault.open(&permit("sales"), &bound).await.unwrap();
    let stored = load::<Credential>(fixture.store(), "sales-db").await.unwrap().unwrap();
    let shown = format!("{vault:?} {bound:?} {opened:?} {stored:?} {:?} {:?}", fixture.key, new("x"));
    let error = opened.inject(&mut HeaderMap::new(), "evil.example").unwrap_err();
    let key = "5".repeat(8);
    for text in [shown, format!("{error} {error:?}"), format!("{:?}", fixture.ledger.events.lock().unwrap())]
    {
        assert!(!text.contains(CANARY) && !text.contains("5, 5, 5") && !text.contains(&key), "{text}");
    }

    let canaries = [CANARY.to_owned(), data_encoding::BASE64.encode(CANARY.as_bytes())[..28].to_owned()];
    let log = fixture.directory.path().join("portunus.db-wal");
    assert!(log.metadata().unwrap().len() > 0);
    search(fixture.directory.path(), &canaries);
    let Fixture { directory, store, .. } = fixture;
    drop((vault, bound, store));
    assert!(!log.exists(), "the log was folded into the database");
    search(directory.path(), &canaries);
}

fn search(directory: &Path, canaries: &[String]) {
    let mut searched = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        searched += bytes.len();
        for canary in canaries {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    assert!(searched > 4096, "the database was there to be searched");
}

/// A store that counts reads. Once armed, it revokes the credential just after it was read and before the reader has it.
struct Watched {
    inner: Arc<SqliteStore>,
    reads: AtomicUsize,
    armed: AtomicBool,
}

impl Watched {
    fn over(fixture: &Fixture) -> Self {
        let (reads, armed) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { inner: Arc::clone(&fixture.store), reads, armed }
    }
}

#[async_trait]
impl Store for Watched {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let read = self.inner.get(kind, id).await;
        if self.armed.swap(false, Ordering::SeqCst) {
            let Versioned { mut value, version } =
                load::<Credential>(&*self.inner, id).await.unwrap().unwrap();
            value.revoked_at = Some(NOW);
            self.inner.commit(Batch::new().update(&value, version)).await.unwrap();
        }
        read
    }
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(kind, query).await
    }
    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        self.inner.count(kind).await
    }
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        self.inner.commit(batch).await
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

#[tokio::test]
async fn what_was_read_before_a_revocation_is_not_kept_after_it() {
    let (fixture, _) = ready().await;
    let (db, sales) = (name("sales-db"), server("sales"));
    let store = Watched::over(&fixture);
    store.armed.store(true, Ordering::SeqCst);
    let vault = Vault::new(Arc::new(store), fixture.key.clone());
    let bound = vault.bound(&db, &sales, NOW).await.unwrap();
    assert_eq!(vault.open(&permit("sales"), &bound).await.unwrap_err(), VaultError::Revoked(db.clone()));
    assert_eq!(vault.bound(&db, &sales, NOW).await.unwrap_err(), VaultError::Revoked(db));
}
