//! What injection adds to a warm call: the bound credential looked up, opened for a permit, presented and unsealed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../tests/life/support.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use portunus_core::document::CredentialKind;
use portunus_core::server::Server;
use portunus_core::store::Store;
use portunus_policy::Permit;
use portunus_store::SqliteStore;
use portunus_vault::Vault;
use portunus_vault::credential::New;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Fixture, NOW, at, name, new, permit, program};

/// Calls of which the 99th percentile is printed.
const CALLS: usize = 100_000;

async fn inject(vault: &Vault, named: &str, server: &Server, permit: &Permit) {
    let bound = vault.bound(&name(named), server, NOW).await.unwrap();
    let presented = vault.open(permit, &bound).await.unwrap().present(server).unwrap();
    black_box(presented.open().await.unwrap());
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = Fixture::new();
    let environment = CredentialKind::Environment("API_KEY".to_owned());
    runtime.block_on(async {
        fixture.add(new("bearer")).await.unwrap();
        fixture.add(New { kind: environment, ..new("environment") }).await.unwrap();
    });
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&fixture.store);
    let vault = Vault::new(store, fixture.key.clone());
    let permit = permit("sales");
    for (named, server) in [("bearer", at("sales")), ("environment", program("sales"))] {
        let call = || runtime.block_on(inject(&vault, named, &server, &permit));
        println!("injection/{named}: p99 {:.1} µs", p99(call).as_secs_f64() * 1e6);
        criterion.bench_function(&format!("injection/{named}"), |bencher| bencher.iter(call));
    }
}

fn p99(call: impl Fn()) -> Duration {
    let mut took: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[CALLS / 100 * 99]
}

criterion_group!(injection, benches);
criterion_main!(injection);
