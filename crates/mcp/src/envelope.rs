//! The outermost object of a server's message, for whoever must know which call it answers but not what it says.

use crate::json::{self, Kind, Raw, misspelling};

/// Members of a JSON-RPC message.
pub(crate) const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The whole message.
    pub root: Raw<'a>,
    id: Option<Raw<'a>>,
    /// It has a result.
    pub is_result: bool,
    /// It has an error.
    pub is_error: bool,
    /// It has a method: a request or a notification.
    pub is_asking: bool,
}

/// Why a server's message cannot be told from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not one JSON object.
    #[error("the server's answer is not one JSON object")]
    NotAnObject,
    /// A member that clients could read differently.
    #[error("a member of the server's answer is there twice, or in another spelling")]
    Ambiguous,
}

impl<'a> Envelope<'a> {
    /// Reads the outermost members only: what a tool returns may hold numbers and keys that a call must not.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn read(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let root = json::skim(body).filter(|root| root.kind() == Kind::Object);
        let root = root.ok_or(EnvelopeError::NotAnObject)?;
        let members: Vec<_> = root.members().collect();
        let names = || members.iter().map(|(name, _)| name);
        let doubled = NAMES.iter().any(|known| names().filter(|name| name == known).count() > 1);
        if doubled || misspelling(names(), &NAMES).is_some() {
            return Err(EnvelopeError::Ambiguous);
        }
        let get = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let (is_result, is_error) = (get("result").is_some(), get("error").is_some());
        Ok(Self { root, id: get("id"), is_result, is_error, is_asking: get("method").is_some() })
    }

    /// Whether its id is this one, as it stood in the call.
    #[must_use]
    pub fn answers(&self, id: &[u8]) -> bool {
        let (Some(own), Some(asked)) = (self.id, json::skim(id)) else { return false };
        match own.kind() {
            Kind::String => own.string() == asked.string(),
            Kind::Number => own.number() == asked.number(),
            _ => false,
        }
    }

    /// Whether it names no call, as an error about a message that could not be read does.
    #[must_use]
    pub fn names_no_call(&self) -> bool {
        self.id.is_none_or(|id| id.kind() == Kind::Null)
    }
}
