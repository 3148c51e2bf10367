//! One edge's connections, and the world around them.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use portunus_connections::consent::Visitor;
use portunus_connections::{
    Answered, Carrier, Connections, NoAnswer, Outgoing, Parts, Runtime, Sends, Settings, Whose,
};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Connection, ConnectionState};
use portunus_core::id::{ClientId, ServerName, UserName, mint};
use portunus_core::secret::Secret;
use portunus_core::server::Actor;
use portunus_core::store::load;
use portunus_core::testing::{CountingRng, ManualClock, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Timestamp};
use portunus_oauth::form::Form;
use portunus_policy::{Context, Decision, Engine, NO_PAST, Operation, Permit, Request, ServerTools, Source};
use portunus_vault::SealingKey;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
pub(crate) const UPSTREAM: &str = "https://notes.example/mcp";
pub(crate) const ISSUER: &str = "https://login.example";
/// Seconds of an access token.
pub(crate) const LIFE: u64 = 600;

/// What was sent, as a test looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) named: bool,
    pub(crate) form: HashMap<String, String>,
    pub(crate) authorization: Option<String>,
}

/// What the token endpoint does next.
#[derive(Clone)]
pub(crate) enum Next {
    Answer(u16, String),
    Unsent,
    Lost,
}

/// An authorization server, and the metadata of an MCP server.
pub(crate) struct Server {
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) documents: Mutex<HashMap<String, (u16, String)>>,
    /// Answers of the token endpoint that were put here come first.
    pub(crate) next: Mutex<Vec<Next>>,
    /// Each answer of the token endpoint takes a permit.
    pub(crate) gate: Semaphore,
    tokens: Mutex<u64>,
    pub(crate) challenge: Mutex<Option<String>>,
    /// Nothing can be revoked while it is.
    pub(crate) unreachable: AtomicBool,
}

impl Server {
    fn new() -> Self {
        let resource = json!({ "resource": UPSTREAM, "authorization_servers": [ISSUER] });
        let documents = HashMap::from([
            (
                "https://notes.example/.well-known/oauth-protected-resource/mcp".to_owned(),
                (200, resource.to_string()),
            ),
            (format!("{ISSUER}/.well-known/oauth-authorization-server"), (200, metadata().to_string())),
        ]);
        Self {
            seen: Mutex::default(),
            documents: Mutex::new(documents),
            next: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            tokens: Mutex::default(),
            challenge: Mutex::default(),
            unreachable: AtomicBool::default(),
        }
    }

    pub(crate) fn publish(&self, url: &str, document: &Value) {
        self.documents.lock().unwrap().insert(url.to_owned(), (200, document.to_string()));
    }
    pub(crate) fn then(&self, next: Next) {
        self.next.lock().unwrap().push(next);
    }
    pub(crate) fn sent_to(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.url.ends_with(path)).cloned().collect()
    }
    pub(crate) fn refreshes(&self) -> usize {
        self.sent_to("/token").iter().filter(|seen| seen.form["grant_type"] == "refresh_token").count()
    }
}

/// The metadata of the authorization server.
pub(crate) fn metadata() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"),
        "registration_endpoint": format!("{ISSUER}/register"),
        "revocation_endpoint": format!("{ISSUER}/revoke"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
    })
}

#[async_trait]
impl Carrier for Server {
    async fn send(&self, outgoing: Outgoing) -> Result<Answered, NoAnswer> {
        let form = match &outgoing.sends {
            Sends::Form(form) => url::form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect(),
            _ => HashMap::new(),
        };
        let (url, named) = (outgoing.url.to_string(), outgoing.named);
        let authorization = outgoing.authorization.map(|value| value.expose().clone());
        self.seen.lock().unwrap().push(Seen { url: url.clone(), named, form, authorization });
        let ok = |body: String| Ok(Answered { status: 200, challenge: None, body: body.into_bytes() });
        if url == UPSTREAM {
            return Ok(Answered {
                status: 401,
                challenge: self.challenge.lock().unwrap().clone(),
                body: vec![],
            });
        }
        match outgoing.url.path() {
            "/register" => {
                let body = json!({ "client_id": "registered", "token_endpoint_auth_method": "none" });
                Ok(Answered { status: 201, challenge: None, body: body.to_string().into_bytes() })
            }
            "/revoke" => match self.unreachable.load(Ordering::Relaxed) {
                true => Err(NoAnswer::Unsent { host: "login".into(), why: "no route".into() }),
                false => ok(String::new()),
            },
            "/token" => {
                self.gate.acquire().await.unwrap().forget();
                let mut next = self.next.lock().unwrap();
                let next = if next.is_empty() { None } else { Some(next.remove(0)) };
                match next {
                    Some(Next::Answer(status, body)) => {
                        Ok(Answered { status, challenge: None, body: body.into_bytes() })
                    }
                    Some(Next::Unsent) => {
                        Err(NoAnswer::Unsent { host: "login".into(), why: "no route".into() })
                    }
                    Some(Next::Lost) => Err(NoAnswer::Lost { host: "login".into(), why: "reset".into() }),
                    None => {
                        let mut count = self.tokens.lock().unwrap();
                        *count += 1;
                        ok(tokens(*count))
                    }
                }
            }
            _ => match self.documents.lock().unwrap().get(&url) {
                Some((status, body)) => {
                    Ok(Answered { status: *status, challenge: None, body: body.clone().into_bytes() })
                }
                None => Ok(Answered { status: 404, challenge: None, body: vec![] }),
            },
        }
    }
}

/// The answer with the tokens of this number.
pub(crate) fn tokens(number: u64) -> String {
    json!({
        "access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
        "token_type": "Bearer", "expires_in": LIFE, "scope": "read",
    })
    .to_string()
}

/// Tasks by tokio; a pause lets the clock go on.
pub(crate) struct Runs(Arc<ManualClock>);

#[async_trait]
impl Runtime for Runs {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
    async fn pause(&self, time: Duration) {
        self.0.advance(time);
        tokio::task::yield_now().await;
    }
}

/// The runtime of a process that dies: nothing goes on when its caller stops.
struct Dies(Runs);

#[async_trait]
impl Runtime for Dies {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(task);
    }
    async fn pause(&self, time: Duration) {
        self.0.pause(time).await;
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) server: Arc<Server>,
    pub(crate) connections: Connections,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With settings that differ from the usual.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let store = Arc::new(MemoryStore::default());
        let (ledger, clock) = (Arc::new(MemoryLedger::default()), Arc::new(ManualClock::at(NOW)));
        let server = Arc::new(Server::new());
        let mut settings = Settings {
            server: notes(),
            title: "Notes".to_owned(),
            upstream: Url::parse(UPSTREAM).unwrap(),
            resource: None,
            whose: Whose::User,
            issuer: None,
            scopes: vec!["read".to_owned()],
            more_scopes: vec!["write".to_owned()],
            client: None,
            signs: false,
            carrier: server.clone(),
        };
        change(&mut settings);
        let runtime = Arc::new(Runs(clock.clone()));
        let connections = another(&store, &ledger, &clock, &server, runtime);
        connections.replace(vec![settings]);
        Self { store, ledger, clock, server, connections }
    }

    /// A second process: it shares the store and nothing else.
    pub(crate) fn second(&self) -> Connections {
        self.process(Arc::new(Runs(self.clock.clone())))
    }

    /// A process that is gone with the task that calls it.
    pub(crate) fn mortal(&self) -> Connections {
        self.process(Arc::new(Dies(Runs(self.clock.clone()))))
    }

    fn process(&self, runtime: Arc<dyn Runtime>) -> Connections {
        let process = another(&self.store, &self.ledger, &self.clock, &self.server, runtime);
        process.replace(self.connections.servers().iter().map(|one| (**one).clone()).collect());
        process
    }

    /// The token endpoint gives no answer until it is let.
    pub(crate) fn hold(&self) {
        self.server.gate.forget_permits(usize::MAX >> 3);
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, holds: impl Fn(&Server) -> bool) {
        while !holds(&self.server) {
            tokio::task::yield_now().await;
        }
    }

    /// Ana connects.
    pub(crate) async fn connect(&self) -> Connection {
        let state = self.begin().await;
        self.finish(&[("state", &state), ("iss", ISSUER), ("code", "c")]).await.unwrap()
    }

    /// Ana sets out; the `state` that she takes along.
    pub(crate) async fn begin(&self) -> String {
        let url = self.connections.begin(&notes(), &visitor(&ana(), &session())).await.unwrap();
        parameter(&url, "state").unwrap()
    }

    /// Ana comes back.
    pub(crate) async fn finish(
        &self,
        answer: &[(&str, &str)],
    ) -> Result<Connection, portunus_connections::ConnectError> {
        self.connections.finish(&notes(), &form(answer), &visitor(&ana(), &session())).await
    }

    pub(crate) async fn stored(&self) -> Connection {
        load::<Connection>(&*self.store, "notes/ana").await.unwrap().unwrap().value
    }

    pub(crate) async fn needs_consent(&self) -> bool {
        matches!(self.stored().await.state, ConnectionState::NeedsConsent { .. })
    }

    /// The access token has ended.
    pub(crate) fn expire(&self) {
        self.clock.advance(Duration::from_secs(LIFE));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn another(
    store: &Arc<MemoryStore>,
    ledger: &Arc<MemoryLedger>,
    clock: &Arc<ManualClock>,
    server: &Arc<Server>,
    runtime: Arc<dyn Runtime>,
) -> Connections {
    Connections::new(Parts {
        store: store.clone(),
        ledger: ledger.clone(),
        clock: clock.clone(),
        rng: Arc::new(CountingRng::default()),
        key: SealingKey::new(Secret::new([7; 32])),
        runtime,
        carrier: server.clone(),
        sign: Arc::new(|claims| data_encoding::BASE64URL_NOPAD.encode(claims)),
        public_url: "https://tools.example.com".to_owned(),
    })
}

pub(crate) fn notes() -> ServerName {
    ServerName::parse("notes").unwrap()
}
pub(crate) fn ana() -> UserName {
    UserName::parse("ana").unwrap()
}
pub(crate) fn bea() -> UserName {
    UserName::parse("bea").unwrap()
}
pub(crate) fn session() -> Digest {
    sha256(&[b"a session"])
}
pub(crate) fn visitor<'a>(user: &'a UserName, session: &'a Digest) -> Visitor<'a> {
    Visitor { user, session, administrator: false }
}
pub(crate) fn form(fields: &[(&str, &str)]) -> Form {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Form::parse(text.as_bytes()).unwrap()
}
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A permit for a call to this server, from an engine that permits everything.
pub(crate) fn permit(of: &str) -> Permit {
    let server = ServerName::parse(of).unwrap();
    let text = "@id(\"all\") permit (principal, action, resource);".to_owned();
    let everything = Source { path: "all.cedar".to_owned(), text };
    let tools = ServerTools {
        classes: Vec::new(),
        server: server.clone(),
        environment: "test".to_owned(),
        owner: "ana".to_owned(),
        tools: Vec::new(),
    };
    let engine = Engine::load(&[everything], &[tools]).unwrap();
    let rng = CountingRng::default();
    let caller = Caller {
        user: ana(),
        groups: Vec::new(),
        client: ClientId::parse("client").unwrap(),
        client_name: "Client".to_owned(),
        grant: mint("grt", NOW, &rng),
        server: server.clone(),
        scopes: Vec::new(),
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", NOW),
        holding: Holding::default(),
    };
    let request = Request {
        decision: mint("dec", NOW, &rng),
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
