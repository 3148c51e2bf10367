//! An MCP server that records every request it gets, byte for byte.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Calls of the tool `wait` are answered while this has permits.
    gate: Arc<Semaphore>,
    /// The `Authorization` without which it answers 401; empty: it lets everybody in.
    wanted: Arc<Mutex<String>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The query of the URL.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/mcp", listener.local_addr().unwrap().port());
        let upstream =
            Self { url, seen: Arc::default(), gate: Arc::new(Semaphore::new(0)), wanted: Arc::default() };
        tokio::spawn(upstream.clone().run(listener));
        upstream
    }

    /// `host:port`, for credentials.
    pub(crate) fn host(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Lets in only who shows this.
    pub(crate) fn demand(&self, authorization: &str) {
        authorization.clone_into(&mut self.wanted.lock().unwrap());
    }

    /// The `tools/call`s among them.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.json()["method"] == "tools/call").collect()
    }

    /// Lets one waiting call of the tool `wait` finish.
    pub(crate) fn release(&self) {
        self.gate.add_permits(1);
    }

    async fn run(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let upstream = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let upstream = upstream.clone();
                    async move { Ok::<_, Infallible>(upstream.answer(request).await) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return reply(400, None) };
        let wanted = self.wanted.lock().unwrap().clone();
        let shown = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        if !wanted.is_empty() && shown != Some(wanted.as_str()) {
            return reply(401, None);
        }
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let seen = Seen { query, headers: parts.headers, body: body.to_bytes() };
        let message = seen.json();
        self.seen.lock().unwrap().push(seen);
        if message["id"].is_null() {
            return reply(202, None);
        }
        if message["params"]["name"] == "wait" {
            self.gate.acquire().await.unwrap().forget();
        }
        let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result(&message) });
        reply(200, Some(answer))
    }
}

fn result(message: &Value) -> Value {
    let modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
    let mut result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "recorder", "version": "1" },
        }),
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28", "2025-11-25"],
            "capabilities": { "tools": {} },
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        "tools/list" => json!({ "tools": [tool("echo"), tool("wait"), tool("secret")] }),
        "tools/call" => {
            json!({ "content": [{ "type": "text", "text": message["params"]["arguments"].to_string() }] })
        }
        _ => json!({}),
    };
    if modern {
        result["resultType"] = json!("complete");
    }
    result
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "description": name, "inputSchema": { "type": "object" } })
}

fn reply(status: u16, body: Option<Value>) -> Response<Full<Bytes>> {
    let bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(bytes))
        .unwrap()
}
