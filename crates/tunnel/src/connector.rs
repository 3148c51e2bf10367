//! The program beside the tool: enrols once, keeps its links to the edge up, renews its certificate, and serves the
//! requests that come down.

use crate::dial::{self, ConnectError, Opening, Proxy, shown};
use crate::identity::{Identity, Key, StateError};
use crate::keeper::{Pause, keep_links};
use crate::tls::{self, TlsError};
use crate::wire::{ENROL_PATH, EnrolReply, EnrolRequest, GatewayInfo, Problem, ProblemCode, Timing};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
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
use tokio::time::sleep;
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
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    events: Events,
    roots: Arc<RootCertStore>,
    https: Arc<ClientConfig>,
    pub(crate) key: Key,
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

    /// Enrols, unless that was done before, and gives what the edge told about itself: for a service that must know the
    /// edge's assertion key before it takes calls. [`Self::run`] begins with it.
    ///
    /// # Errors
    /// A refusal for good, or a state directory that cannot be used.
    pub async fn enrol(&self) -> Result<GatewayInfo, ConnectorError> {
        let enrolled = self.enrolled().await;
        tell_refusal(&self.events, &enrolled);
        Ok(enrolled?.reply.gateway)
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
            Ok(identity) => keep_links(self, identity, service, stop).await,
            Err(error) => Err(error),
        };
        tell_refusal(&events, &ended);
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
    pub(crate) async fn ask<T: serde::Serialize>(
        &self,
        path: &str,
        request: &T,
    ) -> Result<EnrolReply, ConnectorError> {
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
        Err(self.problem(&body))
    }

    pub(crate) async fn wait(&self, error: &ConnectorError, pause: &mut Pause) {
        let retry_in = pause.next(&*self.rng);
        self.tell(Event::Waiting { why: error.to_string(), retry_in });
        sleep(retry_in).await;
    }

    /// Opens a link: TLS, and the edge's first bytes, which say whether it took the link.
    pub(crate) async fn open(&self, identity: &Identity) -> Result<TlsStream<TcpStream>, OpenError> {
        let (chain, key) =
            self.key.for_tls(identity).map_err(|error| OpenError::Failed(error.to_string()))?;
        let config = tls::link_client_config(Arc::clone(&self.roots), chain, key);
        let config = config.map_err(|error| OpenError::Failed(error.to_string()))?;
        let Config { gateway, proxy, timing, .. } = &self.config;
        let opened = dial::tls(gateway, proxy.as_ref(), &config, timing.open).await;
        let mut stream = opened.map_err(|error| OpenError::Failed(error.to_string()))?;
        match dial::opening(&mut stream, timing.open).await {
            Opening::Http2 => Ok(stream),
            Opening::Alert(why) => Err(OpenError::Stale(why)),
            Opening::Silence(why) => Err(OpenError::Failed(why)),
            Opening::Refusal(text) => Err(match self.problem(&text) {
                error @ ConnectorError::Refused { code: ProblemCode::CertificateExpired, .. } => {
                    OpenError::Stale(error.to_string())
                }
                error if error.is_passing() => OpenError::Failed(error.to_string()),
                error => OpenError::Refused(error),
            }),
        }
    }

    /// What the edge gave as the reason of a refusal.
    fn problem(&self, text: &[u8]) -> ConnectorError {
        let gateway = shown(&self.config.gateway);
        match serde_json::from_slice::<Problem>(text) {
            // It is shown on a terminal.
            Ok(problem) => {
                let message = problem.message.chars().filter(|c| !c.is_control()).take(400).collect();
                ConnectorError::Refused { gateway, code: problem.code, message }
            }
            Err(_) => ConnectorError::Strange(gateway),
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.events)(event);
    }
}

fn tell_refusal<T>(events: &Events, result: &Result<T, ConnectorError>) {
    if let Err(ConnectorError::Refused { code, message, .. }) = result {
        events(Event::Refused { code: *code, message: message.clone() });
    }
}

impl ConnectorError {
    /// Whether trying again later can help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_passing(),
            Self::Unreachable(_) | Self::Strange(_) => true,
            _ => false,
        }
    }
}

/// Why a link could not be opened.
pub(crate) enum OpenError {
    /// Something that passes.
    Failed(String),
    /// The certificate is not good any more; a new one may be.
    Stale(String),
    /// The edge refused for good.
    Refused(ConnectorError),
}
