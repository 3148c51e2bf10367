//! A legacy client in front of an upstream that does not speak its transport: the bridge holds its session, answers what
//! is only about the session, and carries everything else over in modern words.

use super::era::Legacy;
use super::round::Run;
use super::visit::{Visit, Visits};
use super::wire::{self, Behalf};
use super::{Bridge, Inner, Origin, changes};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode};
use portunus_core::dialer::{self, Body, DialError, Dialer};
use portunus_core::limits;
use portunus_mcp::answer;
use portunus_mcp::bridge::to_modern::{self, Client};
use portunus_mcp::bridge::{self, Incoming};
use portunus_mcp::header::MCP_SESSION_ID;
use portunus_mcp::json::Bounds;
use portunus_mcp::message::{self, Call, Era, Message, Method, Reject, code};
use std::sync::Arc;
use tokio::time::timeout;

impl Inner {
    /// A legacy client's request to an upstream that is not known to speak streamable HTTP of its era.
    pub(super) async fn legacy(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let Some(origin) = request.extensions().get::<Origin>().cloned() else {
            return self.dialer.send(request).await;
        };
        let id = request.headers().get(MCP_SESSION_ID).cloned();
        if let Some(id) = id.as_ref().filter(|id| Visits::is_ours(id)) {
            return match self.visits.find(id, origin.caller) {
                Some(visit) => self.visited(&origin, visit, request).await,
                None => Ok(unknown_session()),
            };
        }
        let legacy = self.eras.known().legacy;
        let handshake = match message::read(request.headers(), &origin.body, &Bounds::of_bytes(usize::MAX)) {
            Ok(Message::Call(call)) if call.method == Method::Initialize => Some(call),
            _ => None,
        };
        match (legacy, handshake) {
            (Some(Legacy::Streamable), _) | (None, None) => self.dialer.send(request).await,
            (None, Some(call)) => self.first_handshake(&origin, &call, request).await,
            (Some(_), Some(call)) => {
                let behalf = Behalf::of(request.headers().clone(), request.extensions());
                self.begin(&origin, &behalf, &call).await
            }
            // A session of an upstream that is another one by now, or none at all.
            (Some(_), None) if id.is_some() => Ok(unknown_session()),
            (Some(_), None) => Ok(no_session()),
        }
    }

    /// The first handshake of all is passed on as it is: what comes of it shows whether the upstream speaks this era.
    async fn first_handshake(
        self: Arc<Self>,
        origin: &Origin,
        call: &Call,
        request: Request<Body>,
    ) -> Result<Response<Body>, DialError> {
        let (head, body) = request.into_parts();
        let behalf = Behalf::of(head.headers.clone(), &head.extensions);
        let answer = self.dialer.send(Request::from_parts(head, body)).await?;
        let (status, events) = (answer.status(), crate::inspect::is_event_stream(answer.headers()));
        if wire::is_foreign(status) || status.is_server_error() {
            return Ok(answer);
        }
        if status.is_success() && events {
            self.eras.found(None, Some(Legacy::Streamable));
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let whole = wire::whole(body).await?;
        if let (true, Ok(Incoming::Response(response))) = (status.is_success(), bridge::read(&whole))
            && response.outcome.is_ok()
        {
            self.eras.found(None, Some(Legacy::Streamable));
            return Ok(Response::from_parts(head, dialer::full(whole)));
        }
        if self.is_modern(&behalf).await.unwrap_or(false) {
            self.eras.found(None, Some(Legacy::No));
        }
        let begun = self.begin(origin, &behalf, call).await?;
        if begun.headers().contains_key(MCP_SESSION_ID) {
            return Ok(begun);
        }
        // Neither era nor the old transport: what the upstream said says it best.
        Ok(Response::from_parts(head, dialer::full(whole)))
    }

    /// `initialize`: a session with the bridge, after the upstream has said what it can do.
    async fn begin(
        self: Arc<Self>,
        origin: &Origin,
        behalf: &Behalf,
        call: &Call,
    ) -> Result<Response<Body>, DialError> {
        let client = Client::of(call);
        let body = client.discover("\"portunus-discover\"");
        let asked = async {
            let answer = self.ask(origin, behalf, &Method::Discover, None, body).await?;
            if wire::is_foreign(answer.status()) {
                return Ok((Some(answer), None));
            }
            wire::response(answer).await.map(|response| (None, response))
        };
        let found = match timeout(limits::ERA_PROBE_TIMEOUT * 3, asked).await {
            Ok(found) => found?,
            Err(_) => {
                return Err(DialError::Unreachable(String::from("the server does not say what it can do")));
            }
        };
        match found {
            (Some(answer), _) => Ok(answer),
            (None, Some(bridge::Response { outcome: Ok(found), .. })) => {
                let body = to_modern::initialized(&call.id, &client, &found);
                let visit = self.visits.begin(origin.caller, client).ok_or(DialError::Busy)?;
                let mut answer = wire::json(StatusCode::OK, body);
                answer.headers_mut().insert(MCP_SESSION_ID, visit.id.clone());
                Ok(answer)
            }
            (None, Some(failed)) => Ok(match to_modern::response(&call.id, &failed) {
                to_modern::Answered::Done(body) => wire::json(StatusCode::OK, body),
                to_modern::Answered::Asks(_) => wire::empty(StatusCode::BAD_GATEWAY),
            }),
            (None, None) => {
                Err(DialError::Unreachable(String::from("the server does not say what it can do")))
            }
        }
    }

    /// A modern request upstream. An upstream of the old transport is reached over its own bridge.
    pub(super) async fn ask(
        self: &Arc<Self>,
        origin: &Origin,
        behalf: &Behalf,
        method: &Method,
        target: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Body>, DialError> {
        let mirrors = to_modern::mirrors(method, target);
        let mut request = wire::request(HttpMethod::POST, behalf, mirrors, body.clone());
        request.extensions_mut().insert(Origin { era: Era::Modern, body, ..origin.clone() });
        Bridge(self.clone()).send(request).await
    }

    /// A request within a session.
    async fn visited(
        self: Arc<Self>,
        origin: &Origin,
        visit: Arc<Visit>,
        request: Request<Body>,
    ) -> Result<Response<Body>, DialError> {
        let (head, _) = request.into_parts();
        let behalf = Behalf::of(head.headers, &head.extensions);
        if head.method == HttpMethod::DELETE {
            self.visits.end(&visit);
            return Ok(wire::empty(StatusCode::OK));
        }
        if head.method == HttpMethod::GET {
            return Ok(changes::stream(self, origin.clone(), visit, behalf));
        }
        let message = message::read(&behalf.headers, &origin.body, &Bounds::of_bytes(usize::MAX));
        let call = match message {
            Err(reject) => return Ok(wire::json(reject.status, reject.to_body())),
            Ok(Message::Answer(answer)) => {
                visit.answer(&answer.id, (behalf, answer.body));
                return Ok(wire::empty(StatusCode::ACCEPTED));
            }
            Ok(Message::Notification(note)) => {
                if let Some(id) = &note.cancels {
                    visit.cancel(id);
                }
                return Ok(wire::empty(StatusCode::ACCEPTED));
            }
            Ok(Message::Call(call)) => call,
        };
        match &call.method {
            Method::Initialize => self.begin(origin, &behalf, &call).await,
            Method::Ping => Ok(done(&call)),
            Method::SetLevel => Ok(match to_modern::level(&call) {
                Some(level) => {
                    visit.set_level(level);
                    done(&call)
                }
                None => failed(&call, code::INVALID_PARAMS, "params.level is not a log level"),
            }),
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => Ok(watch(&visit, &call).await),
            Method::TasksGet | Method::TasksResult | Method::TasksList | Method::TasksCancel => {
                let reject = Reject::method_not_found(&call.method, call.version).with_id(call.id.clone());
                Ok(wire::json(reject.status, reject.to_body()))
            }
            _ => match Run::start(self, origin.clone(), visit, behalf, *call) {
                Ok(run) => run.answer().await,
                Err(call) => Ok(failed(&call, code::INVALID_REQUEST, "the id of this request is in use")),
            },
        }
    }
}

/// `resources/subscribe` and `resources/unsubscribe`: the upstream is told over the session's stream, if there is one.
async fn watch(visit: &Visit, call: &Call) -> Response<Body> {
    let uri = call.target.clone().unwrap_or_default();
    let on = call.method == Method::ResourcesSubscribe;
    let mut full = false;
    visit.watched.send_if_modified(|watched| {
        full = on && watched.uris.len() >= limits::SUBSCRIPTIONS && !watched.uris.contains(&uri);
        let changed = !full && if on { watched.uris.insert(uri) } else { watched.uris.remove(&uri) };
        watched.changes += u64::from(changed);
        changed
    });
    if full {
        return failed(call, code::INVALID_REQUEST, "too many subscriptions in one session");
    }
    let wanted = visit.watched.borrow().changes;
    let mut honoured = visit.honoured.subscribe();
    // Who hears of it only then must not miss what happens until then.
    let heard = honoured.wait_for(|honoured| honoured.is_none_or(|honoured| honoured >= wanted));
    drop(timeout(limits::ERA_PROBE_TIMEOUT, heard).await);
    done(call)
}

fn done(call: &Call) -> Response<Body> {
    wire::json(StatusCode::OK, bridge::result(&call.id, "{}"))
}

fn failed(call: &Call, code: i32, text: &str) -> Response<Body> {
    wire::json(StatusCode::OK, answer::error(Some(&call.id), code, text, None))
}

/// 404: the client starts again (2025-11-25, Transports, Session Management).
fn unknown_session() -> Response<Body> {
    let text = "This session is not known here, or has ended; initialize again";
    wire::json(StatusCode::NOT_FOUND, answer::error(None, code::INVALID_REQUEST, text, None))
}

fn no_session() -> Response<Body> {
    let text = "Mcp-Session-Id is missing: initialize first";
    wire::json(StatusCode::BAD_REQUEST, answer::error(None, code::INVALID_REQUEST, text, None))
}

/// The id of a session with the bridge, if that is what it is.
pub(super) fn is_visit(headers: &HeaderMap) -> bool {
    headers.get(MCP_SESSION_ID).is_some_and(|id: &HeaderValue| Visits::is_ours(id))
}
