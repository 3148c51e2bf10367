//! Signing in at a real identity provider (npm `oidc-provider`), which can also be told to misbehave; and at another
//! one.

use crate::app::{App, free_port, server_at, until};
use crate::browser::{Browser, Page, submission};
use crate::clients;
use crate::http::Http;
use crate::oauth::{Client, forms};
use crate::upstream::Upstream;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use url::Url;

const POLICY: &str = "permit (principal, action, resource);";
/// Of the user of [`Idp::another`].
const PASSWORD: &str = "a pass phrase of hers";

/// A provider of the tests; killed when dropped.
struct Idp {
    child: Child,
    url: String,
}

impl Idp {
    /// Starts one on this port for an edge; `path` is the path that it sends browsers back to.
    fn start(app: &App, port: u16, path: &str) -> Self {
        let client = json!({
            "client_id": "portunus", "client_secret": "a secret between the two",
            "redirect_uris": [format!("{}{path}", app.url)],
            "post_logout_redirect_uris": [format!("{}/login", app.url)],
            "backchannel_logout_uri": format!("{}/login/oidc/backchannel-logout", app.url),
            "backchannel_logout_session_required": true,
            "grant_types": ["authorization_code"], "response_types": ["code"],
        });
        let mut command = Command::new(clients::node());
        command
            .arg(clients::directory().join("identity-provider.mjs"))
            .env("PROVIDER", json!({ "port": port, "clients": [client] }).to_string())
            .env("NODE_EXTRA_CA_CERTS", app.ca_file());
        Self::spawn(command, port)
    }

    /// Starts another make of provider (PyPI `canaille`), with one user in a group.
    fn another(app: &App, port: u16) -> Self {
        let user = json!({
            "user_name": "Bea", "password": PASSWORD, "given_name": "Bea", "family_name": "Example",
            "formatted_name": "Bea Example", "emails": ["bea@example.com"],
        });
        let client = json!({
            "client_id": "portunus", "client_secret": "a secret between the two", "client_name": "Portunus",
            "redirect_uris": [format!("{}/login/oidc/callback", app.url)],
            "grant_types": ["authorization_code"], "response_types": ["code"],
            "scope": ["openid", "email", "profile", "groups"],
            "token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256",
        });
        let known = json!({ "port": port, "user": user, "group": "analysts", "client": client });
        let mut command = Command::new(clients::directory().join(".venv-provider/bin/python"));
        command
            .arg(clients::directory().join("another-identity-provider.py"))
            .env("PROVIDER", known.to_string());
        Self::spawn(command, port)
    }

    fn spawn(mut command: Command, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("run tests/clients/setup.sh");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }

    /// Changes how it behaves; what it has seen.
    async fn control(&self, change: Value) -> Value {
        let reply = Http::plain().post_json(&format!("{}/control", self.url), &change).await;
        reply.json()
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An edge with the server `notes` that knows the provider on this port; `more` are further members of its entry.
async fn edge(local: bool, port: u16, more: &str) -> App {
    let secret = "client_secret_file: idp.secret";
    let login = format!(
        "{{ local: {local}, oidc: {{ issuer: 'http://127.0.0.1:{port}', client_id: portunus, name: Example, {secret}{more} }} }}"
    );
    let upstream = Upstream::start().await;
    let edit = |dir: &std::path::Path, configuration: String| {
        std::fs::write(dir.join("idp.secret"), "a secret between the two\n").unwrap();
        configuration.replace("login: { local: true }", &format!("login: {login}"))
    };
    App::serve_as(&server_at("notes", &upstream.url), POLICY, edit, &[]).await
}

/// One edge with the server `notes`, and one provider that it knows.
struct World {
    app: App,
    idp: Idp,
}

impl World {
    /// `more` are further members of the provider's entry.
    async fn start(local: bool, more: &str) -> Self {
        let port = free_port();
        let app = edge(local, port, &format!(", groups_claim: groups{more}")).await;
        let idp = Idp::start(&app, port, "/login/oidc/callback");
        Self { app, idp }
    }

    fn browser(&self) -> Browser {
        Browser::new(&self.app)
    }

    /// Signs a fresh browser in at the provider, from our own page; where it ends.
    async fn sign_in(&self) -> (Browser, Page) {
        let mut browser = self.browser();
        let page = browser.sign_in(&self.app.url).await;
        (browser, page)
    }

    /// Signs in with the provider behaving like this for once, and returns the page that it ends on.
    async fn attempt(&self, change: Value) -> Page {
        let undo: serde_json::Map<String, Value> =
            change.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
        self.idp.control(change).await;
        let page = self.sign_in().await.1;
        self.idp.control(Value::Object(undo)).await;
        page
    }

    fn users(&self) -> Vec<Value> {
        self.app.admin(&["user", "list", "--json"])["users"].as_array().unwrap().clone()
    }
}

fn is_home(page: &Page) -> bool {
    page.url.path() == "/console/" && page.text().contains("Your access")
}

#[tokio::test]
async fn somebody_of_an_identity_provider_signs_in_agrees_and_uses_a_server() {
    let world = World::start(true, "").await;
    let client = Client::discover(&world.app, "notes").await;
    let mut browser = world.browser();
    let page = browser.get(&client.authorization(&[])).await;
    assert!(page.text().contains("Continue with Example"), "{}", page.text());
    let consent = browser.submit(&page, "/login/oidc/start", &[("provider", "oidc")]).await;
    assert!(consent.text().contains("ana@example.com"), "{} {}", consent.url, consent.text());
    let back = browser.submit(&consent, "/oauth/authorize", &[("decision", "allow")]).await;
    let code = back.parameter("code").unwrap_or_else(|| panic!("no code: {}", back.url));
    let tokens = client.exchange(&code, &[]).await.json();
    let call =
        crate::http::call(&client.resource, tokens["access_token"].as_str().unwrap(), "echo", &json!({}));
    assert_eq!(client.http.send(call).await.unwrap().status, 200);
    let user = world.users().into_iter().find(|user| user["name"] == "ana@example.com").unwrap();
    assert_eq!(user["groups"], json!(["analysts"]));
    assert_eq!(user["administrator"], false);
    let asked = world.idp.control(json!({})).await["asked"][0].as_str().unwrap().to_owned();
    for part in
        ["code_challenge_method=S256", "nonce=", "state=", "response_type=code", "scope=openid+email+profile"]
    {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    let added = world
        .app
        .records()
        .into_iter()
        .find(|record| record["action"] == "user.added" && record["subject"] == "ana@example.com");
    assert!(added.is_some());
    world.app.verify();
}

#[tokio::test]
async fn somebody_of_another_make_of_identity_provider_does_so_too() {
    if clients::skipped() {
        return;
    }
    let port = free_port();
    let more = ", user_claim: sub, groups_claim: groups, scopes: [email, profile, groups]";
    let app = edge(true, port, more).await;
    let idp = Idp::another(&app, port);
    let client = Client::discover(&app, "notes").await;
    let mut browser = Browser::new(&app);
    let page = browser.get(&client.authorization(&[])).await;
    let name = browser.submit(&page, "/login/oidc/start", &[("provider", "oidc")]).await;
    assert!(name.url.as_str().starts_with(&idp.url), "{}", name.url);
    let password = browser.fill(&name, &[("login", "Bea")]).await;
    let wrong = browser.fill(&password, &[("password", "not it")]).await;
    assert!(wrong.text().contains("Login failed"), "{} {}", wrong.url, wrong.text());
    let page = browser.submit(&page, "/login/oidc/start", &[("provider", "oidc")]).await;
    let password = browser.fill(&page, &[("login", "Bea")]).await;
    let asks = browser.fill(&password, &[("password", PASSWORD)]).await;
    assert_eq!(asks.url.path(), "/oauth/authorize", "it asks for her consent: {}", asks.text());
    let consent = browser.fill(&asks, &[("answer", "accept")]).await;
    assert!(consent.url.as_str().starts_with(&app.url), "{} {}", consent.url, consent.text());
    let back = browser.submit(&consent, "/oauth/authorize", &[("decision", "allow")]).await;
    let code = back.parameter("code").unwrap_or_else(|| panic!("no code: {} {}", back.url, back.text()));
    let tokens = client.exchange(&code, &[]).await.json();
    let call =
        crate::http::call(&client.resource, tokens["access_token"].as_str().unwrap(), "echo", &json!({}));
    assert_eq!(client.http.send(call).await.unwrap().status, 200);
    let users = app.admin(&["user", "list", "--json"]);
    let bea = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "bea");
    assert_eq!(bea.unwrap()["groups"], json!(["analysts"]), "{users}");
    let entered = app.records().into_iter().rfind(|record| record["action"] == "user.signed_in").unwrap();
    assert_eq!((&entered["subject"], &entered["detail"]["method"]), (&json!("bea"), &json!("oidc")));
    app.verify();
}

#[tokio::test]
async fn whatever_is_wrong_with_a_providers_answer_nobody_is_signed_in() {
    let world = World::start(true, "").await;
    let hour = 3600;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let wrong = [
        (json!({ "claims": { "nonce": "another" } }), "nonce"),
        (json!({ "claims": { "nonce": null } }), "nonce"),
        (json!({ "claims": { "aud": "another-client" } }), "another client"),
        (json!({ "claims": { "aud": ["portunus", "another-client"] } }), "another client"),
        (json!({ "claims": { "azp": "another-client" } }), "another client"),
        (json!({ "claims": { "iss": "https://evil.example" } }), "another issuer"),
        (json!({ "claims": { "exp": now - hour } }), "expired"),
        (json!({ "claims": { "iat": now + hour } }), "not valid yet"),
        (json!({ "claims": { "nbf": now + hour } }), "not valid yet"),
        (
            json!({ "claims": { "events": { "http://schemas.openid.net/event/backchannel-logout": {} } } }),
            "another kind",
        ),
        (json!({ "header": { "typ": "logout+jwt" } }), "another kind"),
        (json!({ "header": { "alg": "none" } }), "algorithm"),
        (json!({ "header": { "alg": "HS256" } }), "algorithm"),
        (json!({ "header": { "jku": "https://evil.example/keys" }, "foreign": true }), "signature"),
        (json!({ "answer": { "iss": "https://evil.example" } }), "not of the provider"),
        (json!({ "answer": { "iss": null } }), "not of the provider"),
        (json!({ "answer": { "state": "A".repeat(43) } }), "No sign-in"),
        (json!({ "answer": { "state": null } }), "No sign-in"),
        (json!({ "answer": { "code": "made-up" } }), "refused the code"),
        (json!({ "answer": { "code": null } }), "no code"),
    ];
    for (change, words) in wrong {
        let page = world.attempt(change.clone()).await;
        let text = page.text();
        assert!(
            !is_home(&page) && text.contains("You are not signed in") && text.contains(words),
            "{change}: {text}"
        );
        assert!(
            page.reply.header("set-cookie").is_none_or(|line| !line.contains("__Host-portunus=")),
            "{change}"
        );
    }
    let unverified =
        json!({ "person": { "sub": "subject-2", "email": "eve@example.com", "email_verified": false } });
    world.idp.control(unverified).await;
    let page = world.sign_in().await.1;
    assert!(page.text().contains("has not verified your e-mail address"), "{}", page.text());
    // The name of a built-in account.
    let ana = json!({ "person": { "sub": "subject-3", "email": "ana", "email_verified": true } });
    world.idp.control(ana).await;
    assert!(world.sign_in().await.1.text().contains("You are not signed in"));
    assert_eq!(world.users().len(), 1, "nobody was made a user");
    let failed =
        world.app.records().into_iter().filter(|record| record["action"] == "user.sign_in_failed").count();
    assert!(failed >= 20, "{failed} refusals are recorded");
}

#[tokio::test]
async fn an_answer_is_good_only_in_the_browser_that_asked() {
    let world = World::start(true, "").await;
    // The answer for one browser, not yet delivered.
    let mut victim = world.browser();
    let page = victim.get(&format!("{}/login", world.app.url)).await;
    let mut request = submission(&page, "/login/oidc/start", &[("provider", "oidc")]);
    let answer = loop {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        let next = url.join(victim.send(request).await.header("location").unwrap()).unwrap();
        if next.path() == "/login/oidc/callback" {
            break next;
        }
        request = Request::get(next.as_str()).body(Bytes::new()).unwrap();
    };
    // Signing somebody else in with it does not work, whether or not they are signing in themselves.
    let mut other = world.browser();
    assert!(other.get(answer.as_str()).await.text().contains("No sign-in"));
    let page = other.get(&format!("{}/login", world.app.url)).await;
    other.send(submission(&page, "/login/oidc/start", &[("provider", "oidc")])).await;
    assert!(other.get(answer.as_str()).await.text().contains("No sign-in"));
    assert!(other.session(&world.app).is_none());
    // Delivered where it belongs, once.
    let planted = "ptn_ss_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa".to_owned();
    victim.cookies.get_mut(&world.app.url).unwrap().insert("__Host-portunus".to_owned(), planted.clone());
    assert!(is_home(&victim.get(answer.as_str()).await));
    assert_ne!(victim.session(&world.app), Some(planted), "a planted session is not adopted");
    assert!(victim.get(answer.as_str()).await.text().contains("No sign-in"), "used up");
    // Beginning it needs our own form.
    let forged = Request::post(format!("{}/login/oidc/start", world.app.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from("provider=oidc&next=/console/"))
        .unwrap();
    assert_eq!(world.browser().follow(forged).await.reply.status, 403);
}

#[tokio::test]
async fn new_keys_of_a_provider_are_found_by_themselves() {
    let world = World::start(true, "").await;
    assert!(is_home(&world.sign_in().await.1));
    world.idp.control(json!({ "roll": 1 })).await;
    assert!(is_home(&world.sign_in().await.1), "the very next sign-in finds the new keys");
    assert_eq!(world.idp.control(json!({})).await["keys"], 2);
    // Tokens that name keys that nobody has do not make us ask again and again.
    for _ in 0..4 {
        let page = world.attempt(json!({ "header": { "kid": "nobody's" } })).await;
        assert!(page.text().contains("publishes no key"), "{}", page.text());
    }
    let fetched = world.idp.control(json!({})).await["keys"].as_u64().unwrap();
    assert!(fetched <= 4, "{fetched} fetches");
}

#[tokio::test]
async fn a_provider_that_is_down_says_so_and_locks_nobody_out_who_is_connected() {
    let mut world = World::start(true, "").await;
    let client = Client::discover(&world.app, "notes").await;
    let mut browser = world.browser();
    let page = browser.get(&client.authorization(&[])).await;
    let consent = browser.submit(&page, "/login/oidc/start", &[("provider", "oidc")]).await;
    let back = browser.submit(&consent, "/oauth/authorize", &[("decision", "allow")]).await;
    let tokens = client.exchange(&back.parameter("code").unwrap(), &[]).await.json();
    // The edge starts without the provider.
    world.idp.control(json!({ "down": true })).await;
    world.app.kill();
    world.app.restart().await;
    let call =
        crate::http::call(&client.resource, tokens["access_token"].as_str().unwrap(), "echo", &json!({}));
    assert_eq!(client.http.send(call).await.unwrap().status, 200, "the grant is still good");
    let refreshed = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    let page = world.sign_in().await.1;
    assert_eq!(page.reply.status, 503);
    assert!(page.text().contains("Example cannot be reached just now"), "{}", page.text());
    assert!(page.text().contains("Accounts of this site itself still work"));
    let login = world.browser().get(&format!("{}/login", world.app.url)).await;
    assert!(login.text().contains("cannot be reached"), "whoever comes next is told at once");
    let mut person = world.app.person.clone();
    let code = client.code(&mut person).await;
    assert!(!code.is_empty(), "a built-in account signs in");
    for down in [json!("error"), json!(false)] {
        world.idp.control(json!({ "down": down })).await;
        if down == json!("error") {
            assert_eq!(world.sign_in().await.1.reply.status, 503);
        }
    }
    let within = Duration::from_secs(60);
    until("the provider is used again", within, || async { is_home(&world.sign_in().await.1).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let world = World::start(false, "").await;
    world.idp.control(json!({ "discovery": { "issuer": "https://evil.example" } })).await;
    let page = world.sign_in().await.1;
    assert_eq!(page.reply.status, 503, "{}", page.text());
    assert!(world.app.log().contains("its discovery document is for the issuer"));
    assert_eq!(world.idp.control(json!({})).await["asked"], json!([]), "nobody was sent anywhere");
    // Without built-in accounts there is no password form, and no way around it.
    assert!(!page.text().contains("type=\"password\""));
    let mut browser = world.browser();
    let page = browser.get(&format!("{}/login", world.app.url)).await;
    let mut request = submission(
        &page,
        "/login/oidc/start",
        &[("username", "ana"), ("password", &world.app.person.password)],
    );
    *request.uri_mut() = format!("{}/login", world.app.url).parse().unwrap();
    assert_eq!(browser.follow(request).await.reply.status, 403);
}

#[tokio::test]
async fn groups_follow_the_provider_and_userinfo_is_asked_for_what_the_id_token_lacks() {
    let world = World::start(true, "").await;
    // oidc-provider keeps claims out of the ID token unless told otherwise; here both ways.
    world.idp.control(json!({ "claims": { "email": null, "email_verified": null, "groups": null } })).await;
    assert!(is_home(&world.sign_in().await.1));
    let groups = || {
        world.users().into_iter().find(|user| user["name"] == "ana@example.com").unwrap()["groups"].clone()
    };
    assert_eq!(groups(), json!(["analysts"]));
    let odd = json!({ "claims": null, "userinfo": { "groups": ["leads", "with space", 7] } });
    world.idp.control(odd).await;
    world.idp.control(json!({ "claims": { "groups": null } })).await;
    assert!(is_home(&world.sign_in().await.1));
    assert_eq!(groups(), json!(["leads"]));
    let problem =
        world.app.records().into_iter().rfind(|record| record["action"] == "user.signed_in").unwrap();
    assert_eq!(problem["detail"]["groups_problem"], "2 of 3 groups are no group names", "{problem}");
    // Somebody else's answer.
    world.idp.control(json!({ "userinfo": { "sub": "subject-9" } })).await;
    assert!(world.sign_in().await.1.text().contains("without the user&#39;s claims"));
}

#[tokio::test]
async fn signing_out_at_the_provider_ends_the_sessions_that_came_of_it() {
    let world = World::start(true, "").await;
    let (mut one, page) = world.sign_in().await;
    assert!(is_home(&page));
    // A second session of ours that comes of the same session there, and one of another.
    let provider = world.idp.url.clone();
    let mut two = world.browser();
    two.cookies.insert(provider.clone(), one.cookies[&provider].clone());
    assert!(is_home(&two.sign_in(&world.app.url).await));
    let (mut apart, _) = world.sign_in().await;
    let console = format!("{}/console/", world.app.url);
    let home = one.get(&console).await;
    let out = one.submit(&home, "/logout", &[]).await;
    assert!(out.text().contains("Sign out at Example too"), "{}", out.text());
    let there = out
        .text()
        .split("href=\"")
        .find(|part| part.starts_with(&provider))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    let asks = one.get(&there).await;
    let confirm = forms(&asks.text()).into_iter().next().unwrap().action;
    let end = one.submit(&asks, &confirm, &[("logout", "yes")]).await;
    assert_eq!(end.url.path(), "/login", "and back here: {}", end.url);
    let gone = || async {
        let mut browser = Browser { http: world.app.http(), cookies: two.cookies.clone() };
        (!is_home(&browser.get(&console).await)).then_some(())
    };
    until("the other browser is signed out", Duration::from_secs(30), gone).await;
    assert!(is_home(&apart.get(&console).await), "another session there has not ended");
    two.cookies.clear();
}

#[tokio::test]
async fn of_several_providers_the_address_says_which() {
    let (corp, rest) = (free_port(), free_port());
    let entry = |id: &str, port: u16, more: &str| {
        format!(
            "{{ id: {id}, issuer: 'http://127.0.0.1:{port}', client_id: portunus, client_secret_file: idp.secret, name: The {id}{more} }}"
        )
    };
    let login = format!(
        "{{ oidc: [{}, {}] }}",
        entry("corp", corp, ", domains: [corp.example]"),
        entry("rest", rest, "")
    );
    let upstream = Upstream::start().await;
    let edit = |dir: &std::path::Path, configuration: String| {
        std::fs::write(dir.join("idp.secret"), "a secret between the two\n").unwrap();
        configuration.replace("login: { local: true }", &format!("login: {login}"))
    };
    let app = App::serve_as(&server_at("notes", &upstream.url), POLICY, edit, &[]).await;
    let corp = Idp::start(&app, corp, "/login/oidc/callback/corp");
    let rest = Idp::start(&app, rest, "/login/oidc/callback/rest");
    let visit = async |email: &str| {
        let mut browser = Browser::new(&app);
        let page = browser.get(&format!("{}/login", app.url)).await;
        browser.submit(&page, "/login/oidc/start", &[("email", email)]).await
    };
    let person = |email: &str| json!({ "person": { "sub": "same", "email": email, "email_verified": true } });
    corp.control(person("bea@corp.example")).await;
    rest.control(person("bea@elsewhere.example")).await;
    assert!(visit("Bea@Corp.example").await.text().contains("bea@corp.example"));
    assert!(visit("bea@elsewhere.example").await.text().contains("bea@elsewhere.example"));
    assert_eq!(visit("nonsense").await.reply.status, 422);
    // Neither may speak for the other's people.
    corp.control(person("bea@elsewhere.example")).await;
    assert!(visit("x@corp.example").await.text().contains("may not sign in"));
    rest.control(person("cy@corp.example")).await;
    assert!(visit("x@elsewhere.example").await.text().contains("may not sign in"));
    // An answer of one, brought to the address of the other.
    rest.control(person("bea@elsewhere.example")).await;
    let mixed = format!("{}/login/oidc/callback/corp", app.url);
    let mut browser = Browser::new(&app);
    let page = browser.get(&format!("{}/login", app.url)).await;
    let mut request = submission(&page, "/login/oidc/start", &[("email", "bea@elsewhere.example")]);
    loop {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        let next = url.join(browser.send(request).await.header("location").unwrap()).unwrap();
        if next.path().ends_with("/callback/rest") {
            let query = next.query().unwrap();
            assert!(browser.get(&format!("{mixed}?{query}")).await.text().contains("No sign-in"));
            break;
        }
        request = Request::get(next.as_str()).body(Bytes::new()).unwrap();
    }
}

#[tokio::test]
async fn a_browser_minds_our_policy_all_the_way_to_a_provider_and_back() {
    if clients::skipped() {
        return;
    }
    let world = World::start(true, "").await;
    world.idp.control(json!({ "ask": true })).await;
    clients::browse(&world.app, "federation.mjs").await;
}

#[tokio::test]
async fn a_passkey_is_added_used_and_removed_in_a_browser() {
    if clients::skipped() {
        return;
    }
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("notes", &upstream.url), POLICY).await;
    clients::browse(&app, "passkey.mjs").await;
    let listed = app.admin(&["user", "list", "--json"]);
    assert_eq!(listed["users"][0]["passkeys"], 0, "{listed}");
}
