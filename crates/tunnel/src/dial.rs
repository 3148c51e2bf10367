//! Connections out of the connector: TCP or TLS to a host, through an HTTP proxy where one is set; and one small POST.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use portunus_core::limits;
use rustls::ClientConfig;
use rustls_pki_types::ServerName as TlsName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

/// A byte stream, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why a connection or an exchange failed. Nothing of a request was processed unless it is [`Self::Broken`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be dialled.
    #[error(
        "`{0}` cannot be dialled: use https://HOST or https://HOST:PORT (http only for a server beside the connector)"
    )]
    Url(String),
    /// No TCP connection.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Host and port, the proxy's if it was the proxy.
        host: String,
        /// What the system said.
        why: String,
    },
    /// The proxy refused.
    #[error("the proxy {proxy} did not open a way to {host}: {why}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// The destination.
        host: String,
        /// What it answered.
        why: String,
    },
    /// TLS failed.
    #[error("{host} could not be trusted or refused TLS: {why}")]
    Tls {
        /// Host and port.
        host: String,
        /// What rustls said.
        why: String,
    },
    /// Not in time.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The exchange began and broke.
    #[error("{host} broke the exchange off: {why}")]
    Broken {
        /// Host and port.
        host: String,
        /// What happened.
        why: String,
    },
}

/// An HTTP proxy that opens ways by CONNECT (RFC 9110 section 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
}

impl Proxy {
    /// A proxy at an `http` URL; a user name and password in it are sent as Basic authentication.
    ///
    /// # Errors
    /// When the URL is not of that form.
    pub fn new(url: Url) -> Result<Self, ConnectError> {
        if url.scheme() == "http" && url.host().is_some() {
            Ok(Self { url })
        } else {
            Err(ConnectError::Url(shown(&url)))
        }
    }
}

/// Opens TCP to the URL's host and port, by way of the proxy if there is one.
pub(crate) async fn tcp(
    url: &Url,
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let host = host_port(url)?;
    let open = async {
        match proxy {
            Some(proxy) => through(proxy, &host).await,
            None => direct(url).await,
        }
    };
    timeout(limit, open).await.unwrap_or(Err(ConnectError::TimedOut(host)))
}

/// Opens TLS to the URL's host and port.
pub(crate) async fn tls(
    url: &Url,
    proxy: Option<&Proxy>,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let host = host_port(url)?;
    let name = match url.host() {
        Some(Host::Domain(name)) => TlsName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(address)) => Some(TlsName::from(std::net::IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => Some(TlsName::from(std::net::IpAddr::V6(address))),
        None => None,
    };
    let name = name.ok_or_else(|| ConnectError::Url(shown(url)))?;
    let open = async {
        let stream = tcp(url, proxy, limit).await?;
        let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        connected.map_err(|why| ConnectError::Tls { host: host.clone(), why: why.to_string() })
    };
    timeout(limit, open).await.unwrap_or_else(|_| Err(ConnectError::TimedOut(host.clone())))
}

/// Posts JSON over HTTPS on a connection of its own; the answer is at most [`limits::ENROL_BYTES`] long.
pub(crate) async fn post(
    url: &Url,
    proxy: Option<&Proxy>,
    config: &Arc<ClientConfig>,
    body: Vec<u8>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), ConnectError> {
    let host = host_port(url)?;
    let broken = |why: String| ConnectError::Broken { host: host.clone(), why };
    let stream = tls(url, proxy, config, limit).await?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|why| broken(why.to_string()))?;
        let request = Request::post(url.path())
            .header(header::HOST, &host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|why| broken(why.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|why| broken(why.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), limits::ENROL_BYTES).collect().await;
            Ok((status, body.map_err(|why| broken(why.to_string()))?.to_bytes()))
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection may end first when the answer is in already.
            _ = &mut connection => answer.await,
        }
    };
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(ConnectError::TimedOut(host.clone())))
}

/// How an edge begins on a link.
pub(crate) enum Opening {
    /// With HTTP/2: it took the link.
    Http2,
    /// With the reason why it did not.
    Refusal(Vec<u8>),
    /// With a TLS alert: it did not like the certificate.
    Alert(String),
    /// Not at all.
    Silence(String),
}

/// Waits for the edge's first bytes; leaves those of HTTP/2 in the stream.
pub(crate) async fn opening(stream: &mut TlsStream<TcpStream>, limit: Duration) -> Opening {
    let hear = async {
        match stream.fill_buf().await {
            Ok(b"") => Opening::Silence("the edge closed it at once".to_owned()),
            Ok([b'{', ..]) => {
                let mut text = Vec::new();
                // What came is what there is; an incomplete text does not parse.
                let _ = stream.take(limits::ENROL_BYTES as u64).read_to_end(&mut text).await;
                Opening::Refusal(text)
            }
            Ok(_) => Opening::Http2,
            Err(why) if why.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                Opening::Alert(format!("the edge did not accept the certificate: {why}"))
            }
            Err(why) => Opening::Silence(why.to_string()),
        }
    };
    timeout(limit, hear)
        .await
        .unwrap_or_else(|_| Opening::Silence("the edge did not begin in time".to_owned()))
}

async fn direct(url: &Url) -> Result<TcpStream, ConnectError> {
    let unreachable = |why: std::io::Error| ConnectError::Unreachable {
        host: host_port(url).unwrap_or_default(),
        why: why.to_string(),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await,
        Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await,
        None => return Err(ConnectError::Url(shown(url))),
    };
    let stream = stream.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

async fn through(proxy: &Proxy, host: &str) -> Result<TcpStream, ConnectError> {
    let mut stream = direct(&proxy.url).await?;
    let refuse = |why: String| ConnectError::Proxy {
        proxy: host_port(&proxy.url).unwrap_or_default(),
        host: host.to_owned(),
        why,
    };
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if !proxy.url.username().is_empty() {
        let user = format!("{}:{}", proxy.url.username(), proxy.url.password().unwrap_or_default());
        let encoded = data_encoding::BASE64.encode(user.as_bytes());
        request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|why| refuse(why.to_string()))?;
    // Byte by byte: what follows the header belongs to TLS. It happens once per link.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= limits::HEADER_BYTES {
            return Err(refuse("its answer is too long".to_owned()));
        }
        head.push(stream.read_u8().await.map_err(|why| refuse(why.to_string()))?);
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    let opened = line.starts_with("HTTP/1.") && line.split(' ').nth(1).is_some_and(|s| s.starts_with('2'));
    if opened { Ok(stream) } else { Err(refuse(line.escape_debug().take(120).collect())) }
}

/// `host:port` of a URL, an IPv6 address in brackets.
pub(crate) fn host_port(url: &Url) -> Result<String, ConnectError> {
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(ConnectError::Url(shown(url))),
    }
}

/// A URL for people: no user name, password, query or fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only where there is nothing to remove.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
