//! `portunus sqlite`: the built-in SQL server on its own.

use super::{Failure, Outcome};
use crate::args::Sqlite;
use crate::signals;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use portunus_core::limits;
use portunus_sqlite::{Options, SqlServer};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) async fn run(sqlite: Sqlite) -> Outcome {
    let options = Options {
        write: sqlite.write,
        max_rows: sqlite.max_rows,
        timeout: Duration::from_millis(sqlite.timeout_ms),
        ..Options::new(&sqlite.file)
    };
    let server = SqlServer::open(options).map_err(Failure::usage)?;
    match sqlite.listen {
        None => server.serve_stdio().await.map_err(Failure::refused),
        Some(address) => listen(&server, address).await,
    }
}

async fn listen(server: &SqlServer, address: SocketAddr) -> Outcome {
    if !address.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "{address} can be reached from outside, and there is no sign-in here: listen on a loopback address, and put `portunus serve` in front"
        )));
    }
    let listener =
        TcpListener::bind(address).await.map_err(|e| Failure::Usage(format!("listen on {address}: {e}")))?;
    let local = listener.local_addr().map_err(Failure::refused)?;
    eprintln!("MCP at http://{local}/mcp");
    let service = TowerToHyperService::new(server.http_service());
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(signals::stop());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(Failure::refused)?.0,
            () = &mut stop => break,
        };
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER_TIMEOUT)
            .max_headers(limits::HEADER_FIELDS);
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended with an error");
            }
        });
    }
    let _ = tokio::time::timeout(limits::DRAIN_TIMEOUT, graceful.shutdown()).await;
    Ok(())
}
