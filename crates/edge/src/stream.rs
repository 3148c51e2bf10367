//! The answer on its way to the client: counted, bounded in bytes and in pauses, cut on revocation.

use crate::decide::Case;
use crate::inspect;
use crate::revocation::{Cause, Revocation};
use crate::screen::Barred;
use crate::seal::Seal;
use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use portunus_core::dialer::{Body, BodyError};
use portunus_core::limits;
use portunus_core::record::End;
use portunus_mcp::answer;
use portunus_mcp::sse::{Event, SseError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// An answer of so many bytes fits into the buffers on its way, whether it is read or not.
const SHORT_BYTES: u64 = 16 * 1024;

/// The answer on its way: counted, bounded, cut on revocation, sealed at its end.
pub(crate) fn release(
    answer: Response<Body>,
    seal: Seal,
    case: &Case<'_>,
    until: Revocation,
) -> Response<Body> {
    let limits = &case.published.server.limits;
    let bounds = Bounds {
        longest: inspect::bytes_of_answer(case),
        pause: (!case.asked.may_rest()).then_some(limits.timeout),
        events: inspect::is_event_stream(answer.headers()).then(|| case.asked.id()),
    };
    answer.map(|body| Sealed::new(body, seal, bounds, until).into_body())
}

/// What bounds one answer.
pub struct Bounds {
    /// Bytes of the whole answer.
    pub longest: u64,
    /// Time between two pieces; `None` for a stream that may rest, such as the one from server to client.
    pub pause: Option<Duration>,
    /// Set for an event stream: the id of the call it answers, for the error event that ends it when it breaks.
    pub events: Option<Bytes>,
}

/// An upstream's body under the edge's rules.
pub struct Sealed {
    inner: Body,
    seal: Seal,
    bounds: Bounds,
    revocation: Revocation,
    waiting: Option<Waiting>,
    /// Whether the client has only whole events so far.
    between_events: bool,
    over: bool,
}

/// Made only once the upstream pauses, which an answer in one piece never does.
struct Waiting {
    since: tokio::time::Instant,
    tick: Pin<Box<Sleep>>,
    revoked: Pin<Box<dyn Future<Output = Cause> + Send>>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Sealed {
    /// Wraps an answer's body.
    pub fn new(inner: Body, seal: Seal, bounds: Bounds, revocation: Revocation) -> Self {
        Self { inner, seal, bounds, revocation, waiting: None, between_events: true, over: false }
    }

    /// The body as it goes out. A short answer goes as it is; anything else is read by a task of its own, so that a reader
    /// that stalls neither holds the call open nor misses its revocation.
    pub fn into_body(mut self) -> Body {
        if self.inner.is_end_stream() {
            // HTTP/1.1 never asks for the end of a body that has none.
            self.finish(End::Done);
        }
        let short = self.size_hint().upper().is_some_and(|bytes| bytes <= SHORT_BYTES);
        if self.bounds.events.is_none() && short {
            return Body::new(self);
        }
        let whole = Arc::new(AtomicBool::new(false));
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(pump(self, sender, whole.clone()));
        let frames = futures_util::stream::poll_fn(move |context| {
            Poll::Ready(match ready!(receiver.poll_recv(context)) {
                // A stream that was cut must not look complete.
                None if !whole.swap(true, Ordering::AcqRel) => {
                    Some(Err(BodyError::from("the stream was cut")))
                }
                next => next,
            })
        });
        Body::new(http_body_util::StreamBody::new(frames))
    }

    fn finish(&mut self, end: End) {
        self.over = true;
        self.seal.end(end);
    }

    /// Ends the answer early. An event stream gets a last event that says why, between two events only; anything else is
    /// aborted, so that a cut answer never looks complete.
    fn cut(&mut self, end: End, why: &'static str) -> Polled {
        self.finish(end);
        match &self.bounds.events {
            Some(id) if self.between_events => {
                let error = answer::error(Some(id), crate::respond::code::UNCERTAIN, why, None);
                Poll::Ready(Some(Ok(Frame::data(Event::of_data(error).raw))))
            }
            _ => Poll::Ready(Some(Err(why.into()))),
        }
    }

    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Polled {
        let revocation = &self.revocation;
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting::new(revocation.clone(), self.bounds.tick()));
        if let Poll::Ready(cause) = waiting.revoked.as_mut().poll(context) {
            return self.cut(End::Revoked, cause.why());
        }
        ready!(waiting.tick.as_mut().poll(context));
        if self.bounds.pause.is_some_and(|pause| waiting.since.elapsed() >= pause) {
            return self.cut(
                End::TimedOut,
                "The server paused for too long; the call may or may not have taken effect",
            );
        }
        waiting.tick = Box::pin(tokio::time::sleep(self.bounds.tick()));
        // Proxies close what is silent for a minute or two. A comment may stand between two events only.
        if self.bounds.events.is_some() && self.between_events {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": keep-alive\n\n")))));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Polled {
        if let Some(data) = frame.data_ref() {
            if self.seal.count(data.len()) > self.bounds.longest {
                return self.cut(End::TooLarge, "The answer is longer than this server may give");
            }
            self.between_events = data.ends_with(b"\n\n") || data.ends_with(b"\r\n\r\n");
        }
        if self.inner.is_end_stream() {
            self.finish(End::Done);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// What ended an answer before its end, and what the client is told.
fn how_it_broke(error: &BodyError) -> (End, &'static str) {
    if let Some(Barred::Question(why)) = error.downcast_ref() {
        return (End::Withheld, why);
    }
    if error.is::<Barred>() {
        return (End::Withheld, "The rest of the server's answer could not be checked, so it was withheld");
    }
    if matches!(error.downcast_ref(), Some(SseError::TooLong(_))) {
        return (End::TooLarge, "The answer is longer than this server may give");
    }
    let why =
        "The connection to the server broke; the call may or may not have taken effect and was not repeated";
    (End::Broken, why)
}

/// Reads a stream for a client, which must take each piece in time.
async fn pump(
    mut stream: Sealed,
    client: mpsc::Sender<Result<Frame<Bytes>, BodyError>>,
    whole: Arc<AtomicBool>,
) {
    let mut revoked = Box::pin(stream.revocation.clone().wait());
    loop {
        let next = tokio::select! {
            next = stream.frame() => next,
            () = client.closed() => None,
        };
        let Some(frame) = next else {
            whole.store(true, Ordering::Release);
            return;
        };
        let taken = tokio::select! {
            // First, so that a last event that says why still goes out.
            biased;
            taken = tokio::time::timeout(limits::READER_TIMEOUT, client.send(frame)) => matches!(taken, Ok(Ok(()))),
            _ = &mut revoked => {
                stream.finish(End::Revoked);
                false
            }
        };
        if !taken {
            return;
        }
    }
}

impl Bounds {
    /// Time until the next look at a silent upstream.
    fn tick(&self) -> Duration {
        self.pause.map_or(limits::KEEP_ALIVE, |pause| pause.min(limits::KEEP_ALIVE))
    }
}

impl Waiting {
    fn new(revocation: Revocation, tick: Duration) -> Self {
        Self {
            since: tokio::time::Instant::now(),
            tick: Box::pin(tokio::time::sleep(tick)),
            revoked: Box::pin(revocation.wait()),
        }
    }
}

impl http_body::Body for Sealed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(cause) = self.revocation.cause() {
            return self.cut(End::Revoked, cause.why());
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
            Some(Err(error)) => {
                let (end, why) = how_it_broke(&error);
                self.cut(end, why)
            }
            Some(Ok(frame)) => self.pass(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
