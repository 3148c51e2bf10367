//! Portunus as an OAuth client, against a real authorization server (npm `oidc-provider`, with rotating refresh tokens) and
//! an MCP server behind it.

mod process;
mod shared;

use crate::app::{App, free_port, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::browser::{Browser, Page};
use crate::clients;
use crate::http::{Http, Reply, call, modern_call};
use bytes::Bytes;
use http::Request;
use process::{CALLS, Process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CONNECT_NEEDED: i64 = -32015;
const OWN_PASSWORD: &str = "An own pass phrase, 42";

/// An edge with the server `notes`, which wants tokens of an authorization server beside it.
struct World {
    app: App,
    notes: Notes,
    token: String,
}

/// The MCP server and its authorization server; killed when dropped.
struct Notes {
    child: Child,
    url: String,
}

impl World {
    /// `server` is what the authorization server is made of, besides its port.
    async fn start(server: Value) -> Self {
        Self::with("", |_app| server).await
    }

    /// The same with more about the client, and an authorization server that knows the edge.
    async fn with(client: &str, server: impl FnOnce(&App) -> Value) -> Self {
        let port = free_port();
        let oauth =
            &format!("{{ oauth: {{ scopes: ['notes:read'], more_scopes: ['notes:write']{client} }} }}");
        let place = format!("url: \"http://127.0.0.1:{port}/mcp\"");
        let entry = server_with("notes", &place, oauth) + "    title: Notes\n";
        let app = App::serve(&entry, PERMIT_ALL).await;
        let token = app.token("notes");
        let notes = Notes::start(&app, port, server(&app));
        Self { app, notes, token }
    }

    async fn call(&self, tool: &str) -> Reply {
        let request = call(&self.app.mcp_url("notes"), &self.token, tool, &json!({}));
        self.app.http().send(request).await.unwrap()
    }

    fn page(&self) -> String {
        format!("{}/connections/notes", self.app.url)
    }

    /// A browser in which this person is signed in; it is their first time.
    async fn browser(&self, user: &str, password: &str) -> Browser {
        let mut browser = Browser::new(&self.app);
        let page = browser.get(&format!("{}/console/", self.app.url)).await;
        let page = browser.submit(&page, "/login", &[("username", user), ("password", password)]).await;
        let own = [
            ("current_password", password),
            ("new_password", OWN_PASSWORD),
            ("repeat_password", OWN_PASSWORD),
        ];
        let page = browser.submit(&page, "/account/password", &own).await;
        assert!(page.text().contains("Your access"), "{}", page.text());
        browser
    }

    async fn anas(&self) -> Browser {
        self.browser("ana", &self.app.person.password).await
    }

    async fn connect(&self, browser: &mut Browser) -> Page {
        let page = browser.get(&self.page()).await;
        browser.submit(&page, "/connections/notes", &[("do", "connect")]).await
    }
}

impl Notes {
    fn start(app: &App, port: u16, mut server: Value) -> Self {
        server["port"] = port.into();
        let mut command = Command::new(clients::node());
        command
            .arg(clients::directory().join("authorization-server.mjs"))
            .env("SERVER", server.to_string())
            .env("NODE_EXTRA_CA_CERTS", app.ca_file())
            .env("NODE_NO_WARNINGS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("run tests/clients/setup.sh");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }

    /// Changes how it behaves; what it has seen.
    async fn control(&self, change: Value) -> Value {
        Http::plain().post_json(&format!("{}/control", self.url), &change).await.json()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_done(reply: &Reply, tool: &str) {
    assert_eq!(reply.json()["result"]["content"][0]["text"], format!("done {tool}"), "{}", reply.text());
}

#[tokio::test]
async fn a_user_connects_agrees_to_more_and_disconnects() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({})).await;
    // Nothing is connected: the client is told where to.
    let told = world.call("look").await;
    assert_eq!(told.error_code(), Some(CONNECT_NEEDED), "{}", told.text());
    assert_eq!(told.json()["error"]["data"]["url"], world.page());
    assert_eq!(world.notes.control(json!({})).await["calls"], json!([]));
    // A consent, with PKCE and the resource.
    let mut browser = world.anas().await;
    let page = world.connect(&mut browser).await;
    assert_eq!(page.url.as_str(), world.page(), "{}", page.text());
    assert!(page.text().contains("<h2 id=\"state\">connected</h2>"), "{}", page.text());
    is_done(&world.call("look").await, "look");
    let seen = world.notes.control(json!({})).await;
    assert_eq!(seen["calls"][0]["sub"], "ana-at-notes");
    assert_eq!(seen["calls"][0]["scope"], "notes:read");
    let asked = seen["asked"][0].as_str().unwrap();
    assert!(asked.contains("code_challenge_method=S256") && asked.contains("resource=http"), "{asked}");
    let records = world.app.records();
    let intent = records.iter().rfind(|record| record["kind"] == "intent").unwrap();
    assert_eq!(intent["connection"], json!({ "identity": "connection:notes/ana", "generation": 1 }));

    // A token that the server has forgotten is renewed once, and the call goes on.
    until_renewable().await;
    world.notes.control(json!({ "forget": true })).await;
    is_done(&world.call("look").await, "look");
    let seen = world.notes.control(json!({})).await;
    assert_eq!((seen["refreshed"].as_u64(), &seen["errors"]), (Some(1), &json!({})));
    assert!(world.app.records().iter().any(|record| record["action"] == "call.sent_again"));

    // A call that needs more: its user agrees to it, and nothing else was lost meanwhile.
    let told = world.call("write").await;
    assert_eq!(told.error_code(), Some(CONNECT_NEEDED), "{}", told.text());
    assert_eq!(told.json()["error"]["data"]["scopes"], json!(["notes:write"]));
    is_done(&world.call("look").await, "look");
    let page = browser.get(&world.page()).await;
    assert!(page.text().contains("The server asks for more:"), "{}", page.text());
    world.connect(&mut browser).await;
    is_done(&world.call("write").await, "write");
    // What the configuration does not allow is never asked for.
    let refused = world.call("admin").await;
    assert_eq!(refused.error_code(), Some(-32012), "{}", refused.text());

    // It is one of the identities that are no people.
    let listed = world.app.admin(&["cred", "list", "--json"]);
    let listed = listed["identities"].as_array().unwrap().clone();
    let own = listed.iter().find(|one| one["id"] == "connection:notes/ana").unwrap();
    assert_eq!((&own["owner"], &own["standing"]), (&json!("ana"), &json!("active")));
    assert_eq!(own["scopes"], json!(["notes:read", "notes:write"]));

    // Disconnecting ends it there, which is tried.
    let page = browser.get(&world.page()).await;
    let page = browser.submit(&page, "/connections/notes", &[("do", "disconnect")]).await;
    assert!(page.text().contains("tried, and is dead"), "{}", page.text());
    assert_eq!(world.call("look").await.error_code(), Some(CONNECT_NEEDED));
    nothing_leaks(&world).await;
}

/// A renewal just after another one is not asked for.
async fn until_renewable() {
    tokio::time::sleep(portunus_core::limits::REFRESH_PAUSE).await;
}

/// No token that was ever given is in a file, as it is or in the log or the ledger.
async fn nothing_leaks(world: &World) {
    let given = world.notes.control(json!({})).await["given"].clone();
    let given: Vec<&str> = given.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(given.len() >= 4, "{given:?}");
    let mut directories = vec![world.app.dir().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            for token in &given {
                let found = bytes.windows(token.len()).any(|part| part == token.as_bytes());
                assert!(!found, "a token is in {}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn an_authorization_server_that_knows_metadata_documents_fetches_ours() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({ "documents": true, "registration": false })).await;
    let page = world.connect(&mut world.anas().await).await;
    assert_eq!(page.url.as_str(), world.page(), "{}", page.text());
    is_done(&world.call("look").await, "look");
    let seen = world.notes.control(json!({})).await;
    assert_eq!(seen["calls"][0]["client"], format!("{}/oauth/clients/notes", world.app.url));
}

#[tokio::test]
async fn a_modern_client_is_sent_to_the_page_and_its_call_goes_on_from_there() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({})).await;
    let mut browser = world.anas().await;
    let ask = |more: Value| {
        let mut request = modern_call(&world.app.mcp_url("notes"), &world.token, "look", &json!({}));
        let mut body: Value = serde_json::from_slice(request.body()).unwrap();
        body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({ "elicitation": { "url": {} } });
        body["params"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        *request.body_mut() = Bytes::from(body.to_string());
        request
    };
    let told = world.app.http().send(ask(json!({}))).await.unwrap().json();
    let question = &told["result"]["inputRequests"]["portunus.connection"];
    assert_eq!(question["params"]["url"], world.page(), "{told}");
    let resumed = ask(json!({
        "requestState": told["result"]["requestState"],
        "inputResponses": { "portunus.connection": { "action": "accept" } },
    }));
    // It comes back before its user has said yes: it waits for them.
    let http = world.app.http();
    let waiting = tokio::spawn(async move { http.send(resumed).await.unwrap() });
    let page = world.connect(&mut browser).await;
    assert_eq!(page.url.as_str(), world.page(), "{}", page.text());
    is_done(&waiting.await.unwrap(), "look");
}

/// Whoever is lured to somebody else's answer connects nothing, neither for themselves nor for them; an answer that names
/// another authorization server is not redeemed.
#[tokio::test]
async fn an_answer_is_good_in_the_browser_that_set_out_and_from_the_server_it_was_sent_to() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({})).await;
    let bea = world.app.admin(&["user", "add", "bea", "--json"])["password"].as_str().unwrap().to_owned();
    let (mut ana, mut bea) = (world.anas().await, world.browser("bea", &bea).await);
    // Ana sets out; her answer is brought back by Bea.
    let page = ana.get(&world.page()).await;
    let sent = ana.send(crate::browser::submission(&page, "/connections/notes", &[("do", "connect")])).await;
    let mut place = sent.header("location").unwrap().to_owned();
    let callback = loop {
        let reply = ana.send(Request::get(&place).body(Bytes::new()).unwrap()).await;
        let next = url::Url::parse(&place).unwrap().join(reply.header("location").unwrap()).unwrap();
        if next.path() == "/oauth/callback/notes" {
            break next.to_string();
        }
        place = next.to_string();
    };
    let lured = bea.get(&callback).await;
    assert_eq!(lured.reply.status, 400, "{}", lured.text());
    let stranger = Browser::new(&world.app).get(&callback).await;
    assert_eq!(stranger.reply.status, 400);
    assert_eq!(world.call("look").await.error_code(), Some(CONNECT_NEEDED), "nothing was connected");
    let own = ana.get(&callback).await;
    assert_eq!(own.url.as_str(), world.page());
    is_done(&world.call("look").await, "look");
    let again = ana.get(&callback).await;
    assert_eq!(again.reply.status, 400, "it was used");

    for (change, wanted) in [
        (json!({ "answer": { "iss": "https://evil.example" } }), "not of the authorization server"),
        (json!({ "answer": { "iss": null } }), "not of the authorization server"),
        (json!({ "answer": null, "deny": true }), "access_denied"),
        (json!({ "deny": false, "resource": "https://evil.example/mcp" }), "cannot be connected just now"),
        (json!({ "resource": null, "issuer": "https://evil.example" }), "cannot be connected just now"),
    ] {
        world.notes.control(change.clone()).await;
        let mut bea = world_browser(&world, &mut bea).await;
        let page = world.connect(&mut bea).await;
        let text = page.text().to_lowercase();
        assert!(text.contains(&wanted.to_lowercase()) || text.contains("said no"), "{change}: {text}");
        is_done(&world.call("look").await, "look");
    }
}

/// The same person at the edge, new to everybody else.
async fn world_browser(world: &World, known: &mut Browser) -> Browser {
    let mut browser = Browser::new(&world.app);
    let own = known.cookies.get(&world.app.url).cloned().unwrap_or_default();
    browser.cookies.insert(world.app.url.clone(), own);
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_in_two_processes_at_the_moment_of_expiry_make_one_refresh() {
    if clients::skipped() {
        return;
    }
    let mut world = World::start(json!({})).await;
    world.notes.control(json!({ "ttl": 4 })).await;
    world.connect(&mut world.anas().await).await;
    world.app.kill();
    let upstream = format!("{}/mcp", world.notes.url);
    let mut processes =
        [(); 2].map(|()| Process::start(&world.app.state(), &world.app.url, &upstream, false));
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Long enough for both to be at it.
    world.notes.control(json!({ "ttl": 600, "slow": 700 })).await;
    processes.iter_mut().for_each(Process::go);
    for process in &mut processes {
        let generations = process.hear("generations");
        assert_eq!(generations, vec!["2"; CALLS].join(" "));
    }
    let seen = world.notes.control(json!({ "slow": 0 })).await;
    assert_eq!(seen["refreshed"], 1);
    assert_eq!(
        (&seen["errors"], &seen["revoked"]),
        (&json!({}), &json!(0)),
        "no invalid_grant, nothing revoked"
    );
    // And what they stored serves the edge.
    world.app.restart().await;
    is_done(&world.call("look").await, "look");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_between_the_answer_and_its_commit_leaves_needs_consent() {
    if clients::skipped() {
        return;
    }
    let mut world = World::start(json!({})).await;
    world.notes.control(json!({ "ttl": 2 })).await;
    let mut browser = world.anas().await;
    world.connect(&mut browser).await;
    world.app.kill();
    let upstream = format!("{}/mcp", world.notes.url);
    let mut process = Process::start(&world.app.state(), &world.app.url, &upstream, true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.notes.control(json!({ "ttl": 600 })).await;
    process.go();
    assert_eq!(process.hear("answered"), "200", "the authorization server has rotated the token");
    process.kill();
    world.app.restart().await;
    // Nobody knows what became of the token: it is waited for until the turn is over, and then said.
    let told = world.call("look").await;
    assert_eq!(told.error_code(), Some(CONNECT_NEEDED), "{}", told.text());
    let seen = world.notes.control(json!({})).await;
    assert_eq!(
        (seen["refreshed"].as_u64(), &seen["errors"]),
        (Some(1), &json!({})),
        "never sent a second time"
    );
    let page = browser.get(&world.page()).await;
    assert!(page.text().contains("must be connected again"), "{}", page.text());
    world.connect(&mut browser).await;
    is_done(&world.call("look").await, "look");
    let wants = || async {
        let records = world.app.records();
        records.iter().any(|record| record["action"] == "connection.needs_consent").then_some(())
    };
    until("it is recorded", Duration::from_secs(5), wants).await;
}

fn outcome(answer: &Value) -> &str {
    answer["tested"]["outcome"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_administrator_ends_connections_one_by_one_of_a_user_a_server_a_vendor_and_all() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({})).await;
    let mut browser = world.anas().await;
    world.connect(&mut browser).await;
    is_done(&world.call("look").await, "look");
    let show = || world.app.admin(&["cred", "show", "connection:notes/ana", "--json"]);
    assert_eq!((&show()["kind"], &show()["standing"]), (&json!("connection"), &json!("active")));
    let ended = world.app.admin(&["cred", "revoke", "connection:notes/ana", "--json"]);
    assert_eq!(outcome(&ended), "dead", "{ended}");
    assert_eq!(world.call("look").await.error_code(), Some(CONNECT_NEEDED));
    assert_eq!((&show()["standing"], outcome(&show())), (&json!("revoked"), "dead"));
    let again = world.app.command(&["cred", "revoke", "connection:notes/ana"]);
    assert_eq!(again.status.code(), Some(1), "there is nothing to end any more");
    world.connect(&mut browser).await;
    assert_eq!(show()["standing"], "active");
    for words in [
        &["kill", "--vendor", "127.0.0.1", "--json"][..],
        &["kill", "--server", "notes", "--json"],
        &["kill", "--user", "ana", "--json"],
        &["kill", "--all", "--json"],
    ] {
        world.connect(&mut browser).await;
        assert_eq!(show()["standing"], "active", "{words:?}");
        let killed = world.app.admin(words);
        let [row] = &killed["connections"].as_array().unwrap()[..] else { panic!("{words:?}: {killed}") };
        assert_eq!((&row["name"], outcome(row)), (&json!("connection:notes/ana"), "dead"), "{killed}");
        assert_eq!(show()["standing"], "revoked");
    }
    nothing_leaks(&world).await;
}

#[tokio::test]
async fn who_is_disabled_and_what_is_taken_out_takes_its_connections_along() {
    if clients::skipped() {
        return;
    }
    let mut world = World::start(json!({})).await;
    world.connect(&mut world.anas().await).await;
    let bea = world.app.admin(&["user", "add", "bea", "--json"])["password"].as_str().unwrap().to_owned();
    world.connect(&mut world.browser("bea", &bea).await).await;
    let disabled = world.app.admin(&["user", "disable", "ana", "--json"]);
    let [row] = &disabled["connections"].as_array().unwrap()[..] else { panic!("{disabled}") };
    assert_eq!((&row["name"], outcome(row)), (&json!("connection:notes/ana"), "dead"));
    // The server goes; what is known of its authorization server is what the connection says.
    world.app.kill();
    let config = std::fs::read_to_string(world.app.config_file()).unwrap();
    let without = config.split("servers:").next().unwrap().to_owned() + "servers: []\n";
    std::fs::write(world.app.config_file(), without).unwrap();
    world.app.restart().await;
    let dead = || async {
        let shown = world.app.admin(&["cred", "show", "connection:notes/bea", "--json"]);
        (outcome(&shown) == "dead").then_some(shown)
    };
    let shown = until("what it was connected with is dead", Duration::from_secs(20), dead).await;
    assert_eq!(shown["standing"], "revoked");
}

#[tokio::test]
async fn a_tab_that_closes_and_an_edge_that_is_killed_leave_no_token_alive() {
    if clients::skipped() {
        return;
    }
    let mut world = World::start(json!({})).await;
    let mut browser = world.anas().await;
    for killed in [false, true] {
        world.connect(&mut browser).await;
        let before = world.notes.control(json!({ "slow": 3000 })).await["revoked"].as_u64().unwrap();
        let page = browser.get(&world.page()).await;
        let press = crate::browser::submission(&page, "/connections/notes", &[("do", "disconnect")]);
        let mut tab = world_browser(&world, &mut browser).await;
        let closes = tokio::spawn(async move { tab.send(press).await });
        // It is revoked there, and not yet tried: the edge says nothing of it so far.
        let revoked = || async {
            let seen = world.notes.control(json!({})).await;
            (seen["revoked"].as_u64() > Some(before)).then_some(())
        };
        until("it is revoked", Duration::from_secs(10), revoked).await;
        closes.abort();
        if killed {
            world.app.kill();
            world.notes.control(json!({ "slow": 0 })).await;
            world.app.restart().await;
        }
        let dead = || async {
            let shown = world.app.admin(&["cred", "show", "connection:notes/ana", "--json"]);
            (shown["standing"] == "revoked" && outcome(&shown) == "dead").then_some(())
        };
        until("it is dead", Duration::from_secs(20), dead).await;
        world.notes.control(json!({ "slow": 0 })).await;
    }
    let ended = world.app.records();
    let ended = ended.iter().filter(|record| record["action"] == "connection.disconnected").count();
    assert_eq!(ended, 2);
}

/// Whoever used up the attempts to connect can still end what there is.
#[tokio::test]
async fn whoever_may_not_connect_any_more_can_still_disconnect() {
    if clients::skipped() {
        return;
    }
    let world = World::start(json!({})).await;
    let mut browser = world.anas().await;
    world.connect(&mut browser).await;
    let page = browser.get(&world.page()).await;
    let connect = || crate::browser::submission(&page, "/connections/notes", &[("do", "connect")]);
    let mut attempts = 0;
    while browser.send(connect()).await.status != 429 {
        attempts += 1;
        assert!(attempts < 200, "connecting is not bounded");
    }
    let page = browser.submit(&page, "/connections/notes", &[("do", "disconnect")]).await;
    assert!(page.text().contains("tried, and is dead"), "{}", page.text());
}

/// An authorization server that does not rotate: the token that a killed process may have sent is still good.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_with_a_refresh_token_that_is_good_more_than_once_costs_nothing() {
    if clients::skipped() {
        return;
    }
    let mut world = World::start(json!({ "rotate": false })).await;
    world.notes.control(json!({ "ttl": 2 })).await;
    world.connect(&mut world.anas().await).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The first renewal shows that the same token comes back.
    is_done(&world.call("look").await, "look");
    let lockfile = world.app.dir().join("portunus.lock");
    let pinned = || async { std::fs::read_to_string(&lockfile).ok()?.contains("look").then_some(()) };
    until("what was accepted at first sight is in the lockfile", Duration::from_secs(20), pinned).await;
    world.app.kill();
    let upstream = format!("{}/mcp", world.notes.url);
    let mut process = Process::start(&world.app.state(), &world.app.url, &upstream, true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.notes.control(json!({ "ttl": 600 })).await;
    process.go();
    assert_eq!(process.hear("answered"), "200");
    process.kill();
    world.app.restart().await;
    is_done(&world.call("look").await, "look");
    let seen = world.notes.control(json!({})).await;
    // One more where a slow machine lets the first token lapse on its way.
    assert!(seen["refreshed"].as_u64() >= Some(3) && seen["errors"] == json!({}), "{seen}");
}

/// RFC 7523, once for a client that was made there and once for one that is known by its metadata document.
#[tokio::test]
async fn a_client_proves_itself_with_the_edges_key() {
    if clients::skipped() {
        return;
    }
    for documents in [false, true] {
        let client = if documents { "" } else { ", client_id: portunus" };
        let client = format!("{client}, client_auth: private_key_jwt");
        let world = World::with(&client, |app| {
            let made = json!([{
                "client_id": "portunus",
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_signing_alg": "EdDSA",
                "jwks_uri": format!("{}/oauth/jwks", app.url),
                "redirect_uris": [format!("{}/oauth/callback/notes", app.url)],
                "grant_types": ["authorization_code", "refresh_token"],
            }]);
            let clients = if documents { json!([]) } else { made };
            json!({ "documents": documents, "registration": false, "clients": clients })
        })
        .await;
        let mut browser = world.anas().await;
        let page = world.connect(&mut browser).await;
        assert_eq!(page.url.as_str(), world.page(), "{}", page.text());
        is_done(&world.call("look").await, "look");
        until_renewable().await;
        world.notes.control(json!({ "forget": true })).await;
        is_done(&world.call("look").await, "look");
        let page = browser.get(&world.page()).await;
        let page = browser.submit(&page, "/connections/notes", &[("do", "disconnect")]).await;
        assert!(page.text().contains("tried, and is dead"), "{}", page.text());
        let seen = world.notes.control(json!({})).await;
        assert_eq!(
            (seen["refreshed"].as_u64(), &seen["errors"]),
            (Some(1), &json!({ "invalid_grant": 1 })),
            "{seen}"
        );
    }
}
