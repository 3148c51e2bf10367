//! Lists: what is cut, what stays, and what is withheld.
#![cfg(test)]

use bytes::Bytes;
use portunus_mcp::list::{self, Annotations, ListError};
use portunus_mcp::message::{Era, List};

fn rewrite(list: List, era: Era, body: &str, refused: &[&str]) -> Result<(String, usize), ListError> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let rewritten = list::rewrite(list, era, &body, &mut |name| !refused.contains(&name))?;
    Ok((String::from_utf8(rewritten.body.to_vec()).unwrap(), rewritten.removed))
}

#[test]
fn refused_entries_are_cut_and_all_other_bytes_stay() {
    let body = r#"{ "jsonrpc":"2.0" , "result":{"tools":[ {"name":"a","x":[1,{"y":"]"}]} ,{"name":"b"}, { "name" : "c\u0021" } ],"nextCursor":"n"},"id":1}"#;
    let cut = rewrite(List::Tools, Era::Legacy, body, &["b"]).unwrap();
    let expected = r#"{ "jsonrpc":"2.0" , "result":{"tools":[{"name":"a","x":[1,{"y":"]"}]},{ "name" : "c\u0021" }],"nextCursor":"n"},"id":1}"#;
    assert_eq!(cut, (expected.to_owned(), 1));
    assert_eq!(rewrite(List::Tools, Era::Legacy, body, &[]).unwrap(), (body.to_owned(), 0));
    let none = rewrite(List::Tools, Era::Legacy, body, &["a", "b", "c!"]).unwrap();
    assert_eq!(none, (r#"{ "jsonrpc":"2.0" , "result":{"tools":[],"nextCursor":"n"},"id":1}"#.to_owned(), 3));
}

#[test]
fn a_modern_list_becomes_private_even_when_nothing_was_cut() {
    for (before, after) in [
        (r#"{"tools":[{"name":"a"}]}"#, r#"{"cacheScope":"private","tools":[{"name":"a"}]}"#),
        (r#"{"cacheScope":"public","tools":[]}"#, r#"{"cacheScope":"private","tools":[]}"#),
        (
            r#"{"tools":[{"name":"b"}],"cacheScope" : "pu\u0062lic"}"#,
            r#"{"tools":[],"cacheScope" : "private"}"#,
        ),
        (r#"{"tools":[],"cacheScope":"private"}"#, r#"{"tools":[],"cacheScope":"private"}"#),
        (r#"{"tools":[],"cacheScope":7}"#, r#"{"tools":[],"cacheScope":"private"}"#),
    ] {
        let message = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let (body, _) = rewrite(List::Tools, Era::Modern, &message(before), &["b"]).unwrap();
        assert_eq!(body, message(after));
    }
}

#[test]
fn each_list_is_filtered_by_its_own_name() {
    for (list, key, name) in [
        (List::Resources, "resources", "uri"),
        (List::ResourceTemplates, "resourceTemplates", "uriTemplate"),
        (List::Prompts, "prompts", "name"),
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"{key}":[{{"{name}":"x:1"}},{{"{name}":"x:2"}}]}}}}"#
        );
        let (cut, removed) = rewrite(list, Era::Legacy, &body, &["x:1"]).unwrap();
        assert_eq!((cut.contains("x:1"), cut.contains("x:2"), removed), (false, true, 1), "{key}");
    }
}

#[test]
fn what_is_not_a_list_passes_untouched() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"broken","data":{"tools":[{"name":"b"}]}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{}}}"#,
    ] {
        assert_eq!(rewrite(List::Tools, Era::Modern, body, &["b"]).unwrap(), (body.to_owned(), 0));
    }
}

#[test]
fn a_list_that_two_clients_could_read_differently_is_withheld() {
    let tools = |tools: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#);
    let cases = [
        (tools(r#"[{"name":"a"},{"name":"a","description":"other"}]"#), "two entries"),
        (tools(r#"[{"name":"a"},{"n\u0061me":"\u0061"}]"#), "two entries"),
        (tools(r#"[{"name":"a","name":"b"}]"#), "duplicate key"),
        (tools(r#"[{"name":"a","Name":"b"}]"#), "by case"),
        (tools(r#"[{"Name":"b"}]"#), "is meant"),
        (tools(r#"[{"title":"b"}]"#), "has no name"),
        (tools(r#"[{"name":7}]"#), "has no name"),
        (tools(r#"[{"name":""}]"#), "empty"),
        (tools(r#"["b"]"#), "not an object"),
        (tools(r#"{"b":{"name":"b"}}"#), "not an array"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"Tools":[{"name":"b"}]}}"#.into(), "is meant"),
        (r#"{"jsonrpc":"2.0","id":1,"Result":{"tools":[{"name":"b"}]}}"#.into(), "is meant"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{},"result":{"tools":[{"name":"b"}]}}"#.into(), "one of"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{"tools":[{"name":"b"}]}}"#.into(), "one of"),
        (r#"[{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"b"}]}}]"#.into(), "not an object"),
        (tools(r#"[{"name":"b"}]"#) + " {}", "one value"),
    ];
    for (body, reason) in cases {
        let error = rewrite(List::Tools, Era::Modern, &body, &["b"]).expect_err(&body).to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
}

#[test]
fn tool_definitions_are_seen_as_sent() {
    let body = Bytes::from(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"q","inputSchema":{ "type":"object" },"annotations":{"readOnlyHint":true,"destructiveHint":"no","openWorldHint":false}},{"name":"bare","inputSchema":7}]}}"#,
    );
    let tools = list::tools(&body).unwrap();
    assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["q", "bare"]);
    assert_eq!(tools[0].input_schema.as_deref(), Some(&br#"{ "type":"object" }"#[..]));
    assert!(tools[0].raw.starts_with(br#"{"name":"q""#) && tools[0].raw.ends_with(b"}}"));
    let annotations =
        Annotations { read_only: Some(true), destructive: None, idempotent: None, open_world: Some(false) };
    assert_eq!(tools[0].annotations, annotations);
    assert_eq!((tools[1].input_schema.as_ref(), tools[1].annotations), (None, Annotations::default()));
    let misspelt = Bytes::from(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"q","annotations":{"ReadOnlyHint":true}}]}}"#,
    );
    assert!(matches!(list::tools(&misspelt), Err(ListError::Spelling { right: "readOnlyHint", .. })));
    assert_eq!(list::tools(&Bytes::from(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#)), Ok(vec![]));
}
