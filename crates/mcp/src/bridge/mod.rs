//! Between the two eras, without I/O: what one side says, in the words of the other.
//!
//! [`to_legacy`] carries a modern client's calls to a server with a handshake, and its answers back; [`to_modern`] carries
//! a legacy client's calls to a stateless server. Values that mean the same in both eras are copied byte for byte, a call's
//! arguments first of all, and unknown members stay; only what the eras say differently is written anew.

pub(crate) mod object;
mod server;
pub mod to_legacy;
pub mod to_modern;

pub use server::{Incoming, Notification, Question, Response, Unreadable, read};

use crate::json::{self, Bounds, Raw, Scan};
use bytes::Bytes;
use object::Object;
use std::borrow::Cow;

/// `notifications/progress`
const PROGRESS: &str = "notifications/progress";
/// `notifications/message`
const LOG: &str = "notifications/message";
/// Severities of log messages, the least first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
/// The three questions that a server may put to a client, and the capability that allows each.
const QUESTIONS: [(&str, &str); 3] =
    [("elicitation/create", "elicitation"), ("sampling/createMessage", "sampling"), ("roots/list", "roots")];

/// The capability that a client must have declared to be asked this; `None` for what no client is asked.
#[must_use]
pub fn capability_for(question: &str) -> Option<&'static str> {
    QUESTIONS.iter().find(|(method, _)| *method == question).map(|(_, capability)| *capability)
}

/// Whether a client with these capabilities may be asked this.
#[must_use]
pub fn may_be_asked(capabilities: &[u8], question: &str) -> bool {
    let Some(capability) = capability_for(question) else { return false };
    scan(capabilities).is_some_and(|scan| scan.root().get(capability).is_some())
}

/// Whether a client with these capabilities may be asked anything at all.
#[must_use]
pub fn may_be_asked_anything(capabilities: &[u8]) -> bool {
    QUESTIONS.iter().any(|(question, _)| may_be_asked(capabilities, question))
}

/// Severity of a log level; `None` for a word that is none.
fn severity(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// A part of a message that was scanned before, scanned by itself.
fn scan(text: &[u8]) -> Option<Scan<'_>> {
    json::scan(text, &Bounds::default()).ok()
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a value that came from a scan, which is UTF-8.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A request; `id` and `params` are JSON.
fn request(id: &str, method: &str, params: Option<&str>) -> Bytes {
    message(&[("id", id), ("method", &quoted(method)), ("params", params.unwrap_or_default())])
}

/// A notification; `params` is JSON.
fn notification(method: &str, params: Option<&str>) -> Bytes {
    message(&[("method", &quoted(method)), ("params", params.unwrap_or_default())])
}

/// A response; `id` and `result` are JSON.
#[must_use]
pub fn result(id: &[u8], result: &str) -> Bytes {
    message(&[("id", &utf8(id)), ("result", result)])
}

/// An error response with the error object of another one.
fn error(id: &[u8], error: &[u8]) -> Bytes {
    message(&[("id", &utf8(id)), ("error", &utf8(error))])
}

/// A JSON-RPC message of these members; empty ones are left out.
fn message(members: &[(&str, &str)]) -> Bytes {
    let mut out = String::from(r#"{"jsonrpc":"2.0""#);
    for (key, value) in members.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(",\"");
        out.push_str(key);
        out.push_str("\":");
        out.push_str(value);
    }
    out.push('}');
    out.into()
}

/// The members of `params` of a call, ready to be changed, with those of `_meta` apart.
fn params<'a>(scan: &Scan<'a>) -> (Object<'a>, Object<'a>) {
    let params = scan.root().get("params");
    let mut params = params.map_or_else(Object::default, Object::of);
    let meta = scan.root().get("params").and_then(|params| params.get("_meta"));
    params.remove("_meta");
    (params, meta.map_or_else(Object::default, Object::of))
}

/// A string member of an object.
fn text_of(object: Raw<'_>, key: &str) -> Option<String> {
    object.get(key).and_then(Raw::string).map(Cow::into_owned)
}
