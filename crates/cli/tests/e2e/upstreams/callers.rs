//! Several callers of one program: what belongs to one never reaches another.

use super::{Caller, SOON, Stage, plain};
use crate::app::until;
use serde_json::{Value, json};

const PER_CALLER: &str = ", per: caller";

fn progress(secret: &str) -> Value {
    let params = json!({ "name": "progress", "arguments": { "secret": secret, "steps": 5, "pause": 0.05 }, "_meta": { "progressToken": "mine" } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

#[tokio::test]
async fn ids_and_progress_of_callers_who_share_a_child_are_never_confused() {
    let stage = Stage::set(&plain(&[]), "").await;
    let (ana, bob) = (stage.session("ana", "one").await, stage.session("bob", "one").await);
    let bob_too = stage.session("bob", "two").await;
    // The same ids and the same tokens, at the same time.
    let (for_ana, for_bob, nothing) = (progress("of ana"), progress("of bob"), json!({}));
    let (of_ana, of_bob, also) =
        tokio::join!(ana.send(&for_ana), bob.send(&for_bob), bob_too.call("echo", &nothing));
    for (reply, own, foreign) in [(of_ana, "of ana", "of bob"), (of_bob, "of bob", "of ana")] {
        let text = reply.text();
        assert!(text.contains(own) && !text.contains(foreign), "{text}");
        assert_eq!(text.matches("\"progressToken\": \"mine\"").count(), 5, "{text}");
        assert_eq!(reply.json()["id"], 1, "{text}");
        let inside: Value =
            serde_json::from_str(reply.json()["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(inside["token"], inside["id"], "the child saw another token, one of ours");
    }
    assert_eq!(also.json()["id"], 1);
}

#[tokio::test]
async fn what_a_shared_child_says_to_the_client_reaches_nobody() {
    let stage = Stage::set(&plain(&[]), "").await;
    let (ana, bob) = (stage.session("ana", "one").await, stage.session("bob", "one").await);
    let mut listen = bob.request(&json!({}));
    *listen.method_mut() = http::Method::GET;
    *listen.body_mut() = bytes::Bytes::new();
    let mut stream = bob.stream(listen).await;
    stream.until("text/event-stream").await;
    let (waiting, secret) = (progress("of bob"), json!({ "secret": "s3cret" }));
    let (logged, asked, own) =
        tokio::join!(ana.call("log", &secret), ana.text("ask", &secret), bob.send(&waiting));
    assert!(!logged.text().contains("s3cret"), "nobody knows whose log it is: {}", logged.text());
    assert!(asked.contains("per: caller"), "the child is told why it cannot ask: {asked}");
    assert!(!own.text().contains("s3cret"), "{}", own.text());
    let level =
        json!({ "jsonrpc": "2.0", "id": 3, "method": "logging/setLevel", "params": { "level": "debug" } });
    assert_eq!(bob.send(&level).await.error_code(), Some(-32601), "a log level would be everybody's");
    // The stream ends with the child; all that was on it is known then.
    ana.call("crash", &json!({})).await;
    let end = stream.end().await;
    assert!(!end.contains("s3cret"), "{end}");
}

#[tokio::test]
async fn each_caller_has_a_process_of_their_own_where_the_configuration_says_so() {
    let stage = Stage::set(&plain(&[]), PER_CALLER).await;
    let pid =
        async |user: &str, client: &str| stage.session(user, client).await.text("pid", &json!({})).await;
    let (ana, again) = (pid("ana", "one").await, pid("ana", "one").await);
    assert_eq!(ana, again, "two sessions of one caller share it");
    let others = [pid("bob", "one").await, pid("ana", "two").await];
    assert!(!others.contains(&ana) && others[0] != others[1], "{ana} {others:?}");
    let modern = async |user: &str| stage.caller(user, "one").modern("pid", &json!({})).await.text();
    assert_ne!(modern("ana").await, modern("bob").await);

    let mut bold = stage.caller("ana", "three");
    let mut own = Vec::new();
    for number in 0..6 {
        bold.begin(&json!({ "experimental": { "n": number } })).await;
        own.push(bold.clone());
    }
    let gone = own[0].call("pid", &json!({})).await;
    assert_eq!(gone.status, 404, "who wants ever more processes loses the idle ones, with their sessions");
    assert_eq!(own[5].call("pid", &json!({})).await.status, 200);
}

#[tokio::test]
async fn a_child_of_one_caller_asks_that_caller_and_takes_an_answer_once() {
    let stage = Stage::set(&plain(&[]), PER_CALLER).await;
    let mut ana = stage.caller("ana", "one");
    let begun = ana.begin(&json!({ "sampling": {} })).await.json();
    assert_eq!(
        begun["result"]["heard"]["capabilities"],
        json!({ "sampling": {} }),
        "its handshake is the client's"
    );
    let bob = stage.session("bob", "one").await;
    let params = json!({ "name": "ask", "arguments": { "secret": "for ana" } });
    let mut stream = ana
        .stream(ana.request(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })))
        .await;
    let asked = stream.until("for ana").await;
    let id = asked.split("\"id\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "said": "hello" } });
    assert_eq!(bob.send(&answer).await.status, 400, "nobody else was asked");
    assert_eq!(ana.send(&answer).await.status, 202);
    assert_eq!(ana.send(&answer).await.status, 400, "a question is answered once");
    stream.until("hello").await;
}

#[tokio::test]
async fn closing_a_modern_stream_cancels_and_losing_a_legacy_one_does_not() {
    let stage = Stage::set(&plain(&[]), "").await;
    let ana = stage.session("ana", "one").await;
    let slow = json!({ "seconds": 3 });
    assert_eq!(ana.modern("echo", &json!({})).await.status, 200);
    let dropped = ana.stream(ana.modern_request("slow", &slow)).await;
    let heard = async |caller: &Caller| caller.modern("cancelled", &json!({})).await.text();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    drop(dropped);
    let cancelled = || async {
        let list = heard(&ana).await;
        (list.contains("\"[") && !list.contains("\"[]\"")).then_some(())
    };
    until("the child hears of it", SOON, cancelled).await;

    let params = json!({ "name": "slow", "arguments": { "seconds": 1 } });
    let request = json!({ "jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": params });
    let lost = ana.stream(ana.request(&request)).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    drop(lost);
    assert_eq!(ana.text("slow", &json!({ "seconds": 1 })).await, "done");
    assert_eq!(ana.text("cancelled", &json!({})).await, "[]");

    let waiting = ana.stream(ana.request(&request)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "mine" } });
    let other = stage.session("ana", "one").await;
    assert_eq!(other.send(&cancel).await.status, 202);
    assert_eq!(other.text("cancelled", &json!({})).await, "[]", "another session's id names nothing");
    assert_eq!(ana.send(&cancel).await.status, 202);
    assert_ne!(ana.text("cancelled", &json!({})).await, "[]", "its own names its own");
    drop(waiting);
}

#[tokio::test]
async fn a_subscription_keeps_the_id_that_its_client_gave_it() {
    let stage = Stage::set(&plain(&[]), "").await;
    let ana = stage.caller("ana", "one");
    let mut request = ana.modern_request("x", &json!({}));
    let mut body: Value = serde_json::from_slice(request.body()).unwrap();
    body["id"] = json!("my-subscription");
    body["method"] = json!("subscriptions/listen");
    body["params"]["notifications"] = json!({ "toolsListChanged": true });
    *request.body_mut() = body.to_string().into();
    request.headers_mut().insert("mcp-method", "subscriptions/listen".parse().unwrap());
    request.headers_mut().remove("mcp-name");
    let text = ana.http.send(request).await.unwrap().text();
    assert_eq!(
        text.matches(r#""io.modelcontextprotocol/subscriptionId": "my-subscription""#).count(),
        3,
        "{text}"
    );
    assert!(text.contains(r#""id": "my-subscription""#), "{text}");
}
