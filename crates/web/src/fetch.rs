//! Fetching client metadata documents and key sets from the public internet, and from nowhere else (and, for hosts that the
//! configuration names, posting webhooks): `https` only, the name resolved
//! once and that address connected to, every address checked to be public, no redirects, no cookies, no compression,
//! bounds on size, time and number, and failures remembered so that nobody can make us ask again and again.

use crate::approvals::webhook::Courier;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::rt::TokioIo;
use portunus_core::limits;
use portunus_core::time::{Clock, Timestamp};
use portunus_oauth::client::{DocumentFetcher, FetchError, Fetched};
use portunus_oauth::config::Issuer;
use rustls::pki_types::ServerName as TlsName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Documents fetched at once.
const FETCHES: usize = 16;
/// Failures remembered.
const FAILURES: usize = 10_000;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// See the module's description.
pub struct PublicFetcher {
    tls: TlsConnector,
    clock: Arc<dyn Clock>,
    issuer: Arc<ArcSwap<Issuer>>,
    resolver: Arc<dyn Resolver>,
    admits: fn(IpAddr) -> bool,
    /// Whether `http` to loopback is taken for as good as TLS.
    plain_loopback: bool,
    timeout: Duration,
    turns: Semaphore,
    failures: Mutex<HashMap<Url, (Timestamp, FetchError)>>,
    flights: Mutex<Flights>,
}

/// Where an exchange was when it failed.
pub(crate) enum Failed {
    /// Nothing was sent.
    Before(FetchError),
    /// Something may have been sent.
    After(FetchError),
}

/// Fetches under way.
type Flights = HashMap<(Url, usize), Arc<OnceCell<Result<Fetched, FetchError>>>>;

/// Turns a host name into addresses.
#[async_trait]
trait Resolver: Send + Sync {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

impl PublicFetcher {
    /// A fetcher that trusts the certificates that `tls` trusts, and lets in the internal hosts that the issuer's
    /// configuration names.
    #[must_use]
    pub fn new(tls: &rustls::ClientConfig, clock: Arc<dyn Clock>, issuer: Arc<ArcSwap<Issuer>>) -> Self {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            tls: TlsConnector::from(Arc::new(tls)),
            clock,
            issuer,
            resolver: Arc::new(SystemResolver),
            admits: is_public,
            plain_loopback: false,
            timeout: limits::CLIENT_DOCUMENT_TIMEOUT,
            turns: Semaphore::new(FETCHES),
            failures: Mutex::new(HashMap::new()),
            flights: Mutex::new(HashMap::new()),
        }
    }

    /// A fetcher for addresses that an administrator wrote down: private hosts too, and plain `http` on loopback. Never for
    /// addresses that come from strangers.
    #[must_use]
    pub fn of_named_hosts(
        tls: &rustls::ClientConfig,
        clock: Arc<dyn Clock>,
        issuer: Arc<ArcSwap<Issuer>>,
    ) -> Self {
        Self { admits: |_| true, plain_loopback: true, ..Self::new(tls, clock, issuer) }
    }

    async fn fetch_remembering(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        let fetched = self.fetch_within_bounds(url, longest).await;
        match &fetched {
            // Being busy says nothing about the document.
            Err(FetchError::Busy) | Ok(_) => {}
            Err(error) => self.remember(url, error),
        }
        fetched
    }

    async fn fetch_within_bounds(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        let _turn = self.turns.try_acquire().map_err(|_| FetchError::Busy)?;
        let fetched = tokio::time::timeout(self.timeout, self.fetch_once(url, longest)).await;
        fetched.map_err(|_| FetchError::TimedOut)?
    }

    async fn fetch_once(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        let (host, name, addresses) = self.addresses(url).await?;
        let stream = connect(&addresses).await.ok_or(FetchError::Unreachable)?;
        if url.scheme() == "http" {
            return ask(stream, url, &host, longest).await;
        }
        let stream = self.tls.connect(name, stream).await.map_err(|_| FetchError::Unreachable)?;
        ask(stream, url, &host, longest).await
    }

    async fn post_once(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<StatusCode, FetchError> {
        let (host, name, addresses) = self.addresses(url).await?;
        let mut request = head(Request::post(target(url)), url, &host)
            .body(Full::new(body))
            .map_err(|_| FetchError::Unreachable)?;
        request.headers_mut().extend(headers);
        let stream = connect(&addresses).await.ok_or(FetchError::Unreachable)?;
        if url.scheme() == "http" {
            return Ok(exchange(stream, request).await?.status());
        }
        let stream = self.tls.connect(name, stream).await.map_err(|_| FetchError::Unreachable)?;
        Ok(exchange(stream, request).await?.status())
    }

    /// One exchange of any kind within the time, to an address that this fetcher admits; the whole answer, of any status,
    /// of at most `longest` bytes.
    pub(crate) async fn carry(
        &self,
        url: &Url,
        request: http::request::Builder,
        body: Bytes,
        longest: usize,
        within: Duration,
    ) -> Result<(http::response::Parts, Bytes), Failed> {
        let end = tokio::time::Instant::now() + within;
        let late = |_elapsed| Failed::Before(FetchError::TimedOut);
        let turn = tokio::time::timeout_at(end, self.turns.acquire()).await.map_err(late)?;
        let _turn = turn.map_err(|_| Failed::Before(FetchError::Busy))?;
        let opening = async {
            let (host, name, addresses) = self.addresses(url).await?;
            let stream = connect(&addresses).await.ok_or(FetchError::Unreachable)?;
            Ok::<_, FetchError>((host, name, stream))
        };
        let opened = tokio::time::timeout_at(end, opening).await.map_err(late)?;
        let (host, name, stream) = opened.map_err(Failed::Before)?;
        let request = head(request, url, &host).body(Full::new(body));
        let request = request.map_err(|_| Failed::Before(FetchError::Unreachable))?;
        if url.scheme() == "http" {
            let answered = tokio::time::timeout_at(end, whole(stream, request, longest)).await;
            return answered.map_err(|_| Failed::After(FetchError::TimedOut))?;
        }
        let stream = tokio::time::timeout_at(end, self.tls.connect(name, stream)).await.map_err(late)?;
        let stream = stream.map_err(|_| Failed::Before(FetchError::Unreachable))?;
        let answered = tokio::time::timeout_at(end, whole(stream, request, longest)).await;
        answered.map_err(|_| Failed::After(FetchError::TimedOut))?
    }

    /// The host as it goes into the request, its name for TLS, and its addresses, all of them public. A name with one
    /// private address among its public ones is refused whole: such a name is set to deceive.
    async fn addresses(&self, url: &Url) -> Result<(String, TlsName<'static>, Vec<SocketAddr>), FetchError> {
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(FetchError::Unreachable)?;
        let (host, found) = match url.host().filter(|_| url.scheme() == "https" || self.plain_loopback) {
            None => return Err(FetchError::Forbidden),
            Some(Host::Ipv4(address)) => (address.to_string(), vec![SocketAddr::from((address, port))]),
            Some(Host::Ipv6(address)) => (address.to_string(), vec![SocketAddr::from((address, port))]),
            Some(Host::Domain(name)) => {
                let found = self.resolver.resolve(name, port).await.map_err(|_| FetchError::Unreachable)?;
                (name.to_owned(), found)
            }
        };
        if found.is_empty() {
            return Err(FetchError::Unreachable);
        }
        let plain = url.scheme() != "https";
        let admits =
            if self.issuer.load().registration().is_internal(url) { is_of_a_host } else { self.admits };
        if !found.iter().all(|address| admits(address.ip()) && (!plain || address.ip().is_loopback())) {
            return Err(FetchError::Forbidden);
        }
        let name = TlsName::try_from(host.clone()).map_err(|_| FetchError::Unreachable)?;
        Ok((url.host_str().unwrap_or_default().to_owned(), name, found))
    }

    fn remembered(&self, url: &Url) -> Option<FetchError> {
        let now = self.clock.now();
        let recent = |at: &Timestamp| now.since(*at) < limits::CLIENT_DOCUMENT_RETRY;
        self.failures().get(url).filter(|(at, _)| recent(at)).map(|(_, error)| error.clone())
    }

    fn remember(&self, url: &Url, error: &FetchError) {
        let now = self.clock.now();
        let mut failures = self.failures();
        if failures.len() >= FAILURES {
            failures.retain(|_, (at, _)| now.since(*at) < limits::CLIENT_DOCUMENT_RETRY);
        }
        if failures.len() < FAILURES {
            failures.insert(url.clone(), (now, error.clone()));
        }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Url, (Timestamp, FetchError)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Courier for PublicFetcher {
    async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<StatusCode, FetchError> {
        let _turn = self.turns.try_acquire().map_err(|_| FetchError::Busy)?;
        let posted = tokio::time::timeout(self.timeout, self.post_once(url, headers, body)).await;
        posted.map_err(|_| FetchError::TimedOut)?
    }
}

#[async_trait]
impl DocumentFetcher for PublicFetcher {
    async fn fetch(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        if let Some(error) = self.remembered(url) {
            return Err(error);
        }
        // Whoever asks while it is on its way gets the same answer: a crowd of one client's users is one request.
        let flight = Flight::board(self, (url.clone(), longest));
        flight.cell.get_or_init(|| self.fetch_remembering(url, longest)).await.clone()
    }
}

/// A fetch under way, with everyone who waits for it. The last to leave takes it off the list.
struct Flight<'a> {
    fetcher: &'a PublicFetcher,
    key: (Url, usize),
    cell: Arc<OnceCell<Result<Fetched, FetchError>>>,
}

impl<'a> Flight<'a> {
    fn board(fetcher: &'a PublicFetcher, key: (Url, usize)) -> Self {
        let cell = fetcher.flights().entry(key.clone()).or_default().clone();
        Self { fetcher, key, cell }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.fetcher.flights();
        let ours = flights.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // What has arrived serves nobody who comes later; and two are left when nobody else waits: the list's and this one.
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            flights.remove(&self.key);
        }
    }
}

/// One exchange over a connection that is there.
async fn ask<S>(stream: S, url: &Url, host: &str, longest: usize) -> Result<Fetched, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits::HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| FetchError::Unreachable)?;
    let request = document_request(url, host).ok_or(FetchError::Unreachable)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|_| FetchError::Unreachable)?;
        read(answer, longest).await
    };
    // The connection runs only as long as the exchange: nothing is left behind when either ends.
    tokio::pin!(exchange);
    tokio::select! {
        fetched = &mut exchange => fetched,
        _ended = connection => exchange.await,
    }
}

async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses.iter().take(ADDRESSES) {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Some(stream);
        }
    }
    None
}

fn document_request(url: &Url, host: &str) -> Option<Request<Empty<Bytes>>> {
    head(Request::get(target(url)), url, host)
        .header(header::ACCEPT, "application/json")
        .body(Empty::new())
        .ok()
}

/// One exchange whose answer's body nobody reads; it ends with the connection.
async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<hyper::body::Incoming>, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits::HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| FetchError::Unreachable)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ended = connection => answer.await,
    };
    answer.map_err(|_| FetchError::Unreachable)
}

/// One exchange with its whole answer.
async fn whole<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    longest: usize,
) -> Result<(http::response::Parts, Bytes), Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits::HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failed::Before(FetchError::Unreachable))?;
    let broken = || Failed::After(FetchError::Unreachable);
    let exchange = async {
        let (parts, body) = sender.send_request(request).await.map_err(|_| broken())?.into_parts();
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Failed::After(FetchError::NotJson));
        }
        let body = Limited::new(body, longest).collect().await.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            if too_large { Failed::After(FetchError::TooLarge(longest)) } else { broken() }
        })?;
        Ok((parts, body.to_bytes()))
    };
    // The connection runs only as long as the exchange: nothing is left behind when either ends.
    tokio::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        _ended = connection => exchange.await,
    }
}

pub(crate) fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn head(request: http::request::Builder, url: &Url, host: &str) -> http::request::Builder {
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    request
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("Portunus/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
}

async fn read(answer: http::Response<hyper::body::Incoming>, longest: usize) -> Result<Fetched, FetchError> {
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(FetchError::NotJson);
    }
    // What a cache on the way has kept for a while is good for that much less (RFC 9111 section 4.2.3).
    let age = Duration::from_secs(text(header::AGE).parse().unwrap_or_default());
    let max_age = max_age(text(header::CACHE_CONTROL)).map(|longest| longest.saturating_sub(age));
    let body = Limited::new(answer.into_body(), longest).collect().await;
    let bytes = body.map_err(|error| {
        let too_large = error.is::<http_body_util::LengthLimitError>();
        if too_large { FetchError::TooLarge(longest) } else { FetchError::Unreachable }
    })?;
    Ok(Fetched { bytes: bytes.to_bytes().to_vec(), max_age })
}

/// How long a document stays fresh (RFC 9111 section 5.2.2); `None` when its server does not say.
fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = || cache_control.split(',').map(|d| d.trim().to_ascii_lowercase());
    if directives().any(|d| d == "no-store" || d == "no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = directives().find_map(|d| d.strip_prefix("max-age=")?.parse::<u64>().ok());
    seconds.map(Duration::from_secs)
}

/// Whether an address is one of the public internet (IANA special-purpose address registries, RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether an address can be that of a host which an administrator named: not one of the link, where clouds tell machines
/// their secrets, nor of many hosts at once.
fn is_of_a_host(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)); // benchmarks
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only global unicast, and in it nothing that carries another address inside (Teredo, 6to4) or is set aside.
    (0x2000..0x4000).contains(&a)
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
