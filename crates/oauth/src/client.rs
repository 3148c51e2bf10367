//! OAuth clients: those that register themselves (RFC 7591) and those whose id is the URL of their metadata document
//! (draft-ietf-oauth-client-id-metadata-document, "CIMD").

use crate::client_metadata::{Metadata, invalid};
use crate::config::SCOPE;
use crate::device;
use crate::error::{ErrorCode, OAuthError};
use crate::ports::{ATTEMPTS, Ports, Trouble};
use crate::redirect;
use crate::registration::{Admission, Dynamic, Registration};
use async_trait::async_trait;
use portunus_core::digest::Digest;
use portunus_core::document::{Client, ClientKeys, ClientSource, Standing};
use portunus_core::id::{self, ClientId};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Document, Expect, StoreError, Versioned, list_all, load};
use portunus_core::time::Timestamp;
use portunus_core::token::{self, TokenKind};
use std::time::Duration;
use url::Url;

/// Room that is made at once: one look through all clients pays for this many registrations.
const LOOK_EVERY: usize = 500;
/// A client this young may be in the middle of its first sign-in.
const EVICTABLE_AFTER: Duration = Duration::from_secs(15 * 60);

/// Fetches what clients publish about themselves: metadata documents and key sets. Implementations must never reach into private networks.
#[async_trait]
pub trait DocumentFetcher: Send + Sync {
    /// One GET without redirects or credentials, within [`limits::CLIENT_DOCUMENT_TIMEOUT`], of at most `longest` bytes.
    ///
    /// # Errors
    /// See [`FetchError`].
    async fn fetch(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError>;
}

/// A document that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How long its server says that it stays good.
    pub max_age: Option<Duration>,
}

/// Why a client metadata document could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Its host has no public address.
    #[error("its host has no public address")]
    Forbidden,
    /// No connection, no TLS, or it broke.
    #[error("its host could not be reached")]
    Unreachable,
    /// It took too long.
    #[error("its host did not answer in time")]
    TimedOut,
    /// Another status than 200.
    #[error("its host answered with status {0}")]
    Status(u16),
    /// Longer than what was asked for; how many bytes that was.
    #[error("it is longer than {0} bytes")]
    TooLarge(usize),
    /// Not JSON by its content type.
    #[error("it is not served as JSON")]
    NotJson,
    /// Too many documents are being fetched.
    #[error("too many documents are being fetched at the moment")]
    Busy,
}

/// A client that has just registered, with its secret if it has one.
#[derive(Debug)]
pub struct Registered {
    /// What was stored.
    pub client: Client,
    secret: Option<Secret<String>>,
}

impl Registered {
    /// The JSON of the answer (RFC 7591 section 3.2.1); holds the client's secret.
    #[must_use]
    pub fn body(&self) -> Secret<String> {
        let mut grant_types = vec!["authorization_code", "refresh_token"];
        grant_types.extend(self.client.device_grant.then_some(device::GRANT_TYPE));
        let mut body = serde_json::json!({
            "client_id": self.client.client_id,
            "client_id_issued_at": self.client.created_at.as_secs(),
            "client_name": self.client.name,
            "redirect_uris": self.client.redirect_uris,
            "token_endpoint_auth_method": self.client.auth_method,
            "grant_types": grant_types,
            "response_types": ["code"],
            "dpop_bound_access_tokens": self.client.dpop_bound,
            "tls_client_certificate_bound_access_tokens": self.client.certificate_bound,
            "scope": SCOPE,
        });
        let Some(members) = body.as_object_mut() else { return Secret::new(body.to_string()) };
        if let Some(secret) = &self.secret {
            members.insert("client_secret".to_owned(), secret.expose().as_str().into());
            members.insert("client_secret_expires_at".to_owned(), 0.into());
        }
        match &self.client.keys {
            Some(ClientKeys::At(uri)) => drop(members.insert("jwks_uri".to_owned(), uri.as_str().into())),
            Some(ClientKeys::Inline(keys)) => {
                let keys = serde_json::from_str(keys).unwrap_or_default();
                members.insert("jwks".to_owned(), keys);
            }
            None => {}
        }
        if let Some(alg) = &self.client.signing_alg {
            members.insert("token_endpoint_auth_signing_alg".to_owned(), alg.as_str().into());
        }
        Secret::new(body.to_string())
    }
}

/// Registers a client from the JSON body of its request (RFC 7591 section 3.1).
///
/// # Errors
/// `invalid_redirect_uri`, `invalid_client_metadata`, or that there are too many clients.
pub async fn register(
    ports: &Ports<'_>,
    registration: &Registration,
    body: &[u8],
) -> Result<Registered, OAuthError> {
    if registration.dynamic == Dynamic::Off {
        let description = "clients cannot register themselves here; use a client with a metadata document, or ask the \
                           administrator to enter this one";
        return Err(OAuthError::new(ErrorCode::AccessDenied, description));
    }
    let metadata = Metadata::read(body)?;
    let auth_method = metadata.registered_method()?;
    let secret = auth_method.starts_with("client_secret").then(|| mint_secret(ports)).transpose()?;
    let client_id = id::mint("cli", ports.now, ports.rng);
    let client_id = ClientId::parse(client_id.as_str()).map_err(|error| invalid(error.to_string()))?;
    let client = Client {
        secret_digest: secret.as_ref().map(|(_, digest)| *digest),
        ..metadata.into_client(client_id, auth_method, ClientSource::Dynamic, ports.now)?
    };
    make_room(ports).await?;
    record_client(ports, "client.registered", &client).await?;
    ports.store.commit(Batch::new().insert(&client)).await?;
    Ok(Registered { client, secret: secret.map(|(text, _)| text) })
}

/// A fresh client secret with the digest it is stored as.
pub(crate) fn mint_secret(ports: &Ports<'_>) -> Result<(Secret<String>, Digest), OAuthError> {
    let text = token::mint(TokenKind::ClientSecret, ports.rng);
    let digest = token::digest(TokenKind::ClientSecret, text.expose())
        .ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "no secret could be made"))?;
    Ok((text, digest))
}

/// Reads a client metadata document that was found at `url`.
///
/// # Errors
/// `invalid_client_metadata` or `invalid_redirect_uri`, saying what is wrong with the document.
pub fn from_document(url: &Url, bytes: &[u8], now: Timestamp) -> Result<Client, OAuthError> {
    Metadata::read(bytes)?.into_document_client(url, now)
}

/// The URL of a metadata document, if a client id has the form of one: `https`, in normal form, with a path, and without
/// user information, fragment or dot segments.
#[must_use]
pub fn document_url(client_id: &ClientId) -> Option<Url> {
    let url = Url::parse(client_id.as_str()).ok()?;
    let plain = url.scheme() == "https"
        && url.as_str() == client_id.as_str()
        && url.path() != "/"
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

/// The client of this id: registered, or described by a document that is fetched when it is not known or stale.
///
/// # Errors
/// `invalid_client` when there is none, saying why.
pub async fn find(
    ports: &Ports<'_>,
    registration: &Registration,
    fetcher: &dyn DocumentFetcher,
    client_id: &ClientId,
) -> Result<Client, OAuthError> {
    let known = load::<Client>(ports.store, client_id.as_str()).await?;
    let url = match document_url(client_id) {
        Some(url) => url,
        None => return known.map(|k| k.value).ok_or_else(unknown),
    };
    match known {
        Some(known) if is_fresh(&known.value, ports.now) => Ok(known.value),
        // What would not be let in anyway is not asked for.
        Some(known) if registration.admission(&known.value) == Admission::Refused => Ok(known.value),
        None if !registration.may_be_fetched(client_id) => Err(not_listed()),
        known => fetch(ports, fetcher, &url, known).await,
    }
}

/// The client of this id as it is known already; nothing is fetched.
///
/// # Errors
/// `invalid_client` when there is none.
pub async fn known(ports: &Ports<'_>, client_id: &str) -> Result<Versioned<Client>, OAuthError> {
    let client_id = ClientId::parse(client_id).map_err(|_| unknown())?;
    load::<Client>(ports.store, client_id.as_str()).await?.ok_or_else(unknown)
}

fn is_fresh(client: &Client, now: Timestamp) -> bool {
    matches!(client.source, ClientSource::Administrator | ClientSource::Configuration)
        || client.fresh_until.is_some_and(|until| !until.is_past(now))
}

/// A client's document, fetched again although it may be fresh.
///
/// # Errors
/// `invalid_client` when it cannot be fetched, or is not in order any more.
pub(crate) async fn fetch_anew(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    client: &Client,
) -> Result<Client, OAuthError> {
    let url = document_url(&client.client_id).ok_or_else(unknown)?;
    let known = load::<Client>(ports.store, client.client_id.as_str()).await?;
    fetch(ports, fetcher, &url, known).await
}

async fn fetch(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    url: &Url,
    known: Option<Versioned<Client>>,
) -> Result<Client, OAuthError> {
    let fetched = fetcher.fetch(url, limits::CLIENT_DOCUMENT_BYTES).await.map_err(|error| {
        OAuthError::new(ErrorCode::InvalidClient, format!("the client's metadata document: {error}"))
    })?;
    let (shortest, longest) = limits::CLIENT_DOCUMENT_FRESH;
    let fresh = fetched.max_age.unwrap_or(shortest).clamp(shortest, longest);
    let client = Client {
        fetched_at: Some(ports.now),
        fresh_until: Some(ports.now.plus(fresh)),
        ..from_document(url, &fetched.bytes, ports.now)
            .map_err(|error| OAuthError { code: ErrorCode::InvalidClient, ..error })?
    };
    keep(ports, client, known).await
}

/// Stores a client as its document describes it now, without changing what was decided and agreed to here, also in this
/// very moment.
async fn keep(
    ports: &Ports<'_>,
    mut client: Client,
    mut known: Option<Versioned<Client>>,
) -> Result<Client, OAuthError> {
    for _ in 0..ATTEMPTS {
        let (batch, action) = match known {
            Some(Versioned { value: before, version }) => {
                let same = before.redirect_uris == client.redirect_uris
                    && before.name == client.name
                    && before.auth_method == client.auth_method
                    && before.device_grant == client.device_grant
                    && before.keys == client.keys;
                client.created_at = before.created_at;
                client.standing = before.standing;
                client.decided_by = before.decided_by;
                client.agreed_at = before.agreed_at;
                (Batch::new().update(&client, version), (!same).then_some("client.changed"))
            }
            None => {
                make_room(ports).await?;
                (Batch::new().insert(&client), Some("client.registered"))
            }
        };
        if let Some(action) = action {
            record_client(ports, action, &client).await?;
        }
        match ports.store.commit(batch).await {
            Ok(_generation) => return Ok(client),
            Err(StoreError::Conflict { .. }) => {
                known = load::<Client>(ports.store, client.client_id.as_str()).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Busy.into())
}

/// Notes that a user agreed to a client: it will not be forgotten to make room for others.
pub(crate) async fn mark_agreed(ports: &Ports<'_>, client_id: &ClientId) -> Result<(), OAuthError> {
    for _ in 0..ATTEMPTS {
        let Some(known) = load::<Client>(ports.store, client_id.as_str()).await? else { return Ok(()) };
        if known.value.agreed_at.is_some() {
            return Ok(());
        }
        let client = Client { agreed_at: Some(ports.now), ..known.value };
        match ports.store.commit(Batch::new().update(&client, known.version)).await {
            Ok(_generation) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Busy.into())
}

/// Keeps the clients that nobody agreed to at [`limits::REGISTERED_CLIENTS`]: the oldest are forgotten, and can register
/// again. Looks only at every [`LOOK_EVERY`]th client beyond the bound, since it must go through all clients.
async fn make_room(ports: &Ports<'_>) -> Result<(), OAuthError> {
    let bound = limits::REGISTERED_CLIENTS;
    let count = usize::try_from(ports.store.count(Client::KIND).await?).unwrap_or(usize::MAX);
    if count < bound || !count.is_multiple_of(LOOK_EVERY) {
        return Ok(());
    }
    let mut idle = list_all::<Client>(ports.store, None).await?;
    idle.retain(|client| is_idle(&client.value));
    if idle.len() < bound {
        return Ok(());
    }
    let surplus = idle.len() - bound + LOOK_EVERY;
    idle.retain(|client| ports.now.since(client.value.created_at) >= EVICTABLE_AFTER);
    idle.sort_by_key(|client| client.value.created_at);
    idle.truncate(surplus.min(limits::BATCH_STEPS));
    if idle.is_empty() {
        let description = "too many clients have registered in the last minutes; try again later";
        return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, description));
    }
    let forget = |batch: Batch, client: &Versioned<Client>| {
        batch.delete::<Client>(client.value.client_id.as_str(), Expect::Any)
    };
    ports.store.commit(idle.iter().fold(Batch::new(), forget)).await?;
    Ok(())
}

/// Whether nobody would miss it: it came by itself, and neither a user nor an administrator has said anything of it.
fn is_idle(client: &Client) -> bool {
    matches!(client.source, ClientSource::Dynamic | ClientSource::Document)
        && client.standing == Standing::Undecided
        && client.agreed_at.is_none()
}

async fn record_client(ports: &Ports<'_>, action: &str, client: &Client) -> Result<(), OAuthError> {
    let redirects = client.redirect_uris.iter().map(|uri| redirect::destination(uri)).collect::<Vec<_>>();
    let detail = [("name", client.name.as_str()), ("redirects_to", &redirects.join(" "))];
    Ok(ports.record("portunus", action, client.client_id.as_str(), &detail).await?)
}

fn not_listed() -> OAuthError {
    let description = "this client is not on the list of those that may be used here; ask the administrator";
    OAuthError::new(ErrorCode::UnauthorizedClient, description)
}

fn unknown() -> OAuthError {
    let description = "this client is not known here; remove the connection in the client and add it again";
    OAuthError::new(ErrorCode::InvalidClient, description)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
