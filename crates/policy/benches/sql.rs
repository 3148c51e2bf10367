//! What the facts about one statement of about 1 KB cost, by its shape.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use portunus_policy::sql::{Dialect, Tables, facts, facts_with};
use std::hint::black_box;

/// 1 KB of numbers.
fn list() -> String {
    let numbers: Vec<String> = (100_000..100_125).map(|n| n.to_string()).collect();
    format!("SELECT name, email FROM customers WHERE country = 'PT' AND id IN ({})", numbers.join(", "))
}

/// What a model writes: common table expressions, joins, windows.
const ANALYTICAL: &str = "WITH monthly AS (SELECT o.customer_id, strftime('%Y-%m', o.ordered_on) AS month, sum(l.quantity * l.unit_price) AS revenue, count(DISTINCT o.id) AS orders FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.status <> 'cancelled' AND o.ordered_on >= date('now', '-12 months') GROUP BY o.customer_id, month), ranked AS (SELECT m.customer_id, m.month, m.revenue, m.orders, rank() OVER (PARTITION BY m.month ORDER BY m.revenue DESC) AS place, lag(m.revenue) OVER (PARTITION BY m.customer_id ORDER BY m.month) AS previous FROM monthly m) SELECT c.name, c.country, c.segment, r.month, round(r.revenue, 2) AS revenue, r.orders, r.place, CASE WHEN r.previous IS NULL THEN 'new' WHEN r.revenue > r.previous THEN 'up' ELSE 'down' END AS trend FROM ranked r JOIN customers c ON c.id = r.customer_id LEFT JOIN staff s ON s.id = c.account_manager_id WHERE r.place <= 10 AND c.country IN ('PT', 'ES', 'FR', 'DE') AND EXISTS (SELECT 1 FROM events e WHERE e.customer_id = c.id AND e.kind = 'visit') ORDER BY r.month DESC, r.place LIMIT 100";

/// Many columns, named one by one.
fn wide() -> String {
    let columns: Vec<String> = (0..80).map(|n| format!("o.column_{n:02}")).collect();
    format!("SELECT {} FROM orders o WHERE o.id = 7", columns.join(", "))
}

/// A comment and a literal that are long.
fn text() -> String {
    format!(
        "-- {}\nSELECT id FROM notes WHERE body = '{}'",
        "what was asked ".repeat(30),
        "words of it ".repeat(40)
    )
}

fn shapes(criterion: &mut Criterion) {
    let tables = Tables::new()
        .table("orders", ["id", "customer_id", "ordered_on", "status"])
        .table("order_lines", ["order_id", "product_id", "quantity", "unit_price"])
        .table("customers", ["id", "name", "email", "country", "segment", "account_manager_id"])
        .table("staff", ["id", "name"])
        .table("events", ["id", "customer_id", "kind"]);
    let mut group = criterion.benchmark_group("sql");
    for (name, text) in
        [("list", list()), ("analytical", ANALYTICAL.to_owned()), ("wide", wide()), ("text", text())]
    {
        assert!((900..1300).contains(&text.len()), "{name} has {} bytes", text.len());
        assert!(facts(&text, Dialect::Sqlite).complete, "{name}");
        group.bench_function(name, |b| b.iter(|| facts(black_box(&text), Dialect::Sqlite)));
    }
    group.bench_function("analytical_with_tables", |b| {
        b.iter(|| facts_with(black_box(ANALYTICAL), Dialect::Sqlite, Some(&tables)));
    });
    group.bench_function("analytical_postgres", |b| {
        b.iter(|| facts(black_box(ANALYTICAL), Dialect::Postgres))
    });
    group.bench_function("analytical_generic", |b| b.iter(|| facts(black_box(ANALYTICAL), Dialect::Generic)));
    group.bench_function("short", |b| {
        b.iter(|| facts(black_box("SELECT country, count(*) FROM customers GROUP BY 1"), Dialect::Sqlite));
    });
    group.finish();
}

criterion_group!(benches, shapes);
criterion_main!(benches);
