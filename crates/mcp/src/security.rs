//! Per-tool `securitySchemes`: which scopes a tool needs, said in the list of tools for clients that ask for them before
//! the first call.

use crate::json::{self, Bounds};
use crate::list::{ListError, array, edit, entries, splice};
use crate::message::List;
use bytes::Bytes;
use serde_json::json;
use std::collections::BTreeMap;

/// Gives each tool of `needed` a `securitySchemes` with its scopes. What a tool's server says there is about its own
/// authorization, which no client gets to see: it is replaced. All other bytes stay as they are.
///
/// # Errors
/// See [`ListError`]: the answer must be withheld.
pub fn with_schemes(body: &Bytes, needed: &BTreeMap<String, Vec<String>>) -> Result<Bytes, ListError> {
    let scan = json::scan(body, &Bounds::default())?;
    let Some(tools) = array(&scan, List::Tools)? else { return Ok(body.clone()) };
    let mut edits = Vec::new();
    for (name, tool) in entries(List::Tools, tools)? {
        let Some(scopes) = needed.get(&name) else { continue };
        let schemes = json!([{ "type": "oauth2", "scopes": scopes }]).to_string();
        edits.extend(match tool.get("securitySchemes") {
            Some(own) => edit(body, own, schemes),
            // Behind the opening brace; a tool has a name, so a member follows.
            None => tool.range_in(body).map(|range| {
                let at = range.start + 1;
                (at..at, format!("\"securitySchemes\":{schemes},"))
            }),
        });
    }
    Ok(splice(body, edits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_says_which_scopes_it_needs_and_nothing_else_changes() {
        let body = Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{ "name":"a","x":1.50 },{"name":"b","securitySchemes":[{"type":"noauth"}]},{"name":"c"}]}}"#,
        );
        let needed = BTreeMap::from([
            ("a".to_owned(), vec!["mcp".to_owned(), "w".to_owned()]),
            ("b".to_owned(), vec!["mcp".to_owned()]),
        ]);
        let said = with_schemes(&body, &needed).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let tools = &read["result"]["tools"];
        assert_eq!(tools[0]["securitySchemes"], json!([{ "type": "oauth2", "scopes": ["mcp", "w"] }]));
        assert_eq!(tools[1]["securitySchemes"], json!([{ "type": "oauth2", "scopes": ["mcp"] }]));
        assert!(String::from_utf8_lossy(&said).contains(r#""x":1.50 },"#));
        assert!(said.ends_with(br#"{"name":"c"}]}}"#));
        assert_eq!(with_schemes(&body, &BTreeMap::new()).unwrap(), body);
        let error = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#);
        assert_eq!(with_schemes(&error, &needed).unwrap(), error);
    }
}
