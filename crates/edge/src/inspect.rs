//! The answer before it is released: headers reduced to the known ones, lists filtered by the same policies that decide
//! calls, in whole answers and in event streams alike.

use crate::asked::{self, What};
use crate::decide::{self, Case};
use crate::mirror::Mirrors;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use portunus_core::dialer::{self, Body, BodyError};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;
use portunus_mcp::list;
use portunus_mcp::message::{Era, List, TargetKind};
use portunus_mcp::sse;
use portunus_policy::{Engine, Operation, Principal, View};
use std::net::IpAddr;
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
    /// A list that cannot be filtered.
    #[error("a list could not be read: {0}")]
    List(String),
    /// A list that is too long to filter.
    #[error("a list is longer than {} bytes", limits::EVENT_BYTES)]
    TooLong,
    /// The upstream broke off.
    #[error("the answer broke off")]
    Broken,
}

/// Prepares an upstream's answer for the client.
///
/// # Errors
/// When it must not be released.
pub async fn inspect(case: &Case<'_>, answer: Response<Body>) -> Result<Response<Body>, Withheld> {
    let (mut head, body) = answer.into_parts();
    // A challenge or redirect of the upstream's is for us, never for the client.
    if head.status == StatusCode::UNAUTHORIZED
        || head.status == StatusCode::FORBIDDEN
        || head.status.is_redirection()
    {
        return Err(Withheld::Status(head.status));
    }
    let length = head.headers.get(header::CONTENT_LENGTH).cloned();
    let events = is_event_stream(&head.headers);
    // No encoding was asked for, and the bytes of an encoded answer are not what they mean.
    if portunus_mcp::header::is_encoded(&head.headers) {
        return Err(Withheld::Encoded);
    }
    head.headers = portunus_mcp::header::forward_response(&head.headers);
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let filtered = case.asked.call().and_then(|call| call.method.list()).is_some();
    let stream = matches!(case.asked.what, What::Stream);
    if !filtered && !stream {
        // The edge may add events of its own to a stream.
        if let Some(length) = length.filter(|_| !events) {
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        return Ok(Response::from_parts(head, body));
    }
    let filter = Filter::new(case);
    if events {
        return Ok(Response::from_parts(head, filter_events(filter, body)));
    }
    let whole = filter.message(&collect(body).await?)?;
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    Ok(Response::from_parts(head, dialer::full(whole)))
}

/// The message with the result in an answer that was released: the answer itself, or one event of its stream.
///
/// # Errors
/// When it is too long or breaks off.
pub async fn answer(answer: Response<Body>) -> Result<Bytes, Withheld> {
    let events = is_event_stream(answer.headers());
    let whole = collect(answer.into_body()).await?;
    if !events {
        return Ok(whole);
    }
    let mut splitter = sse::Splitter::new(limits::EVENT_BYTES);
    splitter.feed(&whole);
    splitter.end();
    let mut last = Bytes::new();
    while let Some(event) = splitter.next_event().map_err(|_| Withheld::Broken)? {
        last = event.data.filter(|data| !data.is_empty()).unwrap_or(last);
    }
    Ok(last)
}

/// The whole body. (`http_body_util::Limited` would do, but its error bound defeats the compiler's proof of `Send`.)
async fn collect(mut body: Body) -> Result<Bytes, Withheld> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Withheld::Broken)?.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > limits::EVENT_BYTES {
            return Err(Withheld::TooLong);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Whether the answer is a stream of server-sent events.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// What decides which entries stay; owns all it needs, since an event stream outlives the request.
struct Filter {
    engine: Arc<Engine>,
    principal: Arc<Principal>,
    server: ServerName,
    environment: String,
    era: Era,
    mirrors: Arc<Mirrors>,
    source: IpAddr,
    certificate: Option<Arc<ClientCertificate>>,
    now: Timestamp,
    /// The lists that may come: the one that was asked for, or any on a stream that may be a resumed one.
    lists: Vec<List>,
}

impl Filter {
    fn new(case: &Case<'_>) -> Self {
        let all = || vec![List::Tools, List::Resources, List::ResourceTemplates, List::Prompts];
        Self {
            engine: case.snapshot.engine.clone(),
            principal: decide::principal(case),
            server: case.published.server.name.clone(),
            environment: case.published.server.environment.clone(),
            era: case.asked.era(),
            mirrors: case.published.mirrors.clone(),
            source: case.source,
            certificate: case.certificate.cloned(),
            now: case.now,
            lists: case.asked.call().and_then(|call| call.method.list()).map_or_else(all, |list| vec![list]),
        }
    }

    /// One JSON-RPC message with the refused entries taken out; anything that is no list is passed as it is.
    fn message(&self, body: &Bytes) -> Result<Bytes, Withheld> {
        if self.era == Era::Modern && self.lists.contains(&List::Tools) {
            self.mirrors.learn(body);
        }
        let mut body = body.clone();
        for list in &self.lists {
            let rewritten = list::rewrite(*list, self.era, &body, &mut |target| self.shows(*list, target));
            body = rewritten.map_err(|error| Withheld::List(error.to_string()))?.body;
        }
        Ok(body)
    }

    fn shows(&self, list: List, target: &str) -> bool {
        let operation = match list.kind() {
            TargetKind::Tool => Operation::CallTool(target),
            TargetKind::Prompt => Operation::GetPrompt(target),
            TargetKind::Resource | TargetKind::ResourceTemplate | TargetKind::Task => {
                Operation::ReadResource(target)
            }
        };
        let context = portunus_policy::Context {
            now: self.now,
            source: self.source,
            environment: &self.environment,
            era: asked::era_word(self.era),
            certificate: self.certificate.as_deref(),
        };
        self.engine.visible(&self.principal, &View { server: &self.server, operation, context })
    }
}

/// Filters lists wherever they appear in an event stream, resumed ones included; other events pass byte for byte.
fn filter_events(filter: Filter, body: Body) -> Body {
    let state = (filter, sse::Splitter::new(limits::EVENT_BYTES), body.into_data_stream());
    let pieces = stream::try_unfold(state, |(filter, mut splitter, mut body)| async move {
        if splitter.has_ended() {
            return Ok::<_, BodyError>(None);
        }
        match body.next().await {
            None => splitter.end(),
            Some(data) => splitter.feed(&data?),
        }
        let out = events(&filter, &mut splitter)?;
        Ok(Some((Frame::data(out), (filter, splitter, body))))
    });
    Body::new(StreamBody::new(Box::pin(pieces)))
}

/// Every whole event so far, each filtered.
fn events(filter: &Filter, splitter: &mut sse::Splitter) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    while let Some(event) = splitter.next_event()? {
        match &event.data {
            Some(data) if !data.is_empty() => {
                let filtered = filter.message(data)?;
                let event = if filtered == *data { event } else { event.with_data(filtered) };
                out.extend_from_slice(&event.raw);
            }
            _ => out.extend_from_slice(&event.raw),
        }
    }
    Ok(Bytes::from(out))
}
