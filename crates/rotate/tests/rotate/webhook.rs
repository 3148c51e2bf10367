//! Plug-ins that are asked over HTTP: a service that speaks the contract, and ones that do not.

use crate::world::{First, Judge, World};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portunus_core::document::CredentialKind;
use portunus_core::time::Clock;
use portunus_rotate::http::{Http, address};
use portunus_rotate::plugin::{Plugin, Plugins};
use portunus_rotate::webhook::Webhook;
use portunus_vault::rotation::Origin;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

const FIRST: &str = "first-key-b1a0";
const TOKEN: &str = "webhook-token-4e62";

/// A service with an API for its keys.
#[derive(Default)]
struct Service {
    keys: Mutex<BTreeMap<String, String>>,
    /// Answers this instead.
    instead: Mutex<Option<(StatusCode, Vec<u8>)>>,
    asked: Mutex<usize>,
}

impl Service {
    async fn start(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                let answer = service_fn(move |request| {
                    let service = service.clone();
                    async move { Ok::<_, Infallible>(service.answer(request).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), answer));
            }
        });
        port
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        *self.asked.lock().unwrap() += 1;
        assert_eq!(request.headers()["authorization"], format!("Bearer {TOKEN}"));
        let question = request.into_body().collect().await.unwrap().to_bytes();
        let question: Value = serde_json::from_slice(&question).unwrap();
        assert!(question.get("administrator").is_none(), "its secret is in the header only");
        if let Some((status, body)) = self.instead.lock().unwrap().clone() {
            let answer = Response::builder().status(status).header("location", "http://127.0.0.1:1/");
            return answer.body(Full::new(Bytes::from(body))).unwrap();
        }
        let answer = self.obey(&question);
        Response::new(Full::new(Bytes::from(answer.to_string())))
    }

    fn obey(&self, question: &Value) -> Value {
        let mut keys = self.keys.lock().unwrap();
        let version = &question["version"];
        let account = version["account"].as_str().unwrap_or(question["id"].as_str().unwrap()).to_owned();
        match question["step"].as_str().unwrap() {
            "create" => {
                keys.insert(account.clone(), version["secret"].as_str().unwrap().to_owned());
                json!({ "ok": true, "account": account })
            }
            "verify" if keys.get(&account).is_some_and(|key| version["secret"] == *key) => {
                json!({ "ok": true })
            }
            "disable" | "delete" | "undo" => {
                let account = if version["number"] == 1 { "crm/1" } else { &account };
                keys.remove(account);
                json!({ "ok": true })
            }
            "verify_dead" => {
                let alive = keys.values().any(|key| version["secret"] == *key);
                json!({ "ok": true, "outcome": if alive { "alive" } else { "dead" } })
            }
            _ => json!({ "ok": false, "permanent": true, "error": "no" }),
        }
    }
}

#[async_trait]
impl Judge for Service {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        self.keys.lock().unwrap().values().any(|key| key == secret)
    }
    async fn live(&self) -> usize {
        self.keys.lock().unwrap().len()
    }
}

async fn world(port: u16, administrator_host: &str) -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let (url, host) = address(&format!("http://127.0.0.1:{port}/keys")).unwrap();
    let carrier = Webhook { url, host, http: Http::new(&Arc::new(tls)), timeout: Duration::from_secs(2) };
    let plugins = Plugins([("vendor".to_owned(), Plugin { carrier, origin: Origin::Ours })].into());
    let first = First {
        kind: CredentialKind::Bearer,
        host: "api.example.com".to_owned(),
        secret: FIRST.to_owned(),
        method: "webhook",
        settings: json!({ "plugin": "vendor", "admin": "admin" }),
        administrator: Some((String::new(), TOKEN.to_owned())),
        administrator_host: administrator_host.to_owned(),
    };
    World::new(first, Arc::new(plugins)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_behind_a_webhook_rotates_and_converges_wherever_the_process_is_killed() {
    let service = Arc::new(Service::default());
    service.keys.lock().unwrap().insert("crm/1".to_owned(), FIRST.to_owned());
    let port = service.start().await;
    let world = world(port, &format!("127.0.0.1:{port}")).await;
    world.kill_everywhere(&*service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_redirects_floods_or_babbles_is_not_believed() {
    let service = Arc::new(Service::default());
    let port = service.start().await;
    for (status, body, says) in [
        (302, &b"{\"ok\":true}"[..], "answered 302"),
        (201, b"{\"ok\":true}", "answered 201"),
        (500, b"", "answered 500"),
        (200, b"", "not as agreed"),
        (200, b"[]", "not as agreed"),
        (200, b"{\"ok\":true,\"ok\":true}", "not as agreed"),
        (200, &[b' '; 70_000], "broke off"),
    ] {
        *service.instead.lock().unwrap() = Some((StatusCode::from_u16(status).unwrap(), body.to_vec()));
        let world = world(port, &format!("127.0.0.1:{port}")).await;
        let engine = world.engine();
        engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
        let next = engine.step(&world.name, world.clock.now()).await.unwrap();
        assert!(format!("{next:?}").contains(says), "{status}: {next:?}");
        assert_eq!(world.credential().await.in_use().unwrap().number, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrators_token_goes_to_its_own_host_only() {
    let service = Arc::new(Service::default());
    let port = service.start().await;
    let world = world(port, "elsewhere.example.com").await;
    let engine = world.engine();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    let next = engine.step(&world.name, world.clock.now()).await.unwrap();
    assert!(format!("{next:?}").contains("may go to elsewhere.example.com and not to 127.0.0.1"), "{next:?}");
    assert_eq!(*service.asked.lock().unwrap(), 0);
    for bad in
        ["http://keys.example.com/", "ftp://127.0.0.1/", "https://a:b@x.test/", "https://x.test/#y", "x"]
    {
        assert!(address(bad).is_err(), "{bad}");
    }
}
