//! OAuth clients: those that register themselves (RFC 7591) and those whose id is the URL of their metadata document
//! (draft-ietf-oauth-client-id-metadata-document, "CIMD").

use crate::config::SCOPE;
use crate::error::{ErrorCode, OAuthError};
use crate::ports::Ports;
use crate::{redirect, text};
use async_trait::async_trait;
use portunus_core::document::{Client, ClientSource, Grant};
use portunus_core::id::{self, ClientId};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Document, Expect, Versioned, list_all, load};
use portunus_core::time::Timestamp;
use portunus_core::token::{self, TokenKind};
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;
use url::Url;

/// What a client is called when it gave no readable name.
const UNNAMED: &str = "An unnamed client";
/// Room that is made at once: one look through all grants pays for this many registrations.
const LOOK_EVERY: usize = 500;
/// A client this young may be in the middle of its first sign-in.
const EVICTABLE_AFTER: Duration = Duration::from_secs(15 * 60);

/// Fetches client metadata documents. Implementations must never reach into private networks.
#[async_trait]
pub trait DocumentFetcher: Send + Sync {
    /// One GET without redirects or credentials, within [`limits::CLIENT_DOCUMENT_TIMEOUT`] and
    /// [`limits::CLIENT_DOCUMENT_BYTES`].
    ///
    /// # Errors
    /// See [`FetchError`].
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError>;
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
    /// Longer than [`limits::CLIENT_DOCUMENT_BYTES`].
    #[error("it is longer than {} bytes", limits::CLIENT_DOCUMENT_BYTES)]
    TooLarge,
    /// Not JSON by its content type.
    #[error("it is not served as JSON")]
    NotJson,
    /// Too many documents are being fetched.
    #[error("too many documents are being fetched at the moment")]
    Busy,
}

/// Client metadata as it comes in (RFC 7591 section 2); members not named here are ignored, as the RFC demands.
#[derive(Deserialize)]
struct Metadata {
    client_id: Option<String>,
    redirect_uris: Option<Vec<String>>,
    client_name: Option<String>,
    client_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    client_secret: Option<serde::de::IgnoredAny>,
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
        let mut body = serde_json::json!({
            "client_id": self.client.client_id,
            "client_id_issued_at": self.client.created_at.as_secs(),
            "client_name": self.client.name,
            "redirect_uris": self.client.redirect_uris,
            "token_endpoint_auth_method": self.client.auth_method,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": SCOPE,
        });
        if let (Some(secret), Some(members)) = (&self.secret, body.as_object_mut()) {
            members.insert("client_secret".to_owned(), secret.expose().as_str().into());
            members.insert("client_secret_expires_at".to_owned(), 0.into());
        }
        Secret::new(body.to_string())
    }
}

/// Registers a client from the JSON body of its request (RFC 7591 section 3.1).
///
/// # Errors
/// `invalid_redirect_uri`, `invalid_client_metadata`, or that there are too many clients.
pub async fn register(ports: &Ports<'_>, body: &[u8]) -> Result<Registered, OAuthError> {
    let metadata = read_metadata(body)?;
    let auth_method = match metadata.token_endpoint_auth_method.as_deref() {
        None => "client_secret_basic", // the default of RFC 7591 section 2
        Some(method @ ("none" | "client_secret_basic" | "client_secret_post")) => method,
        Some(_) => {
            return Err(invalid(
                "`token_endpoint_auth_method` must be none, client_secret_basic or client_secret_post",
            ));
        }
    };
    let secret = (auth_method != "none").then(|| token::mint(TokenKind::ClientSecret, ports.rng));
    let client_id = id::mint("cli", ports.now, ports.rng);
    let client = Client {
        client_id: ClientId::parse(client_id.as_str()).map_err(|error| invalid(error.to_string()))?,
        secret_digest: secret.as_ref().and_then(|s| token::digest(TokenKind::ClientSecret, s.expose())),
        auth_method: auth_method.to_owned(),
        ..metadata.into_client(ClientSource::Dynamic, ports.now)?
    };
    make_room(ports).await?;
    record_client(ports, "client.registered", &client).await?;
    ports.store.commit(Batch::new().insert(&client)).await?;
    Ok(Registered { client, secret })
}

/// Reads a client metadata document that was found at `url`.
///
/// # Errors
/// `invalid_client_metadata` or `invalid_redirect_uri`, saying what is wrong with the document.
pub fn from_document(url: &Url, bytes: &[u8], now: Timestamp) -> Result<Client, OAuthError> {
    let metadata = read_metadata(bytes)?;
    if metadata.client_id.as_deref() != Some(url.as_str()) {
        return Err(invalid("the document's `client_id` is not the URL it was found at"));
    }
    let method = metadata.token_endpoint_auth_method.as_deref().unwrap_or("none");
    if metadata.client_secret.is_some() || method.starts_with("client_secret") {
        return Err(invalid("a public document cannot hold or use a client secret"));
    }
    metadata.into_client(ClientSource::Document, now)
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
        known => fetch(ports, fetcher, &url, known).await,
    }
}

/// The client of this id as it is known already; nothing is fetched.
///
/// # Errors
/// `invalid_client` when there is none.
pub async fn known(ports: &Ports<'_>, client_id: &str) -> Result<Client, OAuthError> {
    let client_id = ClientId::parse(client_id).map_err(|_| unknown())?;
    load::<Client>(ports.store, client_id.as_str()).await?.map(|known| known.value).ok_or_else(unknown)
}

fn is_fresh(client: &Client, now: Timestamp) -> bool {
    client.source == ClientSource::Administrator
        || client.fresh_until.is_some_and(|until| !until.is_past(now))
}

async fn fetch(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    url: &Url,
    known: Option<Versioned<Client>>,
) -> Result<Client, OAuthError> {
    let fetched = fetcher.fetch(url).await.map_err(|error| {
        OAuthError::new(ErrorCode::InvalidClient, format!("the client's metadata document: {error}"))
    })?;
    let (shortest, longest) = limits::CLIENT_DOCUMENT_FRESH;
    let fresh = fetched.max_age.unwrap_or(shortest).clamp(shortest, longest);
    let client = Client {
        fresh_until: Some(ports.now.plus(fresh)),
        ..from_document(url, &fetched.bytes, ports.now)
            .map_err(|error| OAuthError { code: ErrorCode::InvalidClient, ..error })?
    };
    match known {
        Some(known) => {
            let client = Client { created_at: known.value.created_at, ..client };
            if known.value.redirect_uris != client.redirect_uris || known.value.name != client.name {
                record_client(ports, "client.changed", &client).await?;
            }
            ports.store.commit(Batch::new().upsert(&client)).await?;
            Ok(client)
        }
        None => {
            make_room(ports).await?;
            record_client(ports, "client.registered", &client).await?;
            ports.store.commit(Batch::new().upsert(&client)).await?;
            Ok(client)
        }
    }
}

fn read_metadata(bytes: &[u8]) -> Result<Metadata, OAuthError> {
    if bytes.len() > limits::CLIENT_DOCUMENT_BYTES {
        return Err(invalid(format!(
            "client metadata is longer than {} bytes",
            limits::CLIENT_DOCUMENT_BYTES
        )));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("client metadata is not valid JSON: {error}")))
}

impl Metadata {
    fn into_client(self, source: ClientSource, now: Timestamp) -> Result<Client, OAuthError> {
        if self.grant_types.is_some_and(|types| !types.iter().any(|t| t == "authorization_code")) {
            return Err(invalid("`grant_types` must include authorization_code"));
        }
        if self.response_types.is_some_and(|types| !types.iter().any(|t| t == "code")) {
            return Err(invalid("`response_types` must include code"));
        }
        let redirect_uris = self.redirect_uris.unwrap_or_default();
        if !(1..=limits::REDIRECT_URIS).contains(&redirect_uris.len()) {
            let description = format!("`redirect_uris` must hold 1 to {} URIs", limits::REDIRECT_URIS);
            return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, description));
        }
        for uri in &redirect_uris {
            redirect::validate(uri)
                .map_err(|error| OAuthError::new(ErrorCode::InvalidRedirectUri, error.to_string()))?;
        }
        let client_id = self.client_id.filter(|_| source == ClientSource::Document);
        Ok(Client {
            // A registered client's id is ours to give; the caller replaces this one.
            client_id: ClientId::parse(client_id.as_deref().unwrap_or("unset"))
                .map_err(|error| invalid(error.to_string()))?,
            name: self
                .client_name
                .and_then(|name| text::clean(&name, limits::CLIENT_NAME_CHARS))
                .unwrap_or_else(|| UNNAMED.to_owned()),
            redirect_uris,
            client_uri: self.client_uri.filter(|uri| is_https(uri)),
            secret_digest: None,
            auth_method: "none".to_owned(),
            source,
            created_at: now,
            fresh_until: None,
        })
    }
}

fn is_https(uri: &str) -> bool {
    uri.len() <= limits::REDIRECT_URI_BYTES && Url::parse(uri).is_ok_and(|url| url.scheme() == "https")
}

/// Keeps the clients that nobody agreed to at [`limits::REGISTERED_CLIENTS`]: the oldest are forgotten, and can register
/// again. Looks only at every [`LOOK_EVERY`]th client beyond the bound, since it must go through all grants.
async fn make_room(ports: &Ports<'_>) -> Result<(), OAuthError> {
    let bound = limits::REGISTERED_CLIENTS;
    let count = usize::try_from(ports.store.count(Client::KIND).await?).unwrap_or(usize::MAX);
    if count < bound || !count.is_multiple_of(LOOK_EVERY) {
        return Ok(());
    }
    let grants = list_all::<Grant>(ports.store, None).await?;
    let in_use: HashSet<_> =
        grants.into_iter().filter(|g| g.value.revoked_at.is_none()).map(|g| g.value.client_id).collect();
    let mut idle = list_all::<Client>(ports.store, None).await?;
    idle.retain(|c| c.value.source != ClientSource::Administrator && !in_use.contains(&c.value.client_id));
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

async fn record_client(ports: &Ports<'_>, action: &str, client: &Client) -> Result<(), OAuthError> {
    let redirects = client.redirect_uris.iter().map(|uri| redirect::destination(uri)).collect::<Vec<_>>();
    let detail = [("name", client.name.as_str()), ("redirects_to", &redirects.join(" "))];
    Ok(ports.record("portunus", action, client.client_id.as_str(), &detail).await?)
}

fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

fn unknown() -> OAuthError {
    let description = "this client is not known here; remove the connection in the client and add it again";
    OAuthError::new(ErrorCode::InvalidClient, description)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
