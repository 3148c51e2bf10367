//! Programs that end, hang, flood or leave others behind, and what is left when Portunus itself ends.

use super::{SOON, Stage, plain};
use crate::app::{server_of_program, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Processes whose command line holds this.
pub(super) fn processes(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok());
    let lines = ids.filter_map(|id| std::fs::read(format!("/proc/{id}/cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

/// A mark that no other test has.
pub(super) fn mark(stage: &Stage, what: &str) -> String {
    format!("portunus-test-{what}-{}", stage.app.port)
}

pub(super) async fn until_gone(mark: &str) {
    until("its whole tree is gone", SOON, || async { processes(mark).is_empty().then_some(()) }).await;
}

pub(super) async fn until_there(mark: &str) {
    until("three of its descendants run", SOON, || async { (processes(mark).len() >= 3).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_child_that_crashes_in_a_call_says_so_and_is_started_again_with_its_tree_gone() {
    let stage = Stage::set(&plain(&[]), "").await;
    let ana = stage.session("ana", "one").await;
    let mark = mark(&stage, "crash");
    assert_eq!(ana.text("spawn", &json!({ "mark": mark })).await, "done");
    until_there(&mark).await;
    let crashed = ana.call("crash", &json!({})).await;
    assert_eq!(crashed.error_code(), Some(-32013), "it may have taken effect: {}", crashed.text());
    let meanwhile = ana.call("echo", &json!({})).await;
    assert_eq!(
        meanwhile.error_code(),
        Some(-32012),
        "nothing is sent during the pause: {}",
        meanwhile.text()
    );
    until_gone(&mark).await;
    let works = || async { (ana.call("echo", &json!({})).await.error_code().is_none()).then_some(()) };
    until("the same session works with a new process", SOON, works).await;
    let log = stage.app.log();
    assert!(log.contains("about to crash"), "its last words are in the log");
    assert!(log.contains("exit status: 3") && log.contains("started again at the next call"), "{log}");
}

#[tokio::test]
async fn nothing_is_left_of_a_tree_when_portunus_is_killed() {
    let mut stage = Stage::set(&plain(&[]), "").await;
    let mark = mark(&stage, "kill");
    let own = stage.app.dir().to_str().unwrap().to_owned();
    stage.session("ana", "one").await.text("spawn", &json!({ "mark": mark })).await;
    // One that does not even notice that its standard input has ended.
    let deaf = stage.session("bob", "one").await;
    let deaf = deaf.stream(deaf.request(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "deaf", "arguments": {} } }))).await;
    until_there(&mark).await;
    stage.app.kill();
    until_gone(&mark).await;
    drop((deaf, own));
}

#[tokio::test]
async fn nothing_is_left_of_a_tree_when_portunus_is_stopped_or_the_server_is_taken_out() {
    let mut stage = Stage::set(&plain(&[]), "").await;
    let first = mark(&stage, "out");
    stage.session("ana", "one").await.text("spawn", &json!({ "mark": first })).await;
    until_there(&first).await;
    let config = std::fs::read_to_string(stage.app.config_file()).unwrap();
    std::fs::write(stage.app.config_file(), config.replace("purpose: Tests", "purpose: Others")).unwrap();
    until("reloaded", SOON, || async { stage.app.log().contains("reloaded").then_some(()) }).await;
    assert!(processes(&first).len() >= 3, "a reload that does not concern the program leaves it alone");
    std::fs::write(stage.app.config_file(), config.replace("plain.py\"", "plain.py\", \"again\"")).unwrap();
    until_gone(&first).await;

    let second = mark(&stage, "stop");
    let ana = stage.session("ana", "one").await;
    ana.text("spawn", &json!({ "mark": second })).await;
    until_there(&second).await;
    stage.app.terminate();
    assert!(stage.app.ended(SOON).await.success());
    assert_eq!(processes(&second), Vec::<String>::new(), "Portunus waits for the end of its children");
}

#[tokio::test]
async fn a_program_finds_nothing_of_portunus_in_its_environment() {
    let stage = Stage::set(&plain(&[]), ", env: { KEY: s3cret-value, LANG: C.UTF-8 }, cwd: state").await;
    let ana = stage.session("ana", "one").await;
    let found: BTreeMap<String, String> = serde_json::from_str(&ana.text("env", &json!({})).await).unwrap();
    // Python itself sets LC_CTYPE in some locales.
    let known = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "KEY", "LC_CTYPE"];
    let strange: Vec<_> = found.keys().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(found["KEY"], "s3cret-value");
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "there was something to leave out");
    // Its own three pipes, and at most what the test itself was started with; no socket, no file of Portunus.
    let open = ana.text("descriptors", &json!({})).await;
    let ours = stage.app.dir().to_str().unwrap();
    assert!(open.contains("pipe:") && !open.contains("socket:") && !open.contains(ours), "{open}");

    let loud = "got s3cret-value \u{1b}]0;title\u{7} ";
    assert_eq!(ana.text("stderr", &json!({ "text": loud, "lines": 20_000 })).await, "done");
    until("lines are left out", SOON, || async {
        stage.app.log().contains("lines were not logged").then_some(())
    })
    .await;
    let log = stage.app.log();
    assert!(
        !log.contains("s3cret-value") && log.contains("[KEY]"),
        "a secret of its environment is not logged"
    );
    assert!(!log.contains('\u{7}') && log.contains("\\u{7}"), "control characters are escaped");
    assert!(log.matches("[KEY]").count() < 2_000, "a flood is not logged: {}", log.matches("[KEY]").count());
    assert_eq!(ana.text("echo", &json!({})).await, "{}");
}

#[tokio::test]
async fn a_child_that_writes_what_is_no_message_is_borne_and_then_ended() {
    let stage = Stage::set(&plain(&[]), "").await;
    let ana = stage.session("ana", "one").await;
    assert_eq!(
        ana.text("garbage", &json!({ "lines": 100 })).await,
        "done",
        "a banner or a stray print is ignored"
    );
    assert_eq!(ana.text("big", &json!({ "bytes": 5_000_000 })).await.len(), 5_000_000);
    for (tool, arguments) in [("garbage", json!({ "lines": 5_000 })), ("long", json!({ "megabytes": 12 }))] {
        let ended = ana.call(tool, &arguments).await;
        assert_eq!(ended.error_code(), Some(-32013), "{tool}: {}", ended.text());
        let works = || async { (ana.call("echo", &json!({})).await.error_code().is_none()).then_some(()) };
        until("it works again", SOON, works).await;
    }
    let log = stage.app.log();
    assert!(log.contains("it writes no messages") && log.contains("a message that is too long"), "{log}");
}

#[tokio::test]
async fn a_program_that_does_not_start_or_never_answers_is_an_error_in_time() {
    let limits = "    limits: { timeout: 2s }\n";
    let broken = server_of_program("plain", &["/nowhere/server".to_owned()], "");
    let stage = Stage::of(&broken).await;
    let mut ana = stage.caller("ana", "one");
    let reply = ana.begin(&json!({})).await;
    assert_eq!(reply.error_code(), Some(-32012), "{}", reply.text());
    until("the log says why", SOON, || async {
        stage.app.log().contains("`/nowhere/server` could not be started").then_some(())
    })
    .await;
    // Without a handshake the request may be on its way when the end is seen.
    let modern = ana.modern("echo", &json!({})).await;
    assert!(matches!(modern.error_code(), Some(-32012 | -32013)), "{}", modern.text());
    drop(stage);

    let stage = Stage::of(&(server_of_program("plain", &plain(&["--silent"]), "") + limits)).await;
    let reply = stage.caller("ana", "one").begin(&json!({})).await;
    assert_eq!(reply.error_code(), Some(-32013), "no answer to the handshake: {}", reply.text());
    drop(stage);

    let stage = Stage::of(&(server_of_program("plain", &plain(&[]), "") + limits)).await;
    let ana = stage.session("ana", "one").await;
    let reply = ana.call("deaf", &json!({})).await;
    assert_eq!(reply.error_code(), Some(-32013), "{}", reply.text());
}

#[tokio::test]
async fn a_program_of_the_legacy_era_alone_serves_a_modern_client_through_the_bridge() {
    let stage = Stage::set(&plain(&["--legacy"]), "").await;
    let ana = stage.caller("ana", "one");
    let mut request = ana.modern_request("x", &json!({}));
    let mut body: Value = serde_json::from_slice(request.body()).unwrap();
    body["method"] = json!("server/discover");
    *request.body_mut() = body.to_string().into();
    request.headers_mut().insert("mcp-method", "server/discover".parse().unwrap());
    request.headers_mut().remove("mcp-name");
    let reply = ana.http.send(request).await.unwrap();
    assert_eq!(reply.json()["result"]["supportedVersions"][0], "2026-07-28", "{}", reply.text());
}
