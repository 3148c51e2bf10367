//! What Portunus itself answers with: JSON-RPC errors and tool errors.

use crate::message::Era;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A JSON-RPC error response. `id` is the id as it stood in the request's body; `None` becomes `null`.
#[must_use]
pub fn error(id: Option<&[u8]>, code: i32, message: &str, data: Option<&Value>) -> Bytes {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(data), Some(members)) = (data, error.as_object_mut()) {
        members.insert("data".to_owned(), data.clone());
    }
    response(id, "error", &error)
}

/// A `CallToolResult` that says in `text` why the tool did not run, so that the model can see it and correct itself.
/// `meta` becomes the result's `_meta`.
#[must_use]
pub fn tool_error(id: &[u8], era: Era, text: &str, meta: Option<&Value>) -> Bytes {
    let mut result = Map::new();
    if era == Era::Modern {
        result.insert("resultType".to_owned(), json!("complete"));
    }
    result.insert("content".to_owned(), json!([{ "type": "text", "text": text }]));
    result.insert("isError".to_owned(), json!(true));
    if let Some(meta) = meta {
        result.insert("_meta".to_owned(), meta.clone());
    }
    response(Some(id), "result", &Value::Object(result))
}

fn response(id: Option<&[u8]>, member: &str, value: &Value) -> Bytes {
    // The id goes back byte for byte: "1" and 1, and one escape or another, are different to a client.
    let id = id.unwrap_or(b"null");
    let value = value.to_string();
    let mut out = Vec::with_capacity(id.len() + value.len() + 40);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.extend_from_slice(format!(",\"{member}\":").as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'}');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Bounds};

    #[test]
    fn an_error_carries_the_id_byte_for_byte() {
        let body =
            error(Some(br#""\u0041""#), -32600, "no \"such\" thing\n", Some(&json!({ "decision": "dec_1" })));
        assert!(body.starts_with(br#"{"jsonrpc":"2.0","id":"\u0041","error":{"#));
        // The order of the other members is serde_json's, which depends on the features that other crates choose.
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            read["error"],
            json!({ "code": -32600, "message": "no \"such\" thing\n", "data": { "decision": "dec_1" } })
        );
        assert!(json::scan(&body, &Bounds::default()).is_ok());
        assert!(error(None, -32700, "", None).starts_with(br#"{"jsonrpc":"2.0","id":null,"error":"#));
    }

    #[test]
    fn a_tool_error_is_a_result_of_its_era() {
        let modern: Value = serde_json::from_slice(&tool_error(b"7", Era::Modern, "denied", None)).unwrap();
        assert_eq!(
            modern,
            json!({ "jsonrpc": "2.0", "id": 7, "result": {
                "resultType": "complete", "isError": true, "content": [{ "type": "text", "text": "denied" }] } })
        );
        let meta = json!({ "k": 1 });
        let legacy: Value =
            serde_json::from_slice(&tool_error(b"7", Era::Legacy, "denied", Some(&meta))).unwrap();
        assert_eq!(legacy["result"].get("resultType"), None);
        assert_eq!(legacy["result"]["_meta"], meta);
    }
}
