//! Changing the sealing key of a running edge, also of one that is killed in the middle.

use super::canary::memory;
use super::{add, echo, status};
use crate::app::{App, BINARY, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECRET: &str = "a-secret-that-outlives-its-sealing-key";

async fn stage() -> (App, Upstream, String) {
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let app = App::serve(&server, PERMIT_ALL).await;
    add(&app, "wiki-token", &upstream.host(), SECRET, &[]);
    let token = app.token("wiki");
    (app, upstream, token)
}

fn rename(app: &App, from: &str, to: &str) {
    let text = std::fs::read_to_string(app.config_file()).unwrap();
    assert!(text.contains(from));
    std::fs::write(app.config_file(), text.replace(from, to)).unwrap();
}

fn carried(upstream: &Upstream) -> String {
    upstream.calls().last().unwrap().headers["authorization"].to_str().unwrap().to_owned()
}

/// Some bytes in a row of a key's file without those that end what `grep` takes for a line.
fn part_of_key(file: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(file).unwrap();
    let key = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).unwrap();
    key.windows(10).find(|part| !part.contains(&0)).unwrap().to_vec()
}

/// Whether a process has these bytes in its memory.
fn holds(pid: u32, bytes: &[u8]) -> bool {
    let pattern: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let mut command = Command::new("grep");
    command
        .args(["-z", "-a", "-c", "-P", &pattern])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let memory = memory(pid);
    let found = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&memory).unwrap());
        child.wait_with_output().unwrap()
    });
    found.status.code() == Some(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealing_key_changes_under_calls_and_the_old_one_is_proven_unneeded() {
    let (app, upstream, token) = stage().await;
    let app = Arc::new(app);
    let before = status(&app);
    assert_eq!(before["epochs"].as_array().unwrap().len(), 1);
    let sealed = before["epochs"][0]["values"].as_u64().unwrap();
    assert!(sealed >= 4, "a credential, two authorities, two keys: {before}");
    let old = part_of_key(&app.state().join("sealing.key"));
    assert!(holds(app.pid(), &old), "the search finds the key where it is");
    let stop = Arc::new(AtomicBool::new(false));
    let calls = tokio::spawn({
        let (app, token, stop) = (app.clone(), token.clone(), stop.clone());
        async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let reply = echo(&app, &token).await;
                assert_eq!(reply.error_code(), None, "{}", reply.text());
                made += 1;
            }
            made
        }
    });
    let new = app.state().join("second.key");
    let changed = tokio::task::block_in_place(|| {
        app.admin(&["cred", "rewrap", "--new-key-file", new.to_str().unwrap(), "--json"])
    });
    stop.store(true, Ordering::Relaxed);
    assert!(calls.await.unwrap() > 5);
    assert_eq!(changed["epochs"][0]["values"], 0, "{changed}");
    assert_eq!(changed["epochs"][1]["values"], sealed);
    assert!(changed["epochs"][0]["retired_at"].is_u64());
    assert_eq!((&changed["unknown"], &changed["damaged"]), (&json!(0), &json!(0)));
    let told = app.command(&["cred", "rewrap", "--status"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("nothing is sealed with a former key") && told.contains("second.key"), "{told}");
    assert!(!holds(app.pid(), &old), "the old key is still in memory");
    let again = app.command(&["cred", "rewrap"]);
    assert_eq!(again.status.code(), Some(1), "portunus.yaml still names the old key");
    let events: Vec<Value> = app.records().into_iter().filter(|r| r["kind"] == "event").collect();
    for action in ["sealing_key.changed", "sealing_key.rewrapped"] {
        assert!(events.iter().any(|event| event["action"] == action), "{action}");
    }
    assert!(events.iter().any(|event| event["by"] == "admin" && event["action"] == "sealing_key.changed"));
    // Without the old key, and with the configuration naming the new one.
    let mut app = Arc::into_inner(app).unwrap();
    app.kill();
    std::fs::remove_file(app.state().join("sealing.key")).unwrap();
    rename(&app, "state/sealing.key", "state/second.key");
    app.restart().await;
    assert_eq!(echo(&app, &token).await.error_code(), None);
    assert_eq!(carried(&upstream), format!("Bearer {SECRET}"));
    app.verify();
}

#[tokio::test]
async fn an_edge_killed_while_it_rewraps_goes_on_when_it_starts_again() {
    let (mut app, upstream, token) = stage().await;
    for number in 0..40 {
        add(&app, &format!("other-{number}"), "api.example.com", "another-secret", &[]);
    }
    let new = app.state().join("second.key");
    let mut command = Command::new(BINARY)
        .args(["cred", "rewrap", "--new-key-file", new.to_str().unwrap()])
        .env("PORTUNUS_STATE", app.state())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = || async { (status(&app)["progress"]["rewrapped"].as_u64() > Some(0)).then_some(()) };
    until("something is rewrapped", Duration::from_secs(30), begun).await;
    app.kill();
    assert!(!command.wait().unwrap().success(), "the command says that the edge is gone");
    // Both keys are needed until it is done, and one that is gone is named.
    let old = app.state().join("sealing.key");
    std::fs::rename(&old, app.state().join("away")).unwrap();
    let refused = Command::new(BINARY).arg("serve").arg("-c").arg(app.config_file()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("sealing.key"), "{said}");
    std::fs::rename(app.state().join("away"), &old).unwrap();
    app.restart().await;
    let done = || async { (status(&app)["progress"]["unfinished"] == false).then_some(()) };
    until("it is done", Duration::from_secs(60), done).await;
    let now = status(&app);
    assert_eq!(now["epochs"][0]["values"], 0, "{now}");
    assert!(now["epochs"][1]["values"].as_u64() >= Some(44));
    app.kill();
    std::fs::remove_file(old).unwrap();
    rename(&app, "state/sealing.key", "state/second.key");
    app.restart().await;
    assert_eq!(echo(&app, &token).await.error_code(), None);
    assert_eq!(carried(&upstream), format!("Bearer {SECRET}"));
    let rewrapped = app.records().into_iter().filter(|r| r["action"] == "sealing_key.rewrapped").count();
    assert_eq!(rewrapped, 1);
    app.verify();
}
