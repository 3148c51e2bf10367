//! Credentials in the environment of a program: its own version for each call, through a rotation, and nowhere else.

use super::{Caller, PERMIT, SOON, Stage, plain, supervision};
use crate::app::{App, server_of_program, server_with, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};

const FIRST: &str = "canary-c0ffee-first-password";
const SECOND: &str = "canary-c0ffee-second-password";

/// `cred add` of a PostgreSQL role for the server `plain`.
fn add(app: &App, password: &str, more: &[&str]) -> Output {
    add_kind(app, ["--postgres", "reader"], password, more)
}

fn add_kind(app: &App, kind: [&str; 2], password: &str, more: &[&str]) -> Output {
    let mut command = Command::new(crate::app::BINARY);
    command.args([
        "cred",
        "add",
        "sales-db",
        "--server",
        "plain",
        "--host",
        "db.internal:5432",
        "--expires",
        "90d",
    ]);
    command.args(kind).args(["--owner", "ana@example.com", "--purpose", "Questions"]).args(more);
    command.env("PORTUNUS_STATE", app.state());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn digest(text: &str) -> String {
    portunus_core::digest::sha256(&[text.as_bytes()]).hex()
}

fn identity(reply: &crate::http::Reply) -> Value {
    let json = reply.json();
    let text = json["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{json}"));
    serde_json::from_str(text).unwrap()
}

async fn who(caller: &Caller, seconds: f64) -> Value {
    identity(&caller.call("identity", &json!({ "seconds": seconds })).await)
}

async fn stage(words: &[&str]) -> Stage {
    let command = plain(words);
    Stage::of(&server_with("plain", &format!("command: {command:?}, env: {{ PGUSER: nobody }}"), "sales-db"))
        .await
}

#[tokio::test]
async fn a_program_gets_role_and_password_and_a_rotation_fails_no_call() {
    let mark = format!("mark-{}", crate::app::free_port());
    let stage = stage(&[&mark]).await;
    let early = stage.caller("ana", "early").begin(&json!({})).await;
    assert_eq!(early.error_code(), Some(-32012), "no credential, no process: {}", early.text());
    assert!(supervision::processes(&mark).is_empty());

    good(&add(&stage.app, FIRST, &[]));
    let session = stage.session("ana", "one").await;
    let before = who(&session, 0.0).await;
    assert_eq!((&before["user"], &before["password_sha256"]), (&json!("reader"), &json!(digest(FIRST))));

    // Calls of both eras go on while the password changes.
    let calls = (0..6).map(|number| {
        let session = session.clone();
        async move {
            let mut seen = Vec::new();
            for _ in 0..12 {
                seen.push(match number % 2 {
                    0 => who(&session, 0.15).await,
                    _ => identity(&session.modern("identity", &json!({ "seconds": 0.15 })).await),
                });
            }
            seen
        }
    });
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        good(&add(&stage.app, SECOND, &["--replace"]));
    };
    let (seen, ()) = tokio::join!(futures_util::future::join_all(calls), change);
    for seen in &seen {
        let digests: Vec<_> =
            seen.iter().map(|one| one["password_sha256"].as_str().unwrap().to_owned()).collect();
        let changed =
            digests.iter().position(|one| *one == digest(SECOND)).expect("the new one is used in the end");
        assert!(digests[..changed].iter().all(|one| *one == digest(FIRST)), "{digests:?}");
        assert!(digests[changed..].iter().all(|one| *one == digest(SECOND)), "{digests:?}");
    }
    let pids: BTreeSet<u64> = seen.iter().flatten().map(|one| one["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids.len(), 4, "one process for each era and version");
    assert!(pids.contains(&before["pid"].as_u64().unwrap()));
    let gone = || async {
        // The new ones are in use.
        who(&session, 0.0).await;
        session.modern("identity", &json!({})).await;
        let old = before["pid"].as_u64().unwrap();
        (!std::path::Path::new(&format!("/proc/{old}")).exists()).then_some(())
    };
    until("the old process has ended", SOON, gone).await;

    let records = stage.app.records();
    let versions: BTreeSet<String> = records.iter().map(|record| record["credential"].to_string()).collect();
    for version in [1, 2] {
        let used = json!({ "name": "sales-db", "version": version }).to_string();
        assert!(versions.contains(&used), "{versions:?}");
    }
    let shown = format!("{}{}", stage.app.log(), records.iter().map(Value::to_string).collect::<String>());
    assert!(!shown.contains(FIRST) && !shown.contains(SECOND), "neither log nor record has a password");
}

#[tokio::test]
async fn a_password_that_a_program_prints_is_not_in_the_log() {
    let stage = stage(&[]).await;
    good(&add(&stage.app, FIRST, &[]));
    let session = stage.session("ana", "one").await;
    session.text("stderr", &json!({ "text": "password=$PGPASSWORD", "expand": true })).await;
    let logged = || async { stage.app.log().contains("password=[PGPASSWORD]").then_some(()) };
    until("its line is logged without it", SOON, logged).await;
    assert!(!stage.app.log().contains(FIRST));
}

#[tokio::test]
async fn a_credential_of_another_environment_or_kind_starts_no_process() {
    let mark = format!("mark-{}", crate::app::free_port());
    let stage = stage(&[&mark]).await;
    let said = |text: &str| stage.app.log().contains(text);
    good(&add(&stage.app, FIRST, &["--environment", "production"]));
    let refused = stage.caller("ana", "one").begin(&json!({})).await;
    assert_eq!(refused.error_code(), Some(-32012), "{}", refused.text());
    assert!(!refused.text().contains("production"), "clients hear nothing of it");
    assert!(supervision::processes(&mark).is_empty());
    assert!(said("belongs to the environment `production`") && said("`test`"), "{}", stage.app.log());
    for bad in ["PATH", "LD_PRELOAD", "ld_library_path", "NODE_OPTIONS", "A=B"] {
        let output = add_kind(&stage.app, ["--env", bad], FIRST, &[]);
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && why.contains("kind is not valid"), "{bad}: {why}");
    }
}

#[tokio::test]
async fn a_header_is_not_for_a_program() {
    let app =
        App::serve(&server_of_program("plain", &plain(&[]), "").replace(": none", ": wiki-token"), PERMIT)
            .await;
    let file = app.dir().join("token");
    std::fs::write(&file, FIRST).unwrap();
    app.admin(&[
        "cred",
        "add",
        "wiki-token",
        "--server",
        "plain",
        "--host",
        "a.example",
        "--owner",
        "ana",
        "--purpose",
        "x",
        "--expires",
        "1d",
        "--from-file",
        file.to_str().unwrap(),
        "--json",
    ]);
    let (http, url, port, token) = (app.http(), app.mcp_url("plain"), app.port, app.token("plain"));
    let mut caller = Caller { http, url, port, token, session: String::new() };
    assert_eq!(caller.begin(&json!({})).await.error_code(), Some(-32012));
    assert!(
        app.log().contains("is a program: it needs one of the kind environment, postgres or ssh"),
        "{}",
        app.log()
    );
}
