//! A real OpenBao: a secret that is kept there, and leases that it gives and takes back.

use crate::database::Database;
use crate::world::{First, Judge, World};
use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portunus_core::document::{Credential, CredentialKind, Rotation, RotationStep};
use portunus_core::store::{Batch, load};
use portunus_core::time::Clock;
use portunus_rotate::http::Http;
use portunus_rotate::openbao::{Kv, Leases};
use portunus_vault::rotation::Rotator;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROOT: &str = "root-token-for-tests-only";
const FIRST: &str = "first-secret-f0b3";
/// No more than docs/rotation.md says that a rotator needs.
const POLICY: &str = r#"
path "secret/data/crm/*" { capabilities = ["create", "read", "update"] }
path "secret/destroy/crm/*" { capabilities = ["update"] }
path "database/creds/crm" { capabilities = ["read"] }
path "sys/leases/lookup" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
path "sys/leases/lookup/database/creds/crm/" { capabilities = ["list", "sudo"] }
"#;

fn http() -> Http {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Http::new(&Arc::new(tls))
}

/// An OpenBao of its own; ended when dropped.
struct Bao {
    server: Child,
    port: u16,
    http: Http,
}

impl Bao {
    async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/.venv-keys/bin/bao");
        assert!(program.exists(), "there is no OpenBao here; run `make clients`");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT}")]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let server =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bao = Self { server, port, http: http() };
        let begun = Instant::now();
        while bao.try_ask("GET", "sys/seal-status", None).await.is_none_or(|(status, _)| status != 200) {
            assert!(begun.elapsed() < Duration::from_secs(60), "OpenBao does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bao
    }

    async fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}/v1/{path}", self.port))
            .header("x-vault-token", ROOT)
            .body(Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()))
            .unwrap();
        let answer = self.http.send(request).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(answer.body.expose()).unwrap_or_default()))
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_ask(method, path, Some(&body)).await.unwrap();
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// A token that may do what a rotator needs, and no more.
    async fn rotator_token(&self) -> String {
        self.ask("PUT", "sys/policies/acl/rotator", json!({ "policy": POLICY })).await;
        let made = self.ask("POST", "auth/token/create", json!({ "policies": ["rotator"] })).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    async fn world(
        &self,
        rotator: Arc<dyn Rotator>,
        method: &'static str,
        kind: CredentialKind,
        secret: &str,
        mut settings: Value,
    ) -> World {
        settings["address"] = json!(format!("http://127.0.0.1:{}", self.port));
        settings["admin"] = json!("admin");
        let first = First {
            kind,
            host: "api.example.com".to_owned(),
            secret: secret.to_owned(),
            method,
            settings,
            administrator: Some((String::new(), self.rotator_token().await)),
            administrator_host: format!("127.0.0.1:{}", self.port),
        };
        World::new(first, rotator).await
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What anybody who reads the path finds, in any version.
#[async_trait]
impl Judge for Bao {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        self.readable().await.iter().any(|data| data["key"] == secret)
    }
    async fn live(&self) -> usize {
        self.readable().await.len()
    }
}

impl Bao {
    async fn readable(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let (_, newest) = self.try_ask("GET", "secret/metadata/crm/api", None).await.unwrap();
        let versions = newest["data"]["versions"].as_object().unwrap().clone();
        for number in versions.keys() {
            let path = format!("secret/data/crm/api?version={number}");
            let (status, answer) = self.try_ask("GET", &path, None).await.unwrap();
            if status == 200 {
                found.push(answer["data"]["data"].clone());
            }
        }
        found
    }
    async fn kept(&self) -> Value {
        self.try_ask("GET", "secret/data/crm/api", None).await.unwrap().1["data"]["data"].clone()
    }
}

fn kv_settings() -> Value {
    json!({ "mount": "secret", "path": "crm/api", "field": "key" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_kv_engine_is_changed_and_its_old_version_destroyed_wherever_the_process_is_killed() {
    let bao = Bao::start().await;
    bao.ask("POST", "secret/data/crm/api", json!({ "data": { "key": FIRST, "url": "https://x.test" } }))
        .await;
    let rotator = Arc::new(Kv::new(http()));
    let world = bao.world(rotator, "openbao-kv", CredentialKind::Bearer, FIRST, kv_settings()).await;
    world.kill_everywhere(&bao).await;
    let kept = bao.kept().await;
    let version = world.credential().await.in_use().unwrap().number;
    assert_eq!(kept["key"], json!(world.secret_of(version)));
    assert_eq!(kept["url"], "https://x.test", "what else is kept there stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_into_the_kv_engine_is_not_written_over() {
    let bao = Bao::start().await;
    bao.ask("POST", "secret/data/crm/api", json!({ "data": { "key": FIRST } })).await;
    let rotator = Arc::new(Kv::new(http()));
    let world = bao.world(rotator, "openbao-kv", CredentialKind::Bearer, FIRST, kv_settings()).await;
    let engine = world.engine();
    assert_eq!(world.rotate(&engine).await.unwrap().unwrap().step, RotationStep::Done);
    bao.ask("POST", "secret/data/crm/api", json!({ "data": { "key": "by somebody else" } })).await;
    let ended = world.rotate(&engine).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Failed);
    assert!(
        ended.last_error.as_deref().unwrap().contains("somebody else has written version 3"),
        "{ended:?}"
    );
    assert_eq!(bao.kept().await["key"], "by somebody else");
    assert_eq!(world.credential().await.in_use().unwrap().number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_cannot_lead_out_of_where_it_belongs() {
    let bao = Bao::start().await;
    for (key, value) in [
        ("path", "../sys/seal"),
        ("path", "crm/../../sys"),
        ("path", "crm?version=1"),
        ("path", "crm#x"),
        ("path", "crm/%2e%2e/x"),
        ("mount", "/secret"),
        ("mount", ""),
        ("namespace", "a b"),
        ("field", "a/b"),
        ("address", "http://bao.example.com"),
        ("address", "https://bao.example.com"),
        ("address", "https://user:pass@127.0.0.1"),
    ] {
        let mut settings = kv_settings();
        settings["address"] = json!(format!("http://127.0.0.1:{}", bao.port));
        let rotator = Arc::new(Kv::new(http()));
        let world = bao.world(rotator, "openbao-kv", CredentialKind::Bearer, FIRST, settings).await;
        let mut found = load::<Credential>(&*world.store, "crm").await.unwrap().unwrap();
        found.value.rotation.as_mut().unwrap().settings.insert(key.to_owned(), json!(value));
        world.store.commit(Batch::new().update(&found.value, found.version)).await.unwrap();
        let error = world.rotate(&world.engine()).await.unwrap_err().to_string();
        assert!(error.contains("is not valid"), "{key} {value}: {error}");
    }
}

/// Looks as anybody would: by logging in to the database that OpenBao makes roles in.
struct Roles<'a>(&'a Database);

#[async_trait]
impl Judge for Roles<'_> {
    async fn works(&self, account: Option<&str>, secret: &str) -> bool {
        self.0.log_in(account.unwrap(), secret).await.is_ok()
    }
    async fn live(&self) -> usize {
        let client = self.0.superuser().await;
        let row = client.query_one("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'", &[]).await;
        usize::try_from(row.unwrap().get::<_, i64>(0)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_taken_back_for_real_wherever_the_process_is_killed() {
    let bao = Bao::start().await;
    let database = Database::start("").await;
    bao.ask("POST", "sys/mounts/database", json!({ "type": "database" })).await;
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@{}/postgres?sslmode=disable",
        database.host()
    );
    let connection = json!({
        "plugin_name": "postgresql-database-plugin", "connection_url": url, "allowed_roles": "crm",
        "username": "super", "password": "super-password-0c11",
    });
    bao.ask("POST", "database/config/crm", connection).await;
    let statement =
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    let role =
        json!({ "db_name": "crm", "creation_statements": statement, "default_ttl": "1h", "max_ttl": "2h" });
    bao.ask("POST", "database/roles/crm", role).await;
    // The first one is taken over as an operator has it: with its lease.
    let (_, given) = bao.try_ask("GET", "database/creds/crm", None).await.unwrap();
    let text = |pointer: &str| given.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (lease, user, password) = (text("/lease_id"), text("/data/username"), text("/data/password"));
    let rotator = Arc::new(Leases::new(http()));
    let kind = CredentialKind::Postgres(user.clone());
    let settings = json!({ "path": "database/creds/crm" });
    let world = bao.world(rotator, "openbao-lease", kind, &password, settings).await;
    adopt(&world, &lease, &user).await;
    world.kill_everywhere(&Roles(&database)).await;
    let listed = bao.ask("LIST", "sys/leases/lookup/database/creds/crm/", json!({})).await;
    assert_eq!(listed["data"]["keys"].as_array().unwrap().len(), 1, "{listed}");
    // It is replaced before OpenBao lets it die.
    let (credential, rotation) = (world.credential().await, world.rotation().await);
    let due = portunus_vault::rotation::due::due(&credential, rotation.as_ref()).unwrap();
    let age = due.since(credential.in_use().unwrap().created_at);
    assert!(age <= Duration::from_secs(2400) && age >= Duration::from_secs(2000), "{age:?}");
}

/// A lease that was taken by hand.
async fn adopt(world: &World, lease: &str, user: &str) {
    let now = world.clock.now();
    let rotation = Rotation {
        credential: world.name.clone(),
        step: RotationStep::Done,
        from: 0,
        to: 1,
        stored: true,
        account: Some(user.to_owned()),
        by: "ana".to_owned(),
        attempts: 0,
        last_error: None,
        failures: 0,
        started_at: now,
        step_at: now,
        retry_at: now,
        ended_at: Some(now),
        handles: BTreeMap::from([(1, lease.to_owned())]),
        lapses: BTreeMap::new(),
    };
    let mut found = load::<Credential>(&*world.store, "crm").await.unwrap().unwrap();
    found.value.versions[0].account = Some(user.to_owned());
    world.store.commit(Batch::new().update(&found.value, found.version).insert(&rotation)).await.unwrap();
}
