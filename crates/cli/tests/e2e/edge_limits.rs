//! Slow, greedy and stubborn clients; and an orderly end.

use crate::app::{App, server_at, until};
use crate::bad_input::{PERMIT_ALL, resident_kib};
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn stage() -> (App, Upstream) {
    let upstream = Upstream::start().await;
    (App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await, upstream)
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_cut_while_others_are_served() {
    let (app, _upstream) = stage().await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    let host = format!("localhost:{}", app.port);
    let header = format!("POST /recorder/mcp HTTP/1.1\r\nHost: {host}\r\n");
    let body = format!(
        "{header}Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let mut slow = tokio::task::JoinSet::new();
    for start in [header, body].into_iter().cycle().take(50) {
        let http = http.clone();
        let port = app.port;
        slow.spawn(async move {
            let mut stream = http.tls(port, &[b"http/1.1"]).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            let begun = Instant::now();
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut rest))
                .await
                .expect("cut off");
            begun.elapsed()
        });
    }
    let served = http.send(call(&url, &token, "echo", &json!({}))).await.unwrap();
    assert_eq!(served.status, 200);
    for waited in slow.join_all().await {
        assert!(waited < Duration::from_secs(12), "cut after {waited:?}; the limit is 10 s");
    }
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_refused() {
    let (app, upstream) = stage().await;
    let (http, token) = (app.http(), app.token("recorder"));
    let head = |more: &str| {
        let host = format!("localhost:{}", app.port);
        format!(
            "POST /recorder/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: 0\r\n\r\n"
        )
    };
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(64 << 10));
    for more in [many, long] {
        assert_eq!(http.raw(app.port, head(&more).as_bytes()).await, Some(431));
    }
    let target = head("").replace("/recorder/mcp", &format!("/{}", "a".repeat(8 << 10)));
    let status = http.raw(app.port, target.as_bytes()).await;
    assert!([Some(400), Some(414)].contains(&status), "{status:?}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_call_in_flight_finishes_after_sigterm_and_then_the_process_ends() {
    let (mut app, upstream) = stage().await;
    let (http, request) =
        (app.http(), call(&app.mcp_url("recorder"), &app.token("recorder"), "wait", &json!({})));
    let waiting = tokio::spawn(async move { http.send(request).await });
    let arrived = || async { (!upstream.calls().is_empty()).then_some(()) };
    until("the call arrives", Duration::from_secs(10), arrived).await;
    app.terminate();
    let (http, url) = (app.http(), app.mcp_url("recorder"));
    let closed = || async { http.get(&url).await.is_err().then_some(()) };
    until("new connections are refused", Duration::from_secs(5), closed).await;
    upstream.release();
    let reply = waiting.await.unwrap().expect("the call in flight is answered");
    assert_eq!((reply.status, reply.error_code()), (200, None), "{}", reply.text());
    let status = app.ended(Duration::from_secs(12)).await;
    assert_eq!(status.code(), Some(0), "{}", app.log());
    app.verify();
}

#[tokio::test]
async fn http2_and_http1_serve_the_same_call() {
    let (app, upstream) = stage().await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    let one = http.send(call(&url, &token, "echo", &json!({ "text": "same" }))).await.unwrap();
    let two = http.send_http2(call(&url, &token, "echo", &json!({ "text": "same" }))).await.unwrap();
    assert_eq!((one.status, &one.body), (two.status, &two.body));
    let calls = upstream.calls();
    assert_eq!(calls[0].body, calls[1].body);
}

#[tokio::test]
async fn five_hundred_idle_connections_cost_little_memory() {
    let (app, _upstream) = stage().await;
    let http = app.http();
    let before = resident_kib(app.pid());
    let mut kept = Vec::new();
    for _ in 0..500 {
        kept.push(http.tls(app.port, &[b"http/1.1"]).await.unwrap());
    }
    let after = resident_kib(app.pid());
    let each = (after.saturating_sub(before)) / 500;
    assert!(each <= 80, "{each} KiB for each idle connection");
    let served =
        http.send(call(&app.mcp_url("recorder"), &app.token("recorder"), "echo", &json!({}))).await.unwrap();
    assert_eq!(served.status, 200);
}

/// Clients keep a connection whose first answer was 401, and the body of that request may come after the answer.
#[tokio::test]
async fn a_connection_serves_on_after_a_refusal_that_did_not_need_the_body() {
    let (app, _upstream) = stage().await;
    let mut stream = app.http().tls(app.port, &[b"http/1.1"]).await.unwrap();
    let head = format!(
        "POST /recorder/mcp HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n",
        app.port
    );
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"{}").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let read = stream.read_buf(&mut answer).await.unwrap();
            assert_ne!(read, 0, "the connection was closed: {}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    }
}
