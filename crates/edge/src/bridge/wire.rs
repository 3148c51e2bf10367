//! Requests of the bridge's own, and answers read message by message.

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portunus_core::dialer::{self, Body, DialError, Presented};
use portunus_core::limits;
use portunus_mcp::bridge::{self, Incoming};
use portunus_mcp::header::{EVENT_STREAM, JSON};
use portunus_mcp::sse::{Event, Splitter};

/// The path that stands for the server itself.
pub(super) const SERVER: http::uri::PathAndQuery = http::uri::PathAndQuery::from_static("/mcp");

/// What keeps a stream alive while nothing happens on it.
pub(super) const PAUSE: &[u8] = b": the server is at work\n\n";

/// The request of a client that something is sent for: identity and trace, which are in its headers, and its credential.
#[derive(Debug, Clone, Default)]
pub(super) struct Behalf {
    pub(super) headers: HeaderMap,
    credential: Option<Presented>,
}

impl Behalf {
    /// Of a client's request.
    pub(super) fn of(headers: HeaderMap, extensions: &Extensions) -> Self {
        Self { headers, credential: Presented::of(extensions).cloned() }
    }
}

/// A request on behalf of a client's: identity, credential and trace stay, what the protocol says in headers is replaced.
pub(super) fn request(method: Method, behalf: &Behalf, protocol: HeaderMap, body: Bytes) -> Request<Body> {
    let length = body.len();
    let mut request = Request::new(if length == 0 { dialer::empty() } else { dialer::full(body) });
    let mut headers = behalf.headers.clone();
    let stale: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("mcp-")).cloned().collect();
    for name in stale.iter().chain(&[
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        portunus_mcp::header::LAST_EVENT_ID,
    ]) {
        headers.remove(name);
    }
    let accept = match method {
        Method::GET => EVENT_STREAM,
        _ => "application/json, text/event-stream",
    };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    if length > 0 {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.extend(protocol);
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from(SERVER);
    *request.headers_mut() = headers;
    if let Some(credential) = &behalf.credential {
        request.extensions_mut().insert(credential.clone());
    }
    request
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(dialer::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// An answer that is an event stream.
pub(super) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(dialer::empty());
    *response.status_mut() = status;
    response
}

/// The bytes of one event that carries this message.
pub(super) fn frame(message: Bytes) -> Bytes {
    Event::of_data(message).raw
}

/// Whether an answer is none of the protocol's but of whoever stands in front of the server: it says nothing about eras.
pub(super) fn is_foreign(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN || status.is_redirection()
}

/// A body read whole, within the bound of one message.
pub(super) async fn whole(mut body: Body) -> Result<Bytes, DialError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| DialError::Broken(error.to_string()))?.into_data() else {
            continue;
        };
        if whole.len().saturating_add(data.len()) > limits::EVENT_BYTES {
            return Err(DialError::Broken(format!("a message is longer than {} bytes", limits::EVENT_BYTES)));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// A message of a server.
pub(super) fn message(data: &Bytes) -> Result<Incoming, DialError> {
    bridge::read(data).map_err(|error| DialError::Broken(error.to_string()))
}

/// The one response to a request of the bridge's own; `None` when the answer holds none.
pub(super) async fn response(answer: Response<Body>) -> Result<Option<bridge::Response>, DialError> {
    if !crate::inspect::is_event_stream(answer.headers()) {
        let whole = whole(answer.into_body()).await?;
        return Ok(match bridge::read(&whole) {
            Ok(Incoming::Response(response)) => Some(response),
            _ => None,
        });
    }
    let mut events = Events::new(answer.into_body());
    loop {
        match events.next().await? {
            Some(Piece::Message(Incoming::Response(response))) => return Ok(Some(response)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// What comes next on an event stream.
pub(super) enum Piece {
    /// A comment, or an event that only tells where to resume.
    Pause,
    /// An event of another name: the first one of an old HTTP+SSE stream.
    Named(String, Bytes),
    /// A message.
    Message(Incoming),
}

/// An event stream, read message by message. A read that is dropped loses nothing.
pub(super) struct Events {
    splitter: Splitter,
    body: Body,
    /// Where to resume, and after how long, as the server said last.
    pub(super) last_id: Option<String>,
    pub(super) retry: Option<u64>,
}

impl Events {
    pub(super) fn new(body: Body) -> Self {
        Self { splitter: Splitter::new(limits::EVENT_BYTES), body, last_id: None, retry: None }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, DialError> {
        let broken = |error: &dyn std::fmt::Display| DialError::Broken(error.to_string());
        loop {
            if let Some(event) = self.splitter.next_event().map_err(|error| broken(&error))? {
                self.last_id = event.id.clone().or(self.last_id.take());
                self.retry = event.retry.or(self.retry);
                let Some(data) = event.data.filter(|data| !data.is_empty()) else {
                    return Ok(Some(Piece::Pause));
                };
                return match event.name {
                    Some(name) if name != "message" => Ok(Some(Piece::Named(name, data))),
                    _ => message(&data).map(|message| Some(Piece::Message(message))),
                };
            }
            if self.splitter.has_ended() {
                return Ok(None);
            }
            match self.body.frame().await {
                None => self.splitter.end(),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.splitter.feed(&data);
                    }
                }
            }
        }
    }
}
