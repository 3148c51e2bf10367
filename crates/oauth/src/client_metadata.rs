//! Client metadata as strangers write it (RFC 7591 section 2), read into a [`Client`] or refused with a reason.

use crate::error::{ErrorCode, OAuthError};
use crate::keys::{KeySet, algorithm};
use crate::{device, redirect, text};
use portunus_core::document::{Client, ClientKeys, ClientSource, Standing};
use portunus_core::id::ClientId;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

/// What a client is called when it gave no readable name.
pub(crate) const UNNAMED: &str = "An unnamed client";
/// The method of clients that sign (RFC 7523).
pub const PRIVATE_KEY_JWT: &str = "private_key_jwt";

/// Client metadata as it comes in; members not named here are ignored, as the RFC demands.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    client_id: Option<String>,
    redirect_uris: Option<Vec<String>>,
    client_name: Option<String>,
    client_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
    /// All the ways that a client can use (OpenID Connect Relying Party Metadata Choices 1.0).
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_signing_alg: Option<String>,
    jwks: Option<Box<RawValue>>,
    jwks_uri: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    client_secret: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    #[serde(default)]
    tls_client_certificate_bound_access_tokens: bool,
}

impl Metadata {
    /// Reads a registration request or a document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, OAuthError> {
        if bytes.len() > limits::CLIENT_DOCUMENT_BYTES {
            return Err(invalid(format!(
                "client metadata is longer than {} bytes",
                limits::CLIENT_DOCUMENT_BYTES
            )));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| invalid(format!("client metadata is not valid JSON: {error}")))
    }

    /// How a client that registers itself will authenticate.
    pub(crate) fn registered_method(&self) -> Result<&'static str, OAuthError> {
        match self.token_endpoint_auth_method.as_deref() {
            None => Ok("client_secret_basic"), // the default of RFC 7591 section 2
            Some(method) => ["none", "client_secret_basic", "client_secret_post", PRIVATE_KEY_JWT]
                .into_iter()
                .find(|known| *known == method)
                .ok_or_else(|| {
                    invalid(
                        "`token_endpoint_auth_method` must be none, client_secret_basic, client_secret_post or \
                         private_key_jwt",
                    )
                }),
        }
    }

    /// How a client with a document will authenticate, the strongest first. A document that names `private_key_jwt` alone
    /// is held to it; only one that also lists `none` may do without.
    fn document_methods(&self) -> Result<Vec<&'static str>, OAuthError> {
        let primary = self.token_endpoint_auth_method.as_deref();
        let listed = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let secret = |method: &str| method.starts_with("client_secret");
        if self.client_secret.is_some() || primary.is_some_and(secret) {
            return Err(invalid("a public document cannot hold or use a client secret"));
        }
        if primary.is_none() && listed.is_empty() {
            return Ok(vec!["none"]);
        }
        let methods: Vec<_> = [PRIVATE_KEY_JWT, "none"]
            .into_iter()
            .filter(|known| primary == Some(known) || listed.iter().any(|method| method == known))
            .collect();
        if methods.is_empty() {
            return Err(invalid(
                "the document's `token_endpoint_auth_method` must be none or private_key_jwt",
            ));
        }
        Ok(methods)
    }

    /// The keys that the metadata names, for a client that signs.
    fn keys(&self) -> Result<ClientKeys, OAuthError> {
        match (&self.jwks, &self.jwks_uri) {
            (Some(set), None) => KeySet::parse(set.get().as_bytes())
                .map(|keys| ClientKeys::Inline(keys.to_json()))
                .map_err(|error| invalid(format!("`jwks`: {error}"))),
            (None, Some(uri)) if is_https(uri) => Ok(ClientKeys::At(uri.clone())),
            (None, Some(_)) => Err(invalid("`jwks_uri` must be an https URL without user name or fragment")),
            _ => Err(invalid("private_key_jwt needs either `jwks` or `jwks_uri`")),
        }
    }

    /// The client that a document found at `url` describes.
    pub(crate) fn into_document_client(self, url: &Url, now: Timestamp) -> Result<Client, OAuthError> {
        if self.client_id.as_deref() != Some(url.as_str()) {
            return Err(invalid("the document's `client_id` is not the URL it was found at"));
        }
        let methods = self.document_methods()?;
        let client_id = ClientId::parse(url.as_str()).map_err(|error| invalid(error.to_string()))?;
        let mut methods = methods.into_iter();
        let client =
            self.into_client(client_id, methods.next().unwrap_or("none"), ClientSource::Document, now)?;
        Ok(Client { other_auth_methods: methods.map(str::to_owned).collect(), ..client })
    }

    /// The client that this metadata describes, under an id and a method that were decided on.
    pub(crate) fn into_client(
        self,
        client_id: ClientId,
        auth_method: &str,
        source: ClientSource,
        now: Timestamp,
    ) -> Result<Client, OAuthError> {
        if self.grant_types.as_ref().is_some_and(|types| !types.iter().any(|t| t == "authorization_code")) {
            return Err(invalid("`grant_types` must include authorization_code"));
        }
        if self.response_types.as_ref().is_some_and(|types| !types.iter().any(|t| t == "code")) {
            return Err(invalid("`response_types` must include code"));
        }
        let device_grant =
            self.grant_types.as_ref().is_some_and(|types| types.iter().any(|t| t == device::GRANT_TYPE));
        let keys = if auth_method == PRIVATE_KEY_JWT { Some(self.keys()?) } else { None };
        let signing_alg = self.token_endpoint_auth_signing_alg.filter(|_| keys.is_some());
        if signing_alg.as_deref().is_some_and(|alg| algorithm(alg).is_none()) {
            return Err(invalid("`token_endpoint_auth_signing_alg` must be RS256, PS256, ES256 or EdDSA"));
        }
        let redirect_uris = self.redirect_uris.unwrap_or_default();
        check_redirects(&redirect_uris)?;
        Ok(Client {
            client_id,
            name: self
                .client_name
                .and_then(|name| text::clean(&name, limits::CLIENT_NAME_CHARS))
                .unwrap_or_else(|| UNNAMED.to_owned()),
            redirect_uris,
            client_uri: self.client_uri.filter(|uri| is_https(uri)),
            secret_digest: None,
            auth_method: auth_method.to_owned(),
            other_auth_methods: Vec::new(),
            keys,
            signing_alg,
            servers: Vec::new(),
            device_grant,
            dpop_bound: self.dpop_bound_access_tokens,
            certificate_bound: self.tls_client_certificate_bound_access_tokens,
            source,
            standing: Standing::Undecided,
            decided_by: None,
            created_at: now,
            fetched_at: None,
            fresh_until: None,
            agreed_at: None,
        })
    }
}

pub(crate) fn check_redirects(redirect_uris: &[String]) -> Result<(), OAuthError> {
    if !(1..=limits::REDIRECT_URIS).contains(&redirect_uris.len()) {
        let description = format!("`redirect_uris` must hold 1 to {} URIs", limits::REDIRECT_URIS);
        return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, description));
    }
    redirect_uris.iter().try_for_each(|uri| {
        redirect::validate(uri)
            .map_err(|error| OAuthError::new(ErrorCode::InvalidRedirectUri, error.to_string()))
    })
}

fn is_https(uri: &str) -> bool {
    let plain = |url: Url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    uri.len() <= limits::REDIRECT_URI_BYTES && Url::parse(uri).is_ok_and(plain)
}

pub(crate) fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}
