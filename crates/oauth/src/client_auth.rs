//! How a client proves itself at the token, revocation and introspection endpoints (RFC 6749 section 2.3): with nothing
//! but its id, with its secret in the Authorization header, or with its secret in the form; as it registered.

use crate::client;
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use crate::ports::Ports;
use portunus_core::digest::equal;
use portunus_core::document::Client;
use portunus_core::secret::Secret;
use portunus_core::token::{self, TokenKind};

/// A client that has proven itself. Only [`authenticate`] makes one.
#[derive(Debug)]
pub struct Authenticated(Client);

impl Authenticated {
    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0
    }
    /// Whether it proved itself with a secret.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.0.secret_digest.is_some()
    }
}

struct Presented {
    method: &'static str,
    client_id: String,
    secret: Option<Secret<String>>,
}

/// Authenticates the client of a request.
///
/// # Errors
/// `invalid_client` when it is unknown or proves itself otherwise than it registered, `invalid_request` when it uses two
/// ways at once.
pub async fn authenticate(ports: &Ports<'_>, request: &Request<'_>) -> Result<Authenticated, OAuthError> {
    let form = request.form;
    if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
        return Err(refused(
            "client assertions are not supported; use none, client_secret_basic or client_secret_post",
        ));
    }
    let presented = match request.authorization {
        Some(header) => basic(header, form)?,
        None => in_form(form)?,
    };
    let client = client::known(ports, &presented.client_id).await?;
    if presented.method != client.auth_method {
        let description = format!("this client must authenticate with `{}`", client.auth_method);
        return Err(refused(description));
    }
    let proven = match (&client.secret_digest, &presented.secret) {
        (None, None) => client.auth_method == "none",
        (Some(expected), Some(secret)) => token::digest(TokenKind::ClientSecret, secret.expose())
            .is_some_and(|digest| equal(&digest.0, &expected.0)),
        _ => false,
    };
    if proven { Ok(Authenticated(client)) } else { Err(refused("the client secret is wrong")) }
}

fn in_form(form: &Form) -> Result<Presented, OAuthError> {
    let client_id = form.require("client_id")?.to_owned();
    let secret = form.get("client_secret").map(|secret| Secret::new(secret.to_owned()));
    let method = if secret.is_some() { "client_secret_post" } else { "none" };
    Ok(Presented { method, client_id, secret })
}

fn basic(header: &str, form: &Form) -> Result<Presented, OAuthError> {
    if form.get("client_secret").is_some() {
        let description =
            "the client secret is both in the Authorization header and in the form; send it once";
        return Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    }
    let malformed =
        || refused("the Authorization header is not of the form `Basic base64(client_id:client_secret)`");
    let (scheme, encoded) = header.split_once(' ').ok_or_else(malformed)?;
    let decoded =
        data_encoding::BASE64.decode(encoded.trim().as_bytes()).map(Secret::new).map_err(|_| malformed())?;
    let text = std::str::from_utf8(decoded.expose()).map_err(|_| malformed())?;
    let (client_id, secret) = text.split_once(':').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    // Both halves were form-encoded before they were joined (RFC 6749 section 2.3.1).
    let (client_id, secret) = (form_decode(client_id), Secret::new(form_decode(secret)));
    if form.get("client_id").is_some_and(|in_form| in_form != client_id) {
        let description = "`client_id` in the form is not the client of the Authorization header";
        return Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    }
    Ok(Presented { method: "client_secret_basic", client_id, secret: Some(secret) })
}

fn form_decode(text: &str) -> String {
    // Without `&` and `=` the whole text is one parameter's name.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes())
        .map(|(name, _)| name.into_owned())
        .next()
        .unwrap_or_default()
}

fn refused(description: impl Into<String>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}
