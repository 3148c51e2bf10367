//! Lists that were filtered before: a client asks for the same list again and again, and a server answers with the same
//! bytes. Kept is what came of them, for the same caller under the same policies and pins, as long as nothing else is listed.

use bytes::{Bytes, BytesMut};
use portunus_core::limits;
use portunus_mcp::json::{self, Kind};
use portunus_mcp::message::{Era, List};
use portunus_pins::Lock;
use portunus_policy::Principal;
use std::sync::{Arc, Mutex, PoisonError};

/// The filtered lists of one server, latest last.
#[derive(Default)]
pub struct Lists(Mutex<Vec<Kept>>);

/// What the filtering depends on. The pointers are kept, so that no other caller ever has the same.
#[derive(Clone)]
pub struct Key {
    /// The caller under the policies of one engine.
    pub principal: Arc<Principal>,
    /// The pins.
    pub lock: Arc<Lock>,
    /// Which list.
    pub list: List,
    /// The client's era.
    pub era: Era,
}

struct Kept {
    key: Key,
    /// The `result` as it came, and as it went.
    came: Bytes,
    went: Bytes,
}

impl Key {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.principal, &other.principal)
            && Arc::ptr_eq(&self.lock, &other.lock)
            && self.list == other.list
            && self.era == other.era
    }
}

impl Lists {
    /// What came of this message before; `None` when it must be filtered anew.
    #[must_use]
    pub fn known(&self, key: &Key, message: &Bytes) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find_map(|kept| {
            let head = kept.key.is(key).then(|| head(message, &kept.came)).flatten()?;
            let mut went = BytesMut::with_capacity(head.len() + kept.went.len() + 1);
            went.extend_from_slice(head);
            went.extend_from_slice(&kept.went);
            went.extend_from_slice(b"}");
            Some(went.freeze())
        })
    }

    /// Keeps what came of a message. Other definitions than those that are kept end what was known of this list.
    pub fn keep(&self, key: Key, came: &Bytes, went: &Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(came), Some(went)) = (result(came), result(went)) else { return };
        kept.retain(|kept| kept.key.list != key.list || kept.came == came && !kept.key.is(&key));
        if came.len() > limits::KEPT_LIST_BYTES {
            return;
        }
        if kept.len() >= limits::KEPT_LISTS {
            kept.remove(0);
        }
        // Copies, so that nothing else of the messages is kept.
        let (came, went) = (Bytes::copy_from_slice(&came), Bytes::copy_from_slice(&went));
        kept.push(Kept { key, came, went });
    }
}

/// The `result` of a message whose last member it is.
fn result(message: &Bytes) -> Option<Bytes> {
    let result = json::skim(message)?.get("result").filter(|result| result.kind() == Kind::Object)?;
    let bytes = message.slice_ref(result.text().as_bytes());
    head(message, &bytes).is_some().then_some(bytes)
}

/// What stands before a `result` that is the last member of a message; `None` when it is not plainly that. So whatever
/// else is in the message is in the head, which is short and read here.
fn head<'m>(message: &'m [u8], result: &[u8]) -> Option<&'m [u8]> {
    let head = message.strip_suffix(b"}")?.strip_suffix(result)?;
    if head.len() > limits::ID_BYTES + 64 {
        return None;
    }
    let shell = [head, b"null}"].concat();
    let root = json::scan(&shell, &json::Bounds::of_bytes(shell.len())).ok()?;
    let mut names: Vec<String> = root.members(json::Part::Root).map(|(name, _)| name.to_owned()).collect();
    let last = names.last().is_some_and(|last| last == "result");
    names.sort_unstable();
    (last && names == ["id", "jsonrpc", "result"]).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_recognised_whatever_its_call_is_called_and_nothing_else_is() {
        let came = br#"{"tools":[{"name":"a"}]}"#;
        let message = |head: &str, tail: &str| format!("{head}{}{tail}", std::str::from_utf8(came).unwrap());
        for id in ["1", "\"x\"", "\"\\u007d\"", " 7 "] {
            let message = message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#), "}");
            assert!(head(message.as_bytes(), came).is_some(), "{message}");
        }
        for (start, end) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"result":"#, "}"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{},"result":"#, "}"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":"#, "}"),
            (r#"{"jsonrpc":"2.0","id":1,"x":"#, "}"),
            (r#"{"jsonrpc":"2.0","id":1,"result":"#, r#","Result":{}}"#),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"a":"#, "}}"),
            (r#"[{"jsonrpc":"2.0","id":1,"result":"#, "}]"),
        ] {
            let message = message(start, end);
            assert!(head(message.as_bytes(), came).is_none(), "{message}");
        }
    }
}
