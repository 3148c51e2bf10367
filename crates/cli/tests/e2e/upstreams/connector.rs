//! `connect … -- PROGRAM`: the same behind a connector.

use super::supervision::{mark, until_gone, until_there};
use super::{Caller, SOON, Stage, plain};
use crate::app::{Connector, server_behind_tunnel, until};
use serde_json::{Value, json};

async fn stage(words: &[&str]) -> (Stage, Connector) {
    let stage = Stage::of(&server_behind_tunnel("plain")).await;
    let command = plain(&[]);
    let words: Vec<&str> =
        words.iter().copied().chain(["--"]).chain(command.iter().map(String::as_str)).collect();
    let connector = Connector::with(&stage.app, "plain", "one", &words);
    let probe = stage.caller("ana", "probe");
    let works = || async { (probe.clone().begin(&json!({})).await.error_code().is_none()).then_some(()) };
    until("the connector serves", SOON, works).await;
    (stage, connector)
}

#[tokio::test]
async fn a_program_behind_a_connector_serves_both_eras_with_a_clean_environment() {
    let (stage, mut connector) = stage(&["--env", "GIVEN=yes", "--env", "CARGO_PKG_NAME"]).await;
    let ana = stage.session("ana", "one").await;
    assert_eq!(ana.text("echo", &json!({ "a": 1 })).await, r#"{"a": 1}"#);
    assert_eq!(ana.modern("echo", &json!({})).await.json()["result"]["resultType"], "complete");
    let found: Value = serde_json::from_str(&ana.text("env", &json!({})).await).unwrap();
    assert_eq!((&found["GIVEN"], &found["CARGO_PKG_NAME"]), (&json!("yes"), &json!("portunus-cli")));
    assert!(found["CARGO_MANIFEST_DIR"].is_null(), "{found}");

    let crashed = ana.call("crash", &json!({})).await;
    assert_eq!(crashed.error_code(), Some(-32013), "{}", crashed.text());
    let works = || async { (ana.call("echo", &json!({})).await.error_code().is_none()).then_some(()) };
    until("it is started again", SOON, works).await;

    let mark = mark(&stage, "connector");
    ana.text("spawn", &json!({ "mark": mark })).await;
    until_there(&mark).await;
    connector.kill();
    until_gone(&mark).await;
}

#[tokio::test]
async fn a_connector_tells_callers_apart_by_what_the_edge_signed() {
    let (stage, _connector) = stage(&["--per", "caller"]).await;
    let pid = async |caller: Caller| caller.text("pid", &json!({})).await;
    let (ana, bob) =
        (pid(stage.session("ana", "one").await).await, pid(stage.session("bob", "one").await).await);
    assert_ne!(ana, bob);
    assert_eq!(ana, pid(stage.session("ana", "one").await).await);
}

#[tokio::test]
async fn connect_says_what_is_missing() {
    let stage = Stage::of(&server_behind_tunnel("plain")).await;
    let run = |words: &[&str]| {
        let output = stage
            .app
            .command(&[&["connect", "--gateway", &stage.app.url, "--name", "plain"], words].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(&[]).contains("--to <TO>"), "one of the ways to serve is needed");
    assert!(run(&["--to", "http://127.0.0.1:1/mcp", "--env", "A=b"]).contains("cannot be used with"));
    assert!(run(&["--to", "http://127.0.0.1:1/mcp", "--", "true"]).contains("cannot be used with"));
}
