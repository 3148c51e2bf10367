//! The live links of this edge, by server: who is admitted, who is chosen for a call, who is closed.

use crate::certificate::PeerCertificate;
use crate::enrol::EnrolError;
use crate::exchange::LinkDialer;
use crate::link::{Closing, Link};
use crate::wire::{Problem, ProblemCode, Timing};
use arc_swap::ArcSwap;
use portunus_core::document::Connector;
use portunus_core::id::{self, Id, ServerName};
use portunus_core::limits;
use portunus_core::store::{self, Kind, Store, StoreError};
use portunus_core::time::{Clock, Rng, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The live links of this edge. Clones share them.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    timing: Timing,
    servers: Mutex<HashMap<ServerName, Arc<ServerLinks>>>,
}

/// The links of one server; read without a lock on the way of a request.
#[derive(Default)]
pub(crate) struct ServerLinks(ArcSwap<Vec<Arc<Link>>>);

/// A live link, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// `lnk_…`
    pub link: Id,
    /// Whose it is.
    pub connector: Id,
    /// The server it leads to.
    pub server: ServerName,
    /// Since when.
    pub since: Timestamp,
    /// Calls on it now.
    pub streams: usize,
    /// Calls it has taken.
    pub calls: u64,
}

/// Why a stream with a verified certificate was not made a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No such connector.
    #[error("no connector {0} is enrolled")]
    Unknown(Id),
    /// Revoked, and when.
    #[error("the connector {0} was revoked at {1}")]
    Revoked(Id, Timestamp),
    /// The certificate names another server or key than the enrolment.
    #[error("the certificate of connector {0} does not agree with its enrolment")]
    Mismatch(Id),
    /// Past its life.
    #[error("the certificate of connector {0} has expired")]
    Expired(Id),
    /// The connector, or the server, has as many as it may.
    #[error("too many links of connector {0}, or too many connectors for its server")]
    TooMany(Id),
    /// Not HTTP/2, or not in time.
    #[error("the link could not be opened: {0}")]
    Handshake(String),
    /// The store failed: refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// An empty registry that watches the store for revoked connectors.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, timing: Timing) -> Self {
        let inner = Arc::new(Inner { store, clock, rng, timing, servers: Mutex::default() });
        let watching = Arc::downgrade(&inner);
        inner.store.observe(Box::new(move |changes| {
            if let Some(inner) = watching.upgrade() {
                let ids = changes.iter().filter(|change| change.kind == Kind::Connector);
                inner.doubt(&ids.map(|change| change.id.as_str()).collect());
            }
        }));
        Self(inner)
    }

    /// Runs one link on a stream whose TLS handshake verified `peer`, until it ends; the edge spawns this. Dropping the
    /// future closes the link.
    ///
    /// # Errors
    /// When the connector is not admitted. A link that was open and ended is `Ok`.
    pub async fn accept<S>(&self, stream: S, peer: PeerCertificate) -> Result<(), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let inner = &*self.0;
        let now = inner.clock.now();
        let (link, _entry) = match inner.take(&peer, now).await {
            Ok(taken) => taken,
            Err(error) => {
                refuse(stream, &error.problem(), inner.timing).await;
                return Err(error);
            }
        };
        let opened = link.open(stream, inner.timing).await;
        let connection = opened.map_err(|why| AcceptError::Handshake(why.to_owned()))?;
        inner.supersede(&link);
        tracing::info!(link = %link.id, connector = %link.connector, server = %link.server, "link up");
        let why = link.run(connection, &*inner.store, peer.not_after.since(now), inner.timing).await;
        tracing::info!(link = %link.id, connector = %link.connector, server = %link.server, why, "link down");
        Ok(())
    }

    /// The way to a server over whatever links it has at the time of each call.
    #[must_use]
    pub fn dialer(&self, server: &ServerName) -> LinkDialer {
        let links = Arc::clone(self.0.lock().entry(server.clone()).or_default());
        LinkDialer::new(server, links, Arc::clone(&self.0.store))
    }

    /// Every link that is open; those that drain too.
    #[must_use]
    pub fn links(&self) -> Vec<LinkInfo> {
        self.0.all().iter().filter_map(|link| link.info()).collect()
    }

    /// Closes every link of a connector at once, calls in flight included; returns how many there were.
    pub fn close(&self, connector: &Id) -> usize {
        let links = self.0.all();
        let of_connector = links.iter().filter(|link| link.connector == *connector);
        of_connector.map(|link| link.end(Closing::Now)).count()
    }

    /// Takes no new call and closes each link when its calls are done, or after [`Timing::drain`].
    pub fn drain(&self) {
        self.0.all().iter().for_each(|link| link.end(Closing::WhenIdle));
    }
}

impl Inner {
    /// A place in the registry for a link of this peer.
    async fn take(
        &self,
        peer: &PeerCertificate,
        now: Timestamp,
    ) -> Result<(Arc<Link>, Entry<'_>), AcceptError> {
        if peer.not_after.is_past(now) {
            return Err(AcceptError::Expired(peer.connector.clone()));
        }
        self.admit(peer).await?;
        let link = Link::new(id::mint("lnk", now, &*self.rng), peer, now);
        let entry = self.enter(&link)?;
        // Again, now that it has its place: a revocation is either seen here or finds the link there.
        self.admit(peer).await?;
        Ok((link, entry))
    }

    async fn admit(&self, peer: &PeerCertificate) -> Result<(), AcceptError> {
        let found = store::load::<Connector>(&*self.store, peer.connector.as_str()).await?;
        let connector = found.ok_or_else(|| AcceptError::Unknown(peer.connector.clone()))?.value;
        if let Some(at) = connector.revoked_at {
            return Err(AcceptError::Revoked(connector.id, at));
        }
        if connector.server != peer.server || connector.key_digest != peer.key_digest {
            return Err(AcceptError::Mismatch(connector.id));
        }
        Ok(())
    }

    /// Makes a link eligible for calls, within the bounds; leaving the guard's scope takes it out.
    fn enter(&self, link: &Arc<Link>) -> Result<Entry<'_>, AcceptError> {
        let mut servers = self.lock();
        let entry = Arc::clone(servers.entry(link.server.clone()).or_default());
        let mut links = Vec::clone(&entry.0.load());
        let own = links.iter().filter(|other| other.connector == link.connector).count();
        let connectors: HashSet<&Id> = links.iter().map(|other| &other.connector).collect();
        // Twice, because a connector with a new certificate opens new links before it closes the old ones.
        let too_many = own >= 2 * limits::LINKS_PER_CONNECTOR
            || (own == 0 && connectors.len() >= limits::CONNECTORS_PER_SERVER);
        if too_many {
            return Err(AcceptError::TooMany(link.connector.clone()));
        }
        links.push(Arc::clone(link));
        entry.0.store(Arc::new(links));
        Ok(Entry { inner: self, links: entry, link: Arc::clone(link) })
    }

    /// Lets one link with an earlier certificate of the same connector end when it is idle: this one replaces it. The edge
    /// closes the old link, because only the edge knows of calls that are on their way down.
    fn supersede(&self, link: &Link) {
        let links = self.all();
        let earlier = links.iter().filter(|other| {
            other.connector == link.connector && other.not_after < link.not_after && other.load().is_some()
        });
        if let Some(oldest) = earlier.min_by_key(|other| other.not_after) {
            oldest.end(Closing::WhenIdle);
        }
    }

    /// Bars the links of changed connectors from new calls until the store has confirmed them.
    fn doubt(&self, connectors: &HashSet<&str>) {
        if !connectors.is_empty() {
            let links = self.all();
            links
                .iter()
                .filter(|link| connectors.contains(link.connector.as_str()))
                .for_each(|link| link.doubt());
        }
    }

    fn all(&self) -> Vec<Arc<Link>> {
        self.lock().values().flat_map(|links| Vec::clone(&links.0.load())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, Arc<ServerLinks>>> {
        // Nothing panics while holding it; and the map is whole after each step.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AcceptError {
    /// What the connector is told.
    fn problem(&self) -> Problem {
        let (code, message) = match self {
            Self::Unknown(_) => (ProblemCode::ConnectorUnknown, EnrolError::Unknown.to_string()),
            Self::Revoked(_, at) => (ProblemCode::ConnectorRevoked, EnrolError::Revoked(*at).to_string()),
            Self::Mismatch(_) => (ProblemCode::KeyRefused, EnrolError::KeyRefused.to_string()),
            Self::Expired(_) => (ProblemCode::CertificateExpired, "the certificate has expired".to_owned()),
            Self::TooMany(_) => {
                (ProblemCode::Unavailable, "too many links or connectors for this server".to_owned())
            }
            Self::Handshake(_) | Self::Store(_) => {
                (ProblemCode::Unavailable, "the edge cannot take it now".to_owned())
            }
        };
        Problem { code, message }
    }
}

/// Says why instead of starting HTTP/2. Nothing hangs on it: a connector that does not hear it tries again.
async fn refuse<S: AsyncWrite + Unpin>(mut stream: S, problem: &Problem, timing: Timing) {
    let text = serde_json::to_vec(problem).unwrap_or_default();
    let say = async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    let _ = timeout(timing.open, say).await;
}

impl ServerLinks {
    pub(crate) fn load(&self) -> Arc<Vec<Arc<Link>>> {
        self.0.load_full()
    }
}

struct Entry<'a> {
    inner: &'a Inner,
    links: Arc<ServerLinks>,
    link: Arc<Link>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.link.end(Closing::Now);
        let _changing = self.inner.lock();
        let mut links = Vec::clone(&self.links.0.load());
        links.retain(|other| !Arc::ptr_eq(other, &self.link));
        self.links.0.store(Arc::new(links));
    }
}
