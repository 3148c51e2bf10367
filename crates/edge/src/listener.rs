//! The one public port: accepts connections, runs TLS within its time, serves HTTP within its bounds, and drains when told.

use crate::Edge;
use crate::flood::Counted;
use crate::ports::{Links, TlsStream};
use crate::request;
use crate::tls::{self, Accepted, Shown, TlsConfigs};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use portunus_core::dialer::{Body, BodyError};
use portunus_core::limits;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Serves until `stop` turns true, then drains: no new connections, calls in flight finish, streams get
/// [`limits::DRAIN_TIMEOUT`].
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ArcSwap<TlsConfigs>>,
    edge: Arc<Edge>,
    links: Arc<dyn Links>,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let sources = Arc::new(Sources::of(limits::CONNECTIONS_PER_ADDRESS));
    let graceful = GracefulShutdown::new();
    let mut running = JoinSet::new();
    loop {
        // Room first: when there is none, the kernel's queue holds newcomers back.
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: a short pause lets some close.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while running.try_join_next().is_some() {}
        let Some(source) = sources.admit(peer.ip()) else { continue };
        let connection = Connection {
            edge: edge.clone(),
            links: links.clone(),
            tls: tls.clone(),
            peer,
            watcher: graceful.watcher(),
        };
        running.spawn(async move {
            edge_connection(connection, stream).await;
            drop((permit, source));
        });
    }
    drop(listener);
    if timeout(limits::DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some streams did not end in time and are cut");
    }
    // Each is sealed by its record before the ledger closes; the streams' own tasks need a moment to notice.
    running.shutdown().await;
    let sealed = async {
        while edge.metrics.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(Duration::from_secs(1), sealed).await.is_err() {
        tracing::warn!("some calls are recorded without their end");
    }
}

struct Connection {
    edge: Arc<Edge>,
    links: Arc<dyn Links>,
    tls: Arc<ArcSwap<TlsConfigs>>,
    peer: SocketAddr,
    watcher: Watcher,
}

async fn edge_connection(connection: Connection, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let tls = connection.tls.load_full();
    let accepted = match timeout(limits::HANDSHAKE_TIMEOUT, tls::accept(stream, &tls)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(peer = %connection.peer, "TLS handshake timed out");
            return;
        }
    };
    let metrics = connection.edge.metrics.clone();
    metrics.connections.inc();
    match accepted {
        Accepted::Http1(stream, shown) => serve_http1(connection, stream, shown).await,
        Accepted::Http2(stream, shown) => serve_http2(connection, stream, shown).await,
        Accepted::Challenge => {
            tracing::debug!(peer = %connection.peer, "a certificate authority was answered")
        }
        Accepted::Link(stream) => {
            // Links are closed by the registry, after the calls that came through them.
            let Connection { links, peer, watcher, .. } = connection;
            drop(watcher);
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|c| c.clone().into_owned()).collect();
            links.run(stream, certificates, peer).await;
        }
    }
    metrics.connections.dec();
}

async fn serve_http1(connection: Connection, stream: TlsStream, shown: Option<Shown>) {
    let Connection { edge, tls, peer, watcher, .. } = connection;
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_headers(limits::HEADER_FIELDS)
        .max_buf_size(limits::HEADER_BYTES)
        .half_close(false)
        .pipeline_flush(false);
    let service = service_fn(move |mut request| {
        if let Some(shown) = &shown {
            shown.attach(&mut request, &tls.load(), edge.clock.now());
        }
        request::handle(edge.clone(), peer, request)
    });
    finish(peer, watcher, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn serve_http2(connection: Connection, stream: TlsStream, shown: Option<Shown>) {
    let Connection { edge, tls, peer, watcher, .. } = connection;
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::CLIENT_STREAMS)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        .max_local_error_reset_streams(limits::PENDING_RESETS)
        .max_header_list_size(limits::HEADER_BYTES as u32)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(limits::KEEP_ALIVE)
        .keep_alive_timeout(limits::HEADER_TIMEOUT);
    // hyper answers pings for ever: a connection without streams is ended here.
    let activity = Activity::default();
    let active = activity.clone();
    let service = service_fn(move |mut request| {
        if let Some(shown) = &shown {
            shown.attach(&mut request, &tls.load(), edge.clock.now());
        }
        let (edge, stream) = (edge.clone(), active.stream());
        async move {
            let answer = request::handle(edge, peer, request).await?;
            Ok::<_, Infallible>(answer.map(|body| Body::new(Streaming { body, _stream: stream })))
        }
    });
    tokio::select! {
        () = finish(peer, watcher, builder.serve_connection(TokioIo::new(Counted::new(stream)), service)) => {}
        () = activity.idle() => tracing::debug!(%peer, "an idle connection was closed"),
    }
}

async fn finish<C>(peer: SocketAddr, watcher: Watcher, connection: C)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}

/// Connections by source address; IPv6 addresses of one /64 count as one.
pub(crate) struct Sources {
    open: Mutex<HashMap<IpAddr, usize>>,
    /// Connections that one address may hold.
    each: usize,
}

/// One connection's place; given back when dropped.
pub(crate) struct Source {
    sources: Arc<Sources>,
    address: IpAddr,
}

impl Sources {
    pub(crate) fn of(each: usize) -> Self {
        Self { open: Mutex::default(), each }
    }
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Source> {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Source { sources: self.clone(), address })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// How many streams a connection has (as many as there are receivers), and how many it has begun.
#[derive(Clone)]
struct Activity(Arc<watch::Sender<u64>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Activity {
    fn stream(&self) -> watch::Receiver<u64> {
        self.0.send_modify(|begun| *begun += 1);
        self.0.subscribe()
    }
    /// Resolves when there was no stream at two looks in a row, nor in between.
    async fn idle(&self) {
        let mut last = None;
        loop {
            tokio::time::sleep(limits::IDLE_TIMEOUT / 2).await;
            let now = (self.0.receiver_count() == 0).then(|| *self.0.borrow());
            if now.is_some() && now == last {
                return;
            }
            last = now;
        }
    }
}

/// An answer's body that counts as a stream for as long as it lives.
struct Streaming {
    body: Body,
    _stream: watch::Receiver<u64>,
}

impl http_body::Body for Streaming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_holds_only_so_many_connections_and_a_64_is_one_address() {
        let sources = Arc::new(Sources::of(limits::CONNECTIONS_PER_ADDRESS));
        let v6 = |last: &str| format!("2001:db8:1:2::{last}").parse::<IpAddr>().unwrap();
        let held: Vec<_> =
            (0..limits::CONNECTIONS_PER_ADDRESS).map_while(|_| sources.admit(v6("1"))).collect();
        assert_eq!(held.len(), limits::CONNECTIONS_PER_ADDRESS);
        assert!(sources.admit(v6("ffff")).is_none());
        assert!(sources.admit("2001:db8:1:3::1".parse().unwrap()).is_some());
        assert!(sources.admit("192.0.2.1".parse().unwrap()).is_some());
        drop(held);
        assert!(sources.admit(v6("ffff")).is_some());
        assert!(sources.open.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_streams_is_idle_and_one_with_a_stream_is_not() {
        let activity = Activity::default();
        let stream = activity.stream();
        let long = limits::IDLE_TIMEOUT * 4;
        assert!(tokio::time::timeout(long, activity.idle()).await.is_err());
        drop(stream);
        assert!(tokio::time::timeout(long, activity.idle()).await.is_ok());
        let short_ones = async {
            loop {
                drop(activity.stream());
                tokio::time::sleep(limits::IDLE_TIMEOUT / 8).await;
            }
        };
        tokio::select! {
            () = activity.idle() => panic!("short streams count too"),
            () = short_ones => {}
            () = tokio::time::sleep(long) => {}
        }
    }
}
