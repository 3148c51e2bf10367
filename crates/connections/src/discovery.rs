//! The server's metadata (RFC 9728) and its authorization server's (RFC 8414, OpenID Connect Discovery). Each document is
//! believed about what it was fetched for, and about nothing else.

use crate::challenge::Challenge;
use crate::ports::{Answered, NoAnswer, Outgoing, Sends};
use crate::settings::{Settings, same_origin};
use portunus_core::limits;
use portunus_oauth::text;
use serde::Deserialize;
use url::Url;

/// What was found out.
#[derive(Debug, Clone)]
pub struct Found {
    /// The authorization server's own name.
    pub issuer: String,
    /// Where users are sent.
    pub authorization: Url,
    /// Where tokens come from.
    pub token: Url,
    /// Where clients register (RFC 7591).
    pub registration: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    pub revocation: Option<Url>,
    /// Whether its answers name it (RFC 9207).
    pub names_issuer: bool,
    /// Whether it knows clients by their metadata documents.
    pub knows_documents: bool,
    /// How clients may prove themselves; `None`: it does not say.
    pub auth_methods: Option<Vec<String>>,
    /// With which algorithms clients may sign what proves them; `None`: it does not say.
    pub auth_algorithms: Option<Vec<String>>,
    /// Whether it knows the scope `offline_access`.
    pub knows_offline: bool,
    /// What tokens are asked for, byte for byte as the server's metadata has it.
    pub resource: String,
}

/// Why a server's authorization server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// No metadata of the server.
    #[error(
        "the server publishes no metadata that names its authorization server (RFC 9728); name it with `issuer:`"
    )]
    NoMetadata,
    /// A document that cannot be read.
    #[error("{url} is not the JSON of a metadata document: {why}")]
    Malformed {
        /// Which.
        url: String,
        /// What the parser said.
        why: String,
    },
    /// The server's metadata is for something else (RFC 9728 section 3.3).
    #[error(
        "the server's metadata is for `{0}`, not for its own URL; if that is right, say so with `resource:`"
    )]
    OtherResource(String),
    /// It does not name the authorization server of the configuration.
    #[error("the server's metadata does not name the configured issuer `{0}`")]
    OtherIssuer(String),
    /// An authorization server whose name is not an `https` URL.
    #[error("the authorization server `{0}` is not at an https URL")]
    BadIssuer(String),
    /// Its metadata was not found.
    #[error("the authorization server `{0}` publishes no metadata (RFC 8414)")]
    NoIssuerMetadata(String),
    /// Its metadata is another's (RFC 8414 section 3.3).
    #[error("the metadata of the authorization server `{expected}` is that of `{found}`")]
    IssuerMismatch {
        /// What it was fetched for.
        expected: String,
        /// What it says.
        found: String,
    },
    /// An endpoint is missing or must not be used.
    #[error("its {0} is missing, or not an https URL")]
    Endpoint(&'static str),
    /// It does not do what is needed.
    #[error("it does not support {0}")]
    Unsupported(&'static str),
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
}

#[derive(Deserialize)]
struct Server {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Finds a server's authorization server.
///
/// # Errors
/// See [`DiscoveryError`].
pub async fn discover(settings: &Settings) -> Result<Found, DiscoveryError> {
    let (resource, issuer) = match resource(settings).await? {
        Some(resource) => {
            let issuer = choose(settings, &resource)?;
            (resource.resource, issuer)
        }
        None => {
            let issuer = settings.issuer.clone().ok_or(DiscoveryError::NoMetadata)?;
            (settings.resource.clone().unwrap_or_else(|| settings.upstream.to_string()), issuer)
        }
    };
    let shown = || shown(&issuer);
    let url = settings.usable(&issuer).filter(|url| url.query().is_none());
    let url = url.ok_or_else(|| DiscoveryError::BadIssuer(shown()))?;
    for place in places_of_issuer(&url) {
        let answered = get(settings, place.clone()).await?;
        if answered.status == 200 {
            return read(settings, &place, &answered.body, &issuer, resource);
        }
    }
    Err(DiscoveryError::NoIssuerMetadata(shown()))
}

/// The server's own metadata; `None` when it has none.
async fn resource(settings: &Settings) -> Result<Option<Resource>, DiscoveryError> {
    let asked = get(settings, settings.upstream.clone()).await?;
    let told = asked.challenge.as_deref().and_then(Challenge::parse).and_then(|c| c.resource_metadata);
    // Where the server itself says, on its own origin: elsewhere it could send us to anybody's.
    let told =
        told.and_then(|text| settings.usable(&text)).filter(|url| same_origin(url, &settings.upstream));
    let mut places: Vec<Url> = told.into_iter().collect();
    let path = settings.upstream.path().trim_end_matches('/');
    for path in [
        format!("/.well-known/oauth-protected-resource{path}"),
        "/.well-known/oauth-protected-resource".to_owned(),
    ] {
        let place = at(&settings.upstream, &path);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for place in places {
        let answered = get(settings, place.clone()).await?;
        if answered.status != 200 {
            continue;
        }
        let document: Resource = parse(&place, &answered.body)?;
        if !settings.is_resource(&document.resource) {
            return Err(DiscoveryError::OtherResource(shown(&document.resource)));
        }
        return Ok(Some(document));
    }
    Ok(None)
}

fn choose(settings: &Settings, resource: &Resource) -> Result<String, DiscoveryError> {
    match &settings.issuer {
        Some(issuer) if resource.authorization_servers.contains(issuer) => Ok(issuer.clone()),
        Some(issuer) => Err(DiscoveryError::OtherIssuer(issuer.clone())),
        None => resource.authorization_servers.first().cloned().ok_or(DiscoveryError::NoMetadata),
    }
}

/// Where an authorization server's metadata may be (RFC 8414 sections 3.1 and 5; MCP 2025-11-25, authorization).
fn places_of_issuer(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        at(issuer, &format!("/.well-known/oauth-authorization-server{path}")),
        at(issuer, &format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        places.push(at(issuer, &format!("{path}/.well-known/openid-configuration")));
    }
    places
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn read(
    settings: &Settings,
    place: &Url,
    body: &[u8],
    issuer: &str,
    resource: String,
) -> Result<Found, DiscoveryError> {
    let document: Server = parse(place, body)?;
    if document.issuer != issuer {
        let found = shown(&document.issuer);
        return Err(DiscoveryError::IssuerMismatch { expected: shown(issuer), found });
    }
    let lists = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref().is_some_and(|list| list.iter().any(|entry| entry == value))
    };
    if document.response_types_supported.is_some() && !lists(&document.response_types_supported, "code") {
        return Err(DiscoveryError::Unsupported("the response type `code`"));
    }
    // MCP 2025-11-25: one that does not say so must not be used, for it may ignore the challenge.
    if !lists(&document.code_challenge_methods_supported, "S256") {
        return Err(DiscoveryError::Unsupported("PKCE with S256"));
    }
    let endpoint = |name, text: &Option<String>| {
        text.as_deref().and_then(|text| settings.usable(text)).ok_or(DiscoveryError::Endpoint(name))
    };
    let optional = |name, text: &Option<String>| text.as_ref().map(|_| endpoint(name, text)).transpose();
    Ok(Found {
        authorization: endpoint("authorization_endpoint", &document.authorization_endpoint)?,
        token: endpoint("token_endpoint", &document.token_endpoint)?,
        registration: optional("registration_endpoint", &document.registration_endpoint)?,
        revocation: optional("revocation_endpoint", &document.revocation_endpoint)?,
        names_issuer: document.authorization_response_iss_parameter_supported,
        knows_documents: document.client_id_metadata_document_supported,
        auth_methods: document.token_endpoint_auth_methods_supported,
        auth_algorithms: document.token_endpoint_auth_signing_alg_values_supported,
        knows_offline: document.scopes_supported.iter().any(|scope| scope == "offline_access"),
        issuer: document.issuer,
        resource,
    })
}

async fn get(settings: &Settings, url: Url) -> Result<Answered, NoAnswer> {
    let named = settings.names(&url);
    settings.carrier.send(Outgoing { url, named, authorization: None, sends: Sends::Nothing }).await
}

fn parse<T: for<'a> Deserialize<'a>>(place: &Url, body: &[u8]) -> Result<T, DiscoveryError> {
    serde_json::from_slice(body)
        .map_err(|error| DiscoveryError::Malformed { url: place.to_string(), why: error.to_string() })
}

/// Somebody else's words in a message.
pub(crate) fn shown(words: &str) -> String {
    text::clean(words, limits::FOREIGN_WORDS).unwrap_or_default()
}
