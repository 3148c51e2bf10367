//! One control plane over in-memory ports, a browser with a cookie jar, and a client that asks for tokens.

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use portunus_connections::{Answered, Carrier, Connections, NoAnswer, Outgoing};
use portunus_core::document::{Client, User};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits::ServerLimits;
use portunus_core::secret::Secret;
use portunus_core::server::{Actor, Server, Upstream};
use portunus_core::store::{Batch, Store, load};
use portunus_core::testing::{CountingRng, ManualClock, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Timestamp};
use portunus_oauth::client::{DocumentFetcher, FetchError, Fetched};
use portunus_oauth::config::Issuer;
use portunus_oauth::dpop::Guard;
use portunus_oauth::passkey::ceremony::ChallengeKey;
use portunus_oauth::password;
use portunus_vault::SealingKey;
use portunus_web::approvals::webhook::Courier;
use portunus_web::connections::TokioRuntime;
use portunus_web::{Login, Parts, State, admin_router, jwks, router, serve};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use url::Url;

pub(crate) const ISSUER: &str = "https://tools.example.com";
pub(crate) const RESOURCE: &str = "https://tools.example.com/sales/mcp";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:5000/callback";
pub(crate) const PASSWORD: &str = "a harbour and a key";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// S256 of [`VERIFIER`] (RFC 7636 appendix B).
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD, &CountingRng::default()).unwrap());

struct Nowhere;

#[async_trait]
impl DocumentFetcher for Nowhere {
    async fn fetch(&self, _url: &Url, _longest: usize) -> Result<Fetched, FetchError> {
        Err(FetchError::Unreachable)
    }
}

#[async_trait]
impl Carrier for Nowhere {
    async fn send(&self, _request: Outgoing) -> Result<Answered, NoAnswer> {
        Err(NoAnswer::Unsent { host: String::new(), why: "nobody is there".to_owned() })
    }
}

/// Takes webhooks, and answers them as it is told.
#[derive(Default)]
pub(crate) struct Postbox {
    pub(crate) taken: Mutex<Vec<(Url, HeaderMap, Bytes)>>,
    pub(crate) failures: Mutex<usize>,
}

#[async_trait]
impl Courier for Postbox {
    async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<StatusCode, FetchError> {
        self.taken.lock().unwrap().push((url.clone(), headers, body));
        let mut failures = self.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(StatusCode::NO_CONTENT);
        }
        *failures -= 1;
        Ok(StatusCode::BAD_GATEWAY)
    }
}

pub(crate) struct App {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) state: State,
    pub(crate) courier: Arc<Postbox>,
    public: Router,
    admin: Router,
    /// A public client that registered.
    pub(crate) client: String,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no location: {} {}", self.status, self.body))
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }
    /// A parameter of the location's query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location()).unwrap();
        url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
    /// The value of a hidden field of the page.
    pub(crate) fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        // The last one: the header's sign-out form comes first.
        let (_, rest) =
            self.body.rsplit_once(&marker).unwrap_or_else(|| panic!("no field {name}: {}", self.body));
        let value = rest.split('"').next().unwrap();
        ["&#38;/&", "&#34;/\"", "&#39;/'", "&#60;/<", "&#62;/>"].iter().fold(
            value.to_owned(),
            |text, pair| {
                let (entity, plain) = pair.split_once('/').unwrap();
                text.replace(entity, plain)
            },
        )
    }
}

fn server(name: &str, title: &str) -> Server {
    Server {
        name: ServerName::parse(name).unwrap(),
        title: title.to_owned(),
        owner: "olga@example.com".to_owned(),
        purpose: "Quarterly questions".to_owned(),
        environment: "production".to_owned(),
        actors: vec![Actor::Assistant],
        upstream: Upstream::Tunnel,
        credential: None,
        limits: ServerLimits::default(),
        scopes: [("rows:write".to_owned(), "Change rows".to_owned())].into(),
    }
}

impl App {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let (store, ledger) = (Arc::new(MemoryStore::default()), Arc::new(MemoryLedger::default()));
        let courier = Arc::new(Postbox::default());
        let servers = vec![server("sales", "Sales database"), server("hr", "People <b>& more</b>")];
        let issuer = Issuer::new(&Url::parse(ISSUER).unwrap(), servers).unwrap();
        let state = State::new(Parts {
            store: store.clone(),
            ledger: ledger.clone(),
            clock: clock.clone(),
            rng: Arc::new(CountingRng::default()),
            issuer: Arc::new(ArcSwap::from_pointee(issuer)),
            fetcher: Arc::new(Nowhere),
            trusted: Arc::new(Nowhere),
            courier: courier.clone(),
            dpop: Guard::new(&[1; 32], false),
            challenges: ChallengeKey::new(&[1; 32]),
            connections: Connections::new(portunus_connections::Parts {
                store: store.clone(),
                ledger: ledger.clone(),
                clock: clock.clone(),
                rng: Arc::new(CountingRng::default()),
                key: SealingKey::new(Secret::new([9; 32])),
                runtime: Arc::new(TokioRuntime),
                carrier: Arc::new(Nowhere),
                sign: Arc::new(|_claims| String::new()),
                public_url: ISSUER.to_owned(),
            }),
            login: Login::local(),
            seal: Arc::new(|payload| format!("signed {}", String::from_utf8_lossy(payload))),
            jwks: jwks(&[7; 32]),
        });
        let (public, admin) = (router(state.clone()), admin_router(state.clone()));
        let client = String::new();
        let mut app = Self { store, ledger, clock, state, courier, public, admin, client };
        app.add_user("ana", false).await;
        app.add_user("olga", true).await;
        let grants = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
        app.client = app.register(json!({ "grant_types": grants })).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        app
    }

    pub(crate) async fn add_user(&self, name: &str, administrator: bool) {
        let user = User {
            name: UserName::parse(name).unwrap(),
            display_name: format!("{name} <i>"),
            groups: vec![],
            password_hash: Some(HASH.clone()),
            one_time_password: false,
            administrator,
            disabled_at: None,
            issuer: None,
            created_at: self.clock.now(),
        };
        self.store.commit(Batch::new().upsert(&user)).await.unwrap();
    }

    pub(crate) async fn set_user(&self, name: &str, change: impl FnOnce(&mut User)) {
        let mut user = load::<User>(&*self.store, name).await.unwrap().unwrap().value;
        change(&mut user);
        self.store.commit(Batch::new().upsert(&user)).await.unwrap();
    }

    pub(crate) async fn set_client_name(&self, name: &str) {
        let mut client = load::<Client>(&*self.store, &self.client).await.unwrap().unwrap().value;
        name.clone_into(&mut client.name);
        self.store.commit(Batch::new().upsert(&client)).await.unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        self.send_from("192.0.2.1", request).await
    }

    pub(crate) async fn send_from(&self, address: &str, request: Request<Body>) -> Reply {
        use http_body_util::BodyExt;
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let peer = format!("{address}:40000").parse().unwrap();
        read(serve(&self.public, request, peer).await.map(Body::new)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// A form post as a client (not a browser) sends it.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(form(path, fields)).await
    }

    pub(crate) async fn register(&self, changes: Value) -> Reply {
        let mut body = json!({ "client_name": "Inspector", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let request = Request::post("/oauth/register").header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// The query of a sound authorization request, with changes.
    pub(crate) fn query(&self, changes: &[(&str, Option<&str>)]) -> String {
        let mut parameters = BTreeMap::from([
            ("response_type", "code"),
            ("client_id", self.client.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("state", "xyz"),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => parameters.insert(name, value),
                None => parameters.remove(name),
            };
        }
        encode(&parameters.into_iter().collect::<Vec<_>>())
    }

    pub(crate) async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Reply {
        let mut fields = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", self.client.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ]);
        fields.extend(changes.iter().copied());
        self.post("/oauth/token", &fields.into_iter().collect::<Vec<_>>()).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &self.client)];
        self.post("/oauth/token", &fields).await
    }

    /// Signs in, agrees and redeems: access and refresh token of a user.
    pub(crate) async fn tokens(&self, user: &str) -> (String, String) {
        let mut browser = Browser::of(self);
        browser.sign_in(user).await;
        let code = browser.agree().await;
        let tokens = self.exchange(&code, &[]).await.json();
        let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned();
        (text("access_token"), text("refresh_token"))
    }

    pub(crate) async fn is_good(&self, access_token: &str) -> bool {
        portunus_oauth::resolve::resolve(&*self.store, self.clock.now(), access_token).await.is_ok()
    }

    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> Reply {
        use tower::ServiceExt;
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
        read(self.admin.clone().oneshot(request).await.unwrap()).await
    }
}

async fn read(response: http::Response<Body>) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A person's browser: keeps cookies, says where forms come from.
pub(crate) struct Browser<'a> {
    app: &'a App,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) address: &'static str,
}

impl<'a> Browser<'a> {
    pub(crate) fn of(app: &'a App) -> Self {
        Self { app, cookies: BTreeMap::new(), address: "192.0.2.7" }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(Request::get(path).header(header::ACCEPT, "text/html").body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut request = form(path, fields);
        request.headers_mut().insert(header::ORIGIN, ISSUER.parse().unwrap());
        request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Reply {
        if !self.cookies.is_empty() {
            let line: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, line.join("; ").parse().unwrap());
        }
        let reply = self.app.send_from(self.address, request).await;
        for line in reply.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = line.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// Tries a name and password on the page at `path`.
    pub(crate) async fn try_sign_in(&mut self, path: &str, user: &str, password: &str) -> Reply {
        let page = self.get(path).await;
        let (csrf, next) = (page.field("csrf"), page.field("next"));
        let fields = [("csrf", csrf.as_str()), ("next", &next), ("username", user), ("password", password)];
        self.post("/login", &fields).await
    }

    pub(crate) async fn sign_in(&mut self, user: &str) {
        let reply = self.try_sign_in("/console/", user, PASSWORD).await;
        assert_eq!((reply.status, reply.location()), (StatusCode::SEE_OTHER, "/console/"), "{}", reply.body);
    }

    /// The consent page of a sound request.
    pub(crate) async fn consent_page(&mut self) -> Reply {
        let page = self.get(&format!("/oauth/authorize?{}", self.app.query(&[]))).await;
        assert_eq!(page.status, StatusCode::OK);
        page
    }

    pub(crate) async fn decide(&mut self, page: &Reply, decision: &str) -> Reply {
        let (csrf, request) = (page.field("csrf"), page.field("request"));
        self.post("/oauth/authorize", &[("csrf", &csrf), ("request", &request), ("decision", decision)]).await
    }

    /// Says yes to a sound request and returns the code.
    pub(crate) async fn agree(&mut self) -> String {
        let page = self.consent_page().await;
        self.decide(&page, "allow").await.parameter("code").unwrap()
    }
}

pub(crate) fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(encode(fields).into())
        .unwrap()
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
