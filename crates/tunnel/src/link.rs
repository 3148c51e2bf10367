//! One link, seen from the edge: an HTTP/2 client on a stream that the connector opened.

use crate::certificate::PeerCertificate;
use crate::registry::LinkInfo;
use crate::wire::Timing;
use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use portunus_core::document::Connector;
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::store::{self, Store};
use portunus_core::time::Timestamp;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// A link. A call reserves its place and then looks whether the link is closing; closing is marked before the places are
/// counted: with one order of all these steps (`SeqCst`), no call starts on a link that was found idle.
pub(crate) struct Link {
    pub(crate) id: Id,
    pub(crate) connector: Id,
    pub(crate) server: ServerName,
    since: Timestamp,
    /// End of the certificate's life.
    pub(crate) not_after: Timestamp,
    /// Set when HTTP/2 has started; the link takes no call before.
    sender: OnceLock<SendRequest<Bytes>>,
    streams: AtomicUsize,
    calls: AtomicU64,
    closing: AtomicU8,
    /// How often the store said that the connector changed, and up to which of these it was confirmed since.
    doubts: AtomicU64,
    confirmed: AtomicU64,
    /// Wakes [`Link::watch`].
    changed: Notify,
}

/// How a link is told to end.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Closing {
    /// When its calls are done.
    WhenIdle = 1,
    /// With its calls.
    Now = 2,
}

/// One call's place on a link; gives it back when dropped.
pub(crate) struct Slot(Arc<Link>);

impl Link {
    pub(crate) fn new(id: Id, peer: &PeerCertificate, now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            id,
            connector: peer.connector.clone(),
            server: peer.server.clone(),
            since: now,
            not_after: peer.not_after,
            sender: OnceLock::new(),
            streams: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            closing: AtomicU8::new(0),
            doubts: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// Starts HTTP/2. The connection must be given to [`Self::run`].
    pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        timing: Timing,
    ) -> Result<Connection<S>, &'static str> {
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(limits::LINK_STREAM_WINDOW)
            .initial_connection_window_size(limits::LINK_WINDOW)
            .max_header_list_size(u32::try_from(limits::HEADER_BYTES).unwrap_or(u32::MAX))
            .initial_max_send_streams(limits::LINK_STREAMS as usize)
            // Cancelled calls are remembered for a second, so that their late frames are passed over.
            .max_concurrent_reset_streams(4 * limits::LINK_STREAMS as usize)
            .max_send_buffer_size(limits::LINK_STREAM_WINDOW as usize)
            .handshake(stream);
        let opened = timeout(timing.open, handshake).await;
        let (sender, connection) =
            opened.map_err(|_| "HTTP/2 did not start in time")?.map_err(|_| "HTTP/2 did not start")?;
        // A link is opened once.
        let _ = self.sender.set(sender);
        Ok(connection)
    }

    /// Drives the link until it ends; says why it did.
    pub(crate) async fn run<S>(
        &self,
        mut connection: Connection<S>,
        store: &dyn Store,
        life: Duration,
        timing: Timing,
    ) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(pings) = connection.ping_pong() else {
            return "HTTP/2 gave no ping handle";
        };
        // A task of its own, so that a frame wakes nothing but the connection; dropping the set aborts it, which breaks
        // every call in flight.
        let mut task = JoinSet::new();
        task.spawn(async move { connection.await.is_ok() });
        tokio::select! {
            ended = task.join_next() => match ended {
                Some(Ok(true)) => "closed by the connector",
                _ => "the connection broke",
            },
            () = keep_alive(pings, timing.ping) => "no answer to a ping",
            why = self.watch(store, life, timing.drain) => why,
        }
    }

    /// Returns when the link must end.
    async fn watch(&self, store: &dyn Store, life: Duration, drain: Duration) -> &'static str {
        let mut expiry = std::pin::pin!(sleep(life));
        let mut drained = std::pin::pin!(sleep(life.saturating_add(drain)));
        let mut draining = false;
        loop {
            match self.closing.load(Ordering::SeqCst) {
                0 => {}
                closing if closing == Closing::Now as u8 => return "closed by the edge",
                _ => {
                    if self.streams.load(Ordering::SeqCst) == 0 {
                        return "drained";
                    }
                    if !draining {
                        draining = true;
                        drained.as_mut().reset(Instant::now() + drain);
                    }
                }
            }
            if !self.confirm(store).await {
                return "the connector is revoked, or the store could not say";
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = &mut expiry, if !draining => self.end(Closing::WhenIdle),
                () = &mut drained, if draining => return "not drained in time",
            }
        }
    }

    /// Tells the link to end. It takes no new call from now on.
    pub(crate) fn end(&self, how: Closing) {
        self.closing.fetch_max(how as u8, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Notes that the connector's document changed.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Whether the connector may still serve, as of its last change; ends the link if not. An error counts as no.
    pub(crate) async fn confirm(&self, store: &dyn Store) -> bool {
        let doubts = self.doubts.load(Ordering::SeqCst);
        if doubts == self.confirmed.load(Ordering::SeqCst) {
            return true;
        }
        let found = store::load::<Connector>(store, self.connector.as_str()).await;
        let good = matches!(found, Ok(Some(found)) if found.value.revoked_at.is_none());
        if good {
            self.confirmed.fetch_max(doubts, Ordering::SeqCst);
        } else {
            self.end(Closing::Now);
        }
        good
    }

    /// Whether calls may be given to it, and how many it has.
    pub(crate) fn load(&self) -> Option<usize> {
        let takes_calls = self.closing.load(Ordering::SeqCst) == 0 && self.sender.get().is_some();
        takes_calls.then(|| self.streams.load(Ordering::SeqCst))
    }

    /// A place for one call, within the bound.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Slot> {
        let bound = limits::LINK_STREAMS as usize;
        let reserved = self.streams.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |streams| {
            (streams < bound).then_some(streams + 1)
        });
        reserved.ok().map(|_| Slot(Arc::clone(self)))
    }

    /// What people see of it, once it is open.
    pub(crate) fn info(&self) -> Option<LinkInfo> {
        self.sender.get().map(|_| LinkInfo {
            link: self.id.clone(),
            connector: self.connector.clone(),
            server: self.server.clone(),
            since: self.since,
            streams: self.streams.load(Ordering::SeqCst),
            calls: self.calls.load(Ordering::SeqCst),
        })
    }
}

impl Slot {
    /// A sender for this call if the link takes calls: not closing, and no GOAWAY came.
    pub(crate) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.0.sender.get()?.clone();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // A fresh clone has no earlier request to wait for: it is ready, or the link takes no more.
        let ready = matches!(sender.poll_ready(&mut context), std::task::Poll::Ready(Ok(())));
        if !ready {
            self.0.end(Closing::WhenIdle);
        }
        (ready && self.0.load().is_some()).then_some(sender)
    }
    /// Counts the call as taken.
    pub(crate) fn taken(&self) {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let before = self.0.streams.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.closing.load(Ordering::SeqCst) != 0 {
            self.0.changed.notify_one();
        }
    }
}

/// Pings at the interval; returns when one is not answered within it.
async fn keep_alive(mut pings: h2::PingPong, interval: Duration) {
    loop {
        sleep(interval).await;
        if !matches!(timeout(interval, pings.ping(h2::Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}
