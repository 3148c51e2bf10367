//! Messages of clients and servers: what was read is what serde_json reads, and lies in the very bytes that arrived.

use crate::envelope::Envelope;
use crate::header::{self, meta};
use crate::json::{self, Bounds};
use crate::list;
use crate::message::{self, Call, Era, List, Message, Version};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// `data` as a body with the headers of each version, those that mirror the body right: as a client's message, as a
/// server's, and as a list.
///
/// # Panics
/// When a promise is broken.
pub fn envelope(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let tree = serde_json::from_slice::<Value>(data).unwrap_or_default();
    let versions = Version::ALL.map(Some).into_iter().chain([None]);
    for headers in versions.map(|version| post(version, &tree)) {
        match message::read(&headers, &body, &Bounds::default()) {
            Ok(message) => assert_read(&message, &body, &tree),
            Err(reject) => {
                let answer = json::scan(&reject.to_body(), &Bounds::default()).is_ok();
                assert!(answer, "a reject is not unambiguous JSON: {reject:?}");
            }
        }
    }
    of_server(data, &tree);
    lists(&body);
}

fn post(version: Option<Version>, tree: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(header::JSON));
    let Some(version) = version else { return headers };
    headers.insert(header::MCP_PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
    let params = tree.get("params");
    let named = ["name", "uri", "taskId"].iter().find_map(|key| params?.get(key)?.as_str());
    for (name, value) in
        [(header::MCP_METHOD, tree.get("method").and_then(Value::as_str)), (header::MCP_NAME, named)]
    {
        let value = value.and_then(|value| HeaderValue::from_str(&header::encode(value)).ok());
        if let Some(value) = value.filter(|_| version.era() == Era::Modern) {
            headers.insert(name, value);
        }
    }
    headers
}

fn assert_read(message: &Message, body: &Bytes, tree: &Value) {
    assert!(json::scan(body, &Bounds::default()).is_ok(), "a message was read from a text that is refused");
    assert!(tree.get("jsonrpc").and_then(Value::as_str) == Some("2.0"));
    let method = tree.get("method").and_then(Value::as_str);
    match message {
        Message::Call(call) => {
            assert!(Some(call.method.as_str()) == method && call.body == *body);
            assert_call(call, body, tree);
        }
        Message::Notification(notification) => {
            assert!(Some(notification.method.as_str()) == method && notification.body == *body);
            assert!(method.is_some_and(|method| method.starts_with("notifications/")));
            assert!(tree.get("id").is_none(), "a request was read as a notification");
            let cancelled = tree.pointer("/params/requestId");
            notification.cancels.iter().for_each(|id| assert_within(id, body, cancelled));
        }
        Message::Answer(answer) => {
            assert!(method.is_none() && answer.body == *body && answer.version.era() == Era::Legacy);
            assert!(answer.is_error == tree.get("error").is_some());
            assert!(answer.is_error != tree.get("result").is_some());
            assert_within(&answer.id, body, tree.get("id"));
        }
    }
}

fn assert_call(call: &Call, body: &Bytes, tree: &Value) {
    assert_within(&call.id, body, tree.get("id"));
    assert!(tree.get("result").is_none() && tree.get("error").is_none());
    let params = tree.get("params");
    let of = |key: &str| params.and_then(|params| params.get(key));
    for (cut, meant) in [
        (&call.arguments, of("arguments")),
        (&call.input_responses, of("inputResponses")),
        (&call.request_state, of("requestState")),
        (&call.progress_token, of("_meta").and_then(|meta| meta.get("progressToken"))),
        (&call.client_capabilities, of("_meta").and_then(|found| found.get(meta::CLIENT_CAPABILITIES))),
    ] {
        cut.iter().for_each(|cut| assert_within(cut, body, meant));
    }
    let key = match call.method.as_str() {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/get" | "tasks/cancel" | "tasks/result" | "tasks/update" => Some("taskId"),
        _ => None,
    };
    if let Some(key) = key {
        assert!(call.target.is_some() && call.target.as_deref() == of(key).and_then(Value::as_str));
    }
    if matches!(call.method.as_str(), "tools/call" | "prompts/get") {
        assert!(call.arguments.is_some() == of("arguments").is_some(), "arguments passed by unseen");
    }
    let version = of("_meta").and_then(|found| found.get(meta::PROTOCOL_VERSION)).and_then(Value::as_str);
    assert!(call.era() == Era::Legacy || version == Some(call.version.as_str()));
}

/// A slice lies in the bytes that arrived, and says what serde_json found there.
fn assert_within(cut: &Bytes, body: &Bytes, meant: Option<&Value>) {
    let (start, end) = (body.as_ptr().addr(), body.as_ptr().addr() + body.len());
    let inside = (start..=end).contains(&cut.as_ptr().addr()) && cut.as_ptr().addr() + cut.len() <= end;
    assert!(inside, "a part of a message is not of its bytes");
    let said = serde_json::from_slice::<Value>(cut).ok();
    assert!(said.is_some() && said.as_ref() == meant, "{said:?} was read of {meant:?}");
}

fn of_server(data: &[u8], tree: &Value) {
    let Ok(envelope) = Envelope::read(data) else { return };
    let Value::Object(members) = tree else { return };
    let has = |key: &str| members.contains_key(key);
    assert!(envelope.is_result == has("result") && envelope.is_error == has("error"));
    assert!(envelope.is_asking == has("method"));
    let id = members.get("id").unwrap_or(&Value::Null);
    assert!(envelope.names_no_call() == id.is_null());
    let own = envelope.answers(id.to_string().as_bytes());
    assert!(own == (id.is_string() || id.is_number()), "an answer does not answer its own id {id}");
    assert!(!envelope.answers(b"\"another\"") || id == "another");
    assert!(!envelope.answers(b"7") || id.as_f64() == Some(7.0));
}

/// What was cut from a list stays cut, and nothing else changes.
fn lists(body: &Bytes) {
    for kind in [List::Tools, List::Resources, List::ResourceTemplates, List::Prompts] {
        let mut keep = |name: &str| name.len().is_multiple_of(2);
        if let Ok(rewritten) = list::rewrite(kind, Era::Modern, body, &mut keep) {
            let again = list::rewrite(kind, Era::Modern, &rewritten.body, &mut keep);
            assert!(again.is_ok_and(|again| again.removed == 0 && again.body == rewritten.body));
        }
    }
}
