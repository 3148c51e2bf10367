//! What a server says, in either era.

use crate::json::{self, Bounds, JsonError, Kind, Part, Raw, misspelling};
use bytes::Bytes;

/// Members of a JSON-RPC message.
const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A message from a server. All slices are slices of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// The end of a call.
    Response(Response),
    /// A request of the server's own.
    Question(Question),
    /// A notification.
    Notification(Notification),
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The id of the request, as it stands in the message; `null` when the server could not tell.
    pub id: Bytes,
    /// What came of it.
    pub outcome: Result<Bytes, Bytes>,
}

impl Response {
    /// The code of an error.
    #[must_use]
    pub fn error_code(&self) -> Option<i64> {
        let error = self.outcome.as_ref().err()?;
        super::scan(error)?.root().get("code")?.text().parse().ok()
    }
}

/// A request of the server to its client (sampling, elicitation, roots, ping).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its id, as it stands in the message.
    pub id: Bytes,
    /// Its method.
    pub method: String,
    /// Its parameters, as they stand in the message.
    pub params: Option<Bytes>,
}

/// A notification from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its method.
    pub method: String,
    /// Its parameters, as they stand in the message.
    pub params: Option<Bytes>,
    /// The whole message.
    pub body: Bytes,
}

impl Notification {
    /// A string among its parameters.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        super::text_of(super::scan(self.params.as_ref()?)?.root(), key)
    }
    /// A parameter as it stands in the message.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<String> {
        Some(super::scan(self.params.as_ref()?)?.root().get(key)?.text().to_owned())
    }
}

/// Why a server's message cannot be carried into the other era.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not unambiguous JSON.
    #[error("the server's message cannot be read: {0}")]
    Json(#[from] JsonError),
    /// Not one JSON-RPC message.
    #[error("the server's message is not one JSON-RPC message: {0}")]
    Envelope(&'static str),
}

/// Reads one message of a server, strictly.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(body: &Bytes) -> Result<Incoming, Unreadable> {
    let scan = json::scan(body, &Bounds::default())?;
    let wrong = |what| Err(Unreadable::Envelope(what));
    if scan.root().kind() != Kind::Object {
        return wrong("it is not an object");
    }
    if misspelling(scan.members(Part::Root).map(|(key, _)| key), &NAMES).is_some() {
        return wrong("a member's name has the wrong case");
    }
    let get = |key| scan.get(Part::Root, key);
    let cut = |raw: Raw<'_>| body.slice_ref(raw.text().as_bytes());
    let id = get("id").map(cut);
    let params = get("params").map(cut);
    match (get("method"), get("result"), get("error"), id) {
        (None, Some(result), None, Some(id)) => Ok(response(id, Ok(cut(result)))),
        (None, None, Some(error), id) => {
            Ok(response(id.unwrap_or_else(|| Bytes::from_static(b"null")), Err(cut(error))))
        }
        (Some(method), None, None, id) => {
            let Some(method) = method.string() else { return wrong("its method is not a string") };
            let method = method.into_owned();
            Ok(match id {
                Some(id) => Incoming::Question(Question { id, method, params }),
                None => Incoming::Notification(Notification { method, params, body: body.clone() }),
            })
        }
        _ => wrong("it must have one of result, error and method"),
    }
}

fn response(id: Bytes, outcome: Result<Bytes, Bytes>) -> Incoming {
    Incoming::Response(Response { id, outcome })
}
