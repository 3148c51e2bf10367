//! Task ids and `requestState` in messages, and which call a server's message answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use portunus_mcp::envelope::{Envelope, EnvelopeError};
use portunus_mcp::handle::{self, Handle, HandleKind};
use portunus_mcp::header;
use portunus_mcp::json;
use portunus_mcp::sse::Splitter;
use proptest::prelude::*;

fn found(handles: &[Handle<'_>]) -> Vec<(HandleKind, String)> {
    handles.iter().map(|handle| (handle.kind, handle.text.clone().into_owned())).collect()
}

#[test]
fn handles_are_found_wherever_the_protocol_puts_them_and_nowhere_else() {
    use HandleKind::{State, Task};
    let related = r#""_meta":{"io.modelcontextprotocol/related-task":{"taskId":"r"}}"#;
    let server = |text: &str| found(&handle::of_server(json::skim(text.as_bytes()).unwrap()));
    let request = |text: &str| found(&handle::of_request(json::skim(text.as_bytes()).unwrap()));
    let of = |kind, text: &str| (kind, text.to_owned());
    assert_eq!(server(r#"{"result":{"resultType":"task","taskId":"a\u0062"}}"#), [of(Task, "ab")]);
    assert_eq!(server(r#"{"result":{"task":{"taskId":"a"}}}"#), [of(Task, "a")]);
    assert_eq!(server(r#"{"result":{"requestState":"s"}}"#), [of(State, "s")]);
    assert_eq!(server(&format!(r#"{{"result":{{{related}}}}}"#)), [of(Task, "r")]);
    assert_eq!(server(r#"{"method":"notifications/tasks","params":{"taskId":"a"}}"#), [of(Task, "a")]);
    assert_eq!(
        server(&format!(r#"{{"id":1,"method":"elicitation/create","params":{{{related}}}}}"#)),
        [of(Task, "r")]
    );
    let acknowledged = r#"{"method":"notifications/subscriptions/acknowledged","params":{"notifications":{"taskIds":["a","b"]}}}"#;
    assert_eq!(server(acknowledged), [of(Task, "a"), of(Task, "b")]);
    for nothing in [
        r#"{"result":{"structuredContent":{"taskId":"a","requestState":"s"},"content":[{"taskId":"a"}]}}"#,
        r#"{"id":1,"method":"tasks/get","params":{"taskId":"the client's own"}}"#,
        r#"{"result":{"taskId":7,"requestState":null}}"#,
        r#"{"error":{"taskId":"a"}}"#,
    ] {
        assert_eq!(server(nothing), [], "{nothing}");
    }
    assert_eq!(request(r#"{"method":"tasks/cancel","params":{"taskId":"a"}}"#), [of(Task, "a")]);
    assert_eq!(
        request(r#"{"method":"tools/call","params":{"requestState":"s","arguments":{"taskId":"a"}}}"#),
        [of(State, "s")]
    );
    assert_eq!(
        request(r#"{"method":"subscriptions/listen","params":{"notifications":{"taskIds":["a"]}}}"#),
        [of(Task, "a")]
    );
    assert_eq!(
        request(r#"{"method":"notifications/tasks/status","params":{"taskId":"the client's own"}}"#),
        []
    );
    let answer = format!(r#"{{"id":1,"result":{{"taskId":"the client's own",{related}}}}}"#);
    assert_eq!(found(&handle::of_answer(json::skim(answer.as_bytes()).unwrap())), [of(Task, "r")]);
}

#[test]
fn a_message_is_told_by_its_outermost_members_alone() {
    let big = r#"{"id":1,"result":{"n":12345678901234567890,"ID":1,"id":2,"n":2}}"#;
    let envelope = Envelope::read(big.as_bytes()).unwrap();
    assert!(
        envelope.is_result
            && envelope.answers(b"1")
            && !envelope.answers(b"2")
            && !envelope.answers(b"\"1\"")
    );
    assert!(Envelope::read(br#"{"id":"a\u0062","result":{}}"#).unwrap().answers(br#""ab""#));
    assert!(Envelope::read(br#"{"id":null,"error":{}}"#).unwrap().names_no_call());
    for (text, error) in [
        ("", EnvelopeError::NotAnObject),
        ("[]", EnvelopeError::NotAnObject),
        (r#"{"id":1}}"#, EnvelopeError::NotAnObject),
        (r#"{"id":1,"result":"#, EnvelopeError::NotAnObject),
        (r#"{"id":1,"id":2,"result":{}}"#, EnvelopeError::Ambiguous),
        (r#"{"id":1,"i\u0064":2,"result":{}}"#, EnvelopeError::Ambiguous),
        (r#"{"id":1,"Result":{},"result":{}}"#, EnvelopeError::Ambiguous),
        (r#"{"id":1,"re\u017Fult":{}}"#, EnvelopeError::Ambiguous),
    ] {
        assert_eq!(Envelope::read(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn an_event_gets_another_id_and_keeps_its_other_lines() {
    for (stream, wanted) in [
        ("id: 1\nx-own: y\ndata: a\n\n", "id: 1.p\nx-own: y\ndata: a\n\n"),
        ("data: a\r\nid:1\r\n\r\n", "id: 1.p\ndata: a\r\n\r\n"),
        ("id: 0\nid: 1\ndata:\n\n", "id: 1.p\ndata:\n\n"),
        ("\u{FEFF}id: 1\ndata: a\n\n", "id: 1.p\ndata: a\n\n"),
        ("id: 1\rdata: a\r\r", "id: 1.p\ndata: a\n\n"),
    ] {
        let mut splitter = Splitter::default();
        splitter.feed(stream.as_bytes());
        splitter.end();
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.id.as_deref(), Some("1"), "{stream:?}");
        assert_eq!(event.with_id("1.p").raw, wanted, "{stream:?}");
    }
}

proptest! {
    #[test]
    fn what_a_header_mirrors_is_read_back(text in "\\PC{0,40}|=\\?base64\\?.{0,9}\\?=| .*|[ -~]{0,20}") {
        let value = header::encode(&text);
        prop_assert!(http::HeaderValue::try_from(&*value).is_ok());
        let read = header::decode(&value);
        prop_assert_eq!(read.as_deref(), Some(&*text));
    }

    #[test]
    fn replacing_a_handle_changes_nothing_else(id in "\\PC{0,20}", other in "\\PC{0,20}", space in "[ \n]{0,3}") {
        let quoted = serde_json::to_string(&id).unwrap();
        let around = |id: &str| format!(r#"{{{space}"id":1,"result":{{"n":1e400,{space}"taskId"{space}:{id},"é":"\u00e9"}}}}{space}"#);
        let body = Bytes::from(around(&quoted));
        let handles = handle::of_server(json::skim(&body).unwrap());
        prop_assert_eq!(found(&handles), [(HandleKind::Task, id)]);
        let replaced = handle::replace(&body, &[(handles[0].clone(), other.clone())]);
        prop_assert_eq!(replaced, around(&serde_json::to_string(&other).unwrap()));
    }

    #[test]
    fn whatever_is_read_strictly_is_skimmed_alike(bytes in prop::collection::vec(any::<u8>(), 0..60), text in nearly_json()) {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(scan) = json::scan(bytes, &json::Bounds::default()) {
                prop_assert_eq!(json::skim(bytes), Some(scan.root()));
            }
            let _ = Envelope::read(bytes);
            let _ = json::skim(bytes).map(|root| (handle::of_server(root), handle::of_request(root)));
        }
    }
}

/// Texts that are JSON more often than not.
fn nearly_json() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "1", "null", " ", "\"\\\"\"", "\""]),
        0..16,
    )
    .prop_map(|parts| parts.concat())
}
