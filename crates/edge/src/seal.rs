//! The end of a call: one outcome record and one span, however it ends.

use crate::Edge;
use crate::counters::{Count, Whose};
use crate::decide::Case;
use crate::metrics::InFlight;
use crate::refusal::{Refusal, UpstreamFailure};
use portunus_core::dialer::DialError;
use portunus_core::id::Id;
use portunus_core::record::{End, Outcome, Record};
use portunus_core::trace::{Span, SpanKind};
use portunus_vault::Bound;
use std::sync::Arc;
use std::time::Instant;

/// Appends the outcome record exactly once: explicitly at an end that is known, or as `Cancelled` when dropped.
pub struct Seal {
    edge: Arc<Edge>,
    started: Instant,
    decision: Option<Id>,
    status: Option<u16>,
    bytes: u64,
    span: Option<Span>,
    in_flight: InFlight,
    whose: Whose,
    /// Held to the end: as long as a call carries a version of a credential, it is not disabled.
    _credential: Option<Bound>,
}

impl Seal {
    /// For the call that this decision admitted, and the credential that it carries.
    pub fn new(
        edge: &Arc<Edge>,
        case: &Case<'_>,
        decision: Id,
        (in_flight, credential): (InFlight, Option<Bound>),
    ) -> Self {
        let span = edge.spans.is_some().then(|| span(case));
        let (edge, decision, started) = (edge.clone(), Some(decision), case.started);
        let whose = case.whose.clone();
        Self {
            edge,
            started,
            decision,
            status: None,
            bytes: 0,
            span,
            in_flight,
            whose,
            _credential: credential,
        }
    }
    /// Counts bytes that go out; how many they are by now.
    pub fn count(&mut self, bytes: usize) -> u64 {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.bytes
    }
    /// Notes the HTTP status of the upstream's answer.
    pub fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }
    /// Ends the call. Nobody waits for the outcome to become durable: the intent already is.
    pub fn end(&mut self, end: End) {
        let Some(decision) = self.decision.take() else { return };
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (at, status, bytes) = (self.edge.clock.now(), self.status, self.bytes);
        self.in_flight.end(end, self.started.elapsed());
        self.edge.counters.count(&self.whose, at, Count { bytes, ..Count::default() });
        self.edge.ledger.append_later(Record::Outcome(Outcome { at, decision, end, status, bytes, micros }));
        if let (Some(spans), Some(span)) = (&self.edge.spans, self.span.take()) {
            spans.finish(Span { micros, failed: end != End::Done, ..span });
        }
    }
}

impl Drop for Seal {
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}

/// The span of a request, to be finished at its end.
fn span(case: &Case<'_>) -> Span {
    let target = case.asked.tool().unwrap_or_default();
    Span {
        context: *case.trace,
        parent: case.asked.trace().map(|parent| parent.span),
        name: format!("{} {target}", case.asked.method()).trim_end().to_owned(),
        kind: SpanKind::Server,
        start: case.now,
        micros: 0,
        failed: false,
        attributes: vec![
            ("mcp.method.name", case.asked.method().to_owned()),
            ("portunus.server", case.published.server.name.to_string()),
            ("enduser.id", case.known.caller.user.to_string()),
        ],
    }
}

/// How a call ended that never had an answer to release.
#[must_use]
pub const fn how_it_ended(refusal: &Refusal) -> End {
    match refusal {
        Refusal::Upstream(UpstreamFailure::Dial { error: DialError::Broken(_), .. }) => End::Broken,
        Refusal::Upstream(UpstreamFailure::TimedOut { .. }) => End::TimedOut,
        Refusal::Upstream(UpstreamFailure::Withheld { .. }) | Refusal::Unrecorded { .. } => End::Withheld,
        Refusal::Revoked | Refusal::CredentialRevoked { .. } => End::Revoked,
        _ => End::Unreachable,
    }
}
