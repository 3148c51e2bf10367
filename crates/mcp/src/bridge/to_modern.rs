//! A legacy client, with a handshake and a session, in front of a stateless server (2026-07-28).

use super::{
    LOG, Notification, Object, PROGRESS, Response, error, notification, params, quoted, request, result,
    scan, severity, text_of, utf8,
};
use crate::header::{self, meta};
use crate::json::{Kind, Raw};
use crate::message::{Call, Method, Version};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;

/// What a legacy client said of itself in its handshake, and what each of its calls repeats to a stateless server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The version that was agreed on.
    pub version: Version,
    /// Its capabilities, as a modern server wants them.
    pub capabilities: String,
    /// `clientInfo`, as it stood in the handshake.
    pub info: Option<Bytes>,
    /// The least severe log messages that it wants.
    pub log_level: Option<String>,
}

impl Client {
    /// From the client's `initialize`. A version that is not known becomes the newest legacy one.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let scan = scan(&call.body);
        let params = scan.as_ref().and_then(|scan| scan.root().get("params"));
        let object = |key| params.and_then(|params| params.get(key)).filter(|raw| raw.kind() == Kind::Object);
        let version = params.and_then(|params| text_of(params, "protocolVersion"));
        let version = version.and_then(|version| Version::parse(&version)).unwrap_or(Version::NEWEST_LEGACY);
        let mut capabilities = object("capabilities").map_or_else(Object::default, Object::of);
        // Tasks of 2025-11-25 are not those of the modern extension.
        capabilities.remove("tasks");
        Self {
            version: version.min(Version::NEWEST_LEGACY),
            capabilities: capabilities.text(),
            info: object("clientInfo").map(|info| call.body.slice_ref(info.text().as_bytes())),
            log_level: None,
        }
    }

    /// The bridge itself, where it asks for nobody.
    #[must_use]
    pub fn own() -> Self {
        let info = format!(r#"{{"name":"portunus","version":{}}}"#, quoted(env!("CARGO_PKG_VERSION")));
        Self {
            version: Version::NEWEST_LEGACY,
            capabilities: String::from("{}"),
            info: Some(info.into()),
            log_level: None,
        }
    }

    /// The members that every modern request carries in `_meta`.
    fn sign<'a>(&'a self, meta: &mut Object<'a>) {
        meta.set(meta::PROTOCOL_VERSION, quoted(Version::V20260728.as_str()));
        meta.set(meta::CLIENT_CAPABILITIES, &*self.capabilities);
        if let Some(info) = &self.info {
            meta.set(meta::CLIENT_INFO, utf8(info));
        }
        if let Some(level) = &self.log_level {
            meta.set(meta::LOG_LEVEL, quoted(level));
        }
    }

    /// A request of the bridge's own; `params` without `_meta`.
    fn request(&self, id: &str, method: &str, mut params: Object<'_>) -> Bytes {
        let mut meta = Object::default();
        self.sign(&mut meta);
        let meta = meta.text();
        params.set("_meta", meta);
        request(id, method, Some(&params.text()))
    }

    /// `server/discover`
    #[must_use]
    pub fn discover(&self, id: &str) -> Bytes {
        self.request(id, Method::Discover.as_str(), Object::default())
    }

    /// `subscriptions/listen` for every kind of change and these resources.
    #[must_use]
    pub fn listen(&self, id: &str, uris: &[String]) -> Bytes {
        let uris: Vec<String> = uris.iter().map(|uri| quoted(uri)).collect();
        let mut wanted = Object::default();
        for key in ["toolsListChanged", "promptsListChanged", "resourcesListChanged"] {
            wanted.set(key, "true");
        }
        if !uris.is_empty() {
            wanted.set("resourceSubscriptions", format!("[{}]", uris.join(",")));
        }
        let mut params = Object::default();
        params.set("notifications", wanted.text());
        self.request(id, Method::Listen.as_str(), params)
    }

    /// A call in modern words under this id (JSON), with the answers to what the server asked for before. `params`
    /// otherwise stay as they are, `arguments` byte for byte.
    #[must_use]
    pub fn call(&self, call: &Call, id: &str, round: Option<&Round>) -> Bytes {
        let Some(scan) = scan(&call.body) else { return Bytes::new() };
        let (mut params, mut meta) = params(&scan);
        for key in ["inputResponses", "requestState", "task"] {
            params.remove(key);
        }
        self.sign(&mut meta);
        params.set("_meta", meta.text());
        if let Some(round) = round {
            if let Some(state) = &round.state {
                params.set("requestState", utf8(state));
            }
            if !round.answers.is_empty() {
                params.set("inputResponses", answers(&round.answers));
            }
        }
        request(id, call.method.as_str(), Some(&params.text()))
    }
}

/// The headers that mirror a modern request.
#[must_use]
pub fn mirrors(method: &Method, target: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::MCP_PROTOCOL_VERSION, HeaderValue::from_static(Version::V20260728.as_str()));
    headers.insert(header::MCP_METHOD, mirror(method.as_str()));
    if let Some(target) = target.filter(|_| method.needs_name_header()) {
        headers.insert(header::MCP_NAME, mirror(target));
    }
    headers
}

fn mirror(text: &str) -> HeaderValue {
    // Visible ASCII by its encoding, which a header value always takes.
    HeaderValue::from_str(&header::encode(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether an answer to `server/discover` says that the modern version is spoken.
#[must_use]
pub fn speaks_modern(response: &Response) -> bool {
    let modern = Version::V20260728.as_str();
    let names = |object: Option<Raw<'_>>| {
        let named = |raw: Raw<'_>| raw.elements().any(|version| version.string().as_deref() == Some(modern));
        object.is_some_and(named)
    };
    match &response.outcome {
        Ok(found) => scan(found).is_some_and(|scan| names(scan.root().get("supportedVersions"))),
        Err(failure) => {
            let scanned = scan(failure);
            let supported = scanned.as_ref().and_then(|scan| scan.root().get("data")?.get("supported"));
            // Only a modern server checks headers and capabilities in these words.
            matches!(response.error_code(), Some(-32020 | -32021)) || names(supported)
        }
    }
}

/// The answer to a client's `initialize`, from the answer to `server/discover`.
#[must_use]
pub fn initialized(id: &[u8], client: &Client, discovered: &Bytes) -> Bytes {
    let scan = scan(discovered);
    let root = scan.as_ref().map(crate::json::Scan::root);
    let get = |key| root.and_then(|root| root.get(key));
    let info =
        get("_meta").and_then(|meta| meta.get(meta::SERVER_INFO)).filter(|info| info.kind() == Kind::Object);
    let mut found = Object::default();
    found.set("protocolVersion", quoted(client.version.as_str()));
    found.set("capabilities", get("capabilities").map_or("{}", Raw::text));
    found.set("serverInfo", info.map_or(r#"{"name":"mcp","version":"0"}"#, Raw::text));
    if let Some(instructions) = get("instructions") {
        found.set("instructions", instructions.text());
    }
    result(id, &found.text())
}

/// How a modern server answered a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// For good: the client's answer.
    Done(Bytes),
    /// With questions that must be answered first.
    Asks(Asks),
}

/// What a server wants to know before it goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// The server's name for each question, and the question: method and parameters (JSON).
    pub questions: Vec<(String, String, Option<String>)>,
    /// `requestState`, as it stands in the result.
    pub state: Option<Bytes>,
}

/// The answers to [`Asks`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// The server's name for each question, and the answer (JSON).
    pub answers: Vec<(String, String)>,
    /// `requestState`, as it stood in the result.
    pub state: Option<Bytes>,
}

/// The end of a call in legacy words, under the client's id.
#[must_use]
pub fn response(id: &[u8], response: &Response) -> Answered {
    let outcome = match &response.outcome {
        Err(failure) => return Answered::Done(error(id, failure)),
        Ok(outcome) => outcome,
    };
    let Some(scan) = scan(outcome) else { return Answered::Done(result(id, &utf8(outcome))) };
    let root = scan.root();
    if text_of(root, "resultType").as_deref() == Some("input_required") {
        let questions =
            root.get("inputRequests").into_iter().flat_map(Raw::members).filter_map(|(key, asked)| {
                let params = asked.get("params").map(|params| params.text().to_owned());
                Some((key.into_owned(), text_of(asked, "method")?, params))
            });
        let state = root.get("requestState").map(|state| outcome.slice_ref(state.text().as_bytes()));
        return Answered::Asks(Asks { questions: questions.collect(), state });
    }
    let mut object = Object::of(root);
    for key in ["resultType", "ttlMs", "cacheScope"] {
        object.remove(key);
    }
    // Legacy clients read nothing but objects here (2025-11-25, Structured Content); the same data stands in `content`.
    if root.get("structuredContent").is_some_and(|content| content.kind() != Kind::Object) {
        object.remove("structuredContent");
    }
    Answered::Done(result(id, &object.text()))
}

/// A question of the server's as a request to a legacy client.
#[must_use]
pub fn question(id: &str, method: &str, params: Option<&str>) -> Bytes {
    request(&quoted(id), method, params)
}

/// The result or error of a client's answer to a question.
#[must_use]
pub fn answer(body: &Bytes) -> Option<Result<String, String>> {
    let scan = scan(body)?;
    let text = |key| scan.root().get(key).map(|raw| raw.text().to_owned());
    text("result").map(Ok).or_else(|| text("error").map(Err))
}

/// What an error of the client's means to a modern server: a form or page that was not filled in. Other questions have no
/// such answer.
#[must_use]
pub fn declined(question: &str) -> Option<&'static str> {
    (question == "elicitation/create").then_some(r#"{"action":"cancel"}"#)
}

/// A notification on the way of a call or on a subscription, in legacy words; `None` for what only modern clients know.
#[must_use]
pub fn relevant(client: &Client, note: &Notification) -> Option<Bytes> {
    match note.method.as_str() {
        "notifications/subscriptions/acknowledged" => None,
        LOG => {
            let wanted = severity(client.log_level.as_deref()?)?;
            (severity(&note.text("level")?)? >= wanted).then(|| note.body.clone())
        }
        PROGRESS => Some(note.body.clone()),
        _ => {
            let scan = note.params.as_ref().and_then(|params| scan(params));
            let Some(scan) = scan else { return Some(note.body.clone()) };
            let mut params = Object::of(scan.root());
            let Some(meta) = scan.root().get("_meta") else { return Some(note.body.clone()) };
            let mut meta = Object::of(meta);
            meta.remove(meta::SUBSCRIPTION_ID);
            if meta.is_empty() {
                params.remove("_meta");
            } else {
                params.set("_meta", meta.text());
            }
            let params = (!params.is_empty()).then(|| params.text());
            Some(notification(&note.method, params.as_deref()))
        }
    }
}

/// The level of a `logging/setLevel`; `None` for a word that is none.
#[must_use]
pub fn level(call: &Call) -> Option<String> {
    let scan = scan(&call.body)?;
    text_of(scan.root().get("params")?, "level").filter(|level| severity(level).is_some())
}

fn answers(answers: &[(String, String)]) -> String {
    let mut object = Object::default();
    for (key, answer) in answers {
        object.set(key, Cow::Borrowed(&**answer));
    }
    object.text()
}
