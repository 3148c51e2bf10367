//! Bad messages: each is refused with a clear error, none reaches the upstream, and the service goes on.

use crate::app::{App, server_at};
use crate::http::{Http, Reply, call, modern_call, post};
use crate::upstream::Upstream;
use bytes::Bytes;
use http::Request;
use serde_json::json;

pub(crate) const PERMIT_ALL: &str = r#"
@id("test-permit")
permit(principal, action in Action::"call", resource);
"#;

struct Stage {
    app: App,
    upstream: Upstream,
    http: Http,
    url: String,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let upstream = Upstream::start().await;
        let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
        let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
        Self { app, upstream, http, url, token }
    }

    async fn send(&self, request: Request<Bytes>) -> Reply {
        self.http.send(request).await.unwrap()
    }

    fn post(&self, body: impl Into<Bytes>) -> Request<Bytes> {
        post(&self.url, &self.token, body.into())
    }

    async fn still_answers(&self) {
        let reply = self.send(call(&self.url, &self.token, "echo", &json!({ "text": "still here" }))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("still here"), "{}", reply.text());
    }
}

#[tokio::test]
async fn messages_that_two_parsers_could_read_differently_are_refused() {
    let stage = Stage::set().await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}1{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let cases: [(&str, Vec<u8>, i64); 17] = [
        ("a duplicate key", br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#.into(), -32700),
        (
            "a second name that a last-wins parser would read",
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"name":"secret"}}"#.into(),
            -32700,
        ),
        (
            "a duplicate hidden behind an escape",
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","n\u0061me":"secret"}}"#.into(),
            -32700,
        ),
        (
            "a duplicate deep in the arguments",
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":[{"b":1,"b":2}]}}}"#.into(),
            -32700,
        ),
        ("keys that differ in case only", br#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.into(), -32700),
        ("the wrong case", br#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#.into(), -32600),
        ("two values", br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#.into(), -32700),
        ("trailing bytes", br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#.into(), -32700),
        ("a depth of 1,000", deep.into(), -32700),
        ("truncated UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xe2\x82\"}}".into(), -32700),
        ("a lone surrogate", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#.into(), -32700),
        ("a byte order mark", b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}".into(), -32700),
        ("a batch", br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), -32600),
        ("no value", Vec::new(), -32700),
        ("an id of null", br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(), -32600),
        ("a fractional id", br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.into(), -32600),
        ("another jsonrpc", br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.into(), -32600),
    ];
    for (what, body, code) in cases {
        let reply = stage.send(stage.post(body)).await;
        assert_eq!((reply.status, reply.error_code()), (400, Some(code)), "{what}: {}", reply.text());
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.len() > 10, "{what}: the error says what is wrong: {message}");
    }
    assert!(stage.upstream.seen().is_empty(), "nothing refused was sent: {:?}", stage.upstream.seen());
    stage.still_answers().await;
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused() {
    let stage = Stage::set().await;
    let modern = |name: &'static str, value: &'static str| {
        let mut request = modern_call(&stage.url, &stage.token, "echo", &json!({}));
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (name, value, code) in [
        ("mcp-name", "secret", -32020),
        ("mcp-name", "=?base64?c2VjcmV0?=", -32020),
        ("mcp-method", "tools/list", -32020),
        ("mcp-protocol-version", "2025-11-25", -32020),
        ("mcp-protocol-version", "2031-01-01", -32020),
    ] {
        let reply = stage.send(modern(name, value)).await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (400, Some(code)),
            "{name}: {value}: {}",
            reply.text()
        );
    }
    let mut unknown = modern("mcp-protocol-version", "2031-01-01");
    *unknown.body_mut() =
        String::from_utf8(unknown.body().to_vec()).unwrap().replace("2026-07-28", "2031-01-01").into();
    let reply = stage.send(unknown).await;
    assert_eq!((reply.status, reply.error_code()), (400, Some(-32022)), "{}", reply.text());
    assert!(
        reply.json()["error"]["data"]["supported"].to_string().contains("2026-07-28"),
        "{}",
        reply.text()
    );
    for name in ["mcp-name", "mcp-method", "mcp-protocol-version"] {
        let mut missing = modern_call(&stage.url, &stage.token, "echo", &json!({}));
        missing.headers_mut().remove(name);
        let reply = stage.send(missing).await;
        assert_eq!(reply.status, 400, "without {name}: {}", reply.text());
        let mut double = modern_call(&stage.url, &stage.token, "echo", &json!({}));
        let first = double.headers()[name].clone();
        double.headers_mut().append(name, first);
        let reply = stage.send(double).await;
        assert_eq!(reply.status, 400, "{name} twice: {}", reply.text());
    }
    assert!(stage.upstream.calls().is_empty(), "nothing refused was sent");
    let good = stage.send(modern("mcp-name", "=?base64?ZWNobw==?=")).await;
    assert_eq!(good.status, 200, "the same name in base64 agrees: {}", good.text());
    stage.still_answers().await;
}

#[tokio::test]
async fn a_body_of_100_megabytes_is_refused_without_being_kept() {
    let stage = Stage::set().await;
    let before = resident_kib(stage.app.pid());
    let mut declared = stage.post("{}");
    declared.headers_mut().insert("content-length", "104857600".parse().unwrap());
    let reply = stage.http.raw(stage.app.port, &head(&declared)).await;
    assert_eq!(reply, Some(413), "a declared length is enough to refuse");

    let long = call(&stage.url, &stage.token, "echo", &json!({ "text": "x".repeat(2 << 20) }));
    let reply = stage.send(long).await;
    assert_eq!(
        reply.status,
        413,
        "a client that is a little over the bound gets to read why: {}",
        reply.text()
    );

    let text = "x".repeat(100 << 20);
    let whole = call(&stage.url, &stage.token, "echo", &json!({ "text": text }));
    // The edge answers and closes before the client has sent everything: either is seen, never a success.
    if let Ok(reply) = stage.http.send(whole).await {
        assert_eq!(reply.status, 413);
    }
    let after = resident_kib(stage.app.pid());
    assert!(after < before + 30 * 1024, "memory grew from {before} to {after} KiB");
    assert!(stage.upstream.seen().is_empty());
    stage.still_answers().await;
}

#[tokio::test]
async fn ambiguous_requests_are_refused_before_anything_reads_them() {
    let stage = Stage::set().await;
    let (port, token) = (stage.app.port, &stage.token);
    let host = format!("localhost:{port}");
    let fields = |more: &str| {
        format!(
            "POST /recorder/mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{more}\r\n"
        )
    };
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    let length = body.len();
    let cases = [
        ("no Host", fields(&format!("Content-Length: {length}\r\n"))),
        ("two Hosts", fields(&format!("Host: {host}\r\nHost: {host}\r\nContent-Length: {length}\r\n"))),
        ("another Host", fields(&format!("Host: evil.test\r\nContent-Length: {length}\r\n"))),
        (
            "length and coding",
            fields(&format!("Host: {host}\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n")),
        ),
        (
            "two lengths",
            fields(&format!("Host: {host}\r\nContent-Length: {length}\r\nContent-Length: 5\r\n")),
        ),
        (
            "two codings",
            fields(&format!("Host: {host}\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n")),
        ),
        (
            "an upgrade",
            fields(&format!(
                "Host: {host}\r\nContent-Length: {length}\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"
            )),
        ),
        (
            "an odd expectation",
            fields(&format!("Host: {host}\r\nContent-Length: {length}\r\nExpect: 200-maybe\r\n")),
        ),
        (
            "HTTP/1.0",
            fields(&format!("Host: {host}\r\nContent-Length: {length}\r\n")).replace("HTTP/1.1", "HTTP/1.0"),
        ),
        (
            "another absolute target",
            fields(&format!("Host: {host}\r\nContent-Length: {length}\r\n"))
                .replace("POST /", "POST https://evil.test/"),
        ),
    ];
    for (what, head) in cases {
        let status = stage.http.raw(port, format!("{head}{body}").as_bytes()).await;
        assert!(
            status.is_none_or(|status| (400..500).contains(&status) || status == 505),
            "{what}: {status:?}"
        );
    }
    assert!(stage.upstream.seen().is_empty(), "nothing ambiguous was sent: {:?}", stage.upstream.seen());
    stage.still_answers().await;
}

#[tokio::test]
async fn what_was_decided_is_what_is_forwarded_byte_for_byte() {
    let stage = Stage::set().await;
    let body = "{ \"params\" : {\"arguments\":{\"text\":\"\\u00e9 \\/ \u{1F511} \\t\", \"n\":1.50e+2,\"z\":-0,\"unknown\":[ ]},\n\
                \"x-unknown\":true, \"name\":\"echo\"},\"method\":\"tools\\/call\",\r\n \"id\":\"\\u0041\",\"jsonrpc\":\"2.0\" }\n";
    let reply = stage.send(stage.post(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let calls = stage.upstream.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body, body.as_bytes());
}

#[tokio::test]
async fn no_token_from_a_client_reaches_an_upstream() {
    let stage = Stage::set().await;
    let mut request = call(&stage.url, &stage.token, "echo", &json!({}));
    for (name, value) in
        [("cookie", "a=b"), ("x-forwarded-for", "10.0.0.1"), ("portunus-assertion", "forged")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(stage.send(request).await.status, 200);
    let seen = &stage.upstream.calls()[0];
    let headers = format!("{:?}", seen.headers);
    assert!(!headers.contains("ptn_"), "{headers}");
    for name in ["authorization", "cookie"] {
        assert!(!seen.headers.contains_key(name), "{headers}");
    }
    assert!(!headers.contains("10.0.0.1") && !headers.contains("forged"), "{headers}");
    let assertion = seen.headers["portunus-assertion"].to_str().unwrap();
    assert_eq!(assertion.split('.').count(), 3, "a JWT: {assertion}");
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused() {
    let stage = Stage::set().await;
    for origin in ["https://evil.test", "null", "http://localhost"] {
        let mut request = call(&stage.url, &stage.token, "echo", &json!({}));
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let reply = stage.send(request).await;
        assert_eq!(reply.status, 403, "{origin}: {}", reply.text());
    }
    assert!(stage.upstream.seen().is_empty());
    stage.still_answers().await;
}

#[tokio::test]
async fn other_content_types_and_methods_are_refused() {
    let stage = Stage::set().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"] {
        let mut request = call(&stage.url, &stage.token, "echo", &json!({}));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let reply = stage.send(request).await;
        assert!([400, 415].contains(&reply.status), "{kind}: {} {}", reply.status, reply.text());
    }
    for method in ["PUT", "PATCH", "TRACE"] {
        let mut request = stage.post("{}");
        *request.method_mut() = method.parse().unwrap();
        let reply = stage.send(request).await;
        assert!([400, 405].contains(&reply.status), "{method}: {}", reply.status);
    }
    assert!(stage.upstream.seen().is_empty());
    stage.still_answers().await;
}

fn head(request: &Request<Bytes>) -> Vec<u8> {
    let uri = request.uri();
    let mut text =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method(), uri.path(), uri.authority().unwrap());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
