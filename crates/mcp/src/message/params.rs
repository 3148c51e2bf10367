//! What `params` holds that a decision needs.

use super::method::{Method, TargetKind};
use super::reject::Reject;
use crate::header::{self, meta};
use crate::json::{Kind, Part, Raw, Scan, misspelling};
use portunus_core::limits;
use std::collections::BTreeMap;

/// Names that the protocol gives to members of `params`. A server that ignores case would read another spelling as one
/// of these, so another spelling is refused.
const NAMES: [&str; 19] = [
    "_meta",
    "name",
    "arguments",
    "uri",
    "taskId",
    "task",
    "ref",
    "argument",
    "context",
    "cursor",
    "notifications",
    "inputResponses",
    "requestState",
    "requestId",
    "reason",
    "level",
    "protocolVersion",
    "capabilities",
    "clientInfo",
];
/// The same for `params._meta`.
const META_NAMES: [&str; 8] = [
    "progressToken",
    meta::TRACEPARENT,
    meta::TRACESTATE,
    meta::PROTOCOL_VERSION,
    meta::CLIENT_CAPABILITIES,
    meta::CLIENT_INFO,
    meta::LOG_LEVEL,
    meta::RELATED_TASK,
];
/// Members of `params` that are a call itself, or continue it.
const OF_THE_CALL: [&str; 5] = ["name", "arguments", "_meta", "inputResponses", "requestState"];
/// Members of `params._meta` that are others in each request and steer nothing. Not `baggage`, which is there to tell a server
/// something; and the trace context only as a text of the length that others must carry (W3C Trace Context, section 3.3.1.5).
const OF_THE_REQUEST: [&str; 3] = ["progressToken", meta::TRACEPARENT, meta::TRACESTATE];
/// Bytes of a trace context as JSON.
const TRACE_CONTEXT_BYTES: usize = 514;
/// What clients name a request by in `params._meta`, another in each: a member for each of these clients. Only as a plain id.
const CLIENTS_OWN_IDS: [&str; 2] = ["claudecode/toolUseId", "vscode.requestId"];
/// Bytes of such an id as JSON.
const CLIENTS_OWN_ID_BYTES: usize = 128;
/// Members of the `ref` of `completion/complete`.
const REF_NAMES: [&str; 3] = ["type", "name", "uri"];
/// Members of the `notifications` of `subscriptions/listen`.
const LISTEN_NAMES: [&str; 5] =
    ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"];

/// `params` and `params._meta` of a scanned message.
pub(super) struct Params<'a> {
    scan: &'a Scan<'a>,
}

/// The target of a call.
pub(super) struct Target {
    pub(super) kind: TargetKind,
    pub(super) text: String,
}

impl<'a> Params<'a> {
    pub(super) fn read(scan: &'a Scan<'a>) -> Result<Self, Reject> {
        if scan.get(Part::Root, "params").is_some_and(|params| params.kind() != Kind::Object) {
            return Err(Reject::invalid_params("params must be an object"));
        }
        if scan.get(Part::Params, "_meta").is_some_and(|meta| meta.kind() != Kind::Object) {
            return Err(Reject::invalid_params("params._meta must be an object"));
        }
        check_names(scan.members(Part::Params).map(|(key, _)| key), &NAMES, "params.")?;
        check_names(scan.members(Part::Meta).map(|(key, _)| key), &META_NAMES, "params._meta.")?;
        let task = scan.get(Part::Meta, meta::RELATED_TASK);
        let members = task.into_iter().flat_map(Raw::members).map(|(key, _)| key);
        check_names(members, &["taskId"], "params._meta[\"io.modelcontextprotocol/related-task\"].")?;
        Ok(Self { scan })
    }

    /// See [`super::Call::besides`].
    pub(super) fn besides(&self) -> Option<String> {
        let among = |part, left_out: &[&str]| -> BTreeMap<String, String> {
            let members = self.scan.members(part).filter(|(key, _)| !left_out.contains(key));
            members.map(|(key, value)| (key.to_owned(), value.text().to_owned())).collect()
        };
        let mut meta = among(Part::Meta, &[]);
        let short = |value: &str| !value.starts_with(['{', '[']) && value.len() <= TRACE_CONTEXT_BYTES;
        meta.retain(|key, value| !(OF_THE_REQUEST.contains(&key.as_str()) && short(value)));
        meta.retain(|key, value| !(CLIENTS_OWN_IDS.contains(&key.as_str()) && is_plain_id(value)));
        let mut params = among(Part::Params, &OF_THE_CALL);
        if !meta.is_empty() {
            params.insert("_meta".to_owned(), object(&meta));
        }
        (!params.is_empty()).then(|| object(&params))
    }

    fn get(&self, key: &str) -> Option<Raw<'a>> {
        self.scan.get(Part::Params, key)
    }

    /// A member of `_meta`.
    pub(super) fn meta(&self, key: &str) -> Option<Raw<'a>> {
        self.scan.get(Part::Meta, key)
    }

    pub(super) fn protocol_version(&self) -> Result<Option<String>, Reject> {
        self.meta(meta::PROTOCOL_VERSION)
            .map(|raw| {
                string(raw, limits::NAME_BYTES, "params._meta[\"io.modelcontextprotocol/protocolVersion\"]")
            })
            .transpose()
    }

    /// The target of a call, from the body.
    pub(super) fn target(&self, method: &Method) -> Result<Option<Target>, Reject> {
        if *method == Method::Complete {
            return self.reference().map(Some);
        }
        let Some((key, kind)) = method.target() else { return Ok(None) };
        let raw =
            self.get(key).ok_or_else(|| Reject::invalid_params(format!("{method} needs params.{key}")))?;
        Ok(Some(Target { kind, text: target_text(raw, kind, key)? }))
    }

    /// The `ref` of `completion/complete`.
    fn reference(&self) -> Result<Target, Reject> {
        let reference = self
            .object("ref")?
            .ok_or_else(|| Reject::invalid_params("completion/complete needs params.ref"))?;
        check_names(reference.members().map(|(key, _)| key), &REF_NAMES, "params.ref.")?;
        let (key, kind) = match reference.get("type").and_then(Raw::string).as_deref() {
            Some("ref/prompt") => ("name", TargetKind::Prompt),
            Some("ref/resource") => ("uri", TargetKind::ResourceTemplate),
            _ => {
                return Err(Reject::invalid_params(
                    "params.ref.type must be \"ref/prompt\" or \"ref/resource\"",
                ));
            }
        };
        let raw =
            reference.get(key).ok_or_else(|| Reject::invalid_params(format!("params.ref needs {key:?}")))?;
        Ok(Target { kind, text: target_text(raw, kind, key)? })
    }

    pub(super) fn arguments(&self, method: &Method) -> Result<Option<Raw<'a>>, Reject> {
        match method {
            Method::ToolsCall | Method::PromptsGet => self.object("arguments"),
            _ => Ok(None),
        }
    }

    /// The URIs of `params.notifications.resourceSubscriptions` of `subscriptions/listen`.
    pub(super) fn subscriptions(&self, method: &Method) -> Result<Vec<String>, Reject> {
        if *method != Method::Listen {
            return Ok(Vec::new());
        }
        let Some(filter) = self.object("notifications")? else { return Ok(Vec::new()) };
        check_names(filter.members().map(|(key, _)| key), &LISTEN_NAMES, "params.notifications.")?;
        let Some(uris) = filter.get("resourceSubscriptions") else { return Ok(Vec::new()) };
        if uris.kind() != Kind::Array {
            return Err(Reject::invalid_params(
                "params.notifications.resourceSubscriptions must be an array of URIs",
            ));
        }
        uris.elements()
            .map(|uri| target_text(uri, TargetKind::Resource, "notifications.resourceSubscriptions"))
            .collect()
    }

    pub(super) fn input_responses(&self) -> Result<Option<Raw<'a>>, Reject> {
        self.object("inputResponses")
    }

    pub(super) fn request_state(&self) -> Result<Option<Raw<'a>>, Reject> {
        match self.get("requestState") {
            Some(raw) if raw.kind() != Kind::String => {
                Err(Reject::invalid_params("params.requestState must be a string"))
            }
            state => Ok(state),
        }
    }

    pub(super) fn client_capabilities(&self) -> Result<Option<Raw<'a>>, Reject> {
        Ok(self.meta(meta::CLIENT_CAPABILITIES))
    }

    /// The trace context, if it is one; a broken one is nobody's loss.
    pub(super) fn traceparent(&self) -> Option<String> {
        let text = self.meta(meta::TRACEPARENT)?.string()?;
        header::is_traceparent(&text).then(|| text.into_owned())
    }

    pub(super) fn progress_token(&self) -> Result<Option<Raw<'a>>, Reject> {
        let token = self.meta("progressToken");
        token.map(|raw| identifier(raw, "params._meta.progressToken")).transpose()
    }

    /// The request that a `notifications/cancelled` names.
    pub(super) fn cancelled_request(&self, method: &Method) -> Result<Option<Raw<'a>>, Reject> {
        let id = self.get("requestId").filter(|_| *method == Method::Cancelled);
        id.map(|raw| identifier(raw, "params.requestId")).transpose()
    }

    fn object(&self, key: &str) -> Result<Option<Raw<'a>>, Reject> {
        match self.get(key) {
            Some(raw) if raw.kind() != Kind::Object => {
                Err(Reject::invalid_params(format!("params.{key} must be an object")))
            }
            object => Ok(object),
        }
    }
}

/// A string of at most [`limits::ID_BYTES`] or an integer, as JSON-RPC ids and progress tokens are.
pub(super) fn identifier<'a>(raw: Raw<'a>, what: &str) -> Result<Raw<'a>, Reject> {
    let good = match raw.kind() {
        Kind::String => raw.text().len() <= limits::ID_BYTES + 2,
        Kind::Number => raw.is_integer(),
        _ => false,
    };
    if good {
        return Ok(raw);
    }
    let max = limits::ID_BYTES;
    Err(Reject::invalid_request(format!("{what} must be an integer or a string of at most {max} bytes")))
}

/// Refuses a name that is a known one in another case.
pub(super) fn check_names<K: AsRef<str>>(
    keys: impl IntoIterator<Item = K>,
    known: &[&'static str],
    place: &str,
) -> Result<(), Reject> {
    match misspelling(keys, known) {
        Some((wrong, right)) => Err(Reject::invalid_request(format!(
            "{place}{} must be spelled {place}{right}: names are case-sensitive",
            wrong.escape_debug()
        ))),
        None => Ok(()),
    }
}

fn target_text(raw: Raw<'_>, kind: TargetKind, key: &str) -> Result<String, Reject> {
    let max = match kind {
        TargetKind::Tool | TargetKind::Prompt => limits::NAME_BYTES,
        TargetKind::Resource | TargetKind::ResourceTemplate | TargetKind::Task => limits::URI_BYTES,
    };
    string(raw, max, &format!("params.{key}"))
}

/// A string of 1 to `max` bytes.
fn string(raw: Raw<'_>, max: usize, what: &str) -> Result<String, Reject> {
    match raw.string() {
        Some(text) if !text.is_empty() && text.len() <= max => Ok(text.into_owned()),
        _ => Err(Reject::invalid_params(format!("{what} must be a string of 1 to {max} bytes"))),
    }
}

/// Whether this JSON text is a string of letters, digits, `-` and `_`.
fn is_plain_id(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    text.len() <= CLIENTS_OWN_ID_BYTES
        && inner
            .is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
}

/// A JSON object of these members, whose values are JSON texts.
fn object(members: &BTreeMap<String, String>) -> String {
    let members =
        members.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
