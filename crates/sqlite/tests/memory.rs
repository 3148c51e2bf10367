//! Memory, in a process of its own because SQLite's heap limit is the whole process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use serde_json::json;
use std::time::Duration;
use support::Shop;

#[tokio::test]
async fn a_statement_that_wants_too_much_memory_fails_and_leaves_the_server_well() {
    let shop = Shop::of("CREATE TABLE t (x); INSERT INTO t VALUES (1);");
    let mut options = shop.options();
    options.memory = 48 * 1024 * 1024;
    options.timeout = Duration::from_secs(30);
    let caller = shop.serve(options);
    let many: Vec<String> = (0..200).map(|i| format!("length(printf('%900000d', {i}))")).collect();
    for sql in [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c ORDER BY -n".to_owned(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000) SELECT printf('%900000d', n) AS s FROM c ORDER BY s".to_owned(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n + 1 FROM c) SELECT count(*) FROM (SELECT DISTINCT n FROM c)".to_owned(),
        format!("SELECT {}", many.join(" + ")),
    ] {
        let result = caller.call("read_query", json!({ "sql": sql })).await;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["isError"] == true && text.contains("memory"), "{sql}\n{text}");
        assert_eq!(caller.rows("SELECT x FROM t").await, json!([[1]]));
    }
}
