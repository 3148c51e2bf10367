//! Servers that are programs: started by the edge or by a connector, shared or one for each caller, misbehaving in every
//! way that a program can.

mod callers;
mod connector;
mod credentials;
mod foreign;
mod revoked;
mod ssh;
mod supervision;
mod tls;

use crate::app::{App, server_of_program};
use crate::http::{Http, Reply, message, modern_call};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Answers to a server's questions as well.
const PERMIT: &str = "@id(\"test-permit\") permit(principal, action, resource);";

/// The server without a library, with these further words.
pub(crate) fn plain(words: &[&str]) -> Vec<String> {
    let script = servers().join("plain.py");
    let words = words.iter().map(|word| (*word).to_owned());
    ["/usr/bin/python3".to_owned(), script.to_str().unwrap().to_owned()].into_iter().chain(words).collect()
}

pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers").canonicalize().unwrap()
}

/// An edge with the server `plain` and somebody who calls it.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) http: Http,
    pub(crate) url: String,
}

impl Stage {
    /// `more` are further keys of the upstream, each after a comma.
    pub(crate) async fn set(command: &[String], more: &str) -> Self {
        Self::of(&server_of_program("plain", command, more)).await
    }

    pub(crate) async fn of(servers: &str) -> Self {
        let app = App::serve(servers, PERMIT).await;
        app.admin(&["user", "add", "bob", "--json"]);
        let (http, url) = (app.http(), app.mcp_url("plain"));
        Self { app, http, url }
    }

    pub(crate) fn caller(&self, user: &str, client: &str) -> Caller {
        let issued = self
            .app
            .admin(&["token", "issue", "--server", "plain", "--as", user, "--client", client, "--json"]);
        let token = issued["access_token"].as_str().unwrap().to_owned();
        let (http, url, port) = (self.http.clone(), self.url.clone(), self.app.port);
        Caller { http, url, port, token, session: String::new() }
    }

    pub(crate) async fn session(&self, user: &str, client: &str) -> Caller {
        let mut caller = self.caller(user, client);
        caller.begin(&json!({})).await;
        caller
    }
}

/// A client of the legacy era, with its session.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: Http,
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) session: String,
}

impl Caller {
    /// `initialize` with these capabilities; its answer.
    pub(crate) async fn begin(&mut self, capabilities: &Value) -> Reply {
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": { "name": "e2e", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params });
        let reply = self.http.send(message(&self.url, &self.token, &body)).await.unwrap();
        if let Some(session) = reply.header("mcp-session-id") {
            session.clone_into(&mut self.session);
        }
        reply
    }

    pub(crate) async fn send(&self, body: &Value) -> Reply {
        self.http.send(self.request(body)).await.unwrap()
    }

    pub(crate) fn request(&self, body: &Value) -> Request<Bytes> {
        let mut request = message(&self.url, &self.token, body);
        request.headers_mut().insert("mcp-session-id", self.session.parse().unwrap());
        request
    }

    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> Reply {
        let params = json!({ "name": tool, "arguments": arguments });
        self.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await
    }

    /// The text of a tool's answer.
    pub(crate) async fn text(&self, tool: &str, arguments: &Value) -> String {
        let reply = self.call(tool, arguments).await;
        let json = reply.json();
        json["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {json}"))
            .to_owned()
    }

    pub(crate) async fn modern(&self, tool: &str, arguments: &Value) -> Reply {
        self.http.send(self.modern_request(tool, arguments)).await.unwrap()
    }

    pub(crate) fn modern_request(&self, tool: &str, arguments: &Value) -> Request<Bytes> {
        modern_call(&self.url, &self.token, tool, arguments)
    }

    /// Sends a request whose answer is read as it comes, or not at all.
    pub(crate) async fn stream(&self, request: Request<Bytes>) -> Stream {
        let mut tls = self.http.tls(self.port, &[b"http/1.1"]).await.unwrap();
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost:{}\r\n",
            request.method(),
            request.uri().path(),
            self.port
        );
        for (name, value) in request.headers() {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        head += &format!("content-length: {}\r\n\r\n", request.body().len());
        tls.write_all(head.as_bytes()).await.unwrap();
        tls.write_all(request.body()).await.unwrap();
        Stream { tls, read: Vec::new() }
    }
}

/// An answer as it comes. Dropping it closes the connection.
pub(crate) struct Stream {
    tls: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Stream {
    /// Reads to the end.
    pub(crate) async fn end(&mut self) -> String {
        let all = async { while self.tls.read_buf(&mut self.read).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(SOON, all).await.expect("the end of the stream");
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads until this text has come; all that has come so far.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            let more = tokio::time::timeout(SOON, self.tls.read_buf(&mut self.read)).await;
            let more = more.unwrap_or_else(|_| panic!("no {text:?} in {so_far}")).unwrap_or_default();
            assert!(more > 0, "the stream ended without {text:?}: {so_far}");
        }
    }
}

#[tokio::test]
async fn a_program_is_a_server_of_both_eras() {
    let stage = Stage::set(&plain(&[]), "").await;
    let mut caller = stage.caller("ana", "one");
    let begun = caller.begin(&json!({ "sampling": {}, "roots": {} })).await.json();
    assert_eq!(begun["id"], "first");
    let result = &begun["result"];
    assert_eq!(
        result["protocolVersion"], "2025-06-18",
        "a client hears of the version that it asked for: {begun}"
    );
    assert_eq!(result["unknown"]["kept"].to_string(), "[1.0,100.0]", "members that nobody knows are kept");
    assert_eq!(
        result["capabilities"],
        json!({ "tools": {}, "resources": { "subscribe": true } }),
        "no log for many"
    );
    assert_eq!(result["heard"]["capabilities"], json!({}), "a shared child is offered nothing of one client");

    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(caller.send(&initialized).await.status, 202);
    let listed = caller.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })).await.json();
    assert!(listed["result"]["tools"].as_array().is_some_and(|tools| tools.len() > 10), "{listed}");
    assert_eq!(caller.text("echo", &json!({ "a": "b" })).await, r#"{"a": "b"}"#);
    let pretty = "{\n \"jsonrpc\": \"2.0\",\r\n \"id\": 9, \"method\": \"ping\"\n}";
    let mut request = caller.request(&Value::Null);
    *request.body_mut() = Bytes::from_static(pretty.as_bytes());
    assert_eq!(
        caller.http.send(request).await.unwrap().json()["id"],
        9,
        "a message over several lines is one"
    );

    let modern = caller.modern("echo", &json!({ "era": 2 })).await;
    assert_eq!(modern.json()["result"]["resultType"], "complete", "{}", modern.text());
    let pids = [
        caller.text("pid", &json!({})).await,
        stage.session("ana", "two").await.text("pid", &json!({})).await,
    ];
    assert_eq!(pids[0], pids[1], "one process for all");
}

#[tokio::test]
async fn a_session_belongs_to_whoever_began_it_and_ends_when_told() {
    let stage = Stage::set(&plain(&[]), "").await;
    let mut caller = stage.session("ana", "one").await;
    let mut thief = stage.caller("ana", "two");
    thief.session.clone_from(&caller.session);
    assert_eq!(thief.call("echo", &json!({})).await.status, 404);

    let mut end = caller.request(&json!({}));
    *end.method_mut() = http::Method::DELETE;
    *end.body_mut() = Bytes::new();
    assert_eq!(caller.http.send(end).await.unwrap().status, 204);
    assert_eq!(caller.call("echo", &json!({})).await.status, 404, "an ended session is unknown");
    caller.session.clear();
    let bare = message(&caller.url, &caller.token, &json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    assert_eq!(caller.http.send(bare).await.unwrap().status, 400, "a request needs its session");
    caller.begin(&json!({})).await;
    assert_eq!(caller.text("echo", &json!({})).await, "{}");
}
