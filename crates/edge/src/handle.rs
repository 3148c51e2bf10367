//! Handles that belong to the caller they were given to: session ids, event ids, task ids and `requestState`. Behind the
//! edge all callers of a server share one credential, so only the edge can tell them apart: what a client gets is the
//! upstream's text with a proof of whose it is, and only with that proof does it go up again, without it.

use crate::asked::{Asked, What, can_open_urls};
use crate::refusal::Refusal;
use crate::{Edge, Published};
use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portunus_core::caller::Caller;
use portunus_core::digest::{equal, sha256};
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_mcp::handle::{self, Handle, HandleKind};
use portunus_mcp::header::{LAST_EVENT_ID, MCP_SESSION_ID};
use portunus_mcp::json;
use portunus_mcp::message::{Call, Era, Message, Method, Reject, TargetKind};
use serde_json::json;
use std::sync::atomic::Ordering;

/// The extension that a modern client must declare for tasks.
const TASKS: &str = "io.modelcontextprotocol/tasks";
/// Bytes of a proof.
const PROOF_BYTES: usize = 16;
/// Digits of the second at which a `requestState` expires, in front of its proof.
const EXPIRY_DIGITS: usize = 12;

/// The names of the questions that the edge itself asks.
pub(crate) const APPROVAL: &str = "portunus.approval";
/// See [`APPROVAL`].
pub(crate) const CONNECTION: &str = "portunus.connection";

/// Makes proofs; needs no state.
pub struct Handles(hmac::Key);

impl Handles {
    /// With a key derived from a secret of this edge's own.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&outer, b"portunus handles 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The handles of one caller: user, client and server together.
    #[must_use]
    pub fn of(&self, caller: &Caller) -> Own {
        let whose = [caller.server.as_str(), caller.user.as_str(), caller.client.as_str()];
        Own { key: self.0.clone(), whose: whose.map(str::to_owned) }
    }
}

/// What a proof is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose<'a> {
    Session,
    Event,
    Task,
    /// The call it continues.
    State(&'a Origin),
    /// The session of a client that can send its user to a page.
    UrlSession,
    /// The call that waits for an approval; the text is the edge's own.
    Approval(&'a Origin),
}

/// The call that a `requestState` belongs to: the client must repeat it with the same words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    method: String,
    target: String,
    arguments: [u8; 32],
}

impl Origin {
    /// Of this call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self {
            method: call.method.as_str().to_owned(),
            target: call.target.clone().unwrap_or_default(),
            arguments: sha256(&[call.arguments.as_deref().unwrap_or_default()]).0,
        }
    }
}

impl Origin {
    fn parts<'a>(&'a self, purpose: &'a [u8]) -> Vec<&'a [u8]> {
        vec![purpose, self.method.as_bytes(), self.target.as_bytes(), &self.arguments]
    }
}

/// Makes and checks the handles of one caller.
#[derive(Clone)]
pub struct Own {
    key: hmac::Key,
    whose: [String; 3],
}

impl Own {
    fn bind(&self, purpose: &Purpose<'_>, text: &str) -> String {
        format!("{text}.{}", BASE64URL_NOPAD.encode(&self.proof(purpose, text)))
    }

    fn open<'t>(&self, purpose: &Purpose<'_>, bound: &'t str) -> Option<&'t str> {
        let (text, proof) = bound.rsplit_once('.')?;
        let proof = BASE64URL_NOPAD.decode(proof.as_bytes()).ok()?;
        equal(&proof, &self.proof(purpose, text)).then_some(text)
    }

    /// Over what it is good for, whose it is, and the text, each behind its length.
    fn proof(&self, purpose: &Purpose<'_>, text: &str) -> Vec<u8> {
        let mut parts = match purpose {
            Purpose::Session => vec![&b"session"[..]],
            Purpose::Event => vec![&b"event"[..]],
            Purpose::Task => vec![&b"task"[..]],
            Purpose::UrlSession => vec![&b"session with urls"[..]],
            Purpose::State(origin) => origin.parts(b"state"),
            Purpose::Approval(origin) => origin.parts(b"approval"),
        };
        parts.extend(self.whose.iter().map(String::as_bytes));
        parts.push(text.as_bytes());
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().iter().take(PROOF_BYTES).copied().collect()
    }

    /// Puts the proof behind the session id of an answer. The proof also says, without any state, what the client that
    /// begins the session with this call can do.
    pub fn bind_session(&self, headers: &mut HeaderMap, call: Option<&Call>) {
        let Some(id) = headers.remove(MCP_SESSION_ID) else { return };
        let purpose = if call.is_some_and(begins_with_urls) { Purpose::UrlSession } else { Purpose::Session };
        // An upstream's id that is no header value any more with the proof is no session at all.
        let bound = id.to_str().ok().map(|id| self.bind(&purpose, id));
        if let Some(value) = bound.and_then(|bound| HeaderValue::try_from(bound).ok()) {
            headers.insert(MCP_SESSION_ID, value);
        }
    }

    /// The id of an event as the client gets it.
    #[must_use]
    pub fn bind_event(&self, id: &str) -> String {
        self.bind(&Purpose::Event, id)
    }

    /// A server's message with its handles bound to this caller, and a `requestState` to the call it answers and to the
    /// next hour; nothing else changes. Also whether a task is among them.
    #[must_use]
    pub fn bind_message(&self, body: &Bytes, call: Option<&Origin>, now: Timestamp) -> (Bytes, bool) {
        let Some(root) = json::skim(body) else { return (body.clone(), false) };
        let bound = |handle: &Handle<'_>| match (handle.kind, call) {
            (HandleKind::Task, _) => Some(self.bind(&Purpose::Task, &handle.text)),
            (HandleKind::State, Some(origin)) => {
                let expires = now.plus(limits::REQUEST_STATE_TTL).as_secs();
                let text = format!("{}{expires:0EXPIRY_DIGITS$}", handle.text);
                Some(self.bind(&Purpose::State(origin), &text))
            }
            (HandleKind::State, None) => None,
        };
        let handles = handle::of_server(root).into_iter();
        let handles: Vec<_> =
            handles.filter_map(|handle| bound(&handle).map(|text| (handle, text))).collect();
        if handles.is_empty() {
            return (body.clone(), false);
        }
        let gives_task = handles.iter().any(|(handle, _)| handle.kind == HandleKind::Task);
        (handle::replace(body, &handles), gives_task)
    }

    /// The `requestState` of a call that waits for an approval until `expires`.
    #[must_use]
    pub fn approval_state(&self, call: &Call, expires: Timestamp) -> String {
        let text = format!("{:0EXPIRY_DIGITS$}", expires.as_secs());
        self.bind(&Purpose::Approval(&Origin::of(call)), &text)
    }

    /// The first form of a call that comes back to its approval, and whether its user went to the page; `None` for any
    /// other message.
    fn resumed(&self, message: &Message, body: &Bytes, now: Timestamp) -> Option<(Bytes, bool)> {
        let Message::Call(call) = message else { return None };
        call.request_state.as_ref()?;
        let root = json::skim(body)?;
        let params = root.get("params")?;
        let state = params.get("requestState")?.string()?;
        let expires = self.open(&Purpose::Approval(&Origin::of(call)), &state)?;
        expires.parse::<u64>().ok().filter(|second| *second >= now.as_secs())?;
        let answers = params.get("inputResponses");
        let answer = answers.and_then(|answers| answers.get(APPROVAL).or_else(|| answers.get(CONNECTION)));
        let action = answer.and_then(|answer| answer.get("action")?.string());
        let declined = action.is_some_and(|action| action != "accept");
        Some((handle::without_continuation(root), declined))
    }

    fn open_state<'t>(&self, origin: &Origin, bound: &'t str, now: Timestamp) -> Option<&'t str> {
        let text = self.open(&Purpose::State(origin), bound)?;
        let (state, expires) = text.split_at_checked(text.len().checked_sub(EXPIRY_DIGITS)?)?;
        let fresh = expires.parse::<u64>().is_ok_and(|second| second >= now.as_secs());
        fresh.then_some(state)
    }
}

/// Takes the proofs off what a request hands back: from here on it says what the upstream once said.
///
/// # Errors
/// For anything that was not given to this caller, or not for this call.
pub fn open(
    edge: &Edge,
    published: &Published,
    asked: &mut Asked,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), Refusal> {
    let own = edge.handles.of(caller);
    let opened = |headers: &mut HeaderMap, name: HeaderName, purposes: &[Purpose<'_>]| {
        let Some(bound) = headers.remove(&name) else { return Some(None) };
        let bound = bound.to_str().ok()?;
        let (at, text) =
            purposes.iter().enumerate().find_map(|(at, purpose)| Some((at, own.open(purpose, bound)?)))?;
        headers.insert(name, HeaderValue::from_str(text).ok()?);
        Some(Some(at))
    };
    let sessions = [Purpose::UrlSession, Purpose::Session];
    let session = opened(&mut asked.headers, MCP_SESSION_ID, &sessions).ok_or(Refusal::NoSession)?;
    asked.waiting.by_url |= session == Some(0);
    if !matches!(asked.what, What::Stream) {
        asked.headers.remove(LAST_EVENT_ID);
    }
    opened(&mut asked.headers, LAST_EVENT_ID, &[Purpose::Event]).ok_or(Refusal::NoEvent)?;
    if let What::Message(message) = &asked.what
        && let Some((first, declined)) = own.resumed(message, &asked.body, now)
    {
        // What the edge itself asked for is taken off: policy and server see the call as it was first made.
        asked.replace(first)?;
        (asked.waiting.resumed, asked.waiting.declined) = (true, declined);
    }
    let What::Message(message) = &asked.what else { return Ok(()) };
    match open_message(&own, message, &asked.body, now) {
        Ok(Some(body)) => asked.replace(body),
        Ok(None) => Ok(()),
        Err(kind) => Err(refuse(kind, asked.call(), published)),
    }
}

/// The message with its handles opened; `None` when it has none. An error says what could not be opened.
fn open_message(
    own: &Own,
    message: &Message,
    body: &Bytes,
    now: Timestamp,
) -> Result<Option<Bytes>, HandleKind> {
    let Some(root) = json::skim(body) else { return Ok(None) };
    let origin = match message {
        Message::Call(call) => Some(Origin::of(call)),
        Message::Notification(_) | Message::Answer(_) => None,
    };
    let is_answer = matches!(message, Message::Answer(_));
    let handles = if is_answer { handle::of_answer(root) } else { handle::of_request(root) };
    let mut opened = Vec::new();
    for handle in handles {
        let text = match (handle.kind, &origin) {
            (HandleKind::Task, _) => own.open(&Purpose::Task, &handle.text),
            (HandleKind::State, Some(origin)) => own.open_state(origin, &handle.text, now),
            (HandleKind::State, None) => None,
        };
        match text.map(str::to_owned) {
            Some(text) => opened.push((handle, text)),
            // A task of the client's own, which it made for a request of the server's.
            None if is_answer => {}
            None => return Err(handle.kind),
        }
    }
    Ok((!opened.is_empty()).then(|| handle::replace(body, &opened)))
}

/// What the server would say: it was never asked, so that it learns nothing of the attempt.
fn refuse(kind: HandleKind, call: Option<&Call>, published: &Published) -> Refusal {
    let expired =
        "this requestState was not given to you for this very call, or has expired: start the call again";
    let asks_for_task = |call: &Call| call.target_kind == Some(TargetKind::Task);
    let modern = |call: &Call| call.era() == Era::Modern;
    let reject = match (kind, call) {
        (HandleKind::State, _) => Reject::invalid_params(expired),
        // Servers without tasks have no such method.
        (HandleKind::Task, Some(call))
            if asks_for_task(call) && !published.gives_tasks.load(Ordering::Acquire) =>
        {
            Reject::method_not_found(&call.method, call.version)
        }
        (HandleKind::Task, Some(call)) if modern(call) && !declares_tasks(call) => {
            let needed = json!({ "extensions": { TASKS: {} } });
            Reject::missing_capability("tasks need the client's tasks extension", needed)
        }
        (HandleKind::Task, _) => Reject::invalid_params("no such task of yours"),
    };
    Refusal::Message(Box::new(match call {
        // Legacy clients read JSON-RPC errors from answers that are 200 only.
        Some(call) if call.era() == Era::Legacy => {
            Reject { status: StatusCode::OK, ..reject.with_id(call.id.clone()) }
        }
        Some(call) => reject.with_id(call.id.clone()),
        None => reject,
    }))
}

/// Whether this is a handshake of a client that can send its user to a page.
fn begins_with_urls(call: &Call) -> bool {
    let root = (call.method == Method::Initialize).then(|| json::skim(&call.body)).flatten();
    let capabilities = root.and_then(|root| root.get("params")?.get("capabilities"));
    capabilities.is_some_and(can_open_urls)
}

fn declares_tasks(call: &Call) -> bool {
    let declared = call.client_capabilities.as_deref().and_then(json::skim);
    declared.and_then(|capabilities| capabilities.get("extensions")?.get(TASKS)).is_some()
}
