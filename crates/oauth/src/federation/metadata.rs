//! A provider's discovery document (OpenID Connect Discovery section 3). It is believed only about the issuer that it
//! was fetched for.

use super::provider::{Provider, is_loopback_http, issuer_url};
use serde::Deserialize;
use url::Url;

/// What is used of a discovery document.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Where browsers are sent to sign in.
    pub authorization: Url,
    /// Where codes are exchanged.
    pub token: Url,
    /// Where the keys are.
    pub keys: Url,
    /// Where more can be learnt of a user.
    pub userinfo: Option<Url>,
    /// Where browsers are sent to sign out there too.
    pub end_session: Option<Url>,
    /// Whether every answer names its issuer (RFC 9207).
    pub names_issuer: bool,
    /// How we prove ourselves at the token endpoint.
    pub client_auth: ClientAuth,
}

/// How a client proves itself at the token endpoint (OpenID Connect Core section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not at all: PKCE alone.
    None,
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
}

/// Why a discovery document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not the JSON of a discovery document.
    #[error("its discovery document cannot be read: {0}")]
    Malformed(String),
    /// It speaks for another issuer (section 4.3): as if it were another provider.
    #[error("its discovery document is for the issuer `{0}`; `issuer:` must be the same, to the last slash")]
    OtherIssuer(String),
    /// An endpoint that must not be used.
    #[error("its {0} is missing, or not an https URL")]
    Endpoint(&'static str),
    /// It does not do what is needed.
    #[error("it does not support {0}")]
    Unsupported(&'static str),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: Option<String>,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// Where a provider's discovery document is (section 4).
#[must_use]
pub fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl Metadata {
    /// Reads the discovery document of a provider.
    ///
    /// # Errors
    /// See [`MetadataError`].
    pub fn parse(bytes: &[u8], provider: &Provider) -> Result<Self, MetadataError> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| MetadataError::Malformed(error.to_string()))?;
        if document.issuer != provider.issuer {
            let shown = document.issuer.chars().take(200).flat_map(char::escape_debug).collect();
            return Err(MetadataError::OtherIssuer(shown));
        }
        let lists = |list: &Option<Vec<String>>, value: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|entry| entry == value))
        };
        if !lists(&document.response_types_supported, "code") {
            return Err(MetadataError::Unsupported("the response type `code`"));
        }
        // A provider that does not say ignores PKCE at worst; one that says it has only `plain` would refuse.
        if !lists(&document.code_challenge_methods_supported, "S256") {
            return Err(MetadataError::Unsupported("PKCE with S256"));
        }
        let local = issuer_url(&provider.issuer).is_ok_and(|url| is_loopback_http(&url));
        let endpoint = |name, text: &Option<String>| {
            let url = text.as_deref().and_then(|text| Url::parse(text).ok());
            let usable = |url: &Url| {
                (url.scheme() == "https" || (local && is_loopback_http(url)))
                    && url.host_str().is_some()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            };
            url.filter(usable).ok_or(MetadataError::Endpoint(name))
        };
        let optional = |name, text: &Option<String>| text.as_ref().map(|_| endpoint(name, text)).transpose();
        Ok(Self {
            authorization: endpoint("authorization_endpoint", &document.authorization_endpoint)?,
            token: endpoint("token_endpoint", &document.token_endpoint)?,
            keys: endpoint("jwks_uri", &document.jwks_uri)?,
            userinfo: optional("userinfo_endpoint", &document.userinfo_endpoint)?,
            end_session: optional("end_session_endpoint", &document.end_session_endpoint)?,
            names_issuer: document.authorization_response_iss_parameter_supported,
            client_auth: client_auth(provider, document.token_endpoint_auth_methods_supported.as_deref())?,
        })
    }
}

/// The strongest way both sides know; without a list `client_secret_basic` (section 3).
fn client_auth(provider: &Provider, methods: Option<&[String]>) -> Result<ClientAuth, MetadataError> {
    let knows = |method: &str| methods.is_some_and(|methods| methods.iter().any(|known| known == method));
    match provider.client_secret {
        // Not all providers list `none` for public clients.
        None => Ok(ClientAuth::None),
        Some(_) if methods.is_none() || knows("client_secret_basic") => Ok(ClientAuth::Basic),
        Some(_) if knows("client_secret_post") => Ok(ClientAuth::Post),
        Some(_) => Err(MetadataError::Unsupported("client_secret_basic or client_secret_post")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::testing::{discovery, provider};
    use serde_json::{Value, json};

    fn parse(document: &Value) -> Result<Metadata, MetadataError> {
        let secret = Some(portunus_core::secret::Secret::new("a secret".to_owned()));
        let provider = Provider { client_secret: secret, ..provider("one", "https://login.example") };
        Metadata::parse(document.to_string().as_bytes(), &provider)
    }

    fn with(changes: Value) -> Value {
        let mut document = discovery("https://login.example");
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        document
    }

    #[test]
    fn a_document_is_believed_about_its_own_issuer_only() {
        assert!(parse(&discovery("https://login.example")).is_ok());
        for other in ["https://login.example/", "https://LOGIN.example", "https://evil.example", ""] {
            let refused = parse(&with(json!({ "issuer": other }))).unwrap_err();
            assert_eq!(refused, MetadataError::OtherIssuer(other.to_owned()));
        }
    }

    #[test]
    fn endpoints_that_are_not_https_are_refused() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
        ] {
            for bad in [
                "http://login.example/x",
                "http://127.0.0.1/x",
                "javascript:alert(1)",
                "https://u@login.example/",
                "https://login.example/#f",
                "/x",
            ] {
                assert!(
                    matches!(parse(&with(json!({ name: bad }))), Err(MetadataError::Endpoint(_))),
                    "{name} {bad}"
                );
            }
        }
        assert!(matches!(
            parse(&with(json!({ "jwks_uri": null }))),
            Err(MetadataError::Endpoint("jwks_uri"))
        ));
        assert!(parse(&with(json!({ "userinfo_endpoint": null }))).unwrap().userinfo.is_none());
    }

    #[test]
    fn what_a_provider_cannot_do_is_said_before_anybody_is_sent_there() {
        for (name, value) in [
            ("code_challenge_methods_supported", json!(["plain"])),
            ("response_types_supported", json!(["id_token"])),
            ("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])),
        ] {
            assert!(
                matches!(parse(&with(json!({ name: value }))), Err(MetadataError::Unsupported(_))),
                "{name}"
            );
        }
        let post =
            parse(&with(json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }))).unwrap();
        assert_eq!(post.client_auth, ClientAuth::Post);
        assert!(Metadata::parse(b"<html>", &provider("one", "https://login.example")).is_err());
    }
}
