//! A human's yes: asked for, used once, for exactly one call.

use crate::support::{Answer, World};
use http::Request;
use http_body_util::BodyExt;
use portunus_core::dialer::Body;
use portunus_core::document::{Approval, ApprovalState, Ruling, Through, User};
use portunus_core::limits;
use portunus_core::record::Record;
use portunus_core::store::{self, Batch, Store};
use portunus_core::time::Clock;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_approval_is_good_for_one_call_with_the_same_arguments() {
    let world = World::new().await;
    let asked = world.call("change", json!({ "careful": 1 })).await;
    assert_eq!(asked.code(), -32011);
    let id = asked.body["error"]["data"]["approval"].as_str().unwrap().to_owned();
    let again = world.call("change", json!({ "careful": 1 })).await;
    assert_eq!(again.body["error"]["data"]["approval"], id.as_str(), "asking twice asks for one yes");

    world.approve(&id).await;
    let other = world.call("change", json!({ "careful": 2 })).await;
    assert_eq!(other.code(), -32011, "other arguments need their own yes");
    assert_eq!(world.sent(), 0);
    let calls = (0..8).map(|_| world.call("change", json!({ "careful": 1 })));
    let answers = futures_util::future::join_all(calls).await;
    let admitted = answers.iter().filter(|answer| answer.body["result"].is_object()).count();
    assert_eq!((admitted, world.sent()), (1, 1), "of many at once, one uses it");
}

#[tokio::test]
async fn an_approval_is_good_for_what_goes_with_the_arguments_too() {
    let world = World::new().await;
    let call = |more: Value| {
        let mut params = json!({ "name": "change", "arguments": { "careful": 1 } });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
    };
    let steered = json!({ "acme/force": true });
    let others = [
        json!({}),
        json!({ "_meta": { "acme/force": false } }),
        json!({ "_meta": { "acme/force": true, "claudecode/toolUseId": { "any": "thing" } } }),
        json!({ "_meta": steered, "task": { "ttl": 60000 } }),
        json!({ "_meta": steered, "extra": 1 }),
        json!({ "_meta": { "acme/force": true, "baggage": "tenant=prod" } }),
    ];
    let asked = world.message(call(json!({ "_meta": steered }))).await;
    let id = asked.body["error"]["data"]["approval"].as_str().unwrap_or_else(|| panic!("{}", asked.body));
    world.approve(id).await;
    assert_eq!(world.approvals().await[0].besides.as_deref(), Some(r#"{"_meta":{"acme/force":true}}"#));
    for other in others {
        assert_eq!(world.message(call(other.clone())).await.code(), -32011, "{other}");
    }
    assert_eq!((world.sent(), world.approvals().await.len()), (0, 7));
    // What is another in each request does not matter.
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let meta = json!({ "progressToken": 7, "traceparent": parent, "tracestate": "a=b",
        "claudecode/toolUseId": "toolu_01", "vscode.requestId": "bf766dd8-b330", "acme/force": true });
    let again = world.message(call(json!({ "_meta": meta }))).await;
    assert!(again.body["result"].is_object(), "{}", again.body);
}

#[tokio::test]
async fn a_user_can_have_only_so_many_calls_waiting() {
    let world = World::new().await;
    for n in 0..limits::APPROVALS_PER_USER {
        let asked = world.call("change", json!({ "careful": n })).await;
        assert_eq!(asked.code(), -32011);
        if n == 0 {
            world.deny(asked.body["error"]["data"]["approval"].as_str().unwrap(), "no").await;
        }
    }
    // One of them was denied, which makes no room: asking and being denied could go on without end.
    assert_eq!(world.call("change", json!({ "careful": "one more" })).await.code(), -32010);
    world.clock.advance(limits::APPROVAL_TTL);
    assert_eq!(
        world.call("change", json!({ "careful": "later" })).await.status,
        401,
        "the token has expired too"
    );
}

#[tokio::test]
async fn what_a_call_that_waited_may_see_is_decided_after_the_wait() {
    for policy in [
        r#"forbid (principal, action == Action::"disclose", resource == DataClass::"sales/email") when { context.labels.contains("seen") };"#,
        r#"forbid (principal, action == Action::"release", resource) when { context.labels.contains("seen") && context.bytes > 10 };"#,
    ] {
        let world = World::with_policy(policy).await;
        world.upstream_does(|_| {
            Ok(crate::support::json_answer(&json!({ "jsonrpc": "2.0", "id": 7, "result": {
                "resultType": "complete", "content": [{ "type": "text", "text": "ada@example.org" }] } })))
        });
        let arguments = json!({ "careful": 1 });
        for labelled in [false, true] {
            let asked = modern(&world, "change", arguments.clone(), json!({}), true).await;
            let id =
                asked.body["result"]["inputRequests"]["portunus.approval"]["params"]["url"].as_str().unwrap();
            let id = id.rsplit('/').next().unwrap();
            let more = went(&asked.body["result"]["requestState"], "accept");
            let (answer, ()) = tokio::join!(modern(&world, "change", arguments.clone(), more, true), async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if labelled {
                    world.label(&[("seen".to_owned(), Duration::from_secs(60))].into()).await;
                }
                world.approve(id).await;
            });
            assert_eq!(answer.body.to_string().contains("ada@example.org"), !labelled, "{}", answer.body);
        }
    }
}

/// The reason for asking may be gone by the time of the answer.
#[tokio::test]
async fn a_no_is_a_no_even_where_nobody_need_be_asked_any_more() {
    let asks = r#"@approvable("owner") @reason("After that, ask.")
        forbid (principal, action == Action::"sales/look", resource) when { context.labels.contains("seen") } unless { context has approval };"#;
    let world = World::with_policy(asks).await;
    world.token_lasts(Duration::from_secs(86_400)).await;
    world.label(&[("seen".to_owned(), Duration::from_secs(60))].into()).await;
    let asked = modern(&world, "look", json!({}), json!({}), true).await;
    let id = world.approvals().await[0].id.to_string();
    let more = went(&asked.body["result"]["requestState"], "accept");
    let (answer, ()) = tokio::join!(modern(&world, "look", json!({}), more, true), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.clock.advance(Duration::from_secs(62));
        world.deny(&id, "not today").await;
    });
    assert_eq!(answer.code(), -32010, "{}", answer.body);
    assert!(answer.body.to_string().contains("not today"), "{}", answer.body);
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn questions_that_ran_out_count_until_they_are_forgotten() {
    let world = World::new().await;
    world.token_lasts(Duration::from_secs(86_400)).await;
    let rounds = limits::APPROVALS_KEPT_PER_USER / limits::APPROVALS_PER_USER;
    for round in 0..=rounds {
        for n in 0..limits::APPROVALS_PER_USER {
            let code = world.call("change", json!({ "careful": [round, n] })).await.code();
            let expected = if round < rounds { -32011 } else { -32010 };
            assert_eq!(code, expected, "{round} {n}");
        }
        world.clock.advance(limits::APPROVAL_TTL);
    }
}

#[tokio::test]
async fn a_call_that_is_made_many_times_at_once_is_asked_about_once() {
    let world = World::new().await;
    let calls = (0..8).map(|_| world.call("change", json!({ "careful": 1 })));
    let answers = futures_util::future::join_all(calls).await;
    let ids: std::collections::BTreeSet<String> =
        answers.iter().map(|answer| answer.body["error"]["data"]["approval"].to_string()).collect();
    assert_eq!((ids.len(), world.approvals().await.len()), (1, 1), "{ids:?}");
    let asked = world.ledger.events().into_iter().filter(|event| event.action == "approval.asked");
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].by.as_str(), asked[0].detail["approver"].as_str()), ("ana", "owner"));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_asked() {
    let world = World::new().await;
    world.ledger.set_failing(true);
    assert_eq!(world.call("change", json!({ "careful": 1 })).await.status, 503);
    assert!(world.approvals().await.is_empty());
}

#[tokio::test]
async fn arguments_that_nobody_could_read_are_not_asked_about() {
    let world = World::new().await;
    let long = "x".repeat(limits::APPROVAL_ARGUMENTS_BYTES);
    let refused = world.call("change", json!({ "careful": long })).await;
    assert_eq!(refused.code(), -32010);
    assert!(refused.body.to_string().contains("too long for a person to judge"), "{}", refused.body);
    assert!(world.approvals().await.is_empty());
}

#[tokio::test]
async fn the_client_is_told_where_to_ask_and_why_it_was_denied() {
    let world = World::new().await;
    let asked = world.call("change", json!({ "careful": 1 })).await;
    let data = &asked.body["error"]["data"];
    let id = data["approval"].as_str().unwrap();
    assert_eq!(data["url"], format!("https://edge.test/approvals/{id}"));
    assert_eq!((&data["approver"], &data["reasons"][0]), (&json!("owner"), &json!("Ask first.")));
    assert!(asked.body["error"]["message"].as_str().unwrap().contains(data["url"].as_str().unwrap()));
    world.deny(id, "not before the audit").await;
    let denied = world.call("change", json!({ "careful": 1 })).await;
    assert_eq!(denied.code(), -32010);
    assert!(denied.body.to_string().contains("denied this call: not before the audit"), "{}", denied.body);
}

#[tokio::test]
async fn a_yes_of_the_asker_or_of_a_disabled_account_counts_for_nothing() {
    let world = World::new().await;
    let id = ask(&world).await;
    let found = store::load::<Approval>(&*world.store, &id).await.unwrap().unwrap();
    let own =
        Approval { state: ApprovalState::Allowed, decided_by: Some("ana".into()), ..found.value.clone() };
    world.store.commit(Batch::new().upsert(&own)).await.unwrap();
    assert_eq!(world.call("change", json!({ "careful": 1 })).await.status, 503);

    let ana = store::load::<User>(&*world.store, "ana").await.unwrap().unwrap().value;
    let bo = User { name: "bo".parse().unwrap(), disabled_at: Some(world.clock.now()), ..ana };
    let ruling = Ruling {
        by: "bo".into(),
        allow: true,
        through: Through::Page,
        as_administrator: false,
        reason: None,
        at: world.clock.now(),
    };
    let by_bo = Approval { decided_by: Some("bo".into()), rulings: vec![ruling], ..own };
    world.store.commit(Batch::new().upsert(&bo).upsert(&by_bo)).await.unwrap();
    assert_eq!(world.call("change", json!({ "careful": 1 })).await.code(), -32011, "it is asked anew");
    assert_eq!(world.sent(), 0);
}

async fn ask(world: &World) -> String {
    let asked = world.call("change", json!({ "careful": 1 })).await;
    asked.body["error"]["data"]["approval"].as_str().unwrap_or_else(|| panic!("{}", asked.body)).to_owned()
}

// --- the modern era's way to wait ---

/// A modern call; `more` goes into its parameters, `url` says that the client can send its user to a page.
async fn modern(world: &World, tool: &str, arguments: Value, more: Value, url: bool) -> Answer {
    let mut request = world.request("POST", "/sales/mcp");
    let headers = request.headers_mut().unwrap();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", "tools/call".parse().unwrap());
    headers.insert("mcp-name", tool.parse().unwrap());
    let elicitation = if url { json!({ "form": {}, "url": {} }) } else { json!({}) };
    let mut params = json!({ "name": tool, "arguments": arguments, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": elicitation },
    } });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string();
    Answer::read(world.handle(request.body(body.into_bytes().into()).unwrap()).await).await
}

fn went(state: &Value, action: &str) -> Value {
    json!({ "requestState": state, "inputResponses": { "portunus.approval": { "action": action } } })
}

#[tokio::test]
async fn a_modern_client_is_sent_to_the_page_and_goes_on_with_what_it_asked_first() {
    let world = World::new().await;
    let arguments = json!({ "careful": 1, "requestState": "mine" });
    let asked = modern(&world, "change", arguments.clone(), json!({}), true).await;
    let result = &asked.body["result"];
    assert_eq!(result["resultType"], "input_required", "{}", asked.body);
    let question = &result["inputRequests"]["portunus.approval"];
    assert_eq!(
        (&question["method"], &question["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let id = world.approvals().await[0].id.to_string();
    assert_eq!(question["params"]["url"], format!("https://edge.test/approvals/{id}"));
    let state = &result["requestState"];

    // Nobody has decided: the call waits a while, then comes back again.
    let early = modern(&world, "change", arguments.clone(), went(state, "accept"), true).await;
    assert_eq!(early.body["result"]["resultType"], "input_required", "{}", early.body);
    assert_eq!(world.sent(), 0);

    // Somebody decides while it waits.
    let coming = modern(&world, "change", arguments.clone(), went(state, "accept"), true);
    let (answer, ()) = tokio::join!(coming, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.upstream_does(|request| {
            Ok(crate::support::json_answer(&json!({ "jsonrpc": "2.0", "id": 7,
            "result": { "resultType": "complete", "content": [], "structuredContent": body_of(request) } })))
        });
        world.approve(&id).await;
    });
    let sent = &answer.body["result"]["structuredContent"];
    assert_eq!(sent["params"]["arguments"], arguments, "{}", answer.body);
    assert!(sent["params"].get("requestState").is_none() && sent["params"].get("inputResponses").is_none());
    assert_eq!(world.sent(), 1);
    let again = modern(&world, "change", arguments, went(state, "accept"), true).await;
    assert_eq!(again.body["result"]["resultType"], "input_required", "it was good once: {}", again.body);
    assert_eq!(world.sent(), 1);
}

#[tokio::test]
async fn a_yes_is_not_used_up_by_a_call_that_something_else_refuses() {
    let quota = r#"@reason("Enough for now.") forbid (principal, action in [Action::"sales/look", Action::"sales/change"], resource) when { context.counters.user.calls_per_minute >= 1 };
        @reason("Not after that.") forbid (principal, action == Action::"sales/change", resource) when { context.labels.contains("seen") };"#;
    let world = World::with_policy(quota).await;
    world.token_lasts(Duration::from_secs(86_400)).await;
    let arguments = json!({ "careful": 1 });
    let asked = modern(&world, "change", arguments.clone(), json!({}), true).await;
    let id = world.approvals().await[0].id.to_string();
    let state = |of: &Answer| of.body["result"]["requestState"].clone();

    // While it waits for the yes, another call takes the quota; then, a label comes on.
    let caller = [("seen".to_owned(), Duration::from_secs(60))].into();
    for (why, code) in [("Enough for now.", -32010), ("Not after that.", -32010)] {
        let coming = modern(&world, "change", arguments.clone(), went(&state(&asked), "accept"), true);
        let (answer, ()) = tokio::join!(coming, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if why.starts_with("Enough") {
                assert!(world.call("look", json!({})).await.body["result"].is_object());
            } else {
                world.label(&caller).await;
            }
            world.approve(&id).await;
        });
        assert_eq!(answer.code(), code, "{}", answer.body);
        assert!(answer.body.to_string().contains(why), "{}", answer.body);
        assert_eq!(world.approvals().await[0].state, ApprovalState::Allowed);
        world.pending_again(&id).await;
        world.clock.advance(Duration::from_secs(62));
    }
    assert_eq!(world.sent(), 1);
    world.approve(&id).await;
    let calls = (0..4).map(|_| modern(&world, "change", arguments.clone(), json!({}), true));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter(|answer| answer.code() == -32010).count();
    assert_eq!((refused, world.sent()), (3, 2), "now it is good for one, and the quota too");
}

fn body_of(request: Request<Body>) -> Value {
    let body = futures_util::FutureExt::now_or_never(request.into_body().collect()).unwrap().unwrap();
    serde_json::from_slice(&body.to_bytes()).unwrap()
}

#[tokio::test]
async fn the_state_of_a_waiting_call_is_good_for_that_call_alone() {
    let world = World::new().await;
    let asked = modern(&world, "change", json!({ "careful": 1 }), json!({}), true).await;
    let state = asked.body["result"]["requestState"].clone();
    world.approve(world.approvals().await[0].id.as_str()).await;
    let bob = World::new().await;
    bob.rename_user("bob").await;
    for (world, tool, arguments, state) in [
        (&world, "change", json!({ "careful": 2 }), state.clone()),
        (&world, "change", json!({ "careful": 1, "x": 1 }), state.clone()),
        (&world, "look", json!({ "careful": 1 }), state.clone()),
        (&bob, "change", json!({ "careful": 1 }), state.clone()),
        (&world, "change", json!({ "careful": 1 }), json!(format!("1{}", state.as_str().unwrap()))),
        (&world, "change", json!({ "careful": 1 }), json!("000001800000900")),
    ] {
        let refused = modern(world, tool, arguments, went(&state, "accept"), true).await;
        assert_eq!(refused.code(), -32602, "{}", refused.body);
    }
    assert_eq!(world.sent() + bob.sent(), 0);
    // After a change of policy the yes is good for nothing, and somebody is asked anew.
    world.reload("// changed", false);
    let anew = modern(&world, "change", json!({ "careful": 1 }), went(&state, "accept"), true).await;
    assert_eq!(anew.body["result"]["resultType"], "input_required", "{}", anew.body);
    assert_eq!((world.sent(), world.approvals().await.len()), (0, 2));
    // Nor is it after its time.
    world.token_lasts(Duration::from_secs(86_400)).await;
    world.clock.advance(limits::APPROVAL_TTL + Duration::from_secs(1));
    let late = modern(&world, "change", json!({ "careful": 1 }), went(&state, "accept"), true).await;
    assert_eq!(late.code(), -32602, "{}", late.body);
}

#[tokio::test]
async fn an_upstreams_own_state_is_not_taken_for_ours_and_cannot_slip_past_an_approval() {
    let world = World::new().await;
    // A server that hands out the text of a state of ours: it is bound to another purpose.
    world.upstream_does(|_| {
        Ok(crate::support::json_answer(&json!({ "jsonrpc": "2.0", "id": 7, "result":
            { "resultType": "input_required", "inputRequests": {}, "requestState": "001800000900" } })))
    });
    let given = modern(&world, "change", json!({ "x": 1 }), json!({}), true).await;
    let state = given.body["result"]["requestState"].clone();
    assert!(state.as_str().unwrap().starts_with("001800000900"), "{}", given.body);
    let forbid = r#"@approvable("owner") @reason("Now too.") forbid (principal, action == Action::"sales/change", resource) unless { context has approval };"#;
    world.reload(forbid, false);
    let refused = modern(&world, "change", json!({ "x": 1 }), went(&state, "accept"), true).await;
    assert_eq!(refused.code(), -32010, "{}", refused.body);
    assert!(refused.body.to_string().contains("cannot carry answers"), "{}", refused.body);
    assert!(world.approvals().await.is_empty());
}

#[tokio::test]
async fn a_client_that_cannot_or_will_not_send_its_user_anywhere_is_told_to_ask_again() {
    let world = World::new().await;
    let cannot = modern(&world, "change", json!({ "careful": 1 }), json!({}), false).await;
    assert_eq!(cannot.code(), -32011, "{}", cannot.body);
    let asked = modern(&world, "change", json!({ "careful": 1 }), json!({}), true).await;
    let state = &asked.body["result"]["requestState"];
    for action in ["decline", "cancel"] {
        let will_not = modern(&world, "change", json!({ "careful": 1 }), went(state, action), true).await;
        assert_eq!(will_not.code(), -32011, "{}", will_not.body);
    }
    // Of another client, as far as its capabilities tell.
    assert_eq!(world.approvals().await.len(), 2);
}

// --- the legacy era's way to wait ---

/// The session that a server gives a client with these capabilities.
async fn session(world: &World, capabilities: Value) -> String {
    world.upstream_does(|_| {
        let mut answer = crate::support::json_answer(&json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        answer.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
        Ok(answer)
    });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {} });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let answer = world.send("/sales/mcp", &message).await;
    answer.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

async fn legacy(world: &World, session: &str, version: &str) -> Answer {
    let params = json!({ "name": "change", "arguments": { "careful": 1 } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let mut request = world.request("POST", "/sales/mcp").header("mcp-session-id", session);
    request.headers_mut().unwrap().insert("mcp-protocol-version", version.parse().unwrap());
    Answer::read(world.handle(request.body(body.into_bytes().into()).unwrap()).await).await
}

#[tokio::test]
async fn a_legacy_client_with_url_elicitation_gets_the_protocols_own_error() {
    let world = World::new().await;
    let able = session(&world, json!({ "elicitation": { "url": {} } })).await;
    let told = legacy(&world, &able, "2025-11-25").await;
    assert_eq!(told.code(), -32042, "{}", told.body);
    let elicitation = &told.body["error"]["data"]["elicitations"][0];
    let id = world.approvals().await[0].id.to_string();
    assert_eq!((&elicitation["mode"], &elicitation["elicitationId"]), (&json!("url"), &json!(id)));
    assert_eq!(elicitation["url"], format!("https://edge.test/approvals/{id}"));
    assert!(elicitation["message"].as_str().unwrap().contains("Ask first."));
    for unable in [json!({}), json!({ "elicitation": {} }), json!({ "elicitation": { "form": {} } })] {
        let session = session(&world, unable).await;
        assert_eq!(legacy(&world, &session, "2025-11-25").await.code(), -32011);
    }
    assert_eq!(legacy(&world, &able, "2025-06-18").await.code(), -32011, "this version has no such error");
    world.approve(&id).await;
    assert!(legacy(&world, &able, "2025-11-25").await.body["result"].is_object());
    // The proof of one kind of session is none of the other.
    let bob = World::new().await;
    bob.rename_user("bob").await;
    assert_eq!(legacy(&bob, &able, "2025-11-25").await.status, 404);
}

// --- what a write would change ---

const WRITES: &str = r#"permit (principal, action == Action::"sales/write_query", resource);
@approvable("two of group dba") @reason("Ask.") forbid (principal, action == Action::"sales/write_query", resource) unless { context has approval };"#;
const DELETE: &str = "DELETE FROM orders WHERE id < 4";

#[tokio::test]
async fn a_write_on_the_built_in_server_is_tried_for_the_approvers_eyes() {
    let world = World::of_builtin_sql(WRITES).await;
    let (sent, seen) = std::sync::mpsc::channel();
    world.upstream_does(move |request| {
        let claims = claims(&request);
        sent.send((claims, body_of(request))).unwrap();
        Ok(crate::support::json_answer(&json!({ "jsonrpc": "2.0", "id": 1, "result": {
            "resultType": "complete", "content": [], "structuredContent": { "trial": true, "rows_changed": 3 } } })))
    });
    let asked = world.call("write_query", json!({ "sql": DELETE })).await;
    assert_eq!(asked.code(), -32011, "{}", asked.body);
    assert!(!asked.body.to_string().contains("rows"), "the caller learns nothing of it: {}", asked.body);
    let (claims, body) = seen.try_recv().unwrap();
    assert_eq!((&claims["trial"], &claims["tool"]), (&json!(true), &json!("write_query.trial")));
    assert_eq!(body["params"]["name"], "write_query.trial", "no server runs it by mistake");
    assert_eq!(body["params"]["arguments"], json!({ "sql": DELETE }));
    let approval = &world.approvals().await[0];
    assert_eq!(approval.estimate, Some(portunus_core::document::Estimate::RowsChanged(3)));
    assert_eq!(approval.approver, "two of group dba");
    let sql = approval.sql.as_ref().unwrap();
    assert!(sql.complete && sql.kinds == ["delete"] && sql.writes == ["orders"], "{sql:?}");
    let intents = world.ledger.records().into_iter().filter_map(|record| match record {
        Record::Intent(intent) => Some((intent.method, intent.target)),
        _ => None,
    });
    let intents: Vec<_> = intents.collect();
    assert_eq!(intents[0], ("portunus/estimate".into(), Some("write_query".into())), "{intents:?}");
    assert_eq!(world.ends(), ["Done"]);

    // Asked again, it is not tried again; approved, it goes as what it is.
    world.call("write_query", json!({ "sql": DELETE })).await;
    assert!(seen.try_recv().is_err());
    world.approve(approval.id.as_str()).await;
    world.call("write_query", json!({ "sql": DELETE })).await;
    let (claims, body) = seen.try_recv().unwrap();
    assert!(claims.get("trial").is_none() && claims["tool"] == "write_query", "{claims}");
    assert_eq!(body["params"]["name"], "write_query");
}

fn claims(request: &Request<Body>) -> Value {
    let assertion = request.headers()["portunus-assertion"].to_str().unwrap();
    let payload = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_is_tried_elsewhere_or_without_a_permit() {
    let forbidden = format!("{WRITES} forbid (principal, action == Action::\"estimate\", resource);");
    for (world, estimated) in
        [(World::with_policy(WRITES).await, false), (World::of_builtin_sql(&forbidden).await, true)]
    {
        assert_eq!(world.call("write_query", json!({ "sql": DELETE })).await.code(), -32011);
        assert_eq!(world.sent(), 0);
        assert_eq!(world.approvals().await[0].estimate.is_some(), estimated);
    }
    let world = World::of_builtin_sql(WRITES).await;
    world.call("change", json!({ "careful": 1, "sql": DELETE })).await;
    assert_eq!(world.sent(), 0, "only the tool that writes rows is tried");
}

#[tokio::test]
async fn a_trial_that_fails_leaves_the_approval_without_an_estimate() {
    let world = World::of_builtin_sql(WRITES).await;
    world.upstream_does(|_| Err(portunus_core::dialer::DialError::Unreachable("gone".into())));
    assert_eq!(world.call("write_query", json!({ "sql": DELETE })).await.code(), -32011);
    let estimate = world.approvals().await[0].estimate.clone();
    let Some(portunus_core::document::Estimate::Unknown(why)) = estimate else { panic!("{estimate:?}") };
    assert_eq!(why, "the trial run did not come about");
    assert_eq!(world.ends(), ["Unreachable"]);
}
