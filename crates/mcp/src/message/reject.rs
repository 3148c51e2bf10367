//! Messages that are refused before any policy: the HTTP status and JSON-RPC error the protocol asks for.

use super::method::Method;
use super::version::{Era, Version};
use crate::answer;
use crate::json::JsonError;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// JSON-RPC error codes; those from −32020 on are MCP's own (2026-07-28, Error Codes).
pub mod code {
    /// The body is not JSON, or not unambiguous JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// Not a JSON-RPC message.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// Parameters are missing or wrong.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The fault is on this side.
    pub const INTERNAL_ERROR: i32 = -32603;
    /// Headers and body disagree, or a required header is missing.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The client lacks a capability that the request needs.
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// The protocol version is not spoken here.
    pub const UNSUPPORTED_VERSION: i32 = -32022;
}

/// Characters of a foreign value shown in a message.
const SHOWN: usize = 64;

/// A refusal of a message, as it is answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Reject {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON-RPC error code, see [`code`].
    pub code: i32,
    /// What is wrong and what to do, for whoever sent it.
    pub message: String,
    /// `error.data`.
    pub data: Option<Value>,
    /// The id of the refused message as it stood in its body, when it had a valid one.
    pub id: Option<Bytes>,
}

impl Reject {
    /// A refusal without data and id.
    #[must_use]
    pub fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None, id: None }
    }
    /// The same with the id of the refused message.
    #[must_use]
    pub fn with_id(self, id: Bytes) -> Self {
        Self { id: Some(id), ..self }
    }
    /// The JSON-RPC error response; its id is `null` when the message had none.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        answer::error(self.id.as_deref(), self.code, &self.message, self.data.as_ref())
    }

    /// 400, −32600.
    #[must_use]
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::INVALID_REQUEST, message)
    }
    /// 400, −32602.
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::INVALID_PARAMS, message)
    }
    /// 400, −32020.
    #[must_use]
    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::HEADER_MISMATCH, message)
    }
    /// −32601: for a method that the era does not have, or that policy does not name. 404 in the modern era; 200 in the
    /// legacy one, whose clients take 404 for the end of their session.
    #[must_use]
    pub fn method_not_found(method: &Method, version: Version) -> Self {
        let status = match version.era() {
            Era::Legacy => StatusCode::OK,
            Era::Modern => StatusCode::NOT_FOUND,
        };
        let mut message = format!("MCP {version} has no method {:?}", shown(method.as_str()));
        if *method == Method::Initialize && version.era() == Era::Modern {
            message = format!(
                "MCP {version} has no handshake: send initialize without MCP-Protocol-Version, or call server/discover"
            );
        }
        Self::new(status, code::METHOD_NOT_FOUND, message)
    }
    /// 400, −32021: `required` is an object of the shape of `ClientCapabilities`.
    #[must_use]
    pub fn missing_capability(message: impl Into<String>, required: Value) -> Self {
        let reject = Self::new(StatusCode::BAD_REQUEST, code::MISSING_CAPABILITY, message);
        Self { data: Some(json!({ "requiredCapabilities": required })), ..reject }
    }
    /// 400, −32022, with what is spoken here.
    #[must_use]
    pub fn unsupported_version(requested: &str, supported: &[Version]) -> Self {
        let requested = shown(requested);
        let supported: Vec<_> = supported.iter().map(|version| version.as_str()).collect();
        let message = format!("Unsupported protocol version {requested:?}");
        let reject = Self::new(StatusCode::BAD_REQUEST, code::UNSUPPORTED_VERSION, message);
        Self { data: Some(json!({ "supported": supported, "requested": requested })), ..reject }
    }
    /// 413, −32600: the body is longer than the server's bound.
    #[must_use]
    pub fn too_large(max_bytes: usize) -> Self {
        let message = format!("the message is longer than {max_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST, message)
    }

    pub(super) fn json(error: &JsonError) -> Self {
        if let crate::json::JsonErrorKind::TooLong(max) = error.kind {
            return Self::too_large(max);
        }
        Self::new(StatusCode::BAD_REQUEST, code::PARSE_ERROR, error.to_string())
    }

    pub(super) fn missing_meta(keys: Vec<&'static str>) -> Self {
        let version = Version::V20260728;
        let message = format!("MCP {version} requests must carry in params._meta: {}", keys.join(", "));
        Self::invalid_params(message)
    }

    pub(super) fn version_mismatch(header: Option<&str>, meta: &str) -> Self {
        let meta = shown(meta);
        Self::header_mismatch(match header {
            Some(header) => format!(
                "MCP-Protocol-Version says {:?}, params._meta says {meta:?}: they must agree",
                shown(header)
            ),
            None => format!("MCP-Protocol-Version is missing: params._meta says {meta:?}"),
        })
    }
}

/// A foreign value, cut to what an error may show of it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
