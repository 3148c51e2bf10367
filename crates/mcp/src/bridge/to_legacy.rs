//! A modern client in front of a server with a handshake (2025-11-25 and before).

use super::{
    LOG, Notification, Object, PROGRESS, Question, Response, error, message, notification, params, quoted,
    request, result, scan, severity, text_of, utf8,
};
use crate::header::meta;
use crate::json::Kind;
use crate::message::{Call, Method, Version};
use bytes::Bytes;
use std::borrow::Cow;

/// Members of a modern `_meta` that a legacy server has other words for.
const MODERN_META: [&str; 4] =
    [meta::PROTOCOL_VERSION, meta::CLIENT_CAPABILITIES, meta::CLIENT_INFO, meta::LOG_LEVEL];
/// The one question of an `input_required` result: a legacy server's questions come one by one.
const INPUT: &str = "input";

/// What must be remembered of a client's call while the server works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The client's id, as it stands in the call.
    pub id: Bytes,
    /// What is asked.
    pub method: Method,
    /// The client's progress token, as it stands in the call.
    pub progress_token: Option<Bytes>,
    /// The least severe log messages that the client wants; none without.
    pub log_level: Option<String>,
}

impl Asked {
    /// Of this call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self {
            id: call.id.clone(),
            method: call.method.clone(),
            progress_token: call.progress_token.clone(),
            log_level: meta_text(call, meta::LOG_LEVEL),
        }
    }
}

/// What a server said of itself in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The version it chose.
    pub version: Version,
    /// `capabilities`, as they stand in the message.
    pub capabilities: Bytes,
    /// `serverInfo`, as it stands in the message.
    pub server_info: Option<Bytes>,
    /// `instructions`, as they stand in the message.
    pub instructions: Option<Bytes>,
}

impl Handshake {
    /// From the result of `initialize`; `None` when it is none, or of a version that is not legacy.
    #[must_use]
    pub fn read(result: &Bytes) -> Option<Self> {
        let scan = scan(result)?;
        let root = scan.root();
        let cut = |key| root.get(key).map(|raw| result.slice_ref(raw.text().as_bytes()));
        let version = Version::parse(&root.get("protocolVersion")?.string()?)?;
        (version <= Version::NEWEST_LEGACY).then_some(())?;
        let capabilities = cut("capabilities").unwrap_or_else(|| Bytes::from_static(b"{}"));
        let (server_info, instructions) = (cut("serverInfo"), cut("instructions"));
        Some(Self { version, capabilities, server_info, instructions })
    }
    /// Whether the server has a capability, such as `["resources", "subscribe"]`; one that is `false` it has not.
    #[must_use]
    pub fn can(&self, path: &[&str]) -> bool {
        let Some(scan) = scan(&self.capabilities) else { return false };
        let found = path.iter().try_fold(scan.root(), |object, key| object.get(key));
        found.is_some_and(|value| value.bool() != Some(false) && value.kind() != Kind::Null)
    }
}

/// `initialize`, with what a modern client says of itself in each request.
#[must_use]
pub fn initialize(id: u64, call: &Call) -> Bytes {
    let scan = scan(&call.body);
    let meta = scan.as_ref().and_then(|scan| scan.root().get("params")?.get("_meta"));
    let info = meta.and_then(|meta| meta.get(meta::CLIENT_INFO)).filter(|info| info.kind() == Kind::Object);
    let own = format!(r#"{{"name":"portunus","version":{}}}"#, quoted(env!("CARGO_PKG_VERSION")));
    let mut params = Object::default();
    params.set("protocolVersion", quoted(Version::NEWEST_LEGACY.as_str()));
    params.set("capabilities", utf8(call.client_capabilities.as_deref().unwrap_or(b"{}")));
    params.set("clientInfo", info.map_or(Cow::Owned(own), |info| Cow::Borrowed(info.text())));
    request(&id.to_string(), "initialize", Some(&params.text()))
}

/// `notifications/initialized`
#[must_use]
pub fn initialized() -> Bytes {
    notification("notifications/initialized", None)
}

/// A call in legacy words. Its id becomes one of the session's own, because calls of several clients may share a session,
/// and so does its progress token. `params` otherwise stay as they are, `arguments` byte for byte.
#[must_use]
pub fn call(call: &Call, id: u64) -> Bytes {
    let Some(scan) = scan(&call.body) else { return Bytes::new() };
    let (mut params, mut meta) = params(&scan);
    for key in ["inputResponses", "requestState"] {
        params.remove(key);
    }
    MODERN_META.iter().for_each(|key| meta.remove(key));
    if call.progress_token.is_some() {
        meta.set("progressToken", id.to_string());
    }
    if !meta.is_empty() {
        params.set("_meta", meta.text());
    }
    let params = (!params.is_empty()).then(|| params.text());
    request(&id.to_string(), call.method.as_str(), params.as_deref())
}

/// `notifications/cancelled`
#[must_use]
pub fn cancelled(id: u64) -> Bytes {
    notification(
        "notifications/cancelled",
        Some(&format!(r#"{{"requestId":{id},"reason":"The client went away"}}"#)),
    )
}

/// `logging/setLevel`
#[must_use]
pub fn set_level(id: u64, level: &str) -> Bytes {
    request(&id.to_string(), "logging/setLevel", Some(&format!(r#"{{"level":{}}}"#, quoted(level))))
}

/// `resources/subscribe` or `resources/unsubscribe`.
#[must_use]
pub fn subscription(id: u64, uri: &str, on: bool) -> Bytes {
    let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
    request(&id.to_string(), method, Some(&format!(r#"{{"uri":{}}}"#, quoted(uri))))
}

/// The answer to a `server/discover`. It names the modern version: whoever asks is answered in it.
#[must_use]
pub fn discovered(id: &[u8], handshake: &Handshake) -> Bytes {
    let versions = [Version::V20260728, handshake.version].map(|version| quoted(version.as_str())).join(",");
    let scanned = scan(&handshake.capabilities);
    let mut capabilities = scanned.as_ref().map_or_else(Object::default, |scan| Object::of(scan.root()));
    // Tasks of 2025-11-25 are not those of the modern extension.
    capabilities.remove("tasks");
    let mut found = Object::default();
    found.set("supportedVersions", format!("[{versions}]"));
    found.set("capabilities", capabilities.text());
    if let Some(instructions) = &handshake.instructions {
        found.set("instructions", utf8(instructions));
    }
    if let Some(info) = &handshake.server_info {
        found.set("_meta", format!(r#"{{"{}":{}}}"#, meta::SERVER_INFO, utf8(info)));
    }
    complete(&mut found, true);
    result(id, &found.text())
}

/// The end of a call in modern words.
#[must_use]
pub fn response(asked: &Asked, response: &Response) -> Bytes {
    match &response.outcome {
        Err(failure) => error(&asked.id, failure),
        Ok(outcome) => {
            let scan = scan(outcome);
            let mut object = scan.as_ref().map_or_else(Object::default, |scan| Object::of(scan.root()));
            complete(&mut object, asked.method.is_cacheable());
            result(&asked.id, &object.text())
        }
    }
}

/// A notification on the way of a call, in modern words: progress under the client's own token, log messages that it asked
/// for. Whatever does not belong to the call is not for this stream.
#[must_use]
pub fn relevant(asked: &Asked, note: &Notification) -> Option<Bytes> {
    match note.method.as_str() {
        PROGRESS => {
            let token = asked.progress_token.as_ref()?;
            let scan = scan(note.params.as_ref()?)?;
            let mut params = Object::of(scan.root());
            params.set("progressToken", utf8(token));
            Some(notification(PROGRESS, Some(&params.text())))
        }
        LOG => {
            let wanted = severity(asked.log_level.as_deref()?)?;
            let level = severity(&note.text("level")?)?;
            (level >= wanted).then(|| note.body.clone())
        }
        _ => None,
    }
}

/// A result that puts a server's question to the client, to be answered in a new request that brings back `state`.
#[must_use]
pub fn input_required(id: &[u8], question: &Question, state: &str) -> Bytes {
    let mut asked = Object::default();
    asked.set("method", quoted(&question.method));
    if let Some(params) = &question.params {
        asked.set("params", utf8(params));
    }
    let text = format!(
        r#"{{"resultType":"input_required","inputRequests":{{"{INPUT}":{}}},"requestState":{}}}"#,
        asked.text(),
        quoted(state)
    );
    result(id, &text)
}

/// The client's answer to the question of [`input_required`], as the server's request wants it; `None` when it is not among
/// the `inputResponses` of this call.
#[must_use]
pub fn answer(call: &Call, question: &Question) -> Option<Bytes> {
    let scan = scan(call.input_responses.as_ref()?)?;
    let answer = scan.root().get(INPUT).filter(|answer| answer.kind() == Kind::Object)?;
    Some(result(&question.id, answer.text()))
}

/// `notifications/subscriptions/acknowledged` for a `subscriptions/listen`: of what was asked for, what is honoured.
#[must_use]
pub fn acknowledged(id: &[u8], filter: &Filter) -> Bytes {
    let params = format!(
        r#"{{"_meta":{{"{}":{}}},"notifications":{}}}"#,
        meta::SUBSCRIPTION_ID,
        utf8(id),
        filter.text()
    );
    notification("notifications/subscriptions/acknowledged", Some(&params))
}

/// A change that a subscription is told of.
#[must_use]
pub fn change(id: &[u8], note: &Notification) -> Bytes {
    let scan = note.params.as_ref().and_then(|params| scan(params));
    let mut params = scan.as_ref().map_or_else(Object::default, |scan| Object::of(scan.root()));
    params.set("_meta", format!(r#"{{"{}":{}}}"#, meta::SUBSCRIPTION_ID, utf8(id)));
    notification(&note.method, Some(&params.text()))
}

/// The end of a subscription that the server ended.
#[must_use]
pub fn closed(id: &[u8]) -> Bytes {
    let text = format!(r#"{{"resultType":"complete","_meta":{{"{}":{}}}}}"#, meta::SUBSCRIPTION_ID, utf8(id));
    message(&[("id", &utf8(id)), ("result", &text)])
}

/// What a `subscriptions/listen` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `notifications/tools/list_changed`
    pub tools: bool,
    /// `notifications/prompts/list_changed`
    pub prompts: bool,
    /// `notifications/resources/list_changed`
    pub resources: bool,
    /// `notifications/resources/updated` of these.
    pub uris: Vec<String>,
}

impl Filter {
    /// What the call asks for, as far as this server can tell of it.
    #[must_use]
    pub fn of(call: &Call, handshake: &Handshake) -> Self {
        let scan = scan(&call.body);
        let wanted = scan.as_ref().and_then(|scan| scan.root().get("params")?.get("notifications"));
        let listed = |key: &str, list: &str| {
            let asked = wanted.and_then(|wanted| wanted.get(key)?.bool()) == Some(true);
            asked && handshake.can(&[list, "listChanged"])
        };
        let uris =
            if handshake.can(&["resources", "subscribe"]) { call.subscriptions.clone() } else { Vec::new() };
        Self {
            tools: listed("toolsListChanged", "tools"),
            prompts: listed("promptsListChanged", "prompts"),
            resources: listed("resourcesListChanged", "resources"),
            uris,
        }
    }
    /// Whether a notification is among what is asked for.
    #[must_use]
    pub fn wants(&self, note: &Notification) -> bool {
        match note.method.as_str() {
            "notifications/tools/list_changed" => self.tools,
            "notifications/prompts/list_changed" => self.prompts,
            "notifications/resources/list_changed" => self.resources,
            // A sub-resource of what was subscribed to may be named (2025-11-25, Resources, Subscriptions).
            "notifications/resources/updated" => {
                let uri = note.text("uri").unwrap_or_default();
                let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
                self.uris.iter().any(|wanted| uri.strip_prefix(wanted.as_str()).is_some_and(below))
            }
            _ => false,
        }
    }

    fn text(&self) -> String {
        let mut object = Object::default();
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        for (key, _) in flags.iter().filter(|(_, on)| *on) {
            object.set(key, "true");
        }
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| quoted(uri)).collect();
            object.set("resourceSubscriptions", format!("[{}]", uris.join(",")));
        }
        object.text()
    }
}

/// What every modern result says, and those that may be cached besides. A list is filtered per caller, so it is private.
fn complete(object: &mut Object<'_>, cacheable: bool) {
    object.set_default("resultType", "\"complete\"");
    if cacheable {
        object.set_default("ttlMs", "0");
        object.set("cacheScope", "\"private\"");
    }
}

fn meta_text(call: &Call, key: &str) -> Option<String> {
    let scan = scan(&call.body)?;
    text_of(scan.root().get("params")?.get("_meta")?, key)
}
