//! The administrator's client: HTTP over the running edge's Unix socket.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Longest answer of the admin API.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Why an administrative command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("no edge answers at {}: {error}\nStart one (portunus serve, portunus demo), or give its --state directory", path.display())]
    NotRunning { path: PathBuf, error: std::io::Error },
    #[error("the edge broke off: {0}")]
    Broken(String),
    #[error("{0}")]
    Refused(String),
}

/// Speaks to one edge.
pub(crate) struct AdminClient {
    socket: PathBuf,
}

impl AdminClient {
    /// For the edge with this state directory.
    pub(crate) fn new(state: &Path) -> Self {
        Self { socket: state.join("admin.sock") }
    }
    pub(crate) async fn get(&self, path: &str) -> Result<Value, AdminError> {
        self.call(Method::GET, path, None).await.map(|answer| json(&answer))
    }
    /// An answer that is a document, not JSON to look into.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, AdminError> {
        let answer = self.call(Method::GET, path, None).await?;
        String::from_utf8(answer.to_vec()).map_err(|error| AdminError::Broken(error.to_string()))
    }
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, AdminError> {
        self.call(Method::POST, path, Some(body)).await.map(|answer| json(&answer))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, AdminError> {
        let broken = |error: hyper::Error| AdminError::Broken(error.to_string());
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| AdminError::NotRunning { path: self.socket.clone(), error })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| AdminError::Broken(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| AdminError::Broken(error.to_string()))?
            .to_bytes();
        if status.is_success() { Ok(bytes) } else { Err(AdminError::Refused(words(status, &json(&bytes)))) }
    }
}

fn json(answer: &Bytes) -> Value {
    serde_json::from_slice(answer).unwrap_or(Value::Null)
}

fn words(status: StatusCode, value: &Value) -> String {
    let told = ["message", "error_description", "error"].iter().find_map(|key| value.get(key)?.as_str());
    told.map_or_else(|| format!("the edge answered {status}"), str::to_owned)
}
