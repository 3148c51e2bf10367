//! W3C Trace Context, level 1: one trace across client, edge, connector and tool.

use crate::time::{Rng, Timestamp};
use std::fmt;

/// A `traceparent` header's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, not all zero.
    pub trace: [u8; 16],
    /// The sender's span: 8 bytes, not all zero.
    pub span: [u8; 8],
    /// Whether the sender recorded its span.
    pub sampled: bool,
}

impl TraceContext {
    /// Starts a trace.
    #[must_use]
    pub fn start(rng: &dyn Rng) -> Self {
        let mut bytes = [0_u8; 24];
        rng.fill(&mut bytes);
        let (mut trace, mut span) = ([0_u8; 16], [0_u8; 8]);
        for (to, from) in trace.iter_mut().chain(span.iter_mut()).zip(bytes) {
            *to = from;
        }
        Self { trace, span, sampled: true }
    }
    /// A new span within the same trace.
    #[must_use]
    pub fn child(&self, rng: &dyn Rng) -> Self {
        let mut span = [0_u8; 8];
        rng.fill(&mut span);
        Self { span, ..*self }
    }
    /// Parses `00-<32 hex>-<16 hex>-<2 hex>` (section 3.2); anything else is `None`, as the specification demands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() || flags.len() != 2 {
            return None;
        }
        let decode = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok();
        let trace: [u8; 16] = decode(trace)?.try_into().ok()?;
        let span: [u8; 8] = decode(span)?.try_into().ok()?;
        let flags = decode(flags)?.first().copied()?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
    /// The trace id as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.trace)
    }
}

/// The header's text.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }
}

/// A finished span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its own place in the trace.
    pub context: TraceContext,
    /// The span it was called from.
    pub parent: Option<[u8; 8]>,
    /// Such as `tools/call read_query`.
    pub name: String,
    /// Which part made it.
    pub kind: SpanKind,
    /// Start.
    pub start: Timestamp,
    /// Duration in microseconds.
    pub micros: u64,
    /// Whether it failed.
    pub failed: bool,
    /// Attributes, named by the OpenTelemetry semantic conventions.
    pub attributes: Vec<(&'static str, String)>,
}

/// The role of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Serves a request.
    Server,
    /// Work within the process.
    Internal,
}

/// Where finished spans go. Must be quick: it is called on the request path.
pub trait Spans: Send + Sync {
    /// Takes a finished span; may drop it when its queue is full.
    fn finish(&self, span: Span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_and_a_bad_one_is_ignored() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(text).expect("a valid header");
        assert_eq!(context.to_string(), text);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}
