//! Code → tokens (OpenID Connect Core section 3.1.3), and user information (section 5.3). What is sent is made here, and
//! what came back is read here.

use super::metadata::{ClientAuth, Metadata};
use super::provider::Provider;
use crate::jwt::Claims;
use async_trait::async_trait;
use data_encoding::BASE64;
use portunus_core::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

/// A request to a provider.
#[derive(Debug)]
pub struct Outgoing {
    /// Where.
    pub url: Url,
    /// The Authorization header.
    pub authorization: Option<Secret<String>>,
    /// A form to post; `None`: a GET.
    pub form: Option<Secret<String>>,
}

/// What a provider answered, of any status.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The body, bounded.
    pub body: Vec<u8>,
}

/// Carries requests to one provider and brings back its answers: bounded in bytes and time, redirects not followed.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// One request, one answer.
    async fn send(&self, request: Outgoing) -> Result<Answered, Unreachable>;
}

/// A provider that gave no answer; the text is for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {host}: {why}")]
pub struct Unreachable {
    /// The host that was asked.
    pub host: String,
    /// What happened.
    pub why: String,
}

/// Tokens of a provider, checked by nobody yet.
#[derive(Debug)]
pub struct Tokens {
    /// The ID token.
    pub id_token: Secret<String>,
    /// Good for the userinfo endpoint only.
    pub access_token: Option<Secret<String>>,
}

/// Why a provider's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It did not take the code, or us.
    #[error("it refused the code: {0}")]
    Refused(String),
    /// Not the answer of a token endpoint.
    #[error("its token endpoint answered {0}, without tokens")]
    NoTokens(u16),
    /// Not the answer of a userinfo endpoint about the same person (section 5.3.2).
    #[error("its userinfo endpoint answered {0}, without the user's claims")]
    NoUserInfo(u16),
}

/// A request for a public document.
#[must_use]
pub const fn document_request(url: Url) -> Outgoing {
    Outgoing { url, authorization: None, form: None }
}

/// The request that redeems a code.
#[must_use]
pub fn redemption(
    provider: &Provider,
    metadata: &Metadata,
    code: &str,
    verifier: &str,
    redirect_uri: &str,
) -> Outgoing {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("code_verifier", verifier);
    let secret = provider.client_secret.as_ref().map_or("", |secret| secret.expose());
    let mut authorization = None;
    match metadata.client_auth {
        ClientAuth::None => {
            form.append_pair("client_id", &provider.client_id);
        }
        ClientAuth::Post => {
            form.append_pair("client_id", &provider.client_id).append_pair("client_secret", secret);
        }
        ClientAuth::Basic => {
            // Both are form-encoded first (RFC 6749 section 2.3.1). A space as `%20`, not `+`: every decoder reads that,
            // also those that only undo percent signs (Authlib).
            let encoded =
                |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
            let pair = Secret::new(format!("{}:{}", encoded(&provider.client_id), encoded(secret)));
            authorization = Some(Secret::new(format!("Basic {}", BASE64.encode(pair.expose().as_bytes()))));
        }
    }
    Outgoing { url: metadata.token.clone(), authorization, form: Some(Secret::new(form.finish())) }
}

/// Reads the answer to [`redemption`].
///
/// # Errors
/// See [`ExchangeError`].
pub fn tokens(answered: &Answered) -> Result<Tokens, ExchangeError> {
    #[derive(Deserialize)]
    struct Body {
        id_token: Option<String>,
        access_token: Option<String>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let bad = || ExchangeError::NoTokens(answered.status);
    let body: Body = serde_json::from_slice(&answered.body).map_err(|_| bad())?;
    if let Some(error) = body.error.filter(|_| answered.status != 200) {
        let words = format!("{error} {}", body.error_description.unwrap_or_default());
        return Err(ExchangeError::Refused(crate::text::clean(&words, 200).unwrap_or_default()));
    }
    if answered.status != 200 {
        return Err(bad());
    }
    let id_token = Secret::new(body.id_token.ok_or_else(bad)?);
    Ok(Tokens { id_token, access_token: body.access_token.map(Secret::new) })
}

/// The request for more claims, if the provider has an endpoint for it.
#[must_use]
pub fn userinfo_request(metadata: &Metadata, access_token: &Secret<String>) -> Option<Outgoing> {
    let authorization = Some(Secret::new(format!("Bearer {}", access_token.expose())));
    metadata.userinfo.clone().map(|url| Outgoing { url, authorization, form: None })
}

/// Reads the answer; it must be about `subject`.
///
/// # Errors
/// [`ExchangeError::NoUserInfo`].
pub fn userinfo(answered: &Answered, subject: &str) -> Result<Claims, ExchangeError> {
    let bad = ExchangeError::NoUserInfo(answered.status);
    match serde_json::from_slice(&answered.body) {
        Ok(Value::Object(members)) if answered.status == 200 => {
            let claims = Claims::unsigned(members);
            if claims.text("sub") == Some(subject) { Ok(claims) } else { Err(bad) }
        }
        _ => Err(bad),
    }
}
