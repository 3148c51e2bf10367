//! The program beside the tool: enrols once, keeps its links to the edge up, renews its certificate, and serves the
//! requests that come down.

use crate::dial::{self, ConnectError, Proxy, first_byte, shown};
use crate::identity::{Identity, Key, StateError};
use crate::tls::{self, TlsError};
use crate::wire::{ENROL_PATH, EnrolReply, EnrolRequest, Problem, ProblemCode, RENEW_PATH, Timing};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portunus_core::dialer::{Body, BodyError};
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::{Clock, Rng, Timestamp};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use url::Url;

/// What a connector needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The edge's public URL; https.
    pub gateway: Url,
    /// The server that this connector serves.
    pub name: ServerName,
    /// Where key and certificate are kept; one directory per gateway and server.
    pub state_dir: PathBuf,
    /// Needed once, while the state directory holds no certificate.
    pub join_token: Option<Secret<String>>,
    /// Links to keep, 1 to [`limits::LINKS_PER_CONNECTOR`].
    pub links: usize,
    /// Certificate authorities to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// The way out, where there is only one.
    pub proxy: Option<Proxy>,
    /// Intervals; the default outside tests.
    pub timing: Timing,
}

/// What happens to a connector, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is a connector now.
    Enrolled {
        /// Its id.
        connector: Id,
        /// The server it serves.
        server: ServerName,
    },
    /// The edge could not be asked to enrol or renew; it is asked again.
    Waiting {
        /// What went wrong.
        why: String,
        /// The pause.
        retry_in: Duration,
    },
    /// A link is being opened.
    Dialling {
        /// Which one, from 0.
        slot: usize,
    },
    /// A link is up.
    LinkUp {
        /// Which one.
        slot: usize,
    },
    /// A link is down, or could not be opened.
    LinkDown {
        /// Which one.
        slot: usize,
        /// What happened.
        why: String,
        /// The pause before it is dialled again.
        retry_in: Duration,
    },
    /// There is a new certificate; the links move over to it without dropping a call.
    Renewed {
        /// When it will be renewed again.
        next: Timestamp,
    },
    /// The edge refused for good; the connector ends.
    Refused {
        /// For programs.
        code: ProblemCode,
        /// What to do next.
        message: String,
    },
    /// It was told to stop; calls in flight get [`Timing::drain`].
    Draining,
}

/// Hears of events; must be quick.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Why a connector ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Neither enrolled nor able to.
    #[error(
        "{dir} holds no certificate for the server `{server}`: ask its administrator for a join token and give it with --token-file"
    )]
    NotEnrolled {
        /// The state directory.
        dir: String,
        /// The server.
        server: ServerName,
    },
    /// The edge refused for good.
    #[error("{gateway} refused: {message}")]
    Refused {
        /// The edge.
        gateway: String,
        /// For programs.
        code: ProblemCode,
        /// For people.
        message: String,
    },
    /// The edge could not be asked now; retried by whoever meets it.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    /// The edge answered something else than it should.
    #[error("{0} did not answer as a Portunus edge: is this the right URL?")]
    Strange(String),
}

/// A connector, ready to run.
pub struct Connector {
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    events: Events,
    roots: Arc<RootCertStore>,
    https: Arc<ClientConfig>,
    key: Key,
}

impl Connector {
    /// Checks the configuration, and loads or makes the key. Reads and writes the state directory; speaks to nobody.
    ///
    /// # Errors
    /// When the configuration, the state directory or the trusted roots cannot be used.
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        events: Events,
    ) -> Result<Self, ConnectorError> {
        if config.gateway.scheme() != "https" || config.gateway.host().is_none() {
            let url = shown(&config.gateway);
            return Err(ConnectorError::Config(format!("the gateway `{url}` is not an https URL")));
        }
        if !(1..=limits::LINKS_PER_CONNECTOR).contains(&config.links) {
            let bound = limits::LINKS_PER_CONNECTOR;
            return Err(ConnectorError::Config(format!("{} links: use 1 to {bound}", config.links)));
        }
        let roots = tls::roots(config.ca_file.as_deref())?;
        let https = tls::https_client_config(Arc::clone(&roots))?;
        let key = Key::open(&config.state_dir)?;
        Ok(Self { config, clock, rng, events, roots, https, key })
    }

    /// Runs until `stop` resolves and the calls in flight are done, or the edge refuses for good. Whatever else goes
    /// wrong is tried again, with growing pauses.
    ///
    /// # Errors
    /// A refusal for good, or a state directory that cannot be written.
    pub async fn run<S>(self, service: S, stop: impl Future<Output = ()> + Send) -> Result<(), ConnectorError>
    where
        S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BodyError>,
    {
        let mut stop = std::pin::pin!(stop);
        let result = tokio::select! {
            identity = self.enrolled() => identity,
            () = &mut stop => return Ok(()),
        };
        let events = Arc::clone(&self.events);
        let ended = match result {
            Ok(identity) => self.keep_links(identity, service, stop).await,
            Err(error) => Err(error),
        };
        if let Err(ConnectorError::Refused { code, message, .. }) = &ended {
            events(Event::Refused { code: *code, message: message.clone() });
        }
        ended
    }

    async fn keep_links<S>(
        self,
        identity: Identity,
        service: S,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ConnectorError>
    where
        S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BodyError>,
    {
        let drain = self.config.timing.drain;
        let links = self.config.links;
        let running = Arc::new(Running {
            identity: watch::Sender::new(Arc::new(identity)),
            stopping: watch::Sender::new(false),
            renewing: Mutex::new(()),
            connector: self,
        });
        let mut tasks = JoinSet::new();
        for slot in 0..links {
            tasks.spawn(Arc::clone(&running).keep_link(slot, service.clone()));
        }
        tasks.spawn(Arc::clone(&running).keep_fresh());
        let ended = tokio::select! {
            // Tasks end by themselves only when there is no going on.
            Some(ended) = tasks.join_next() => ended.unwrap_or_else(|failed| {
                std::panic::resume_unwind(failed.into_panic())
            }),
            () = stop => Ok(()),
        };
        running.connector.tell(Event::Draining);
        running.stopping.send_replace(true);
        let finish = async { while tasks.join_next().await.is_some() {} };
        // Each link keeps the bound itself; this one is for the unforeseen.
        let _ = timeout(drain * 2, finish).await;
        ended
    }

    /// The identity in the state directory, or a new one from the edge.
    async fn enrolled(&self) -> Result<Identity, ConnectorError> {
        let gateway = self.config.gateway.as_str();
        if let Some(identity) = self.key.identity(gateway, &self.config.name)? {
            return Ok(identity);
        }
        let Some(join_token) = &self.config.join_token else {
            let dir = self.config.state_dir.display().to_string();
            return Err(ConnectorError::NotEnrolled { dir, server: self.config.name.clone() });
        };
        let mut pause = Pause::new(self.config.timing.pause);
        loop {
            let request = EnrolRequest {
                join_token: join_token.clone(),
                server: self.config.name.clone(),
                csr_pem: self.key.csr()?,
            };
            match self.ask(ENROL_PATH, &request).await {
                Ok(reply) => {
                    let identity = self.key.keep(gateway, reply, self.clock.now())?;
                    let EnrolReply { connector, server, .. } = identity.reply.clone();
                    self.tell(Event::Enrolled { connector, server });
                    return Ok(identity);
                }
                Err(error) if error.is_passing() => self.wait(&error, &mut pause).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// One request to enrol or renew.
    async fn ask<T: serde::Serialize>(&self, path: &str, request: &T) -> Result<EnrolReply, ConnectorError> {
        let strange = || ConnectorError::Strange(shown(&self.config.gateway));
        let mut url = self.config.gateway.clone();
        url.set_path(path);
        let body = serde_json::to_vec(request).map_err(|_| strange())?;
        let limit = self.config.timing.open;
        let (status, body) = dial::post(&url, self.config.proxy.as_ref(), &self.https, body, limit).await?;
        if status == StatusCode::OK {
            let reply: EnrolReply = serde_json::from_slice(&body).map_err(|_| strange())?;
            let ours = reply.server == self.config.name;
            return if ours { Ok(reply) } else { Err(strange()) };
        }
        let problem: Problem = serde_json::from_slice(&body).map_err(|_| strange())?;
        // The text is shown on a terminal.
        let message = problem.message.chars().filter(|c| !c.is_control()).take(400).collect();
        let gateway = shown(&self.config.gateway);
        Err(ConnectorError::Refused { gateway, code: problem.code, message })
    }

    async fn wait(&self, error: &ConnectorError, pause: &mut Pause) {
        let retry_in = pause.next(&*self.rng);
        self.tell(Event::Waiting { why: error.to_string(), retry_in });
        sleep(retry_in).await;
    }

    /// Opens a link: TLS, and the edge's first byte, which says that it admitted this connector.
    async fn open(&self, identity: &Identity) -> Result<TlsStream<TcpStream>, OpenError> {
        let (chain, key) =
            self.key.for_tls(identity).map_err(|error| OpenError::Failed(error.to_string()))?;
        let config = tls::link_client_config(Arc::clone(&self.roots), chain, key);
        let config = config.map_err(|error| OpenError::Failed(error.to_string()))?;
        let Config { gateway, proxy, timing, .. } = &self.config;
        let opened = dial::tls(gateway, proxy.as_ref(), &config, timing.open).await;
        let mut stream = opened.map_err(|error| OpenError::Failed(error.to_string()))?;
        match first_byte(&mut stream, timing.open).await {
            Ok(true) => Ok(stream),
            Ok(false) => Err(OpenError::Closed("the edge closed it at once".to_owned())),
            Err(why) => Err(OpenError::Closed(format!("the edge did not take it: {why}"))),
        }
    }

    fn tell(&self, event: Event) {
        (self.events)(event);
    }
}

impl ConnectorError {
    /// Whether trying again later can help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_passing(),
            Self::Unreachable(_) | Self::Strange(_) => true,
            _ => false,
        }
    }
}

enum OpenError {
    /// The edge was not reached.
    Failed(String),
    /// The edge was reached and ended the link before it began: perhaps the certificate is not good any more.
    Closed(String),
}

/// An enrolled connector at work; shared by its tasks.
struct Running {
    connector: Connector,
    identity: watch::Sender<Arc<Identity>>,
    stopping: watch::Sender<bool>,
    renewing: Mutex<()>,
}

impl Running {
    /// Keeps one link up, until the edge refuses for good or the connector stops.
    async fn keep_link<S>(self: Arc<Self>, slot: usize, service: S) -> Result<(), ConnectorError>
    where
        S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BodyError>,
    {
        let connector = &self.connector;
        let timing = connector.config.timing;
        let mut identities = self.identity.subscribe();
        let mut stopping = self.stopping.subscribe();
        let mut pause = Pause::new(timing.pause);
        // The link that serves, and earlier ones that drain.
        let mut serving: Option<oneshot::Sender<()>> = None;
        let mut served = JoinSet::new();
        loop {
            let identity = Arc::clone(&identities.borrow_and_update());
            connector.tell(Event::Dialling { slot });
            let opened = tokio::select! {
                opened = connector.open(&identity) => opened,
                _ = stopping.wait_for(|stop| *stop) => break,
            };
            let why = match opened {
                Ok(stream) => {
                    connector.tell(Event::LinkUp { slot });
                    let up = Instant::now();
                    let (drain, drained) = oneshot::channel();
                    let current = served.spawn(serve(stream, service.clone(), timing, drained)).id();
                    // Dropping the earlier link's sender, if there is one, lets it drain.
                    serving = Some(drain);
                    let why = tokio::select! {
                        why = ended(&mut served, current) => why,
                        // A new certificate: open a new link beside this one.
                        Ok(()) = identities.changed() => continue,
                        _ = stopping.wait_for(|stop| *stop) => break,
                    };
                    if up.elapsed() >= timing.pause.1 {
                        pause = Pause::new(timing.pause);
                    }
                    why
                }
                Err(OpenError::Failed(why)) => why,
                Err(OpenError::Closed(why)) => match self.renew(&identity).await {
                    Err(error) if !error.is_passing() => return Err(error),
                    Err(error) => format!("{why}; {error}"),
                    Ok(()) => why,
                },
            };
            let retry_in = pause.next(&*connector.rng);
            connector.tell(Event::LinkDown { slot, why, retry_in });
            tokio::select! {
                () = sleep(retry_in) => {}
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        drop(serving);
        while served.join_next().await.is_some() {}
        Ok(())
    }

    /// Renews when it is time. The clock is asked each minute, because timers stand still while a laptop sleeps.
    async fn keep_fresh(self: Arc<Self>) -> Result<(), ConnectorError> {
        const LOOK: Duration = Duration::from_secs(60);
        let connector = &self.connector;
        let mut stopping = self.stopping.subscribe();
        let mut pause = Pause::new(connector.config.timing.pause);
        loop {
            let identity = Arc::clone(&self.identity.borrow());
            let left = identity.renew_at.since(connector.clock.now());
            if !left.is_zero() {
                tokio::select! {
                    () = sleep(left.min(LOOK)) => continue,
                    _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                }
            }
            match self.renew(&identity).await {
                Ok(()) => pause = Pause::new(connector.config.timing.pause),
                Err(error) if error.is_passing() => {
                    tokio::select! {
                        () = connector.wait(&error, &mut pause) => {}
                        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gets a new certificate, unless somebody did since `seen`.
    async fn renew(&self, seen: &Arc<Identity>) -> Result<(), ConnectorError> {
        let _alone = self.renewing.lock().await;
        if !Arc::ptr_eq(seen, &self.identity.borrow()) {
            return Ok(());
        }
        let Connector { key, clock, config, .. } = &self.connector;
        let request = key.renewal(&seen.reply.connector, clock.now())?;
        let reply = self.connector.ask(RENEW_PATH, &request).await?;
        let identity = key.keep(config.gateway.as_str(), reply, clock.now())?;
        self.connector.tell(Event::Renewed { next: identity.renew_at });
        self.identity.send_replace(Arc::new(identity));
        Ok(())
    }
}

/// Serves one link until it ends, or `drained` is told or dropped and its calls are done; says why it ended.
async fn serve<S>(
    stream: TlsStream<TcpStream>,
    service: S,
    timing: Timing,
    drained: oneshot::Receiver<()>,
) -> String
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BodyError>,
{
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(timing.ping)
        .keep_alive_timeout(timing.ping)
        .max_concurrent_streams(limits::LINK_STREAMS)
        .initial_stream_window_size(limits::LINK_STREAM_WINDOW)
        .initial_connection_window_size(limits::LINK_WINDOW)
        .max_header_list_size(u32::try_from(limits::HEADER_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(limits::LINK_STREAM_WINDOW as usize)
        // The edge cancels calls by resetting their streams, as often as its clients go away.
        .max_pending_accept_reset_streams(limits::LINK_STREAMS as usize)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return why(ended),
        _ = drained => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(timing.drain, connection).await.map_or_else(|_| "its calls did not end in time".to_owned(), why)
}

fn why(ended: Result<(), hyper::Error>) -> String {
    match ended {
        Ok(()) => "the edge closed it".to_owned(),
        Err(error) => {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        }
    }
}

/// Why the link with this task ended; earlier links that end meanwhile are passed over.
async fn ended(served: &mut JoinSet<String>, current: tokio::task::Id) -> String {
    loop {
        match served.join_next_with_id().await {
            Some(Ok((id, why))) if id == current => return why,
            Some(Err(error)) if error.id() == current => return "its task failed".to_owned(),
            Some(_) => {}
            None => return "its task is gone".to_owned(),
        }
    }
}

/// Growing pauses with full jitter, so that many connectors do not come back at once.
struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    const fn new((first, longest): (Duration, Duration)) -> Self {
        Self { next: first, longest }
    }

    fn next(&mut self, rng: &dyn Rng) -> Duration {
        let mut random = [0; 4];
        rng.fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let pause = self.next.mul_f64(share);
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}
