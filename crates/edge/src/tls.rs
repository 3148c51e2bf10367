//! TLS for clients, links and validating certificate authorities: told apart by ALPN in the ClientHello, so that browsers
//! are never asked for a certificate and links always are.

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::io;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::ports::{Challenges, TlsStream};

/// The protocol name of a tunnel link.
pub const LINK_ALPN: &[u8] = b"portunus-link/1";

/// The protocol name of a tls-alpn-01 challenge (RFC 8737 section 6.2).
pub const CHALLENGE_ALPN: &[u8] = b"acme-tls/1";

/// What the listener needs for its handshakes.
#[derive(Clone)]
pub struct TlsConfigs {
    /// For clients: TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1.
    pub clients: Arc<ServerConfig>,
    /// For links: TLS 1.3 with a client certificate. `None`: links are not accepted.
    pub links: Option<Arc<ServerConfig>>,
    /// For certificate authorities that validate over TLS. `None`: they are not answered.
    pub challenges: Option<Arc<dyn Challenges>>,
}

/// What a finished handshake is for.
pub enum Accepted {
    /// HTTP/1.1.
    Http1(TlsStream),
    /// HTTP/2.
    Http2(TlsStream),
    /// A tunnel link.
    Link(TlsStream),
    /// A certificate authority has seen what it wanted; the connection is closed.
    Challenge,
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
    if let Some(challenges) = &configs.challenges
        && let Some(name) = challenged(&start.client_hello())
        && let Some(answer) = challenges.tls(&name).await
    {
        // The handshake is the whole answer: nothing is read from such a connection, and nothing of HTTP sees it.
        start.into_stream(Arc::new(challenge_config(answer))).await?.shutdown().await?;
        return Ok(Accepted::Challenge);
    }
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

/// The name that is validated: RFC 8737 section 3 wants `acme-tls/1` as the only protocol, and a server name. Whoever
/// offers more is a client like any other, and nothing of ours agrees to that protocol.
fn challenged(hello: &ClientHello<'_>) -> Option<String> {
    let mut protocols = hello.alpn()?;
    let only = (protocols.next(), protocols.next()) == (Some(CHALLENGE_ALPN), None);
    hello.server_name().filter(|_| only).map(str::to_owned)
}

fn challenge_config(answer: Arc<CertifiedKey>) -> ServerConfig {
    let mut config =
        ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(One(answer)));
    config.alpn_protocols = vec![CHALLENGE_ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config
}

/// One certificate for one handshake.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
