//! The data plane: every request from a client passes through here, top to bottom in [`request`].
//!
//! | module | step |
//! |---|---|
//! | [`listener`], [`tls`] | accept: TLS, limits, clients and links told apart, drain |
//! | `flood` | HTTP/2 frames for nothing end a connection |
//! | [`plain`] | the plain port: challenges of certificate authorities, redirects to https |
//! | [`request`] | the way of a request |
//! | [`guard`], [`cors`] | the HTTP head is unambiguous and for us; which pages may ask |
//! | [`route`] | host and path → server |
//! | [`caller`], [`sender`] | token → user, client, grant; the key that it is bound to |
//! | [`body`], [`asked`] | bounded read, strict parse |
//! | [`handle`] | session, event and task ids and `requestState` belong to one caller |
//! | [`mirror`] | headers that mirror arguments agree with them |
//! | [`facts`] | SQL text → facts |
//! | [`decide`], [`approval`] | policy → permit or refusal |
//! | [`record`] | intent and outcome records |
//! | [`send`], [`assertion`], [`upstream`] | credential, assertion, exchange with the upstream |
//! | [`bridge`] | the two protocol eras, one in front of the other |
//! | [`pin`] | what servers list is what was accepted |
//! | [`inspect`], [`screen`] | each message: the right call's, lists filtered, handles bound |
//! | [`stream`], [`seal`] | bounds kept, outcome sealed |
//! | [`refusal`], [`respond`], [`step_up`] | every reason to refuse, and what a client is told |
//! | [`metrics`], [`ports`] | what is counted; what is wired from outside |

#![forbid(unsafe_code)]

pub mod approval;
pub mod asked;
pub mod assertion;
pub mod body;
pub mod bridge;
pub mod caller;
pub mod cors;
pub mod decide;
pub mod facts;
mod flood;
pub mod guard;
pub mod handle;
pub mod inspect;
pub mod listener;
pub mod metrics;
pub mod mirror;
pub mod pin;
pub mod plain;
pub mod ports;
pub mod record;
pub mod refusal;
pub mod request;
pub mod respond;
pub mod route;
pub mod screen;
pub mod seal;
pub mod send;
pub mod sender;
pub mod step_up;
pub mod stream;
pub mod tls;
pub mod upstream;

use arc_swap::ArcSwap;
use portunus_core::dialer::Dialer;
use portunus_core::id::ServerName;
use portunus_core::record::Ledger;
use portunus_core::server::Server;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng};
use portunus_core::trace::Spans;
use portunus_ledger::redact::Redactor;
use portunus_oauth::dpop::Guard;
use portunus_policy::Engine;
use portunus_policy::sql::Dialect;
use portunus_vault::Vault;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Semaphore;

/// Everything the way of a request needs.
pub struct Edge {
    /// What is published and under which policies; replaced as a whole by a reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Warm callers.
    pub callers: Arc<caller::Callers>,
    /// Remembers which proofs of possession were used here.
    pub proofs: Guard,
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Where records go.
    pub ledger: Arc<dyn Ledger>,
    /// Takes secrets out of recorded arguments.
    pub redactor: Redactor,
    /// Upstream credentials.
    pub vault: Arc<Vault>,
    /// Binds what clients hand back to callers.
    pub handles: handle::Handles,
    /// Signs assertions.
    pub signer: assertion::Signer,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub rng: Arc<dyn Rng>,
    /// What is counted.
    pub metrics: Arc<metrics::Metrics>,
    /// Where finished spans go, if anywhere.
    pub spans: Option<Arc<dyn Spans>>,
    /// Everything that is not an MCP server.
    pub control: Arc<dyn ports::ControlPlane>,
}

/// One immutable view of configuration and policies.
pub struct Snapshot {
    /// The public URL, without a slash at the end; also our own web origin.
    pub public_url: String,
    /// Which hosts are ours.
    pub hosts: route::Hosts,
    /// Which web origins may ask.
    pub origins: cors::Origins,
    /// The policies.
    pub engine: Arc<Engine>,
    /// What is published.
    pub servers: HashMap<ServerName, Arc<Published>>,
}

/// A published server with the way to it.
pub struct Published {
    /// The server.
    pub server: Server,
    /// The way to it.
    pub dialer: Arc<dyn Dialer>,
    /// Tools that an administrator confirmed to change nothing.
    pub read_only: HashSet<String>,
    /// The SQL that its tools take.
    pub dialect: Dialect,
    /// Whether it has given out a task since it was published.
    pub gives_tasks: Arc<AtomicBool>,
    /// Which arguments of its tools are mirrored into headers.
    pub mirrors: Arc<mirror::Mirrors>,
    /// Room for calls in flight.
    pub room: Arc<Semaphore>,
}
