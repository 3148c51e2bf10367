//! The doctor's HTTP: every request bounded in bytes and time, no redirect followed by itself, and never from a public
//! server into a private network because a document said so.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use portunus_core::limits;
use portunus_mcp::sse::Splitter;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// Makes requests as a client would.
pub(crate) struct Fetcher {
    tls: TlsConnector,
    /// For one request, from the name to the last byte.
    pub patience: Duration,
    /// Whether the examined server itself is in a private network.
    private: bool,
}

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub method: Method,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// The JSON-RPC request whose answer ends an event stream.
    pub id: Option<u64>,
    /// The body of the answer is not wanted.
    pub only_head: bool,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub took: Duration,
}

/// How the connection was made.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub address: Option<SocketAddr>,
    /// Protocol version, and the server's certificate.
    pub tls: Option<(String, CertificateDer<'static>)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Not an address that a client would use.
    #[error("{0}")]
    Address(String),
    #[error("the name {host} does not resolve: {why}")]
    Name { host: String, why: String },
    #[error("{0} is an address of a private network, and a public server sent us there")]
    Private(SocketAddr),
    #[error("{address} does not accept connections: {why}")]
    Connect { address: String, why: String },
    #[error("no TLS with {host}: {}", tls_text(why))]
    Tls { host: String, why: std::io::Error },
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the answer is longer than {} KiB", limits::DOCTOR_BYTES / 1024)]
    TooLong,
    #[error("the answer broke off: {0}")]
    Broken(String),
}

impl FetchError {
    /// What to do about it.
    pub(crate) fn mend(&self) -> &'static str {
        match self {
            Self::Address(_) => "Use an https:// URL (http:// is for loopback only).",
            Self::Name { .. } => "Check the spelling, and the name's A and AAAA records.",
            Self::Private(_) => "Give the server's public address in its documents.",
            Self::Connect { .. } => {
                "Start the server, open the port in the firewall, and check that the name leads to this machine."
            }
            Self::Tls { why, .. } => tls_mend(why),
            Self::TimedOut(_) => "Make it answer sooner, or look for a firewall that drops packets.",
            Self::TooLong => "Send less; clients stop reading as well.",
            Self::Broken(_) => "Look into the server's log (and its proxy's) for this moment.",
        }
    }
}

fn certificate_error(why: &std::io::Error) -> Option<&rustls::Error> {
    why.get_ref()?.downcast_ref::<rustls::Error>()
}

fn tls_text(why: &std::io::Error) -> String {
    use rustls::CertificateError as Bad;
    match certificate_error(why) {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => String::from("its certificate has expired"),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                String::from("its certificate is not valid yet")
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                String::from("its certificate is for another name")
            }
            Bad::UnknownIssuer => {
                String::from("its certificate is signed by nobody we know, or the chain is incomplete")
            }
            other => format!("its certificate is not good: {other:?}"),
        },
        _ => why.to_string(),
    }
}

fn tls_mend(why: &std::io::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match certificate_error(why) {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "Renew the certificate, and reload the server.",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "Check the clocks of both machines.",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "Get a certificate for exactly this host name."
            }
            Bad::UnknownIssuer => {
                "Serve the full chain with intermediates, from an authority that everybody trusts; for a private one, give \
                 --ca FILE."
            }
            _ => "Get a new certificate.",
        },
        _ => "Check that TLS 1.2 or 1.3 is spoken on this port.",
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Ends a connection's task with the exchange that it is for.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fetcher {
    /// Trusts the system's authorities, and those of a file.
    pub(crate) fn new(ca: Option<&Path>, patience: Duration) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let (_added, _ignored) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = ca {
            let text = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| text(&e))? {
                roots.add(certificate.map_err(|e| text(&e))?).map_err(|e| text(&e))?;
            }
        }
        let mut tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(tls)), patience, private: false })
    }

    /// Connects to the examined server; what is found out here bounds where its documents may send us.
    pub(crate) async fn reach(&mut self, url: &Url) -> Result<Reached, FetchError> {
        let within = self.patience;
        self.private = true;
        let connected = tokio::time::timeout(within, self.connect(url)).await;
        let (_wire, reached) = connected.map_err(|_| FetchError::TimedOut(within))??;
        self.private = reached.address.is_some_and(|address| !portunus_web::fetch::is_public(address.ip()));
        Ok(reached)
    }

    /// Whether the examined server is in a private network or on this machine.
    pub(crate) const fn is_private(&self) -> bool {
        self.private
    }

    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, FetchError> {
        let headers = vec![("accept", String::from("application/json, text/html;q=0.9"))];
        self.send(url, Ask { headers, ..Ask::default() }).await
    }

    pub(crate) async fn post_form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        authorization: Option<String>,
    ) -> Result<Answer, FetchError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = vec![
            ("accept", String::from("application/json")),
            ("content-type", String::from("application/x-www-form-urlencoded")),
        ];
        headers.extend(authorization.map(|value| ("authorization", value)));
        self.send(url, Ask { method: Method::POST, headers, body: body.into(), ..Ask::default() }).await
    }

    pub(crate) async fn send(&self, url: &Url, ask: Ask) -> Result<Answer, FetchError> {
        let within = self.patience;
        tokio::time::timeout(within, self.exchange(url, ask))
            .await
            .map_err(|_| FetchError::TimedOut(within))?
    }

    /// Status and header alone, of an answer that may be a stream without end.
    pub(crate) async fn head(&self, url: &Url, ask: Ask) -> Result<Answer, FetchError> {
        let within = self.patience;
        let ask = Ask { only_head: true, ..ask };
        tokio::time::timeout(within, self.exchange(url, ask))
            .await
            .map_err(|_| FetchError::TimedOut(within))?
    }

    async fn exchange(&self, url: &Url, ask: Ask) -> Result<Answer, FetchError> {
        let broken = |error: &dyn std::fmt::Display| FetchError::Broken(error.to_string());
        let started = Instant::now();
        let (wire, _reached) = self.connect(url).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(limits::HEADER_BYTES)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| broken(&error))?;
        let _driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        let (id, only_head) = (ask.id, ask.only_head);
        let answer = sender.send_request(request(url, ask)?).await.map_err(|error| broken(&error))?;
        let (head, mut body) = answer.into_parts();
        let mut read = Vec::new();
        let mut events = is_event_stream(&head.headers).then(|| Splitter::new(limits::DOCTOR_BYTES));
        while !only_head && let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if read.len() + data.len() > limits::DOCTOR_BYTES {
                return Err(FetchError::TooLong);
            }
            read.extend_from_slice(data);
            // A stream may stay open: the answer is what we came for.
            if let Some(events) = &mut events {
                events.feed(data);
                if let Some(answer) = answer_in(events, id)? {
                    read = answer;
                    break;
                }
            }
        }
        Ok(Answer { status: head.status, headers: head.headers, body: read.into(), took: started.elapsed() })
    }

    async fn connect(&self, url: &Url) -> Result<(Box<dyn Wire>, Reached), FetchError> {
        let (host, addresses) = self.addresses(url).await?;
        let (stream, address) = open(&addresses).await?;
        let mut reached = Reached { address: Some(address), tls: None };
        if url.scheme() == "http" {
            return Ok((Box::new(stream), reached));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| FetchError::Address(format!("{host} cannot be the name on a certificate")))?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|why| FetchError::Tls { host: host.clone(), why })?;
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        reached.tls = certificate.map(|leaf| (version.replace('_', "."), leaf.clone().into_owned()));
        Ok((Box::new(stream), reached))
    }

    /// Where a URL leads. Plain http goes to loopback only, and only when the examined server is private itself.
    async fn addresses(&self, url: &Url) -> Result<(String, Vec<SocketAddr>), FetchError> {
        let refuse = |why: &str| Err(FetchError::Address(format!("{url}: {why}")));
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("a user name or password in a URL is never sent");
        }
        let Some(host) = url.host_str().map(str::to_owned) else { return refuse("there is no host in it") };
        let Some(port) = url.port_or_known_default().filter(|port| *port != 0) else {
            return refuse("it is not http:// or https://");
        };
        let found: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::from((address, port))],
            Some(Host::Ipv6(address)) => vec![SocketAddr::from((address, port))],
            _ => tokio::net::lookup_host((host.as_str(), port))
                .await
                .map_err(|error| FetchError::Name { host: host.clone(), why: error.to_string() })?
                .collect(),
        };
        if found.is_empty() {
            return Err(FetchError::Name { host, why: String::from("no address") });
        }
        match url.scheme() {
            "https" => {}
            "http" if found.iter().all(|address| address.ip().is_loopback()) => {}
            _ => return refuse("it is not https://"),
        }
        let inside = found.iter().find(|address| !portunus_web::fetch::is_public(address.ip()));
        match inside {
            Some(address) if !self.private => Err(FetchError::Private(*address)),
            _ => Ok((host, found)),
        }
    }
}

async fn open(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), FetchError> {
    let mut why = String::new();
    for address in addresses.iter().take(ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => why = error.to_string(),
        }
    }
    let address = addresses.first().map(ToString::to_string).unwrap_or_default();
    Err(FetchError::Connect { address, why })
}

fn request(url: &Url, ask: Ask) -> Result<Request<Full<Bytes>>, FetchError> {
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder()
        .method(ask.method)
        .uri(target)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("portunus-doctor/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(ask.body)).map_err(|error| FetchError::Address(error.to_string()))
}

/// The message that answers request `id`, once it has come.
fn answer_in(events: &mut Splitter, id: Option<u64>) -> Result<Option<Vec<u8>>, FetchError> {
    while let Some(event) = events.next_event().map_err(|error| FetchError::Broken(error.to_string()))? {
        let Some(data) = event.data else { continue };
        let message: Option<Value> = serde_json::from_slice(&data).ok();
        let answers =
            message.is_some_and(|m| id.is_some_and(|id| m["id"] == id) && m.get("method").is_none());
        if answers {
            return Ok(Some(data.to_vec()));
        }
    }
    Ok(None)
}

impl Answer {
    /// A header's text.
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
    /// Whether it says that it is JSON.
    pub(crate) fn says_json(&self) -> bool {
        let kind =
            self.header(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    }
    /// Where a redirect leads.
    pub(crate) fn location(&self, base: &Url) -> Option<Url> {
        let location = self.status.is_redirection().then(|| self.header(header::LOCATION)).flatten()?;
        base.join(location).ok()
    }
    /// The start of the body, for people.
    pub(crate) fn excerpt(&self) -> String {
        let start: Vec<u8> = self.body.iter().copied().take(4096).collect();
        words(&String::from_utf8_lossy(&start)).chars().take(160).collect()
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim().to_ascii_lowercase().starts_with("text/event-stream")
}

/// The words of a page, without its tags.
fn words(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in page.chars() {
        match letter {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(letter),
            _ => {}
        }
    }
    for (entity, letter) in [("&#39;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")] {
        text = text.replace(entity, letter);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_public_server_cannot_send_the_doctor_into_a_private_network() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut fetcher = Fetcher::new(None, Duration::from_secs(5)).unwrap();
        for inside in [
            "https://10.0.0.1/",
            "https://127.0.0.1:1/",
            "https://[::1]/",
            "https://169.254.169.254/x",
            "https://localhost:1/",
        ] {
            let url = Url::parse(inside).unwrap();
            assert!(matches!(fetcher.get(&url).await, Err(FetchError::Private(_))), "{inside}");
        }
        for never in ["http://93.184.216.34/", "https://me:secret@93.184.216.34/", "ftp://93.184.216.34/"] {
            let url = Url::parse(never).unwrap();
            assert!(matches!(fetcher.get(&url).await, Err(FetchError::Address(_))), "{never}");
        }
        // A server that is private itself may name its neighbours, but not by plain http beyond this machine.
        fetcher.private = true;
        let url = Url::parse("http://10.0.0.1/").unwrap();
        assert!(matches!(fetcher.get(&url).await, Err(FetchError::Address(_))));
    }
}
