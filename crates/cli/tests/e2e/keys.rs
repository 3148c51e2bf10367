//! Upstream credentials: in through standard input, out only to their own upstream.

use crate::app::{App, BINARY, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Reply, call};
use crate::upstream::Upstream;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CANARY: &str = "canary-5f1d8c1e-upstream-secret";

struct Stage {
    app: App,
    upstream: Upstream,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let upstream = Upstream::start().await;
        let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
        let app = App::serve(&server, PERMIT_ALL).await;
        let token = app.token("wiki");
        Self { app, upstream, token }
    }

    async fn call(&self) -> Reply {
        let request = call(&self.app.mcp_url("wiki"), &self.token, "echo", &json!({ "text": "hello" }));
        self.app.http().send(request).await.unwrap()
    }

    fn add(&self, host: &str, more: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(["cred", "add", "wiki-token", "--server", "wiki", "--host", host]).args(more);
        command.args(["--purpose", "reads the wiki"]);
        command.env("PORTUNUS_STATE", self.app.state());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{CANARY}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const OWNED: [&str; 4] = ["--owner", "ana@example.com", "--expires", "90d"];

#[tokio::test]
async fn a_credential_is_injected_upstream_and_appears_nowhere_else() {
    let stage = Stage::set().await;
    let before = stage.call().await;
    assert_eq!(before.error_code(), Some(-32012), "no credential, no call: {}", before.text());
    assert!(stage.upstream.calls().is_empty());

    good(&stage.add(&stage.upstream.host(), &OWNED));
    let reply = stage.call().await;
    assert_eq!(reply.error_code(), None, "{}", reply.text());
    let seen = &stage.upstream.calls()[0];
    assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}"));
    assert!(
        !format!("{:?}", seen.headers).contains(&stage.token),
        "the client's own token stays at the edge"
    );
    assert!(!reply.text().contains(CANARY));

    let records = stage.app.records();
    let intent = records.iter().rfind(|record| record["kind"] == "intent").unwrap();
    assert_eq!(intent["credential"], json!({ "name": "wiki-token", "version": 1 }));
    let shown =
        String::from_utf8(stage.app.command(&["cred", "show", "wiki-token", "--json"]).stdout).unwrap();
    assert!(shown.contains("ana@example.com") && !shown.contains(CANARY), "{shown}");
    for file in files(stage.app.dir()) {
        let found = std::fs::read(&file)
            .unwrap_or_default()
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes());
        assert!(!found, "the secret is in {}", file.display());
    }
}

#[tokio::test]
async fn an_expired_and_a_revoked_credential_are_not_used() {
    let stage = Stage::set().await;
    let expiring = ["--owner", "ana@example.com", "--expires", "3s"];
    good(&stage.add(&stage.upstream.host(), &expiring));
    assert_eq!(stage.call().await.error_code(), None);
    let expired = || async { (stage.call().await.error_code() == Some(-32012)).then_some(()) };
    until("the credential has expired", Duration::from_secs(15), expired).await;

    good(
        &stage.add(&stage.upstream.host(), &["--owner", "ana@example.com", "--expires", "90d", "--replace"]),
    );
    assert_eq!(stage.call().await.error_code(), None);
    stage.app.admin(&["cred", "revoke", "wiki-token", "--json"]);
    let sent = stage.upstream.calls().len();
    assert_eq!(stage.call().await.error_code(), Some(-32012), "revoked");
    assert_eq!(stage.upstream.calls().len(), sent, "and nothing was sent");
}

#[tokio::test]
async fn a_credential_goes_to_its_own_host_only_and_a_new_version_changes_nothing_but_the_secret() {
    let stage = Stage::set().await;
    good(&stage.add("elsewhere.example.com", &OWNED));
    assert_eq!(stage.call().await.error_code(), Some(-32012), "bound to another host");
    assert!(stage.upstream.calls().is_empty());
    let output = stage.add(&stage.upstream.host(), &[&OWNED[..], &["--replace"]].concat());
    assert_eq!(output.status.code(), Some(1), "a new version for another host");
    assert!(String::from_utf8_lossy(&output.stderr).contains("host"), "it says why");
    good(&stage.add("elsewhere.example.com", &[&OWNED[..], &["--replace"]].concat()));
    let shown = stage.app.admin(&["cred", "show", "wiki-token", "--json"]);
    assert_eq!(shown["version"], 2, "{shown}");
}

#[tokio::test]
async fn a_credential_without_owner_or_in_an_argument_is_refused() {
    let stage = Stage::set().await;
    for words in [
        &["--owner", "", "--expires", "90d"][..],
        &["--expires", "90d"],
        &["--owner", "a@b.test", "--expires", "90d", "--secret", "x"],
    ] {
        let output = stage.add(&stage.upstream.host(), words);
        assert!(!output.status.success(), "{words:?}");
        assert!(!output.stderr.is_empty());
    }
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_secret_in_a_query_is_flagged_and_a_redirect_takes_it_nowhere() {
    let elsewhere = Upstream::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        elsewhere.url
    );
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n")
                && stream.read_buf(&mut head).await.unwrap() > 0
            {}
            told.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let app =
        App::serve(&server_with("wiki", &format!("url: 'http://{host}/mcp'"), "wiki-token"), PERMIT_ALL)
            .await;
    let (upstream, token) = (elsewhere.clone(), app.token("wiki"));
    let stage = Stage { app, upstream, token };
    let added = stage.add(&host, &[&OWNED[..], &["--query", "api_key"]].concat());
    good(&added);
    assert!(String::from_utf8_lossy(&added.stderr).contains("URL's query"), "it warns");
    for _ in 0..2 {
        let reply = stage.call().await;
        assert!(reply.status != 200 || reply.error_code().is_some(), "{}", reply.text());
        assert!(!reply.status.to_string().starts_with('3') && reply.header("location").is_none());
        assert!(!reply.text().contains(CANARY));
    }
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    for line in asked {
        assert!(line.contains(&format!("/mcp?api_key={CANARY} ")), "{line}");
    }
    assert!(elsewhere.seen().is_empty(), "where the redirect leads nobody asked");
    let log = stage.app.log();
    assert_eq!(log.matches("a credential goes into the URL's query").count(), 1, "{log}");
    assert!(!log.contains(CANARY), "and the log has no URL with it");
}
