//! The way of a request through the vault, and every way it must end before a secret goes out.

use crate::support::{
    CANARY, Fixture, LATER, NOW, Os, at, name, new, permit, program, published, secret, server,
};
use async_trait::async_trait;
use portunus_core::dialer::{DialError, Plain};
use portunus_core::document::{Credential, CredentialKind};
use portunus_core::limits::CREDENTIAL_TTL;
use portunus_core::secret::Secret;
use portunus_core::server::{Server, Upstream};
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError, Versioned, load};
use portunus_core::time::Timestamp;
use portunus_store::SqliteStore;
use portunus_vault::credential::{self, New, Replacement};
use portunus_vault::{Bound, Missing, SealingKey, Vault, VaultError};
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

/// The whole way, for a call to this server.
async fn plain(vault: &Vault, named: &str, server: &Server) -> Result<Plain, VaultError> {
    let bound = vault.bound(&name(named), server, NOW).await?;
    opened(vault, &bound, server).await
}

/// What a dialer gets of a bound credential.
async fn opened(vault: &Vault, bound: &Bound, server: &Server) -> Result<Plain, VaultError> {
    let presented = vault.open(&permit(server.name.as_str()), bound).await?.present(server)?;
    Ok(presented.open().await.unwrap())
}

fn header(plain: &Plain) -> (&str, &[u8]) {
    let Plain::Header(name, value) = plain else { panic!("{plain:?}") };
    assert!(value.is_sensitive());
    (name.as_str(), value.as_bytes())
}

fn variables(plain: &Plain) -> Vec<(&str, &str)> {
    let Plain::Environment(variables) = plain else { panic!("{plain:?}") };
    variables.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect()
}

#[tokio::test]
async fn a_secret_is_shown_as_its_kind_says() {
    let (fixture, vault) = ready().await;
    let bearer = plain(&vault, "sales-db", &at("sales")).await.unwrap();
    assert_eq!(header(&bearer), ("authorization", format!("Bearer {CANARY}").as_bytes()));
    assert!(!format!("{bearer:?}").contains(CANARY));
    for (kind, wanted) in [
        (CredentialKind::Header("X-Api-Key".to_owned()), ("x-api-key", CANARY.to_owned())),
        // echo -n 'ana:canary-7f3a9c51e2d84b06' | base64
        (
            CredentialKind::Basic("ana".to_owned()),
            ("authorization", "Basic YW5hOmNhbmFyeS03ZjNhOWM1MWUyZDg0YjA2".to_owned()),
        ),
    ] {
        let named = kind.word();
        fixture.add(New { kind: kind.clone(), ..new(named) }).await.unwrap();
        let shown = plain(&vault, named, &at("sales")).await.unwrap();
        assert_eq!(header(&shown), (wanted.0, wanted.1.as_bytes()));
        assert!(!format!("{shown:?}").contains(CANARY));
    }
    fixture.add(New { kind: CredentialKind::Query("key".to_owned()), ..new("asked") }).await.unwrap();
    match plain(&vault, "asked", &at("sales")).await.unwrap() {
        Plain::Query(name, value) => {
            assert_eq!((name.as_str(), value.expose().as_slice()), ("key", CANARY.as_bytes()))
        }
        other => panic!("{other:?}"),
    }
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----";
    let certificate =
        New { kind: CredentialKind::ClientCertificate, secret: secret(pem), ..new("certificate") };
    fixture.add(certificate).await.unwrap();
    match plain(&vault, "certificate", &at("sales")).await.unwrap() {
        Plain::Certificate(held) => assert_eq!(held.expose().as_slice(), pem.as_bytes()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_gets_its_secret_as_variables_and_the_role_of_the_version() {
    let (fixture, vault) = ready().await;
    fixture
        .add(New { kind: CredentialKind::Environment("API_KEY".to_owned()), ..new("keyed") })
        .await
        .unwrap();
    let shown = plain(&vault, "keyed", &program("sales")).await.unwrap();
    assert_eq!(variables(&shown), [("API_KEY", CANARY)]);
    assert!(!format!("{shown:?}").contains(CANARY));

    fixture.add(New { kind: CredentialKind::Postgres("reader".to_owned()), ..new("pg") }).await.unwrap();
    let shown = plain(&vault, "pg", &program("sales")).await.unwrap();
    assert_eq!(variables(&shown), [("PGUSER", "reader"), ("PGPASSWORD", CANARY)]);
    let Versioned { mut value, version } = load::<Credential>(fixture.store(), "pg").await.unwrap().unwrap();
    value.versions[0].account = Some("reader_b".to_owned());
    fixture.store.commit(Batch::new().update(&value, version)).await.unwrap();
    let shown = plain(&vault, "pg", &program("sales")).await.unwrap();
    assert_eq!(variables(&shown), [("PGUSER", "reader_b"), ("PGPASSWORD", CANARY)]);
}

#[tokio::test]
async fn a_credential_bound_for_one_place_is_presented_to_no_other() {
    let (_fixture, vault) = ready().await;
    let bound = vault.bound(&name("sales-db"), &at("sales"), NOW).await.unwrap();
    let elsewhere = published("sales", Upstream::Http("https://evil.example/mcp".parse().unwrap()));
    for (other, wanted) in [
        (elsewhere, "may only go to api.example.com"),
        (published("sales", Upstream::Tunnel), "its connector has its own"),
        (program("sales"), "is a program"),
        (at("hr"), "is not for the server `hr`"),
    ] {
        let opened = vault.open(&permit("sales"), &bound).await.unwrap();
        let error = opened.present(&other).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        let early = vault.bound(&name("sales-db"), &other, NOW).await.unwrap_err();
        assert_eq!(early, error, "known before the call is decided");
    }
}

#[tokio::test]
async fn a_production_credential_is_refused_on_a_development_server() {
    let (fixture, vault) = ready().await;
    fixture.add(New { environment: Some("production".to_owned()), ..new("prod") }).await.unwrap();
    let mut server = at("sales");
    "development".clone_into(&mut server.environment);
    let error = vault.bound(&name("prod"), &server, NOW).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignEnvironment { .. }), "{error}");
    "production".clone_into(&mut server.environment);
    vault.bound(&name("prod"), &server, NOW).await.unwrap();
}

#[tokio::test]
async fn a_secret_in_a_query_is_flagged_once_for_each_credential() {
    let (fixture, vault) = ready().await;
    for named in ["one", "two"] {
        fixture.add(New { kind: CredentialKind::Query("key".to_owned()), ..new(named) }).await.unwrap();
    }
    for (named, wanted) in [("sales-db", false), ("one", true), ("one", false), ("two", true), ("one", false)]
    {
        let bound = vault.bound(&name(named), &at("sales"), NOW).await.unwrap();
        assert_eq!(vault.is_newly_flagged(&bound), wanted, "{named}");
    }
}

#[tokio::test]
async fn all_that_is_missing_is_said_at_once() {
    let (fixture, vault) = ready().await;
    change(&fixture, |credential| {
        credential.owner = None;
        credential.purpose = " ".to_owned();
        credential.expires_at = None;
    })
    .await;
    let error = vault.bound(&name("sales-db"), &at("sales"), NOW).await.unwrap_err();
    let all = vec![Missing::Owner, Missing::Purpose, Missing::Expiry];
    assert_eq!(error, VaultError::Incomplete { name: name("sales-db"), missing: all });
    for sentence in ["it has no owner;", "it has no purpose;", "it has no expiry;"] {
        assert!(error.to_string().contains(sentence), "{error}");
    }
}

#[tokio::test]
async fn another_server_gets_neither_the_binding_nor_the_secret() {
    let (_fixture, vault) = ready().await;
    let error = vault.bound(&name("sales-db"), &at("hr"), NOW).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
    // The same when it is warm.
    let bound = vault.bound(&name("sales-db"), &at("sales"), NOW).await.unwrap();
    let error = vault.bound(&name("sales-db"), &at("hr"), NOW).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
    let error = vault.open(&permit("hr"), &bound).await.unwrap_err();
    assert!(matches!(error, VaultError::ForeignServer { .. }), "{error}");
}

#[tokio::test]
async fn the_unknown_expired_ownerless_endless_and_revoked_are_refused() {
    let (fixture, vault) = ready().await;
    let (sales, db) = (at("sales"), name("sales-db"));
    let refused = async |now| vault.bound(&db, &sales, now).await.map(|_| ()).unwrap_err();
    let incomplete = |what| VaultError::Incomplete { name: name("sales-db"), missing: vec![what] };
    let unknown = vault.bound(&name("none"), &sales, NOW).await.unwrap_err();
    assert_eq!(unknown, VaultError::Unknown(name("none")));
    vault.bound(&db, &sales, NOW).await.unwrap();
    let before = Timestamp::from_millis(LATER.as_millis() - 1);
    vault.bound(&db, &sales, before).await.unwrap();
    assert_eq!(refused(LATER).await, VaultError::Expired(db.clone()), "warm, at its very end");

    change(&fixture, |credential| credential.owner = None).await;
    assert_eq!(refused(NOW).await, incomplete(Missing::Owner));
    change(&fixture, |credential| credential.owner = Some(" ".to_owned())).await;
    assert_eq!(refused(NOW).await, incomplete(Missing::Owner));
    change(&fixture, |credential| {
        credential.owner = Some("ana".to_owned());
        credential.expires_at = None;
    })
    .await;
    assert_eq!(refused(NOW).await, incomplete(Missing::Expiry));
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
    let bound = vault.bound(&db, &at("sales"), NOW).await.unwrap();
    vault.open(&permit, &bound).await.unwrap();
    credential::revoke(fixture.store(), &fixture.ledger, &db, "bo", NOW).await.unwrap();
    assert_eq!(vault.open(&permit, &bound).await.unwrap_err(), VaultError::Revoked(db));
}

#[tokio::test]
async fn a_call_already_bound_when_its_secret_is_replaced_goes_out_as_it_was_recorded() {
    let (fixture, vault) = ready().await;
    let (db, sales) = (name("sales-db"), at("sales"));
    let bound = vault.bound(&db, &sales, NOW).await.unwrap();
    replace(&fixture, "the-second").await;
    let shown = opened(&vault, &bound, &sales).await.unwrap();
    assert_eq!(header(&shown).1, format!("Bearer {CANARY}").as_bytes());

    let next = vault.bound(&db, &sales, NOW).await.unwrap();
    assert_eq!(next.credential().version, 2);
    let shown = opened(&vault, &next, &sales).await.unwrap();
    assert_eq!(header(&shown).1, b"Bearer the-second");
}

#[tokio::test]
async fn what_a_dialer_has_kept_does_not_open_once_the_credential_is_revoked() {
    let (fixture, vault) = ready().await;
    let (db, sales) = (name("sales-db"), at("sales"));
    let bound = vault.bound(&db, &sales, NOW).await.unwrap();
    let presented = vault.open(&permit("sales"), &bound).await.unwrap().present(&sales).unwrap();
    presented.open().await.unwrap();
    credential::revoke(fixture.store(), &fixture.ledger, &db, "bo", NOW).await.unwrap();
    let error = presented.open().await.unwrap_err();
    assert!(matches!(&error, DialError::Credential(why) if why.contains("revoked")), "{error}");
}

#[tokio::test]
async fn a_credential_rebound_to_another_host_or_server_does_not_open_as_it_was_bound() {
    let (fixture, vault) = ready().await;
    let bound = vault.bound(&name("sales-db"), &at("sales"), NOW).await.unwrap();
    change(&fixture, |credential| credential.hosts = vec!["evil.example".to_owned()]).await;
    assert_eq!(
        vault.open(&permit("sales"), &bound).await.unwrap_err(),
        VaultError::Changed(name("sales-db"))
    );
    // Nor as it is bound now: the secret was sealed for the old host.
    let evil = published("sales", Upstream::Http("https://evil.example/mcp".parse().unwrap()));
    assert!(sealed(&vault, &evil).await.contains("changed or belongs elsewhere"));
    change(&fixture, |credential| {
        credential.hosts = vec!["api.example.com".to_owned()];
        credential.server = server("hr");
    })
    .await;
    assert!(sealed(&vault, &at("hr")).await.contains("changed or belongs elsewhere"));
}

/// What a dialer hears of a secret that does not open.
async fn sealed(vault: &Vault, server: &Server) -> String {
    let bound = vault.bound(&name("sales-db"), server, NOW).await.unwrap();
    let opened = vault.open(&permit(server.name.as_str()), &bound).await.unwrap();
    let error = opened.present(server).unwrap().open().await.unwrap_err();
    assert!(matches!(error, DialError::Credential(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_secret_sealed_with_another_key_does_not_open() {
    let (fixture, _vault) = ready().await;
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&fixture.store);
    let vault = Vault::new(store, SealingKey::new(Secret::new([6; 32])));
    let error = sealed(&vault, &at("sales")).await;
    assert!(error.contains("another sealing key") && error.contains("key file"), "{error}");
}

#[tokio::test]
async fn a_warm_credential_needs_no_store_until_its_time_is_up() {
    let (fixture, _) = ready().await;
    let (db, sales) = (name("sales-db"), at("sales"));
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
    let (db, sales, permit) = (name("sales-db"), at("sales"), permit("sales"));
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
        vault.bound(name, &at("sales"), NOW).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_secret_is_in_no_debug_text_and_no_file_of_the_store() {
    let (fixture, vault) = ready().await;
    replace(&fixture, &format!("{CANARY}-2")).await;
    let bound = vault.bound(&name("sales-db"), &at("sales"), NOW).await.unwrap();
    let opened = vault.open(&permit("sales"), &bound).await.unwrap();
    let presented = vault.open(&permit("sales"), &bound).await.unwrap().present(&at("sales")).unwrap();
    let plain = presented.open().await.unwrap();
    let stored = load::<Credential>(fixture.store(), "sales-db").await.unwrap().unwrap();
    let shown = format!(
        "{vault:?} {bound:?} {opened:?} {presented:?} {plain:?} {stored:?} {:?} {:?}",
        fixture.key,
        new("x")
    );
    let error = opened.present(&program("sales")).unwrap_err();
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
    drop((vault, bound, presented, plain, store));
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
    let (db, sales) = (name("sales-db"), at("sales"));
    let store = Watched::over(&fixture);
    store.armed.store(true, Ordering::SeqCst);
    let vault = Vault::new(Arc::new(store), fixture.key.clone());
    // It is read again, since it changed while it was read.
    assert_eq!(vault.bound(&db, &sales, NOW).await.unwrap_err(), VaultError::Revoked(db.clone()));
    assert_eq!(vault.bound(&db, &sales, NOW).await.unwrap_err(), VaultError::Revoked(db));
}
