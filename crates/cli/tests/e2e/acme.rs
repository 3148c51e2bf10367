//! Certificates from a real ACME authority that misbehaves.

use crate::app::{App, free_port, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::certificates::{faked_clock, shown};
use crate::http::{Http, call};
use crate::pebble::{FAILURES, Pebble, Ports};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(90);
const YEAR: u64 = 365 * 86_400;
const FIVE_YEARS: u64 = 5 * YEAR;

fn events(app: &App, action: &str) -> Vec<Value> {
    app.records().into_iter().filter(|record| record["action"] == action).collect()
}

async fn status(app: &App, path: &str) -> (u16, String) {
    let reply = Http::plain().get(&format!("http://127.0.0.1:{}{path}", app.admin_port)).await.unwrap();
    (reply.status, reply.text())
}

#[tokio::test]
async fn an_edge_that_starts_before_its_authority_gets_its_certificate_over_tls_and_keeps_it() {
    let upstream = Upstream::start().await;
    let port = free_port();
    let mut pebble = Pebble::new(&Ports { http: 1, tls: port, validity: FIVE_YEARS }, FAILURES);
    let edit = |configuration: String| configuration.replace("{ local_ca: true }", &pebble.tls(""));
    let mut app = App::start(port, &server_at("recorder", &upstream.url), PERMIT_ALL, edit, &[]);
    app.until_status(503, "there is no certificate yet").await;
    for alpn in [&b"http/1.1"[..], b"h2", b"acme-tls/1", b"portunus-link/1"] {
        let refused = shown(port, "localhost", &[alpn]).await.unwrap_err().to_string();
        assert!(refused.contains("alert"), "a clear refusal, not a broken connection: {refused}");
    }
    let told = || async { app.log().contains("no new certificate").then_some(()) };
    until("the log says that the authority cannot be reached", SOON, told).await;
    pebble.start().await;
    app.ready().await;

    let http = pebble.client().await;
    app.add_person();
    let request = || call(&app.mcp_url("recorder"), &app.token("recorder"), "echo", &json!({}));
    assert_eq!(http.send(request()).await.unwrap().status, 200);
    assert_eq!(http.send_http2(request()).await.unwrap().status, 200);
    let first = shown(port, "localhost", &[b"h2"]).await.unwrap();
    assert_eq!(events(&app, "certificate.replaced").len(), 1);
    assert!(!events(&app, "certificate.renewal_failed").is_empty());

    // Once validated, nobody is answered: neither for our name nor for any other.
    for name in ["localhost", "other.test"] {
        shown(port, name, &[b"acme-tls/1"]).await.unwrap_err();
    }
    // What is kept is sealed: no key stands in the store in any form that could be used.
    for file in std::fs::read_dir(app.state()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        for secret in [&b"PRIVATE KEY"[..], b"key_pkcs8", b"BEGIN CERTIFICATE"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a key is readable");
        }
    }
    // A restart orders nothing, even when the authority is gone.
    pebble.stop();
    app.kill();
    app.restart().await;
    assert_eq!(shown(port, "localhost", &[b"h2"]).await.unwrap(), first);
}

#[tokio::test]
async fn the_plain_port_answers_http_01_and_nothing_else() {
    let upstream = Upstream::start().await;
    let (port, plain) = (free_port(), free_port());
    let mut pebble = Pebble::new(&Ports { http: plain, tls: 1, validity: FIVE_YEARS }, FAILURES);
    pebble.start().await;
    let edit = |configuration: String| {
        let configuration = configuration.replace("{ local_ca: true }", &pebble.tls(""));
        configuration.replace("listen: { ", &format!("listen: {{ http: \"127.0.0.1:{plain}\", "))
    };
    let mut app = App::start(port, &server_at("recorder", &upstream.url), PERMIT_ALL, edit, &[]);
    app.ready().await;
    app.add_person();
    let (https, token) = (pebble.client().await, app.token("recorder"));
    let served = https.send(call(&app.mcp_url("recorder"), &token, "echo", &json!({}))).await.unwrap();
    assert_eq!(served.status, 200);

    let http = Http::plain();
    let url = |path: &str| format!("http://localhost:{plain}{path}");
    let moved = http.get(&url("/recorder/mcp?a=b")).await.unwrap();
    assert_eq!(moved.status, 308);
    assert_eq!(
        moved.header("location"),
        Some(app.mcp_url("recorder").as_str()).map(|u| format!("{u}?a=b")).as_deref()
    );
    let before = upstream.seen().len();
    let refused = http.send(call(&url("/recorder/mcp"), &token, "echo", &json!({}))).await.unwrap();
    assert_eq!((refused.status, refused.header("location")), (403, None));
    assert!(refused.text().contains("revoke it"), "{}", refused.text());
    assert_eq!(upstream.seen().len(), before);
    for path in
        ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/x", "/.well-known/acme-challenge/../x"]
    {
        assert_eq!(http.get(&url(path)).await.unwrap().status, 404, "{path}");
    }
    // Slow and silent ones are cut.
    let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", plain)).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "cut within the limit");
}

#[tokio::test]
async fn a_certificate_is_served_until_a_renewal_succeeds_however_often_it_fails() {
    let upstream = Upstream::start().await;
    let port = free_port();
    let mut pebble = Pebble::new(&Ports { http: 1, tls: port, validity: FIVE_YEARS }, FAILURES);
    pebble.start().await;
    let clock = faked_clock();
    let edit = |configuration: String| configuration.replace("{ local_ca: true }", &pebble.tls(""));
    let servers = server_at("recorder", &upstream.url);
    let mut app = App::start(port, &servers, PERMIT_ALL, edit, &clock.environment());
    app.ready().await;
    let seen = || async { shown(port, "localhost", &[b"h2"]).await.unwrap() };
    let first = seen().await;

    // Two thirds of its life are over, and the authority is down.
    pebble.stop();
    clock.set(&format!("+{}", FIVE_YEARS * 2 / 3 + 3600));
    let failed = || async { Some(events(&app, "certificate.renewal_failed")).filter(|e| !e.is_empty()) };
    let failures = until("a failed renewal is recorded", SOON, failed).await;
    assert!(failures[0]["detail"]["why"].as_str().unwrap().contains("directory"), "{failures:?}");
    assert_eq!(seen().await, first, "the old certificate is served");
    let (code, _) = status(&app, "/readyz").await;
    assert_eq!(code, 200);
    let metrics = status(&app, "/metrics").await.1;
    assert!(!metrics.contains("portunus_certificate_failures_total 0\n"), "{metrics}");
    // Less than a sixth is left: somebody has to look.
    clock.set(&format!("+{}", FIVE_YEARS * 6 / 7));
    app.until_status(200, "warning: the certificate ends at").await;

    // The authority comes back, and has forgotten everything.
    pebble.start().await;
    let renewed = || async { Some(seen().await).filter(|now| *now != first) };
    until("the certificate is renewed", SOON, renewed).await;
    let token_free = pebble.client().await.get(&app.mcp_url("recorder")).await.unwrap();
    assert_eq!(token_free.status, 401, "the new one is valid for clients");
    assert_eq!(events(&app, "certificate.replaced").len(), 2);
}

#[tokio::test]
async fn an_authority_that_cannot_reach_the_edge_is_reported_with_its_own_words() {
    let upstream = Upstream::start().await;
    let port = free_port();
    let nowhere = free_port();
    let mut pebble =
        Pebble::new(&Ports { http: 1, tls: nowhere, validity: FIVE_YEARS }, &[("PEBBLE_VA_NOSLEEP", "1")]);
    pebble.start().await;
    let edit = |configuration: String| configuration.replace("{ local_ca: true }", &pebble.tls(""));
    let app = App::start(port, &server_at("recorder", &upstream.url), PERMIT_ALL, edit, &[]);
    app.until_status(503, "there is no certificate yet").await;
    let told = || async { app.log().contains("could not validate localhost by tls-alpn-01").then_some(()) };
    until("the log has the authority's words", SOON, told).await;
    assert!(app.log().contains("Failed to connect to 127.0.0.1"), "{}", app.log());
}
