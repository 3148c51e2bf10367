//! Between the eras: what is changed, what stays byte for byte.
#![cfg(test)]

use bytes::Bytes;
use http::HeaderMap;
use portunus_mcp::bridge::to_legacy::{self, Asked, Filter, Handshake};
use portunus_mcp::bridge::to_modern::{self, Answered, Client, Round};
use portunus_mcp::bridge::{self, Incoming, Notification, Question, Response};
use portunus_mcp::header;
use portunus_mcp::json::{self, Bounds};
use portunus_mcp::message::{self, Call, Era, Message};
use proptest::prelude::*;
use serde_json::{Value, json};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1","x":1},"io.modelcontextprotocol/logLevel":"info","progressToken":"p","mine":[1]}"#;

fn read(headers: HeaderMap, body: &str) -> Call {
    let mut headers = headers;
    headers.insert("content-type", "application/json".parse().unwrap());
    match message::read(&headers, &Bytes::from(body.to_owned()), &Bounds::default()) {
        Ok(Message::Call(call)) => *call,
        other => panic!("{body}: {other:?}"),
    }
}

fn modern(method: &str, name: Option<&str>, rest: &str) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    if let Some(name) = name {
        headers.insert("mcp-name", header::encode(name).parse().unwrap());
    }
    read(headers, &format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{{{META}{rest}}}}}"#))
}

fn legacy(method: &str, params: &str) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
    read(headers, &format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{params}}}"#))
}

fn value(bytes: &[u8]) -> Value {
    assert!(json::scan(bytes, &Bounds::default()).is_ok(), "{}", String::from_utf8_lossy(bytes));
    serde_json::from_slice(bytes).unwrap()
}

fn message_of(body: &Value) -> Incoming {
    bridge::read(&Bytes::from(body.to_string())).unwrap()
}

fn response(body: Value) -> Response {
    match message_of(&body) {
        Incoming::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

fn note(method: &str, params: Value) -> Notification {
    match message_of(&json!({ "jsonrpc": "2.0", "method": method, "params": params })) {
        Incoming::Notification(note) => note,
        other => panic!("{other:?}"),
    }
}

fn handshake(capabilities: Value) -> Handshake {
    let result = json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities,
        "serverInfo": { "name": "old", "version": "1", "icons": [] }, "instructions": "be kind" });
    Handshake::read(&Bytes::from(result.to_string())).unwrap()
}

#[test]
fn a_modern_call_becomes_a_legacy_one_with_the_same_arguments_byte_for_byte() {
    let arguments = r#"{ "b":1.50, "a":"\u0041", "deep":{"z":[ ]} }"#;
    let rest =
        format!(r#","name":"t","arguments":{arguments},"new":true,"requestState":"s","inputResponses":{{}}"#);
    let call = modern("tools/call", Some("t"), &rest);
    let sent = to_legacy::call(&call, 7);
    assert!(String::from_utf8_lossy(&sent).contains(arguments));
    let sent = value(&sent);
    assert_eq!((&sent["id"], &sent["method"]), (&json!(7), &json!("tools/call")));
    assert_eq!(sent["params"]["_meta"], json!({ "progressToken": 7, "mine": [1] }));
    assert_eq!(sent["params"]["new"], true);
    assert_eq!(sent["params"].get("requestState").or(sent["params"].get("inputResponses")), None);
}

#[test]
fn the_handshake_repeats_what_the_client_says_of_itself() {
    let sent = value(&to_legacy::initialize(0, &modern("tools/list", None, "")));
    assert_eq!(sent["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(sent["params"]["capabilities"], json!({ "elicitation": {} }));
    assert_eq!(sent["params"]["clientInfo"], json!({ "name": "c", "version": "1", "x": 1 }));
}

#[test]
fn a_server_that_answers_the_handshake_in_no_legacy_version_is_not_understood() {
    for version in ["2026-07-28", "1999-01-01"] {
        let result = json!({ "protocolVersion": version, "capabilities": {} }).to_string();
        assert_eq!(Handshake::read(&Bytes::from(result)), None);
    }
}

#[test]
fn discovery_never_names_legacy_versions_only() {
    let found = value(&to_legacy::discovered(b"1", &handshake(json!({ "tools": {}, "tasks": {}, "x": 1 }))));
    let result = &found["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28", "2025-06-18"]));
    assert_eq!(result["capabilities"], json!({ "tools": {}, "x": 1 }));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "old");
    assert_eq!((&result["resultType"], &result["instructions"]), (&json!("complete"), &json!("be kind")));
}

#[test]
fn results_say_that_they_are_complete_and_lists_that_they_are_private() {
    let list = Asked::of(&modern("tools/list", None, ""));
    let answer =
        response(json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": [], "cacheScope": "public" } }));
    let told = value(&to_legacy::response(&list, &answer));
    assert_eq!(
        told,
        json!({ "jsonrpc": "2.0", "id": "a", "result":
        { "tools": [], "cacheScope": "private", "resultType": "complete", "ttlMs": 0 } })
    );
    let call = Asked::of(&modern("tools/call", Some("t"), r#","name":"t""#));
    let answer = response(json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [], "odd": 1 } }));
    let told = value(&to_legacy::response(&call, &answer));
    assert_eq!(told["result"], json!({ "content": [], "odd": 1, "resultType": "complete" }));
    let failed = response(
        json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32002, "message": "no", "data": 1 } }),
    );
    let told = value(&to_legacy::response(&call, &failed));
    assert_eq!(
        told,
        json!({ "jsonrpc": "2.0", "id": "a", "error": { "code": -32002, "message": "no", "data": 1 } })
    );
}

#[test]
fn a_modern_client_hears_of_its_own_call_and_of_what_it_asked_for() {
    let asked = Asked::of(&modern("tools/call", Some("t"), r#","name":"t""#));
    let progress =
        note("notifications/progress", json!({ "progressToken": 7, "progress": 1, "message": "m" }));
    let told = value(&to_legacy::relevant(&asked, &progress).unwrap());
    assert_eq!(told["params"], json!({ "progressToken": "p", "progress": 1, "message": "m" }));
    let log = |level| note("notifications/message", json!({ "level": level, "data": 1 }));
    assert!(to_legacy::relevant(&asked, &log("debug")).is_none(), "less severe than asked for");
    assert!(to_legacy::relevant(&asked, &log("error")).is_some());
    let quiet = Asked { log_level: None, progress_token: None, ..asked.clone() };
    assert!(to_legacy::relevant(&quiet, &log("emergency")).is_none());
    assert!(to_legacy::relevant(&quiet, &progress).is_none());
    assert!(to_legacy::relevant(&asked, &note("notifications/tools/list_changed", json!({}))).is_none());
}

#[test]
fn a_question_goes_there_and_its_answer_back() {
    let question = Question {
        id: Bytes::from_static(b"\"q\\u0031\""),
        method: "elicitation/create".into(),
        params: Some(Bytes::from_static(br#"{"message":"who?","odd":[1]}"#)),
    };
    let told = value(&to_legacy::input_required(b"5", &question, "handle"));
    assert_eq!(told["result"]["resultType"], "input_required");
    assert_eq!(told["result"]["requestState"], "handle");
    let (key, asked) = told["result"]["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(
        *asked,
        json!({ "method": "elicitation/create", "params": { "message": "who?", "odd": [1] } })
    );

    let rest = format!(
        r#","name":"t","requestState":"handle","inputResponses":{{"{key}":{{"action":"accept", "content":{{}}}}}}"#
    );
    let answer = to_legacy::answer(&modern("tools/call", Some("t"), &rest), &question).unwrap();
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":"q\u0031","result":{"action":"accept", "content":{}}}"#);
    let without = modern("tools/call", Some("t"), r#","name":"t","inputResponses":{"other":{}}"#);
    assert_eq!(to_legacy::answer(&without, &question), None);
}

#[test]
fn only_what_a_client_declared_may_be_asked() {
    for (capabilities, question, allowed) in [
        (r#"{"elicitation":{}}"#, "elicitation/create", true),
        (r#"{"elicitation":{}}"#, "sampling/createMessage", false),
        (r#"{"roots":{}}"#, "roots/list", true),
        (r#"{"roots":{}}"#, "ping", false),
        ("not json", "roots/list", false),
    ] {
        assert_eq!(
            bridge::may_be_asked(capabilities.as_bytes(), question),
            allowed,
            "{capabilities} {question}"
        );
    }
}

#[test]
fn a_subscription_honours_what_the_server_can_tell() {
    let rest = r#","notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a://b"]}"#;
    let call = modern("subscriptions/listen", None, rest);
    let able = json!({ "tools": { "listChanged": true }, "prompts": {}, "resources": { "subscribe": true } });
    let filter = Filter::of(&call, &handshake(able));
    let acknowledged = value(&to_legacy::acknowledged(b"\"a\"", &filter));
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({ "toolsListChanged": true, "resourceSubscriptions": ["a://b"] })
    );
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "a");
    let updated = |uri| note("notifications/resources/updated", json!({ "uri": uri, "_meta": { "odd": 1 } }));
    assert!(filter.wants(&updated("a://b")) && filter.wants(&updated("a://b/c")));
    assert!(!filter.wants(&updated("a://bc")), "another resource, which nobody decided about");
    assert!(!filter.wants(&note("notifications/prompts/list_changed", json!({}))));
    let told = value(&to_legacy::change(b"\"a\"", &updated("a://b")));
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "a");
}

#[test]
fn a_legacy_call_becomes_a_modern_one_with_the_same_arguments_byte_for_byte() {
    let start = legacy(
        "initialize",
        r#"{"protocolVersion":"2025-06-18","capabilities":{"roots":{},"tasks":{}},"clientInfo":{"name":"c","version":"1"}}"#,
    );
    let client = Client { log_level: Some("error".into()), ..Client::of(&start) };
    let arguments = r#"{ "b":1.50, "a":"\u0041" }"#;
    let call = legacy(
        "tools/call",
        &format!(r#"{{"name":"t","arguments":{arguments},"task":{{}},"_meta":{{"mine":1}}}}"#),
    );
    let round = Round {
        answers: vec![("k".into(), r#"{"action":"accept"}"#.into())],
        state: Some(Bytes::from_static(b"\"s\"")),
    };
    for (id, round) in [("\"a\"", None), ("\"b\"", Some(&round))] {
        let sent = client.call(&call, id, round);
        assert!(String::from_utf8_lossy(&sent).contains(arguments));
        let read = modern_of(&sent, "tools/call", Some("t"));
        assert_eq!((read.era(), read.target.as_deref()), (Era::Modern, Some("t")));
        assert_eq!(read.arguments, call.arguments);
        assert_eq!(read.client_capabilities.unwrap(), r#"{"roots":{}}"#);
        assert_eq!(read.request_state.is_some(), round.is_some());
        let sent = value(&sent);
        assert_eq!(sent["params"]["_meta"]["io.modelcontextprotocol/logLevel"], "error");
        assert_eq!((&sent["params"]["_meta"]["mine"], sent["params"].get("task")), (&json!(1), None));
    }
}

/// What was made for a modern server is read as one reads it.
fn modern_of(body: &Bytes, method: &str, target: Option<&str>) -> Call {
    let method = message::Method::parse(method);
    read(to_modern::mirrors(&method, target), std::str::from_utf8(body).unwrap())
}

#[test]
fn requests_of_the_bridge_itself_are_modern_ones() {
    let client = Client::own();
    assert_eq!(modern_of(&client.discover("1"), "server/discover", None).era(), Era::Modern);
    let listen = client.listen("2", &["a://\"b".into()]);
    assert_eq!(modern_of(&listen, "subscriptions/listen", None).subscriptions, ["a://\"b"]);
}

#[test]
fn a_legacy_client_hears_what_was_discovered() {
    let start = legacy(
        "initialize",
        r#"{"protocolVersion":"2099-01-01","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#,
    );
    let found = json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} }, "instructions": "x",
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "new", "version": "2" } } });
    let told = value(&to_modern::initialized(b"1", &Client::of(&start), &Bytes::from(found.to_string())));
    assert_eq!(
        told["result"],
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
        "serverInfo": { "name": "new", "version": "2" }, "instructions": "x" })
    );
}

#[test]
fn the_modern_era_is_told_by_what_only_it_says() {
    let ok =
        |versions: Value| json!({ "jsonrpc": "2.0", "id": 1, "result": { "supportedVersions": versions } });
    let failed = |code: i64, supported: Value| json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": "", "data": { "supported": supported } } });
    for (body, modern) in [
        (ok(json!(["2026-07-28"])), true),
        (ok(json!(["2025-11-25"])), false),
        (json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), false),
        (failed(-32022, json!(["2026-07-28"])), true),
        (failed(-32022, json!(["2025-11-25"])), false),
        (failed(-32020, json!([])), true),
        (failed(-32601, json!([])), false),
        (failed(-32000, json!([])), false),
    ] {
        assert_eq!(to_modern::speaks_modern(&response(body.clone())), modern, "{body}");
    }
}

#[test]
fn a_modern_result_loses_what_legacy_clients_cannot_read() {
    let result =
        json!({ "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "tools": [{ "odd": 1 }] });
    let Answered::Done(told) =
        to_modern::response(b"9", &response(json!({ "jsonrpc": "2.0", "id": "b", "result": result })))
    else {
        panic!("done");
    };
    assert_eq!(value(&told), json!({ "jsonrpc": "2.0", "id": 9, "result": { "tools": [{ "odd": 1 }] } }));
    let listed = json!({ "resultType": "complete", "content": [], "structuredContent": [1] });
    let Answered::Done(told) =
        to_modern::response(b"9", &response(json!({ "jsonrpc": "2.0", "id": 1, "result": listed })))
    else {
        panic!("done");
    };
    assert_eq!(value(&told)["result"], json!({ "content": [] }));
}

#[test]
fn what_a_modern_server_asks_for_is_told_apart() {
    let asks = json!({ "resultType": "input_required", "requestState": "s",
        "inputRequests": { "k": { "method": "roots/list" }, "l": { "method": "elicitation/create", "params": { "message": "?" } } } });
    let Answered::Asks(asks) =
        to_modern::response(b"1", &response(json!({ "jsonrpc": "2.0", "id": 1, "result": asks })))
    else {
        panic!("asks");
    };
    assert_eq!(asks.state.as_deref(), Some(&b"\"s\""[..]));
    let mut questions = asks.questions;
    questions.sort();
    assert_eq!(questions[0], ("k".into(), "roots/list".into(), None));
    assert_eq!(questions[1].1, "elicitation/create");
    let asked = value(&to_modern::question("q", &questions[1].1, questions[1].2.as_deref()));
    assert_eq!(asked["params"]["message"], "?");
}

#[test]
fn what_is_not_one_message_is_not_carried_over() {
    for body in [
        r#"[]"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":3}"#,
    ] {
        assert!(bridge::read(&Bytes::from(body)).is_err(), "{body}");
    }
}

proptest! {
    /// Any name and any arguments arrive as they were, in both directions.
    #[test]
    fn arguments_and_names_survive(name in "\\PC{1,40}", text in "\\PC{0,40}", number in any::<i32>()) {
        let arguments = json!({ "text": text, "number": number }).to_string();
        let params = format!(r#"{{"name":{},"arguments":{arguments}}}"#, Value::from(name.clone()));
        let old = legacy("tools/call", &params);
        let sent = Client::own().call(&old, "1", None);
        let new = modern_of(&sent, "tools/call", Some(&name));
        prop_assert_eq!(&new.arguments, &old.arguments);
        prop_assert_eq!(new.target.as_deref(), Some(&*name));
        let back = to_legacy::call(&new, 3);
        let read = json::scan(&back, &Bounds::default()).unwrap();
        let params = read.root().get("params").unwrap();
        prop_assert_eq!(params.get("arguments").unwrap().text(), &arguments);
        prop_assert_eq!(params.get("name").unwrap().string().unwrap(), name);
    }

    /// Nothing that a server sends makes the translation fail otherwise than by saying so.
    #[test]
    fn any_bytes_of_a_server_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(bridge::read(&Bytes::from(bytes)));
    }
}
