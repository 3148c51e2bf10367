//! A program as a streamable-HTTP server: what each request of either era means for its children.

use crate::Guard;
use crate::child::Child;
use crate::children::{Children, Key, NoChild};
use crate::exchange::{self, json, takes_events};
use crate::legacy;
use crate::sessions::Sessions;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portunus_core::assertion::Verifier;
use portunus_core::dialer::{Body, DialError, Dialer, empty, full};
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::server::{Per, Program};
use portunus_core::time::Rng;
use portunus_mcp::answer;
use portunus_mcp::json::Bounds;
use portunus_mcp::message::{self, Call, Era, Message, Method, Reject, code};
use serde::Deserialize;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// Interval of looks for what is idle or overdue.
const TIDY: Duration = Duration::from_secs(10);
/// The path at which it answers.
const PATH: &str = "/mcp";

/// See the module. Clones are the same server; with the last one its children end.
#[derive(Clone)]
pub struct StdioServer(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) children: Children,
    pub(crate) sessions: Sessions,
    verifier: Verifier,
}

/// What an assertion says about the caller.
#[derive(Clone, Deserialize)]
struct Claims {
    sub: String,
    client_id: String,
}

/// An answer, or why there is none. What a client must be told is an answer.
pub(crate) type Answer = Result<Response<Body>, DialError>;

impl StdioServer {
    /// Starts nothing yet. Requests must carry an assertion that `verifier` finds good. To be called in a runtime.
    #[must_use]
    pub fn new(
        name: ServerName,
        program: Program,
        guard: Guard,
        verifier: Verifier,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let children = Children::new(name, program, guard, rng);
        let inner = Arc::new(Inner { children, sessions: Sessions::default(), verifier });
        tokio::spawn(tidy(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Ends all children and starts no more; resolves when they are gone.
    pub async fn stop(&self) {
        self.0.children.stop().await;
    }
}

/// Ends what nobody uses, for as long as there is a server.
async fn tidy(server: Weak<Inner>) {
    loop {
        tokio::time::sleep(TIDY).await;
        let Some(server) = server.upgrade() else { return };
        for session in server.sessions.end_idle() {
            legacy::end(&server, &session);
        }
        server.children.tidy(&|key| server.sessions.need(key));
    }
}

#[async_trait::async_trait]
impl Dialer for StdioServer {
    async fn send(&self, request: Request<Body>) -> Answer {
        if request.uri().path() != PATH {
            return Ok(plain(StatusCode::NOT_FOUND, "there is nothing here; the MCP endpoint is /mcp\n"));
        }
        let claims: Claims = match self.0.verifier.verify(request.headers()) {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(reason = %error, "request refused");
                return Ok(plain(StatusCode::UNAUTHORIZED, format!("{error}\n")));
            }
        };
        // Each behind its length, so that no two callers are one.
        let user = (claims.sub.len() as u64).to_be_bytes();
        let caller = sha256(&[&user, claims.sub.as_bytes(), claims.client_id.as_bytes()]);
        let (head, body) = request.into_parts();
        match head.method {
            HttpMethod::POST => {
                let body = match collect(body).await? {
                    Ok(body) => body,
                    Err(reject) => return Ok(refuse(&reject)),
                };
                match message::read(&head.headers, &body, &Bounds::default()) {
                    Ok(message) => self.0.post(caller, &head.headers, message).await,
                    Err(reject) => Ok(refuse(&reject)),
                }
            }
            method => match message::read_session_request(&method, &head.headers) {
                Ok(_) if method == HttpMethod::GET => legacy::listen(&self.0, caller, &head.headers).await,
                Ok(_) => Ok(legacy::delete(&self.0, caller, &head.headers)),
                Err(reject) => Ok(refuse(&reject)),
            },
        }
    }
}

impl Inner {
    async fn post(&self, caller: Digest, headers: &http::HeaderMap, message: Message) -> Answer {
        match message {
            Message::Call(call) if call.era() == Era::Modern => {
                self.modern(caller, &call, takes_events(headers)).await
            }
            Message::Call(call) => legacy::call(self, caller, headers, &call).await,
            // In the modern era a client says nothing but requests that would concern a child.
            Message::Notification(said) if said.version.era() == Era::Modern => Ok(accepted()),
            Message::Notification(said) => legacy::notification(self, caller, headers, &said),
            Message::Answer(answer) => legacy::answer(self, caller, headers, &answer),
        }
    }

    /// A request that carries all that is needed.
    async fn modern(&self, caller: Digest, call: &Call, takes_events: bool) -> Answer {
        let caller = (self.children.per() == Per::Caller).then_some(caller);
        let key = Key { era: Era::Modern, caller, client: None };
        let child = match self.children.get(&key, None).await {
            Ok(child) => child,
            Err(NoChild::Dial(error)) => return Err(error),
            Err(NoChild::Refused(_)) => {
                return Err(DialError::Unreachable(String::from("it refused to start")));
            }
        };
        if call.method == Method::Discover {
            return discover(&child, call, takes_events).await;
        }
        exchange::ask(&child, call, None, takes_events).await
    }
}

/// A program that knows only the handshake may say nothing to this question, or end. What a client needs to hear then is
/// that it should begin with the handshake. One that speaks this era, or at which others wait, is just slow: it is shared,
/// so nobody's question may end it.
async fn discover(child: &Arc<Child>, call: &Call, takes_events: bool) -> Answer {
    match timeout(limits::CHILD_DISCOVER_TIMEOUT, exchange::ask(child, call, None, takes_events)).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(DialError::Broken(_))) if !child.table().has_given_a_result() => {}
        Err(_) if child.table().is_untried() => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => {
            let waited = limits::CHILD_DISCOVER_TIMEOUT.as_secs();
            return Err(DialError::Broken(format!("it did not answer server/discover within {waited} s")));
        }
    }
    child.stop();
    let text = "this server does not answer server/discover: begin with initialize";
    Ok(json(StatusCode::BAD_REQUEST, answer::error(Some(&call.id), code::METHOD_NOT_FOUND, text, None)))
}

/// The whole body, or the reject of one that is too long.
async fn collect(mut body: Body) -> Result<Result<Bytes, Reject>, DialError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| DialError::Unreachable(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > limits::EVENT_BYTES {
            return Ok(Err(Reject::too_large(limits::EVENT_BYTES)));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Ok(whole.freeze()))
}

/// 202: taken in, nothing to answer.
pub(crate) fn accepted() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// A reject as it is answered.
pub(crate) fn refuse(reject: &Reject) -> Response<Body> {
    json(reject.status, reject.to_body())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::ffi::OsString;
    use std::path::PathBuf;

    /// A shell script as a child, without a guard around it.
    fn child(script: &str) -> Arc<Child> {
        let argument = OsString::from(r#"-Ssh -c 'shift; exec "$@"'"#);
        let guard = Guard { program: PathBuf::from("/usr/bin/env"), argument };
        let program = Program {
            command: ["sh", "-c", script].map(String::from).to_vec(),
            environment: Default::default(),
            directory: std::env::temp_dir(),
            per: Per::Server,
        };
        Arc::new(Child::start(&guard, &ServerName::parse("files").unwrap(), &program).unwrap())
    }

    fn request(method: &'static str) -> Call {
        let version = "2026-07-28";
        let mut headers = HeaderMap::new();
        let both = "application/json, text/event-stream";
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", both),
            ("mcp-protocol-version", version),
            ("mcp-method", method),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientInfo":{{"name":"c","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        match message::read(&headers, &Bytes::from(body), &Bounds::default()) {
            Ok(Message::Call(call)) => *call,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_question_that_is_not_answered_ends_only_a_child_that_nobody_needs() {
        // The first request is answered, and no other.
        let proven = child(
            r#"read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; while read -r line; do :; done"#,
        );
        exchange::ask(&proven, &request("tools/list"), None, true).await.unwrap();
        let (busy, silent) =
            (child("while read -r line; do :; done"), child("while read -r line; do :; done"));
        let call = request("prompts/list");
        let waits = exchange::ask(&busy, &call, None, true);
        let discover_call = request("server/discover");
        let asked = futures_util::future::join3(
            discover(&proven, &discover_call, true),
            discover(&busy, &discover_call, true),
            discover(&silent, &discover_call, true),
        );
        let (of_proven, of_busy, of_silent) = tokio::select! {
            biased;
            _ = waits => panic!("the other caller's request was broken off"),
            answers = asked => answers,
        };
        assert!(matches!(of_proven, Err(DialError::Broken(_))));
        assert!(matches!(of_busy, Err(DialError::Broken(_))));
        assert_eq!(of_silent.unwrap().status(), StatusCode::BAD_REQUEST);
        timeout(Duration::from_secs(30), silent.gone()).await.unwrap();
        assert!(proven.end().is_none() && busy.end().is_none());
    }
}
