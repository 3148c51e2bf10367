//! What comes back: filtered, bounded, cut and sealed.

use crate::support::{World, events, json_answer, result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portunus_core::dialer::{Body, DialError};
use serde_json::{Value, json};
use std::time::Duration;

fn tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" }, "x-own": 1 });
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [tool("look"), tool("destroy"), tool("change")] } })
}

pub(crate) async fn text(body: Body) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_list_is_filtered_in_json_in_events_and_on_a_resumed_stream() {
    let world = World::new().await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    world.upstream_does(|_| Ok(json_answer(&tools())));
    let whole = text(world.send("/sales/mcp", &list).await.into_body()).await;
    assert!(whole.contains("look") && whole.contains("x-own") && !whole.contains("destroy"), "{whole}");

    let streamed = |_| {
        let (sender, answer) = events();
        for piece in format!("id: 7\ndata: {}\n\n", tools()).into_bytes().chunks(9) {
            sender.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        Ok(answer)
    };
    world.upstream_does(streamed);
    let events = text(world.send("/sales/mcp", &list).await.into_body()).await;
    assert!(events.contains("look") && events.contains("id: 7") && !events.contains("destroy"), "{events}");

    let id = events.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let resume = world.request("GET", "/sales/mcp").header("last-event-id", id);
    let resumed = world.handle(resume.body(Full::default()).unwrap()).await;
    let resumed = text(resumed.into_body()).await;
    assert!(resumed.contains("look") && !resumed.contains("destroy"), "{resumed}");
}

#[tokio::test]
async fn an_upstream_s_challenge_is_withheld() {
    for status in [401, 403, 302] {
        let world = World::new().await;
        world.upstream_does(move |_| {
            let mut answer = result("come to my sign-in");
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            answer.headers_mut().insert(
                "www-authenticate",
                "Bearer resource_metadata=\"https://evil.test\"".parse().unwrap(),
            );
            answer.headers_mut().insert("location", "https://evil.test".parse().unwrap());
            Ok(answer)
        });
        let response =
            world.send("/sales/mcp", &json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
        assert_eq!(response.status(), 200, "the refusal is a JSON-RPC error");
        assert!(
            response.headers().get("www-authenticate").is_none()
                && response.headers().get("location").is_none()
        );
        let body = text(response.into_body()).await;
        assert!(body.contains("-32014") && !body.contains("sign-in"), "{body}");
        assert_eq!(world.ends(), ["Withheld"]);
    }
}

#[tokio::test]
async fn a_stream_is_cut_when_its_grant_is_revoked() {
    let world = World::new().await;
    let (sender, answer) = events();
    let answer = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let mut body = world.send("/sales/mcp", &message).await.into_body();
    sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    let waiting = tokio::spawn(async move { text(body).await });
    world.revoke().await;
    let last = waiting.await.unwrap();
    assert!(last.contains("revoked") && last.contains("\"id\":1"), "{last}");
    assert_eq!(world.ends(), ["Revoked"]);
    assert!(sender.is_closed(), "the upstream is let go");
}

#[tokio::test]
async fn a_stream_that_outlives_its_token_is_cut_when_its_grant_is_revoked() {
    let world = World::new().await;
    let (sender, answer) = events();
    let answer = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let mut body = world.send("/sales/mcp", &message).await.into_body();
    world.purge_token().await;
    sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n", "it goes on");
    assert_eq!(world.call("look", json!({})).await.status, 401, "nothing new is admitted");
    let waiting = tokio::spawn(async move { text(body).await });
    world.revoke().await;
    assert!(waiting.await.unwrap().contains("revoked"));
    assert_eq!(world.ends(), ["Revoked"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive_and_then_ended_with_the_reason() {
    let world = World::new().await;
    let (sender, answer) = events();
    let answer = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let body = text(world.send("/sales/mcp", &message).await.into_body()).await;
    drop(sender);
    assert!(body.contains(": keep-alive\n\n") && body.contains("paused for too long"), "{body}");
    assert_eq!(world.ends(), ["TimedOut"]);
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_after_its_last_whole_event() {
    for piece in ["data: 1\n\n", "data: hal"] {
        let world = World::new().await;
        world.upstream_does(move |_| {
            let (sender, answer) = events();
            sender.send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
            sender.send(Err("link died".into())).unwrap();
            Ok(answer)
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
        let whole = text(world.send("/sales/mcp", &message).await.into_body()).await;
        assert!(whole.contains("-32013") && !whole.contains("hal"), "{whole}");
        assert_eq!(world.ends(), ["Broken"]);
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_its_bound() {
    let world = World::new().await;
    world.upstream_does(|_| {
        let (sender, answer) = events();
        for _ in 0..12 {
            sender.send(Ok(Bytes::from(vec![b'x'; 1 << 20]))).unwrap();
        }
        Ok(answer)
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let cut = text(world.send("/sales/mcp", &message).await.into_body()).await;
    assert!(cut.starts_with("data: ") && cut.contains("longer than this server may give"), "{cut:.200}");
    assert_eq!(world.ends(), ["TooLarge"]);

    world.upstream_does(|_| {
        let (sender, answer) = events();
        for _ in 0..12 {
            sender.send(Ok(Bytes::from(vec![b' '; 1 << 20]))).unwrap();
        }
        let (mut head, body) = answer.into_parts();
        head.headers.insert("content-type", "application/json".parse().unwrap());
        Ok(http::Response::from_parts(head, body))
    });
    let whole = world.send("/sales/mcp", &message).await.into_body().collect().await;
    assert!(whole.is_err(), "what is no stream is aborted, so that it never looks complete");
    assert_eq!(world.ends(), ["TooLarge", "TooLarge"]);
}

#[tokio::test]
async fn failures_of_the_upstream_are_told_apart() {
    let cases = [
        (DialError::Unreachable("x".into()), -32012, "Unreachable"),
        (DialError::Busy, -32012, "Unreachable"),
        (DialError::Credential("it is revoked".into()), -32012, "Unreachable"),
        (DialError::Broken("secret cause".into()), -32013, "Broken"),
    ];
    for (error, code, end) in cases {
        let world = World::new().await;
        world.upstream_does(move |_| Err(error.clone()));
        let answer = world.call("look", json!({})).await;
        assert_eq!(answer.code(), code);
        assert!(!answer.body.to_string().contains("secret cause"));
        assert_eq!(world.ends(), [end]);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_recorded() {
    let world = World::new().await;
    let (sender, answer) = events();
    let answer = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    drop(world.send("/sales/mcp", &message).await);
    tokio::time::timeout(Duration::from_secs(5), sender.closed()).await.unwrap();
    assert_eq!(world.ends(), ["Cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_let_go() {
    let world = World::new().await;
    let (sender, answer) = events();
    let answer = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let unread = world.send("/sales/mcp", &message).await;
    for _ in 0..3 {
        sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
    }
    sender.closed().await;
    assert_eq!(world.ends(), ["Cancelled"]);
    assert!(unread.into_body().collect().await.is_err(), "what was cut does not look complete");
}

#[tokio::test]
async fn an_empty_answer_is_done_without_being_asked_for_its_end() {
    let world = World::new().await;
    world.upstream_does(|_| {
        let mut accepted = http::Response::new(portunus_core::dialer::empty());
        *accepted.status_mut() = http::StatusCode::ACCEPTED;
        Ok(accepted)
    });
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    drop(world.send("/sales/mcp", &note).await);
    assert_eq!(world.ends(), ["Done"]);
}
