//! The public keys of clients that sign: in their registration, or at a URL that is fetched through the same guard as
//! metadata documents, kept while it is fresh, and fetched anew for a key that is not in it, but not more than once a
//! minute.

use crate::client::{self, DocumentFetcher, FetchError};
use crate::error::{ErrorCode, OAuthError};
use crate::keys::KeySet;
use crate::ports::Ports;
use portunus_core::document::{Client, ClientKeys, ClientSource, FetchedKeys};
use portunus_core::limits;
use portunus_core::store::{Batch, load};
use portunus_core::time::Timestamp;
use url::Url;

/// The keys of a client as they are known; fetched when they are not known or stale.
///
/// # Errors
/// `invalid_client` when there are none to be had, saying why.
pub async fn current(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    client: &Client,
) -> Result<KeySet, OAuthError> {
    match &client.keys {
        None => Err(none("the client registered no keys")),
        Some(ClientKeys::Inline(text)) => read(text.as_bytes()),
        Some(ClientKeys::At(uri)) => match load::<FetchedKeys>(ports.store, uri).await? {
            Some(known) if !known.value.fresh_until.is_past(ports.now) => read(known.value.jwks.as_bytes()),
            _ => fetch(ports, fetcher, uri).await,
        },
    }
}

/// The keys of a client after they were fetched anew, because what it signed fits none of those that are known. `None`
/// when they were fetched a moment ago, or cannot be: then nothing has changed.
///
/// # Errors
/// When the store fails.
pub async fn renewed(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    client: &Client,
) -> Result<Option<KeySet>, OAuthError> {
    let fetched = match &client.keys {
        Some(ClientKeys::At(uri)) => {
            let known = load::<FetchedKeys>(ports.store, uri).await?;
            if is_recent(ports, known.map(|known| known.value.fetched_at)) {
                return Ok(None);
            }
            fetch(ports, fetcher, uri).await
        }
        Some(ClientKeys::Inline(_)) if client.source == ClientSource::Document => {
            if is_recent(ports, client.fetched_at) {
                return Ok(None);
            }
            match client::fetch_anew(ports, fetcher, client).await {
                Ok(Client { keys: Some(ClientKeys::Inline(text)), .. }) => read(text.as_bytes()),
                Ok(_) => return Ok(None),
                Err(error) => Err(error),
            }
        }
        _ => return Ok(None),
    };
    match fetched {
        Ok(keys) => Ok(Some(keys)),
        Err(error) if error.trouble.is_some() => Err(error),
        Err(_unchanged) => Ok(None),
    }
}

fn is_recent(ports: &Ports<'_>, fetched_at: Option<Timestamp>) -> bool {
    fetched_at.is_some_and(|at| ports.now.since(at) < limits::KEY_SET_RETRY)
}

async fn fetch(ports: &Ports<'_>, fetcher: &dyn DocumentFetcher, uri: &str) -> Result<KeySet, OAuthError> {
    let url = Url::parse(uri).map_err(|_| none("the client's key set has no URL"))?;
    let fetched = fetcher.fetch(&url, limits::KEY_SET_BYTES).await.map_err(|error| match error {
        FetchError::Busy => OAuthError::new(
            ErrorCode::TemporarilyUnavailable,
            "too many key sets are being fetched at the moment; try again",
        ),
        error => none(&format!("the client's key set: {error}")),
    })?;
    let keys = read(&fetched.bytes)?;
    let (shortest, longest) = limits::CLIENT_DOCUMENT_FRESH;
    let fresh = fetched.max_age.unwrap_or(shortest).clamp(shortest, longest);
    let known = FetchedKeys {
        uri: uri.to_owned(),
        jwks: keys.to_json(),
        fetched_at: ports.now,
        fresh_until: ports.now.plus(fresh),
    };
    ports.store.commit(Batch::new().upsert(&known)).await?;
    Ok(keys)
}

fn read(bytes: &[u8]) -> Result<KeySet, OAuthError> {
    KeySet::parse(bytes).map_err(|error| none(&error.to_string()))
}

fn none(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}
