//! Portunus as the OAuth client of upstream servers (MCP authorization, RFC 9728, RFC 8414, RFC 8707): per user or shared,
//! with consent through the edge. No sockets, clock, randomness or runtime of its own: all of these are ports.
//!
//! | module | holds |
//! |---|---|
//! | [`ports`] | what is needed from outside: carrying requests, pausing, tasks that outlive their caller |
//! | [`settings`] | one server's way of being connected, by the configuration |
//! | [`challenge`] | what a server's `WWW-Authenticate` says |
//! | [`discovery`] | the server's metadata and its authorization server's |
//! | [`identity`] | what authorization servers know us as: configured, a metadata document, a registration |
//! | [`consent`] | sending a user there, and their return |
//! | [`tokens`] | token requests and answers, sealed sets of tokens |
//! | [`renewal`] | refreshing: one flight across processes, and what becomes of it however it ends |
//! | [`calls`] | the way of a call: bound → opened (with a permit) → injected; a 401, a wish for more scope |
//! | [`ending`] | the end of a connection, with revocation at the authorization server |
//! | [`sweep`] | what was left half done, and connections that nobody may have any more |
//! | [`inventory`] | connections as people and inventories see them |
//!
//! What is deliberately never done: a refresh token is not sent a second time while nobody knows what became of the first
//! (measured: an authorization server that rotates takes that for theft and ends the whole grant); and whoever loses a
//! compare-and-swap neither deletes nor revokes what the winner stored.

#![forbid(unsafe_code)]

pub mod calls;
pub mod challenge;
pub mod consent;
pub mod discovery;
pub mod ending;
mod error;
pub mod identity;
pub mod inventory;
pub mod ports;
pub mod renewal;
pub mod settings;
pub mod sweep;
pub mod tokens;

mod warm;

pub use calls::{Bound, Opened};
pub use error::{ConnectError, ConnectionError, Need};
pub use ports::{Answered, Carrier, NoAnswer, Outgoing, Runtime, Sends, Sign};
pub use settings::{Configured, Settings, Whose};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use portunus_core::document::Connection;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_vault::SealingKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// What connections are made of.
pub struct Parts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The audit log.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub rng: Arc<dyn Rng>,
    /// Seals tokens.
    pub key: SealingKey,
    /// Tasks and pauses.
    pub runtime: Arc<dyn Runtime>,
    /// Reaches the authorization servers of servers that the configuration does not have any more.
    pub carrier: Arc<dyn Carrier>,
    /// Proves which client this is, to authorization servers that want that.
    pub sign: Sign,
    /// The public URL, without a slash at the end.
    pub public_url: String,
}

/// Every connection of this edge. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    parts: Parts,
    servers: ArcSwap<HashMap<ServerName, Arc<Settings>>>,
    /// Those that were there since the process began: with them their tokens can still be revoked.
    gone: Mutex<HashMap<ServerName, Arc<Settings>>>,
    warm: Arc<warm::Warm>,
    flights: Mutex<HashMap<(String, u64), renewal::Flight>>,
    endings: Mutex<HashMap<String, ending::Ending>>,
    /// Renewals that could not be asked for lately, and why.
    paused: Mutex<HashMap<String, (Timestamp, String)>>,
}

impl Connections {
    /// Connections over these parts; no server has any yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let warm = warm::Warm::watching(&*parts.store);
        Self(Arc::new(Inner {
            parts,
            servers: ArcSwap::default(),
            gone: Mutex::default(),
            warm,
            flights: Mutex::default(),
            endings: Mutex::default(),
            paused: Mutex::default(),
        }))
    }

    /// From now on these servers are connected to like this.
    pub fn replace(&self, settings: Vec<Settings>) {
        let servers: HashMap<_, _> =
            settings.into_iter().map(|one| (one.server.clone(), Arc::new(one))).collect();
        let before = self.0.servers.swap(Arc::new(servers.clone()));
        let mut gone = self.0.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.extend(before.iter().map(|(name, settings)| (name.clone(), settings.clone())));
        gone.retain(|name, _| !servers.contains_key(name));
        if gone.len() > limits::CACHED_CONNECTIONS {
            gone.clear();
        }
    }

    /// How the authorization server of a connection is reached, whatever the configuration says by now: at the place where the
    /// connection was made.
    fn as_made(&self, connection: &Connection) -> Option<Settings> {
        let gone = || {
            let gone = self.0.gone.lock().unwrap_or_else(PoisonError::into_inner);
            gone.get(&connection.server).cloned()
        };
        // What tokens are for is on the origin of the server's own URL: that was checked when they were asked for.
        let place = Url::parse(&connection.resource).ok()?;
        let mut settings = match self.of(&connection.server).or_else(gone) {
            Some(known) => Settings { upstream: place, ..(*known).clone() },
            None => Settings::gone(connection.server.clone(), place, self.0.parts.carrier.clone()),
        };
        if connection.issuer_named {
            settings.issuer = Some(connection.issuer.clone());
        }
        Some(settings)
    }

    /// Does some work to its end, even when whoever waits for it goes away.
    async fn outliving<T: Clone + Send + Sync + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let shared = work.boxed().shared();
        self.0.parts.runtime.spawn(shared.clone().map(drop).boxed());
        shared.await
    }

    /// How a server is connected to, if it is by OAuth.
    #[must_use]
    pub fn of(&self, server: &ServerName) -> Option<Arc<Settings>> {
        self.0.servers.load().get(server).cloned()
    }

    /// Every server that is connected to by OAuth, by name.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<Settings>> {
        let mut servers: Vec<_> = self.0.servers.load().values().cloned().collect();
        servers.sort_by(|a, b| a.server.cmp(&b.server));
        servers
    }

    /// The page on which a user connects a server.
    #[must_use]
    pub fn page(&self, server: &ServerName) -> String {
        format!("{}/connections/{server}", self.0.parts.public_url)
    }

    fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }
    fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }

    async fn record(
        &self,
        by: &str,
        action: &str,
        subject: &str,
        detail: &[(&str, &str)],
    ) -> Result<(), LedgerError> {
        let event = Event {
            at: self.now(),
            by: by.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        self.0.parts.ledger.append(Record::Event(event)).await.map(|_sequence| ())
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
