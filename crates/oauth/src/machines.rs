//! What the configuration says about machines: who may get tokens without a person, and who may pass them on or ask about
//! them.

use crate::id_jag::IdentityProvider;
use crate::workload::Workload;
use portunus_core::id::{ClientId, ServerName};

/// One immutable value, part of the issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machines {
    /// Workloads of other platforms.
    pub workloads: Vec<Workload>,
    /// Identity providers whose word for their users is taken.
    pub identity_providers: Vec<IdentityProvider>,
    /// What may be exchanged besides a client's own tokens for lesser ones.
    pub exchanges: Vec<Exchange>,
    /// Who may ask about tokens for servers.
    pub resource_servers: Vec<ResourceServer>,
}

/// A client that may exchange tokens of other clients, or for other servers (RFC 8693).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The client.
    pub client: ClientId,
    /// Whose tokens it may exchange besides its own.
    pub from: Vec<ClientId>,
    /// The servers it may get tokens for besides the token's own.
    pub may_exchange_to: Vec<ServerName>,
}

/// A client that stands for servers and may ask about their tokens (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceServer {
    /// The client.
    pub client: ClientId,
    /// Its servers.
    pub servers: Vec<ServerName>,
}

impl Machines {
    /// What this client may exchange.
    pub(crate) fn exchange(&self, client: &ClientId) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.client == *client)
    }
    /// Whether this client stands for a server.
    pub(crate) fn stands_for(&self, client: &ClientId, server: &ServerName) -> bool {
        self.resource_servers.iter().any(|known| known.client == *client && known.servers.contains(server))
    }
}
