//! A published MCP server, and where it really is.

use crate::digest::equal;
use crate::id::{CredentialName, ServerName};
use crate::limits::ServerLimits;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use url::Url;

/// A published MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Path segment, policy prefix and audience of its tokens.
    pub name: ServerName,
    /// What people see on the consent page.
    pub title: String,
    /// Who answers for it; an e-mail address.
    pub owner: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// Such as `production` or `development`.
    pub environment: String,
    /// Which kinds of actor may call it.
    pub actors: Vec<Actor>,
    /// Where it is.
    pub upstream: Upstream,
    /// The credential injected on the way up, if it needs one.
    pub credential: Option<CredentialName>,
    /// Its bounds.
    pub limits: ServerLimits,
    /// Scopes that tokens for it can have besides the one that all have, with what they allow, for the consent page.
    pub scopes: BTreeMap<String, String>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// Behind a connector that dialled in.
    Tunnel,
    /// At an `http` or `https` URL that the edge can reach.
    Http(Url),
    /// A program that the edge starts.
    Program(Program),
}

/// A program that speaks MCP on its standard input and output.
#[derive(Debug, Clone)]
pub struct Program {
    /// What to start and its arguments; the first is looked up in `PATH`. Never empty.
    pub command: Vec<String>,
    /// What its environment has besides the few names that every program gets. Values may be secret.
    pub environment: BTreeMap<String, Secret<String>>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Who shares a process of it.
    pub per: Per,
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.command == other.command
            && self.directory == other.directory
            && self.per == other.per
            && self.environment.keys().eq(other.environment.keys())
            && self
                .environment
                .values()
                .zip(other.environment.values())
                .all(|(ours, theirs)| equal(ours.expose().as_bytes(), theirs.expose().as_bytes()))
    }
}

impl Eq for Program {}

/// Who shares one process of a [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// All callers of the server.
    Server,
    /// Nobody: each caller (user and client) has one of their own.
    Caller,
}

/// What kind of actor drives the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A person with an assistant in front of them.
    Assistant,
    /// An agent acting on its own for a person.
    Autonomous,
    /// A service with an identity of its own.
    Workload,
    /// A build or deployment job.
    Ci,
}

impl Actor {
    /// The word used in configuration, policy and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assistant => "assistant",
            Self::Autonomous => "autonomous",
            Self::Workload => "workload",
            Self::Ci => "ci",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
