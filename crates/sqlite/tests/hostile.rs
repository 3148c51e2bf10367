//! Statements that mean harm: none may change a byte of the file, leave a new file, or hold the server longer than its
//! time-out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::Shop;

const TIMEOUT: Duration = Duration::from_millis(400);

const PREPARE: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT);
INSERT INTO customers VALUES (1, 'Ana', 'ana@example.com'), (2, 'Marco', 'marco@example.com');
CREATE VIEW v AS SELECT * FROM customers;
CREATE TRIGGER v_insert INSTEAD OF INSERT ON v BEGIN DELETE FROM customers; END;
CREATE TABLE numbers (n INTEGER PRIMARY KEY);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) INSERT INTO numbers SELECT n FROM c;
CREATE VIRTUAL TABLE notes USING fts5(body);
INSERT INTO notes VALUES ('hello world');
ANALYZE;
";

/// Each is refused.
const REFUSED: &[&str] = &[
    "ATTACH DATABASE 'other.db' AS other",
    "ATTACH DATABASE ':memory:' AS other",
    "ATTACH 'file:other.db?mode=rwc' AS other",
    "DETACH DATABASE main",
    "PRAGMA journal_mode = WAL",
    "PRAGMA query_only = 0",
    "PRAGMA writable_schema = 1",
    "PRAGMA user_version = 7",
    "PRAGMA table_info(customers)",
    "PRAGMA data_version",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "PRAGMA optimize",
    "SELECT * FROM pragma_table_info('customers')",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT count(*) FROM dbstat",
    "SELECT * FROM sqlite_stat1",
    "SELECT * FROM sqlite_stat4",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM temp.sqlite_master",
    "SELECT load_extension('/tmp/evil.so')",
    "SELECT load_extension('/tmp/evil.so', 'entry')",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "VACUUM main INTO 'copy.db'",
    "WITH gone AS (SELECT 1) DELETE FROM customers RETURNING *",
    "WITH x AS (SELECT 1 AS id) UPDATE customers SET name = 'x' RETURNING id",
    "WITH x AS (SELECT 9) INSERT INTO customers (id) SELECT * FROM x RETURNING *",
    "DELETE FROM customers",
    "UPDATE customers SET email = 'x'",
    "INSERT INTO customers VALUES (3, 'x', 'y')",
    "INSERT OR REPLACE INTO customers VALUES (1, 'x', 'y')",
    "REPLACE INTO customers VALUES (1, 'x', 'y')",
    "INSERT INTO v VALUES (3, 'x', 'y')",
    "INSERT INTO notes (notes) VALUES ('rebuild')",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, '')",
    "UPDATE sqlite_master SET sql = ''",
    "DELETE FROM sqlite_stat1",
    "SELECT 1; DELETE FROM customers",
    "SELECT 1; SELECT 2",
    "DELETE FROM customers; SELECT 1",
    "SELECT 1;;;SELECT 2",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "END TRANSACTION",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    "CREATE TABLE t (x)",
    "CREATE TABLE t AS SELECT * FROM customers",
    "CREATE TEMP TABLE t (x)",
    "CREATE TEMP TABLE t AS SELECT * FROM customers",
    "CREATE TEMP VIEW t AS SELECT 1",
    "CREATE VIEW t AS SELECT 1",
    "CREATE INDEX i ON customers (name)",
    "CREATE UNIQUE INDEX IF NOT EXISTS i ON customers (name)",
    "CREATE TRIGGER t AFTER INSERT ON customers BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER t AFTER INSERT ON customers BEGIN DELETE FROM customers; END",
    "CREATE TEMP TRIGGER t INSTEAD OF INSERT ON v BEGIN DELETE FROM customers; END",
    "CREATE VIRTUAL TABLE t USING fts5(x)",
    "CREATE VIRTUAL TABLE temp.t USING fts5vocab(main, notes, row)",
    "DROP TABLE customers",
    "DROP VIEW v",
    "DROP TRIGGER v_insert",
    "DROP INDEX IF EXISTS i",
    "ALTER TABLE customers RENAME TO clients",
    "ALTER TABLE customers ADD COLUMN x",
    "ALTER TABLE customers DROP COLUMN email",
    "REINDEX",
    "REINDEX customers",
    "ANALYZE",
    "ANALYZE customers",
    "EXPLAIN DELETE FROM customers",
    "EXPLAIN SELECT 1",
    "EXPLAIN QUERY PLAN SELECT 1",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('x', 'y')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT fts3_tokenizer('evil', x'4141414141414141')",
    "SELECT fts5(x'00')",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT randomblob(1000000000)",
    "SELECT length(randomblob(900000000))",
    "SELECT zeroblob(1000000000)",
    "SELECT hex(zeroblob(900000000))",
    "SELECT json_patch('{}', '{}')",
    "SELECT json_pretty('[1, [2]]', '                ')",
    "SELECT printf('%2000000000d', 1)",
    "SELECT length(printf('%.*c', 1000000000, 'x'))",
    "SELECT replace(printf('%1000000d', 0), ' ', 'xxxxxxxxxxxxxxxxxxxxxxxx')",
    "SELECT CAST(x'00' AS TEXT) || char(0) || '",
    "SELECT 1\0; DELETE FROM customers",
    "",
    "   ",
    "-- nothing",
    "/* nothing */;",
    ";",
    "not sql at all",
    "SELECT * FROM",
    "SELECT '",
    "SELECT /* ",
    "'; DROP TABLE customers; --",
    "(SELECT 1)",
    "TABLE customers",
    ".read /etc/passwd",
];

/// Each is stopped by the clock or by a bound, whichever is first.
fn endless() -> Vec<String> {
    let doubling: String =
        (1..40).map(|i| format!(", c{i} AS (SELECT a.x FROM c{j} AS a, c{j} AS b)", j = i - 1)).collect();
    vec![
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c".into(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0".into(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n FROM c) SELECT max(n) FROM c".into(),
        "SELECT count(*) FROM numbers a, numbers b, numbers c".into(),
        "SELECT a.n FROM numbers a, numbers b, numbers c ORDER BY a.n * b.n % 7, c.n LIMIT 1".into(),
        "SELECT count(*) FROM numbers a WHERE (SELECT count(*) FROM numbers b, numbers c WHERE a.n * b.n = c.n) > 5".into(),
        "SELECT length(trim(printf('%1000000d', 1), printf('%1000000d', 2))) FROM numbers a, numbers b".into(),
        "SELECT sum(instr(printf('%1000000d', n), printf('%500000d', 7))) FROM numbers".into(),
        "SELECT sum(length(replace(printf('%900000d', n), printf('%9000d', 0), 'y'))) FROM numbers".into(),
        "SELECT sum(length(rtrim(printf('%-900000d', n), printf('%900000d', 1)))) FROM numbers".into(),
        "SELECT count(*) FROM numbers a, numbers b WHERE printf('%9000d', a.n) LIKE '%a%b%c%d%e%f%g%'".into(),
        "SELECT count(*) FROM numbers a, numbers b WHERE printf('%9000d', a.n) GLOB '*a*b*c*d*e*f*g*'".into(),
        "SELECT group_concat(printf('%1000000d', n)) FROM numbers".into(),
        format!("WITH c0 AS (SELECT 1 AS x UNION ALL SELECT 2){doubling} SELECT count(*) FROM c39"),
        format!("SELECT {}", vec!["1"; 30_000].join("+")),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)),
        format!("SELECT {}", vec!["1"; 5_000].join(",")),
        format!("SELECT max({})", vec!["1"; 5_000].join(",")),
        format!("SELECT * FROM {}", vec!["numbers"; 100].join(", ")),
        format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 30_000].join(",")) + &" ".repeat(100_000),
        format!("SELECT '{}'", "x".repeat(1_000_000)),
        "SELECT ".to_owned() + &"-".repeat(60_000) + "1",
        ";".repeat(60_000) + "DELETE FROM customers",
        "SELECT 1;".repeat(6_000),
        format!("SELECT {}", "NOT ".repeat(15_000) + "1"),
        format!("SELECT {}", "CASE WHEN 1 THEN ".repeat(3_000) + "1"),
    ]
}

#[tokio::test]
async fn no_hostile_statement_changes_a_byte_or_holds_the_server_beyond_its_time_out() {
    let shop = Shop::of(PREPARE);
    let mut options = shop.options();
    options.timeout = TIMEOUT;
    let caller = shop.serve(options);
    let before = shop.files();
    assert!(REFUSED.len() >= 60, "the table shrank to {}", REFUSED.len());
    for sql in REFUSED {
        let started = Instant::now();
        let why = caller.refusal("read_query", sql).await;
        assert!(!why.is_empty() && started.elapsed() < TIMEOUT * 4, "{sql}: {why}");
        // Explaining runs nothing: there, a statement that only fails when it runs may pass.
        caller.call("explain_query", json!({ "sql": sql })).await;
        assert_eq!(shop.files(), before, "{sql}");
    }
    for sql in endless() {
        let started = Instant::now();
        let result = caller.call("read_query", json!({ "sql": sql })).await;
        let shown: String = sql.chars().take(100).collect();
        // One look at the clock later, on a machine that may be busy.
        assert!(started.elapsed() < TIMEOUT * 4, "{shown}: {:?} {result}", started.elapsed());
        assert_eq!(shop.files(), before, "{shown}");
    }
    assert_eq!(caller.rows("SELECT count(*) FROM customers").await, json!([[2]]));
}

#[tokio::test]
async fn an_endless_statement_is_told_that_it_ran_too_long() {
    let shop = Shop::of(PREPARE);
    let mut options = shop.options();
    options.timeout = Duration::from_millis(50);
    let caller = shop.serve(options);
    let why = caller.refusal("read_query", endless().first().unwrap()).await;
    assert!(why.contains("50 ms") && why.contains("LIMIT"), "{why}");
}

#[tokio::test]
async fn a_statement_whose_caller_went_away_is_stopped() {
    let shop = Shop::of(PREPARE);
    let mut options = shop.options();
    options.timeout = Duration::from_secs(60);
    let caller = shop.serve(options);
    let sql = endless().swap_remove(0);
    // More of them than may run at once: unless each stops, the last line waits for a minute.
    for _ in 0..8 {
        let call = caller.call("read_query", json!({ "sql": sql }));
        assert!(tokio::time::timeout(Duration::from_millis(60), call).await.is_err());
    }
    let started = Instant::now();
    assert_eq!(caller.rows("SELECT 1").await, json!([[1]]));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn hostile_writes_are_refused_and_undone() {
    let shop = Shop::of(PREPARE);
    let mut options = shop.options();
    options.write = true;
    options.timeout = TIMEOUT;
    let caller = shop.serve(options);
    let before = shop.files();
    for sql in REFUSED {
        let is_plain_write = [
            "WITH gone",
            "WITH x",
            "DELETE FROM customers",
            "UPDATE customers",
            "INSERT INTO customers",
            "INSERT OR",
            "REPLACE",
        ];
        if is_plain_write.iter().any(|start| sql.starts_with(start)) && !sql.contains(';') {
            continue;
        }
        caller.refusal("write_query", sql).await;
        assert_eq!(shop.files(), before, "{sql}");
    }
    for sql in [
        "INSERT INTO customers (id, name) SELECT n + 100, n FROM numbers UNION ALL SELECT 1, 'taken'",
        "INSERT OR ROLLBACK INTO customers (id, name) SELECT n + 100, n FROM numbers UNION ALL SELECT 1, 'taken'",
        "INSERT OR FAIL INTO customers (id, name) SELECT n + 100, n FROM numbers UNION ALL SELECT 1, 'taken'",
        "INSERT INTO customers (name) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
        "UPDATE customers SET name = (SELECT count(*) FROM numbers a, numbers b, numbers c)",
        "UPDATE customers SET name = load_extension('x')",
        "UPDATE customers SET name = randomblob(100)",
        "SELECT 1",
    ] {
        caller.refusal("write_query", sql).await;
        assert_eq!(caller.rows("SELECT * FROM customers").await.as_array().unwrap().len(), 2, "{sql}");
    }
    let changed = caller
        .call(
            "write_query",
            json!({ "sql": "UPDATE customers SET name = ? WHERE id = 1 RETURNING name", "params": ["Eva"] }),
        )
        .await;
    assert_eq!(changed["structuredContent"]["rows_changed"], 1, "{changed}");
    assert_eq!(changed["structuredContent"]["rows"], json!([["Eva"]]));
    assert_eq!(caller.rows("SELECT name FROM customers WHERE id = 1").await, json!([["Eva"]]));
}
