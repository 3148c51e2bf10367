//! Reading messages: a call of 1 KB and a document of 1 MB, with `serde_json` building a tree as the baseline.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use portunus_mcp::json::{self, Bounds};
use portunus_mcp::message;
use serde_json::{Value, json};
use std::hint::black_box;

/// A `tools/call` of the modern era, about 1 KB.
fn call() -> Bytes {
    let query = "SELECT c.name, sum(l.quantity * l.unit_price) AS total\nFROM customers c JOIN orders o ON o.customer_id = c.id \
                 JOIN order_lines l ON l.order_id = o.id WHERE o.placed_at >= '2026-07-01' AND o.placed_at < '2026-10-01' \
                 GROUP BY c.name ORDER BY total DESC";
    let body = json!({
        "jsonrpc": "2.0", "id": 42, "method": "tools/call",
        "params": {
            "name": "read_query",
            "arguments": { "query": query, "max_rows": 100, "format": "table", "labels": ["quarter", "sales", "top"] },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "ExampleClient", "version": "1.0.0" },
                "io.modelcontextprotocol/clientCapabilities": { "elicitation": {}, "sampling": {} },
                "progressToken": "c5f5c1d2-4c63-4e1f-9a33-1b5a7f3a9a10",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        },
    });
    body.to_string().into()
}

/// Rows as a database tool answers with them, about 1 MB.
fn rows() -> Bytes {
    let row = |id: u64| {
        json!({
            "id": id, "name": format!("Customer {id} — Gesellschaft für Beispiele"), "active": id.is_multiple_of(3),
            "balance": f64::from(u32::try_from(id).unwrap_or(0)) * 1.25, "note": "a line of ordinary text with a \"quote\" in it",
            "address": { "street": "12 Harbour Road", "city": "Ostia", "tags": ["a", "b"] },
        })
    };
    let rows: Vec<Value> = (0..5200).map(row).collect();
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "structuredContent": { "rows": rows } } })
        .to_string()
        .into()
}

fn headers() -> HeaderMap {
    let pairs = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("user-agent", "ExampleClient/1.0"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "read_query"),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap_or(http::header::ACCEPT), HeaderValue::from_static(value)))
        .collect()
}

fn reading(criterion: &mut Criterion) {
    for (name, body) in [("call of 1 KB", call()), ("rows of 1 MB", rows())] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("scan", |bench| {
            bench.iter(|| json::scan(black_box(&body), &Bounds::default()).is_ok());
        });
        group.bench_function("serde_json tree", |bench| {
            bench.iter(|| serde_json::from_slice::<Value>(black_box(&body)).is_ok());
        });
        group.finish();
    }
    let (headers, body) = (headers(), call());
    let mut group = criterion.benchmark_group("call of 1 KB");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("read with headers", |bench| {
        bench.iter(|| message::read(black_box(&headers), black_box(&body), &Bounds::default()).is_ok());
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
