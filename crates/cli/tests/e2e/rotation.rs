//! Secrets that a running edge changes, also when it is killed in the middle.

use crate::app::{App, BINARY, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FIRST: &str = "first-key-of-the-service-90d1";
const ADMIN: &str = "key-of-the-administrator-7741";

/// Stops where it is told to, so that whoever waits for that can kill the edge just there; else it is the plug-in.
const GATE: &str = r#"#!/usr/bin/env python3
import json, os, subprocess, sys, time
here = os.path.dirname(os.path.abspath(__file__))
question = sys.stdin.read()
step = json.loads(question)["step"]
def gate(when):
    if os.path.exists(f"{here}/stop-{step}-{when}"):
        open(f"{here}/reached", "w").close()
        time.sleep(60)
gate("before")
answer = subprocess.run([f"{here}/api-keys.py"], input=question, capture_output=True, text=True).stdout
gate("after")
print(answer)
"#;

struct Stage {
    app: App,
    upstream: Upstream,
    token: String,
    directory: PathBuf,
}

impl Stage {
    async fn set() -> Self {
        let upstream = Upstream::start().await;
        let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
        let edit = |directory: &Path, configuration: String| {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/rotators/api-keys.py");
            program(&directory.join("api-keys.py"), &std::fs::read_to_string(shipped).unwrap());
            program(&directory.join("gate.py"), GATE);
            std::fs::write(directory.join("keys.json"), json!({ "by hand": digest(FIRST) }).to_string())
                .unwrap();
            let gate = directory.join("gate.py");
            format!("{configuration}rotators:\n  keys: {{ exec: [{}], secret: theirs }}\n", gate.display())
        };
        let app = App::serve_as(&server, PERMIT_ALL, edit, &[]).await;
        let token = app.token("wiki");
        let directory = app.dir().to_owned();
        let stage = Self { app, upstream, token, directory };
        let (host, file) = (stage.upstream.host(), stage.directory.join("keys.json"));
        stage.add("wiki-admin", &["--host", "keys.exec", "--rotator", "root"], ADMIN);
        let file = format!("file={}", file.display());
        let plan =
            ["--rotate", "exec", "--every", "30d", "--set", "plugin=keys", "--set", "admin=wiki-admin"];
        let more = [&["--host", &host][..], &plan, &["--set", &file]].concat();
        stage.add("wiki-token", &more, FIRST);
        let shown = stage.rotation();
        assert_eq!(shown["plan"]["every_seconds"], 2_592_000, "{shown}");
        assert_eq!(shown["problem"], Value::Null, "{shown}");
        stage
    }

    fn add(&self, name: &str, more: &[&str], secret: &str) {
        let mut command = Command::new(BINARY);
        command.args(["cred", "add", name, "--server", "wiki", "--owner", "ana@example.com"]);
        command.args(["--purpose", "the wiki", "--expires", "90d"]).args(more);
        command.env("PORTUNUS_STATE", self.app.state());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// One call; the secret that the upstream was given with it.
    async fn call(&self) -> String {
        let request = call(&self.app.mcp_url("wiki"), &self.token, "echo", &json!({ "text": "hello" }));
        let reply = self.app.http().send(request).await.unwrap();
        assert_eq!(reply.error_code(), None, "{}", reply.text());
        let seen = self.upstream.calls();
        let header = seen.last().unwrap().headers["authorization"].to_str().unwrap().to_owned();
        header.strip_prefix("Bearer ").unwrap().to_owned()
    }

    fn keys(&self) -> Vec<String> {
        let text = std::fs::read(self.directory.join("keys.json")).unwrap();
        let keys: serde_json::Map<String, Value> = serde_json::from_slice(&text).unwrap();
        keys.values().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    fn rotation(&self) -> Value {
        self.app.admin(&["cred", "rotation", "show", "wiki-token", "--json"])
    }

    async fn until_done(&self, version: u64) {
        until("the rotation is done", Duration::from_secs(60), || {
            let shown = self.rotation();
            let done = shown["rotation"]["step"] == "done" && shown["rotation"]["to"] == version;
            std::future::ready(done.then_some(()))
        })
        .await;
    }
}

fn digest(secret: &str) -> String {
    portunus_core::digest::sha256(&[secret.as_bytes()]).hex()
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_secret_is_rotated_on_demand_and_the_ledger_tells_each_step_without_it() {
    let stage = Stage::set().await;
    assert_eq!(stage.call().await, FIRST);
    let done = stage.app.command(&["cred", "rotate", "wiki-token", "--wait"]);
    let (said, steps) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}{steps}");
    assert!(said.contains("is at version 2; version 1 is dead"), "{said}");
    let second = stage.call().await;
    assert_ne!(second, FIRST);
    assert_eq!(stage.keys(), [digest(&second)]);
    let actions: Vec<String> = stage
        .app
        .records()
        .iter()
        .filter_map(|record| {
            record["action"].as_str()?.strip_prefix("credential.rotation.").map(str::to_owned)
        })
        .collect();
    let expected =
        ["requested", "create", "verify", "switch", "drain", "disable", "verify_dead", "delete", "finished"];
    assert_eq!(actions, expected);
    let everything = format!("{:?}{}{said}{steps}{}", stage.app.records(), stage.app.log(), stage.rotation());
    for secret in [FIRST, ADMIN, &second] {
        assert!(!everything.contains(secret), "{secret}");
    }
    // What rotators work with is refused to calls, and the kill switch stops what would begin.
    stage.app.admin(&["cred", "rotation", "pause", "--json"]);
    let paused = stage.app.command(&["cred", "rotate", "wiki-token"]);
    assert!(String::from_utf8_lossy(&paused.stderr).contains("rotations are paused"));
    stage.app.admin(&["cred", "rotation", "resume", "--json"]);
    let unplanned = stage.app.command(&["cred", "rotate", "wiki-admin"]);
    assert!(String::from_utf8_lossy(&unplanned.stderr).contains("has no rotation plan"));
    stage.app.verify();
}

#[tokio::test]
async fn an_edge_that_is_killed_in_any_question_to_an_upstream_goes_on_when_it_is_back() {
    let mut stage = Stage::set().await;
    let mut version = 1;
    for step in ["create", "verify", "disable", "verify_dead", "delete"] {
        for when in ["before", "after"] {
            version += 1;
            let (stop, reached) =
                (stage.directory.join(format!("stop-{step}-{when}")), stage.directory.join("reached"));
            std::fs::write(&stop, "").unwrap();
            stage.app.admin(&["cred", "rotate", "wiki-token", "--json"]);
            let stopped = || std::future::ready(reached.exists().then_some(()));
            until(&format!("the plug-in is asked to {step}"), Duration::from_secs(30), stopped).await;
            stage.app.kill();
            std::fs::remove_file(&stop).unwrap();
            std::fs::remove_file(&reached).unwrap();
            stage.app.restart().await;
            stage.until_done(version).await;
            let secret = stage.call().await;
            assert_eq!(stage.keys(), [digest(&secret)], "{when} {step}");
            let shown = stage.app.admin(&["cred", "show", "wiki-token", "--json"]);
            let states: Vec<_> =
                shown["versions"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
            assert_eq!(
                states.iter().filter(|state| **state == "active").count(),
                1,
                "{when} {step}: {shown}"
            );
            assert!(states.iter().all(|state| *state == "active" || *state == "retired"), "{shown}");
            assert_eq!(shown["tested"]["outcome"], "dead", "{when} {step}: {shown}");
        }
    }
    stage.app.verify();
}
