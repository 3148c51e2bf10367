//! The one public port: accepts connections, runs TLS within its time, serves HTTP within its bounds, and drains when told.

use crate::Edge;
use crate::ports::{Links, TlsStream};
use crate::request;
use crate::tls::{self, Accepted, TlsConfigs};
use arc_swap::ArcSwap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use portunus_core::limits;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
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
    let graceful = GracefulShutdown::new();
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
        let connection =
            Connection { edge: edge.clone(), links: links.clone(), peer, watcher: graceful.watcher() };
        let tls = tls.load_full();
        tokio::spawn(async move {
            edge_connection(connection, stream, tls).await;
            drop(permit);
        });
    }
    drop(listener);
    if timeout(limits::DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some streams did not end in time and were cut");
    }
}

struct Connection {
    edge: Arc<Edge>,
    links: Arc<dyn Links>,
    peer: SocketAddr,
    watcher: Watcher,
}

async fn edge_connection(connection: Connection, stream: TcpStream, tls: Arc<TlsConfigs>) {
    let _ = stream.set_nodelay(true);
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
        Accepted::Http1(stream) => serve_http1(connection, stream).await,
        Accepted::Http2(stream) => serve_http2(connection, stream).await,
        Accepted::Link(stream) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|c| c.clone().into_owned()).collect();
            connection.links.run(stream, certificates, connection.peer).await;
        }
    }
    metrics.connections.dec();
}

async fn serve_http1(connection: Connection, stream: TlsStream) {
    let Connection { edge, peer, watcher, .. } = connection;
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_headers(limits::HEADER_FIELDS)
        .max_buf_size(limits::HEADER_BYTES)
        .half_close(false)
        .pipeline_flush(false);
    let service = service_fn(move |request| request::handle(edge.clone(), peer, request));
    finish(peer, watcher, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn serve_http2(connection: Connection, stream: TlsStream) {
    let Connection { edge, peer, watcher, .. } = connection;
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
    let service = service_fn(move |request| request::handle(edge.clone(), peer, request));
    finish(peer, watcher, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn finish<C>(peer: SocketAddr, watcher: Watcher, connection: C)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}
