//! One request to a child and what comes back: one JSON answer, or an event stream when other messages come first.

use crate::budget::Budget;
use crate::child::Child;
use crate::message::{part_of, splice};
use crate::sessions::Session;
use crate::table::{Asking, Item, Reader, SessionId};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use portunus_core::dialer::{Body, BodyError, DialError, full};
use portunus_mcp::header::{EVENT_STREAM, JSON};
use portunus_mcp::message::{Call, Era, Method, code};
use portunus_mcp::sse::Event;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Sends a client's request to a child and gives the answer as HTTP.
pub(crate) async fn ask(
    child: &Arc<Child>,
    call: &Call,
    session: Option<&Session>,
    takes_events: bool,
) -> Result<Response<Body>, DialError> {
    let (sender, receiver) = unbounded_channel();
    let asking = Asking {
        id: call.id.clone(),
        token: call.progress_token.clone(),
        session: session.map(|session| session.id.clone()),
        caller: session.map(|session| session.owner),
        reader: Reader::new(sender),
        takes_events,
    };
    let number = child.ask(asking, |number| numbered(call, number))?;
    let mut waiting = Waiting { child: child.clone(), number, era: call.era(), receiver, over: false };
    if call.method == Method::Listen {
        return Ok(events(None, waiting));
    }
    match waiting.next().await {
        Some(Item::Answer(held, error)) => Ok(json(status(call, error), held.bytes().clone())),
        Some(first) => Ok(events(Some(first), waiting)),
        None => Err(DialError::Broken(child.why())),
    }
}

/// The request under our number, which stands for its progress token as well.
fn numbered(call: &Call, number: u64) -> Bytes {
    let number = number.to_string();
    let parts = [Some(&call.id), call.progress_token.as_ref()].into_iter().flatten();
    let places = parts.filter_map(|part| Some((part_of(&call.body, part)?, number.as_bytes())));
    splice(&call.body, places.collect())
}

/// The notification that tells a child to give up a request.
pub(crate) fn cancelled(number: u64) -> Bytes {
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number},"reason":"nobody waits for the answer any more"}}}}"#
    ))
}

/// The HTTP status of an answer: the modern era has some that a client looks at.
fn status(call: &Call, error: Option<i64>) -> StatusCode {
    let is = |code: i32| error == Some(i64::from(code));
    match call.era() {
        Era::Modern if is(code::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Era::Modern
            if is(code::HEADER_MISMATCH)
                || is(code::MISSING_CAPABILITY)
                || is(code::UNSUPPORTED_VERSION)
                || error.is_some() && call.method == Method::Discover =>
        {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// Waits for what the child says to one request. Dropped before the answer, it gives the request up.
struct Waiting {
    child: Arc<Child>,
    number: u64,
    era: Era,
    receiver: UnboundedReceiver<Item>,
    over: bool,
}

impl Waiting {
    async fn next(&mut self) -> Option<Item> {
        let item = self.receiver.recv().await;
        self.over = matches!(item, None | Some(Item::Answer(..)));
        item
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        match self.era {
            // Closing the response stream is cancelling.
            Era::Modern => {
                let waited = self.child.table().forget(self.number);
                if waited {
                    let _ = self.child.say(cancelled(self.number));
                }
            }
            // A connection that is lost is not (2025-11-25, Transports).
            Era::Legacy => {
                let given_up = self.child.table().abandon(self.number);
                if let Some(number) = given_up {
                    let _ = self.child.say(cancelled(number));
                }
            }
        }
    }
}

/// `first` and what follows as events, up to the answer.
fn events(first: Option<Item>, waiting: Waiting) -> Response<Body> {
    let pieces = stream::unfold((first, Some(waiting)), |(first, waiting)| async move {
        let mut waiting = waiting?;
        let item = match first {
            Some(item) => Some(item),
            None => waiting.next().await,
        };
        match item {
            Some(Item::Message(held)) => Some((Ok(event(held.bytes())), (None, Some(waiting)))),
            Some(Item::Answer(held, _)) => Some((Ok(event(held.bytes())), (None, None))),
            None => Some((Err(BodyError::from(waiting.child.why())), (None, None))),
        }
    });
    event_stream(Body::new(StreamBody::new(Box::pin(pieces))))
}

/// A session's stream of what belongs to no request.
pub(crate) fn listen(child: &Arc<Child>, session: SessionId) -> Response<Body> {
    let (sender, receiver) = unbounded_channel();
    let reader = Reader::new(sender);
    let budget = reader.budget();
    child.table().open_stream(session.clone(), reader);
    let listening = Listening { child: child.clone(), session, budget, receiver };
    let pieces = stream::unfold(listening, |mut listening| async move {
        let Some(Item::Message(held)) = listening.receiver.recv().await else { return None };
        Some((Ok(event(held.bytes())), listening))
    });
    event_stream(Body::new(StreamBody::new(Box::pin(pieces))))
}

struct Listening {
    child: Arc<Child>,
    session: SessionId,
    budget: Arc<Budget>,
    receiver: UnboundedReceiver<Item>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.table().close_stream(&self.session, &self.budget);
    }
}

fn event(data: &Bytes) -> Frame<Bytes> {
    Frame::data(Event::of_data(data.clone()).raw)
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An answer in one piece.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// Whether the client takes an event stream for an answer.
pub(crate) fn takes_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges =
        values.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or_default());
    !headers.contains_key(header::ACCEPT)
        || ranges.any(|range| {
            ["*/*", "text/*", EVENT_STREAM].contains(&range.trim().to_ascii_lowercase().as_str())
        })
}
