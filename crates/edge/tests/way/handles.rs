//! Handles belong to the caller, and a `requestState` also to the call, that they were given to.

use crate::support::{Answer, World, events, json_answer};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use portunus_core::dialer::Body;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

type Sent = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Answers every call with this result, as text so that no byte of it is anybody else's; keeps what it was sent.
fn answering(world: &World, result: &'static str) -> Sent {
    let sent = Sent::default();
    let kept = sent.clone();
    world.upstream_does(move |request| {
        let (head, body) = request.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
        let id = serde_json::from_slice::<Value>(&body).map_or(Value::Null, |message| message["id"].clone());
        kept.lock().unwrap().push((head.headers, String::from_utf8(body.to_vec()).unwrap()));
        Ok(json_text(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
    });
    sent
}

fn json_text(text: String) -> http::Response<Body> {
    let answer = http::Response::builder().header("content-type", "application/json");
    answer.body(portunus_core::dialer::full(text.into())).unwrap()
}

fn last(sent: &Sent) -> (HeaderMap, String) {
    sent.lock().unwrap().last().unwrap().clone()
}

async fn ask(world: &World, version: &str, method: &str, mut params: Value) -> Answer {
    let mut request = world.request("POST", "/sales/mcp");
    let headers = request.headers_mut().unwrap();
    headers.insert("mcp-protocol-version", version.parse().unwrap());
    if version == MODERN {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = version.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        headers.insert("mcp-method", method.parse().unwrap());
        if let Some(name) = params["taskId"].as_str().or(params["name"].as_str()) {
            headers.insert("mcp-name", name.parse().unwrap());
        }
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    Answer::read(world.handle(request.body(body.into_bytes().into()).unwrap()).await).await
}

/// What a call gets that became a task; its id needs escapes.
fn result_of_a_task(version: &str) -> &'static str {
    match version {
        MODERN => r#"{"resultType":"task","taskId":"t \"1\"","ttlMs":9007199254740993}"#,
        _ => r#"{"task":{"taskId":"t \"1\"","ttl":9007199254740993}, "ID":1, "id" : 2}"#,
    }
}

async fn bob() -> World {
    let world = World::new().await;
    world.rename_user("bob").await;
    world
}

#[tokio::test]
async fn a_task_belongs_to_the_caller_it_was_made_for() {
    let (ana, bob) = (World::new().await, World::new().await);
    bob.rename_user("bob").await;
    for version in [LEGACY, MODERN] {
        let sent = answering(&ana, result_of_a_task(version));
        let made =
            ask(&ana, version, "tools/call", json!({ "name": "look", "arguments": {}, "task": {} })).await;
        let result = &made.body["result"];
        let bound = result["taskId"].as_str().or(result["task"]["taskId"].as_str()).unwrap().to_owned();
        assert!(bound.starts_with("t \"1\".") && bound.len() > 25, "{bound}");

        let got = ask(&ana, version, "tasks/get", json!({ "taskId": bound, "x-own": 1 })).await;
        assert!(got.body["result"].is_object(), "{}", got.body);
        let (headers, body) = last(&sent);
        assert!(body.contains(r#""taskId":"t \"1\"""#) && body.contains(r#""x-own":1"#), "{body}");
        if version == MODERN {
            assert_eq!(headers["mcp-name"], "t \"1\"");
        }
        // A server that never gave out a task is taken for one without tasks.
        let early = ask(&bob, version, "tasks/get", json!({ "taskId": bound })).await;
        assert_eq!(early.code(), if version == LEGACY { -32601 } else { -32602 }, "{}", early.body);
        answering(&bob, result_of_a_task(version));
        ask(&bob, version, "tools/call", json!({ "name": "look", "arguments": {}, "task": {} })).await;
        let sent = answering(&bob, "{}");
        for id in [bound.as_str(), "t \"1\"", "t \"1\".AAAAAAAAAAAAAAAAAAAAAA"] {
            for method in ["tasks/get", "tasks/cancel"] {
                let refused = ask(&bob, version, method, json!({ "taskId": id })).await;
                assert_eq!(refused.code(), -32602, "{method} {id}: {}", refused.body);
                assert_eq!(refused.body["id"], 7);
            }
        }
        assert!(sent.lock().unwrap().is_empty(), "nothing of it goes upstream");
    }
}

#[tokio::test]
async fn only_the_handle_changes_and_every_other_byte_stays() {
    let world = World::new().await;
    let result = r#"{ "taskId" : "t1",  "big":12345678901234567890, "A":1,"a":2, "x":"\u0041",
        "_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t1"} } }"#;
    answering(&world, result);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let answer = world.send("/sales/mcp", &body).await;
    let length = answer.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    let whole = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(length, whole.len());
    let text = String::from_utf8(whole.to_vec()).unwrap();
    let bound = text.split("\"t1").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(text.replace(bound, ""), format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
}

#[tokio::test]
async fn a_task_is_not_reached_by_another_place_or_spelling() {
    let bob = World::new().await;
    let sent = answering(&bob, "{}");
    let related = |task: Value| json!({ "io.modelcontextprotocol/related-task": task });
    for (version, method, params) in [
        (LEGACY, "tools/call", json!({ "name": "look", "_meta": related(json!({ "taskId": "t1" })) })),
        (LEGACY, "tools/call", json!({ "name": "look", "_meta": related(json!({ "TaskId": "t1" })) })),
        (LEGACY, "tasks/get", json!({ "TaskId": "t1" })),
        (MODERN, "subscriptions/listen", json!({ "notifications": { "taskIds": ["t1"] } })),
        (MODERN, "subscriptions/listen", json!({ "notifications": { "TaskIds": ["t1"] } })),
    ] {
        let refused = ask(&bob, version, method, params.clone()).await;
        assert!(refused.body["error"].is_object(), "{params}: {}", refused.body);
    }
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_lists_everybody_s_tasks() {
    let world = World::new().await;
    let refused = ask(&world, LEGACY, "tasks/list", json!({})).await;
    assert_eq!((refused.code(), world.sent()), (-32601, 0));
}

#[tokio::test]
async fn a_request_state_continues_one_call_of_one_caller_for_a_while() {
    let (ana, bob) = (World::new().await, bob().await);
    ana.token_lasts(Duration::from_secs(7200)).await;
    let sent = answering(&ana, r#"{"resultType":"input_required","requestState":"s.1"}"#);
    let call = |arguments: Value, state: Option<&str>| {
        let mut params = json!({ "name": "look", "arguments": arguments });
        if let Some(state) = state {
            params["requestState"] = state.into();
        }
        params
    };
    let eu = json!({ "region": "eu" });
    let first = ask(&ana, MODERN, "tools/call", call(eu.clone(), None)).await;
    let state = first.body["result"]["requestState"].as_str().unwrap().to_owned();
    assert!(state.starts_with("s.1"), "{state}");
    let again = ask(&ana, MODERN, "tools/call", call(eu.clone(), Some(&state))).await;
    assert!(again.body["result"].is_object(), "{}", again.body);
    assert!(last(&sent).1.contains(r#""requestState":"s.1""#));

    let before = sent.lock().unwrap().len();
    let tampered = format!("{state}x");
    let longer = state.replacen("s.1", "s.2", 1);
    let us = json!({ "region": "us" });
    for (arguments, state) in [(&eu, "s.1"), (&eu, &tampered), (&eu, &longer), (&us, &state)] {
        let refused = ask(&ana, MODERN, "tools/call", call(arguments.clone(), Some(state))).await;
        assert_eq!(refused.code(), -32602, "{arguments} {state}");
    }
    let mut other = call(eu.clone(), Some(&state));
    other["name"] = "change".into();
    assert_eq!(ask(&ana, MODERN, "tools/call", other).await.code(), -32602, "another tool");
    assert_eq!(ask(&bob, MODERN, "tools/call", call(eu.clone(), Some(&state))).await.code(), -32602, "bob");
    ana.clock.advance(Duration::from_secs(3601));
    assert_eq!(ask(&ana, MODERN, "tools/call", call(eu, Some(&state))).await.code(), -32602, "too late");
    assert_eq!((sent.lock().unwrap().len(), bob.sent()), (before, 0));
}

/// A stream that comes in small pieces, with big numbers and fields nobody knows.
const STREAM: &str = ": hello\n\nid: e1\nretry: 100\nx-own: kept\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\",\"params\":{\"taskId\":\"t1\",\"n\":12345678901234567890}}\n\nid: e2\ndata:\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

fn streaming(world: &World, text: &'static str) -> Arc<Mutex<Option<String>>> {
    let asked = Arc::new(Mutex::new(None));
    let kept = asked.clone();
    world.upstream_does(move |request| {
        let id = request.headers().get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
        *kept.lock().unwrap() = id;
        let (sender, answer) = events();
        for piece in text.as_bytes().chunks(5) {
            sender.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        Ok(answer)
    });
    asked
}

async fn text(answer: http::Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn an_event_stream_is_resumed_by_the_caller_it_was_given_to_only() {
    let (ana, bob) = (World::new().await, bob().await);
    streaming(&ana, STREAM);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let seen = text(ana.send("/sales/mcp", &call).await).await;
    let ids: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert!(ids.len() == 2 && ids[0].starts_with("e1.") && ids[1].starts_with("e2."), "{seen}");
    assert!(seen.contains(": hello\n\n") && seen.contains("12345678901234567890"), "{seen}");
    assert!(seen.contains("\"taskId\":\"t1."), "{seen}");
    assert!(seen.contains("data:\n\n"), "an event without a message is passed on: {seen}");

    let resume = async |world: &World, id: &str| {
        let request = world.request("GET", "/sales/mcp").header("last-event-id", id);
        world.handle(request.body(Full::default()).unwrap()).await
    };
    let asked = streaming(&ana, STREAM);
    assert_eq!(resume(&ana, ids[1]).await.status(), 200);
    assert_eq!(asked.lock().unwrap().as_deref(), Some("e2"));
    for id in [ids[1], "e2", "e2.", ".", "e2.AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(resume(&bob, id).await.status(), 400, "{id}");
    }
    assert_eq!(bob.sent(), 0);
}

#[tokio::test]
async fn an_answer_to_another_call_is_withheld() {
    let world = World::new().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let tools = r#"{"tools":[{"name":"destroy"}]}"#;
    for body in [
        format!(r#"{{"jsonrpc":"2.0","id":2,"result":{tools}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":"1","result":{tools}}}"#),
        format!(r#"{{"jsonrpc":"2.0","result":{tools}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"id":2,"result":{tools}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"Id":2,"result":{tools}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":2,"method":"ping","result":{tools}}}"#),
        format!(r#"[{{"jsonrpc":"2.0","id":2,"result":{tools}}}]"#),
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"destroy"}}"#.to_owned(),
    ] {
        let text_of = body.clone();
        world.upstream_does(move |_| Ok(json_text(text_of.clone())));
        let withheld = Answer::read(world.send("/sales/mcp", &call).await).await;
        assert_eq!(withheld.code(), -32014, "{body}");

        let piece = format!("data: {body}\n\n");
        world.upstream_does(move |_| {
            let (sender, answer) = events();
            sender.send(Ok(piece.clone().into())).unwrap();
            Ok(answer)
        });
        let cut = text(world.send("/sales/mcp", &call).await).await;
        assert!(!cut.contains("destroy") && cut.contains("-32013"), "{body}: {cut}");
    }
    // What JSON-RPC gives no id, and what is no answer at all.
    for fine in [
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "what?" } }),
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32000, "message": "no" } }),
    ] {
        world.upstream_does(move |_| Ok(json_answer(&fine)));
        assert!(matches!(Answer::read(world.send("/sales/mcp", &call).await).await.code(), -32700 | -32000));
    }
}
