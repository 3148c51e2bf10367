//! What administrators do with clients: entering them, approving, blocking and removing them, and keeping those of the
//! configuration file. Each is recorded; blocking and removing end what users agreed to, at once.

use crate::client::{document_url, mint_secret};
use crate::client_metadata::{PRIVATE_KEY_JWT, UNNAMED, check_redirects, invalid};
use crate::error::OAuthError;
use crate::grants::{self, Selection};
use crate::ports::{ATTEMPTS, Ports, Trouble};
use crate::text;
use portunus_core::digest::Digest;
use portunus_core::document::{Client, ClientKeys, ClientSource, Standing};
use portunus_core::id::{ClientId, ServerName, WorkloadName};
use portunus_core::limits;
use portunus_core::record::LedgerError;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Expect, Store, StoreError, Versioned, list_all, load};
use portunus_core::time::Timestamp;

/// A client that an administrator enters, here or in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    /// Its id; for a machine also its name as a workload.
    pub client_id: ClientId,
    /// What people see.
    pub name: String,
    /// Where users may be sent back to.
    pub redirect_uris: Vec<String>,
    /// The servers that it may use in its own name; with any of these it is a machine.
    pub servers: Vec<ServerName>,
    /// Whether it may use the device grant.
    pub device_grant: bool,
    /// How it proves itself.
    pub proof: Proof,
}

/// How a client that is entered proves itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: a public client, with PKCE.
    None,
    /// With a secret of this digest.
    Secret(Digest),
    /// With a signature.
    Keys(ClientKeys),
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It is there already.
    #[error("there is a client `{0}` already; see `portunus client list`")]
    Exists(ClientId),
    /// It is not.
    #[error("there is no client `{0}`; see `portunus client list`")]
    Unknown(ClientId),
    /// It is in the configuration file.
    #[error("the client `{0}` is in portunus.yaml; remove it there")]
    Configured(ClientId),
    /// It cannot be like this.
    #[error(transparent)]
    Invalid(#[from] OAuthError),
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<LedgerError> for ClientError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

impl NewClient {
    /// The client, checked.
    ///
    /// # Errors
    /// When its redirect URIs may not be, or a machine has no proof or no name that policies can use.
    pub fn into_client(self, source: ClientSource, now: Timestamp) -> Result<Client, OAuthError> {
        if self.servers.is_empty() || !self.redirect_uris.is_empty() {
            check_redirects(&self.redirect_uris)?;
        }
        if !self.servers.is_empty() {
            if self.proof == Proof::None {
                return Err(invalid("a client that uses servers in its own name needs a secret or keys"));
            }
            WorkloadName::parse(self.client_id.as_str()).map_err(|error| invalid(error.to_string()))?;
        }
        let (auth_method, other) = match &self.proof {
            Proof::None => ("none", None),
            Proof::Secret(_) => ("client_secret_basic", Some("client_secret_post")),
            Proof::Keys(_) => (PRIVATE_KEY_JWT, None),
        };
        let (secret_digest, keys) = match self.proof {
            Proof::None => (None, None),
            Proof::Secret(digest) => (Some(digest), None),
            Proof::Keys(keys) => (None, Some(keys)),
        };
        Ok(Client {
            client_id: self.client_id,
            name: text::clean(&self.name, limits::CLIENT_NAME_CHARS).unwrap_or_else(|| UNNAMED.to_owned()),
            redirect_uris: self.redirect_uris,
            client_uri: None,
            secret_digest,
            auth_method: auth_method.to_owned(),
            other_auth_methods: other.map(str::to_owned).into_iter().collect(),
            keys,
            signing_alg: None,
            servers: self.servers,
            device_grant: self.device_grant,
            source,
            standing: Standing::Undecided,
            decided_by: None,
            created_at: now,
            fetched_at: None,
            fresh_until: None,
            dpop_bound: false,
            certificate_bound: false,
            agreed_at: None,
        })
    }
}

/// Enters a client; with `with_secret` a fresh secret is made for it, which is told this once.
///
/// # Errors
/// See [`ClientError`].
pub async fn add(
    ports: &Ports<'_>,
    new: NewClient,
    with_secret: bool,
    by: &str,
) -> Result<(Client, Option<Secret<String>>), ClientError> {
    let (new, secret) = if with_secret {
        let (secret, digest) = mint_secret(ports)?;
        (NewClient { proof: Proof::Secret(digest), ..new }, Some(secret))
    } else {
        (new, None)
    };
    let client = new.into_client(ClientSource::Administrator, ports.now)?;
    let client = Client { decided_by: Some(by.to_owned()), ..client };
    if load::<Client>(ports.store, client.client_id.as_str()).await?.is_some() {
        return Err(ClientError::Exists(client.client_id));
    }
    record(ports, by, "client.added", &client).await?;
    match ports.store.commit(Batch::new().insert(&client)).await {
        Ok(_generation) => Ok((client, secret)),
        Err(StoreError::Conflict { .. }) => Err(ClientError::Exists(client.client_id)),
        Err(error) => Err(error.into()),
    }
}

/// Lets a client in, or keeps it out; the id of a document may be decided on before anyone used it. After blocking, nothing
/// of the client is admitted on this node, and nothing can be agreed to.
///
/// # Errors
/// See [`ClientError`].
pub async fn decide(
    ports: &Ports<'_>,
    client_id: &ClientId,
    standing: Standing,
    by: &str,
) -> Result<Client, ClientError> {
    let action = if standing == Standing::Blocked { "client.blocked" } else { "client.approved" };
    for _ in 0..ATTEMPTS {
        let known = load::<Client>(ports.store, client_id.as_str()).await?;
        let (client, batch) = match known {
            Some(Versioned { value, version }) => {
                let client = Client { standing, decided_by: Some(by.to_owned()), ..value };
                let batch = Batch::new().update(&client, version);
                (client, batch)
            }
            None => {
                let client = unseen(ports, client_id)?;
                let client = Client { standing, decided_by: Some(by.to_owned()), ..client };
                let batch = Batch::new().insert(&client);
                (client, batch)
            }
        };
        if standing != Standing::Blocked {
            // No record, no way in. A block is recorded below: a ledger that fails must not keep anyone in.
            record(ports, by, action, &client).await?;
        }
        match ports.store.commit(batch).await {
            Ok(_generation) => {
                if standing == Standing::Blocked {
                    let all = Selection::Client(client_id.clone());
                    grants::revoke_all(ports, &all, by, "its client was blocked").await?;
                    record(ports, by, action, &client).await?;
                }
                return Ok(client);
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Busy.into())
}

/// Forgets a client, and ends what users agreed to.
///
/// # Errors
/// See [`ClientError`].
pub async fn remove(ports: &Ports<'_>, client_id: &ClientId, by: &str) -> Result<(), ClientError> {
    let known = load::<Client>(ports.store, client_id.as_str()).await?;
    let known = known.ok_or_else(|| ClientError::Unknown(client_id.clone()))?.value;
    if known.source == ClientSource::Configuration {
        return Err(ClientError::Configured(client_id.clone()));
    }
    forget(ports, &known, by).await
}

/// Every client, or those that wait for a yes, by id.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &dyn Store) -> Result<Vec<Client>, StoreError> {
    Ok(list_all::<Client>(store, None).await?.into_iter().map(|client| client.value).collect())
}

/// Makes the stored clients of the configuration file what it says now; those that it does not name any more are
/// forgotten.
///
/// # Errors
/// See [`ClientError`]; what was done before the failure stays.
pub async fn configure(ports: &Ports<'_>, clients: &[NewClient]) -> Result<(), ClientError> {
    let source = ClientSource::Configuration;
    for known in list_all::<Client>(ports.store, Client::listed_under(source)).await? {
        if !clients.iter().any(|client| client.client_id == known.value.client_id) {
            forget(ports, &known.value, "portunus").await?;
        }
    }
    for new in clients {
        let mut client = new.clone().into_client(source, ports.now)?;
        let known = load::<Client>(ports.store, client.client_id.as_str()).await?;
        if let Some(Versioned { value: known, .. }) = &known {
            client.created_at = known.created_at;
            client.agreed_at = known.agreed_at;
            client.standing = known.standing;
            client.decided_by.clone_from(&known.decided_by);
            if *known == client {
                continue;
            }
        }
        record(ports, "portunus", "client.configured", &client).await?;
        let batch = match known {
            Some(known) => Batch::new().update(&client, known.version),
            None => Batch::new().insert(&client),
        };
        ports.store.commit(batch).await?;
    }
    Ok(())
}

async fn forget(ports: &Ports<'_>, client: &Client, by: &str) -> Result<(), ClientError> {
    // First the client, so that nothing new comes up while its grants end.
    let gone = Batch::new().delete::<Client>(client.client_id.as_str(), Expect::Any);
    ports.store.commit(gone).await?;
    let all = Selection::Client(client.client_id.clone());
    grants::revoke_all(ports, &all, by, "its client was removed").await?;
    Ok(record(ports, by, "client.removed", client).await?)
}

/// A document that nobody has asked for yet.
fn unseen(ports: &Ports<'_>, client_id: &ClientId) -> Result<Client, ClientError> {
    let unknown = || ClientError::Unknown(client_id.clone());
    let url = document_url(client_id).ok_or_else(unknown)?;
    let host = url.host_str().ok_or_else(unknown)?;
    let new = NewClient {
        client_id: client_id.clone(),
        name: host.to_owned(),
        redirect_uris: vec![url.to_string()],
        servers: Vec::new(),
        device_grant: false,
        proof: Proof::None,
    };
    let client = new.into_client(ClientSource::Document, ports.now)?;
    // Its own document says where it may be sent to, when it is fetched.
    Ok(Client { redirect_uris: Vec::new(), ..client })
}

async fn record(ports: &Ports<'_>, by: &str, action: &str, client: &Client) -> Result<(), LedgerError> {
    let servers = client.servers.iter().map(ServerName::as_str).collect::<Vec<_>>().join(" ");
    let redirects = client.redirect_uris.join(" ");
    let mut detail = vec![("name", client.name.as_str()), ("auth_method", client.auth_method.as_str())];
    detail.extend(
        [("servers", servers.as_str()), ("redirect_uris", &redirects)]
            .into_iter()
            .filter(|(_, v)| !v.is_empty()),
    );
    ports.record(by, action, client.client_id.as_str(), &detail).await
}

#[cfg(test)]
#[path = "client_admin_tests.rs"]
mod tests;
