//! What the vault's tests share: a store on disk, a ledger in memory, and real permits from a real engine.

use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::document::CredentialKind;
use portunus_core::id::{ClientId, CredentialName, ServerName, UserName, mint};
use portunus_core::limits::ServerLimits;
use portunus_core::record::{Event, Ledger, LedgerError, Receipt, Record};
use portunus_core::secret::Secret;
use portunus_core::server::{Actor, Per, Program, Server, Upstream};
use portunus_core::store::Store;
use portunus_core::time::{Rng, Timestamp};
use portunus_policy::{Context, Decision, Engine, NO_PAST, Operation, Permit, Request, ServerTools, Source};
use portunus_store::SqliteStore;
use portunus_vault::SealingKey;
use portunus_vault::credential::{self, New, Summary};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

/// Found nowhere but in the request upstream.
pub(crate) const CANARY: &str = "canary-7f3a9c51e2d84b06";
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
pub(crate) const LATER: Timestamp = Timestamp::from_secs(1_795_086_400);

pub(crate) struct Os;
impl Rng for Os {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system has entropy");
    }
}

/// Keeps events, or refuses them.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) closed: bool,
}

impl Ledger for Book {
    fn append(&self, record: Record) -> Receipt {
        if self.closed {
            return Receipt::failed(LedgerError::Stopped);
        }
        let (sender, receipt) = Receipt::pair();
        let Record::Event(event) = record else { panic!("only events are expected here") };
        let mut events = self.events.lock().unwrap();
        events.push(event);
        sender.send(Ok(events.len() as u64)).unwrap();
        receipt
    }
}

impl Book {
    pub(crate) fn actions(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|event| event.action.clone()).collect()
    }
}

pub(crate) struct Fixture {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) ledger: Book,
    pub(crate) key: SealingKey,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("portunus.db")).unwrap());
        Self { directory, store, ledger: Book::default(), key: SealingKey::new(Secret::new([5; 32])) }
    }
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }
    pub(crate) async fn add(&self, new: New) -> Result<Summary, portunus_vault::CredentialError> {
        credential::add(self.store(), &self.ledger, &self.key, new, NOW, &Os).await
    }
}

pub(crate) fn name(text: &str) -> CredentialName {
    CredentialName::parse(text).unwrap()
}
pub(crate) fn server(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}
/// A published server at the URL of [`new`]'s host.
pub(crate) fn at(named: &str) -> Server {
    published(named, Upstream::Http("https://api.example.com/mcp".parse().unwrap()))
}
/// A published server that is a program.
pub(crate) fn program(named: &str) -> Server {
    let command = vec!["server".to_owned()];
    let (environment, directory) = (BTreeMap::new(), ".".into());
    published(named, Upstream::Program(Program { command, environment, directory, per: Per::Server }))
}
pub(crate) fn published(named: &str, upstream: Upstream) -> Server {
    Server {
        name: server(named),
        title: named.to_owned(),
        owner: "olga@example.com".to_owned(),
        purpose: "tests".to_owned(),
        environment: "test".to_owned(),
        actors: Vec::new(),
        upstream,
        credential: None,
        limits: ServerLimits::default(),
        scopes: BTreeMap::new(),
    }
}
pub(crate) fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

/// A credential of Ana's for the server `sales` at api.example.com.
pub(crate) fn new(named: &str) -> New {
    New {
        name: name(named),
        kind: CredentialKind::Bearer,
        owner: "ana@example.com".to_owned(),
        purpose: "quarterly questions".to_owned(),
        environment: None,
        vendor: None,
        scopes: Vec::new(),
        hosts: vec!["api.example.com".to_owned()],
        rotation: None,
        server: server("sales"),
        expires_at: LATER,
        secret: secret(CANARY),
        by: "ana".to_owned(),
    }
}

/// A permit for a call to this server, from an engine that permits everything.
pub(crate) fn permit(of: &str) -> Permit {
    let server = server(of);
    let everything = Source {
        path: "all.cedar".to_owned(),
        text: "@id(\"all\") permit (principal, action, resource);".to_owned(),
    };
    let tools = ServerTools {
        classes: Vec::new(),
        server: server.clone(),
        environment: "test".to_owned(),
        owner: "ana".to_owned(),
        tools: Vec::new(),
    };
    let engine = Engine::load(&[everything], &[tools]).unwrap();
    let caller = Caller {
        user: UserName::parse("ana").unwrap(),
        groups: Vec::new(),
        client: ClientId::parse("client").unwrap(),
        client_name: "Client".to_owned(),
        grant: mint("grt", NOW, &Os),
        server: server.clone(),
        scopes: Vec::new(),
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", NOW),
        holding: Holding::default(),
    };
    let request = Request {
        decision: mint("dec", NOW, &Os),
        server: &server,
        operation: Operation::Session("ping"),
        arguments: None,
        sql: None,
        besides: None,
        approval: None,
        context: Context {
            now: NOW,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            environment: "test",
            era: "modern",
            certificate: None,
            past: &NO_PAST,
            pin: "pinned",
            credential_age: None,
        },
    };
    match engine.decide(&engine.principal(&caller), &request) {
        Decision::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}
