//! What an analyst asks of the demo database: every query must pass, and answers must come in pages, with words that
//! help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Shop;

const QUERIES: &[&str] = &[
    "SELECT * FROM customers LIMIT 5",
    "SELECT count(*) AS n FROM order_lines",
    "SELECT country, count(*) AS n FROM customers GROUP BY country ORDER BY n DESC, country",
    "SELECT segment, count(*) FILTER (WHERE phone IS NULL) AS without_phone FROM customers GROUP BY segment",
    "SELECT DISTINCT category FROM products ORDER BY 1",
    "SELECT category, round(avg(price), 2), min(price), max(price), sum(in_stock) FROM products GROUP BY category HAVING count(*) > 3",
    "SELECT * FROM monthly_revenue ORDER BY month",
    "SELECT month, revenue, revenue - lag(revenue) OVER (ORDER BY month) AS change FROM monthly_revenue",
    "SELECT month, sum(revenue) OVER (ORDER BY month ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS quarter FROM monthly_revenue",
    "SELECT name, salary, rank() OVER (PARTITION BY role ORDER BY salary DESC) FROM staff",
    "SELECT name, ntile(4) OVER (ORDER BY price) AS quartile FROM products LIMIT 10",
    "SELECT role, first_value(name) OVER w, last_value(name) OVER w FROM staff WINDOW w AS (PARTITION BY role ORDER BY salary)",
    "SELECT name, percent_rank() OVER (ORDER BY price), cume_dist() OVER (ORDER BY price) FROM products LIMIT 3",
    "SELECT row_number() OVER () AS n, dense_rank() OVER (ORDER BY status) FROM orders LIMIT 3",
    "WITH best AS (SELECT customer_id, sum(total) AS spent FROM order_totals GROUP BY 1) SELECT c.name, b.spent FROM best b JOIN customers c ON c.id = b.customer_id ORDER BY 2 DESC LIMIT 10",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b",
    "WITH RECURSIVE days(d) AS (SELECT date('2026-01-01') UNION ALL SELECT date(d, '+1 day') FROM days WHERE d < '2026-01-31') SELECT d, count(o.id) FROM days LEFT JOIN orders o ON o.ordered_on = d GROUP BY d",
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT sum(i) FROM n",
    "WITH RECURSIVE chain(id, name, depth) AS (SELECT id, name, 0 FROM staff WHERE manager_id IS NULL UNION ALL SELECT s.id, s.name, depth + 1 FROM staff s JOIN chain c ON s.manager_id = c.id) SELECT depth, count(*) FROM chain GROUP BY depth",
    "SELECT o.id, c.name, s.name AS seller FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN staff s ON s.id = o.staff_id LIMIT 5",
    "SELECT p.name FROM products p WHERE NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.product_id = p.id)",
    "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE ordered_on >= '2026-10-01') LIMIT 5",
    "SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS orders FROM customers c ORDER BY 2 DESC LIMIT 5",
    "SELECT id FROM customers EXCEPT SELECT customer_id FROM orders LIMIT 5",
    "SELECT city FROM customers INTERSECT SELECT city FROM staff",
    "SELECT 'a' AS k, 1 AS v UNION ALL SELECT 'b', 2",
    "VALUES (1, 'one'), (2, 'two')",
    "SELECT 1",
    "SELECT strftime('%Y', ordered_on) AS year, count(*) FROM orders GROUP BY year",
    "SELECT date('now'), datetime('2026-01-31', '+1 month'), julianday('2026-02-01') - julianday('2026-01-01')",
    "SELECT unixepoch('2026-01-01'), timediff('2026-03-01', '2026-01-01'), time('12:00', '+90 minutes')",
    "SELECT strftime('%w', ordered_on) AS weekday, count(*) FROM orders GROUP BY 1",
    "SELECT CASE WHEN price < 100 THEN 'low' WHEN price < 500 THEN 'middle' ELSE 'high' END AS band, count(*) FROM products GROUP BY band",
    "SELECT json_object('name', name, 'price', price) FROM products LIMIT 2",
    "SELECT json_group_array(name) FROM (SELECT name FROM staff ORDER BY name LIMIT 3)",
    "SELECT j.value, j.key FROM json_each('[10, 20, 30]') AS j",
    "SELECT json_extract('{\"a\": {\"b\": [1, 2]}}', '$.a.b[1]'), '{\"x\": 5}' -> 'x', '{\"x\": 5}' ->> '$.x'",
    "SELECT fullkey, atom FROM json_tree('{\"a\": [1, {\"b\": 2}]}') WHERE atom IS NOT NULL",
    "SELECT upper(name), lower(city), substr(email, 1, 3), instr(email, '@'), replace(phone, ' ', '') FROM customers LIMIT 2",
    "SELECT trim('  x  '), trim('xxaxx', 'x'), ltrim('00012', '0'), rtrim('1.500', '0'), length('é'), coalesce(NULL, 3), iif(1, 2, 3)",
    "SELECT round(2.567, 1), abs(-3), max(1, 2), min(1, 2), sign(-5), 7 / 2, 7 % 3, 7.0 / 2, 1 << 4",
    "SELECT printf('%05d|%-8s|%.2f', 42, 'ab', 3.14159), format('%,d', 1234567), hex('ab'), typeof(1.0), quote('it''s')",
    "SELECT group_concat(name, '; '), string_agg(role, ', ') FROM (SELECT name, role FROM staff LIMIT 3)",
    "SELECT name FROM products WHERE name LIKE '%laptop%' OR sku GLOB 'AUD-*' LIMIT 5",
    "SELECT name FROM customers WHERE name LIKE 'M_rco %' ESCAPE '!' LIMIT 3",
    "SELECT country, sum(total) FROM order_totals t JOIN customers c ON c.id = t.customer_id WHERE t.status = 'delivered' GROUP BY country ORDER BY 2 DESC LIMIT 5",
    "SELECT product_id, sum(quantity) AS sold FROM order_lines GROUP BY product_id ORDER BY sold DESC, product_id LIMIT 5",
    "SELECT status, round(100.0 * count(*) / (SELECT count(*) FROM orders), 1) AS percent FROM orders GROUP BY status",
    "SELECT avg(salary * salary) - avg(salary) * avg(salary) AS variance, total(salary) FROM staff",
    "SELECT o.id FROM orders o CROSS JOIN (SELECT max(ordered_on) AS last FROM orders) m WHERE o.ordered_on = m.last",
    "SELECT * FROM orders o FULL OUTER JOIN staff s ON s.id = o.staff_id LIMIT 3",
    "SELECT o.customer_id FROM orders o NATURAL JOIN (SELECT id FROM orders WHERE status = 'open') LIMIT 3",
    "SELECT rowid, id FROM products ORDER BY random() LIMIT 2",
    "SELECT (price, cost) > (100, 50) FROM products LIMIT 2",
    "SELECT name FROM products INDEXED BY products_by_category WHERE category = 'audio' LIMIT 2",
    "SELECT soundex('Robert'), unicode('A'), char(65, 66), nullif(1, 1), likely(1), octet_length('é'), unhex('4142')",
    "SELECT type, name, sql FROM sqlite_schema ORDER BY name",
    "SELECT 1 -- with a comment\n ; -- and after it",
    "/* first */ WITH x(y) AS (SELECT 5) SELECT y FROM x;",
    "SELECT \"name\" AS [full name], `city` FROM customers LIMIT 1",
];

#[tokio::test]
async fn every_query_an_analyst_asks_is_answered() {
    assert!(QUERIES.len() >= 40, "the table shrank to {}", QUERIES.len());
    let shop = Shop::sample();
    let caller = shop.open();
    let before = shop.files();
    for sql in QUERIES {
        let result = caller.query(sql).await;
        assert!(!result["columns"].as_array().unwrap().is_empty(), "{sql}");
        let plan = caller.call("explain_query", json!({ "sql": sql })).await;
        assert_eq!(plan["isError"], false, "{sql}\n{plan}");
    }
    assert!(shop.files() == before);
}

#[tokio::test]
async fn full_text_and_range_tables_can_be_searched() {
    let shop = Shop::of(
        "CREATE VIRTUAL TABLE notes USING fts5(title, body);
         INSERT INTO notes VALUES ('One', 'the quick brown fox'), ('Two', 'a lazy dog');
         CREATE VIRTUAL TABLE old_notes USING fts4(body);
         INSERT INTO old_notes VALUES ('the quick brown fox');
         CREATE VIRTUAL TABLE places USING rtree(id, x0, x1, y0, y1);
         INSERT INTO places VALUES (1, 0, 1, 0, 1), (2, 5, 6, 5, 6);",
    );
    let caller = shop.open();
    let sql = "SELECT title, snippet(notes, 1, '[', ']', '…', 5), bm25(notes) < 0 FROM notes WHERE notes MATCH 'fox' ORDER BY rank";
    assert_eq!(caller.rows(sql).await, json!([["One", "the quick brown [fox]", 1]]));
    assert_eq!(caller.rows("SELECT count(*) FROM old_notes WHERE body MATCH 'quick'").await, json!([[1]]));
    assert_eq!(caller.rows("SELECT id FROM places WHERE x0 > 2").await, json!([[2]]));
}

#[tokio::test]
async fn parameters_are_values_and_never_sql() {
    let shop = Shop::sample();
    let caller = shop.open();
    let arguments = json!({
        "sql": "SELECT ?, ?, ?, ?, typeof(?), count(*) FROM customers WHERE name = ?",
        "params": [1, 2.5, null, true, "x", "'; DROP TABLE customers; --"]
    });
    let result = caller.call("read_query", arguments).await;
    assert_eq!(result["structuredContent"]["rows"], json!([[1, 2.5, null, 1, "text", 0]]), "{result}");
    let result = caller.call("read_query", json!({ "sql": "SELECT ?", "params": [] })).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("1 parameters"), "{result}");
}

#[tokio::test]
async fn a_long_result_comes_in_pages_that_join_without_gap() {
    let shop = Shop::sample();
    let mut options = shop.options();
    options.max_rows = 70;
    let caller = shop.serve(options);
    let sql = "SELECT id FROM products ORDER BY id";
    let (mut ids, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let mut arguments = json!({ "sql": sql });
        if !cursor.is_null() {
            arguments["cursor"] = cursor.clone();
        }
        let result = caller.call("read_query", arguments).await;
        let result = &result["structuredContent"];
        ids.extend(result["rows"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()));
        pages += 1;
        cursor = result["next_cursor"].clone();
        assert_eq!(result["truncated"], json!(!cursor.is_null()));
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((ids, pages), ((1..=240).collect(), 4));
}

#[tokio::test]
async fn a_cursor_of_another_statement_or_a_damaged_one_is_refused() {
    let shop = Shop::sample();
    let caller = shop.open();
    let cursor = caller.query("SELECT id FROM customers").await["next_cursor"].as_str().unwrap().to_owned();
    for (sql, params, cursor, hint) in [
        ("SELECT name FROM customers", json!([]), cursor.clone(), "another statement"),
        ("SELECT id FROM customers", json!([1]), cursor.clone(), "another statement"),
        ("SELECT id FROM customers", json!([]), cursor[1..].to_owned(), "damaged"),
        ("SELECT id FROM customers", json!([]), "1000".to_owned(), "damaged"),
    ] {
        let result =
            caller.call("read_query", json!({ "sql": sql, "params": params, "cursor": cursor })).await;
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(result["isError"] == true && text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn a_page_ends_when_its_bytes_are_used_up_and_one_row_too_large_says_what_to_do() {
    let shop = Shop::of(
        "CREATE TABLE t (x); INSERT INTO t VALUES (printf('%5000d', 1)), (printf('%5000d', 2)), (printf('%5000d', 3));",
    );
    let mut options = shop.options();
    options.max_bytes = 12_000;
    let caller = shop.serve(options);
    let result = caller.query("SELECT x FROM t").await;
    assert_eq!((result["row_count"].clone(), result["truncated"].clone()), (json!(2), json!(true)));
    let why = caller.refusal("read_query", "SELECT group_concat(x) FROM t").await;
    assert!(why.contains("substr"), "{why}");
}

#[tokio::test]
async fn values_keep_their_meaning_in_json() {
    let shop = Shop::of("CREATE TABLE t (x)");
    let rows = shop
        .open()
        .rows("SELECT 9007199254740991, 9007199254740993, 1e999, -1e999, x'00ff', 0.1, 'é', NULL")
        .await;
    let expected = json!([[
        9_007_199_254_740_991_u64,
        "9007199254740993",
        "Infinity",
        "-Infinity",
        "x'00FF' (2 bytes)",
        0.1,
        "é",
        null
    ]]);
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn errors_tell_how_to_correct_the_statement() {
    let shop = Shop::sample();
    let caller = shop.open();
    for (sql, hints) in [
        (
            "SELECT custmer_id FROM orders",
            &["no column `custmer_id` in `orders`", "did you mean `customer_id`?", "describe_table"][..],
        ),
        (
            "SELECT o.custmer_id FROM orders o JOIN staff s ON s.id = o.staff_id",
            &["did you mean `customer_id`?"],
        ),
        ("SELECT xyzzy FROM staff", &["no column `xyzzy`", "it has `id`, `name`"]),
        ("SELECT name FROM customers WHERE city = \"Lisbon\"", &["single quotes"]),
        ("SELECT * FROM custmers", &["no table or view `custmers`", "did you mean `customers`?"]),
        ("SELECT * FROM zzz", &["there are `customer_contacts`, `customers`"]),
        ("SELECT year(ordered_on) FROM orders", &["strftime"]),
        ("SELECT TOP 5 * FROM orders", &["syntax error", "line 1", "LIMIT"]),
        (
            "SELECT id FROM orders o JOIN customers c ON c.id = o.customer_id",
            &["more than one of the tables"],
        ),
        ("PRAGMA table_info(orders)", &["PRAGMA is not allowed", "describe_table"]),
        ("DELETE FROM orders", &["not allowed here", "SELECT"]),
        ("SELECT 1; SELECT 2", &["more than one statement"]),
        ("SELECT randomblob(5)", &["`randomblob` is not available"]),
    ] {
        let why = caller.refusal("read_query", sql).await;
        for hint in hints {
            assert!(why.contains(hint), "{sql}\n{why}");
        }
    }
    let result = caller.call("describe_table", json!({ "table": "custmers" })).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("did you mean `customers`?"), "{result}");
    let result = caller.call("read_query", json!({ "sql": "SELECT 1", "limit": 5 })).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("unknown field `limit`"), "{result}");
}

#[tokio::test]
async fn tables_are_described_with_what_a_model_needs_to_join_them() {
    let shop = Shop::sample();
    let caller = shop.open();
    let list = caller.call("list_tables", json!({})).await["structuredContent"].clone();
    let customers =
        list["tables"].as_array().unwrap().iter().find(|table| table["name"] == "customers").unwrap();
    assert_eq!(customers, &json!({ "name": "customers", "kind": "table", "columns": 8, "rows": 5000 }));
    let orders =
        caller.call("describe_table", json!({ "table": "Orders" })).await["structuredContent"].clone();
    assert_eq!(orders["rows"], 15_000);
    assert_eq!(orders["columns"][0]["primary_key"], 1);
    assert!(orders["columns"][4]["samples"].as_array().is_some_and(|samples| !samples.is_empty()));
    let reference = json!({ "column": "customer_id", "table": "customers", "to": "id" });
    assert!(orders["foreign_keys"].as_array().unwrap().contains(&reference), "{orders}");
    let index =
        json!({ "name": "orders_by_day", "columns": ["ordered_on"], "unique": false, "partial": false });
    assert!(orders["indexes"].as_array().unwrap().contains(&index), "{orders}");
    let lines = caller.call("describe_table", json!({ "table": "order_lines" })).await;
    assert_eq!(lines["structuredContent"]["columns"][1]["primary_key"], 2);
    let view = caller.call("describe_table", json!({ "table": "customer_contacts" })).await;
    assert_eq!(view["structuredContent"]["kind"], "view");
}

#[tokio::test]
async fn a_plan_warns_of_what_is_slow() {
    let shop = Shop::sample();
    let caller = shop.open();
    let sql = "SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.email = 'x' ORDER BY o.status";
    let plan = caller.call("explain_query", json!({ "sql": sql })).await;
    let warnings = plan["structuredContent"]["warnings"].to_string();
    assert!(warnings.contains("sorted for ORDER BY"), "{plan}");
    let plan =
        caller.call("explain_query", json!({ "sql": "SELECT name FROM customers WHERE email = 'x'" })).await;
    assert!(plan["structuredContent"]["warnings"].to_string().contains("every row of `customers`"), "{plan}");
    let plan =
        caller.call("explain_query", json!({ "sql": "SELECT name FROM customers WHERE id = 5" })).await;
    assert_eq!(plan["structuredContent"]["warnings"], json!([]), "{plan}");
}
