//! A store, a ledger, a clock, one credential with a plan, and engines over them that live or die.

use crate::crash::{Fate, Moment, Mortal};
use async_trait::async_trait;
use portunus_core::document::{
    Credential, CredentialKind, Lease, Rotation, RotationPlan, RotationStep, TestOutcome, VersionState,
};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::ServerLimits;
use portunus_core::secret::Secret;
use portunus_core::server::{Per, Program, Server, Upstream};
use portunus_core::store::{Store, list_all, load};
use portunus_core::testing::{ManualClock, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_vault::credential::{self, New};
use portunus_vault::rotation::engine::Parts;
use portunus_vault::rotation::{
    Calls, Case, Created, Engine, Next, Plan, RotationError, Rotator, RotatorError, Verdict, Version,
};
use portunus_vault::{SealingKey, Vault};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(crate) struct Os;
impl Rng for Os {
    fn fill(&self, bytes: &mut [u8]) {
        use std::io::Read as _;
        std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    }
}

pub(crate) fn name(text: &str) -> CredentialName {
    CredentialName::parse(text).unwrap()
}
pub(crate) fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}
pub(crate) fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}
/// A clock that a test takes forward is behind that of real upstreams, and never comes near it.
#[expect(clippy::disallowed_methods, reason = "real upstreams live in real time")]
pub(crate) fn days_ago(days: u64) -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_secs(now.as_secs() - days * 86_400)
}
/// The server that calls go to, where its credential may go.
pub(crate) fn sales(kind: &CredentialKind) -> Server {
    let upstream = match kind {
        CredentialKind::Postgres(_) | CredentialKind::Environment(_) | CredentialKind::Ssh(_) => {
            Upstream::Program(Program {
                command: vec!["server".to_owned()],
                directory: "/".into(),
                environment: BTreeMap::new(),
                per: Per::Server,
            })
        }
        _ => Upstream::Http("https://api.example.com/mcp".parse().unwrap()),
    };
    Server {
        name: ServerName::parse("sales").unwrap(),
        title: String::new(),
        owner: "olga".to_owned(),
        purpose: "tests".to_owned(),
        environment: "test".to_owned(),
        actors: Vec::new(),
        upstream,
        credential: None,
        limits: ServerLimits::default(),
        scopes: BTreeMap::new(),
    }
}

/// Whoever asks an upstream by itself, as no engine does: does this secret work there?
#[async_trait]
pub(crate) trait Judge: Send + Sync {
    async fn works(&self, account: Option<&str>, secret: &str) -> bool;
    /// How many secrets of this credential work at the upstream.
    async fn live(&self) -> usize;
}

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) name: CredentialName,
    method: String,
    rotator: Arc<dyn Rotator>,
    /// Every secret that any rotator was ever given or made, by version.
    pub(crate) seen: Arc<Mutex<BTreeMap<u32, String>>>,
    /// The same, also of attempts that nobody remembers.
    pub(crate) made: Arc<Mutex<Vec<String>>>,
    key: SealingKey,
}

/// A credential to begin with.
pub(crate) struct First {
    pub(crate) kind: CredentialKind,
    pub(crate) host: String,
    pub(crate) secret: String,
    pub(crate) method: &'static str,
    pub(crate) settings: Value,
    /// Account and secret of the credential `admin`.
    pub(crate) administrator: Option<(String, String)>,
    /// Where that may go.
    pub(crate) administrator_host: String,
}

impl World {
    pub(crate) async fn new(first: First, rotator: Arc<dyn Rotator>) -> Self {
        Self::over(store(), first, rotator, NOW).await
    }

    /// In a store that the rotator shares, from this moment on.
    pub(crate) async fn over(
        store: Arc<dyn Store>,
        first: First,
        rotator: Arc<dyn Rotator>,
        start: Timestamp,
    ) -> Self {
        let key = SealingKey::new(Secret::new([7; 32]));
        let world = Self {
            vault: Arc::new(Vault::new(store.clone(), key.clone())),
            store,
            ledger: Arc::default(),
            clock: Arc::new(ManualClock::at(start)),
            name: name("crm"),
            method: first.method.to_owned(),
            rotator,
            seen: Arc::default(),
            made: Arc::default(),
            key,
        };
        if let Some((account, text)) = &first.administrator {
            let kind = CredentialKind::Rotator(account.clone());
            world.add("admin", kind, &first.administrator_host, text, None).await;
        }
        let Value::Object(settings) = first.settings else { panic!("settings are an object") };
        let plan = RotationPlan { method: first.method.to_owned(), every_seconds: Some(86_400), settings };
        world.seen.lock().unwrap().insert(1, first.secret.clone());
        world.add("crm", first.kind, &first.host, &first.secret, Some(plan)).await;
        world
    }

    async fn add(
        &self,
        named: &str,
        kind: CredentialKind,
        host: &str,
        text: &str,
        rotation: Option<RotationPlan>,
    ) {
        let new = New {
            name: name(named),
            kind,
            owner: "ana@example.com".to_owned(),
            purpose: "quarterly questions".to_owned(),
            environment: None,
            vendor: None,
            scopes: Vec::new(),
            hosts: vec![host.to_owned()],
            server: ServerName::parse("sales").unwrap(),
            expires_at: self.clock.now().plus(YEAR),
            rotation,
            secret: secret(text),
            by: "ana".to_owned(),
        };
        credential::add(&*self.store, &*self.ledger, &self.key, new, self.clock.now(), &Os).await.unwrap();
    }

    /// A process that will meet this end.
    pub(crate) fn process(&self, end: Option<Moment>) -> (Engine, Arc<Fate>) {
        let fate = Fate::new(end);
        let rotator: Arc<dyn Rotator> = Arc::new(Listening {
            inner: self.rotator.clone(),
            seen: self.seen.clone(),
            made: self.made.clone(),
        });
        let rotator: Arc<dyn Rotator> = Arc::new(Mortal { fate: fate.clone(), inner: rotator });
        let engine = Engine::new(Parts {
            store: Arc::new(Mortal { fate: fate.clone(), inner: self.store.clone() }),
            ledger: Arc::new(Mortal { fate: fate.clone(), inner: self.ledger.clone() }),
            key: self.key.clone(),
            rng: Arc::new(Os),
            calls: self.vault.clone() as Arc<dyn Calls>,
            rotators: [(self.method.clone(), rotator)].into(),
            holder: format!("process {:p}", Arc::as_ptr(&fate)),
            settle: Duration::ZERO,
        });
        (engine, fate)
    }

    /// One that lives on.
    pub(crate) fn engine(&self) -> Engine {
        self.process(None).0
    }

    /// Takes the rotation under way to its end; the clock goes on as far as it must.
    pub(crate) async fn finish(&self, engine: &Engine) -> Result<Option<Rotation>, RotationError> {
        for _ in 0..10_000 {
            match engine.step(&self.name, self.clock.now()).await? {
                Next::Again => {}
                Next::At(moment) | Next::Stumbled { at: moment, .. } => self.wait_until(moment).await,
                Next::Ended(rotation) => return Ok(Some(*rotation)),
                Next::Idle => return Ok(None),
            }
        }
        panic!("the rotation does not end: {:?}", engine.latest(&self.name).await);
    }

    async fn wait_until(&self, moment: Timestamp) {
        self.clock.advance(moment.since(self.clock.now()));
        // Real upstreams go by their own clocks, and calls by none.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    /// One rotation from its beginning to its end.
    pub(crate) async fn rotate(&self, engine: &Engine) -> Result<Option<Rotation>, RotationError> {
        engine.begin(&self.name, "ana", self.clock.now()).await?;
        self.finish(engine).await
    }

    pub(crate) async fn credential(&self) -> Credential {
        load(&*self.store, "crm").await.unwrap().unwrap().value
    }

    pub(crate) fn secret_of(&self, version: u32) -> String {
        self.seen.lock().unwrap()[&version].clone()
    }

    /// What must hold whenever no rotation is under way: the credential works, exactly one version is active, all others are
    /// over and refused, and nothing else of it works at the upstream.
    pub(crate) async fn check(&self, judge: &dyn Judge) {
        let credential = self.credential().await;
        let active: Vec<_> =
            credential.versions.iter().filter(|version| version.state == VersionState::Active).collect();
        let [active] = active.as_slice() else { panic!("not exactly one active: {:?}", credential.versions) };
        for version in &credential.versions {
            let over = version.state == VersionState::Retired;
            assert!(over || version.number == active.number, "{:?}", credential.versions);
            // Older ones were looked at before.
            if version.number + 2 < active.number {
                continue;
            }
            let works = judge.works(version.account.as_deref(), &self.secret_of(version.number)).await;
            assert_eq!(works, !over, "version {} at the upstream", version.number);
        }
        assert_eq!(judge.live().await, 1, "secrets that work at the upstream");
        assert!(list_all::<Lease>(&*self.store, None).await.unwrap().is_empty(), "leases");
        let text = format!("{:?}{:?}", self.ledger.records(), self.rotation().await);
        for secret in self.seen.lock().unwrap().values() {
            assert!(!text.contains(secret.as_str()), "a secret is in the ledger or the rotation");
        }
    }

    pub(crate) async fn rotation(&self) -> Option<Rotation> {
        load(&*self.store, "crm").await.unwrap().map(|found| found.value)
    }

    /// Kills the process at every one of its effects, before and after, and demands that the next process converges.
    pub(crate) async fn kill_everywhere(&self, judge: &dyn Judge) {
        self.kill_each(judge, &[false, true]).await;
    }

    /// The same for upstreams that take their time: only before each effect, or only after it.
    pub(crate) async fn kill_each(&self, judge: &dyn Judge, moments: &[bool]) {
        let (engine, fate) = self.process(None);
        let ended = self.rotate(&engine).await.unwrap().unwrap();
        assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
        self.check(judge).await;
        let effects = fate.effects();
        println!("{effects} effects: {:?}", fate.said());
        assert!(effects > 30, "the clean run has its records, commits and requests");
        for effect in 0..effects {
            for &after in moments {
                let before = self.credential().await.in_use().unwrap().number;
                let moment = Moment { effect, after };
                let (engine, fate) = self.process(Some(moment));
                let error = self.rotate(&engine).await.expect_err("it was killed");
                assert!(fate.is_dead(), "{moment:?}: {error}");
                let mut ended = self.converge().await;
                if self.credential().await.in_use().unwrap().number == before {
                    // Killed before anything was stored: nobody knows that one was wanted.
                    assert!(ended.is_none(), "{moment:?}: {ended:?}");
                    ended = self.rotate(&self.engine()).await.unwrap();
                }
                if let Some(ended) = ended {
                    assert_eq!(ended.step, RotationStep::Done, "{moment:?}: {ended:?}");
                }
                self.check(judge).await;
                let tested = self.credential().await.tested.unwrap();
                assert_eq!(tested.outcome, TestOutcome::Dead, "{moment:?}: {}", tested.detail);
            }
        }
    }

    /// The next process, once the lease of a dead one has run out.
    pub(crate) async fn converge(&self) -> Option<Rotation> {
        self.clock.advance(portunus_core::limits::ROTATION_LEASE);
        let ended = self.finish(&self.engine()).await.unwrap();
        // What the dead one left is taken over and given back, or runs out; nobody waits for it any more.
        for lease in list_all::<Lease>(&*self.store, None).await.unwrap() {
            assert!(lease.value.expires_at.is_past(self.clock.now()), "{lease:?}");
            self.store.purge(self.clock.now(), 100).await.unwrap();
        }
        ended
    }
}

/// Notes every secret that passes.
struct Listening {
    inner: Arc<dyn Rotator>,
    seen: Arc<Mutex<BTreeMap<u32, String>>>,
    made: Arc<Mutex<Vec<String>>>,
}

impl Listening {
    fn note(&self, version: u32, secret: Option<&Secret<Vec<u8>>>) {
        if let Some(secret) = secret {
            let text = String::from_utf8(secret.expose().clone()).unwrap();
            self.made.lock().unwrap().push(text.clone());
            self.seen.lock().unwrap().insert(version, text);
        }
    }
}

#[async_trait]
impl Rotator for Listening {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        self.inner.plan(case)
    }
    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        self.note(new.number, new.secret);
        let created = self.inner.create(case, new).await?;
        self.note(new.number, created.secret.as_ref());
        Ok(created)
    }
    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        self.inner.verify(case, new).await
    }
    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.inner.disable(case, old).await
    }
    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        self.inner.verify_dead(case, old).await
    }
    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.inner.delete(case, old).await
    }
    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        self.inner.undo(case, new, old).await
    }
}
