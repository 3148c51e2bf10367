//! An edge over in-memory ports, and an upstream that does as it is told.

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::dialer::{Body, BodyError, DialError, Dialer};
use portunus_core::document::{AccessToken, Approval, ApprovalState, Grant, Ruling, Through, User};
use portunus_core::id::{self, ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::limits::ServerLimits;
use portunus_core::record::Record;
use portunus_core::secret::Secret;
use portunus_core::server::{Actor, Server, Upstream};
use portunus_core::store::{self, Batch, Expect, Store};
use portunus_core::testing::{CountingRng, ManualClock, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Timestamp};
use portunus_core::token::{self, TokenKind};
use portunus_edge::metrics::Metrics;
use portunus_edge::ports::ControlPlane;
use portunus_edge::{Edge, Published, Snapshot, assertion, caller, cors, handle, request, route};
use portunus_ledger::redact::Redactor;
use portunus_policy::{Engine, ServerTools, Source, Tool, TrustGroups, defaults};
use portunus_vault::{SealingKey, Vault};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

const POLICIES: &str = r#"
permit (principal, action == Action::"sales/look", resource);
permit (principal, action == Action::"sales/change", resource);
@approvable("owner") @reason("Ask first.")
forbid (principal, action == Action::"sales/change", resource) when { context.arguments has careful } unless { context has approval };
permit (principal, action in [Action::"subscribe", Action::"task"], resource);
"#;

/// How long a call that comes back waits for its approval.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

/// What the upstream does with a request.
pub(crate) type Script = Box<dyn Fn(Request<Body>) -> Result<Response<Body>, DialError> + Send + Sync>;

pub(crate) struct Scripted {
    pub seen: Mutex<usize>,
    script: Mutex<Script>,
}

#[async_trait]
impl Dialer for Scripted {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, DialError> {
        *self.seen.lock().unwrap() += 1;
        (self.script.lock().unwrap())(request)
    }
}

struct Nothing;

#[async_trait]
impl ControlPlane for Nothing {
    async fn serve(&self, _request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let mut answer = Response::new(portunus_core::dialer::empty());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer
    }
}

struct Runs;

#[async_trait]
impl portunus_connections::Runtime for Runs {
    fn spawn(&self, task: futures_util::future::BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl portunus_connections::Carrier for Runs {
    async fn send(
        &self,
        _request: portunus_connections::Outgoing,
    ) -> Result<portunus_connections::Answered, portunus_connections::NoAnswer> {
        Err(portunus_connections::NoAnswer::Unsent {
            host: String::new(),
            why: String::from("nobody is there"),
        })
    }
}

pub(crate) struct World {
    pub edge: Arc<Edge>,
    pub store: Arc<MemoryStore>,
    pub ledger: Arc<MemoryLedger>,
    pub clock: Arc<ManualClock>,
    pub upstream: Arc<Scripted>,
    pub token: String,
    pub grant: Id,
}

pub(crate) fn sales() -> ServerName {
    ServerName::parse("sales").unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::build(vec![Actor::Assistant, Actor::Autonomous], 8).await
    }

    /// With one more policy.
    pub(crate) async fn with_policy(more: &str) -> Self {
        let world = Self::new().await;
        world.reload(more, false);
        world
    }

    /// In front of a server whose definitions must be pinned, with one more policy.
    pub(crate) async fn pinned(more: &str) -> Self {
        let world = Self::with_policy(more).await;
        world.replace(more, true, None);
        world
    }

    /// With another policy more from now on, in front of a server whose definitions must be pinned.
    pub(crate) fn replace_policies(&self, more: &str) {
        self.replace(more, true, None);
    }

    /// What a first sight does: the same policies, checked against the input schema of `change`.
    pub(crate) fn learn(&self, schema: &str) {
        let before = self.edge.snapshot.load_full();
        self.edge.snapshot.store(Arc::new(Snapshot {
            public_url: before.public_url.clone(),
            hosts: before.hosts.clone(),
            origins: before.origins.clone(),
            engine: Arc::new(engine_that_knows("", Some(schema))),
            shadow: None,
            data: before.data.clone(),
            approval_ttl: before.approval_ttl,
            servers: before.servers.clone(),
        }));
    }

    /// With these candidates beside the policies in force.
    pub(crate) fn try_policies(&self, candidates: &str) {
        let engine = Arc::new(engine_with(candidates));
        self.replace("", true, Some(portunus_edge::Candidate { path: "next".to_owned(), engine }));
    }

    fn replace(&self, more: &str, pinned: bool, shadow: Option<portunus_edge::Candidate>) {
        self.reload(more, false);
        let before = self.edge.snapshot.load_full();
        let old = &before.servers[&sales()];
        let published = Published {
            server: old.server.clone(),
            dialer: old.dialer.clone(),
            read_only: old.read_only.clone(),
            takes_secrets: old.takes_secrets.clone(),
            built_in_sql: false,
            sql: HashMap::new(),
            labels: portunus_edge::ToolLabels::default(),
            pinned,
            gives_tasks: old.gives_tasks.clone(),
            mirrors: old.mirrors.clone(),
            lists: old.lists.clone(),
            room: old.room.clone(),
        };
        self.edge.snapshot.store(Arc::new(Snapshot {
            public_url: before.public_url.clone(),
            hosts: before.hosts.clone(),
            origins: before.origins.clone(),
            engine: before.engine.clone(),
            shadow,
            data: before.data.clone(),
            approval_ttl: before.approval_ttl,
            servers: HashMap::from([(sales(), Arc::new(published))]),
        }));
    }

    /// With one more policy, a label that every tool puts on for a long time and one of `look` that falls off after ten minutes.
    pub(crate) async fn labelled(more: &str) -> Self {
        let world = Self::with_policy(more).await;
        let snapshot = world.edge.snapshot.load_full();
        let published = &snapshot.servers[&sales()];
        let put = |label: &str, seconds| [(label.to_owned(), Duration::from_secs(seconds))].into();
        let labels = portunus_edge::ToolLabels {
            all: put("private", 86_400),
            of_tool: [("look".to_owned(), put("untrusted", 600))].into(),
        };
        let published = Published {
            server: published.server.clone(),
            dialer: published.dialer.clone(),
            read_only: published.read_only.clone(),
            takes_secrets: published.takes_secrets.clone(),
            built_in_sql: false,
            sql: HashMap::new(),
            labels,
            gives_tasks: Arc::default(),
            mirrors: Arc::default(),
            pinned: false,
            lists: Arc::default(),
            room: published.room.clone(),
        };
        world.edge.snapshot.store(Arc::new(Snapshot {
            public_url: snapshot.public_url.clone(),
            hosts: snapshot.hosts.clone(),
            origins: snapshot.origins.clone(),
            engine: snapshot.engine.clone(),
            shadow: None,
            data: snapshot.data.clone(),
            approval_ttl: snapshot.approval_ttl,
            servers: HashMap::from([(sales(), Arc::new(published))]),
        }));
        world
    }

    /// With one more policy, and a class of data whose values put a label on for a day.
    pub(crate) async fn with_class_label(class: &str, label: &str, more: &str) -> Self {
        let world = Self::with_policy(more).await;
        let snapshot = world.edge.snapshot.load_full();
        let put = [(label.to_owned(), Duration::from_secs(86_400))].into();
        world.edge.snapshot.store(Arc::new(Snapshot {
            public_url: snapshot.public_url.clone(),
            hosts: snapshot.hosts.clone(),
            origins: snapshot.origins.clone(),
            engine: snapshot.engine.clone(),
            shadow: None,
            data: portunus_edge::shown::DataClasses {
                labels: [(class.to_owned(), put)].into(),
                ..snapshot.data.clone()
            },
            approval_ttl: snapshot.approval_ttl,
            servers: snapshot.servers.clone(),
        }));
        world
    }

    /// In front of the built-in SQL server.
    pub(crate) async fn of_builtin_sql(more: &str) -> Self {
        let world = Self::new().await;
        world.reload(more, true);
        world
    }

    /// What saving another policy file does.
    pub(crate) fn reload(&self, more: &str, built_in_sql: bool) {
        let before = self.edge.snapshot.load_full();
        let old = &before.servers[&sales()];
        let published = Published {
            server: old.server.clone(),
            dialer: old.dialer.clone(),
            read_only: old.read_only.clone(),
            takes_secrets: old.takes_secrets.clone(),
            built_in_sql,
            sql: old.sql.clone(),
            labels: old.labels.clone(),
            gives_tasks: old.gives_tasks.clone(),
            mirrors: old.mirrors.clone(),
            pinned: old.pinned,
            lists: old.lists.clone(),
            room: old.room.clone(),
        };
        self.edge.snapshot.store(Arc::new(Snapshot {
            public_url: before.public_url.clone(),
            hosts: before.hosts.clone(),
            origins: before.origins.clone(),
            engine: Arc::new(engine_with(more)),
            shadow: None,
            data: before.data.clone(),
            approval_ttl: before.approval_ttl,
            servers: HashMap::from([(sales(), Arc::new(published))]),
        }));
    }

    #[expect(clippy::too_many_lines, reason = "one part after another")]
    pub(crate) async fn build(actors: Vec<Actor>, room: usize) -> Self {
        let store = Arc::new(MemoryStore::default());
        let ledger = Arc::new(MemoryLedger::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let rng = Arc::new(CountingRng::default());
        let upstream =
            Arc::new(Scripted { seen: Mutex::new(0), script: Mutex::new(Box::new(|_| Ok(result("done")))) });
        let server = Server {
            name: sales(),
            title: "Sales".into(),
            owner: "olga".into(),
            purpose: "tests".into(),
            environment: "test".into(),
            actors,
            upstream: Upstream::Tunnel,
            credential: None,
            limits: ServerLimits { timeout: Duration::from_secs(60), ..ServerLimits::default() },
            scopes: std::collections::BTreeMap::new(),
        };
        let published = Published {
            built_in_sql: false,
            sql: HashMap::new(),
            labels: portunus_edge::ToolLabels::default(),
            gives_tasks: Arc::default(),
            mirrors: Arc::default(),
            pinned: false,
            lists: Arc::default(),
            read_only: HashSet::from(["look".to_owned()]),
            takes_secrets: HashSet::from(["change".to_owned()]),
            dialer: upstream.clone(),
            room: Arc::new(Semaphore::new(room)),
            server,
        };
        let snapshot = Snapshot {
            public_url: "https://edge.test".into(),
            hosts: route::Hosts::new(&"https://edge.test".parse().unwrap()),
            origins: cors::Origins::new("https://edge.test", &["https://page.test".to_owned()]),
            engine: Arc::new(engine()),
            shadow: None,
            data: portunus_edge::shown::DataClasses::default(),
            approval_ttl: portunus_core::limits::APPROVAL_TTL,
            servers: HashMap::from([(sales(), Arc::new(published))]),
        };
        let shared: Arc<dyn Store> = store.clone();
        let parts = portunus_connections::Parts {
            store: shared.clone(),
            ledger: ledger.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            key: SealingKey::new(Secret::new([9; 32])),
            runtime: Arc::new(Runs),
            carrier: Arc::new(Runs),
            sign: Arc::new(|_claims| String::new()),
            public_url: "https://edge.test".to_owned(),
        };
        let edge = Arc::new(Edge {
            snapshot: ArcSwap::from_pointee(snapshot),
            callers: caller::Callers::new(&*shared, clock.clone()),
            proofs: portunus_oauth::dpop::Guard::new(&[4; 32], false),
            store: shared.clone(),
            ledger: ledger.clone(),
            redactor: Redactor::new(&Secret::new([7; 32])),
            counters: Arc::default(),
            emergencies: portunus_edge::emergencies::Emergencies::new(&*shared),
            pins: Arc::new(portunus_edge::pin::Pins::new(portunus_pins::Lock::default())),
            labels: Arc::new(portunus_edge::labels::Labels::new(shared.clone())),
            uses: Arc::default(),
            observed: portunus_edge::observed::Sightings::default(),
            mask_keys: portunus_edge::mask_key::MaskKeys::new(&[6; 32]),
            approvals: portunus_edge::approval::Desk::new(&*store, PATIENCE),
            vault: Arc::new(Vault::new(shared, SealingKey::new(Secret::new([9; 32])))),
            connections: portunus_connections::Connections::new(parts),
            handles: handle::Handles::new(&[5; 32]),
            signer: assertion::Signer::new(&[3; 32], "https://edge.test").unwrap(),
            clock: clock.clone(),
            rng: rng.clone(),
            shadow: Mutex::default(),
            metrics: Arc::new(Metrics::new()),
            spans: None,
            control: Arc::new(Nothing),
        });
        let (token, grant) = sign_in(&*store, &rng, clock.now()).await;
        Self { edge, store, ledger, clock, upstream, token, grant }
    }

    pub(crate) fn upstream_does(
        &self,
        script: impl Fn(Request<Body>) -> Result<Response<Body>, DialError> + Send + Sync + 'static,
    ) {
        *self.upstream.script.lock().unwrap() = Box::new(script);
    }
    pub(crate) fn sent(&self) -> usize {
        *self.upstream.seen.lock().unwrap()
    }
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.message(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } }))
            .await
    }
    pub(crate) async fn message(&self, message: Value) -> Answer {
        Answer::read(self.send("/sales/mcp", &message).await).await
    }
    pub(crate) async fn send(&self, target: &str, message: &Value) -> Response<Body> {
        let request = self.request("POST", target).body(Full::new(Bytes::from(message.to_string())));
        self.handle(request.unwrap()).await
    }
    pub(crate) fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(target)
            .header("host", "edge.test")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
    }
    pub(crate) async fn handle(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        let peer = "127.0.0.1:9999".parse().unwrap();
        request::handle(self.edge.clone(), peer, request).await.unwrap()
    }
    /// What `grant revoke` does, as far as the edge sees it.
    pub(crate) async fn revoke(&self) {
        let found = store::load::<Grant>(&*self.store, self.grant.as_str()).await.unwrap().unwrap();
        let revoked = Grant { revoked_at: Some(self.clock.now()), ..found.value };
        self.store.commit(Batch::new().update(&revoked, found.version)).await.unwrap();
    }
    /// Makes the caller somebody else.
    pub(crate) async fn rename_user(&self, name: &str) {
        let user = store::load::<User>(&*self.store, "ana").await.unwrap().unwrap().value;
        let grant = store::load::<Grant>(&*self.store, self.grant.as_str()).await.unwrap().unwrap();
        let user = User { name: UserName::parse(name).unwrap(), ..user };
        let changed = Grant { user: user.name.clone(), ..grant.value };
        self.store.commit(Batch::new().insert(&user).update(&changed, grant.version)).await.unwrap();
    }
    pub(crate) async fn token_lasts(&self, span: Duration) {
        let digest = token::digest(TokenKind::Access, &self.token).unwrap();
        let found = store::load::<AccessToken>(&*self.store, &digest.hex()).await.unwrap().unwrap();
        let longer = AccessToken { expires_at: self.clock.now().plus(span), ..found.value };
        self.store.commit(Batch::new().update(&longer, found.version)).await.unwrap();
    }
    /// Its time is over, and the store was swept.
    pub(crate) async fn purge_token(&self) {
        let digest = token::digest(TokenKind::Access, &self.token).unwrap();
        let found = store::load::<AccessToken>(&*self.store, &digest.hex()).await.unwrap().unwrap();
        self.clock.advance(found.value.expires_at.since(self.clock.now()) + Duration::from_secs(1));
        self.store.commit(Batch::new().delete::<AccessToken>(&digest.hex(), Expect::Any)).await.unwrap();
    }
    pub(crate) async fn approve(&self, id: &str) {
        let found = store::load::<Approval>(&*self.store, id).await.unwrap().unwrap();
        let allowed =
            Approval { state: ApprovalState::Allowed, decided_by: Some("olga".into()), ..found.value };
        self.store.commit(Batch::new().update(&allowed, found.version)).await.unwrap();
    }
    /// As if nobody had decided.
    pub(crate) async fn pending_again(&self, id: &str) {
        let found = store::load::<Approval>(&*self.store, id).await.unwrap().unwrap();
        let pending = Approval { state: ApprovalState::Pending, decided_by: None, ..found.value };
        self.store.commit(Batch::new().update(&pending, found.version)).await.unwrap();
    }
    /// Puts labels on the caller's session.
    pub(crate) async fn label(&self, put: &portunus_edge::labels::Put) {
        let grant = store::load::<Grant>(&*self.store, self.grant.as_str()).await.unwrap().unwrap().value;
        let caller = Caller {
            user: grant.user,
            groups: Vec::new(),
            client: grant.client_id,
            client_name: grant.client_name,
            grant: grant.id,
            server: grant.server,
            scopes: grant.scopes,
            actor: Actor::Assistant,
            sign_in: grant.sign_in,
            holding: Holding::default(),
        };
        self.edge.labels.put(&caller, put, self.clock.now()).await.unwrap();
    }
    /// Somebody says no.
    pub(crate) async fn deny(&self, id: &str, reason: &str) {
        let found = store::load::<Approval>(&*self.store, id).await.unwrap().unwrap();
        let ruling = Ruling {
            by: "olga".into(),
            allow: false,
            through: Through::Page,
            as_administrator: false,
            reason: Some(reason.into()),
            at: self.clock.now(),
        };
        let denied = Approval { state: ApprovalState::Denied, rulings: vec![ruling], ..found.value };
        self.store.commit(Batch::new().update(&denied, found.version)).await.unwrap();
    }
    pub(crate) async fn approvals(&self) -> Vec<Approval> {
        let all = store::list_all::<Approval>(&*self.store, None).await.unwrap();
        all.into_iter().map(|entry| entry.value).collect()
    }
    pub(crate) fn ends(&self) -> Vec<String> {
        let records = self.ledger.records();
        let ends = records.iter().filter_map(|record| match record {
            Record::Outcome(outcome) => Some(format!("{:?}", outcome.end)),
            _ => None,
        });
        ends.collect()
    }
}

fn engine() -> Engine {
    engine_with("")
}

fn engine_with(more: &str) -> Engine {
    engine_that_knows(more, None)
}

/// With this input schema of `change`.
fn engine_that_knows(more: &str, change: Option<&str>) -> Engine {
    let tool = |name: &str, groups| Tool { name: name.into(), groups, input_schema: None };
    let schema = r#"{"type":"object","required":["sql"],"properties":{"sql":{"type":"string"},"limit":{"type":"integer"}}}"#;
    let query = Tool { input_schema: Some(schema.to_owned()), ..tool("query", TrustGroups::CAUTIOUS) };
    let change = Tool { input_schema: change.map(str::to_owned), ..tool("change", TrustGroups::CAUTIOUS) };
    let tools = ServerTools {
        classes: portunus_edge::shown::class_names([]),
        server: sales(),
        environment: "test".into(),
        owner: "olga".into(),
        tools: vec![tool("look", TrustGroups::READ), change, query],
    };
    let source = Source { path: "test.cedar".into(), text: format!("{POLICIES}{more}") };
    Engine::load(&[defaults::source(), source], &[tools]).unwrap()
}

async fn sign_in(store: &dyn Store, rng: &CountingRng, now: Timestamp) -> (String, Id) {
    let name = UserName::parse("ana").unwrap();
    let user = User {
        name: name.clone(),
        display_name: "Ana".into(),
        groups: vec![GroupName::parse("analysts").unwrap()],
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at: None,
        issuer: None,
        created_at: now,
    };
    let grant = Grant {
        id: id::mint("grt", now, rng),
        user: name,
        client_id: ClientId::parse("test-client").unwrap(),
        client_name: "Test".into(),
        server: sales(),
        scopes: vec!["mcp".into()],
        sign_in: SignIn::new("pwd", now),
        created_at: now,
        revoked_at: None,
        revoked_why: None,
        actor: None,
        ends_at: None,
    };
    let text = token::mint(TokenKind::Access, rng);
    let access = AccessToken {
        digest: token::digest(TokenKind::Access, text.expose()).unwrap(),
        grant: grant.id.clone(),
        server: sales(),
        scopes: vec!["mcp".into()],
        expires_at: now.plus(Duration::from_secs(900)),
        holding: Holding::default(),
    };
    store.commit(Batch::new().insert(&user).insert(&grant).insert(&access)).await.unwrap();
    (text.expose().clone(), grant.id)
}

/// An answer read whole; `body` is null when the answer broke off.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match response.into_body().collect().await {
            Ok(whole) => serde_json::from_slice(&whole.to_bytes()).unwrap_or(Value::Null),
            Err(_) => Value::Null,
        };
        Self { status, headers, body }
    }
    pub(crate) fn code(&self) -> i64 {
        self.body["error"]["code"].as_i64().unwrap_or_default()
    }
}

/// A JSON answer of this text.
pub(crate) fn result(text: &str) -> Response<Body> {
    json_answer(
        &json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [{ "type": "text", "text": text }] } }),
    )
}

pub(crate) fn json_answer(value: &Value) -> Response<Body> {
    let body = portunus_core::dialer::full(Bytes::from(value.to_string()));
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// An event stream fed from outside.
pub(crate) fn events() -> (mpsc::UnboundedSender<Result<Bytes, BodyError>>, Response<Body>) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Result<Bytes, BodyError>>();
    let frames = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|next| next.map(|piece| piece.map(http_body::Frame::data)))
    });
    let body = Body::new(StreamBody::new(frames));
    (sender, Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
}
