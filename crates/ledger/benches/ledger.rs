//! What a record costs: redaction, one caller's wait for the disk, throughput under load, and verification.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up must stop")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_executor::block_on;
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::record::{Intent, Ledger, Record, Verdict};
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_ledger::checkpoint::SigningKey;
use portunus_ledger::redact::Redactor;
use portunus_ledger::{FileLedger, Options, entry, verify};
use std::hint::black_box;
use std::path::Path;

const ARGUMENTS: &str = r#"{"sql":"SELECT c.name, SUM(o.total_cents) AS revenue FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.placed_at >= '2024-01-01' GROUP BY c.name ORDER BY revenue DESC LIMIT 20","limit":20}"#;

fn key() -> SigningKey {
    SigningKey::new("bench.example/ledger", &Secret::new([7; 32])).expect("a plain name")
}

fn record(redactor: &Redactor) -> Record {
    let arguments = redactor.arguments(ARGUMENTS.as_bytes());
    let id = Id::parse("dec_01jd0000000000000000000000").expect("an id");
    Record::Intent(Box::new(Intent {
        at: Timestamp::from_millis(1_795_000_000_000),
        decision: id.clone(),
        verdict: Verdict::Permit,
        server: ServerName::parse("sales").expect("a name"),
        method: "tools/call".into(),
        target: Some("read_query".into()),
        user: UserName::parse("ana@example.com").expect("a name"),
        client: ClientId::parse("https://client.example/metadata.json").expect("an id"),
        grant: id,
        arguments_digest: Some(arguments.digest),
        arguments: arguments.text,
        policies: vec!["analysts-read".into()],
        reason: None,
        approval: None,
        credential: None,
        connection: None,
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        circumstances: None,
    }))
}

fn open(dir: &Path) -> FileLedger {
    FileLedger::open(Options::new(dir, key())).expect("a fresh directory")
}

fn pure(criterion: &mut Criterion) {
    let redactor = Redactor::new(&Secret::new([1; 32]));
    let record = record(&redactor);
    criterion.bench_function("redact 200 bytes of arguments", |bencher| {
        bencher.iter(|| redactor.arguments(black_box(ARGUMENTS.as_bytes())));
    });
    criterion.bench_function("encode a record", |bencher| bencher.iter(|| entry::encode(black_box(&record))));
}

fn appends(criterion: &mut Criterion) {
    let record = record(&Redactor::new(&Secret::new([1; 32])));
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(dir.path());
    criterion.bench_function("one caller waits for one record", |bencher| {
        bencher.iter_batched(
            || record.clone(),
            |record| block_on(ledger.append(record)),
            BatchSize::SmallInput,
        );
    });
    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Elements(1000)).sample_size(20);
    group.bench_function("1,000 records at once", |bencher| {
        bencher.iter(|| {
            let receipts: Vec<_> = (0..1000).map(|_| ledger.append(record.clone())).collect();
            for receipt in receipts {
                block_on(receipt).expect("a durable record");
            }
        });
    });
    group.finish();
}

fn verification(criterion: &mut Criterion) {
    let record = record(&Redactor::new(&Secret::new([1; 32])));
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(dir.path());
    for _ in 0..4 {
        let receipts: Vec<_> = (0..5000).map(|_| ledger.append(record.clone())).collect();
        for receipt in receipts {
            block_on(receipt).expect("a durable record");
        }
    }
    ledger.close();
    let line = entry::encode(&record).expect("a record").len() as u64 + 30;
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Bytes(20_000 * line)).sample_size(10);
    group.bench_function("20,000 records", |bencher| {
        let key = key();
        bencher.iter(|| verify(dir.path(), Some(key.verifier()), &[]).expect("no findings"));
    });
    group.finish();
}

criterion_group!(benches, pure, appends, verification);
criterion_main!(benches);
