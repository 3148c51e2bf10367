//! Machines that get in without a person beside them: devices, workloads of other platforms, and what they may pass on.

use crate::app::{App, until};
use crate::clients;
use crate::http::{Http, Reply, call};
use crate::upstream::Upstream;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test]
async fn a_library_that_nobody_here_wrote_uses_device_grant_proofs_and_exchange() {
    clients::with_demo("node", "machines.mjs", &[]).await;
}

/// A CI platform on loopback: discovery, keys, tokens.
struct Platform {
    issuer: String,
    key: Mutex<Arc<Ed25519KeyPair>>,
}

impl Platform {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = Mutex::new(Arc::new(Ed25519KeyPair::generate().unwrap()));
        let platform = Arc::new(Self { issuer, key });
        let served = platform.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let platform = served.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = platform.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        platform
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let key = self.key.lock().unwrap().clone();
        let x = BASE64URL_NOPAD.encode(key.public_key().as_ref());
        let body = match path {
            "/.well-known/openid-configuration" => {
                json!({ "issuer": self.issuer, "jwks_uri": format!("{}/keys", self.issuer) })
            }
            _ => json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] }),
        };
        let head = Response::builder().header("content-type", "application/json");
        head.body(Full::new(body.to_string().into())).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a platform outside has a clock of its own")]
    fn token(&self, changes: &[(&str, Value)]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": self.issuer, "aud": "portunus", "sub": "repo:acme/app:main",
            "repository": "acme/app", "iat": now, "exp": now + 300, "jti": crate::app::free_port().to_string() });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "k" })), part(&claims));
        let key = self.key.lock().unwrap().clone();
        format!("{message}.{}", BASE64URL_NOPAD.encode(key.sign(message.as_bytes()).as_ref()))
    }
}

const POLICY: &str = r#"
permit (principal == Workload::"ci-build", action in Action::"call", resource) when { context.client_proof == "key" };
permit (principal == User::"ci-build", action, resource);
"#;

async fn stage() -> (App, Upstream, Arc<Platform>) {
    let (upstream, platform) = (Upstream::start().await, Platform::start().await);
    let server = |name: &str| {
        format!(
            "  - name: {name}\n    owner: ana@example.com\n    purpose: Tests\n    environment: test\n    actors: [ci]\n    upstream: {{ url: {:?} }}\n    credential: none\n",
            upstream.url
        )
    };
    let workloads = format!(
        "workloads:\n  - name: ci-build\n    issuer: {}\n    audience: portunus\n    subject: 'repo:acme/app:*'\n    \
         claims: {{ repository: acme/app }}\n    servers: [first]\n    actor: ci\n    ttl: 10m\n",
        platform.issuer
    );
    let app = App::serve(&(server("first") + &server("second") + &workloads), POLICY).await;
    (app, upstream, platform)
}

async fn ask(app: &App, http: &Http, assertion: &str, server: &str) -> Reply {
    let resource = app.mcp_url(server);
    let fields = [("grant_type", GRANT_TYPE), ("assertion", assertion), ("resource", resource.as_str())];
    http.post_form(&format!("{}/oauth/token", app.url), &fields).await
}

#[tokio::test]
async fn a_build_job_calls_one_server_with_the_token_of_its_platform() {
    let (app, upstream, platform) = stage().await;
    let http = app.http();
    let assertion = platform.token(&[]);
    let reply = ask(&app, &http, &assertion, "first").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let tokens = reply.json();
    assert_eq!((tokens["expires_in"].as_u64(), tokens["refresh_token"].is_null()), (Some(600), true));
    let token = tokens["access_token"].as_str().unwrap();
    let called = http.send(call(&app.mcp_url("first"), token, "echo", &json!({}))).await.unwrap();
    assert_eq!((called.status, called.error_code()), (200, None), "{}", called.text());
    assert_eq!(upstream.calls().len(), 1);
    let elsewhere = http.send(call(&app.mcp_url("second"), token, "echo", &json!({}))).await.unwrap();
    assert_eq!(elsewhere.status, 401);
    let recorded = app.records();
    let intent = recorded.iter().find(|entry| entry["kind"] == "intent").unwrap();
    assert_eq!(intent["user"], "workload:ci-build");

    for (what, changes, server) in [
        ("used before", None, "first"),
        ("another repository that begins alike", Some(("sub", json!("repo:acme/app-evil:main"))), "first"),
        ("another claim", Some(("repository", json!("acme/other"))), "first"),
        ("another audience", Some(("aud", json!("sts.amazonaws.com"))), "first"),
        ("two audiences", Some(("aud", json!(["portunus", "sts.amazonaws.com"]))), "first"),
        ("another issuer", Some(("iss", json!("https://token.actions.githubusercontent.com"))), "first"),
        ("expired", Some(("exp", json!(1))), "first"),
        ("another server", Some(("n", json!(1))), "second"),
    ] {
        let bad = changes.map_or_else(|| assertion.clone(), |change| platform.token(&[change]));
        let reply = ask(&app, &http, &bad, server).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (400, &json!("invalid_grant")),
            "{what}: {}",
            reply.text()
        );
    }
    app.admin(&["kill", "--user", "workload:ci-build", "--json"]);
    let killed = http.send(call(&app.mcp_url("first"), token, "echo", &json!({}))).await.unwrap();
    assert_eq!(killed.status, 401);
    app.verify();
}

#[tokio::test]
async fn a_person_named_like_a_workload_is_none() {
    let (app, _upstream, _platform) = stage().await;
    let refused = app.command(&["user", "add", "workload:ci-build", "--json"]);
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    let refused = app.command(&[
        "token",
        "issue",
        "--server",
        "first",
        "--as",
        "workload:ci-build",
        "--ttl",
        "1m",
        "--json",
    ]);
    assert!(!refused.status.success(), "no administrator can issue a token in a workload's name either");
}

#[tokio::test]
async fn a_workload_that_leaves_the_configuration_gets_no_more_tokens() {
    let (app, _upstream, platform) = stage().await;
    let http = app.http();
    assert_eq!(ask(&app, &http, &platform.token(&[]), "first").await.status, 200);
    let text = std::fs::read_to_string(app.config_file()).unwrap();
    let without = text.split("workloads:").next().unwrap();
    std::fs::write(app.config_file(), without).unwrap();
    let gone =
        || async { (ask(&app, &http, &platform.token(&[]), "first").await.status == 400).then_some(()) };
    until("the workload is no longer known", Duration::from_secs(30), gone).await;
}
