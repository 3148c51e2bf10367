//! The answer on its way to the client: counted, bounded in bytes and in pauses, cut on revocation, and sealed by an
//! outcome record however it ends.

use crate::Edge;
use crate::metrics::InFlight;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use portunus_core::dialer::{Body, BodyError};
use portunus_core::id::Id;
use portunus_core::record::{End, Outcome, Record};
use portunus_core::trace::Span;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::Sleep;

/// Appends the outcome record exactly once: explicitly at an end that is known, or as `Cancelled` when dropped.
pub struct Seal {
    edge: Arc<Edge>,
    started: Instant,
    decision: Option<Id>,
    status: Option<u16>,
    bytes: u64,
    span: Option<Span>,
    in_flight: InFlight,
}

impl Seal {
    /// For the call that this decision admitted.
    pub fn new(edge: &Arc<Edge>, started: Instant, decision: Id, in_flight: InFlight) -> Self {
        let (edge, decision) = (edge.clone(), Some(decision));
        Self { edge, started, decision, status: None, bytes: 0, span: None, in_flight }
    }
    /// The span to finish at the end.
    pub fn trace(&mut self, span: Span) {
        self.span = self.edge.spans.is_some().then_some(span);
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
        drop(self.edge.ledger.append(Record::Outcome(Outcome { at, decision, end, status, bytes, micros })));
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

/// An upstream's body under the edge's rules.
pub struct Sealed {
    inner: Body,
    seal: Seal,
    longest: u64,
    pause: Duration,
    revocation: watch::Receiver<bool>,
    waiting: Option<Waiting>,
    over: bool,
}

/// Made only once the upstream pauses, which an answer in one piece never does.
struct Waiting {
    until: Pin<Box<Sleep>>,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Sealed {
    /// Wraps an answer's body: at most `longest` bytes, at most `pause` between two pieces.
    pub fn new(
        inner: Body,
        seal: Seal,
        longest: u64,
        pause: Duration,
        revocation: watch::Receiver<bool>,
    ) -> Self {
        Self { inner, seal, longest, pause, revocation, waiting: None, over: false }
    }

    fn finish(&mut self, end: End) {
        self.over = true;
        self.seal.end(end);
    }

    /// The error that aborts the client's stream, so that a cut answer never looks complete.
    fn cut(&mut self, end: End, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.finish(end);
        Poll::Ready(Some(Err(why.into())))
    }

    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.waiting.is_none() {
            let mut revocation = self.revocation.clone();
            self.waiting = Some(Waiting {
                until: Box::pin(tokio::time::sleep(self.pause)),
                revoked: Box::pin(async move {
                    // An error means that the cache entry is gone, which is no revocation: wait on.
                    if revocation.wait_for(|revoked| *revoked).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }),
            });
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        if waiting.revoked.as_mut().poll(context).is_ready() {
            return self.cut(End::Revoked, "the grant was revoked");
        }
        ready!(waiting.until.as_mut().poll(context));
        self.cut(End::TimedOut, "the server paused for too long")
    }
}

impl http_body::Body for Sealed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if *self.revocation.borrow() {
            return self.cut(End::Revoked, "the grant was revoked");
        }
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(context) else {
            return self.poll_waiting(context);
        };
        self.waiting = None;
        match next {
            None => {
                self.finish(End::Done);
                Poll::Ready(None)
            }
            Some(Err(_)) => self.cut(End::Broken, "the connection to the server broke"),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.seal.bytes = self.seal.bytes.saturating_add(bytes);
                if self.seal.bytes > self.longest {
                    return self.cut(End::TooLarge, "the answer is longer than this server may give");
                }
                if self.inner.is_end_stream() {
                    self.finish(End::Done);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
