//! What a revoked credential still holds open: streams, calls, processes. All of it ends within a second, and neighbours
//! notice nothing.

use super::{Caller, PERMIT, Stream, plain, supervision};
use crate::app::{App, server_with, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// `cred add` of a variable for a server that is a program.
fn add(app: &App, server: &str) {
    let mut command = Command::new(crate::app::BINARY);
    command.args(["cred", "add", &format!("{server}-key"), "--server", server, "--host", "db.internal:5432"]);
    command.args(["--env", "API_KEY", "--vendor", server, "--owner", "ana@example.com"]);
    command.args(["--purpose", "Questions", "--expires", "90d"]).env("PORTUNUS_STATE", app.state());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"canary-7e57-revoked").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn session(app: &App, server: &str) -> Caller {
    let (http, url, port, token) = (app.http(), app.mcp_url(server), app.port, app.token(server));
    let mut caller = Caller { http, url, port, token, session: String::new() };
    caller.begin(&json!({})).await;
    caller
}

fn tool(name: &str, arguments: &Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments, "_meta": { "progressToken": "t" } });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })
}

/// A call's stream of progress.
async fn progress(caller: &Caller, steps: u32) -> Stream {
    let body = tool("progress", &json!({ "steps": steps, "pause": 0.05 }));
    let mut stream = caller.stream(caller.request(&body)).await;
    stream.until("notifications/progress").await;
    stream
}

/// The stream of a session from server to client.
async fn listen(caller: &Caller) -> Stream {
    let mut request = caller.request(&json!({}));
    *request.method_mut() = http::Method::GET;
    *request.body_mut() = bytes::Bytes::new();
    let mut stream = caller.stream(request).await;
    stream.until("200 OK").await;
    stream
}

/// All that the stream says up to this text, and when that came.
fn hear(mut stream: Stream, text: &'static str) -> tokio::task::JoinHandle<(String, Instant)> {
    tokio::spawn(async move { (stream.until(text).await, Instant::now()) })
}

async fn holds_nothing_open(revoke: &[&str]) {
    let mark = format!("mark-{}", crate::app::free_port());
    let server = |name: &str, words: &[&str]| {
        server_with(name, &format!("command: {:?}", plain(words)), &format!("{name}-key"))
    };
    let servers = format!("{}{}", server("plain", &[&mark]), server("other", &[]));
    let app = App::serve(&servers, PERMIT).await;
    for name in ["plain", "other"] {
        add(&app, name);
    }
    let (doomed, neighbour) = (session(&app, "plain").await, session(&app, "other").await);
    // Processes that have the secret, ignore every signal that can be ignored, and have left their session.
    doomed.call("spawn", &json!({ "mark": mark })).await;
    let alive = || async { (supervision::processes(&mark).len() >= 4).then_some(()) };
    until("the program and what it started", super::SOON, alive).await;

    let waiting = tokio::spawn({
        let doomed = doomed.clone();
        async move { (doomed.call("slow", &json!({ "seconds": 60 })).await.text(), Instant::now()) }
    });
    let (calls, listens) = (progress(&doomed, 10_000).await, listen(&doomed).await);
    let streams = [hear(calls, "revoked"), hear(listens, "revoked")];
    let goes_on = hear(progress(&neighbour, 60).await, "\"result\"");
    let heard = listen(&neighbour).await;
    app.admin(revoke);
    let revoked = Instant::now();
    let gone = || async { supervision::processes(&mark).is_empty().then_some(()) };
    until("every process that has the secret is gone", super::SOON, gone).await;
    assert!(revoked.elapsed() < SECOND, "{:?}", revoked.elapsed());
    let (answer, at) = waiting.await.unwrap();
    assert!(at.saturating_duration_since(revoked) < SECOND && answer.contains("revoked"), "{answer}");
    for stream in streams {
        let (said, at) = stream.await.unwrap();
        assert!(at.saturating_duration_since(revoked) < SECOND, "{said}");
    }
    let again = doomed.call("pid", &json!({})).await;
    assert_eq!(again.error_code(), Some(-32012), "nothing starts again: {}", again.text());

    let (said, _) = goes_on.await.unwrap();
    assert!(!said.contains("\"error\""), "{said}");
    assert_eq!(neighbour.call("pid", &json!({})).await.error_code(), None);
    drop(heard);
    assert!(!app.log().contains("canary-7e57"));
}

// The command waits for what it revokes.
#[tokio::test(flavor = "multi_thread")]
async fn streams_calls_and_processes_end_with_their_credential_and_a_neighbour_s_go_on() {
    holds_nothing_open(&["cred", "revoke", "plain-key", "--json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_s_kill_ends_what_its_credentials_hold_open() {
    holds_nothing_open(&["kill", "--vendor", "plain", "--json"]).await;
}
