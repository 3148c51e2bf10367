//! Logs and traces. Log format: `PORTUNUS_LOG_FORMAT=text|json`, level: `PORTUNUS_LOG` (as `RUST_LOG`). Traces go to
//! `OTEL_EXPORTER_OTLP_ENDPOINT` (OTLP over HTTP) when it is set, and nowhere otherwise.

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use portunus_core::trace::{Span, SpanKind, Spans};
use std::io::IsTerminal;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

/// Finished spans that wait to be exported; further ones are dropped.
const QUEUED_SPANS: usize = 4096;
/// Spans in one export.
const BATCH_SPANS: usize = 512;
/// Longest time that a span waits to be exported.
const EXPORT_PAUSE: Duration = Duration::from_secs(1);

/// Sets up logging on standard error.
pub(crate) fn start_logging(default_level: &str) {
    let filter = EnvFilter::try_from_env("PORTUNUS_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var("PORTUNUS_LOG_FORMAT").is_ok_and(|format| format == "json");
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second logger in one process (a test) is no reason to stop.
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(colour).compact().try_init() };
}

/// Starts exporting spans if an endpoint is configured; must be called within the runtime.
pub(crate) fn start_spans() -> Option<OtlpSpans> {
    let endpoint = std::env::var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").ok().or_else(|| {
        let base = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok()?;
        Some(format!("{}/v1/traces", base.trim_end_matches('/')))
    })?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(&endpoint)
        .with_timeout(Duration::from_secs(5))
        .build();
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::warn!(%error, endpoint, "traces are not exported");
            return None;
        }
    };
    exporter.set_resource(&Resource::builder().with_service_name("portunus").build());
    let (sender, mut queue) = mpsc::channel::<Span>(QUEUED_SPANS);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH_SPANS);
        while queue.recv_many(&mut batch, BATCH_SPANS).await > 0 {
            let spans = batch.drain(..).map(span_data).collect();
            if let Err(error) = exporter.export(spans).await {
                tracing::debug!(%error, "spans were not exported");
            }
            tokio::time::sleep(EXPORT_PAUSE).await;
        }
    });
    Some(OtlpSpans(sender))
}

/// Hands finished spans to the exporter's queue.
pub(crate) struct OtlpSpans(mpsc::Sender<Span>);

impl Spans for OtlpSpans {
    fn finish(&self, span: Span) {
        // A full queue drops the span: telemetry never slows a call.
        let _ = self.0.try_send(span);
    }
}

fn span_data(span: Span) -> SpanData {
    let start_time = UNIX_EPOCH + Duration::from_millis(span.start.as_millis());
    let flags = if span.context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let trace = TraceId::from_bytes(span.context.trace);
    let id = SpanId::from_bytes(span.context.span);
    SpanData {
        span_context: SpanContext::new(trace, id, flags, false, TraceState::NONE),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.kind == SpanKind::Server,
        span_kind: match span.kind {
            SpanKind::Server => OtelKind::Server,
            SpanKind::Internal => OtelKind::Internal,
        },
        name: span.name.into(),
        start_time,
        end_time: start_time + Duration::from_micros(span.micros),
        attributes: span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("portunus").build(),
    }
}
