//! A small world for the tests of this crate: one user, two servers, one public client with a loopback redirect, and a
//! store that lets others run between any two steps.

use crate::authorize;
use crate::client::{self, DocumentFetcher, FetchError, Fetched};
use crate::config::Issuer;
use crate::dpop::Guard;
use crate::endpoint;
use crate::error::OAuthError;
use crate::form::Form;
use crate::password;
use crate::ports::Ports;
use crate::registration::Registration;
use crate::token::{self, Issued};
use async_trait::async_trait;
use portunus_core::caller::SignIn;
use portunus_core::digest::sha256;
use portunus_core::document::{Client, User};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits::ServerLimits;
use portunus_core::server::{Actor, Server, Upstream};
use portunus_core::store::{Batch, Entry, Kind, Observer, Query, Store, StoreError};
use portunus_core::testing::{CountingRng, ManualClock, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Timestamp};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use url::Url;

pub(crate) const PASSWORD: &str = "a harbour and a key";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:5000/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD, &CountingRng::default()).unwrap());

pub(crate) fn server(name: &str) -> Server {
    Server {
        name: ServerName::parse(name).unwrap(),
        title: format!("The {name} database"),
        owner: "ana@example.com".to_owned(),
        purpose: "Questions".to_owned(),
        environment: "test".to_owned(),
        actors: vec![Actor::Assistant],
        upstream: Upstream::Tunnel,
        credential: None,
        limits: ServerLimits::default(),
        scopes: [("rows:write".to_owned(), "Change rows".to_owned())].into(),
    }
}

pub(crate) fn issuer() -> Issuer {
    let url = Url::parse("https://tools.example.com").unwrap();
    Issuer::new(&url, vec![server("sales"), server("hr")]).unwrap()
}

/// Everything that yields before each operation, so that concurrent requests really interleave.
#[derive(Default)]
pub(crate) struct YieldingStore(pub(crate) MemoryStore);

#[async_trait]
impl Store for YieldingStore {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError> {
        tokio::task::yield_now().await;
        self.0.get(kind, id).await
    }
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError> {
        tokio::task::yield_now().await;
        self.0.list(kind, query).await
    }
    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        self.0.count(kind).await
    }
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        tokio::task::yield_now().await;
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

/// Serves documents from a table and counts how often it is asked.
#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) served: Mutex<HashMap<String, Fetched>>,
    pub(crate) asked: Mutex<u32>,
}

#[async_trait]
impl DocumentFetcher for Documents {
    async fn fetch(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        *self.asked.lock().unwrap() += 1;
        let served = self.served.lock().unwrap().get(url.as_str()).cloned();
        served.filter(|fetched| fetched.bytes.len() <= longest).ok_or(FetchError::Unreachable)
    }
}

pub(crate) struct World {
    pub(crate) store: YieldingStore,
    pub(crate) ledger: MemoryLedger,
    pub(crate) rng: CountingRng,
    pub(crate) clock: ManualClock,
    pub(crate) issuer: Issuer,
    pub(crate) documents: Documents,
    pub(crate) guard: Guard,
    pub(crate) ana: User,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_secs(1_795_000_000));
        let ana = User {
            name: UserName::parse("ana").unwrap(),
            display_name: "Ana".to_owned(),
            groups: vec![],
            password_hash: Some(HASH.clone()),
            one_time_password: false,
            administrator: false,
            disabled_at: None,
            issuer: None,
            created_at: clock.now(),
        };
        let (store, ledger, rng) =
            (YieldingStore::default(), MemoryLedger::default(), CountingRng::default());
        store.commit(Batch::new().insert(&ana)).await.unwrap();
        let ports = Ports { store: &store, ledger: &ledger, rng: &rng, now: clock.now() };
        let body = serde_json::json!({
            "client_name": "Inspector", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", crate::device::GRANT_TYPE],
        });
        let client = client::register(&ports, &Registration::default(), body.to_string().as_bytes())
            .await
            .unwrap()
            .client;
        let documents = Documents::default();
        Self {
            store,
            ledger,
            rng,
            clock,
            issuer: issuer(),
            documents,
            guard: Guard::new(&[1; 32], false),
            ana,
            client,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn ports(&self) -> Ports<'_> {
        Ports { store: &self.store, ledger: &self.ledger, rng: &self.rng, now: self.now() }
    }

    pub(crate) fn sign_in(&self) -> SignIn {
        SignIn::new("pwd", self.now())
    }

    /// The parameters of a sound authorization request.
    pub(crate) fn request(&self) -> Vec<(&'static str, String)> {
        let challenge = data_encoding::BASE64URL_NOPAD.encode(&sha256(&[VERIFIER.as_bytes()]).0);
        vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.client.client_id.to_string()),
            ("redirect_uri", REDIRECT.to_owned()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
            ("resource", "https://tools.example.com/sales/mcp".to_owned()),
            ("state", "xyz".to_owned()),
        ]
    }

    pub(crate) async fn read(
        &self,
        parameters: &[(&str, String)],
    ) -> Result<authorize::Request, authorize::Rejected> {
        authorize::read(&self.ports(), &self.issuer, &self.documents, &encode(parameters)).await
    }

    /// A code that the user agreed to just now.
    pub(crate) async fn code(&self) -> String {
        let request = self.read(&self.request()).await.unwrap();
        let location = authorize::approve(&self.ports(), &self.issuer, &request, &self.ana, &self.sign_in())
            .await
            .unwrap();
        parameter(&location, "code").unwrap()
    }

    pub(crate) fn redemption(&self, code: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", REDIRECT.to_owned()),
            ("client_id", self.client.client_id.to_string()),
            ("code_verifier", VERIFIER.to_owned()),
            ("resource", "https://tools.example.com/sales/mcp".to_owned()),
        ]
    }

    pub(crate) fn refreshing(&self, token: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.to_owned()),
            ("client_id", self.client.client_id.to_string()),
        ]
    }

    pub(crate) async fn token(&self, parameters: &[(&str, String)]) -> Result<Issued, OAuthError> {
        let form = Form::parse(encode(parameters).as_bytes()).unwrap();
        token::respond(&self.ports(), &self.request_of(&form, None)).await
    }

    /// A request of a client to an endpoint.
    pub(crate) fn request_of<'a>(
        &'a self,
        form: &'a Form,
        authorization: Option<&'a str>,
    ) -> endpoint::Request<'a> {
        let keys = endpoint::Keys { dpop: None, certificate: None, guard: &self.guard };
        let (issuer, fetcher) = (&self.issuer, &self.documents);
        endpoint::Request { issuer, fetcher, trusted: fetcher, form, authorization, keys }
    }

    /// Tokens that the user agreed to just now.
    pub(crate) async fn tokens(&self) -> Issued {
        self.token(&self.redemption(&self.code().await)).await.unwrap()
    }
}

/// The same parameters with one of them changed, added, or (`None`) left out.
pub(crate) fn with<'a>(
    parameters: &[(&'a str, String)],
    name: &'a str,
    value: Option<&str>,
) -> Vec<(&'a str, String)> {
    let mut changed: Vec<_> = parameters.iter().filter(|(n, _)| *n != name).cloned().collect();
    changed.extend(value.map(|value| (name, value.to_owned())));
    changed
}

pub(crate) fn encode(parameters: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

pub(crate) fn parameter(location: &str, name: &str) -> Option<String> {
    let query = location.split_once('?')?.1;
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name);
    found.map(|(_, value)| value.into_owned())
}
