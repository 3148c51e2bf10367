//! Headers and body of a POST to what they mean, in both protocol eras.
//!
//! The era comes from `MCP-Protocol-Version` and `params._meta`, which must not contradict each other. Everything a
//! decision needs is read from the body; headers that mirror the body must agree with it. Members whose names differ from
//! the protocol's only by case are refused, because some servers would read them.

mod envelope;
mod method;
mod params;
mod reject;
mod version;

pub use method::{List, Method, TargetKind};
pub(crate) use reject::shown;
pub use reject::{Reject, code};
pub use version::{Era, Version};

use crate::header;
use crate::json::{self, Bounds, Raw, Scan};
use bytes::Bytes;
use envelope::{Envelope, Shape};
use http::{HeaderMap, StatusCode};
use params::Params;

/// One message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request, which wants an answer.
    Call(Box<Call>),
    /// A notification, which gets none.
    Notification(Notification),
    /// A client's answer to a request of the server. Legacy only.
    Answer(Answer),
}

/// A JSON-RPC request. All slices are slices of `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The protocol version it speaks; its era is [`Version::era`]. For `initialize` it is what the header says, not
    /// what will be negotiated.
    pub version: Version,
    /// The id as it stands in the body: a quoted string or an integer.
    pub id: Bytes,
    /// What is asked.
    pub method: Method,
    /// Of what: the name of a tool or prompt, the URI of a resource, the id of a task.
    pub target: Option<String>,
    /// What the target is.
    pub target_kind: Option<TargetKind>,
    /// `params.arguments` of `tools/call` and `prompts/get`, exactly as sent; an object.
    pub arguments: Option<Bytes>,
    /// The resources a `subscriptions/listen` wants to hear about.
    pub subscriptions: Vec<String>,
    /// `params.inputResponses`: a client's answers to what an earlier result asked for. Modern only.
    pub input_responses: Option<Bytes>,
    /// `params.requestState`, opaque and under the client's control. Modern only.
    pub request_state: Option<Bytes>,
    /// The client's capabilities, from `params._meta`. Modern only.
    pub client_capabilities: Option<Bytes>,
    /// `params._meta.traceparent`, if it is a well-formed W3C trace context.
    pub traceparent: Option<String>,
    /// `params._meta.progressToken` as it stands in the body: a quoted string or an integer.
    pub progress_token: Option<Bytes>,
    /// What else of `params` steers a `tools/call`: every member besides its name and arguments, as a JSON object in order of
    /// names, values byte for byte. Not among them: progress token and trace context, which are others in each request, and
    /// what continues a call. `None` when there is nothing.
    pub besides: Option<String>,
    /// The whole message, as it arrived and as it goes upstream.
    pub body: Bytes,
}

impl Call {
    /// Legacy or modern.
    #[must_use]
    pub const fn era(&self) -> Era {
        self.version.era()
    }
}

/// A JSON-RPC notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The protocol version it speaks.
    pub version: Version,
    /// What it says; always a `notifications/…` method.
    pub method: Method,
    /// The request that a `notifications/cancelled` is about, as its id stands in the body.
    pub cancels: Option<Bytes>,
    /// The whole message.
    pub body: Bytes,
}

/// A client's answer to a request of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The protocol version it speaks.
    pub version: Version,
    /// The id of the server's request as it stands in the body.
    pub id: Bytes,
    /// Whether it is an error.
    pub is_error: bool,
    /// The whole message.
    pub body: Bytes,
}

impl Message {
    /// The protocol version it speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::Call(call) => call.version,
            Self::Notification(notification) => notification.version,
            Self::Answer(answer) => answer.version,
        }
    }
}

/// Reads a POST: its `Content-Type` and `Accept`, its protocol headers and its body.
///
/// # Errors
/// A [`Reject`] with the status, code and id that the protocol asks for.
pub fn read(headers: &HeaderMap, body: &Bytes, bounds: &Bounds) -> Result<Message, Reject> {
    header::check_post(headers)?;
    header::check_single(headers)?;
    let scan = json::scan(body, bounds).map_err(|error| Reject::json(&error))?;
    let envelope = Envelope::read(&scan)?;
    read_message(headers, body, &scan, &envelope).map_err(|reject| match envelope.id {
        Some(id) => reject.with_id(slice(body, id)),
        None => reject,
    })
}

/// Reads a GET (a stream of server messages) or DELETE (the end of a session), which only the legacy era has.
///
/// # Errors
/// 405 in the modern era and for any other HTTP method, 406 for a GET that does not accept an event stream, 400 for an
/// unsupported version or an invalid session id.
pub fn read_session_request(method: &http::Method, headers: &HeaderMap) -> Result<Version, Reject> {
    header::check_single(headers)?;
    let version = version::of_header(headers)?.unwrap_or(Version::WITHOUT_HEADER);
    let known = *method == http::Method::GET || *method == http::Method::DELETE;
    if version.era() == Era::Modern || !known {
        let message = format!("{method} is not part of MCP {version}: send messages by POST");
        return Err(Reject::new(StatusCode::METHOD_NOT_ALLOWED, code::INVALID_REQUEST, message));
    }
    header::session_id(headers)?;
    if *method == http::Method::GET {
        header::check_accept(headers, &[header::EVENT_STREAM])?;
    }
    Ok(version)
}

fn read_message(
    headers: &HeaderMap,
    body: &Bytes,
    scan: &Scan<'_>,
    envelope: &Envelope<'_>,
) -> Result<Message, Reject> {
    let params = Params::read(scan)?;
    match &envelope.shape {
        Shape::Call { method } => read_call(headers, body, &params, envelope.id, method),
        Shape::Notification { method } => {
            let version = version::of_notification(headers, &params)?;
            check_mirrors(headers, Some(method.as_str()))?;
            let cancels = params.cancelled_request(method)?.map(|id| slice(body, id));
            let body = body.clone();
            Ok(Message::Notification(Notification { version, method: method.clone(), cancels, body }))
        }
        Shape::Answer { is_error } => {
            let version = version::of_answer(headers)?;
            check_mirrors(headers, None)?;
            let id = envelope.id.map(|id| slice(body, id)).unwrap_or_default();
            Ok(Message::Answer(Answer { version, id, is_error: *is_error, body: body.clone() }))
        }
    }
}

fn read_call(
    headers: &HeaderMap,
    body: &Bytes,
    params: &Params<'_>,
    id: Option<Raw<'_>>,
    method: &Method,
) -> Result<Message, Reject> {
    let version = version::of_call(headers, params, method)?;
    if !method.is_in(version.era()) {
        return Err(Reject::method_not_found(method, version));
    }
    let modern = version.era() == Era::Modern;
    header::check_mirror(headers, &header::MCP_METHOD, Some(method.as_str()), modern)?;
    if !modern {
        header::session_id(headers)?;
    }
    let target = params.target(method)?;
    let name = target.as_ref().map(|target| target.text.as_str());
    header::check_mirror(headers, &header::MCP_NAME, name, modern && method.needs_name_header())?;

    let cut = |raw: Option<Raw<'_>>| raw.map(|raw| slice(body, raw));
    Ok(Message::Call(Box::new(Call {
        version,
        id: cut(id).unwrap_or_default(),
        method: method.clone(),
        target_kind: target.as_ref().map(|target| target.kind),
        target: target.map(|target| target.text),
        arguments: cut(params.arguments(method)?),
        subscriptions: params.subscriptions(method)?,
        input_responses: cut(params.input_responses()?),
        request_state: cut(params.request_state()?),
        client_capabilities: cut(params.client_capabilities()?).filter(|_| modern),
        traceparent: params.traceparent(),
        progress_token: cut(params.progress_token()?),
        besides: if *method == Method::ToolsCall { params.besides() } else { None },
        body: body.clone(),
    })))
}

/// The mirroring headers of a message that needs none and has no target.
fn check_mirrors(headers: &HeaderMap, method: Option<&str>) -> Result<(), Reject> {
    header::check_mirror(headers, &header::MCP_METHOD, method, false)?;
    header::check_mirror(headers, &header::MCP_NAME, None, false)
}

/// The bytes of `raw`, sharing those of the body it was scanned from.
fn slice(body: &Bytes, raw: Raw<'_>) -> Bytes {
    body.slice_ref(raw.text().as_bytes())
}
