//! What is decided of each request besides who may call what: arguments, SQL, counts, labels, and the server's questions.

use crate::support::{World, events, json_answer, result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portunus_core::record::{Record, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

const USE_QUERY: &str = r#"permit (principal, action == Action::"sales/query", resource);"#;

#[tokio::test]
async fn arguments_that_do_not_fit_the_tools_schema_are_refused_before_policy_and_recorded() {
    let world = World::with_policy(USE_QUERY).await;
    assert!(world.call("query", json!({ "sql": "SELECT 1" })).await.body["result"].is_object());
    for wrong in [json!({}), json!({ "sql": 1 }), json!({ "sql": "SELECT 1", "limit": "hunter2" })] {
        let refused = world.call("query", wrong.clone()).await;
        let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("do not fit the tool's input schema"), "{wrong}: {}", refused.body);
        assert!(!message.contains("hunter2"));
    }
    assert_eq!(world.sent(), 1);
    let refusals = world.ledger.records().into_iter().filter(
        |record| matches!(record, Record::Intent(intent) if intent.verdict == Verdict::Refuse && intent.reason.is_some()),
    );
    assert_eq!(refusals.count(), 3);
}

#[tokio::test]
async fn a_statement_that_could_read_a_hidden_column_never_reaches_a_server_that_hides_nothing() {
    let hidden = r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");
        forbid (principal, action == Action::"change", resource == Table::"sales/audit");"#;
    let world = World::with_policy(&format!("{USE_QUERY}{hidden}")).await;
    for sql in [
        "SELECT salary FROM staff",
        "SELECT s.salary AS remark FROM staff AS s",
        "SELECT * FROM staff",
        "SELECT (SELECT max(salary) FROM staff)",
        "WITH x AS (SELECT * FROM staff) SELECT name FROM x",
        "SELECT name FROM staff ORDER BY salary",
        "this is no SQL",
        "DELETE FROM audit",
        "WITH d AS (DELETE FROM audit RETURNING 1) SELECT 1",
    ] {
        let refused = world.call("query", json!({ "sql": sql })).await;
        assert_eq!(refused.code(), -32010, "{sql}: {}", refused.body);
    }
    assert_eq!(world.sent(), 0);
    for sql in [
        "SELECT name FROM staff",
        "SELECT count(*) FROM staff",
        "SELECT * FROM orders",
        "DELETE FROM orders WHERE id = 1",
    ] {
        assert!(world.call("query", json!({ "sql": sql })).await.body["result"].is_object(), "{sql}");
    }
}

#[tokio::test]
async fn a_quota_is_exact_for_calls_at_once_and_slides() {
    let quota = r#"@reason("Ten a minute.") forbid (principal, action == Action::"sales/look", resource)
        when { context.counters.user_tool.calls_per_minute >= 10 };"#;
    let world = World::with_policy(quota).await;
    let calls = (0..30).map(|_| world.call("look", json!({})));
    let answers = futures_util::future::join_all(calls).await;
    let permitted = answers.iter().filter(|answer| answer.body["result"].is_object()).count();
    let busy = answers.iter().filter(|answer| answer.status == 503 || answer.status == 429).count();
    assert!(permitted <= 10 && permitted + busy >= 10, "{permitted} permitted, {busy} busy");
    for _ in permitted..10 {
        assert!(world.call("look", json!({})).await.body["result"].is_object());
    }
    assert!(
        world.call("look", json!({})).await.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Ten a minute.")
    );
    world.clock.advance(Duration::from_secs(62));
    assert!(world.call("look", json!({})).await.body["result"].is_object());
}

#[tokio::test]
async fn refusals_and_bytes_count_too() {
    let world = World::with_policy(
        r#"forbid (principal, action == Action::"sales/look", resource)
        when { context.counters.user.refusals_per_hour >= 3 || context.counters.client.bytes_per_day > 5000 };"#,
    )
    .await;
    assert!(world.call("look", json!({})).await.body["result"].is_object());
    for _ in 0..3 {
        assert_eq!(world.call("unknown", json!({})).await.code(), -32010);
    }
    assert_eq!(world.call("look", json!({})).await.code(), -32010);
    world.clock.advance(Duration::from_secs(3700));
    world.token_lasts(Duration::from_secs(900)).await;
    world.upstream_does(|_| Ok(result(&"x".repeat(6000))));
    assert!(world.call("look", json!({})).await.body["result"].is_object());
    assert_eq!(world.call("look", json!({})).await.code(), -32010);
}

#[tokio::test]
async fn a_session_with_both_labels_may_not_reach_out() {
    let world = World::labelled(
        r#"@reason("No way out.") forbid (principal, action in Action::"open_world", resource)
        when { context.labels.containsAll(["private", "untrusted"]) };"#,
    )
    .await;
    let works = |answer: crate::support::Answer| answer.body["result"].is_object();
    assert!(works(world.call("change", json!({})).await), "private alone");
    assert!(works(world.call("change", json!({})).await), "still");
    assert!(works(world.call("look", json!({})).await), "which is untrusted");
    let refused = world.call("change", json!({})).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("No way out."), "{}", refused.body);
    assert!(works(world.call("look", json!({})).await), "reading goes on");
    world.clock.advance(Duration::from_secs(601));
    assert!(works(world.call("change", json!({})).await), "the label fell off");
}

fn question(method: &str, params: &Value) -> String {
    format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": params }))
}

/// What a client gets when its call's stream brings this question before its result.
async fn asked(world: &World, method: &'static str, params: Value) -> String {
    world.upstream_does(move |_| {
        let (sender, answer) = events();
        sender.send(Ok(Bytes::from(question(method, &params)))).unwrap();
        let done = json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [] } });
        sender.send(Ok(Bytes::from(format!("data: {done}\n\n")))).unwrap();
        Ok(answer)
    });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let body = world.send("/sales/mcp", &call).await.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn what_a_server_asks_of_the_client_is_refused_unless_a_policy_allows_it() {
    let page = |host: &str| json!({ "mode": "url", "url": format!("https://{host}/pay"), "message": "", "elicitationId": "e" });
    let world = World::new().await;
    for (method, params) in [
        ("sampling/createMessage", json!({ "messages": [] })),
        ("roots/list", json!({})),
        ("elicitation/create", json!({ "message": "Your password?", "requestedSchema": {} })),
        ("elicitation/create", page("pay.example.com")),
        ("shell/run", json!({})),
    ] {
        let seen = asked(&world, method, params).await;
        assert!(
            !seen.contains(method) && seen.contains("error") && !seen.contains("\"result\""),
            "{method}: {seen}"
        );
    }
    assert!(asked(&world, "ping", json!({})).await.contains("\"result\""));

    let unknown = world.ledger.records().into_iter().find_map(|record| match record {
        Record::Intent(intent) if intent.method == "request" => intent.reason,
        _ => None,
    });
    assert_eq!(unknown.as_deref(), Some("What the server asks of the client could not be decided."));

    let world = World::with_policy(
        r#"permit (principal, action == Action::"sample", resource);
        permit (principal, action == Action::"elicit", resource) when { context.mode == "url" && context.host == "pay.example.com" };"#,
    )
    .await;
    assert!(asked(&world, "sampling/createMessage", json!({})).await.contains("sampling/createMessage"));
    assert!(
        asked(&world, "elicitation/create", page("pay.example.com")).await.contains("elicitation/create")
    );
    for refused in [
        "evil.example.com",
        "pay.example.com.evil.test",
        "pay.example.com@evil.test",
        "evil.test\\\\@pay.example.com",
    ] {
        assert!(
            !asked(&world, "elicitation/create", page(refused)).await.contains("elicitation/create"),
            "{refused}"
        );
    }
    assert!(!asked(&world, "roots/list", json!({})).await.contains("roots/list"));
    let asks = world.ledger.records().into_iter().filter_map(|record| match record {
        Record::Intent(intent) if intent.method == "elicitation/create" => {
            // Enough to decide it again under other policies.
            let seen = intent.circumstances.expect("circumstances are recorded");
            assert_eq!(
                (seen.groups[0].as_str(), seen.source.to_string().as_str()),
                ("analysts", "127.0.0.1")
            );
            Some((intent.verdict, intent.target))
        }
        _ => None,
    });
    let asks: Vec<_> = asks.collect();
    assert_eq!(asks.len(), 5, "{asks:?}");
    assert_eq!(asks[0], (Verdict::Permit, Some("pay.example.com".to_owned())));
}

#[tokio::test]
async fn questions_inside_results_and_errors_are_decided_too() {
    let world = World::new().await;
    let required = json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "input_required", "requestState": "s",
        "inputRequests": { "a": { "method": "sampling/createMessage", "params": {} } } } });
    let pages = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32042, "message": "",
        "data": { "elicitations": [{ "mode": "url", "url": "https://evil.test/", "elicitationId": "e", "message": "" }] } } });
    for answer in [required, pages] {
        let shown = answer.clone();
        world.upstream_does(move |_| Ok(json_answer(&answer)));
        let withheld = world.call("look", json!({})).await;
        assert!(withheld.body["error"].is_object(), "{shown}");
        assert!(
            !withheld.body.to_string().contains("evil.test")
                && !withheld.body.to_string().contains("inputRequests")
        );
    }
}

#[tokio::test]
async fn on_the_open_stream_a_refused_question_is_left_out_and_the_stream_goes_on() {
    let world = World::new().await;
    world.upstream_does(|_| {
        let (sender, answer) = events();
        sender.send(Ok(Bytes::from(question("roots/list", &json!({}))))).unwrap();
        sender
            .send(Ok(Bytes::from_static(
                b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
            )))
            .unwrap();
        Ok(answer)
    });
    let request = world.request("GET", "/sales/mcp").body(Full::default()).unwrap();
    let body = world.handle(request).await.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(body.to_vec()).unwrap();
    assert!(seen.contains("list_changed") && !seen.contains("roots/list"), "{seen}");
}

#[tokio::test]
async fn a_question_on_an_open_stream_is_decided_by_the_labels_and_policies_of_that_moment() {
    let world = World::labelled(
        r#"permit (principal, action == Action::"sample", resource);
        forbid (principal, action == Action::"sample", resource) when { context.labels.contains("private") };"#,
    )
    .await;
    let (sender, answer) = events();
    let waiting = std::sync::Mutex::new(Some(answer));
    world.upstream_does(move |request| match request.method().as_str() {
        "GET" => Ok(waiting.lock().unwrap().take().unwrap()),
        _ => Ok(result("done")),
    });
    let request = world.request("GET", "/sales/mcp").body(Full::default()).unwrap();
    let mut stream = world.handle(request).await.into_body();
    let ask = |id: &str| {
        let question =
            json!({ "jsonrpc": "2.0", "id": id, "method": "sampling/createMessage", "params": {} });
        sender.send(Ok(Bytes::from(format!("data: {question}\n\n")))).unwrap();
    };
    ask("before");
    let seen = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("before"));
    assert!(world.call("change", json!({})).await.body["result"].is_object());
    ask("after");
    drop(sender);
    let rest = stream.collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&rest).contains("sampling"), "{rest:?}");
}
