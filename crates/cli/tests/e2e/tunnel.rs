//! Connectors as separate processes: killed in mid-call, sharing the load, coming back by themselves.

use crate::app::{App, Connector, server_behind_tunnel, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Http, call};
use crate::upstream::Upstream;
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

struct Stage {
    app: App,
    http: Http,
    url: String,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let app = App::serve(&server_behind_tunnel("harbour"), PERMIT_ALL).await;
        let (http, url, token) = (app.http(), app.mcp_url("harbour"), app.token("harbour"));
        Self { app, http, url, token }
    }

    async fn works(&self) -> Option<()> {
        let reply = self.http.send(call(&self.url, &self.token, "echo", &json!({}))).await.ok()?;
        (reply.status == 200 && reply.error_code().is_none()).then_some(())
    }

    async fn until_it_works(&self) {
        until("a call through the tunnel works", SOON, || self.works()).await;
    }
}

#[tokio::test]
async fn a_call_whose_connector_dies_fails_clearly_and_is_never_repeated() {
    let stage = Stage::set().await;
    let upstream = Upstream::start().await;
    let unreachable = stage.http.send(call(&stage.url, &stage.token, "echo", &json!({}))).await.unwrap();
    assert_eq!(unreachable.error_code(), Some(-32012), "no connector yet: {}", unreachable.text());

    let mut connector = Connector::to(&stage.app, "harbour", &upstream.url, "one");
    stage.until_it_works().await;
    let (http, request) = (stage.http.clone(), call(&stage.url, &stage.token, "wait", &json!({})));
    let waiting = tokio::spawn(async move { http.send(request).await.unwrap() });
    let arrived = || async {
        upstream.calls().iter().any(|seen| seen.json()["params"]["name"] == "wait").then_some(())
    };
    until("the call arrives", SOON, arrived).await;
    connector.kill();
    let reply = waiting.await.unwrap();
    assert_eq!(reply.error_code(), Some(-32013), "it may have taken effect: {}", reply.text());

    // The same state directory: its certificate is still good, so no new join token is needed.
    let _again = Connector::to(&stage.app, "harbour", &upstream.url, "one");
    stage.until_it_works().await;
    let waits = upstream.calls().iter().filter(|seen| seen.json()["params"]["name"] == "wait").count();
    assert_eq!(waits, 1, "the broken call was not repeated");
    let outcomes: Vec<_> = stage.app.records().iter().map(|entry| entry["end"].clone()).collect();
    assert!(outcomes.contains(&json!("broken")), "its end is recorded: {outcomes:?}");
}

#[tokio::test]
async fn two_connectors_share_the_load_and_one_is_enough() {
    let stage = Stage::set().await;
    let (left, right) = (Upstream::start().await, Upstream::start().await);
    let mut first = Connector::to(&stage.app, "harbour", &left.url, "left");
    let _second = Connector::to(&stage.app, "harbour", &right.url, "right");
    let both = || async {
        tokio::join!(stage.works(), stage.works(), stage.works(), stage.works());
        (!left.calls().is_empty() && !right.calls().is_empty()).then_some(())
    };
    until("both connectors have served", SOON, both).await;

    let (left_before, right_before) = (left.calls().len(), right.calls().len());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (http, url, token) = (stage.http.clone(), stage.url.clone(), stage.token.clone());
        workers.spawn(async move {
            let mut connection = http.connect(&url.parse().unwrap()).await.unwrap();
            for _ in 0..25 {
                let reply = connection.send(call(&url, &token, "echo", &json!({}))).await.unwrap();
                assert_eq!(reply.error_code(), None, "{}", reply.text());
            }
        });
    }
    workers.join_all().await;
    let (left_share, right_share) = (left.calls().len() - left_before, right.calls().len() - right_before);
    assert_eq!(left_share + right_share, 200);
    assert!(left_share >= 40 && right_share >= 40, "{left_share} and {right_share} of 200");

    first.kill();
    stage.until_it_works().await;
}

#[tokio::test]
async fn a_connector_comes_back_by_itself_after_the_edge_restarts() {
    let mut stage = Stage::set().await;
    let upstream = Upstream::start().await;
    let _connector = Connector::to(&stage.app, "harbour", &upstream.url, "one");
    stage.until_it_works().await;
    stage.app.kill();
    stage.app.restart().await;
    stage.until_it_works().await;
}

#[tokio::test]
async fn a_join_token_is_good_once() {
    let stage = Stage::set().await;
    let upstream = Upstream::start().await;
    let connector = Connector::to(&stage.app, "harbour", &upstream.url, "one");
    stage.until_it_works().await;
    assert!(connector.state.exists());
    let used = std::fs::read_dir(stage.app.dir()).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let used = used
        .into_iter()
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("join-"))
        .unwrap();
    let output = std::process::Command::new(crate::app::BINARY)
        .args(["connect", "--gateway", &stage.app.url, "--name", "harbour", "--to", &upstream.url, "--plain"])
        .arg("--ca-file")
        .arg(stage.app.ca_file())
        .arg("--state")
        .arg(stage.app.dir().join("thief"))
        .arg("--token-file")
        .arg(used)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "a used join token let a second connector in: {text}");
    assert!(text.contains("ask for a new one"), "it says what to do next: {text}");
}

#[tokio::test]
async fn a_revoked_connector_s_live_link_ends_within_a_second_and_another_one_s_does_not() {
    let second = Duration::from_secs(1);
    let servers = server_behind_tunnel("harbour") + &server_behind_tunnel("quay");
    let app = App::serve(&servers, PERMIT_ALL).await;
    let upstream = Upstream::start().await;
    let mut doomed = Connector::to(&app, "harbour", &upstream.url, "one");
    let mut neighbour = Connector::to(&app, "quay", &upstream.url, "two");
    let (http, tokens) = (app.http(), [app.token("harbour"), app.token("quay")]);
    let ask = async |at: usize, tool: &str| {
        let url = app.mcp_url(["harbour", "quay"][at]);
        http.send(call(&url, &tokens[at], tool, &json!({}))).await.unwrap()
    };
    for at in [0, 1] {
        let works = || async { ask(at, "echo").await.error_code().is_none().then_some(()) };
        until("calls get through", SOON, works).await;
    }
    let listed = app.admin(&["cred", "list", "--kind", "connector", "--json"]);
    let of = |server: &str| {
        let all = listed["identities"].as_array().unwrap();
        let one =
            all.iter().find(|one| one.to_string().contains(server)).unwrap_or_else(|| panic!("{listed}"));
        one["id"].as_str().unwrap().to_owned()
    };
    let waiting = async {
        let (mine, its) = tokio::join!(ask(0, "wait"), ask(1, "wait"));
        (mine, its)
    };
    let revoke = async {
        let arrived = || async {
            let waits =
                upstream.calls().iter().filter(|seen| seen.json()["params"]["name"] == "wait").count();
            (waits == 2).then_some(())
        };
        until("both calls are under way", SOON, arrived).await;
        app.admin(&["cred", "revoke", &of("harbour"), "--json"]);
        let revoked = std::time::Instant::now();
        let gone = || std::future::ready(doomed.child.try_wait().unwrap().map(drop));
        until("its connector has heard of it and ended", SOON, gone).await;
        assert!(revoked.elapsed() < second, "{:?}", revoked.elapsed());
        assert_eq!(ask(0, "echo").await.error_code(), Some(-32012), "nothing new is sent");
        // One for each that waits, also for the one that nobody hears any more.
        upstream.release();
        upstream.release();
    };
    let ((mine, its), ()) = tokio::join!(waiting, revoke);
    assert_eq!(mine.error_code(), Some(-32013), "it may have taken effect: {}", mine.text());
    assert_eq!(its.error_code(), None, "{}", its.text());
    assert!(neighbour.child.try_wait().unwrap().is_none());
    assert_eq!(ask(1, "echo").await.error_code(), None);
    let revocations = app.records().iter().filter(|record| record["action"] == "connector.revoked").count();
    assert_eq!(revocations, 1);
}
