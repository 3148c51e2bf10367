//! TLS for clients and for links: told apart by ALPN in the ClientHello, so that browsers are never asked for a
//! certificate and links always are.

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::ports::TlsStream;

/// The protocol name of a tunnel link.
pub const LINK_ALPN: &[u8] = b"portunus-link/1";

/// What the listener needs for its handshakes.
#[derive(Clone)]
pub struct TlsConfigs {
    /// For clients: TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1.
    pub clients: Arc<ServerConfig>,
    /// For links: TLS 1.3 with a client certificate. `None`: links are not accepted.
    pub links: Option<Arc<ServerConfig>>,
}

/// What a finished handshake is for.
pub enum Accepted {
    /// HTTP/1.1.
    Http1(TlsStream),
    /// HTTP/2.
    Http2(TlsStream),
    /// A tunnel link.
    Link(TlsStream),
}

/// The configuration for clients with this certificate. Sessions are resumed by tickets, whose keys rotate every 6 h and
/// never leave memory.
///
/// # Errors
/// When the system gives no randomness for the first ticket key.
pub fn client_config(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let mut config =
        ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .with_no_client_auth()
            .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Runs the handshake.
///
/// # Errors
/// When the peer breaks off or offers nothing acceptable.
pub async fn accept(stream: TcpStream, configs: &TlsConfigs) -> io::Result<Accepted> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let links = configs.links.as_ref().filter(|_| is_link(&start.client_hello()));
    if let Some(links) = links {
        return Ok(Accepted::Link(start.into_stream(links.clone()).await?));
    }
    let stream = start.into_stream(configs.clients.clone()).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Accepted::Http2(stream)),
        _ => Ok(Accepted::Http1(stream)),
    }
}

fn is_link(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut protocols| protocols.any(|p| p == LINK_ALPN))
}
