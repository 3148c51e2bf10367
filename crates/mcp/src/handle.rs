//! Handles: texts that a server makes up and a client hands back (task ids, `requestState`). Whoever stands between the two
//! can exchange them for its own; this module finds where they stand and puts others there, all other bytes as they are.

use crate::bridge::object::Object;
use crate::header::meta;
use crate::json::{Kind, Raw};
use crate::list::splice;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandleKind {
    /// A task: `taskId`, wherever the protocol puts one.
    Task,
    /// The state of a call that goes on in a new request (2026-07-28, Multi Round-Trip Requests).
    State,
}

/// One handle in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle<'a> {
    /// What it stands for.
    pub kind: HandleKind,
    /// What it says.
    pub text: Cow<'a, str>,
    raw: Raw<'a>,
}

/// The handles that a client's request or notification hands back. `notifications/tasks/…` of a client are about tasks of
/// its own, which no server made up.
#[must_use]
pub fn of_request<'a>(message: Raw<'a>) -> Vec<Handle<'a>> {
    let Some(params) = message.get("params") else { return Vec::new() };
    let method = message.get("method").and_then(Raw::string).unwrap_or_default();
    let mut found = Vec::new();
    if method.starts_with("tasks/") {
        take(&mut found, HandleKind::Task, params.get("taskId"));
    }
    found.extend(listened(params));
    take(&mut found, HandleKind::State, params.get("requestState"));
    take(&mut found, HandleKind::Task, related(params));
    found
}

/// The handle of the task that a client's answer belongs to, whoever made that task.
#[must_use]
pub fn of_answer<'a>(message: Raw<'a>) -> Vec<Handle<'a>> {
    let mut found = Vec::new();
    take(&mut found, HandleKind::Task, message.get("result").and_then(related));
    found
}

/// The handles that a server's message gives out. Its requests (`tasks/…`) are about tasks of the client's own.
#[must_use]
pub fn of_server<'a>(message: Raw<'a>) -> Vec<Handle<'a>> {
    let mut found = Vec::new();
    if let Some(result) = message.get("result") {
        take(&mut found, HandleKind::Task, result.get("taskId"));
        take(&mut found, HandleKind::Task, result.get("task").and_then(|task| task.get("taskId")));
        take(&mut found, HandleKind::Task, related(result));
        take(&mut found, HandleKind::State, result.get("requestState"));
    }
    if let Some(params) = message.get("params") {
        let method = message.get("method").and_then(Raw::string).unwrap_or_default();
        if method.starts_with("notifications/") {
            take(&mut found, HandleKind::Task, params.get("taskId"));
            found.extend(listened(params));
        }
        take(&mut found, HandleKind::Task, related(params));
    }
    found
}

/// The message with these handles saying something else.
#[must_use]
pub fn replace(body: &Bytes, handles: &[(Handle<'_>, String)]) -> Bytes {
    let edits = handles.iter().filter_map(|(handle, text)| {
        let range: Range<usize> = handle.raw.range_in(body)?;
        Some((range, serde_json::Value::from(text.as_str()).to_string()))
    });
    splice(body, edits.collect())
}

/// A request without what continues it (`params.inputResponses`, `params.requestState`): the call as it was first made. All
/// other values stay as they are, byte for byte.
#[must_use]
pub fn without_continuation(message: Raw<'_>) -> Bytes {
    let mut whole = Object::of(message);
    if let Some(params) = message.get("params").filter(|params| params.kind() == Kind::Object) {
        let mut params = Object::of(params);
        params.remove("inputResponses");
        params.remove("requestState");
        whole.set("params", params.text());
    }
    whole.text().into()
}

/// The tasks that a `subscriptions/listen` asks for, or its acknowledgement names.
fn listened<'a>(params: Raw<'a>) -> Vec<Handle<'a>> {
    let ids = params.get("notifications").and_then(|notifications| notifications.get("taskIds"));
    let mut found = Vec::new();
    ids.into_iter().flat_map(Raw::elements).for_each(|id| take(&mut found, HandleKind::Task, Some(id)));
    found
}

fn related(of: Raw<'_>) -> Option<Raw<'_>> {
    of.get("_meta")?.get(meta::RELATED_TASK)?.get("taskId")
}

fn take<'a>(found: &mut Vec<Handle<'a>>, kind: HandleKind, raw: Option<Raw<'a>>) {
    let Some(raw) = raw.filter(|raw| raw.kind() == Kind::String) else { return };
    if let Some(text) = raw.string() {
        found.push(Handle { kind, text, raw });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_call_is_made_as_it_was_first_made() {
        let body = br#"{"id":1,"params":{"requestState":"s","name":"t","arguments":{"requestState":1.0, "\u0041":"\u00e9"},"inputResponses":{"a":{}},"_meta":{}},"method":"tools/call"}"#;
        let first = without_continuation(json::skim(body).unwrap());
        let text = r#"{"id":1,"params":{"name":"t","arguments":{"requestState":1.0, "\u0041":"\u00e9"},"_meta":{}},"method":"tools/call"}"#;
        assert_eq!(first, text);
    }
}
