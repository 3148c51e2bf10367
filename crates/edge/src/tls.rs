//! TLS for clients, links and validating certificate authorities: told apart by ALPN in the ClientHello, so that links are
//! always asked for a certificate, and browsers only where an operator wants that.

use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use x509_parser::extensions::GeneralName;

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
    /// For clients that are asked for a certificate, which they need not have. `None`: nobody is asked.
    pub asking: Option<Arc<Asking>>,
    /// For links: TLS 1.3 with a client certificate. `None`: links are not accepted.
    pub links: Option<Arc<ServerConfig>>,
    /// For certificate authorities that validate over TLS. `None`: they are not answered.
    pub challenges: Option<Arc<dyn Challenges>>,
}

/// Asks clients for a certificate.
pub struct Asking {
    config: Arc<ServerConfig>,
    /// The server names, lower case, on which clients are asked; empty: on all.
    names: HashSet<String>,
    /// What the authorities are called in records and policies.
    authority: String,
}

impl Asking {
    /// Asks on these server names (all when there are none) for a certificate of these authorities.
    ///
    /// # Errors
    /// When there is no authority.
    pub fn new(
        certificate: Arc<dyn ResolvesServerCert>,
        roots: RootCertStore,
        names: impl IntoIterator<Item = String>,
        authority: String,
    ) -> Result<Self, VerifierBuilderError> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build()?;
        let mut config = versions().with_client_cert_verifier(verifier).with_cert_resolver(certificate);
        config.alpn_protocols = http_protocols();
        config.ignore_client_order = true;
        // A resumed session would carry the certificate of an earlier handshake, unchecked.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { config: Arc::new(config), names, authority })
    }

    fn asks(&self, hello: &ClientHello<'_>) -> bool {
        let named = |name: &str| self.names.contains(&name.to_ascii_lowercase());
        self.names.is_empty() || hello.server_name().is_some_and(named)
    }
}

/// The certificate that a client showed, for as long as it counts.
pub struct Shown {
    certificate: Arc<ClientCertificate>,
    not_after: Timestamp,
    /// What it was verified by.
    asking: Arc<Asking>,
}

impl Shown {
    fn read(stream: &TlsStream, asking: &Arc<Asking>) -> io::Result<Option<Self>> {
        let Some(leaf) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first) else {
            return Ok(None);
        };
        let unreadable =
            || io::Error::new(io::ErrorKind::InvalidData, "the client certificate is unreadable");
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| unreadable())?;
        let names = parsed.subject_alternative_name().map_err(|_| unreadable())?;
        let names = names.map(|names| &names.value.general_names).into_iter().flatten();
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let end = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let names = names.take(limits::CLIENT_CERTIFICATE_NAMES).collect();
        let certificate = ClientCertificate::new(leaf.to_vec(), Some(asking.authority.clone()), names);
        Ok(Some(Self {
            certificate: Arc::new(certificate),
            not_after: Timestamp::from_secs(end),
            asking: asking.clone(),
        }))
    }

    /// Lets a request of the connection show it, unless it has ended or its authorities were replaced since the handshake.
    pub fn attach<B>(&self, request: &mut http::Request<B>, configs: &TlsConfigs, now: Timestamp) {
        let in_force = configs.asking.as_ref().is_some_and(|asking| Arc::ptr_eq(asking, &self.asking));
        if in_force && !self.not_after.is_past(now) {
            self.certificate.attach(request.extensions_mut());
        }
    }
}

/// What a finished handshake is for.
pub enum Accepted {
    /// HTTP/1.1, and the client's certificate if it showed one.
    Http1(TlsStream, Option<Shown>),
    /// HTTP/2, likewise.
    Http2(TlsStream, Option<Shown>),
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
    let mut config = versions().with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = http_protocols();
    config.ignore_client_order = true;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

fn versions() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
}

fn http_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
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
    let asking = configs.asking.as_ref().filter(|asking| asking.asks(&start.client_hello()));
    let config = asking.map_or(&configs.clients, |asking| &asking.config);
    let stream = start.into_stream(config.clone()).await?;
    let shown = match asking {
        Some(asking) => Shown::read(&stream, asking)?,
        None => None,
    };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Accepted::Http2(stream, shown)),
        _ => Ok(Accepted::Http1(stream, shown)),
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
    let mut config = versions().with_no_client_auth().with_cert_resolver(Arc::new(One(answer)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ClientConfig;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    fn made() -> (CertificateDer<'static>, Arc<CertifiedKey>) {
        let key = KeyPair::generate().unwrap();
        let names = ["edge.test".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        (certificate.clone(), Arc::new(CertifiedKey::new(vec![certificate], key)))
    }

    /// A challenge is pending for `edge.test` alone.
    struct Pending(Arc<CertifiedKey>);

    #[async_trait]
    impl Challenges for Pending {
        async fn tls(&self, name: &str) -> Option<Arc<CertifiedKey>> {
            (name == "edge.test").then(|| self.0.clone())
        }
        async fn http(&self, _: &str) -> Option<String> {
            None
        }
    }

    /// What a client that offers this sees: the certificate, and whether the server then closed; and what the server takes
    /// it for.
    async fn handshake(
        name: &str,
        alpn: &[&[u8]],
    ) -> (io::Result<(CertificateDer<'static>, bool)>, &'static str) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ((own, own_key), (answer, answer_key)) = (made(), made());
        let configs = TlsConfigs {
            clients: Arc::new(client_config(Arc::new(One(own_key))).unwrap()),
            asking: None,
            links: None,
            challenges: Some(Arc::new(Pending(answer_key))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            match accept(listener.accept().await.unwrap().0, &configs).await {
                Ok(Accepted::Http1(..)) => "http/1.1",
                Ok(Accepted::Http2(..)) => "h2",
                Ok(Accepted::Link(_)) => "link",
                Ok(Accepted::Challenge) => "challenge",
                Err(_) => "refused",
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(own).unwrap();
        roots.add(answer.clone()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let seen = async {
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let seen = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
            let mut rest = Vec::new();
            let read = stream.read_to_end(&mut rest);
            let closed = tokio::time::timeout(std::time::Duration::from_secs(5), read).await.is_ok();
            Ok((seen, closed && rest.is_empty()))
        };
        let seen = seen.await.map(|(seen, closed)| {
            let is_answer = seen == answer;
            (seen, closed && is_answer)
        });
        (seen, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_challenge_is_answered_by_the_handshake_alone() {
        let (seen, taken_for) = handshake("edge.test", &[CHALLENGE_ALPN]).await;
        assert_eq!((seen.unwrap().1, taken_for), (true, "challenge"), "its certificate, then the end");
    }

    #[tokio::test]
    async fn whoever_offers_more_than_the_challenge_protocol_is_a_client_like_any_other() {
        for alpn in [&[CHALLENGE_ALPN, b"http/1.1"][..], &[b"http/1.1", CHALLENGE_ALPN]] {
            let (seen, taken_for) = handshake("edge.test", alpn).await;
            assert_eq!((seen.unwrap().1, taken_for), (false, "http/1.1"), "our own certificate");
        }
    }

    #[tokio::test]
    async fn a_challenge_that_is_not_pending_is_refused() {
        // The second one sends no server name at all.
        for name in ["other.test", "127.0.0.1"] {
            let (seen, taken_for) = handshake(name, &[CHALLENGE_ALPN]).await;
            assert!(seen.is_err());
            assert_eq!(taken_for, "refused", "{name}");
        }
    }
}
