//! Hostile SQL through the whole way: client, edge, tunnel, built-in server, SQLite. Nothing changes, nothing hangs.

use crate::app::App;
use crate::http::call;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[tokio::test]
async fn hostile_statements_change_no_byte_and_hold_nothing_up() {
    let app = App::demo().await;
    let (http, url, token) = (app.http(), app.mcp_url("sales"), app.token("sales"));
    let database = database(&app);
    let before = std::fs::read(&database).unwrap();
    let elsewhere = app.dir().join("elsewhere.db");
    let elsewhere = elsewhere.to_str().unwrap();
    let long = format!("SELECT '{}'", "a".repeat(1 << 20));
    let statements = [
        format!("ATTACH DATABASE '{elsewhere}' AS other"),
        "DETACH DATABASE main".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "PRAGMA query_only = 0".to_owned(),
        "PRAGMA writable_schema = 1".to_owned(),
        "SELECT load_extension('/tmp/x.so')".to_owned(),
        format!("VACUUM INTO '{elsewhere}'"),
        "WITH x AS (SELECT 1) DELETE FROM orders WHERE 1 = 1 RETURNING *".to_owned(),
        "DELETE FROM orders".to_owned(),
        "SELECT 1; DROP TABLE orders".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n".to_owned(),
        "SELECT length(randomblob(1000000000))".to_owned(),
        "SELECT length(zeroblob(1000000000))".to_owned(),
        "SELECT hex(zeroblob(900000000))".to_owned(),
        "SELECT group_concat(a.email || b.email) FROM customers a, customers b, customers c".to_owned(),
        "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM orders; END".to_owned(),
        long,
    ];
    for statement in &statements {
        let shown: String = statement.chars().take(80).collect();
        let begun = Instant::now();
        let reply = http.send(call(&url, &token, "read_query", &json!({ "sql": statement }))).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(15), "{shown} took {:?}", begun.elapsed());
        assert!([200, 400, 413].contains(&reply.status), "{shown}: {} {}", reply.status, reply.text());
        let answer = reply.json();
        let refused = answer["error"].is_object() || answer["result"]["isError"] == true;
        assert!(refused, "{shown} was answered: {}", reply.text().chars().take(300).collect::<String>());
    }
    assert_eq!(std::fs::read(&database).unwrap(), before, "the file is as it was");
    assert!(!std::path::Path::new(elsewhere).exists());
    let good = http
        .send(call(&url, &token, "read_query", &json!({ "sql": "SELECT count(*) AS n FROM orders" })))
        .await
        .unwrap();
    assert_ne!(good.json()["result"]["isError"], true, "{}", good.text());
}

#[tokio::test]
async fn a_masked_column_gives_nothing_away_and_says_so() {
    let app = App::demo().await;
    let (http, url, token) = (app.http(), app.mcp_url("sales"), app.token("sales"));
    for sql in [
        "SELECT * FROM staff LIMIT 3",
        "SELECT max(salary) AS top FROM staff",
        "SELECT salary + 0 AS s FROM staff WHERE salary > 0 LIMIT 1",
    ] {
        let reply = http.send(call(&url, &token, "read_query", &json!({ "sql": sql }))).await.unwrap();
        let answer = reply.json();
        let result = &answer["result"]["structuredContent"];
        assert!(answer["error"].is_null(), "{sql}: {answer}");
        assert!(result["masked"].to_string().contains("staff.salary"), "{sql}: {answer}");
    }
}

#[tokio::test]
async fn a_typing_error_gets_a_message_that_helps() {
    let app = App::demo().await;
    let request = call(
        &app.mcp_url("sales"),
        &app.token("sales"),
        "read_query",
        &json!({ "sql": "SELECT custmer_id FROM orders" }),
    );
    let reply = app.http().send(request).await.unwrap();
    assert!(reply.text().contains("customer_id"), "{}", reply.text());
}

/// The sample database of the demo.
fn database(app: &App) -> PathBuf {
    let entries = std::fs::read_dir(app.state()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "db") && !path.ends_with("portunus.db")
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
