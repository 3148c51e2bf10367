//! Secrets that are in no file: of running programs, and in OpenBao.

use super::{discover, found, said};
use crate::app::{free_port, until};
use crate::clients;
use crate::http::Http;
use crate::upstreams::servers;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn running_servers_are_found_with_what_they_were_given_and_what_they_inherited() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(servers().join("plain.py")).args(["--name", "demo-mcp", "--api-key", "given-secret-1"]);
    command.env("INHERITED_TOKEN", "inherited-secret-2").env("HARMLESS", "value");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let pid = running.0.id();
    let all = found(home.path(), &["--processes"]);
    let process = all["processes"].as_array().unwrap().iter().find(|process| process["pid"] == pid);
    assert!(process.is_some(), "{all:#}");
    let at: Vec<&str> = all["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|secret| secret["place"].as_str().is_some_and(|place| place.starts_with(&format!("{pid} "))))
        .map(|secret| secret["at"].as_str().unwrap())
        .collect();
    assert!(at.contains(&"args.5 --api-key") && at.contains(&"env.INHERITED_TOKEN"), "{at:?}");
    assert!(!at.iter().any(|at| at.contains("HARMLESS")), "{at:?}");
    let printed = all.to_string() + &said(&discover(home.path(), &["--processes"]));
    assert!(!printed.contains("given-secret-1") && !printed.contains("inherited-secret-2"), "{printed}");
}

/// `bao server -dev-tls` with two KV engines.
struct Bao {
    _running: Running,
    url: String,
    http: Http,
    dir: tempfile::TempDir,
}

impl Bao {
    async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let log = std::fs::File::create(dir.path().join("bao.log")).unwrap();
        let mut command = Command::new(clients::directory().join(".venv-keys/bin/bao"));
        command.args(["server", "-dev-tls", "-dev-root-token-id=root", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.arg(format!("-dev-tls-cert-dir={}", dir.path().display()));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let running = Running(command.spawn().expect("run tests/clients/setup.sh"));
        let ca = dir.path().join("vault-ca.pem");
        let ready = || async {
            let pem = std::fs::read(&ca).ok().filter(|pem| pem.ends_with(b"-----END CERTIFICATE-----\n"))?;
            let http = Http::trusting(&pem);
            let reply = http.get(&format!("https://127.0.0.1:{port}/v1/sys/health")).await.ok()?;
            (reply.status == 200).then_some(http)
        };
        let http = until("OpenBao is ready", Duration::from_secs(60), ready).await;
        Self { _running: running, url: format!("https://127.0.0.1:{port}"), http, dir }
    }

    async fn put(&self, path: &str, body: &Value) -> Value {
        let request = Request::post(format!("{}/v1/{path}", self.url)).header("x-vault-token", "root");
        let reply = self.http.send(request.body(Bytes::from(body.to_string())).unwrap()).await.unwrap();
        assert!(reply.status < 300, "{path}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap_or_default()
    }

    /// A file with a token that may do this.
    async fn token(&self, rules: &str) -> PathBuf {
        self.put("sys/policies/acl/look", &json!({ "policy": rules })).await;
        let token = self.put("auth/token/create", &json!({ "policies": ["look"] })).await;
        let file = self.dir.path().join("token");
        std::fs::write(&file, format!("{}\n", token["auth"]["client_token"].as_str().unwrap())).unwrap();
        file
    }
}

#[tokio::test]
async fn paths_of_a_real_openbao_are_listed_with_fingerprints_alone() {
    let bao = Bao::start().await;
    bao.put("sys/mounts/old", &json!({ "type": "kv", "options": { "version": "1" } })).await;
    bao.put(
        "secret/data/mcp/github",
        &json!({ "data": { "token": "bao-secret-1", "nested": { "pin": 904_211 } } }),
    )
    .await;
    bao.put("secret/data/mcp/deep/er/one", &json!({ "data": { "key": "bao-secret-2" } })).await;
    bao.put("secret/data/other", &json!({ "data": { "key": "bao-secret-3" } })).await;
    bao.put("old/mcp", &json!({ "token": "bao-secret-1", "empty": "" })).await;
    let rules = "path \"secret/metadata/mcp/*\" { capabilities = [\"list\"] }
        path \"secret/data/mcp/*\" { capabilities = [\"read\"] }
        path \"old/*\" { capabilities = [\"list\", \"read\"] }";
    let (token, home) = (bao.token(rules).await, tempfile::tempdir().unwrap());
    let ca = bao.dir.path().join("vault-ca.pem");
    let words =
        ["--openbao", &bao.url, "--token-file", token.to_str().unwrap(), "--ca", ca.to_str().unwrap()];
    let words = [&words[..], &["--path", "secret/mcp/", "--path", "old"]].concat();
    let all = found(home.path(), &words);
    let rows = all["secrets"].as_array().unwrap();
    let mut found: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["place"].as_str().unwrap(), row["at"].as_str().unwrap())).collect();
    found.sort_unstable();
    let wanted = [
        ("old/mcp", "token"),
        ("secret/mcp/deep/er/one", "key"),
        ("secret/mcp/github", "nested.pin"),
        ("secret/mcp/github", "token"),
    ];
    assert_eq!(found, wanted, "{all:#}");
    let print = |place: &str, at: &str| {
        &rows.iter().find(|row| row["place"] == place && row["at"] == at).unwrap()["fingerprint"]
    };
    assert_eq!(print("old/mcp", "token"), print("secret/mcp/github", "token"));
    let printed = all.to_string() + &said(&discover(home.path(), &words));
    for secret in ["bao-secret-1", "bao-secret-2", "904211"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    // What the token may not see is said, and nothing else of it.
    let words = [
        "--openbao",
        &bao.url,
        "--token-file",
        token.to_str().unwrap(),
        "--ca",
        ca.to_str().unwrap(),
        "--path",
        "secret/other",
    ];
    let output = discover(home.path(), &words);
    assert!(said(&output).contains("403"), "{}", said(&output));
    // A token is never sent without TLS, nor to a name that is not the certificate's.
    for url in [bao.url.replace("https", "http"), bao.url.replace("https://", "https://root:x@")] {
        let output = discover(
            home.path(),
            &["--openbao", &url, "--token-file", token.to_str().unwrap(), "--path", "secret"],
        );
        assert!(!output.status.success(), "{}", said(&output));
    }
}
