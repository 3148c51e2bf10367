//! A server over a database of the test's own, spoken to through its HTTP service as any client would.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::BodyExt;
use portunus_core::dialer::{Dialer, full};
use portunus_core::testing::ManualClock;
use portunus_core::time::Timestamp;
use portunus_sqlite::http::HttpService;
use portunus_sqlite::{Options, SqlServer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub const NOW: u64 = 1_795_000_000;
pub const AUDIENCE: &str = "sales";

/// A database in a directory of its own.
pub struct Shop {
    pub directory: TempDir,
    pub path: PathBuf,
}

impl Shop {
    /// The demo database.
    pub fn sample() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop.db");
        portunus_sqlite::sample::create(&path).unwrap();
        Self { directory, path }
    }
    /// A database made by this SQL.
    pub fn of(sql: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        Self { directory, path }
    }
    pub fn options(&self) -> Options {
        Options::new(&self.path)
    }
    pub fn serve(&self, options: Options) -> Caller {
        Caller { service: SqlServer::open(options).unwrap().http_service(), mask: None, extra: json!({}) }
    }
    pub fn open(&self) -> Caller {
        self.serve(self.options())
    }
    /// A caller who sees only what the mask shows, behind a gateway.
    pub fn masked(&self, mask: Value) -> Caller {
        self.masked_with(self.options(), mask)
    }
    pub fn masked_with(&self, options: Options, mask: Value) -> Caller {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(NOW)));
        let key = signer();
        let server = SqlServer::open(options).unwrap();
        let server = server.with_assertion_key(key.public_key().as_ref(), AUDIENCE, clock).unwrap();
        Caller { service: server.http_service(), mask: Some(mask), extra: json!({}) }
    }
    /// Name and content of every file in the directory.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

pub fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

pub fn sign(key: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    format!("{text}.{}", BASE64URL_NOPAD.encode(key.sign(text.as_bytes()).as_ref()))
}

pub fn claims(tool: &str, mask: &Value) -> Value {
    json!({ "aud": AUDIENCE, "exp": NOW + 60, "iat": NOW, "sub": "ana", "tool": tool, "mask": mask })
}

#[derive(Clone)]
pub struct Caller {
    pub service: HttpService,
    pub mask: Option<Value>,
    /// Claims beside the mask.
    pub extra: Value,
}

impl Caller {
    /// The same caller, about whose calls this was decided, too.
    pub fn decided(&self, extra: Value) -> Self {
        Self { extra, ..self.clone() }
    }
    /// The same caller with another mask.
    pub fn seeing(&self, mask: Value) -> Self {
        Self { mask: Some(mask), ..self.clone() }
    }
    /// The assertion for a call.
    pub fn assertion(&self, tool: &str) -> Option<String> {
        self.mask.as_ref().map(|mask| {
            let mut claims = claims(tool, mask);
            claims.as_object_mut().unwrap().extend(self.extra.as_object().unwrap().clone());
            sign(&signer(), &json!({ "alg": "EdDSA", "typ": "JWT" }), &claims)
        })
    }
    /// The result of a tool call.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let assertion = self.assertion(tool);
        let (status, answer) = post(&self.service, assertion.as_deref(), call_message(tool, arguments)).await;
        assert_eq!(status, 200, "{answer}");
        answer["result"].clone()
    }
    /// What a query answered; it must succeed.
    pub async fn query(&self, sql: &str) -> Value {
        let result = self.call("read_query", json!({ "sql": sql })).await;
        assert_eq!(result["isError"], false, "{sql}\n{result}");
        result["structuredContent"].clone()
    }
    pub async fn rows(&self, sql: &str) -> Value {
        self.query(sql).await["rows"].clone()
    }
    /// Why a query was refused; it must be.
    pub async fn refusal(&self, tool: &str, sql: &str) -> String {
        let result = self.call(tool, json!({ "sql": sql })).await;
        assert_eq!(result["isError"], true, "{sql}\n{result}");
        assert!(result.get("structuredContent").is_none_or(Value::is_null), "{sql}\n{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

pub fn call_message(tool: &str, arguments: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

/// Posts one message in the legacy era and gives the status and the answer.
pub async fn post(service: &HttpService, assertion: Option<&str>, message: Value) -> (u16, Value) {
    let mut request = http::Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if let Some(assertion) = assertion {
        request = request.header("portunus-assertion", assertion);
    }
    let request = request.body(full(message.to_string().into())).unwrap();
    let answer = service.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    (status, value)
}
