//! Messages of both eras: what is read, and what is refused with which status and code.
#![cfg(test)]

mod common;

use common::{post, read};
use portunus_mcp::json::Bounds;
use portunus_mcp::message::{self, Call, Era, List, Message, Method, Reject, TargetKind, Version, code};
use serde_json::{Value, json};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn modern(more: &[(&str, &str)]) -> http::HeaderMap {
    let mut all = vec![("mcp-protocol-version", "2026-07-28")];
    all.extend(more);
    post(&all)
}

fn call_of(message: Result<Message, Reject>) -> Call {
    match message {
        Ok(Message::Call(call)) => *call,
        other => panic!("not a call: {other:?}"),
    }
}

/// Status and code of a refusal.
fn refusal(message: Result<Message, Reject>) -> (u16, i32) {
    let reject = message.expect_err("should be refused");
    (reject.status.as_u16(), reject.code)
}

#[test]
fn a_modern_call_is_read_without_copying_or_changing_a_byte() {
    let body = r#" {"method":"tools/call","id":"a-1","jsonrpc":"2.0","x":1,"params":{"arguments":{"q" : "é"},"name":"read\u005fquery",
        "inputResponses":{"k":{}},"requestState":"s","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"progressToken":7,
        "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}"#;
    let bytes = bytes::Bytes::from(body);
    let headers = modern(&[("mcp-method", "tools/call"), ("mcp-name", "  read_query ")]);
    let call = call_of(message::read(&headers, &bytes, &Bounds::default()));
    assert_eq!(call.version, Version::V20260728);
    assert_eq!(call.era(), Era::Modern);
    assert_eq!(call.method, Method::ToolsCall);
    assert_eq!(call.id, r#""a-1""#);
    assert_eq!((call.target.as_deref(), call.target_kind), (Some("read_query"), Some(TargetKind::Tool)));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"q" : "é"}"#.as_bytes()));
    assert_eq!(call.input_responses.as_deref(), Some(&br#"{"k":{}}"#[..]));
    assert_eq!(call.request_state.as_deref(), Some(&br#""s""#[..]));
    assert_eq!(call.client_capabilities.as_deref(), Some(&br#"{"sampling":{}}"#[..]));
    assert_eq!(call.progress_token.as_deref(), Some(&b"7"[..]));
    assert_eq!(call.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert_eq!(call.body, bytes);
    let place = bytes.as_ptr().addr()..bytes.as_ptr().addr() + bytes.len();
    assert!(place.contains(&call.arguments.unwrap().as_ptr().addr()), "the arguments were copied");
}

#[test]
fn what_steers_a_call_besides_its_arguments_is_one_text() {
    let besides = |method: &str, more: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"t"{more}}}}}"#);
        call_of(read(&post(&[]), &body)).besides
    };
    let of = |more: &str| besides("tools/call", more);
    assert_eq!(of(r#","arguments":{"_meta":{"x":1},"task":2}"#), None);
    assert_eq!(of(r#","_meta":{"progressToken":"p","tracestate":"a=b"}"#), None);
    // What is there to tell a server something steers it, and so may what is no trace context.
    for steers in [r#""baggage":"tenant=prod""#, r#""tracestate":{"amount":9999}"#, r#""traceparent":["x"]"#]
    {
        assert_eq!(of(&format!(r#","_meta":{{{steers}}}"#)), Some(format!(r#"{{"_meta":{{{steers}}}}}"#)));
    }
    assert_eq!(of(r#","_meta":{"claudecode/toolUseId":"toolu_1","vscode.requestId":"a-b"}"#), None);
    let text = Some(r#"{"_meta":{"a":{"n": 1},"b":"\u0062"},"task":{"ttl":5}}"#.to_owned());
    assert_eq!(of(r#","task":{"ttl":5},"_meta":{"b":"\u0062","progressToken":1,"\u0061":{"n": 1}}"#), text);
    assert_eq!(of(r#","_meta":{"a":{"n": 1},"b":"\u0062"},"ta\u0073k":{"ttl":5}"#), text);
    assert_ne!(
        of(r#","task":{"ttl":5},"_meta":{"a":{"n":1},"b":"\u0062"}"#),
        text,
        "values are as they were sent"
    );
    for id in [r#"{"any":1}"#, r#""a b""#, "7", &format!("\"{}\"", "x".repeat(200))] {
        assert!(of(&format!(r#","_meta":{{"claudecode/toolUseId":{id}}}"#)).is_some(), "{id}");
    }
    assert_eq!(besides("prompts/get", r#","_meta":{"a":1}"#), None);
}

#[test]
fn a_legacy_message_needs_no_headers_and_keeps_its_kind() {
    let call =
        call_of(read(&post(&[]), r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#));
    assert_eq!((call.version, call.arguments), (Version::V20250326, None));
    let headers = post(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "abc")]);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    match read(&headers, initialized).unwrap() {
        Message::Notification(notification) => {
            assert_eq!(
                (notification.version, notification.method),
                (Version::V20251125, Method::Initialized)
            );
        }
        other => panic!("{other:?}"),
    }
    for (body, is_error) in [
        (r#"{"jsonrpc":"2.0","id":"s1","result":{"action":"accept"}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"s1","error":{"code":-1,"message":"no"}}"#, true),
    ] {
        match read(&headers, body).unwrap() {
            Message::Answer(answer) => {
                assert_eq!((&answer.id[..], answer.is_error), (&br#""s1""#[..], is_error))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_cancellation_names_its_request() {
    let body =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12,"reason":"x"}}"#;
    match read(&post(&[]), body).unwrap() {
        Message::Notification(notification) => assert_eq!(notification.cancels.as_deref(), Some(&b"12"[..])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_target_comes_from_the_body_for_every_method_that_has_one() {
    use TargetKind::{Prompt, Resource, ResourceTemplate, Task, Tool};
    let cases = [
        ("tools/call", r#""name":"t""#, "t", Tool),
        ("prompts/get", r#""name":"p""#, "p", Prompt),
        ("resources/read", r#""uri":"file:///a""#, "file:///a", Resource),
        ("resources/subscribe", r#""uri":"file:///b""#, "file:///b", Resource),
        ("tasks/get", r#""taskId":"k""#, "k", Task),
        ("completion/complete", r#""ref":{"type":"ref/prompt","name":"p"},"argument":{}"#, "p", Prompt),
        (
            "completion/complete",
            r#""ref":{"type":"ref/resource","uri":"db://{t}"}"#,
            "db://{t}",
            ResourceTemplate,
        ),
    ];
    for (method, params, target, kind) in cases {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
        let call = call_of(read(&post(&[]), &body));
        assert_eq!((call.target.as_deref(), call.target_kind), (Some(target), Some(kind)), "{method}");
        let without = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#);
        assert_eq!(refusal(read(&post(&[]), &without)), (400, code::INVALID_PARAMS), "{method}");
    }
    let listen = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{{META},"notifications":{{"resourceSubscriptions":["a:1","a:2"]}}}}}}"#
    );
    let call = call_of(read(&modern(&[("mcp-method", "subscriptions/listen")]), &listen));
    assert_eq!(call.subscriptions, ["a:1", "a:2"]);
}

#[test]
fn ambiguous_and_malformed_bodies_are_refused_with_a_plain_reason() {
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0"}"#, -32700, "one value"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"evil"}}"#,
            -32700,
            "duplicate key",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","Name":"evil"}}"#,
            -32700,
            "by case",
        ),
        (deep.as_str(), -32700, "deeper than 64"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, "batches"),
        ("7", -32600, "object"),
        (r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#, -32600, "spelled method"),
        (r#"{"jsonrpc":"2.0","ID":1,"method":"ping"}"#, -32600, "spelled id"),
        (r#"{"Jsonrpc":"2.0","id":1,"method":"ping"}"#, -32600, "spelled jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Params":{"name":"x"}}"#, -32600, "spelled params"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","Arguments":{}}}"#,
            -32600,
            "spelled params.arguments",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_Meta":{}}}"#,
            -32600,
            "spelled params._meta",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","argumentſ":{}}}"#,
            -32600,
            "spelled params.arguments",
        ),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600, "jsonrpc"),
        (r#"{"id":1,"method":"ping"}"#, -32600, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, "no method"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, "id must be"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, "id must be"),
        (r#"{"jsonrpc":"2.0","id":1e2,"method":"ping"}"#, -32600, "id must be"),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"ping"}"#, -32600, "id must be"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600, "id must be"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600, "method must be"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600, "neither result nor error"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600, "not both"),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600, "needs the id"),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}"#, -32600, "needs an id"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#, -32600, "no id"),
    ];
    refused(&cases);
}

#[test]
fn malformed_parameters_are_refused_with_a_plain_reason() {
    refused(&[
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602, "params must be an object"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, -32602, "params must be an object"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":7}}"#,
            -32602,
            "_meta must be an object",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":[]}}"#,
            -32602,
            "arguments must be an object",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}"#, -32602, "params.name"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#, -32602, "params.name"),
    ]);
}

/// Each body is refused with 400, this code and these words.
fn refused(cases: &[(&str, i32, &str)]) {
    for (body, code, reason) in cases {
        let reject = read(&post(&[]), body).expect_err(body);
        assert_eq!((reject.status.as_u16(), reject.code), (400, *code), "{body}");
        assert!(reject.message.contains(reason), "{body}: {}", reject.message);
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let body = bytes::Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{}"}}}}"#,
        "x".repeat(100)
    ));
    let reject = message::read(&post(&[]), &body, &Bounds::of_bytes(100)).unwrap_err();
    assert_eq!(reject.status.as_u16(), 413);
    assert!(message::read(&post(&[]), &body, &Bounds::of_bytes(body.len())).is_ok());
}

#[test]
fn a_reject_carries_the_id_it_could_read() {
    let reject = read(&post(&[]), r#"{"jsonrpc":"2.0","id":"\u0041b","Method":"ping"}"#).unwrap_err();
    assert!(reject.to_body().starts_with(br#"{"jsonrpc":"2.0","id":"\u0041b","error":{"code":-32600,"#));
    let reject = read(&post(&[]), r#"{"jsonrpc":"2.0","id":1"#).unwrap_err();
    let body: Value = serde_json::from_slice(&reject.to_body()).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&Value::Null, &json!(-32700)));
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(257));
    assert_eq!(read(&post(&[]), &long).unwrap_err().id, None);
}

#[test]
fn modern_headers_must_say_what_the_body_says() {
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"käse","arguments":{{}},{META}}}}}"#
    );
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    let method = ("mcp-method", "tools/call");
    let good = ("mcp-name", "=?base64?a8Okc2U=?=");
    assert!(read(&modern(&[method, good]), &call).is_ok());
    let mismatch = (400, code::HEADER_MISMATCH);
    let cases: [(&str, &[(&str, &str)]); 12] = [
        (&call, &[good]),
        (&call, &[method]),
        (&call, &[("mcp-method", "tools/list"), good]),
        (&call, &[("mcp-method", "TOOLS/CALL"), good]),
        (&call, &[("mcp-method", "=?base64?dG9vbHMvY2FsbA==?="), good]),
        (&call, &[method, ("mcp-name", "other")]),
        (&call, &[method, ("mcp-name", "=?base64?a8Okc2U?=")]),
        (&call, &[method, ("mcp-name", "=?base64?a8Okc2V?=")]),
        (&call, &[method, ("mcp-name", "=?BASE64?a8Okc2U=?=")]),
        (&call, &[method, good, good]),
        (&call, &[method, method, good]),
        (&list, &[("mcp-method", "tools/list"), ("mcp-name", "sales")]),
    ];
    for (body, headers) in cases {
        assert_eq!(refusal(read(&modern(headers), body)), mismatch, "{headers:?}");
    }
    let twice = modern(&[("mcp-protocol-version", "2026-07-28"), method, good]);
    assert_eq!(refusal(read(&twice, &call)), mismatch);
    let param_twice = modern(&[method, good, ("mcp-param-a", "1"), ("mcp-param-a", "1")]);
    assert_eq!(refusal(read(&param_twice, &call)), mismatch);
}

#[test]
fn legacy_headers_are_not_asked_for_but_must_agree_when_present() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
    assert!(read(&post(&[("mcp-method", "tools/call"), ("mcp-name", "t")]), call).is_ok());
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for (headers, body) in [
        (("mcp-method", "ping"), call),
        (("mcp-name", "u"), call),
        (("mcp-method", "tools/call"), answer),
        (("mcp-method", "tools/call"), notification),
        (("mcp-name", "u"), notification),
    ] {
        assert_eq!(
            refusal(read(&post(&[headers]), body)),
            (400, code::HEADER_MISMATCH),
            "{headers:?} {body}"
        );
    }
}

#[test]
fn header_and_meta_must_name_one_version_of_one_era() {
    let meta = |version: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        )
    };
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    let incomplete = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let version =
        |version: &'static str| post(&[("mcp-protocol-version", version), ("mcp-method", "tools/list")]);
    let none = post(&[("mcp-method", "tools/list")]);
    assert!(read(&version("2026-07-28"), &meta("2026-07-28")).is_ok());
    assert!(read(&version("2025-11-25"), bare).is_ok());
    let cases = [
        (none.clone(), meta("2026-07-28"), code::HEADER_MISMATCH),
        (version("2025-11-25"), meta("2026-07-28"), code::HEADER_MISMATCH),
        (version("2026-07-28"), meta("2025-11-25"), code::HEADER_MISMATCH),
        (version("2026-07-28"), meta("v999.0.0"), code::HEADER_MISMATCH),
        (version("v999.0.0"), meta("v999.0.0"), code::UNSUPPORTED_VERSION),
        (version("v999.0.0"), bare.to_owned(), code::UNSUPPORTED_VERSION),
        (version("2025-11-25"), meta("2025-11-25"), code::UNSUPPORTED_VERSION),
        (version("2026-07-28"), bare.to_owned(), code::INVALID_PARAMS),
        (version("2026-07-28"), incomplete.to_owned(), code::INVALID_PARAMS),
    ];
    for (headers, body, expected) in cases {
        assert_eq!(refusal(read(&headers, &body)), (400, expected), "{body} {headers:?}");
    }
    let reject = read(&version("1900-01-01"), &meta("1900-01-01")).unwrap_err();
    let data = reject.data.unwrap();
    assert_eq!(data["requested"], "1900-01-01");
    assert_eq!(data["supported"], json!(["2026-07-28"]), "what `_meta` may carry");
}

#[test]
fn a_method_of_the_other_era_is_refused() {
    for (method, expected) in
        [("initialize", 404), ("ping", 404), ("logging/setLevel", 404), ("tasks/list", 404)]
    {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{META}}}}}"#);
        let headers = modern(&[("mcp-method", method)]);
        assert_eq!(refusal(read(&headers, &body)), (expected, code::METHOD_NOT_FOUND), "{method}");
    }
    for method in ["server/discover", "subscriptions/listen", "tasks/update"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"taskId":"x"}}}}"#);
        assert_eq!(refusal(read(&post(&[]), &body)), (400, code::INVALID_PARAMS), "{method}");
    }
    // A legacy client would take 404 for the end of its session.
    let unknown = Method::Other("x/y".into());
    assert_eq!(Reject::method_not_found(&unknown, Version::V20251125).status.as_u16(), 200);
    assert_eq!(Reject::method_not_found(&unknown, Version::V20260728).status.as_u16(), 404);
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(refusal(read(&modern(&[]), answer)), (400, code::INVALID_REQUEST));
}

#[test]
fn the_handshake_is_legacy_whatever_its_header_says() {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2026-07-28","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    for (headers, version) in [
        (post(&[]), Version::V20250326),
        (post(&[("mcp-protocol-version", "2025-06-18")]), Version::V20250618),
        (post(&[("mcp-protocol-version", "2026-07-28")]), Version::V20251125),
    ] {
        assert_eq!(call_of(read(&headers, body)).version, version);
    }
    assert_eq!(
        refusal(read(&post(&[("mcp-protocol-version", "x")]), body)),
        (400, code::UNSUPPORTED_VERSION)
    );
}

#[test]
fn only_plain_json_that_may_be_answered_is_read() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let with = |name: &str, value: &str| {
        let mut headers = post(&[]);
        headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        headers
    };
    for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
    {
        assert!(read(&with("content-type", good), body).is_ok(), "{good}");
    }
    for bad in [
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; boundary=x",
        "application/jsonx",
        "",
    ] {
        assert_eq!(refusal(read(&with("content-type", bad), body)).0, 415, "{bad}");
    }
    let mut none = post(&[]);
    none.remove("content-type");
    assert_eq!(refusal(read(&none, body)).0, 415);
    assert_eq!(refusal(read(&post(&[("content-type", "application/json")]), body)).0, 415);
    assert_eq!(refusal(read(&with("content-encoding", "gzip"), body)).0, 415);
    for good in ["*/*", "application/*", "text/event-stream;q=0.5", "text/html, APPLICATION/json"] {
        assert!(read(&with("accept", good), body).is_ok(), "{good}");
    }
    for bad in ["text/html", "application/json;q=0", "image/*", "", "*/*;q=0.0"] {
        assert_eq!(refusal(read(&with("accept", bad), body)).0, 406, "{bad}");
    }
}

#[test]
fn streams_and_session_ends_are_legacy_only() {
    let get = http::Method::GET;
    let stream = |more: &[(&str, &str)]| {
        let mut headers = post(more);
        headers.insert("accept", "text/event-stream".parse().unwrap());
        headers
    };
    let read = message::read_session_request;
    assert_eq!(read(&get, &stream(&[])), Ok(Version::V20250326));
    assert_eq!(read(&http::Method::DELETE, &stream(&[("mcp-session-id", "s")])), Ok(Version::V20250326));
    let status = |result: Result<Version, Reject>| result.unwrap_err().status.as_u16();
    assert_eq!(status(read(&get, &stream(&[("mcp-protocol-version", "2026-07-28")]))), 405);
    assert_eq!(status(read(&http::Method::PUT, &stream(&[]))), 405);
    assert_eq!(status(read(&get, &stream(&[("mcp-protocol-version", "soon")]))), 400);
    assert_eq!(status(read(&get, &stream(&[("mcp-session-id", "two words")]))), 400);
    let mut no_stream = stream(&[]);
    no_stream.insert("accept", "application/json".parse().unwrap());
    assert_eq!(status(read(&get, &no_stream)), 406);
}

#[test]
fn every_method_of_the_schemas_is_known_in_its_era() {
    let data = std::env::var("PORTUNUS_TEST_DATA").unwrap_or_else(|_| "../shared/data".into());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(data);
    for (version, era) in
        [("2025-06-18", Era::Legacy), ("2025-11-25", Era::Legacy), ("2026-07-28", Era::Modern)]
    {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("mcp-schema-{version}.json"))) else {
            eprintln!("SKIPPED: no MCP schemas in {} (set PORTUNUS_TEST_DATA)", folder.display());
            return;
        };
        let schema: Value = serde_json::from_str(&text).unwrap();
        let definitions = schema.get("$defs").or(schema.get("definitions")).unwrap().as_object().unwrap();
        let union = definitions["ClientRequest"]["anyOf"].as_array().unwrap();
        assert!(union.len() >= 10, "{version}");
        for reference in union {
            let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let method = definitions[name]["properties"]["method"]["const"].as_str().unwrap();
            let parsed = Method::parse(method);
            assert_eq!(parsed.as_str(), method);
            assert!(!matches!(parsed, Method::Other(_)) && parsed.is_in(era), "{version} {method}");
        }
    }
}

#[test]
fn methods_know_what_they_may_do() {
    for method in ["tools/call", "resources/subscribe", "tasks/cancel", "tasks/update", "something/else"] {
        assert!(Method::parse(method).may_change(), "{method}");
    }
    for method in ["tools/list", "resources/read", "prompts/get", "initialize", "ping", "server/discover"] {
        assert!(!Method::parse(method).may_change(), "{method}");
    }
    assert_eq!(Method::parse("resources/templates/list").list(), Some(List::ResourceTemplates));
    assert_eq!(Method::parse("tools/call").list(), None);
    assert_eq!(Method::parse("Tools/Call"), Method::Other("Tools/Call".into()));
}
