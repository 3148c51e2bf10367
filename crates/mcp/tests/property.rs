//! What must hold for any bytes, and for messages that were meddled with.
#![cfg(test)]

mod common;

use bytes::Bytes;
use common::{json_text, post};
use portunus_mcp::fuzz;
use portunus_mcp::json::{self, Bounds, fold};
use portunus_mcp::message::{self, Message};
use proptest::prelude::*;
use serde_json::Value;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_query","arguments":{"query":"SELECT \"a\", 1.5","rows":10,"ok":[true,null,{"k":"v"}]}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ab","inputSchema":{"type":"object"}},{"name":"abc"}],"cacheScope":"public"}}"#;
const STREAM: &str = "id: 1\r\ndata: {\"a\":1}\r\n\r\n: c\n\nevent: x\rdata: 1\rdata: 2\r\r";

/// Whether a tree has an object with two keys that fold to the same, or serde's tree lost one of two equal keys.
fn collides(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let folded: std::collections::BTreeSet<_> = members.keys().map(|key| fold(key)).collect();
            folded.len() < members.len() || members.values().any(collides)
        }
        Value::Array(items) => items.iter().any(collides),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic_and_without_doubt(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::any_bytes(&data);
    }

    #[test]
    fn meddled_messages_keep_every_promise(
        text in prop::sample::select(vec![CALL, LIST, STREAM]),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..5),
    ) {
        let mut bytes = text.as_bytes().to_vec();
        for (place, byte, kind) in edits {
            let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match kind {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        fuzz::any_bytes(&bytes);
    }

    #[test]
    fn a_text_is_accepted_exactly_when_it_is_unambiguous(text in json_text()) {
        let scanned = json::scan(text.as_bytes(), &Bounds::default());
        let tree: Result<Value, _> = serde_json::from_str(&text);
        match (&scanned, &tree) {
            (Ok(_), Ok(tree)) => prop_assert!(!collides(tree), "{}", text),
            (Ok(_), Err(error)) => prop_assert!(false, "serde refuses {}: {}", text, error),
            // The generator makes well-formed text: only what is ambiguous, or no float, may be refused.
            (Err(error), _) => prop_assert!(matches!(
                error.kind,
                json::JsonErrorKind::DuplicateKey(_) | json::JsonErrorKind::CollidingKeys(_) | json::JsonErrorKind::FloatRange
            ), "{}: {}", text, error),
        }
        fuzz::any_bytes(text.as_bytes());
    }

    #[test]
    fn what_was_read_is_what_any_other_parser_reads(name in "[a-z_é\"\\\\]{1,12}", arguments in json_text()) {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{{"v":{arguments}}},"name":{}}}}}"#,
            Value::String(name)
        );
        let bytes = Bytes::from(body);
        if let Ok(Message::Call(call)) = message::read(&post(&[]), &bytes, &Bounds::default()) {
            let tree: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(call.target.as_deref(), tree["params"]["name"].as_str());
            let arguments: Value = serde_json::from_slice(&call.arguments.unwrap()).unwrap();
            prop_assert_eq!(&arguments, &tree["params"]["arguments"]);
            prop_assert_eq!(call.body, bytes);
        }
    }
}
