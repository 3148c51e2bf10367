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
//! | [`past`], [`counters`], [`labels`] | what was done before: counts, and labels on sessions |
//! | [`decide`], [`approval`] | policy → permit or refusal |
//! | `trial`, [`wait`] | what approvers see of a write; how clients wait for them |
//! | [`shadow`] | what candidate policies would have decided |
//! | [`record`] | intent and outcome records |
//! | [`key`], [`connect`] | what opens the upstream: a credential or a connection; who must connect first |
//! | [`send`], [`assertion`], [`mask_key`], [`upstream`] | key, assertion, exchange with the upstream |
//! | [`bridge`] | the two protocol eras, one in front of the other |
//! | [`pin`] | what servers list is what was accepted |
//! | [`interview`] | what the server asks of the client is decided too |
//! | [`shown`] | data classes treated, rows cut, labels put on by what is shown |
//! | [`inspect`], [`screen`] | each message: the right call's, lists filtered, handles bound |
//! | [`lists`] | lists that were filtered before |
//! | [`stream`], [`seal`] | bounds kept, outcome sealed |
//! | [`revocation`] | what ends a call from outside: its grant's, or its credential's |
//! | [`refusal`], [`respond`], [`step_up`] | every reason to refuse, and what a client is told |
//! | [`metrics`], [`ports`] | what is counted; what is wired from outside |

#![forbid(unsafe_code)]

pub mod approval;
pub mod asked;
pub mod assertion;
pub mod body;
pub mod bridge;
pub mod caller;
pub mod connect;
pub mod cors;
pub mod counters;
pub mod decide;
pub mod emergencies;
pub mod facts;
mod flood;
pub mod guard;
pub mod handle;
pub mod inspect;
pub mod interview;
pub mod key;
pub mod labels;
pub mod listener;
pub mod lists;
pub mod mask_key;
pub mod metrics;
pub mod mirror;
pub mod observed;
pub mod past;
pub mod pin;
pub mod pinned;
pub mod plain;
pub mod ports;
pub mod record;
pub mod refusal;
pub mod request;
pub mod respond;
pub mod revocation;
pub mod route;
pub mod screen;
pub mod seal;
pub mod send;
pub mod sender;
pub mod shadow;
pub mod shown;
pub mod step_up;
pub mod stream;
pub mod tls;
mod trial;
pub mod upstream;
pub mod used;
pub mod wait;

use arc_swap::ArcSwap;
use portunus_connections::Connections;
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
use portunus_policy::shadow::Shadow;
use portunus_vault::Vault;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
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
    /// What was counted.
    pub counters: Arc<counters::Counters>,
    /// Who has emergency access to what.
    pub emergencies: emergencies::Emergencies,
    /// Which identities were used by whom.
    pub uses: Arc<used::Uses>,
    /// What was seen that nobody registered.
    pub observed: observed::Sightings,
    /// Which definitions of tools, prompts and widgets are accepted.
    pub pins: Arc<pin::Pins>,
    /// What is on sessions.
    pub labels: Arc<labels::Labels>,
    /// Upstream credentials.
    pub vault: Arc<Vault>,
    /// Connections to upstream servers.
    pub connections: Connections,
    /// What asking for approvals shares.
    pub approvals: approval::Desk,
    /// Binds what clients hand back to callers.
    pub handles: handle::Handles,
    /// Keys of hashes and tokens in results.
    pub mask_keys: mask_key::MaskKeys,
    /// Signs assertions.
    pub signer: assertion::Signer,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub rng: Arc<dyn Rng>,
    /// What candidate policies would have decided otherwise.
    pub shadow: Mutex<Shadow>,
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
    /// Policies that are tried beside those in force.
    pub shadow: Option<Candidate>,
    /// What is looked for in results.
    pub data: shown::DataClasses,
    /// Life of an approval.
    pub approval_ttl: Duration,
    /// What is published.
    pub servers: HashMap<ServerName, Arc<Published>>,
}

/// Policies that decide nothing, to see what they would decide.
#[derive(Clone)]
pub struct Candidate {
    /// Where they come from.
    pub path: String,
    /// Compiled.
    pub engine: Arc<Engine>,
}

/// A published server with the way to it.
pub struct Published {
    /// The server.
    pub server: Server,
    /// The way to it.
    pub dialer: Arc<dyn Dialer>,
    /// Tools that an administrator confirmed to change nothing.
    pub read_only: HashSet<String>,
    /// Tools that may be given secrets in their arguments.
    pub takes_secrets: HashSet<String>,
    /// Whether it is Portunus' own SQL server, which keeps to the assertion's word about columns and tables itself.
    pub built_in_sql: bool,
    /// Which argument of a tool holds SQL, where an administrator said so.
    pub sql: HashMap<String, facts::Declared>,
    /// What a tool, or anything else that is read here, puts on the caller's session.
    pub labels: ToolLabels,
    /// Whether it has given out a task since it was published.
    pub gives_tasks: Arc<AtomicBool>,
    /// Which arguments of its tools are mirrored into headers.
    pub mirrors: Arc<mirror::Mirrors>,
    /// Whether its tools, prompts and widgets must be pinned.
    pub pinned: bool,
    /// Lists that were filtered before.
    pub lists: Arc<lists::Lists>,
    /// Room for calls in flight.
    pub room: Arc<Semaphore>,
}

/// The labels that a server's tools put on sessions.
#[derive(Debug, Clone, Default)]
pub struct ToolLabels {
    /// Every call, every resource and prompt.
    pub all: labels::Put,
    /// Calls of one tool, in addition.
    pub of_tool: HashMap<String, labels::Put>,
}
