//! Real key services: OpenBao's transit engine over TLS, and an implementation of AWS KMS.

use super::{add, echo, status};
use crate::app::{App, BINARY, free_port, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::clients;
use crate::http::Http;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FILE: &str = "sealing_key: { file: state/sealing.key }";
const SECRET: &str = "kept-by-a-key-service";

/// A program that serves; killed when dropped.
struct Service(Child);

impl Service {
    fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().expect("run tests/clients/setup.sh"))
    }
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tool(name: &str) -> Command {
    Command::new(clients::directory().join(".venv-keys/bin").join(name))
}

fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> Request<Bytes> {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::from(body.to_string())).unwrap()
}

/// `bao server -dev-tls`, with a transit key and a token that may use it and nothing else.
struct Bao {
    service: Service,
    url: String,
    http: Http,
    dir: tempfile::TempDir,
}

impl Bao {
    async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = tool("bao");
        command.args(["server", "-dev-tls", "-dev-root-token-id=root", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.arg(format!("-dev-tls-cert-dir={}", dir.path().display()));
        let service = Service::start(command, &dir.path().join("bao.log"));
        let ca = dir.path().join("vault-ca.pem");
        let ready = || async {
            let pem = std::fs::read(&ca).ok().filter(|pem| pem.ends_with(b"-----END CERTIFICATE-----\n"))?;
            let http = Http::trusting(&pem);
            let reply = http.get(&format!("https://127.0.0.1:{port}/v1/sys/health")).await.ok()?;
            (reply.status == 200).then_some(http)
        };
        let http = until("OpenBao is ready", Duration::from_secs(60), ready).await;
        let bao = Self { service, url: format!("https://127.0.0.1:{port}"), http, dir };
        bao.root("sys/mounts/transit", &json!({ "type": "transit" })).await;
        bao.root("transit/keys/portunus", &json!({})).await;
        let rule =
            |what: &str| format!("path \"transit/{what}/portunus\" {{ capabilities = [\"update\"] }}\n");
        bao.root("sys/policies/acl/seal", &json!({ "policy": rule("encrypt") + &rule("decrypt") })).await;
        let token = bao.root("auth/token/create", &json!({ "policies": ["seal"] })).await;
        std::fs::write(bao.token_file(), format!("{}\n", token["auth"]["client_token"].as_str().unwrap()))
            .unwrap();
        bao
    }
    async fn root(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/v1/{path}", self.url);
        let reply = self.http.send(post(&url, &[("x-vault-token", "root")], body)).await.unwrap();
        assert!(reply.status < 300, "{path}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap_or_default()
    }
    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }
    fn configuration(&self) -> String {
        let (token, ca) = (self.token_file(), self.dir.path().join("vault-ca.pem"));
        format!(
            "sealing_key: {{ openbao: {{ address: {:?}, key: portunus, token_file: {token:?}, ca: {ca:?} }} }}",
            self.url
        )
    }
}

/// Starts it to the end: why it does not.
fn refused(app: &App) -> String {
    let output = Command::new(BINARY).arg("serve").arg("-c").arg(app.config_file()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn reconfigure(app: &App, from: &str, to: &str) {
    let text = std::fs::read_to_string(app.config_file()).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(app.config_file(), text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn openbao_wraps_the_sealing_key_and_is_asked_at_the_start_alone() {
    let bao = Bao::start().await;
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let own = bao.configuration();
    let mut app = App::serve_as(&server, PERMIT_ALL, |_, text| text.replace(FILE, &own), &[]).await;
    assert!(!app.state().join("sealing.key").exists());
    // Nobody asks it any more: an OpenBao that stands still is not noticed.
    bao.service.signal("-STOP");
    add(&app, "wiki-token", &upstream.host(), SECRET, &[]);
    let token = app.token("wiki");
    assert_eq!(echo(&app, &token).await.error_code(), None);
    assert_eq!(upstream.calls()[0].headers["authorization"], format!("Bearer {SECRET}"));
    bao.service.signal("-CONT");
    app.kill();
    app.restart().await;
    assert_eq!(echo(&app, &token).await.error_code(), None);
    // A new version of the transit key, a new sealing key wrapped by it; the old version is taken away.
    bao.root("transit/keys/portunus/rotate", &json!({})).await;
    let changed = tokio::task::spawn_blocking({
        let state = app.state();
        move || {
            Command::new(BINARY)
                .args(["cred", "rewrap", "--json"])
                .env("PORTUNUS_STATE", state)
                .output()
                .unwrap()
        }
    });
    let changed: Value = serde_json::from_slice(&changed.await.unwrap().stdout).unwrap();
    assert_eq!(
        (&changed["epochs"][0]["values"], &changed["progress"]["unfinished"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(changed["epochs"][1]["source"], "the transit key portunus");
    bao.root(
        "transit/keys/portunus/config",
        &json!({ "min_decryption_version": 2, "deletion_allowed": true }),
    )
    .await;
    app.kill();
    app.restart().await;
    assert_eq!(echo(&app, &token).await.error_code(), None);
    app.kill();
    // What is not allowed or not there is said with its place, without the token.
    let secret = std::fs::read_to_string(bao.token_file()).unwrap();
    std::fs::write(bao.token_file(), "s.nobody").unwrap();
    let said = refused(&app);
    assert!(said.contains("403") && said.contains(&bao.url) && !said.contains("s.nobody"), "{said}");
    std::fs::write(bao.token_file(), &secret).unwrap();
    let deleted =
        Request::delete(format!("{}/v1/transit/keys/portunus", bao.url)).header("x-vault-token", "root");
    assert_eq!(bao.http.send(deleted.body(Bytes::new()).unwrap()).await.unwrap().status, 204);
    let said = refused(&app);
    assert!(said.contains("sealing key: the key service") && said.contains(&bao.url), "{said}");
    assert!(!said.contains(secret.trim()), "{said}");
}

#[tokio::test]
async fn a_store_moves_from_a_key_file_to_openbao() {
    let bao = Bao::start().await;
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let mut app = App::serve(&server, PERMIT_ALL).await;
    add(&app, "wiki-token", &upstream.host(), SECRET, &[]);
    let token = app.token("wiki");
    reconfigure(&app, FILE, &bao.configuration());
    app.kill();
    app.restart().await;
    assert!(app.log().contains("cred rewrap"), "the log says that the file is still used");
    let output = app.command(&["cred", "rewrap"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(app.state().join("sealing.key")).unwrap();
    app.kill();
    app.restart().await;
    assert_eq!(status(&app)["epochs"][0]["values"], 0);
    assert_eq!(echo(&app, &token).await.error_code(), None);
    assert_eq!(upstream.calls().last().unwrap().headers["authorization"], format!("Bearer {SECRET}"));
}

const SCOPE: &str = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0";

#[tokio::test]
async fn aws_kms_wraps_the_sealing_key_with_access_keys_from_a_file_or_the_environment() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = tool("moto_server");
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _service = Service::start(command, &dir.path().join("moto.log"));
    let url = format!("http://127.0.0.1:{port}/");
    let made = || async {
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "TrentService.CreateKey"),
            ("authorization", SCOPE),
        ];
        let reply = Http::plain().send(post(&url, &headers, &json!({}))).await.ok()?;
        reply.json()["KeyMetadata"]["KeyId"].as_str().map(str::to_owned)
    };
    let key = until("KMS has a key", Duration::from_secs(60), made).await;
    let keys = dir.path().join("credentials");
    std::fs::write(&keys, "[edge]\naws_access_key_id = AKIATEST\naws_secret_access_key = not-for-the-log\n")
        .unwrap();
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let kms = format!("key_id: {key:?}, region: eu-central-1, endpoint: {url:?}");
    let in_file =
        format!("sealing_key: {{ aws_kms: {{ {kms}, credentials_file: {keys:?}, profile: edge }} }}");
    let mut app = App::serve_as(&server, PERMIT_ALL, |_, text| text.replace(FILE, &in_file), &[]).await;
    add(&app, "wiki-token", &upstream.host(), SECRET, &[]);
    let token = app.token("wiki");
    assert_eq!(echo(&app, &token).await.error_code(), None);
    let output = app.command(&["cred", "rewrap"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    app.kill();
    app.restart().await;
    assert_eq!(echo(&app, &token).await.error_code(), None);
    assert_eq!(status(&app)["epochs"][1]["source"], format!("the KMS key {key}"));
    app.kill();
    reconfigure(&app, &in_file, &format!("sealing_key: {{ aws_kms: {{ {kms} }} }}"));
    let said = refused(&app);
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    // Another key of the same account does not unwrap it.
    let other = made().await.unwrap();
    reconfigure(&app, &key, &other);
    std::fs::write(
        &keys,
        "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = not-for-the-log\n",
    )
    .unwrap();
    reconfigure(&app, "region:", &format!("credentials_file: {keys:?}, region:"));
    let said = refused(&app);
    assert!(said.contains("answered 400"), "{said}");
    assert!(!app.log().contains("not-for-the-log") && !said.contains("not-for-the-log"));
}
