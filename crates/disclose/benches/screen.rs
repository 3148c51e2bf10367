//! Screening clean results of about 1 MB in the forms they come in, with the built-in classes all masked; and, as the
//! baseline, what regular expressions alone take for the same classes. Criterion prints bytes per second.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::type_complexity,
    missing_docs,
    reason = "tests"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portunus_disclose::class::{BUILT_IN, Treatment};
use portunus_disclose::stream::Stream;
use portunus_disclose::veil::{Classes, Rules, Veil};
use regex::Regex;
use serde_json::{Value, json};
use std::hint::black_box;

fn veil() -> Option<Veil> {
    let treatments = BUILT_IN.into_iter().map(|class| (class, Treatment::Mask)).collect();
    Classes::default().veil(&Rules { treatments, ..Rules::default() }).ok()
}

/// Rows as a database tool answers with them: words, numbers, dates, identifiers.
fn rows() -> Value {
    let row = |id: u64| {
        let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        json!({
            "order_id": 100_000 + id,
            "customer": format!("Customer {} Gesellschaft mbH", id % 977),
            "city": (["Ostia", "Hamburg", "Rotterdam", "Genova", "Piraeus"][(id % 5) as usize]),
            "placed_at": format!("2026-{:02}-{:02}T{:02}:{:02}:00Z", id % 12 + 1, id % 28 + 1, id % 24, id % 60),
            "total": (mixed % 1_000_000) as f64 / 100.0,
            "currency": "EUR",
            "reference": format!("{:08x}-{:04x}-4abc-9def-{:012x}", mixed >> 32, mixed & 0xffff, mixed >> 16),
            "open": id.is_multiple_of(3),
            "sku": format!("HB-{:04}-XL", id % 10_000),
            "url": format!("https://shop.example.com/orders/{}?view=full", 100_000 + id),
            "note": "Delivered to the harbour office; the crane was late, so the second half follows next week.",
        })
    };
    Value::from((0..2600).map(row).collect::<Vec<_>>())
}

fn message(structured: Option<&Value>, text: &str) -> String {
    let mut result = json!({ "content": [{ "type": "text", "text": text }] });
    if let (Some(structured), Some(members)) = (structured, result.as_object_mut()) {
        members.insert("structuredContent".to_owned(), json!({ "rows": structured }));
    }
    json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string()
}

/// What one would write first for the same classes.
fn naive() -> Vec<Regex> {
    [
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
        r"\+?\(?\d{1,4}\)?[ ./-]?\(?\d{2,4}\)?[ ./-]?\d{3,4}[ ./-]?\d{3,4}",
        r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}[ -]?[A-Za-z0-9]{1,4}\b",
        r"\b(?:\d[ -]?){13,19}\b",
        r"\b\d{3}-\d{2}-\d{4}\b|\b[A-Z]{2}\d{6}[A-D]\b|\b\d{8}[A-Z]\b|\b\d{11}\b",
        r"ghp_[A-Za-z0-9]{36}|AKIA[A-Z0-9]{16}|sk-[A-Za-z0-9-]{20,}|eyJ[\w-]+\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    ]
    .into_iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
}

fn screening(criterion: &mut Criterion) {
    let Some(veil) = veil() else { return };
    let rows = rows();
    let prose = rows.as_array().map_or(String::new(), |rows| {
        let line = |row: &Value| {
            format!(
                "| {} | {} | {} | {} | {} |\n",
                row["order_id"], row["city"], row["placed_at"], row["total"], row["note"]
            )
        };
        rows.iter().map(line).collect()
    });
    let forms = [
        ("structured", message(Some(&rows), "2600 rows")),
        ("JSON in text", message(None, &rows.to_string())),
        ("Markdown table", message(None, &prose)),
    ];
    for (name, body) in &forms {
        let clean = veil.screen(body.as_bytes()).is_ok_and(|screened| screened.found.is_empty());
        let mut group = criterion.benchmark_group(format!(
            "{name}, {} KB, {}",
            body.len() / 1000,
            if clean { "clean" } else { "NOT CLEAN" }
        ));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("screen", |bench| {
            bench.iter(|| veil.screen(black_box(body.as_bytes())).is_ok());
        });
        let patterns = naive();
        group.bench_function("regular expressions alone", |bench| {
            bench.iter(|| {
                patterns.iter().map(|pattern| pattern.find_iter(black_box(body)).count()).sum::<usize>()
            });
        });
        group.finish();
    }
    let mut group = criterion.benchmark_group("text in pieces of 16 KiB");
    group.throughput(Throughput::Bytes(prose.len() as u64));
    group.bench_function("stream", |bench| {
        bench.iter(|| {
            let mut stream = Stream::new(veil.clone());
            let fed: usize = prose.as_bytes().chunks(16 * 1024).map(|piece| stream.feed(piece).len()).sum();
            fed + stream.finish().0.len()
        });
    });
    group.finish();
}

criterion_group!(benches, screening);
criterion_main!(benches);
