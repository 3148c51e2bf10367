//! The admin listener: health, readiness, metrics. No secrets, no changes; meant for loopback or a private network.

use crate::node::Parts;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use portunus_core::store::Kind;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What is read at each scrape.
struct Gauges {
    parts: Arc<Parts>,
    links: Gauge,
    ledger_lag: Gauge<f64, AtomicU64>,
    ledger_queue: Gauge,
    ledger_records: Gauge,
    certificate_end: Gauge,
    stopped: watch::Receiver<bool>,
}

/// Serves until stopped.
pub(crate) async fn serve(listener: TcpListener, parts: Arc<Parts>, stopped: watch::Receiver<bool>) {
    let gauges = Gauges {
        links: Gauge::default(),
        ledger_lag: Gauge::default(),
        ledger_queue: Gauge::default(),
        ledger_records: Gauge::default(),
        certificate_end: Gauge::default(),
        stopped: stopped.clone(),
        parts,
    };
    gauges.parts.edge.metrics.register(|registry| {
        registry.register("links", "Tunnel links up", gauges.links.clone());
        registry.register(
            "ledger_lag_seconds",
            "Age of the oldest record not yet durable",
            gauges.ledger_lag.clone(),
        );
        registry.register("ledger_queue", "Records not yet durable", gauges.ledger_queue.clone());
        registry.register("ledger_records", "Records durable", gauges.ledger_records.clone());
        registry.register(
            "certificate_not_after_seconds",
            "End of the certificate's life, seconds since 1970; 0 before the first one",
            gauges.certificate_end.clone(),
        );
        let failures = gauges.parts.certificates.failures.clone();
        registry.register("certificate_failures", "Attempts to get a new certificate that failed", failures);
    });
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(gauges));
    let mut stopping = stopped;
    let stop = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

/// Ready: not draining, the store answers, the ledger admits, and there is a certificate that clients can accept.
async fn ready(State(gauges): State<Arc<Gauges>>) -> (StatusCode, String) {
    let unready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    if *gauges.stopped.borrow() {
        return unready(String::from("draining"));
    }
    // A real read: the generation alone would be answered from memory.
    if let Err(error) = gauges.parts.store.get(Kind::Setting, "link-ca").await {
        return unready(format!("store: {error}"));
    }
    if let Some(failure) = gauges.parts.file_ledger.stats().failure {
        return unready(format!("ledger: {failure}"));
    }
    let now = gauges.parts.clock.now();
    match gauges.parts.certificates.slot.get() {
        None => unready(String::from("there is no certificate yet; the log says what it waits for")),
        Some(served) if served.leaf.life.not_after.is_past(now) => {
            unready(format!("the certificate ended at {}", served.leaf.life.not_after))
        }
        Some(served) if served.leaf.life.is_overdue(now) => {
            let warning = format!("ready\nwarning: the certificate ends at {}\n", served.leaf.life.not_after);
            (StatusCode::OK, warning)
        }
        Some(_) => (StatusCode::OK, String::from("ready\n")),
    }
}

async fn metrics(State(gauges): State<Arc<Gauges>>) -> impl IntoResponse {
    let stats = gauges.parts.file_ledger.stats();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    gauges.links.set(count(gauges.parts.registry.links().len()));
    gauges.ledger_lag.set(stats.lag.as_secs_f64());
    gauges.ledger_queue.set(count(stats.queued));
    gauges.ledger_records.set(i64::try_from(stats.records).unwrap_or(i64::MAX));
    let end = gauges.parts.certificates.slot.get().map_or(0, |served| served.leaf.life.not_after.as_secs());
    gauges.certificate_end.set(i64::try_from(end).unwrap_or(i64::MAX));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], gauges.parts.edge.metrics.encode())
}
