//! A small edge (the TLS listener, the enrolment desk and the registry, nothing else) and connectors on loopback.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portunus_core::dialer::{Body, DialError, Dialer, full};
use portunus_core::document::Connector as ConnectorDocument;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Query, Store, list};
use portunus_core::testing::{CountingRng, MemoryLedger, MemoryStore};
use portunus_core::time::{Clock, Timestamp};
use portunus_tunnel::authority::{LinkAuthority, ServerAuthority};
use portunus_tunnel::certificate::PeerCertificate;
use portunus_tunnel::connector::{Config, Connector, ConnectorError, Event};
use portunus_tunnel::enrol::{Desk, join_token};
use portunus_tunnel::registry::Registry;
use portunus_tunnel::tls::link_server_config;
use portunus_tunnel::wire::{ALPN, GatewayInfo, Timing};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{Acceptor, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;
use url::Url;

/// A call's body, where it does not matter.
pub(crate) const BODY: Bytes = Bytes::from_static(b"{\"jsonrpc\":\"2.0\"}");

/// Nothing in these tests may take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TIMING: Timing = Timing {
    ping: Duration::from_secs(5),
    open: Duration::from_secs(10),
    drain: Duration::from_secs(5),
    pause: (Duration::from_millis(5), Duration::from_millis(80)),
};

/// The real time, plus what a test adds.
#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let real = std::time::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_millis(u64::try_from(real.as_millis()).unwrap() + self.0.load(Ordering::SeqCst))
    }
}

/// The edge: what stays when it restarts, and its listener.
pub(crate) struct Edge {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) registry: Registry,
    pub(crate) desk: Arc<Desk>,
    pub(crate) address: SocketAddr,
    pub(crate) rng: Arc<CountingRng>,
    resolver: Arc<dyn ResolvesServerCert>,
    listening: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Edge {
    pub(crate) async fn start(timing: Timing) -> Self {
        let clock = Arc::new(TestClock::default());
        let rng = Arc::new(CountingRng::default());
        let (servers, _) = ServerAuthority::create(clock.now(), &*rng).unwrap();
        let (authority, _) = LinkAuthority::create(clock.now(), &*rng).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut ca = std::fs::File::create(dir.path().join("ca.pem")).unwrap();
        ca.write_all(servers.certificate_pem().as_bytes()).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = servers.server_cert(&names, clock.now(), &*rng).unwrap();
        let key = CertifiedKey::from_der(certificate.chain, certificate.key, &default_provider()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let ledger = Arc::new(MemoryLedger::default());
        let desk = Arc::new(Desk {
            store: store.clone(),
            ledger: ledger.clone(),
            authority: Arc::new(authority),
            rng: rng.clone(),
            gateway: GatewayInfo {
                public_url: "https://localhost".to_owned(),
                assertion_key: "assertion-key".to_owned(),
            },
            certificate_life: limits::CONNECTOR_CERT_TTL,
        });
        let registry = Registry::new(store.clone(), clock.clone(), rng.clone(), timing);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
        let listening =
            tokio::spawn(listen(listener, resolver.clone(), desk.clone(), registry.clone(), clock.clone()));
        Self { store, ledger, clock, registry, desk, address, rng, resolver, listening, dir }
    }

    /// Loses every connection and the listener.
    pub(crate) async fn stop(&mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
        until(|| self.registry.links().is_empty()).await;
    }

    /// Listens again at the same address.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (desk, registry, clock) = (self.desk.clone(), self.registry.clone(), self.clock.clone());
        self.listening = tokio::spawn(listen(listener, self.resolver.clone(), desk, registry, clock));
    }

    pub(crate) async fn token(&self, server: &str, life: Duration) -> Secret<String> {
        let (store, ledger, now) = (&*self.store, &*self.ledger, self.clock.now());
        join_token(store, ledger, &name(server), "ana", life, now, &*self.rng).await.unwrap()
    }

    pub(crate) async fn connectors(&self) -> Vec<ConnectorDocument> {
        let all = list::<ConnectorDocument>(&*self.store as &dyn Store, Query::default()).await.unwrap();
        all.into_iter().map(|found| found.value).collect()
    }

    /// The configuration of a connector with a state directory of this name.
    pub(crate) fn config(&self, server: &str, state: &str, token: Option<Secret<String>>) -> Config {
        Config {
            gateway: Url::parse(&format!("https://localhost:{}", self.address.port())).unwrap(),
            name: name(server),
            state_dir: self.dir.path().join(state),
            join_token: token,
            links: 1,
            ca_file: Some(self.dir.path().join("ca.pem")),
            proxy: None,
            timing: TIMING,
        }
    }

    /// Enrols a connector and waits for all of its links.
    pub(crate) async fn connect<S>(&self, server: &str, state: &str, links: usize, service: S) -> Running
    where
        S: Upstream,
    {
        let token = self.token(server, limits::JOIN_TTL).await;
        let config = Config { links, ..self.config(server, state, Some(token)) };
        let before = self.registry.links().len();
        let running = self.run(config, service);
        until(|| self.registry.links().len() == before + links).await;
        running
    }

    /// Starts a connector.
    pub(crate) fn run<S: Upstream>(&self, config: Config, service: S) -> Running {
        let (sender, events) = mpsc::unbounded_channel();
        let hear = Arc::new(move |event| {
            let _ = sender.send(event);
        });
        let connector = Connector::new(config, self.clock.clone(), self.rng.clone(), hear).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            connector.run(service, stop).await
        });
        Running { events, stop: Some(stop), done }
    }

    /// A call with this body.
    pub(crate) async fn call(&self, server: &str, body: Bytes) -> Result<Response<Body>, DialError> {
        let request = Request::post("/mcp").body(full(body)).unwrap();
        tokio::time::timeout(PATIENCE, self.registry.dialer(&name(server)).send(request)).await.unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// What a connector serves in these tests.
pub(crate) trait Upstream:
    hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}
impl<T> Upstream for T where
    T: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error: Into<BoxError>,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static
{
}
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector at work.
pub(crate) struct Running {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<Result<(), ConnectorError>>,
}

impl Running {
    /// The first event from now on that fits.
    pub(crate) async fn event(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the connector ended");
                if fits(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("no such event")
    }
    /// Tells it to stop without waiting.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }
    /// How it ended.
    pub(crate) async fn ended(self) -> Result<(), ConnectorError> {
        tokio::time::timeout(PATIENCE, self.done).await.expect("it did not end").unwrap()
    }
}

async fn listen(
    listener: TcpListener,
    resolver: Arc<dyn ResolvesServerCert>,
    desk: Arc<Desk>,
    registry: Registry,
    clock: Arc<TestClock>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (resolver, desk, registry) = (resolver.clone(), desk.clone(), registry.clone());
        let clock = clock.clone();
        connections.spawn(async move {
            // A refused connection is the other end's to report.
            let _ = serve(stream, resolver, desk, registry, clock).await;
        });
    }
}

async fn serve(
    stream: TcpStream,
    resolver: Arc<dyn ResolvesServerCert>,
    desk: Arc<Desk>,
    registry: Registry,
    clock: Arc<TestClock>,
) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    if hello.client_hello().alpn().is_some_and(|mut offered| offered.any(|name| name == ALPN)) {
        let stream = hello.into_stream(link_server_config(desk.authority.root(), resolver)?).await?;
        let peer = PeerCertificate::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0])?;
        return Ok(registry.accept(stream, peer).await?);
    }
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let stream = hello.into_stream(Arc::new(config)).await?;
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (desk, clock) = (desk.clone(), clock.clone());
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let answer = desk.answer(&path, &body, clock.now()).await.unwrap();
            Ok::<_, hyper::Error>(answer.map(full))
        }
    });
    Ok(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await?)
}

/// A byte-for-byte proxy in front of the edge; when frozen it keeps every connection and forwards nothing.
pub(crate) struct Middle {
    pub(crate) port: u16,
    frozen: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Middle {
    pub(crate) async fn before(edge: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (frozen, watching) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut watching = watching.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(edge).await.unwrap();
                    let silence = async { watching.wait_for(|frozen| *frozen).await.is_ok() };
                    let frozen = tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
                        frozen = silence => frozen,
                    };
                    if frozen {
                        // Both sockets stay open: no end, no reset, just silence.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { port, frozen, task }
    }
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy that opens ways by CONNECT, and what it was asked.
pub(crate) async fn connect_proxy(edge: SocketAddr) -> (u16, Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                heard.lock().unwrap().push(String::from_utf8(head).unwrap());
                let mut far = TcpStream::connect(edge).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (port, asked)
}

/// Answers with the request's own body.
pub(crate) async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::new(request.into_body().map_err(Into::into))))
}

pub(crate) fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

pub(crate) async fn bytes(response: Response<Body>) -> Bytes {
    tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes()
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the condition did not come true");
}
