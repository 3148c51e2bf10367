//! What of a result a client sees: data classes treated, rows and bytes capped, labels put on by what is shown.

use crate::support::{Answer, World, events, json_answer, result};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const PHONE: &str = "+49 30 901820";
const EMAIL: &str = "ana.gomez@example.com";

const TOKENS: &str = r#"@mask("token") forbid (principal, action == Action::"disclose", resource in DataClass::"email");
    forbid (principal, action == Action::"disclose", resource == DataClass::"sales/phone");"#;

fn contacts() -> Value {
    let rows = json!([{ "who": "Ana", "mail": EMAIL, "tel": PHONE, "n": 17 }]);
    json!({ "jsonrpc": "2.0", "id": 1, "x-own": 1.50, "result": {
        "content": [{ "type": "text", "text": rows.to_string() }], "structuredContent": { "rows": rows } } })
}

#[tokio::test]
async fn the_model_and_the_picture_see_the_same_tokens_and_markers() {
    let world = World::with_policy(TOKENS).await;
    world.upstream_does(|_| Ok(json_answer(&contacts())));
    let shown = world.call("look", json!({})).await.body;
    let row = &shown["result"]["structuredContent"]["rows"][0];
    let text: Value = serde_json::from_str(shown["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&text[0], row);
    assert_eq!((&row["who"], &row["tel"], &row["n"]), (&json!("Ana"), &json!("[phone]"), &json!(17)));
    let token = row["mail"].as_str().unwrap().to_owned();
    assert!(token.starts_with("email_") && !shown.to_string().contains("gomez"), "{shown}");
    // The same within the grant, another one for somebody else's.
    let again = world.call("look", json!({})).await.body;
    assert_eq!(again["result"]["structuredContent"]["rows"][0]["mail"], token.as_str());
    let other = World::with_policy(TOKENS).await;
    other.upstream_does(|_| Ok(json_answer(&contacts())));
    other.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(shown["x-own"], json!(1.50), "what is not data stays");
}

#[tokio::test]
async fn values_do_not_slip_through_in_streams_cut_anywhere() {
    let world = World::with_policy(TOKENS).await;
    for cut in [1, 2, 3, 7, 50, 4000] {
        world.upstream_does(move |_| {
            let (sender, answer) = events();
            for piece in format!("data: {}\n\n", contacts()).into_bytes().chunks(cut) {
                sender.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
            }
            Ok(answer)
        });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
        let body = world.send("/sales/mcp", &call).await.into_body().collect().await.unwrap().to_bytes();
        let seen = String::from_utf8(body.to_vec()).unwrap();
        assert!(seen.contains("[phone]") && seen.contains("email_"), "{cut}: {seen}");
        assert!(!seen.contains("901820") && !seen.contains("gomez"), "{cut}: {seen}");
    }
}

#[tokio::test]
async fn what_is_no_message_or_too_long_to_screen_is_withheld_where_something_is_masked() {
    let plain = |media: &'static str, text: String| {
        move |_| {
            let mut answer = result(&text);
            answer.headers_mut().insert("content-type", media.parse().unwrap());
            Ok(answer)
        }
    };
    let world = World::with_policy(TOKENS).await;
    world.upstream_does(plain("text/plain", EMAIL.to_owned()));
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let body = world.send("/sales/mcp", &call).await.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("gomez"));
    world.upstream_does(|_| Ok(result(&format!("{EMAIL}{}", "x".repeat(9 << 20)))));
    let body = world.send("/sales/mcp", &call).await.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("gomez"));
}

fn many(rows: usize) -> Value {
    let rows: Vec<Value> = (0..rows).map(|n| json!({ "n": n })).collect();
    let rows = Value::from(rows);
    json!({ "jsonrpc": "2.0", "id": 1, "result": {
        "content": [{ "type": "text", "text": rows.to_string() }], "structuredContent": { "rows": rows } } })
}

fn rows_of(answer: &Answer) -> (usize, usize) {
    let structured = answer.body["result"]["structuredContent"]["rows"].as_array().map_or(0, Vec::len);
    let text =
        answer.body["result"]["content"][0]["text"].as_str().unwrap_or_default().matches("\"n\"").count();
    (structured, text)
}

#[tokio::test]
async fn rows_are_cut_alike_for_the_model_and_the_picture_and_counted() {
    let world = World::with_policy(
        r#"forbid (principal, action == Action::"release", resource) when { context.rows > 100 };
        forbid (principal, action == Action::"sales/look", resource) when { context.counters.user.rows_per_hour >= 150 };"#,
    )
    .await;
    world.upstream_does(|_| Ok(json_answer(&many(250))));
    let cut = world.call("look", json!({})).await;
    assert_eq!(rows_of(&cut), (100, 100), "{}", cut.body);
    world.upstream_does(|_| Ok(json_answer(&many(60))));
    assert_eq!(rows_of(&world.call("look", json!({})).await), (60, 60));
    assert_eq!(world.call("look", json!({})).await.code(), -32010, "160 rows were shown");
}

#[tokio::test]
async fn what_is_disclosed_follows_counts_policies_and_labels_at_once() {
    let world = World::with_policy(
        r#"forbid (principal, action == Action::"disclose", resource == DataClass::"sales/email") when { context.counters.user.calls_per_minute >= 2 };"#,
    )
    .await;
    world.upstream_does(|_| Ok(result(EMAIL)));
    // All within one second.
    for shown in [true, true, false] {
        let answer = world.call("look", json!({})).await;
        assert_eq!(answer.body.to_string().contains("gomez"), shown, "{}", answer.body);
    }
    // Another engine, which may lie where the last one lay.
    for (n, shown) in (0..20).map(|n| (n, n % 2 == 0)) {
        let forbid =
            r#"forbid (principal, action == Action::"disclose", resource == DataClass::"sales/email");"#;
        world.reload(if shown { "" } else { forbid }, false);
        let answer = world.call("look", json!({})).await;
        assert_eq!(answer.body.to_string().contains("gomez"), shown, "{n}: {}", answer.body);
    }
}

#[tokio::test]
async fn how_much_may_be_shown_is_asked_once_for_a_call() {
    let policy = r#"forbid (principal, action == Action::"release", resource) when { context.rows > 100 || context.bytes > 10000 };"#;
    let world = World::with_policy(policy).await;
    world.upstream_does(|_| Ok(json_answer(&many(3))));
    assert!(world.call("look", json!({})).await.body["result"].is_object());
    let engine = world.edge.snapshot.load().engine.clone();
    let before = engine.evaluations();
    assert!(world.call("look", json!({})).await.body["result"].is_object());
    // To find two bounds takes about eighty, the decision one, and what is disclosed is known already.
    let asked = engine.evaluations() - before;
    assert!((60..120).contains(&asked), "{asked}");
}

#[tokio::test]
async fn an_answer_longer_than_policies_allow_is_not_shown() {
    let policy =
        r#"forbid (principal, action == Action::"release", resource) when { context.bytes > 10000 };"#;
    let world = World::with_policy(policy).await;
    assert!(world.call("look", json!({})).await.body["result"].is_object());
    world.upstream_does(|_| Ok(result(&"secret ".repeat(3000))));
    let answer = world.call("look", json!({})).await;
    assert!(!answer.body["result"].is_object(), "{}", answer.body);
    let nothing = World::with_policy(r#"forbid (principal, action == Action::"release", resource);"#).await;
    assert_eq!(nothing.call("look", json!({})).await.code(), -32010);
    assert_eq!(nothing.sent(), 0);
}

#[tokio::test]
async fn a_value_of_a_labelled_class_labels_the_session_before_it_is_shown() {
    let world = World::with_class_label(
        "iban",
        "private",
        r#"forbid (principal, action in Action::"open_world", resource) when { context.labels.contains("private") };"#,
    )
    .await;
    let works = |answer: Answer| answer.body["result"].is_object();
    world.upstream_does(|_| Ok(result("nothing of note")));
    assert!(works(world.call("look", json!({})).await));
    assert!(works(world.call("change", json!({})).await));
    world.upstream_does(|_| Ok(result("pay to DE89 3704 0044 0532 0130 00 please")));
    let shown = world.call("look", json!({})).await;
    assert!(shown.body.to_string().contains("DE89"), "shown, as no policy masks it: {}", shown.body);
    assert_eq!(world.call("change", json!({})).await.code(), -32010);
}

#[tokio::test]
async fn a_body_is_labelled_as_it_was_read_here_so_that_no_client_reads_it_otherwise() {
    let world = World::new().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    for (media, label) in [
        ("text/plain; x=text/event-stream", "text/plain; charset=utf-8"),
        ("application/json, text/event-stream", "text/plain; charset=utf-8"),
        ("application/json; x=text/event-stream", "text/plain; charset=utf-8"),
        ("text/html", "text/plain; charset=utf-8"),
        ("application/json; charset=utf-8", "application/json"),
        ("Application/JSON", "application/json"),
    ] {
        world.upstream_does(move |_| {
            let mut answer = result("done");
            answer.headers_mut().insert("content-type", media.parse().unwrap());
            Ok(answer)
        });
        let answer = world.send("/sales/mcp", &call).await;
        assert_eq!(answer.headers()["content-type"], label, "{media}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    world.upstream_does(|_| {
        let mut answer = result("done");
        answer.headers_mut().append("content-type", "text/event-stream".parse().unwrap());
        Ok(answer)
    });
    let answer = world.send("/sales/mcp", &call).await;
    assert_eq!(answer.headers().get_all("content-type").iter().count(), 1);
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn caps_hold_for_results_that_are_fetched_later() {
    let policy = r#"forbid (principal, action == Action::"release", resource) when { context.tool == "look" && context.rows > 100 };"#;
    let world = World::with_policy(policy).await;
    let streamed = |message: Value| {
        move |_: http::Request<portunus_core::dialer::Body>| {
            let (sender, answer) = events();
            sender.send(Ok(Bytes::from(format!("data: {message}\n\n")))).unwrap();
            Ok(answer)
        }
    };
    world.upstream_does(streamed(many(250)));
    let get = || world.request("GET", "/sales/mcp").body(http_body_util::Full::default()).unwrap();
    let body = world.handle(get()).await.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(body.to_vec()).unwrap();
    assert!(seen.contains("{\"n\":99}") && !seen.contains("{\"n\":100}"), "{seen}");

    let nested = json!({ "jsonrpc": "2.0", "method": "notifications/tasks", "params": { "task": { "result": many(250)["result"] } } });
    world.upstream_does(streamed(nested));
    let body = world.handle(get()).await.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("\"n\""));
}

#[tokio::test]
async fn what_is_no_message_is_screened_too() {
    let world = World::with_policy(TOKENS).await;
    world.upstream_does(|_| {
        let mut answer = result("");
        *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        *answer.body_mut() = portunus_core::dialer::full(Bytes::from(format!("\"duplicate key {EMAIL}\"")));
        Ok(answer)
    });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let body = world.send("/sales/mcp", &call).await.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("gomez"), "{body:?}");
}
