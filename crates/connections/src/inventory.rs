//! Connections as people and inventories see them: everything but the tokens.

use portunus_core::document::{Connection, ConnectionState, Tested};
use portunus_core::id::{ServerName, UserName};
use portunus_core::store::{Store, StoreError, list_all};
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// `connection:SERVER/USER`, or `connection:SERVER/shared`.
    pub identity: String,
    /// The server.
    pub server: ServerName,
    /// Whose; `None`: everybody's.
    pub user: Option<UserName>,
    /// Who agreed to it, and answers for it.
    pub owner: UserName,
    /// The authorization server.
    pub issuer: String,
    /// What its tokens are for.
    pub resource: String,
    /// What was granted.
    pub scopes: Vec<String>,
    /// What the server has asked for on top.
    pub wanted: Vec<String>,
    /// `connected`, `refreshing`, `needs consent`, `disconnecting` or `disconnected`.
    pub state: String,
    /// Why it needs consent.
    pub why: Option<String>,
    /// Which set of tokens it has.
    pub generation: u64,
    /// When its access token ends.
    pub access_expires_at: Option<Timestamp>,
    /// When somebody agreed to it.
    pub connected_at: Timestamp,
    /// When its tokens came.
    pub refreshed_at: Timestamp,
    /// What was seen of its tokens after they had been revoked.
    pub tested: Option<Tested>,
}

impl From<Connection> for Listed {
    fn from(connection: Connection) -> Self {
        let why = match &connection.state {
            ConnectionState::NeedsConsent { why } => Some(why.clone()),
            _ => None,
        };
        Self {
            identity: connection.identity(),
            state: connection.state.word().to_owned(),
            why,
            server: connection.server,
            user: connection.user,
            owner: connection.connected_by,
            issuer: connection.issuer,
            resource: connection.resource,
            scopes: connection.scopes,
            wanted: connection.wanted,
            generation: connection.generation,
            access_expires_at: connection.access_expires_at,
            connected_at: connection.connected_at,
            refreshed_at: connection.refreshed_at,
            tested: connection.tested,
        }
    }
}

/// Every connection, by server and user; those that are over too, as long as they are kept.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &dyn Store) -> Result<Vec<Listed>, StoreError> {
    let all = list_all::<Connection>(store, None).await?;
    Ok(all.into_iter().map(|entry| Listed::from(entry.value)).collect())
}
