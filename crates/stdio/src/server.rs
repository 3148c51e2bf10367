//! A program as a streamable-HTTP server: what each request of either era means for its children.

use crate::Guard;
use crate::child::Child;
use crate::children::{Children, Key, NoChild};
use crate::exchange::{self, json, takes_events};
use crate::legacy;
use crate::sessions::Sessions;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portunus_core::assertion::Verifier;
use portunus_core::dialer::{Body, DialError, Dialer, Manner, Presented, empty, full};
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::record::CredentialUse;
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
/// How often a child is looked for that is not just being ended.
pub(crate) const ATTEMPTS: usize = 3;
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

/// Who sends a message, and with what.
pub(crate) struct Sender<'a> {
    pub(crate) caller: Digest,
    pub(crate) headers: &'a HeaderMap,
    /// What its child must have been started with.
    pub(crate) credential: Option<&'a Presented>,
}

impl Sender<'_> {
    /// The version of the credential.
    pub(crate) fn used(&self) -> Option<CredentialUse> {
        self.credential.map(|credential| credential.used().clone())
    }
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
        let credential = Presented::of(&head.extensions);
        if let Some(foreign) = credential.filter(|credential| credential.manner() != Manner::Environment) {
            return Err(foreign.unfit("a program"));
        }
        let sender = Sender { caller, headers: &head.headers, credential };
        match head.method {
            HttpMethod::POST => {
                let body = match collect(body).await? {
                    Ok(body) => body,
                    Err(reject) => return Ok(refuse(&reject)),
                };
                match message::read(&head.headers, &body, &Bounds::default()) {
                    Ok(message) => self.0.post(&sender, message).await,
                    Err(reject) => Ok(refuse(&reject)),
                }
            }
            method => match message::read_session_request(&method, &head.headers) {
                Ok(_) if method == HttpMethod::GET => legacy::listen(&self.0, &sender).await,
                Ok(_) => Ok(legacy::delete(&self.0, &sender)),
                Err(reject) => Ok(refuse(&reject)),
            },
        }
    }
}

impl Inner {
    async fn post(&self, sender: &Sender<'_>, message: Message) -> Answer {
        match message {
            Message::Call(call) if call.era() == Era::Modern => self.modern(sender, &call).await,
            Message::Call(call) => legacy::call(self, sender, &call).await,
            // In the modern era a client says nothing but requests that would concern a child.
            Message::Notification(said) if said.version.era() == Era::Modern => Ok(accepted()),
            Message::Notification(said) => legacy::notification(self, sender, &said),
            Message::Answer(answer) => legacy::answer(self, sender, &answer),
        }
    }

    /// A request that carries all that is needed.
    async fn modern(&self, sender: &Sender<'_>, call: &Call) -> Answer {
        let caller = (self.children.per() == Per::Caller).then_some(sender.caller);
        let key = Key { era: Era::Modern, caller, client: None, credential: sender.used() };
        let takes_events = takes_events(sender.headers);
        let mut attempts = 0;
        loop {
            let child = match self.children.get(&key, None, sender.credential).await {
                Ok(child) => child,
                Err(NoChild::Dial(error)) => return Err(error),
                Err(NoChild::Refused(_)) => {
                    return Err(DialError::Unreachable(String::from("it refused to start")));
                }
            };
            attempts += 1;
            let answer = match call.method {
                Method::Discover => discover(&child, call, takes_events).await,
                _ => exchange::ask(&child, call, None, takes_events).await,
            };
            match answer {
                Err(error) if attempts < ATTEMPTS && child.left_untouched(&error) => {}
                answer => return answer,
            }
        }
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
mod tests;
