//! What the gateway decided about a call is kept here too: tables that may be changed, tables that were decided about,
//! bounds of an answer, and trials that leave nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Caller, Shop};

const SCHEMA: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO customers VALUES (1, 'Ana'), (2, 'Bea'), (3, 'Caio');
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers ON DELETE CASCADE, total REAL);
INSERT INTO orders VALUES (10, 1, 5), (11, 1, 6), (12, 2, 7);
CREATE TABLE notes (body TEXT);
INSERT INTO notes VALUES ('hello'), ('world');
CREATE TABLE staff (name TEXT, salary INTEGER);
INSERT INTO staff VALUES ('Eva', 91000);
CREATE TABLE audit_log (line TEXT);
CREATE TRIGGER orders_logged AFTER UPDATE ON orders BEGIN
  INSERT INTO audit_log SELECT 'order ' || new.id || ' ' || (SELECT name FROM customers WHERE id = new.customer);
END;
CREATE TABLE keyed (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
INSERT INTO keyed VALUES ('a', '1'), ('b', '2');
CREATE VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
CREATE VIEW names AS SELECT c.name, t.total FROM customers c JOIN totals t ON t.customer = c.id;
CREATE VIRTUAL TABLE search USING fts5(body, content = 'notes');
INSERT INTO search (search) VALUES ('rebuild');
CREATE VIRTUAL TABLE memo USING fts5(body);
INSERT INTO memo VALUES ('something');
CREATE TABLE numbers (n INTEGER PRIMARY KEY);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) INSERT INTO numbers SELECT n FROM c;
";

fn writer(shop: &Shop) -> Caller {
    let mut options = shop.options();
    options.write = true;
    shop.masked_with(options, json!({ "default": true }))
}

async fn write(caller: &Caller, sql: &str) -> Value {
    let result = caller.call("write_query", json!({ "sql": sql })).await;
    assert_eq!(result["isError"], false, "{sql}\n{result}");
    result["structuredContent"].clone()
}

#[tokio::test]
async fn a_locked_table_is_changed_by_nobody_not_by_triggers_or_foreign_keys() {
    let shop = Shop::of(SCHEMA);
    let locked = writer(&shop)
        .decided(json!({ "changes": { "default": true, "exceptions": ["AUDIT_log", "orders"] } }));
    let before = shop.files();
    for sql in [
        "INSERT INTO audit_log VALUES ('x')",
        "DELETE FROM main.Audit_Log",
        "INSERT OR REPLACE INTO audit_log VALUES ('x')",
        "UPDATE \"audit_log\" SET line = 'x'",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "DELETE FROM customers WHERE id = 1",
        "REPLACE INTO customers VALUES (1, 'x')",
    ] {
        let why = locked.refusal("write_query", sql).await;
        assert!(why.contains("may not be changed by you"), "{sql}: {why}");
    }
    let log_locked =
        writer(&shop).decided(json!({ "changes": { "default": true, "exceptions": ["audit_log"] } }));
    let why = log_locked.refusal("write_query", "UPDATE orders SET total = 1 WHERE id = 10").await;
    assert!(why.contains("`audit_log`"), "{why}");
    let some = writer(&shop).decided(json!({ "changes": { "default": false, "exceptions": ["notes"] } }));
    some.refusal("write_query", "UPDATE customers SET name = 'x'").await;
    writer(&shop)
        .decided(json!({ "changes": { "default": false } }))
        .refusal("write_query", "INSERT INTO notes VALUES ('x')")
        .await;
    assert_eq!(shop.files(), before);
    assert_eq!(write(&some, "INSERT INTO notes VALUES ('x')").await["rows_changed"], 1);
    assert_eq!(write(&locked, "UPDATE customers SET name = 'x' WHERE id = 3").await["rows_changed"], 1);
    assert_eq!(write(&writer(&shop), "UPDATE orders SET total = 1 WHERE id = 10").await["rows_changed"], 1);
}

#[tokio::test]
async fn a_statement_reads_no_table_that_was_not_decided_about() {
    let shop = Shop::of(SCHEMA);
    let about = |reads: Value| {
        shop.masked(json!({ "default": true })).decided(json!({ "sql": { "reads": reads, "writes": [] } }))
    };
    for (reads, sql) in [
        (json!(["customers"]), "SELECT name FROM staff"),
        (json!(["customers"]), "SELECT count(*) FROM staff"),
        (json!(["customers"]), "SELECT 1 FROM staff"),
        (json!(["customers"]), "SELECT c.name FROM customers c, staff"),
        (json!(["customers"]), "SELECT EXISTS (SELECT 1 FROM staff)"),
        (json!(["customers"]), "SELECT name FROM customers WHERE id IN (SELECT customer FROM orders)"),
        (json!(["customers"]), "WITH totals AS (SELECT * FROM staff) SELECT * FROM totals"),
        (json!(["totals"]), "WITH totals AS (SELECT * FROM staff) SELECT * FROM totals"),
        (json!(["totals"]), "SELECT * FROM orders"),
        (json!(["totals"]), "SELECT * FROM names"),
        (json!(["orders"]), "SELECT * FROM totals"),
        (json!(["orders", "customers"]), "SELECT * FROM names"),
        (json!(["customers"]), "SELECT * FROM sqlite_schema"),
        (json!(["notes"]), "SELECT * FROM search"),
        (json!(["search"]), "SELECT * FROM memo WHERE memo MATCH 'something'"),
        (json!([]), "SELECT name FROM customers"),
    ] {
        let why = about(reads).refusal("read_query", sql).await;
        assert!(why.contains("decided about other tables"), "{sql}: {why}");
        assert!(!why.contains("91000"));
    }
    for (reads, sql) in [
        (json!(["Customers"]), "SELECT name FROM main.CUSTOMERS"),
        (json!(["main.customers"]), "SELECT name FROM customers"),
        (json!(["customers"]), "WITH staff AS (SELECT name FROM customers) SELECT name FROM staff"),
        (json!(["customers"]), "WITH staff AS (SELECT 1) SELECT count(*) FROM staff, customers"),
        (
            json!([]),
            "WITH RECURSIVE staff(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM staff LIMIT 3) SELECT count(*) FROM staff",
        ),
        (json!(["names"]), "SELECT * FROM names"),
        (json!(["totals", "orders"]), "SELECT * FROM totals, orders"),
        (json!(["search"]), "SELECT body FROM search WHERE search MATCH 'hello'"),
        (json!(["memo"]), "SELECT body FROM memo WHERE memo MATCH 'something'"),
        (json!(["sqlite_master"]), "SELECT name FROM sqlite_schema"),
        (json!([]), "SELECT value FROM json_each('[1, 2]')"),
        (json!([]), "SELECT 1 + 1"),
    ] {
        about(reads).query(sql).await;
    }
    assert_eq!(
        about(json!([])).call("list_tables", json!({})).await["structuredContent"]["tables"][1]["rows"],
        3
    );
}

#[tokio::test]
async fn a_statement_changes_no_table_that_was_not_decided_about() {
    let shop = Shop::of(SCHEMA);
    let about = |reads: Value, writes: Value| {
        writer(&shop).decided(json!({ "sql": { "reads": reads, "writes": writes } }))
    };
    let before = shop.files();
    for (reads, writes, sql) in [
        (json!(["notes"]), json!(["orders"]), "INSERT INTO notes VALUES ('x')"),
        (json!(["customers"]), json!([]), "UPDATE customers SET name = 'x'"),
        (json!([]), json!(["customers"]), "DELETE FROM orders"),
        (json!([]), json!(["orders"]), "INSERT INTO audit_log VALUES ('x')"),
        (json!([]), json!(["notes"]), "INSERT INTO notes SELECT name FROM staff"),
        (json!([]), json!(["notes"]), "UPDATE notes SET body = 'x' RETURNING (SELECT salary FROM staff)"),
        (json!([]), json!(["notes"]), "DELETE FROM notes WHERE EXISTS (SELECT 1 FROM staff)"),
    ] {
        let why = about(reads, writes).refusal("write_query", sql).await;
        assert!(why.contains("decided about other tables"), "{sql}: {why}");
        assert_eq!(shop.files(), before, "{sql}");
    }
    for (reads, writes, sql) in [
        (json!([]), json!(["Orders"]), "UPDATE orders SET total = total + 1 WHERE id = 10"),
        (json!([]), json!(["orders"]), "INSERT INTO orders VALUES (20, 3, 1)"),
        (json!([]), json!(["customers"]), "DELETE FROM customers WHERE id = 3"),
        (json!(["staff"]), json!(["notes"]), "INSERT INTO notes SELECT name FROM staff RETURNING body"),
        (
            json!([]),
            json!(["keyed"]),
            "INSERT INTO keyed VALUES ('a', 'x') ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        ),
    ] {
        write(&about(reads, writes), sql).await;
    }
}

#[tokio::test]
async fn an_answer_keeps_to_the_smaller_bound_and_its_cursor_goes_on() {
    let shop = Shop::of(SCHEMA);
    let caller = shop.masked(json!({ "default": true })).decided(json!({ "rows": 2 }));
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut arguments = json!({ "sql": "SELECT n FROM numbers WHERE n <= 5 ORDER BY n" });
        if !cursor.is_null() {
            arguments["cursor"] = cursor;
        }
        let result = caller.call("read_query", arguments).await;
        let page = &result["structuredContent"];
        let rows = page["rows"].as_array().unwrap();
        assert!(rows.len() <= 2);
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), rows.len() + 2, "{text}");
        seen.extend(rows.iter().map(|row| row[0].as_i64().unwrap()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let many = caller.decided(json!({ "rows": 1_000_000, "bytes": 1_000_000_000 }));
    assert_eq!(many.rows("SELECT n FROM numbers").await.as_array().unwrap().len(), 200);
    let few = caller.decided(json!({ "bytes": 100 }));
    let page = few.query("SELECT printf('%040d', n) FROM numbers").await;
    assert_eq!((page["row_count"].clone(), page["truncated"].clone()), (json!(2), json!(true)));
    few.refusal("read_query", "SELECT printf('%0200d', n) FROM numbers").await;
    let returned = writer(&shop).decided(json!({ "rows": 1 }));
    let changed = write(&returned, "UPDATE notes SET body = 'x' RETURNING body").await;
    assert_eq!((changed["rows_changed"].clone(), changed["rows"].clone()), (json!(2), json!([["x"]])));
}

#[tokio::test]
async fn a_trial_counts_what_would_change_and_changes_nothing() {
    let shop = Shop::of(SCHEMA);
    let caller = writer(&shop).decided(json!({ "trial": true }));
    let before = shop.files();
    for (sql, rows, tables) in [
        ("UPDATE orders SET total = 0 WHERE customer = 1", 2, json!({ "orders": 2, "audit_log": 2 })),
        ("DELETE FROM customers WHERE id = 1", 1, json!({ "customers": 1, "orders": 2 })),
        ("DELETE FROM numbers", 3000, json!({ "numbers": 3000 })),
        ("INSERT INTO notes SELECT name FROM customers RETURNING body", 3, json!({ "notes": 3 })),
        ("DELETE FROM keyed", 2, json!({ "keyed": 2 })),
        ("UPDATE keyed SET v = 'x' WHERE k = 'none'", 0, json!({})),
    ] {
        let result = caller.call("write_query.trial", json!({ "sql": sql })).await;
        let estimate = &result["structuredContent"];
        assert_eq!(estimate["trial"], true, "{sql}\n{result}");
        assert_eq!(
            (estimate["rows_changed"].clone(), estimate["tables"].clone()),
            (json!(rows), tables),
            "{sql}\n{result}"
        );
        assert_eq!((estimate["rows"].clone(), estimate["columns"].clone()), (json!([]), json!([])), "{sql}");
        assert_eq!(shop.files(), before, "{sql}");
    }
    for sql in [
        "INSERT INTO customers VALUES (1, 'taken')",
        "INSERT OR ROLLBACK INTO customers VALUES (1, 'taken')",
        "SELECT 1",
        "COMMIT",
        "DELETE FROM notes; COMMIT",
    ] {
        caller.refusal("write_query.trial", sql).await;
        assert_eq!(shop.files(), before, "{sql}");
    }
    // Also the tool by its plain name: a server that knows of no trials would run it.
    let delete = json!({ "sql": "DELETE FROM notes" });
    for (tool, arguments) in [
        ("read_query", json!({ "sql": "SELECT 1" })),
        ("list_tables", json!({})),
        ("write_query", delete.clone()),
    ] {
        let result = caller.call(tool, arguments).await;
        assert!(result["isError"] == true && result.to_string().contains("trial"), "{result}");
    }
    let no_trial = writer(&shop).call("write_query.trial", delete).await;
    assert_eq!((no_trial["isError"].clone(), shop.files() == before), (json!(true), true), "{no_trial}");
    assert_eq!(write(&writer(&shop), "DELETE FROM notes").await["rows_changed"], 2);
    let other = rusqlite::Connection::open(&shop.path).unwrap();
    assert_eq!(other.execute("DELETE FROM numbers", []).unwrap(), 3000, "no lock is left");
}

#[tokio::test]
async fn a_trial_that_takes_too_long_or_is_left_alone_leaves_neither_change_nor_lock() {
    let shop = Shop::of(SCHEMA);
    let before = shop.files();
    let endless = "INSERT INTO notes SELECT a.n || b.n || c.n FROM numbers a, numbers b, numbers c";
    for timeout in [Duration::from_millis(300), Duration::from_secs(4)] {
        let mut options = shop.options();
        (options.write, options.timeout) = (true, timeout);
        let caller = shop.masked_with(options, json!({ "default": true })).decided(json!({ "trial": true }));
        let call = caller.call("write_query.trial", json!({ "sql": endless }));
        if let Ok(result) = tokio::time::timeout(Duration::from_secs(2), call).await {
            assert!(result["isError"] == true && timeout < Duration::from_secs(1), "{result}");
        }
        let other = rusqlite::Connection::open(&shop.path).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        let started = Instant::now();
        other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
        drop(other);
        assert_eq!(shop.files(), before);
    }
}

/// Runs in a process of its own, which the next test kills.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_trial_to_be_killed() {
    let path = std::env::var_os("PORTUNUS_TRIAL").unwrap();
    let shop = Shop { directory: tempfile::tempdir().unwrap(), path: path.into() };
    let mut options = shop.options();
    (options.write, options.timeout) = (true, Duration::from_secs(60));
    let caller = shop.masked_with(options, json!({ "default": true })).decided(json!({ "trial": true }));
    let sql = "INSERT INTO notes SELECT printf('%0900d', a.n) FROM numbers a, numbers b, numbers c";
    caller.call("write_query.trial", json!({ "sql": sql })).await;
}

#[tokio::test]
async fn a_trial_whose_process_is_killed_leaves_the_database_as_it_was() {
    let shop = Shop::of(SCHEMA);
    let before = std::fs::read(&shop.path).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_trial_to_be_killed"])
        .env("PORTUNUS_TRIAL", &shop.path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let other = rusqlite::Connection::open(&shop.path).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let started = Instant::now();
    // Until it holds the lock of a writer.
    while other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    // More than a cache full of pages.
    std::thread::sleep(Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(std::fs::read(&shop.path).unwrap(), before, "the file itself was never written");
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    let count: i64 = other.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap();
    let check: String = other.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((count, check.as_str()), (2, "ok"));
}
