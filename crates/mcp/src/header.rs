//! Headers: names, what a POST must say, what is forwarded.

use crate::message::{Era, Reject, code};
use data_encoding::BASE64;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use portunus_core::limits;
use std::borrow::Cow;

/// `MCP-Protocol-Version`
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Mcp-Method`
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What `Mcp-Param-…` headers start with, in lower case.
pub const MCP_PARAM_PREFIX: &str = "mcp-param-";
/// `Last-Event-ID`
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// `traceparent`
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// `X-Accel-Buffering`
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// `Portunus-Assertion`: who is calling and what was decided, added by the edge and by nobody else.
pub const PORTUNUS_ASSERTION: HeaderName = HeaderName::from_static("portunus-assertion");

/// Media type of messages.
pub const JSON: &str = "application/json";
/// Media type of streams.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Members of `params._meta`.
pub mod meta {
    /// The protocol version of a modern request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// The client's capabilities in a modern request.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// What the client calls itself. Advice, never a basis for a decision.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Which log messages the client wants.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// The task that a message belongs to (2025-11-25, Tasks, "Related Task Metadata").
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
    /// What the server calls itself, in the `_meta` of a modern result.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The subscription that a notification belongs to: the id of its `subscriptions/listen`.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context.
    pub const TRACESTATE: &str = "tracestate";
}

const BASE64_PREFIX: &str = "=?base64?";
const BASE64_SUFFIX: &str = "?=";

/// Headers of a request that go upstream, besides `mcp-…`.
const FORWARDED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    LAST_EVENT_ID,
    TRACEPARENT,
    TRACESTATE,
];
/// Headers of a response that go to the client. Not among them: cookies, challenges (the edge is who the client signs in
/// to), lengths and encodings (the edge may rewrite the body).
const RETURNED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    header::ALLOW,
    MCP_SESSION_ID,
    MCP_PROTOCOL_VERSION,
    X_ACCEL_BUFFERING,
];
/// Headers for one connection only (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The headers of a client's request that go upstream: an allow-list, so that no token, cookie or claim about the
/// client's origin passes through. Credentials, the assertion and the host are added by whoever sends it.
#[must_use]
pub fn forward_request(headers: &HeaderMap, era: Era) -> HeaderMap {
    let named = connection_named(headers);
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let mcp = name.as_str().starts_with("mcp-");
        // The modern era has neither sessions nor resumption; a server should not be led to think so.
        let stale = era == Era::Modern && (name == MCP_SESSION_ID || name == LAST_EVENT_ID);
        if (mcp || FORWARDED.contains(name)) && !stale && !named.contains(name) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// The headers of an upstream's answer that go to the client: an allow-list.
#[must_use]
pub fn forward_response(headers: &HeaderMap) -> HeaderMap {
    let named = connection_named(headers);
    let kept = headers.iter().filter(|(name, _)| RETURNED.contains(name) && !named.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Removes the headers that are for one connection only.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in connection_named(headers).iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn connection_named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Whether a body has a `Content-Encoding` other than `identity`, so that its bytes are not what they mean.
#[must_use]
pub fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The media type of `Content-Type` in lower case, without parameters.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The one value of a header, without surrounding space.
///
/// # Errors
/// Given more than once, or not visible ASCII: 400 with −32020.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Reject> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(duplicate(name));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => {
            Err(Reject::header_mismatch(format!("header {name} has characters that are not visible ASCII")))
        }
    }
}

/// The session id: visible ASCII without spaces, bounded.
///
/// # Errors
/// 400 for anything else.
pub fn session_id(headers: &HeaderMap) -> Result<Option<&str>, Reject> {
    match single(headers, &MCP_SESSION_ID)? {
        Some(id)
            if id.is_empty()
                || id.len() > limits::SESSION_ID_BYTES
                || !id.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            let max = limits::SESSION_ID_BYTES;
            Err(Reject::invalid_request(format!(
                "Mcp-Session-Id must be 1 to {max} visible ASCII characters"
            )))
        }
        id => Ok(id),
    }
}

/// What a mirroring header means: `=?base64?…?=` is decoded, anything else is literal. `None` when the encoding is
/// broken.
#[must_use]
pub fn decode(value: &str) -> Option<Cow<'_, str>> {
    let encoded = value.strip_prefix(BASE64_PREFIX).and_then(|rest| rest.strip_suffix(BASE64_SUFFIX));
    let Some(encoded) = encoded else { return Some(Cow::Borrowed(value)) };
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The value of a mirroring header: what it mirrors, or that as `=?base64?…?=` where a header could not carry it.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let bare =
        visible && !text.is_empty() && text.trim_matches(' ') == text && !text.starts_with(BASE64_PREFIX);
    if bare {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{BASE64_PREFIX}{}{BASE64_SUFFIX}", BASE64.encode(text.as_bytes())))
}

/// Whether this is a W3C `traceparent` of version 00, or of a later version that starts like one.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let mut fields = text.splitn(5, '-');
    let mut hex = |digits: usize| {
        let field = fields.next().unwrap_or_default();
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (field.len() == digits && field.bytes().all(lower_hex)).then_some(field)
    };
    let (Some(version), Some(trace), Some(span), Some(_)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let nonzero = |field: &str| field.bytes().any(|byte| byte != b'0');
    let rest = fields.next();
    version != "ff" && nonzero(trace) && nonzero(span) && (rest.is_none() || version != "00")
}

/// A POST must carry plain JSON in UTF-8, and accept what MCP answers with.
pub(crate) fn check_post(headers: &HeaderMap) -> Result<(), Reject> {
    let unsupported = |message| {
        let reject = Reject::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_REQUEST, message);
        Err(reject)
    };
    if !is_plain_json(headers) {
        return unsupported("Content-Type must be application/json, in UTF-8");
    }
    if is_encoded(headers) {
        return unsupported("Content-Encoding is not supported: send the message as it is");
    }
    check_accept(headers, &[JSON, EVENT_STREAM])
}

/// One `Content-Type: application/json`, with no parameter but `charset=utf-8`.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(HeaderValue::to_str), values.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(JSON)
        && parts.all(|part| {
            let Some((name, value)) = part.split_once('=') else { return part.is_empty() };
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// `Accept` must not exclude all of these media types. Clients that say nothing accept anything (RFC 9110, 12.5.1).
pub(crate) fn check_accept(headers: &HeaderMap, offered: &[&str]) -> Result<(), Reject> {
    let mut ranges =
        headers.get_all(header::ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let accepted = !headers.contains_key(header::ACCEPT)
        || ranges.any(|range| std::str::from_utf8(range).is_ok_and(|range| accepts(range, offered)));
    if accepted {
        return Ok(());
    }
    let message = format!("Accept must list {}", offered.join(" and "));
    Err(Reject::new(StatusCode::NOT_ACCEPTABLE, code::INVALID_REQUEST, message))
}

fn accepts(range: &str, offered: &[&str]) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let refused = parts.filter_map(|part| part.split_once('=')).any(|(name, weight)| {
        name.trim().eq_ignore_ascii_case("q")
            && weight.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0)
    });
    let matches = |media: &&str| match essence.split_once("/*") {
        Some(("*", "")) => true,
        Some((kind, "")) => media.split_once('/').is_some_and(|(own, _)| own.eq_ignore_ascii_case(kind)),
        _ => media.eq_ignore_ascii_case(essence),
    };
    !refused && offered.iter().any(matches)
}

/// No `mcp-…` header may come twice: who reads the first and who reads the last would see different calls.
pub(crate) fn check_single(headers: &HeaderMap) -> Result<(), Reject> {
    let own = headers.keys().filter(|name| name.as_str().starts_with("mcp-"));
    match own.into_iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => Err(duplicate(name)),
        None => Ok(()),
    }
}

/// A header that mirrors the body must say the same; `expected` is what the body says.
pub(crate) fn check_mirror(
    headers: &HeaderMap,
    name: &HeaderName,
    expected: Option<&str>,
    required: bool,
) -> Result<(), Reject> {
    let Some(value) = single(headers, name)? else {
        return match expected.filter(|_| required) {
            Some(_) => Err(Reject::header_mismatch(format!(
                "header {name} is missing: it must repeat what the body says"
            ))),
            None => Ok(()),
        };
    };
    // A method is a token and never encoded.
    let said = if *name == MCP_METHOD { Some(Cow::Borrowed(value)) } else { decode(value) };
    let Some(said) = said else {
        return Err(Reject::header_mismatch(format!("header {name} is not valid Base64 of UTF-8")));
    };
    if Some(&*said) == expected {
        return Ok(());
    }
    let said = crate::message::shown(&said);
    Err(Reject::header_mismatch(match expected {
        Some(expected) => {
            format!("header {name} says {said:?}, the body says {:?}", crate::message::shown(expected))
        }
        None => format!("header {name} says {said:?}, the body says nothing of the kind"),
    }))
}

fn duplicate(name: &HeaderName) -> Reject {
    Reject::header_mismatch(format!("header {name} is given more than once"))
}
