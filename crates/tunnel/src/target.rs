//! The services of a connector that only pass requests on. [`HttpTarget`], of `connect --to URL`, forwards each to an HTTP
//! server beside the connector, streamed both ways, over kept-alive connections, never twice. [`DialerTarget`] hands each
//! to one of core's dialers.

use crate::dial::{self, ConnectError, Io, shown};
use crate::exchange::HOP_BY_HOP;
use crate::tls::{self, TlsError};
use bytes::Bytes;
use h2::Reason;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portunus_core::dialer::{Body, DialError, Dialer, full};
use portunus_core::limits;
use rustls::ClientConfig;
use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use url::Url;

/// Forwards to one URL. Clones share their connections.
#[derive(Clone)]
pub struct HttpTarget(Arc<Inner>);

struct Inner {
    client: Client<Beside, Incoming>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// Stands for the request path `/mcp`, when the URL has a path of its own.
    path: Option<String>,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL that can be forwarded to.
    #[error(
        "`{0}` cannot be forwarded to: use http://HOST:PORT/PATH or https://…, without user name, query or fragment"
    )]
    Url(String),
    /// A CA or a certificate for a URL without TLS.
    #[error("`{0}`: a CA and a client certificate need an https URL")]
    NotTls(String),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A request that got no answer. On the link it becomes a stream reset: REFUSED_STREAM when the server could not be
/// reached, so that the edge knows that nothing was sent, else INTERNAL_ERROR.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection to the server: nothing was sent.
    #[error("the server could not be reached: {why}")]
    Unreachable {
        /// What went wrong.
        why: String,
        /// What the link tells the edge.
        #[source]
        reset: h2::Error,
    },
    /// It broke after it began.
    #[error("the server broke the exchange off: {0}")]
    Broken(String),
}

impl HttpTarget {
    /// A target at an `http` or `https` URL; `ca_file` holds roots to trust beside the system's.
    ///
    /// # Errors
    /// When the URL has another form, or TLS cannot be set up.
    pub fn new(url: &Url, ca_file: Option<&Path>) -> Result<Self, TargetError> {
        // Roots are read only when they are needed.
        Self::build(url, || Ok(tls::https_client_config(tls::roots(ca_file)?)?))
    }

    /// A target at an `https` URL that is trusted, and shown a certificate, as `tls` says.
    ///
    /// # Errors
    /// When the URL has another form.
    pub fn with_tls(url: &Url, tls: &ClientConfig) -> Result<Self, TargetError> {
        if url.scheme() != "https" {
            return Err(TargetError::NotTls(shown(url)));
        }
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self::build(url, || Ok(Arc::new(tls)))
    }

    fn build(
        url: &Url,
        tls: impl FnOnce() -> Result<Arc<ClientConfig>, TargetError>,
    ) -> Result<Self, TargetError> {
        let refuse = || TargetError::Url(shown(url));
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let scheme = match url.scheme() {
            "http" if plain => Scheme::HTTP,
            "https" if plain => Scheme::HTTPS,
            _ => return Err(refuse()),
        };
        let host = url.host().ok_or_else(refuse)?;
        let host = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let authority = Authority::try_from(host.as_str()).map_err(|_| refuse())?;
        let host = HeaderValue::try_from(host).map_err(|_| refuse())?;
        let tls = if scheme == Scheme::HTTPS { Some(tls()?) } else { None };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::TARGET_IDLE)
            .pool_max_idle_per_host(limits::LINK_STREAMS as usize)
            .set_host(false)
            .build(Beside { url: url.clone(), tls });
        let path = Some(url.path().to_owned()).filter(|path| path != "/");
        Ok(Self(Arc::new(Inner { client, scheme, authority, host, path })))
    }
}

impl hyper::service::Service<Request<Incoming>> for HttpTarget {
    type Response = Response<Body>;
    type Error = ForwardError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ForwardError>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let Some(uri) = inner.uri(request.uri()) else {
                return Ok(not_found());
            };
            *request.uri_mut() = uri;
            *request.version_mut() = Version::HTTP_11;
            remove_hop_by_hop(request.headers_mut());
            request.headers_mut().insert(header::HOST, inner.host.clone());
            let mut response = inner.client.request(request).await.map_err(|error| failed(&error))?;
            *response.version_mut() = Version::HTTP_2;
            remove_hop_by_hop(response.headers_mut());
            Ok(response.map(|body| Body::new(body.map_err(Into::into))))
        })
    }
}

/// Whatever a dialer reaches, such as a child process of the connector.
#[derive(Clone)]
pub struct DialerTarget(Arc<dyn Dialer>);

impl DialerTarget {
    /// Requests go to this dialer.
    #[must_use]
    pub fn new(dialer: Arc<dyn Dialer>) -> Self {
        Self(dialer)
    }
}

impl hyper::service::Service<Request<Incoming>> for DialerTarget {
    type Response = Response<Body>;
    type Error = ForwardError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ForwardError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move {
            let request = request.map(|body| Body::new(body.map_err(Into::into)));
            let answer = dialer.send(request).await;
            answer.map_err(|error| match error {
                DialError::Unreachable(_) | DialError::Busy | DialError::Credential(_) => {
                    unreachable(error.to_string())
                }
                DialError::Broken(why) => broken(why),
            })
        })
    }
}

impl Inner {
    /// Where a request goes; only what lies under the target's own path can be reached.
    fn uri(&self, asked: &Uri) -> Option<Uri> {
        let path = match &self.path {
            None => asked.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            Some(own) => match (asked.path(), asked.query()) {
                ("/mcp", None) => PathAndQuery::try_from(own.as_str()).ok()?,
                ("/mcp", Some(query)) => PathAndQuery::try_from(format!("{own}?{query}")).ok()?,
                _ => return None,
            },
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }
}

fn failed(error: &ClientError) -> ForwardError {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        why = inner.to_string();
        source = inner.source();
    }
    if error.is_connect() { unreachable(why) } else { broken(why) }
}

fn unreachable(why: String) -> ForwardError {
    tracing::warn!(why, "the server beside the connector cannot be reached");
    ForwardError::Unreachable { why, reset: Reason::REFUSED_STREAM.into() }
}

fn broken(why: String) -> ForwardError {
    tracing::warn!(why, "the server beside the connector broke a call off");
    ForwardError::Broken(why)
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(full(Bytes::from_static(b"this connector serves /mcp only\n")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// RFC 9110 section 7.6.1: the fixed ones and those that `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<String> =
            named.flat_map(|value| value.split(',').map(|name| name.trim().to_owned())).collect();
        for name in named {
            headers.remove(name.as_str());
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Opens connections to the target, whatever URI is asked for.
#[derive(Clone)]
struct Beside {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
}

impl tower::Service<Uri> for Beside {
    type Response = Wire;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { url, tls } = self.clone();
        Box::pin(async move {
            let limit = limits::TARGET_TIMEOUT;
            let stream: Box<dyn Io> = match &tls {
                Some(config) => Box::new(dial::tls(&url, None, config, limit).await?),
                None => Box::new(dial::tcp(&url, None, limit).await?),
            };
            Ok(TokioIo::new(Beneath(stream)))
        })
    }
}

type Wire = TokioIo<Beneath>;

/// A connection to the target.
struct Beneath(Box<dyn Io>);

impl Connection for Beneath {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Beneath {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Beneath {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
