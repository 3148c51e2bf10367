//! What the edge needs from outside: `cli` wires these to the control plane, the tunnel and telemetry.

use async_trait::async_trait;
use portunus_core::dialer::{Body, Dialer};
use portunus_core::server::Server;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;

/// A TLS stream of a client or a connector.
pub type TlsStream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

/// Answers whatever is not an MCP server: OAuth, sign-in, console, enrolment.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Answers one request; its head has passed the same guard as every other.
    async fn serve(&self, request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body>;
}

/// Answers certificate authorities that validate one of our names.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// The certificate that answers tls-alpn-01 for this server name (RFC 8737), if a challenge for it is pending.
    async fn tls(&self, name: &str) -> Option<Arc<CertifiedKey>>;
    /// The text that answers http-01 for this token (RFC 8555 section 8.3), if a challenge with it is pending.
    async fn http(&self, token: &str) -> Option<String>;
}

/// Takes over the connections of connectors.
#[async_trait]
pub trait Links: Send + Sync {
    /// Runs a link until it ends. The certificate chain was verified against the link CA.
    async fn run(&self, stream: TlsStream, certificates: Vec<CertificateDer<'static>>, peer: SocketAddr);
}

/// Finds the way to a server's upstream when the configuration is loaded.
pub trait Dialers: Send + Sync {
    /// The dialer for this server.
    fn dialer(&self, server: &Server) -> Arc<dyn Dialer>;
}
