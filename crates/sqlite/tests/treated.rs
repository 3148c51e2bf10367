//! Treated columns are shown in another form and are NULL for everything else, whatever the statement tries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use support::{Caller, Shop};

/// `phones`: of the five customers.
fn schema(phones: [&str; 5]) -> String {
    let [a, b, c, d, e] = phones;
    format!(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, city TEXT, balance REAL,
           area TEXT AS (substr(phone, 1, 3)), code TEXT AS (substr(phone, 1, 2)) STORED);
         INSERT INTO customers (id, name, phone, city, balance) VALUES
           (1, 'Ana', {a}, 'Lisbon', 1.5), (2, 'Bea', {b}, 'Porto', 7.25), (3, 'Caio', {c}, 'Lisbon', 3),
           (4, 'Duda', {d}, 'Faro', NULL), (5, 'Eva', {e}, 'Porto', 2);
         CREATE INDEX by_city ON customers (city);
         CREATE INDEX by_phone ON customers (phone);
         CREATE INDEX by_name_and_phone ON customers (name, phone);
         CREATE INDEX by_start ON customers (substr(phone, 1, 2));
         CREATE INDEX some ON customers (balance) WHERE phone > '5';
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, total REAL, phone TEXT);
         INSERT INTO orders VALUES (10, 1, 5, '4911'), (11, 1, 6, '77'), (12, 3, 7, '4930'), (13, 5, 8, NULL);
         CREATE TABLE keyed (phone TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID;
         INSERT INTO keyed SELECT coalesce(phone, 'none') || '-' || id, 'note ' || id FROM customers;
         CREATE VIEW contacts AS SELECT id, name, city, phone AS number FROM customers;
         CREATE VIEW starts AS SELECT id, substr(phone, 1, 2) AS start FROM customers;
         CREATE VIEW called AS SELECT name FROM customers WHERE phone LIKE '49%';"
    )
}

fn shops() -> [Shop; 3] {
    [
        Shop::of(&schema(["'4911'", "'4930'", "'77'", "'77'", "'5512345678'"])),
        Shop::of(&schema(["'88'", "'77'", "'4911'", "'4930'", "'88'"])),
        Shop::of(&schema(["NULL", "'4911'", "NULL", "'1'", "2"])),
    ]
}

fn key() -> Value {
    json!({ "key": BASE64URL_NOPAD.encode(&[9; 32]) })
}

fn mask(treatment: &str) -> Value {
    json!({ "default": true, "exceptions": ["keyed.phone"], "treat": { "Customers.PHONE": treatment } })
}

fn open(shop: &Shop) -> Caller {
    shop.masked(mask("token")).decided(key())
}

/// What the columns of an answer hold that show tokens in one of the answers.
fn tokens(answers: &[Value]) -> BTreeSet<usize> {
    let cells = answers
        .iter()
        .flat_map(|answer| answer["structuredContent"]["rows"].as_array().into_iter().flatten());
    let is_token = |cell: &Value| cell.as_str().is_some_and(|text| text.starts_with("tok_"));
    cells
        .flat_map(|row| row.as_array().unwrap().iter().enumerate())
        .filter(|(_, cell)| is_token(cell))
        .map(|(at, _)| at)
        .collect()
}

/// An answer without the cells of these columns, their types and the text, which shows the same cells.
fn without(answer: &Value, columns: &BTreeSet<usize>) -> Value {
    let mut answer = answer.clone();
    if answer["isError"] == true {
        return answer;
    }
    for row in answer["structuredContent"]["rows"].as_array_mut().into_iter().flatten() {
        columns.iter().for_each(|at| row[*at] = json!("…"));
    }
    columns.iter().for_each(|at| answer["structuredContent"]["columns"][*at]["type"] = json!("…"));
    answer["content"] = Value::Null;
    answer
}

/// Each tries to learn more of `customers.phone` than its tokens.
#[expect(clippy::too_many_lines, reason = "a table")]
fn attempts() -> Vec<&'static str> {
    vec![
        "SELECT substr(phone, 1, 3) FROM customers",
        "SELECT name FROM customers WHERE phone LIKE '49%'",
        "SELECT name FROM customers WHERE phone GLOB '49*'",
        "SELECT name FROM customers NOT INDEXED WHERE phone = '4911'",
        "SELECT name FROM customers WHERE phone IS NULL",
        "SELECT name FROM customers WHERE phone IS NOT NULL",
        "SELECT name FROM customers WHERE phone BETWEEN '4' AND '5'",
        "SELECT name FROM customers WHERE phone IN ('4911', '77')",
        "SELECT name FROM customers WHERE phone NOT IN (SELECT phone FROM orders)",
        "SELECT name FROM customers WHERE (phone, id) > ('5', 1)",
        "SELECT name FROM customers WHERE +phone > '5'",
        "SELECT name FROM customers WHERE unlikely(phone > '5')",
        "SELECT name FROM customers WHERE substr(phone, 1, 2) = '49'",
        "SELECT name, phone FROM customers WHERE phone > '5'",
        "SELECT phone FROM customers ORDER BY phone",
        "SELECT name FROM customers NOT INDEXED ORDER BY phone DESC",
        "SELECT name, phone FROM customers NOT INDEXED ORDER BY 2 LIMIT 1",
        "SELECT name FROM customers NOT INDEXED ORDER BY phone IS NULL, name",
        "SELECT name FROM customers NOT INDEXED ORDER BY length(phone)",
        "SELECT name FROM (SELECT name, phone AS p FROM customers) ORDER BY p",
        "SELECT name FROM customers INDEXED BY by_phone",
        "SELECT id FROM customers",
        "SELECT phone FROM customers INDEXED BY by_phone",
        "SELECT phone FROM customers INDEXED BY by_name_and_phone WHERE name > 'A'",
        "SELECT balance FROM customers INDEXED BY some WHERE phone > '5'",
        "SELECT phone, count(*) FROM customers NOT INDEXED GROUP BY phone",
        "SELECT count(*) FROM customers NOT INDEXED GROUP BY substr(phone, 1, 2)",
        "SELECT city FROM customers NOT INDEXED GROUP BY city HAVING max(phone) > '5'",
        "SELECT DISTINCT phone FROM customers NOT INDEXED",
        "SELECT DISTINCT city, phone FROM customers NOT INDEXED",
        "SELECT count(DISTINCT phone) FROM customers NOT INDEXED",
        "SELECT count(phone) FROM customers NOT INDEXED",
        "SELECT max(phone), min(phone) FROM customers NOT INDEXED",
        "SELECT name, max(phone) FROM customers NOT INDEXED",
        "SELECT group_concat(phone) FROM customers NOT INDEXED",
        "SELECT json_group_array(phone) FROM customers NOT INDEXED",
        "SELECT sum(phone), avg(phone), total(phone) FROM customers NOT INDEXED",
        "SELECT count(*) FILTER (WHERE phone > '5') FROM customers NOT INDEXED",
        "SELECT group_concat(name ORDER BY phone) FROM customers NOT INDEXED",
        "SELECT CASE phone WHEN '4911' THEN 1 ELSE 0 END FROM customers NOT INDEXED",
        "SELECT CASE WHEN phone > '5' THEN name END FROM customers NOT INDEXED",
        "SELECT iif(phone = '77', phone, name) FROM customers NOT INDEXED",
        "SELECT coalesce(phone, 'none') FROM customers NOT INDEXED",
        "SELECT ifnull(phone, name) FROM customers NOT INDEXED",
        "SELECT nullif(phone, '4911') FROM customers NOT INDEXED",
        "SELECT phone || '' FROM customers NOT INDEXED",
        "SELECT 'x' || phone || name FROM customers NOT INDEXED",
        "SELECT CAST(phone AS INTEGER) FROM customers NOT INDEXED",
        "SELECT phone + 0, -phone, ~phone, NOT phone FROM customers NOT INDEXED",
        "SELECT phone = '77', phone > '5', phone IS '77', phone IN ('77') FROM customers NOT INDEXED",
        "SELECT length(phone), typeof(phone), hex(phone), quote(phone), unicode(phone) FROM customers NOT INDEXED",
        "SELECT printf('%s', phone), lower(phone), json_object('p', phone), json_array(phone) FROM customers NOT INDEXED",
        "SELECT max(phone, '5'), min(phone, '5') FROM customers NOT INDEXED",
        "SELECT phone COLLATE NOCASE = '4911' FROM customers NOT INDEXED",
        "SELECT phone ->> '$', json_valid(phone) FROM customers NOT INDEXED",
        "SELECT area, code, name FROM customers NOT INDEXED",
        "SELECT name FROM customers NOT INDEXED WHERE area = '491'",
        "SELECT c.name FROM customers c JOIN orders o ON o.phone = c.phone",
        "SELECT c.name FROM customers c JOIN orders o USING (phone)",
        "SELECT c.name FROM customers c NATURAL JOIN (SELECT '77' AS phone)",
        "SELECT o.id FROM orders o LEFT JOIN customers c ON o.phone = c.phone WHERE c.name IS NULL",
        "SELECT a.name, b.name FROM customers a, customers b WHERE a.phone = b.phone AND a.id < b.id",
        "SELECT c.name, o.id FROM orders o JOIN customers c ON c.balance < o.total AND c.phone > o.phone",
        "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.phone = c.phone)",
        "SELECT (SELECT count(*) FROM orders o WHERE o.phone = c.phone) FROM customers c NOT INDEXED",
        "SELECT '77' IN (SELECT phone FROM customers)",
        "SELECT EXISTS (SELECT 1 FROM customers WHERE phone = '4911')",
        "SELECT phone FROM customers UNION SELECT '77'",
        "SELECT phone FROM customers UNION ALL SELECT '77'",
        "SELECT phone FROM customers UNION ALL VALUES ('77'), ('4911')",
        "SELECT phone FROM customers UNION ALL SELECT phone FROM orders",
        "SELECT phone FROM customers UNION ALL SELECT name FROM customers",
        "SELECT phone FROM customers INTERSECT SELECT phone FROM orders",
        "SELECT phone FROM orders EXCEPT SELECT phone FROM customers",
        "SELECT p FROM (SELECT phone AS p FROM customers UNION ALL SELECT '77') WHERE p = '77'",
        "SELECT iif(id = 1, phone, '77') FROM customers NOT INDEXED",
        "SELECT CASE WHEN city = 'Faro' THEN phone ELSE '77' END FROM customers NOT INDEXED",
        "WITH RECURSIVE r(p, n) AS (SELECT phone, 1 FROM customers UNION ALL SELECT '77', n + 1 FROM r WHERE n < 3) SELECT p FROM r",
        "WITH RECURSIVE r(p, n) AS (SELECT phone, 1 FROM customers UNION SELECT p, n + 1 FROM r WHERE n < 3) SELECT n FROM r",
        "SELECT name, rank() OVER (ORDER BY phone) FROM customers NOT INDEXED ORDER BY name",
        "SELECT name, row_number() OVER (PARTITION BY phone ORDER BY name) FROM customers NOT INDEXED ORDER BY name",
        "SELECT name, count(phone) OVER () FROM customers NOT INDEXED",
        "SELECT name, lag(phone, 1, '77') OVER (ORDER BY name) FROM customers NOT INDEXED",
        "SELECT name FROM customers NOT INDEXED LIMIT (SELECT phone FROM customers WHERE id = 2)",
        "SELECT name FROM customers NOT INDEXED LIMIT 3 OFFSET (SELECT length(phone) FROM customers WHERE id = 1)",
        "SELECT j.value FROM customers c NOT INDEXED, json_each(json_array(c.phone)) j",
        "SELECT j.value FROM customers c NOT INDEXED, json_each(c.phone) j",
        "SELECT start FROM starts",
        "SELECT name FROM called",
        "SELECT name FROM contacts WHERE number LIKE '49%'",
        "SELECT name FROM contacts ORDER BY number",
        "SELECT name, phone FROM customers NOT INDEXED ORDER BY name || phone",
        "SELECT * FROM (SELECT printf('%1048550d', 1) AS pad, phone FROM customers NOT INDEXED ORDER BY balance LIMIT 3) WHERE length(pad) < 0",
        "SELECT length(pad) FROM (SELECT replace(hex(zeroblob(10)), '0', name) || printf('%1048550d', 1) AS pad, phone, balance FROM customers NOT INDEXED ORDER BY balance)",
        "SELECT phone, printf('%1048560d', id) FROM customers NOT INDEXED ORDER BY balance",
        "SELECT phone FROM keyed",
        "SELECT note FROM keyed WHERE phone > '5'",
        "SELECT note FROM customers JOIN keyed USING (phone)",
        "SELECT c.phone FROM customers c JOIN keyed k ON k.note = 'note ' || c.id",
        "SELECT max(id), phone FROM customers NOT INDEXED WHERE phone > '4'",
        "VALUES ((SELECT phone FROM customers ORDER BY phone LIMIT 1))",
        "SELECT name FROM customers NOT INDEXED GROUP BY name ORDER BY max(phone)",
        "SELECT total(phone = '77') FROM customers NOT INDEXED",
        "SELECT 1 FROM customers NOT INDEXED WHERE phone",
        "SELECT name FROM customers NOT INDEXED WHERE NOT phone > '5' OR city = 'Faro'",
    ]
}

#[tokio::test]
async fn nothing_but_its_treated_cells_depends_on_a_treated_column() {
    let shops = shops();
    let callers: Vec<Caller> = shops.iter().map(open).collect();
    let attempts = attempts();
    assert!(attempts.len() >= 60);
    for sql in attempts {
        for tool in ["read_query", "explain_query"] {
            let mut answers = Vec::new();
            for caller in &callers {
                answers.push(caller.call(tool, json!({ "sql": sql })).await);
            }
            let shown = tokens(&answers);
            let plain: Vec<Value> = answers.iter().map(|answer| without(answer, &shown)).collect();
            assert!(plain.iter().all(|answer| *answer == plain[0]), "{sql}\n{answers:#?}");
            let text = answers[0].to_string();
            let secrets = ["4911", "4930", "5512345678"];
            assert!(
                secrets
                    .iter()
                    .all(|secret| sql.contains(secret) || sql.contains("orders") || !text.contains(secret)),
                "{sql}\n{text}"
            );
        }
    }
}

/// Statements that only show the column; `NAME` stands for its value in the expected rows.
#[tokio::test]
async fn a_value_that_is_only_shown_is_shown_treated_whatever_way_it_took() {
    let [shop, ..] = shops();
    let (caller, plain) = (open(&shop), shop.masked(json!({ "default": true })));
    let map = token_map(&caller, &plain).await;
    for sql in [
        "SELECT phone AS remark FROM customers NOT INDEXED",
        "SELECT name, phone FROM customers NOT INDEXED ORDER BY name",
        "SELECT name, phone FROM customers NOT INDEXED ORDER BY name LIMIT 3",
        "SELECT phone, name FROM customers NOT INDEXED ORDER BY balance DESC, name LIMIT 2 OFFSET 1",
        "SELECT upper(name), phone, round(balance) FROM customers NOT INDEXED ORDER BY city, name",
        "SELECT * FROM (SELECT name, phone AS p FROM customers NOT INDEXED) WHERE name < 'D'",
        "WITH c AS (SELECT name, phone AS p FROM customers NOT INDEXED) SELECT p, name FROM c WHERE name > 'B'",
        "WITH c AS MATERIALIZED (SELECT id, phone AS p FROM customers NOT INDEXED) SELECT x.p, y.p FROM c x JOIN c y ON x.id < y.id",
        "SELECT number, name, city FROM contacts",
        "SELECT number FROM contacts WHERE id = 2",
        "SELECT phone FROM customers WHERE id = 3",
        "SELECT name, phone FROM customers WHERE city = 'Lisbon'",
        "SELECT phone FROM customers NOT INDEXED UNION ALL SELECT number FROM contacts WHERE id < 4",
        "SELECT phone FROM customers WHERE id = 1 UNION ALL SELECT NULL",
        "SELECT o.id, c.phone FROM orders o JOIN customers c ON c.id = o.customer ORDER BY o.id",
        "SELECT o.id, c.phone FROM orders o LEFT JOIN customers c ON c.id = o.customer AND c.id > 1",
        "SELECT o.total, (SELECT phone FROM customers c WHERE c.id = o.customer) FROM orders o",
        "SELECT name, phone, row_number() OVER (ORDER BY name) FROM customers NOT INDEXED",
        "SELECT name, lag(phone) OVER (ORDER BY name), first_value(phone) OVER (ORDER BY name) FROM customers NOT INDEXED",
        "SELECT CASE WHEN city = 'Lisbon' THEN phone END FROM customers NOT INDEXED",
        "SELECT city, phone, max(balance) FROM customers NOT INDEXED GROUP BY city",
        "SELECT city, count(*) FROM customers NOT INDEXED GROUP BY city",
        "SELECT a.phone, b.phone FROM customers a, customers b WHERE a.id < b.id AND a.city = b.city",
        "SELECT phone, phone, phone FROM customers NOT INDEXED LIMIT 1",
        "SELECT p FROM (SELECT phone AS p, balance FROM customers NOT INDEXED ORDER BY balance LIMIT 3) ORDER BY balance DESC",
    ] {
        let ours = caller.query(sql).await;
        let theirs = plain.query(sql).await;
        assert_eq!(ours.get("masked"), None, "{sql}\n{ours}");
        assert_eq!(
            ours["rows"],
            mapped(&theirs["rows"], &map, &tokens(&[json!({ "structuredContent": ours })])),
            "{sql}"
        );
        if sql.contains("phone") && !sql.contains("count(*)") {
            assert_eq!(ours["treated"], json!({ "customers.phone": "token" }), "{sql}\n{ours}");
        }
    }
}

async fn token_map(caller: &Caller, plain: &Caller) -> BTreeMap<String, Value> {
    let sql = "SELECT phone FROM customers NOT INDEXED ORDER BY id";
    let (ours, theirs) = (caller.rows(sql).await, plain.rows(sql).await);
    let pairs = theirs.as_array().unwrap().iter().zip(ours.as_array().unwrap());
    let map: BTreeMap<String, Value> =
        pairs.map(|(raw, token)| (raw[0].to_string(), token[0].clone())).collect();
    let tokens: BTreeSet<String> = map.values().map(Value::to_string).collect();
    assert_eq!(tokens.len(), map.len(), "equal values have equal tokens, others have others");
    map
}

fn mapped(rows: &Value, map: &BTreeMap<String, Value>, columns: &BTreeSet<usize>) -> Value {
    let mut rows = rows.clone();
    for row in rows.as_array_mut().unwrap() {
        for at in columns.iter().filter(|at| !row[**at].is_null()).copied().collect::<Vec<_>>() {
            row[at] = map[&row[at].to_string()].clone();
        }
    }
    rows
}

#[tokio::test]
async fn each_treatment_has_its_form_and_text_and_structure_show_the_same() {
    let [shop, ..] = shops();
    type Form = fn(&str) -> bool;
    let cases: [(&str, Form); 4] = [
        ("hash", |text| text.len() == 32),
        ("token", |text| text.len() == 24 && text.starts_with("tok_")),
        ("partial", |text| text == "••••••5678"),
        ("mask", |text| text == "[masked]"),
    ];
    for (treatment, check) in cases {
        let caller = shop.masked(mask(treatment)).decided(key());
        let result =
            caller.call("read_query", json!({ "sql": "SELECT phone FROM customers WHERE id = 5" })).await;
        let shown = result["structuredContent"]["rows"][0][0].as_str().unwrap().to_owned();
        assert!(check(&shown), "{treatment}: {shown}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(&shown) && text.contains(&format!("customers.phone ({treatment})")), "{text}");
        assert!(!result.to_string().contains("5512345678"));
        let table = caller.call("describe_table", json!({ "table": "customers" })).await;
        assert!(!table.to_string().contains("5512345678") && !table.to_string().contains("4911"), "{table}");
        assert_eq!(table["structuredContent"]["columns"][2]["treated"], treatment);
        assert!(
            !table["structuredContent"]["columns"][2]["samples"].as_array().unwrap().is_empty(),
            "{table}"
        );
    }
}

#[tokio::test]
async fn one_column_may_be_hidden_by_its_use_while_another_is_shown() {
    let [shop, ..] = shops();
    let caller = shop
        .masked(
            json!({ "default": true, "treat": { "customers.phone": "token", "customers.name": "partial" } }),
        )
        .decided(key());
    let result =
        caller.query("SELECT name, phone FROM customers NOT INDEXED WHERE phone IS NULL AND id = 1").await;
    assert_eq!(result["rows"], json!([["••a", null]]), "{result}");
    assert_eq!(result["masked"], json!(["customers.phone"]));
    assert_eq!(result["treated"], json!({ "customers.name": "partial" }));
}

#[tokio::test]
async fn what_cannot_be_treated_is_hidden() {
    let [shop, ..] = shops();
    let treat = json!({ "customers.id": "token", "customers.area": "token", "keyed.phone": "token", "contacts.number": "token", "orders.phone": "token" });
    let caller =
        shop.masked(json!({ "default": true, "exceptions": ["orders.*"], "treat": treat })).decided(key());
    assert_eq!(
        caller.rows("SELECT id, area FROM customers NOT INDEXED WHERE name = 'Ana'").await,
        json!([[null, null]])
    );
    caller.refusal("read_query", "SELECT phone FROM keyed").await;
    caller.refusal("read_query", "SELECT phone FROM orders").await;
    assert_eq!(caller.rows("SELECT number FROM contacts WHERE name = 'Ana'").await, json!([[null]]));
}

#[tokio::test]
async fn a_decision_that_cannot_be_kept_is_no_assertion() {
    let [shop, ..] = shops();
    let caller = shop.masked(mask("token"));
    for (mask, extra) in [
        (mask("token"), json!({})),
        (mask("hash"), json!({ "key": "AAAA" })),
        (mask("rot13"), key()),
        (json!({ "default": true, "drop": [] }), json!({})),
        (json!({ "default": true }), json!({ "rows": 0 })),
        (json!({ "default": true }), json!({ "bytes": -1 })),
        (json!({ "default": true }), json!({ "changes": { "default": true, "but": [] } })),
        (json!({ "default": true }), json!({ "sql": { "reads": [], "deletes": [] } })),
        (json!({ "default": true }), json!({ "trial": "yes" })),
    ] {
        let caller = caller.seeing(mask).decided(extra);
        let message = support::call_message("list_tables", json!({}));
        let (status, answer) =
            support::post(&caller.service, caller.assertion("list_tables").as_deref(), message).await;
        assert_eq!(status, 401, "{answer}");
    }
}

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(choices).prop_map(str::to_owned)
}

fn query() -> impl Strategy<Value = String> {
    let what = one_of(&[
        "a.phone",
        "a.phone, a.name",
        "a.name, a.phone AS p",
        "a.city, count(*)",
        "a.phone, count(*)",
        "upper(a.name), a.phone",
        "length(a.phone), a.name",
        "a.name, (SELECT b.phone FROM customers b WHERE b.id = a.id)",
        "a.name, (SELECT max(b.phone) FROM customers b WHERE b.city = a.city)",
        "CASE WHEN a.id > 2 THEN a.phone END, a.id",
        "CASE WHEN a.id > 2 THEN a.phone ELSE a.name END",
        "a.phone, row_number() OVER (ORDER BY a.name)",
        "a.name, rank() OVER (ORDER BY a.phone)",
        "lead(a.phone) OVER (PARTITION BY a.city ORDER BY a.id), a.name",
        "a.id, a.phone, a.phone",
        "coalesce(a.phone, 'x')",
        "a.phone || a.name",
        "DISTINCT a.phone",
        "DISTINCT a.city",
    ]);
    let from = one_of(&[
        "customers a NOT INDEXED",
        "(SELECT * FROM customers NOT INDEXED) a",
        "(SELECT * FROM customers NOT INDEXED ORDER BY balance LIMIT 4) a",
        "(SELECT id, name, city, number AS phone FROM contacts) a",
        "(SELECT id, name, phone, city FROM customers NOT INDEXED UNION ALL SELECT id + 10, name, phone, city FROM customers NOT INDEXED) a",
        "(SELECT id, name, phone, city FROM customers NOT INDEXED UNION SELECT id + 10, name, phone, city FROM customers NOT INDEXED) a",
        "(SELECT id, name, phone, city FROM customers NOT INDEXED UNION ALL VALUES (9, 'Zé', '77', 'Faro')) a",
        "m a",
        "m a JOIN m z ON a.id = z.id + 1",
        "customers a NOT INDEXED LEFT JOIN orders o ON o.customer = a.id",
        "customers a NOT INDEXED JOIN orders o ON o.phone = a.phone",
        "orders o JOIN customers a ON a.id = o.customer",
        "orders o LEFT JOIN customers a ON a.balance = o.total",
    ]);
    let condition = one_of(&[
        "",
        "",
        "WHERE a.id > 1",
        "WHERE a.city = 'Lisbon'",
        "WHERE a.phone > '5'",
        "WHERE a.phone IS NOT NULL",
        "WHERE a.name IN (SELECT name FROM customers WHERE balance > 2)",
        "WHERE a.phone IN (SELECT phone FROM orders)",
        "GROUP BY a.city",
        "GROUP BY a.phone",
    ]);
    let order = one_of(&[
        "",
        "",
        "ORDER BY a.name",
        "ORDER BY a.city, a.id LIMIT 3",
        "ORDER BY a.id DESC LIMIT 2 OFFSET 1",
        "ORDER BY a.phone",
        "LIMIT 2",
    ]);
    (what, from, condition, order).prop_map(|(what, from, condition, order)| {
        let with = if from.contains("m a") {
            "WITH m AS MATERIALIZED (SELECT id, name, phone, city, balance FROM customers NOT INDEXED) "
        } else {
            ""
        };
        format!("{with}SELECT {what} FROM {from} {condition} {order}")
    })
}

/// Databases that differ in the treated column alone give the same answer but for treated cells; and where nothing was
/// hidden, the answer is the one that everybody else gets, with each value of the column treated.
#[test]
fn treated_values_influence_nothing_but_the_cells_that_show_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shops = shops();
    let callers: Vec<Caller> = shops.iter().map(open).collect();
    let plain = shops[0].masked(json!({ "default": true }));
    let map = runtime.block_on(token_map(&callers[0], &plain));
    let shown = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(sql in query())| {
        let arguments = json!({ "sql": sql });
        let (answers, theirs) = runtime.block_on(async {
            let mut answers = Vec::new();
            for caller in &callers {
                answers.push(caller.call("read_query", arguments.clone()).await);
            }
            (answers, plain.call("read_query", arguments).await)
        });
        let columns = tokens(&answers);
        for answer in &answers {
            prop_assert_eq!(without(answer, &columns), without(&answers[0], &columns), "{}", sql);
        }
        let ours = &answers[0]["structuredContent"];
        if !columns.is_empty() && ours.get("masked").is_none() {
            shown.set(shown.get() + 1);
            prop_assert_eq!(&ours["rows"], &mapped(&theirs["structuredContent"]["rows"], &map, &columns), "{}", sql);
        }
    });
    assert!(shown.get() > 40, "only {} answers showed treated values", shown.get());
}
