//! Servers that no one here wrote, over stdio.

use super::{Caller, SOON, Stage, servers};
use crate::app::{Connector, server_behind_tunnel, until};
use crate::clients;
use serde_json::json;
use std::path::Path;

fn path(of: &Path) -> String {
    of.to_str().unwrap().to_owned()
}

/// Adds two numbers in each era that the server has, with progress in between.
async fn use_it(caller: &Caller, modern: bool) {
    let listed = caller.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })).await.json();
    assert!(listed["result"]["tools"].to_string().contains("add"), "{listed}");
    let params =
        json!({ "name": "add", "arguments": { "a": 2, "b": 40 }, "_meta": { "progressToken": "t" } });
    let reply =
        caller.send(&json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params })).await;
    assert_eq!(reply.json()["id"], "x");
    assert!(
        reply.json()["result"]["content"][0]["text"].as_str().unwrap().contains("42"),
        "{}",
        reply.text()
    );
    let (text, token) = (reply.text(), |text: &str| text.replace(' ', "").contains(r#""progressToken":"t""#));
    assert!(token(&text), "progress comes with the client's own token: {text}");
    if modern {
        let reply = caller.modern("add", &json!({ "a": 2, "b": 40 })).await.json();
        assert!(reply["result"]["content"].to_string().contains("42"), "{reply}");
    }
}

#[tokio::test]
async fn a_server_of_the_python_sdk_works_in_both_eras() {
    if clients::skipped() {
        return;
    }
    let command = [path(&clients::directory().join(".venv/bin/python")), path(&servers().join("sdk.py"))];
    let stage = Stage::set(&command, "").await;
    use_it(&stage.session("ana", "one").await, true).await;
}

#[tokio::test]
async fn a_server_of_the_typescript_sdk_works_directly_and_behind_a_connector() {
    if clients::skipped() {
        return;
    }
    let command = [path(&clients::node()), path(&servers().join("sdk.mjs"))];
    let stage = Stage::set(&command, "").await;
    use_it(&stage.session("ana", "one").await, false).await;
    drop(stage);

    let stage = Stage::of(&server_behind_tunnel("plain")).await;
    let _connector = Connector::with(&stage.app, "plain", "one", &["--", &command[0], &command[1]]);
    let probe = stage.caller("ana", "probe");
    let works = || async { (probe.clone().begin(&json!({})).await.error_code().is_none()).then_some(()) };
    until("the connector serves", SOON, works).await;
    use_it(&stage.session("ana", "one").await, false).await;
}
