//! Thousands of clients and grants: a store filled through its own batches, then an edge started over it and asked over its
//! real ports. Prints what it measures and judges no time, since others may use the machine. With `PORTUNUS_SCALE=full`
//! there are ten thousand clients and a hundred thousand grants; docs/benchmarks.md has the figures.

use crate::app::App;
use crate::http::{Connection, Http, Reply};
use crate::oauth::{Client, REDIRECT, Tokens};
use bytes::Bytes;
use http::Request;
use portunus_core::caller::SignIn;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Grant, RefreshToken, User};
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::limits::BATCH_STEPS;
use portunus_core::store::{Batch, Document, Store};
use portunus_core::time::{Rng, Timestamp};
use portunus_core::token::{self, TokenKind};
use portunus_store::SqliteStore;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Clients, of ten grants each; a tenth as many users.
fn clients() -> usize {
    if std::env::var("PORTUNUS_SCALE").is_ok_and(|scale| scale == "full") { 10_000 } else { 1_000 }
}
/// Requests of each sort, in so many connections at once.
const REQUESTS: usize = 400;
const CONNECTIONS: usize = 4;

/// Repeatable secrets, so that the test can refresh what it stored.
struct Numbered(u64);

impl Rng for Numbered {
    fn fill(&self, bytes: &mut [u8]) {
        for (chunk, block) in bytes.chunks_mut(32).zip(0_u64..) {
            let random = sha256(&[b"scale", &self.0.to_be_bytes(), &block.to_be_bytes()]);
            chunk.copy_from_slice(&random.0[..chunk.len()]);
        }
    }
}

fn refresh_token(grant: usize) -> (String, Digest) {
    let text = token::mint(TokenKind::Refresh, &Numbered(grant as u64));
    (text.expose().clone(), token::digest(TokenKind::Refresh, text.expose()).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the edge that is started later lives in real time")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

fn client_id(n: usize) -> ClientId {
    ClientId::parse(&format!("scale-{n:05}")).unwrap()
}

fn user_name(n: usize) -> UserName {
    UserName::parse(&format!("user-{n:04}@example.com")).unwrap()
}

/// Commits while it collects: what waits together shares one sync of the disk.
struct Filler {
    store: Arc<SqliteStore>,
    batch: Batch,
    documents: usize,
    commits: JoinSet<()>,
}

/// Commits under way at once.
const COMMITS: usize = 16;

impl Filler {
    async fn add<T: Document>(&mut self, document: &T) {
        self.batch = std::mem::take(&mut self.batch).insert(document);
        self.documents += 1;
        if self.batch.writes.len() == BATCH_STEPS {
            self.flush().await;
        }
    }
    async fn flush(&mut self) {
        if self.commits.len() == COMMITS {
            self.commits.join_next().await.unwrap().unwrap();
        }
        let (store, batch) = (self.store.clone(), std::mem::take(&mut self.batch));
        self.commits.spawn(async move {
            store.commit(batch).await.unwrap();
        });
    }
}

/// Fills the store of an edge that is not running: copies of one client and one user, and grants with a refresh token each.
async fn fill(app: &App, template: &str) -> usize {
    let store = Arc::new(SqliteStore::open(app.state().join("portunus.db")).unwrap());
    let load = portunus_core::store::load::<portunus_core::document::Client>(&*store, template).await;
    let client = load.unwrap().unwrap().value;
    let user = portunus_core::store::load::<User>(&*store, "ana").await.unwrap().unwrap().value;
    let mut filler = Filler { store, batch: Batch::new(), documents: 0, commits: JoinSet::new() };
    let now = now();
    let (clients, users, grants) = (clients(), clients() / 10, clients() * 10);
    for n in 0..clients {
        let copy = portunus_core::document::Client {
            client_id: client_id(n),
            agreed_at: Some(now),
            ..client.clone()
        };
        filler.add(&copy).await;
    }
    for n in 0..users {
        filler.add(&User { name: user_name(n), ..user.clone() }).await;
    }
    for n in 0..grants {
        let id = Id::parse(&format!("grt_{n:026}")).unwrap();
        let grant = Grant {
            id: id.clone(),
            user: user_name(n % users),
            client_id: client_id(n % clients),
            client_name: client.name.clone(),
            server: ServerName::parse("echo").unwrap(),
            scopes: vec!["mcp".to_owned()],
            sign_in: SignIn::new("pwd", now),
            created_at: now,
            revoked_at: None,
            revoked_why: None,
            actor: None,
            ends_at: None,
        };
        filler.add(&grant).await;
        let (_text, digest) = refresh_token(n);
        let expires_at = now.plus(Duration::from_secs(86_400));
        let refresh =
            RefreshToken { digest, grant: id, generation: 1, used_at: None, expires_at, bound: None };
        filler.add(&refresh).await;
    }
    filler.flush().await;
    while let Some(committed) = filler.commits.join_next().await {
        committed.unwrap();
    }
    filler.documents
}

/// Resident memory of a process, in kilobytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends the requests over kept connections and prints how long they took.
async fn measure(what: &str, http: &Http, requests: Vec<Request<Bytes>>, check: fn(&Reply)) {
    let mut shares: Vec<Vec<Request<Bytes>>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (index, request) in requests.into_iter().enumerate() {
        shares[index % CONNECTIONS].push(request);
    }
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let http = http.clone();
            tokio::spawn(async move {
                let mut connection: Connection = http.connect(share[0].uri()).await.unwrap();
                let mut times = Vec::new();
                for request in share {
                    let begun = Instant::now();
                    let reply = connection.send(request).await.unwrap();
                    times.push(begun.elapsed());
                    check(&reply);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what}: {} requests, p50 {:.1} ms, p99 {:.1} ms (goal 50 ms)", times.len(), at(50), at(99));
}

fn post_form(url: &str, fields: &[(&str, &str)]) -> Request<Bytes> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    request.body(body.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_and_grants_in_their_thousands_are_served_like_few() {
    let clients = clients();
    let servers = crate::app::server_at("echo", "http://127.0.0.1:9/mcp");
    let mut app = App::serve(&servers, "permit(principal, action, resource);").await;
    let client = Client::discover(&app, "echo").await;
    let mut person = app.person.clone();
    let first = client.tokens(&mut person).await;
    let small = resident(app.pid());
    app.kill();
    let begun = Instant::now();
    let documents = fill(&app, &client.id).await;
    println!("filled with {documents} documents in {:.1} s", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    app.restart().await;
    println!("start: {:.2} s until ready (goal 1 s)", begun.elapsed().as_secs_f64());
    let started = resident(app.pid());

    // Signed in once; then the consent page, again and again.
    let cookie = crate::oauth::sign_in(&client.http, &app.url, &person).await;
    let pages = (0..REQUESTS).map(|n| {
        let id = client_id(n * 17 % clients);
        let url = client.authorization(&[("client_id", id.as_str()), ("redirect_uri", REDIRECT)]);
        Request::get(url).header("cookie", &cookie).body(Bytes::new()).unwrap()
    });
    let allowed =
        |reply: &Reply| assert!(reply.status == 200 && reply.text().contains("allow"), "{}", reply.text());
    measure("authorize", &client.http, pages.collect(), allowed).await;

    let token_url = client.endpoint("token");
    let refreshes = (0..REQUESTS).map(|n| {
        let n = n * 241 % (clients * 10);
        let (text, _digest) = refresh_token(n);
        let id = client_id(n % clients);
        post_form(
            &token_url,
            &[("grant_type", "refresh_token"), ("refresh_token", &text), ("client_id", id.as_str())],
        )
    });
    let given = |reply: &Reply| drop(Tokens::of(reply));
    measure("token", &client.http, refreshes.collect(), given).await;

    let registrations = (0..50).map(|_| {
        let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" }).to_string();
        let request =
            Request::post(client.endpoint("registration")).header("content-type", "application/json");
        request.body(body.into()).unwrap()
    });
    let registered = |reply: &Reply| assert_eq!(reply.status, 201, "{}", reply.text());
    measure("register", &client.http, registrations.collect(), registered).await;
    println!(
        "memory: {:.1} MB with one grant, {:.1} MB after the start over the full store, {:.1} MB after all requests",
        small as f64 / 1000.0,
        started as f64 / 1000.0,
        resident(app.pid()) as f64 / 1000.0
    );

    // One client is put out, with its ten grants among all.
    let begun = Instant::now();
    app.admin(&["client", "block", "scale-00241", "--json"]);
    println!("block: {:.2} s", begun.elapsed().as_secs_f64());
    let (text, _digest) = refresh_token(241 + clients);
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", text.as_str()), ("client_id", "scale-00241")];
    assert_eq!(client.http.post_form(&token_url, &fields).await.json()["error"], "invalid_client");
    // What was there before is still there.
    Tokens::of(&client.refresh(&first.refresh).await);
    app.verify();
}
