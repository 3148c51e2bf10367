//! Rate, errors and duration by server, tool and decision; connections, streams and ledger lag.

use crate::caller::Room;
use portunus_core::record::{End, Verdict};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Tools told apart in labels, per edge; further ones are counted as `other`, so that a stranger cannot grow the table.
const TOOL_LABELS: usize = 1000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    server: Arc<str>,
    tool: Arc<str>,
    decision: DecisionLabel,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum DecisionLabel {
    Permit,
    Refuse,
    Approval,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    server: Arc<str>,
    tool: Arc<str>,
    end: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ToolLabels {
    server: Arc<str>,
    tool: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The edge's metrics.
pub struct Metrics {
    registry: RwLock<Registry>,
    calls: Family<CallLabels, Counter>,
    ends: Family<EndLabels, Counter>,
    durations: Family<ToolLabels, Histogram, fn() -> Histogram>,
    unread: Family<ReasonLabels, Counter>,
    streams: Gauge,
    /// Client connections open now.
    pub connections: Gauge,
    tools: RwLock<HashSet<Arc<str>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn histogram() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
    ])
}

impl Metrics {
    /// Registers everything under `portunus_`.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: RwLock::new(Registry::with_prefix("portunus")),
            calls: Family::default(),
            ends: Family::default(),
            durations: Family::new_with_constructor(histogram),
            unread: Family::default(),
            streams: Gauge::default(),
            connections: Gauge::default(),
            tools: RwLock::default(),
        };
        metrics.register(|r| {
            r.register("calls", "Calls decided", metrics.calls.clone());
            r.register("call_ends", "Admitted calls by how they ended", metrics.ends.clone());
            r.register("call_duration_seconds", "From decision to last byte", metrics.durations.clone());
            r.register("requests_refused", "Requests refused before a decision", metrics.unread.clone());
            r.register("streams", "Calls in flight", metrics.streams.clone());
            r.register("connections", "Client connections open", metrics.connections.clone());
        });
        metrics
    }
    /// Lets other parts add their own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.write().unwrap_or_else(PoisonError::into_inner));
    }
    /// The OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        if text::encode(&mut out, &registry).is_err() {
            let _ = writeln!(out, "# EOF");
        }
        out
    }
    /// Counts a decision.
    pub fn decided(&self, server: &str, tool: &str, verdict: Verdict) {
        let decision = match verdict {
            Verdict::Permit => DecisionLabel::Permit,
            Verdict::Refuse => DecisionLabel::Refuse,
            Verdict::ApprovalNeeded => DecisionLabel::Approval,
        };
        // Only what was permitted gets a label of its own: names in refused calls are a stranger's choice.
        let tool = if verdict == Verdict::Permit { self.tool(tool) } else { self.known_tool(tool) };
        let labels = CallLabels { server: server.into(), tool, decision };
        self.calls.get_or_create(&labels).inc();
    }
    /// Counts a request refused before any decision.
    pub fn refused(&self, reason: &'static str) {
        self.unread.get_or_create(&ReasonLabels { reason }).inc();
    }
    /// Calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.streams.get()
    }
    /// An admitted call begins.
    #[must_use]
    pub fn begin(self: &Arc<Self>, server: &str, tool: &str, room: Room) -> InFlight {
        self.streams.inc();
        let labels = ToolLabels { server: server.into(), tool: self.tool(tool) };
        InFlight { metrics: self.clone(), labels, _room: room }
    }

    fn known_tool(&self, name: &str) -> Arc<str> {
        let tools = self.tools.read().unwrap_or_else(PoisonError::into_inner);
        tools.get(name).cloned().unwrap_or_else(|| "other".into())
    }

    fn tool(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.tools.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known.clone();
        }
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        if tools.len() >= TOOL_LABELS {
            return "other".into();
        }
        let name: Arc<str> = name.into();
        tools.insert(name.clone());
        name
    }
}

/// A call in flight; counted down when dropped.
pub struct InFlight {
    metrics: Arc<Metrics>,
    labels: ToolLabels,
    _room: Room,
}

impl InFlight {
    /// Notes how it ended and how long it took.
    pub fn end(&self, end: End, took: Duration) {
        let ToolLabels { server, tool } = self.labels.clone();
        self.metrics.durations.get_or_create(&self.labels).observe(took.as_secs_f64());
        self.metrics.ends.get_or_create(&EndLabels { server, tool, end: end_text(end) }).inc();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.streams.dec();
    }
}

const fn end_text(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::Unreachable => "unreachable",
        End::Broken => "broken",
        End::TimedOut => "timed_out",
        End::TooLarge => "too_large",
        End::Cancelled => "cancelled",
        End::Revoked => "revoked",
        End::Withheld => "withheld",
    }
}
