//! Who and what is admitted.

use crate::support::{Answer, World, result};
use portunus_core::record::{Record, Verdict};
use portunus_core::server::Actor;
use serde_json::json;
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn a_permitted_call_is_recorded_sent_and_sealed() {
    let world = World::new().await;
    let answer = world.call("look", json!({ "at": "orders" })).await;
    assert_eq!(answer.body["result"]["content"][0]["text"], "done");
    assert_eq!((world.sent(), world.ends()), (1, vec!["Done".to_owned()]));
}

#[tokio::test]
async fn what_no_policy_permits_is_refused_recorded_and_not_sent() {
    let world = World::new().await;
    let answer = world.call("destroy", json!({})).await;
    assert_eq!(answer.code(), -32010);
    assert!(answer.body["error"]["data"]["decision"].is_string());
    assert_eq!(world.sent(), 0);
    let refused = |r: &Record| matches!(r, Record::Intent(i) if i.verdict == Verdict::Refuse);
    assert_eq!(world.ledger.records().iter().filter(|r| refused(r)).count(), 1);
}

#[tokio::test]
async fn without_a_record_a_change_is_not_sent_and_no_answer_is_released() {
    let world = World::new().await;
    world.ledger.set_failing(true);
    let change = world.call("change", json!({})).await;
    assert_eq!((change.status.as_u16(), world.sent()), (503, 0));
    let look = world.call("look", json!({})).await;
    assert_eq!(look.code(), -32013, "it was sent, so nothing else would be true");
    assert!(!look.body.to_string().contains("done"), "{}", look.body);
}

#[tokio::test]
async fn a_store_that_fails_admits_nobody_new() {
    let world = World::new().await;
    world.store.set_failing(true);
    assert_eq!(world.call("look", json!({})).await.status, 503);
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn nothing_is_admitted_after_a_revocation_returns() {
    let world = World::new().await;
    assert_eq!(world.call("look", json!({})).await.status, 200);
    world.revoke().await;
    assert_eq!(world.call("look", json!({})).await.status, 401);
    assert_eq!(world.sent(), 1);
}

#[tokio::test]
async fn a_token_in_the_query_is_refused() {
    let world = World::new().await;
    let target = format!("/sales/mcp?access_token={}", world.token);
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(world.send(&target, &message).await.status(), 401);
}

#[tokio::test]
async fn unknown_methods_and_notifications_are_refused() {
    let world = World::new().await;
    let call = world.message(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/destroy" })).await;
    assert_eq!(call.code(), -32601);
    let note = world.message(json!({ "jsonrpc": "2.0", "method": "notifications/destroy" })).await;
    assert_eq!(note.code(), -32601);
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn a_kind_of_actor_that_the_server_does_not_name_is_refused() {
    let world = World::build(vec![Actor::Workload], 8).await;
    let answer = world.call("look", json!({})).await;
    assert_eq!((answer.code(), world.sent()), (-32010, 0));
}

#[tokio::test]
async fn invented_tool_names_do_not_grow_the_metrics() {
    let world = World::new().await;
    for n in 0..50 {
        world.call(&format!("invented_{n}"), json!({})).await;
    }
    let text = world.edge.metrics.encode();
    assert!(text.contains("tool=\"other\"") && !text.contains("invented"), "{text}");
}

#[tokio::test]
async fn an_upstream_gets_our_headers_and_the_exact_bytes_only() {
    let world = World::new().await;
    let seen = Arc::new(Mutex::new(None));
    let note = seen.clone();
    world.upstream_does(move |request| {
        *note.lock().unwrap() = Some(request.headers().clone());
        Ok(result("done"))
    });
    assert_eq!(world.call("look", json!({})).await.status, 200);
    let headers = seen.lock().unwrap().take().unwrap();
    assert!(headers.get("authorization").is_none());
    assert!(headers.get("portunus-assertion").is_some() && headers.get("traceparent").is_some());
}

#[tokio::test]
async fn a_server_with_too_many_calls_in_flight_says_so() {
    let world = World::new().await;
    world.upstream_does(|_| {
        let (sender, answer) = crate::support::events();
        std::mem::forget(sender); // a stream that never ends
        Ok(answer)
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(world.send("/sales/mcp", &message).await);
    }
    let ninth = Answer::read(world.send("/sales/mcp", &message).await).await;
    assert_eq!(ninth.code(), -32012);
    drop(held);
    while world.edge.metrics.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    world.upstream_does(|_| Ok(result("done")));
    assert_eq!(world.call("look", json!({})).await.body["result"]["content"][0]["text"], "done");
}

#[tokio::test]
async fn a_user_cannot_fill_a_server_alone() {
    let world = World::build(vec![Actor::Assistant], 10_000).await;
    world.upstream_does(|_| {
        let (sender, answer) = crate::support::events();
        std::mem::forget(sender); // a stream that never ends
        Ok(answer)
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let mut held = Vec::new();
    for _ in 0..portunus_core::limits::CALLS_PER_USER {
        held.push(world.send("/sales/mcp", &message).await);
    }
    let more = Answer::read(world.send("/sales/mcp", &message).await).await;
    assert_eq!(more.code(), -32012);
}

#[tokio::test]
async fn a_session_belongs_to_the_caller_it_was_given_to() {
    let (mine, other) = (World::new().await, World::new().await);
    let given = |world: &World| {
        world.upstream_does(|request| {
            let mut answer = result("done");
            let asked = request.headers().get("mcp-session-id").cloned();
            answer.headers_mut().insert("mcp-session-id", asked.unwrap_or("upstream-1".parse().unwrap()));
            Ok(answer)
        });
    };
    given(&mine);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let ask = async |world: &World, session: Option<&str>| {
        let mut request = world.request("POST", "/sales/mcp");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        let answer = world.handle(request.body(ping.clone().into_bytes().into()).unwrap()).await;
        let session = answer.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        (answer.status().as_u16(), session)
    };
    let (_, session) = ask(&mine, None).await;
    let session = session.unwrap();
    assert!(session.starts_with("upstream-1."));
    // The upstream saw its own id again, so the same proof comes back.
    assert_eq!(ask(&mine, Some(&session)).await, (200, Some(session.clone())));
    other.rename_user("eve").await;
    for stolen in
        [session.as_str(), "upstream-1", "upstream-1.", &session.replace("upstream-1", "upstream-2")]
    {
        let before = other.sent();
        assert_eq!(ask(&other, Some(stolen)).await.0, 404, "{stolen}");
        assert_eq!(other.sent(), before);
    }
}
