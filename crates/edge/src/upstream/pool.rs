//! Kept-alive HTTP/1.1 connections, each driven by the very task that uses it. A shared client drives its connections from
//! tasks of their own, which costs two hand-overs between threads for every message.

use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use portunus_core::dialer::{Body, BodyError};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// Idle connections to one upstream.
const IDLE: usize = 256;
/// Idle connections are not used after that, and closed; less than what common servers keep.
const IDLE_LIFE: Duration = Duration::from_secs(20);
/// Between two looks for those: an idle connection still holds the head of its last request, with the secret in it, and must
/// not do so for longer than it may be of use.
const SWEEP: Duration = Duration::from_secs(5);

pub(super) type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
type Stream = hyper_rustls::MaybeHttpsStream<TokioIo<TcpStream>>;

/// Idle connections.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    /// Connections end with what they carry.
    closed: AtomicBool,
}

#[derive(Default)]
struct Idle {
    /// The latest last.
    links: Vec<(Instant, Link)>,
    /// Whether a task closes those that are too old.
    swept: bool,
}

/// A connection and its driver.
pub(super) struct Link {
    sender: SendRequest<Body>,
    driver: Option<Box<Connection<Stream, Body>>>,
}

/// Why an exchange gave no answer.
pub(super) enum Failed {
    /// The connection had ended before the request began: here it is, nothing was sent.
    Unsent(Box<Request<Body>>),
    /// It broke after it began.
    Broken(hyper::Error),
}

impl Pool {
    /// A connection that is alive as far as anyone can tell.
    pub(super) fn take(&self) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, mut link)) = idle.links.pop() {
            if since.elapsed() >= IDLE_LIFE {
                idle.links.clear(); // the others are older still
                return None;
            }
            if link.is_ready() {
                return Some(link);
            }
        }
        None
    }

    /// Ends connections, now or as soon as they carry nothing.
    pub(super) fn clear(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Relaxed);
        idle.links.clear();
    }

    /// Keeps connections again.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }

    fn give_back(self: &Arc<Self>, mut link: Link) {
        if !link.is_ready() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: nothing is kept that was to be cleared.
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        idle.close_old();
        if idle.links.len() >= IDLE {
            idle.links.remove(0);
        }
        idle.links.push((Instant::now(), link));
        // A body may be dropped where nothing is driven any more.
        if !idle.swept
            && let Ok(runtime) = Handle::try_current()
        {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }
}

impl Idle {
    fn close_old(&mut self) {
        let old = self.links.partition_point(|(since, _)| since.elapsed() >= IDLE_LIFE);
        self.links.drain(..old);
    }
}

/// Closes idle connections that are too old, for as long as there are any.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.close_old();
        if idle.links.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

impl Link {
    /// Over a fresh stream.
    pub(super) async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = hyper::client::conn::http1::Builder::new().handshake(stream).await?;
        Ok(Self { sender, driver: Some(Box::new(connection)) })
    }

    /// Sends a request; the answer's body gives the connection back to the pool at its end.
    pub(super) async fn send(
        mut self,
        pool: &Arc<Pool>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let answer = {
            let mut sending = pin!(self.sender.try_send_request(request));
            let driver = &mut self.driver;
            poll_fn(|context| {
                if let Poll::Ready(answer) = sending.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                drive(driver, context);
                sending.as_mut().poll(context)
            })
            .await
        };
        let answer = answer.map_err(|mut error| match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Broken(error.into_error()),
        })?;
        let pool = pool.clone();
        Ok(answer.map(|incoming| Body::new(Driven { incoming, link: Some(self), pool })))
    }

    /// Whether it could take a request now; lets the driver see what has happened meanwhile.
    fn is_ready(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(noop_waker_ref()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Lets the connection do its work; it is gone when it has ended.
fn drive(driver: &mut Option<Box<Connection<Stream, Body>>>, context: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(context).is_ready()
    {
        *driver = None;
    }
}

/// An answer's body together with the connection it comes over. Dropping it before its end closes the connection.
struct Driven {
    incoming: Incoming,
    link: Option<Link>,
    pool: Arc<Pool>,
}

impl Driven {
    fn finish(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.give_back(link);
        }
    }
}

impl http_body::Body for Driven {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(link) = &mut self.link {
            drive(&mut link.driver, context);
        }
        let next = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match &next {
            None => self.finish(),
            Some(Err(_)) => self.link = None,
            Some(Ok(_)) => {}
        }
        Poll::Ready(next.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // A body whose length is known is not polled for its end.
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}
