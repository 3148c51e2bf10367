//! The public keys of issuers that an administrator named: given in the configuration, or fetched, kept while they are
//! fresh, and fetched anew for a key that is not among them, but not more than once a minute.

use crate::client::{DocumentFetcher, Fetched};
use crate::error::{ErrorCode, OAuthError};
use crate::foreign::{self, Assertion, Expected};
use crate::keys::KeySet;
use crate::ports::Ports;
use crate::strict;
use crate::workload::KeySource;
use portunus_core::document::FetchedKeys;
use portunus_core::limits;
use portunus_core::store::{Batch, load};
use url::Url;

/// Checks an assertion with its issuer's keys; asks for newer ones when none fits.
///
/// # Errors
/// `invalid_grant` for an assertion that proves nothing, `temporarily_unavailable` when the keys cannot be had.
pub(crate) async fn verify(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    source: &KeySource,
    text: &str,
    expected: &Expected<'_>,
) -> Result<Assertion, OAuthError> {
    let refuse = |error: foreign::ForeignError| OAuthError::new(ErrorCode::InvalidGrant, error.to_string());
    let id = match source {
        KeySource::Given(keys) => return foreign::verify(text, keys, expected).map_err(refuse),
        // Two issuers that name one address share nothing else.
        KeySource::Discovery => discovery_url(expected.issuer),
        KeySource::At(url) => url.to_string(),
    };
    let known = load::<FetchedKeys>(ports.store, &id).await?.map(|known| known.value);
    let fresh = known.as_ref().filter(|known| !known.fresh_until.is_past(ports.now));
    let Some(fresh) = fresh else {
        let keys = fetch(ports, fetcher, source, expected.issuer, id).await?;
        return foreign::verify(text, &keys, expected).map_err(refuse);
    };
    let keys = read(fresh.jwks.as_bytes())?;
    match foreign::verify(text, &keys, expected) {
        Err(error)
            if error.may_be_a_new_key() && ports.now.since(fresh.fetched_at) >= limits::KEY_SET_RETRY =>
        {
            // While the issuer cannot be reached, what is known of it still holds.
            match fetch(ports, fetcher, source, expected.issuer, id).await {
                Ok(keys) => foreign::verify(text, &keys, expected).map_err(refuse),
                Err(_unreachable) => Err(refuse(error)),
            }
        }
        verified => verified.map_err(refuse),
    }
}

fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

async fn fetch(
    ports: &Ports<'_>,
    fetcher: &dyn DocumentFetcher,
    source: &KeySource,
    issuer: &str,
    id: String,
) -> Result<KeySet, OAuthError> {
    let url = match source {
        KeySource::At(url) => url.clone(),
        _ => discover(fetcher, issuer, &id).await?,
    };
    let fetched = get(fetcher, &url).await?;
    let keys = read(&fetched.bytes)?;
    let (shortest, longest) = limits::CLIENT_DOCUMENT_FRESH;
    let fresh = fetched.max_age.unwrap_or(shortest).clamp(shortest, longest);
    let known = FetchedKeys {
        uri: id,
        jwks: keys.to_json(),
        fetched_at: ports.now,
        fresh_until: ports.now.plus(fresh),
    };
    ports.store.commit(Batch::new().upsert(&known)).await?;
    Ok(keys)
}

/// Where the issuer's discovery document says that its keys are. The document must be the issuer's own (OpenID Connect
/// Discovery 1.0 section 4.3).
async fn discover(fetcher: &dyn DocumentFetcher, issuer: &str, address: &str) -> Result<Url, OAuthError> {
    let url = Url::parse(address).map_err(|_| unavailable("the issuer is not a URL"))?;
    let fetched = get(fetcher, &url).await?;
    let document =
        strict::object(&fetched.bytes).map_err(|_| unavailable("its discovery document is not JSON"))?;
    if document.get("issuer").and_then(|named| named.as_str()) != Some(issuer) {
        return Err(unavailable("its discovery document names another issuer"));
    }
    let keys = document.get("jwks_uri").and_then(|uri| Url::parse(uri.as_str()?).ok());
    keys.ok_or_else(|| unavailable("its discovery document has no jwks_uri"))
}

async fn get(fetcher: &dyn DocumentFetcher, url: &Url) -> Result<Fetched, OAuthError> {
    fetcher.fetch(url, limits::KEY_SET_BYTES).await.map_err(|error| unavailable(&error.to_string()))
}

fn read(bytes: &[u8]) -> Result<KeySet, OAuthError> {
    KeySet::parse(bytes).map_err(|error| unavailable(&error.to_string()))
}

fn unavailable(why: &str) -> OAuthError {
    let description = format!("the keys of the assertion's issuer could not be had: {why}");
    OAuthError::new(ErrorCode::TemporarilyUnavailable, description)
}
