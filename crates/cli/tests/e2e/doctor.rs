//! `portunus doctor` against our own edge, against servers that no one here wrote, and against servers that are wrong in
//! one point each.

use crate::app::{App, BINARY, free_port, until};
use crate::clients;
use crate::http::Http;
use crate::oauth;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const START: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_our_own_edge() {
    let app = App::demo().await;
    let (url, ca) = (app.mcp_url("sales"), app.ca_file());
    let token = app.dir().join("token");
    std::fs::write(&token, app.token("sales")).unwrap();
    for client in ["modern", "cursor"] {
        let words = ["--as", client, "--ca", ca.to_str().unwrap(), "--token-file", token.to_str().unwrap()];
        let (status, report) = examine(&url, &words).await;
        assert_eq!((status, &report["verdict"]), (0, &json!("works")), "{client}: {report:#}");
        let names: Vec<&str> =
            report["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        let all = [
            "address",
            "reach",
            "challenge",
            "resource metadata",
            "authorization server",
            "registration",
            "authorize",
            "token",
            "first call",
            "tools",
        ];
        assert_eq!(names, all);
        assert!(said(&report, "first call").contains("server/discover in 2026-07-28"), "{report:#}");
        assert!(said(&report, "authorize").contains("a wrong redirect URI is refused"), "{report:#}");
    }
    // The documents of these clients are on the internet, where this machine may not be.
    for (client, word) in [
        ("chatgpt", "https://chatgpt.com/oauth/client.json"),
        ("claude", "mcp-oauth-client-metadata (none)"),
        ("claude-code", "claude-code-client-metadata (none)"),
        ("codex", "https://chatgpt.com/oauth/codex/client.json"),
        ("vscode", "https://vscode.dev/oauth/client-metadata.json"),
    ] {
        let (_, report) = examine(&url, &["--as", client, "--ca", ca.to_str().unwrap()]).await;
        assert!(said(&report, "registration").contains(word), "{client}: {report:#}");
        for step in ["challenge", "resource metadata", "authorization server", "registration"] {
            assert_eq!(level(&report, step), "ok", "{client}: {report:#}");
        }
    }
    let (_, report) = examine(&url, &["--as", "chatgpt", "--ca", ca.to_str().unwrap()]).await;
    assert!(said(&report, "reach").contains("private one"), "{report:#}");
    let (status, report) = examine(&url, &[]).await;
    assert_eq!((status, &report["stopped_at"]), (1, &json!("reach")));
    assert!(said(&report, "reach").contains("signed by nobody we know"), "{report:#}");
}

#[tokio::test]
async fn a_person_signs_in_for_the_doctor_and_the_first_call_succeeds() {
    let mut app = App::demo().await;
    let mut child = Command::new(BINARY)
        .args([
            "doctor",
            &app.mcp_url("sales"),
            "--sign-in",
            "--json",
            "--ca",
            app.ca_file().to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.map_while(Result::ok).find(|line| line.trim().starts_with("https://")).unwrap();
    let back = oauth::visit(&app.http(), address.trim(), &mut app.person, true).await;
    let thanked = Http::plain().get(back.as_str()).await.unwrap();
    assert!(thanked.text().contains("Signed in"), "{}", thanked.text());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    assert!(said(&report, "token").contains("a person signed in and agreed"), "{report:#}");
    assert_eq!(level(&report, "tools"), "ok", "{report:#}");
    assert!(!report.to_string().contains("ptn_"), "no token and no code is shown: {report:#}");
}

#[tokio::test]
async fn the_doctor_examines_servers_of_the_typescript_and_python_sdks() {
    if clients::skipped() {
        return;
    }
    let (port, auth) = (free_port(), free_port());
    let script = "node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js";
    let mut command = Command::new(clients::node());
    command.arg(clients::directory().join(script)).arg("--oauth");
    command.env("MCP_PORT", port.to_string()).env("MCP_AUTH_PORT", auth.to_string());
    let _typescript = Foreign::start(command, port).await;
    let url = format!("http://localhost:{port}/mcp");
    let (status, report) = examine(&url, &["--as", "vscode"]).await;
    assert_eq!((status, &report["stopped_at"]), (0, &Value::Null), "{report:#}");
    assert!(said(&report, "authorize").contains("without asking anybody"), "{report:#}");
    assert!(said(&report, "first call").contains("initialize in 2025-11-25"), "{report:#}");
    assert!(said(&report, "tools").contains(" tools"), "{report:#}");

    let port = free_port();
    let mut command = Command::new(clients::directory().join(".venv/bin/python"));
    command.arg(clients::directory().join("foreign.py")).arg(port.to_string());
    let _python = Foreign::start(command, port).await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let (status, report) = examine(&url, &["--as", "modern"]).await;
    assert_eq!((status, &report["stopped_at"]), (0, &Value::Null), "{report:#}");
    assert_eq!(level(&report, "resource metadata"), "ok", "{report:#}");
    assert!(said(&report, "first call").contains("server/discover"), "{report:#}");
    assert_eq!(level(&report, "tools"), "ok", "{report:#}");
}

/// What is wrong, where the client stops, and what the doctor says there.
type Variant = (&'static str, fn(&mut Scripted), Option<&'static str>, &'static str, &'static str);

const VARIANTS: &[Variant] = &[
    ("nothing", |_| {}, None, "authorize", "a code is given without asking anybody"),
    (
        "resource of another server",
        |s| s.resource["resource"] = json!("https://other.example/mcp"),
        Some("resource metadata"),
        "resource metadata",
        "`resource` is https://other.example/mcp",
    ),
    (
        "resource is a parent",
        |s| s.resource["resource"] = json!(s.base),
        None,
        "resource metadata",
        "`resource` is http",
    ),
    (
        "no authorization server",
        |s| s.resource["authorization_servers"] = json!([]),
        Some("resource metadata"),
        "resource metadata",
        "no authorization server is named",
    ),
    (
        "issuer with another name",
        |s| s.issuer["issuer"] = json!("https://evil.example"),
        Some("authorization server"),
        "authorization server",
        "the issuer calls itself https://evil.example",
    ),
    (
        "issuer with a slash",
        |s| s.issuer["issuer"] = json!(format!("{}/", s.base)),
        Some("authorization server"),
        "authorization server",
        "differs by a slash",
    ),
    (
        "no PKCE",
        |s| drop(s.issuer.as_object_mut().unwrap().remove("code_challenge_methods_supported")),
        Some("authorization server"),
        "authorization server",
        "PKCE with S256 is not offered",
    ),
    (
        "plain http token endpoint",
        |s| s.issuer["token_endpoint"] = json!("http://tokens.example/token"),
        Some("authorization server"),
        "authorization server",
        "`token_endpoint` is http://tokens.example/token",
    ),
    ("no 401", |s| s.knock = (403, None), Some("challenge"), "challenge", "403 Forbidden without a token"),
    ("redirects", |s| s.knock = (307, None), Some("challenge"), "challenge", "sends the client to"),
    ("not found", |s| s.knock = (404, None), Some("challenge"), "challenge", "404"),
    (
        "Basic only",
        |s| s.knock = (401, Some("Basic realm=\"x\"".into())),
        Some("challenge"),
        "challenge",
        "no Bearer challenge",
    ),
    ("no challenge", |s| s.knock = (401, None), None, "challenge", "no WWW-Authenticate"),
    (
        "any token will do",
        |s| s.any_token = true,
        None,
        "challenge",
        "a token that was made up is answered 200",
    ),
    (
        "no registration",
        |s| drop(s.issuer.as_object_mut().unwrap().remove("registration_endpoint")),
        Some("registration"),
        "registration",
        "cannot become known",
    ),
    (
        "registration refused",
        |s| s.register = 400,
        Some("registration"),
        "registration",
        "invalid_redirect_uri",
    ),
    (
        "open redirect",
        |s| s.open_redirect = true,
        None,
        "authorize",
        "redirects to an address that is not the client's",
    ),
    (
        "state lost",
        |s| s.state = Some("forged".into()),
        Some("authorize"),
        "authorize",
        "`state` does not come back",
    ),
    (
        "answer of another issuer",
        |s| s.iss = Some("https://evil.example".into()),
        Some("authorize"),
        "authorize",
        "from another issuer",
    ),
    ("token endpoint in HTML", |s| s.token_error = None, None, "token", "without an OAuth error"),
    (
        "metadata in HTML",
        |s| s.resource = json!("<html>"),
        Some("resource metadata"),
        "resource metadata",
        "not a JSON object",
    ),
    (
        "terminal escapes",
        |s| s.resource["resource"] = json!("\u{1b}]0;owned\u{7}\u{1b}[2J"),
        Some("resource metadata"),
        "resource metadata",
        "\\u{1b}]0;owned",
    ),
    (
        "endless metadata",
        |s| s.resource["padding"] = json!("x".repeat(5 << 20)),
        Some("resource metadata"),
        "resource metadata",
        "longer than 4096 KiB",
    ),
    ("endless tools", |s| s.endless = true, Some("tools"), "tools", "does not end"),
    (
        "into a private network by plain http",
        |s| s.resource["authorization_servers"] = json!(["http://10.0.0.1/"]),
        Some("authorization server"),
        "authorization server",
        "it is not https://",
    ),
];

#[tokio::test]
async fn the_doctor_says_what_is_wrong_where_the_client_stops_and_how_to_mend_it() {
    for (name, change, stopped_at, step, word) in VARIANTS {
        let url = Scripted::serve(*change).await;
        let (status, report) = examine(&url, &[]).await;
        assert_eq!(report["stopped_at"].as_str(), *stopped_at, "{name}: {report:#}");
        assert!(said(&report, step).contains(word), "{name}: {word:?} in {report:#}");
        let failed = report["verdict"] == "fails";
        assert_eq!(status == 1, failed, "{name}: {status} {report:#}");
        assert!(!failed || !mends(&report).is_empty(), "{name}: {report:#}");
        assert!(!report.to_string().contains('\u{1b}'), "{name}");
    }
    // The trailing slash matters to those who compare issuers byte for byte only.
    let url = Scripted::serve(|s| s.issuer["issuer"] = json!(format!("{}/", s.base))).await;
    let (_, report) = examine(&url, &["--as", "cursor"]).await;
    assert_eq!(level(&report, "authorization server"), "warning", "{report:#}");
}

#[tokio::test]
async fn the_doctor_prints_a_tree_for_people_and_tells_misuse_from_failure() {
    let url = Scripted::serve(|s| s.knock = (403, None)).await;
    let run = async |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        tokio::task::spawn_blocking(move || Command::new(BINARY).args(words).output().unwrap()).await.unwrap()
    };
    let output = run(&["doctor", &url]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in ["✓ reach", "✗ challenge", "why:", "mend: Answer 401", "does not get past “challenge”"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    for words in [
        &["doctor", "not a url"][..],
        &["doctor", &url, "--as", "netscape"],
        &["doctor", &url, "--ca", "/nowhere"],
    ] {
        assert_eq!(run(words).await.status.code(), Some(2), "{words:?}");
    }
}

async fn examine(url: &str, words: &[&str]) -> (i32, Value) {
    let mut all = vec!["doctor".to_owned(), url.to_owned(), "--json".to_owned()];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    let run = move || Command::new(BINARY).args(&all).stdin(Stdio::null()).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut steps = report["steps"].as_array().unwrap().iter();
    steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name} in {report:#}"))
}

fn level(report: &Value, name: &str) -> String {
    step(report, name)["level"].as_str().unwrap().to_owned()
}

fn said(report: &Value, name: &str) -> String {
    let findings = step(report, name)["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["what"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

fn mends(report: &Value) -> Vec<Value> {
    let steps = report["steps"].as_array().unwrap().iter();
    let findings = steps.flat_map(|step| step["findings"].as_array().unwrap());
    findings.filter(|f| f["level"] == "failed").map(|f| f["mend"].clone()).filter(Value::is_string).collect()
}

/// A server in a process of its own; killed when dropped.
struct Foreign(Child);

impl Foreign {
    async fn start(mut command: Command, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Self(command.spawn().unwrap());
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        until("the foreign server listens", START, listens).await;
        started
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// MCP server and authorization server in one, sound until it is changed.
struct Scripted {
    base: String,
    knock: (u16, Option<String>),
    resource: Value,
    issuer: Value,
    register: u16,
    any_token: bool,
    open_redirect: bool,
    state: Option<String>,
    iss: Option<String>,
    token_error: Option<&'static str>,
    endless: bool,
}

impl Scripted {
    /// Serves, and returns the MCP server's URL.
    async fn serve(change: fn(&mut Self)) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut scripted = Self::sound(base.clone());
        change(&mut scripted);
        let scripted = Arc::new(scripted);
        let router = Router::new().fallback(move |request: Request| {
            let scripted = scripted.clone();
            async move { scripted.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("{base}/mcp")
    }

    fn sound(base: String) -> Self {
        let challenge = format!(
            "Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\", scope=\"mcp\""
        );
        Self {
            knock: (401, Some(challenge)),
            resource: json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base], "scopes_supported": ["mcp"] }),
            issuer: json!({
                "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
                "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"],
                "authorization_response_iss_parameter_supported": true,
            }),
            register: 201,
            any_token: false,
            open_redirect: false,
            state: None,
            iss: None,
            token_error: Some("invalid_grant"),
            endless: false,
            base,
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let token = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        match (head.method.as_str(), head.uri.path()) {
            ("POST", "/mcp") => self.mcp(token, &body),
            (_, "/mcp") => status(405).into_response(),
            (_, "/.well-known/oauth-protected-resource/mcp") => axum::Json(&self.resource).into_response(),
            (_, "/.well-known/oauth-authorization-server") => axum::Json(&self.issuer).into_response(),
            ("POST", "/register") => {
                let body = match self.register {
                    201 => json!({ "client_id": "doctor", "token_endpoint_auth_method": "none" }),
                    _ => json!({ "error": "invalid_redirect_uri" }),
                };
                (status(self.register), axum::Json(body)).into_response()
            }
            (_, "/authorize") => self.authorize(head.uri.query().unwrap()),
            ("POST", "/token") => self.token(&body),
            _ => status(404).into_response(),
        }
    }

    fn mcp(&self, token: Option<&str>, body: &[u8]) -> Response {
        let good = token == Some("Bearer good-token") || (token.is_some() && self.any_token);
        if !good {
            let mut response = status(if token.is_some() { 401 } else { self.knock.0 }).into_response();
            let challenge = if token.is_some() {
                Some("Bearer error=\"invalid_token\"")
            } else {
                self.knock.1.as_deref()
            };
            if let Some(challenge) = challenge {
                response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            }
            if token.is_none() && self.knock.0 == 307 {
                response.headers_mut().insert("location", "/other".parse().unwrap());
            }
            return response;
        }
        let message: Value = serde_json::from_slice(body).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "initialize" => json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "scripted", "version": "1" } }),
            "tools/list" if self.endless => json!({ "tools": [], "nextCursor": "more" }),
            "tools/list" => {
                json!({ "tools": [{ "name": "x", "description": "x", "inputSchema": { "type": "object" } }] })
            }
            "notifications/initialized" => return status(202).into_response(),
            _ => {
                let error = json!({ "code": -32601, "message": "no such method" });
                return axum::Json(json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
                    .into_response();
            }
        };
        axum::Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).into_response()
    }

    fn authorize(&self, query: &str) -> Response {
        let asked: std::collections::BTreeMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let own = asked["redirect_uri"].starts_with("http://127.0.0.1:")
            || asked["redirect_uri"].starts_with("http://localhost:");
        if !own && !self.open_redirect {
            return status(400).into_response();
        }
        let state = self.state.as_deref().unwrap_or(&asked["state"]);
        let iss = self.iss.as_deref().unwrap_or(&self.base);
        let parameters = [("code", "good-code"), ("state", state), ("iss", iss)];
        let back = Url::parse_with_params(&asked["redirect_uri"], parameters).unwrap();
        (status(302), [("location", back.to_string())]).into_response()
    }

    fn token(&self, body: &[u8]) -> Response {
        let good =
            url::form_urlencoded::parse(body).any(|(name, value)| name == "code" && value == "good-code");
        let no_store = [("cache-control", "no-store")];
        match self.token_error {
            _ if good => (
                no_store,
                axum::Json(json!({ "access_token": "good-token", "token_type": "Bearer",
                "expires_in": 60, "refresh_token": "r" })),
            )
                .into_response(),
            Some(error) => (status(400), axum::Json(json!({ "error": error }))).into_response(),
            None => (status(400), "<h1>Bad request</h1>").into_response(),
        }
    }
}

fn status(code: u16) -> http::StatusCode {
    http::StatusCode::from_u16(code).unwrap()
}
