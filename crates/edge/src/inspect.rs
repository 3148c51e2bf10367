//! The answer before it is released: headers reduced to the known ones, and each of its messages screened, in whole answers
//! and in event streams alike.

use crate::Edge;
use crate::asked::What;
use crate::decide::Case;
use crate::observed;
use crate::refusal::{Refusal, UpstreamFailure};
use crate::screen::{Barred, Screen};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use portunus_core::dialer::{self, Body, BodyError, DialError};
use portunus_core::limits;
use portunus_mcp::sse;
use std::sync::Arc;

/// Why an answer is withheld.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The upstream did not accept our credential, or wants another address.
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    /// Compressed, which was not asked for.
    #[error("the server's answer is compressed, which was not asked for")]
    Encoded,
    /// Its message must not be released.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// What must be filtered or screened is too long for that.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// What it leaves behind could not be stored or recorded.
    #[error("what it leaves behind could not be stored: {0}")]
    Unsettled(String),
    /// It is no message, and so cannot be screened as policies say.
    #[error("the answer is neither JSON nor a stream of events, so its data cannot be screened")]
    Unread,
}

/// Prepares an upstream's answer for the client.
///
/// # Errors
/// When it must not be released, breaks off or pauses too long.
pub async fn inspect(
    edge: &Arc<Edge>,
    case: &Case<'_>,
    answer: Response<Body>,
) -> Result<Response<Body>, Refusal> {
    let withheld = |why: Withheld| UpstreamFailure::Withheld { id: case.asked.id(), why: why.to_string() };
    let (mut head, body) = answer.into_parts();
    // A challenge or redirect of the upstream's is for us, never for the client.
    if head.status == StatusCode::UNAUTHORIZED
        || head.status == StatusCode::FORBIDDEN
        || head.status.is_redirection()
    {
        let location = head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        if let Some(location) = location.filter(|_| head.status.is_redirection()) {
            observed::host(edge, case, location);
        }
        return Err(withheld(Withheld::Status(head.status)).into());
    }
    let length = head.headers.get(header::CONTENT_LENGTH).cloned();
    let media = Media::of(&head.headers);
    let events = media == Media::Events;
    // No encoding was asked for, and the bytes of an encoded answer are not what they mean.
    if portunus_mcp::header::is_encoded(&head.headers) {
        return Err(withheld(Withheld::Encoded).into());
    }
    head.headers = portunus_mcp::header::forward_response(&head.headers);
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    // As it was read here: clients look for words in this header, and must find no other.
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.as_str()));
    head.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    edge.handles.of(&case.known.caller).bind_session(&mut head.headers, case.asked.call());

    let screen = Screen::new(edge, case, head.status).map_err(|barred| withheld(barred.into()))?;
    if events {
        return Ok(Response::from_parts(head, screened(screen, longest(case), body)));
    }
    let filtered = case.asked.call().is_some_and(|call| call.method.list().is_some());
    let read = media == Media::Json || filtered || matches!(case.asked.what, What::Stream);
    if !read || body.is_end_stream() {
        // No client takes it for a message.
        if screen.must_read() && !body.is_end_stream() {
            return Err(withheld(Withheld::Unread).into());
        }
        length.map(|length| head.headers.insert(header::CONTENT_LENGTH, length));
        return Ok(Response::from_parts(head, body));
    }
    let body = match hold(case, body).await? {
        Held::Whole(whole) if whole.is_empty() => dialer::empty(),
        Held::Whole(whole) => {
            let message = screen.message(&whole).map_err(|barred| withheld(barred.into()))?;
            screen.settle().await.map_err(|error| withheld(Withheld::Unsettled(error.to_string())))?;
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(message.len()));
            dialer::full(message)
        }
        Held::TooLong(_) if filtered || screen.must_read() => {
            return Err(withheld(Withheld::TooLong(longest(case))).into());
        }
        Held::TooLong(body) => body,
    };
    Ok(Response::from_parts(head, body))
}

/// Bytes of a message that this server may answer with: no more can reach the client.
fn longest(case: &Case<'_>) -> usize {
    usize::try_from(bytes_of_answer(case)).unwrap_or(usize::MAX)
}

/// Bytes of an answer: as the server's bound and policies say.
#[must_use]
pub fn bytes_of_answer(case: &Case<'_>) -> u64 {
    let own = case.published.server.limits.response_bytes;
    case.caps.bytes.map_or(own, |bytes| bytes.min(own))
}

/// A body that was read as far as it may go.
enum Held {
    Whole(Bytes),
    /// What was read and the rest of it; the bound on the answer cuts it, so that it never looks complete.
    TooLong(Body),
}

/// The whole body, as far as this server's answers may be long; each piece in time, none after a revocation.
async fn hold(case: &Case<'_>, mut body: Body) -> Result<Held, Refusal> {
    let id = || case.asked.id();
    let (longest, mut revocation) = (longest(case), case.known.revocation());
    let mut whole = BytesMut::new();
    loop {
        let frame = tokio::select! {
            biased;
            frame = tokio::time::timeout(case.published.server.limits.timeout, body.frame()) => frame,
            Ok(_) = revocation.wait_for(|revoked| *revoked) => return Err(Refusal::Revoked),
        };
        let frame = match frame {
            Err(_) => return Err(UpstreamFailure::TimedOut { id: id() }.into()),
            Ok(None) => return Ok(Held::Whole(whole.freeze())),
            Ok(Some(Err(error))) => {
                let error = DialError::Broken(error.to_string());
                return Err(UpstreamFailure::Dial { id: id(), error }.into());
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        whole.extend_from_slice(&data);
        if whole.len() > longest {
            let first = stream::iter([Ok::<_, BodyError>(Frame::data(whole.freeze()))]);
            let rest = body.into_data_stream().map(|piece| piece.map(Frame::data));
            return Ok(Held::TooLong(Body::new(StreamBody::new(Box::pin(first.chain(rest))))));
        }
    }
}

/// The message with the result in an answer that was released: the answer itself, or the last event of its stream.
///
/// # Errors
/// When it breaks off.
pub async fn answer(id: Bytes, answer: Response<Body>) -> Result<Bytes, Refusal> {
    let events = is_event_stream(answer.headers());
    let broken = |error: String| UpstreamFailure::Dial { id, error: DialError::Broken(error) };
    // It was released, so its bound was kept.
    let whole = match answer.into_body().collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) => return Err(broken(error.to_string()).into()),
    };
    if !events {
        return Ok(whole);
    }
    let mut splitter = sse::Splitter::new(whole.len());
    splitter.feed(&whole);
    splitter.end();
    let mut last = Bytes::new();
    while let Ok(Some(event)) = splitter.next_event() {
        last = event.data.filter(|data| !data.is_empty()).unwrap_or(last);
    }
    Ok(last)
}

/// Whether the answer is a stream of server-sent events.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// What an answer's body is read as, here and so by every client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Events,
    /// Text that is no message.
    Text,
}

impl Media {
    /// By the one `Content-Type`: of two, or one that can be read in two ways, nobody knows which counts.
    fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Self::Text };
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let (media, parameters) = text.split_once(';').unwrap_or((&text, ""));
        let parameters = parameters.replace([' ', '"'], "");
        if !["", "charset=utf-8"].contains(&parameters.as_str()) {
            return Self::Text;
        }
        match media.trim() {
            "text/event-stream" => Self::Events,
            "application/json" => Self::Json,
            media if media.starts_with("application/") && media.ends_with("+json") => Self::Json,
            _ => Self::Text,
        }
    }
    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Events => "text/event-stream",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// Screens each event of a stream, resumed ones included.
fn screened(screen: Screen, longest: usize, body: Body) -> Body {
    let state = (screen, sse::Splitter::new(longest.max(limits::EVENT_BYTES)), body.into_data_stream());
    let pieces = stream::try_unfold(state, |(screen, mut splitter, mut body)| async move {
        let mut out = Vec::new();
        // Whole events only, so that the client is always between two of them.
        while out.is_empty() {
            if splitter.has_ended() || screen.is_outdated() {
                return Ok::<_, BodyError>(None);
            }
            match body.next().await {
                None => splitter.end(),
                Some(data) => splitter.feed(&data?),
            }
            while let Some(event) = splitter.next_event()? {
                out.extend_from_slice(&screen.event(event)?);
            }
        }
        screen.settle().await?;
        Ok(Some((Frame::data(Bytes::from(out)), (screen, splitter, body))))
    });
    Body::new(StreamBody::new(Box::pin(pieces)))
}
