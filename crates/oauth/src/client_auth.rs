//! How a client proves itself at the token, revocation and introspection endpoints (RFC 6749 section 2.3, RFC 7523): with
//! nothing but its id, with its secret in the Authorization header or in the form, or with an assertion that it signed; as
//! it registered.

use crate::client_metadata::PRIVATE_KEY_JWT;
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use crate::ports::Ports;
use crate::registration::Admission;
use crate::signed::{self, Expected, Proven};
use crate::{client, client_keys};
use portunus_core::caller::{ClientProof, Confirmation, Holding};
use portunus_core::digest::{equal, sha256};
use portunus_core::document::{Client, UsedAssertion};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, StoreError, Versioned};

/// The type of an assertion that is a JWT (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client that has proven itself. Only [`authenticate`] makes one.
#[derive(Debug)]
pub struct Authenticated {
    client: Versioned<Client>,
    proof: ClientProof,
    bound: Option<Confirmation>,
}

impl Authenticated {
    /// The same client, which has also proven a key that its tokens will be bound to.
    pub(crate) fn bind(mut self, bound: Option<Confirmation>) -> Self {
        self.bound = bound;
        self
    }
    /// Adds that the client is still as it was when it proved itself: whatever blocks or removes it in this very moment wins.
    pub(crate) fn still(&self, batch: Batch) -> Batch {
        batch.check::<Client>(self.client().client_id.as_str(), self.client.version)
    }
    /// How it will hold the tokens that it gets now.
    pub(crate) fn holding(&self) -> Holding {
        Holding { proof: self.proof, bound: self.bound, via: Vec::new() }
    }
    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client.value
    }
    /// How it proved itself.
    #[must_use]
    pub fn proof(&self) -> ClientProof {
        self.proof
    }
    /// Whether it proved itself with more than its id.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.proof != ClientProof::None
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
        return by_assertion(ports, request).await;
    }
    let presented = match request.authorization {
        Some(header) => basic(header, form)?,
        None => in_form(form)?,
    };
    let client = known(ports, request, &presented.client_id).await?;
    let method = presented.method;
    check_method(&client.value, method)?;
    let proof = match (&client.value.secret_digest, &presented.secret) {
        (None, None) => (method == "none").then_some(ClientProof::None),
        (Some(expected), Some(secret)) => {
            equal(&sha256(&[secret.expose().as_bytes()]).0, &expected.0).then_some(ClientProof::Secret)
        }
        _ => None,
    };
    let proof = proof.ok_or_else(|| refused("the client secret is wrong"))?;
    Ok(Authenticated { client, proof, bound: None })
}

/// An assertion proves its client once (RFC 7523 section 3, item 7): it is remembered before anything else is done.
async fn by_assertion(ports: &Ports<'_>, request: &Request<'_>) -> Result<Authenticated, OAuthError> {
    let form = request.form;
    if request.authorization.is_some() || form.get("client_secret").is_some() {
        let description = "the client proves itself in two ways at once; send the assertion alone";
        return Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    }
    if form.require("client_assertion_type")? != ASSERTION_TYPE {
        return Err(refused(format!("`client_assertion_type` must be {ASSERTION_TYPE}")));
    }
    let assertion = form.require("client_assertion")?;
    let claimed = signed::claimed_subject(assertion).map_err(|error| refused(error.to_string()))?;
    if form.get("client_id").is_some_and(|in_form| in_form != claimed) {
        return Err(refused("`client_id` is not the client of the assertion"));
    }
    let client = known(ports, request, &claimed).await?;
    check_method(&client.value, PRIVATE_KEY_JWT)?;
    let proven = check_assertion(ports, request, &client.value, assertion).await?;
    // Looking for a new key may have fetched its document anew.
    let client = known(ports, request, &claimed).await?;
    let digest = sha256(&[b"portunus client assertion\0", claimed.as_bytes(), b"\0", proven.id.as_bytes()]);
    let used = UsedAssertion { digest, expires_at: proven.refused_from };
    match ports.store.commit(Batch::new().insert(&used)).await {
        Ok(_generation) => Ok(Authenticated { client, proof: ClientProof::Key, bound: None }),
        Err(StoreError::Conflict { .. }) => Err(refused(
            "this assertion was used before; sign a new one, with another `jti`, for every request",
        )),
        Err(error) => Err(error.into()),
    }
}

async fn check_assertion(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Client,
    assertion: &str,
) -> Result<Proven, OAuthError> {
    let token_endpoint = request.issuer.endpoint("/oauth/token");
    let expected = Expected {
        client_id: client.client_id.as_str(),
        audiences: [request.issuer.as_str(), &token_endpoint],
        algorithm: client.signing_alg.as_deref(),
        now: ports.now,
    };
    let refuse = |error: signed::SignedError| refused(error.to_string());
    let keys = client_keys::current(ports, request.fetcher, client).await?;
    match signed::verify(assertion, &keys, &expected) {
        Err(error) if error.may_be_a_new_key() => {
            match client_keys::renewed(ports, request.fetcher, client).await? {
                Some(keys) => signed::verify(assertion, &keys, &expected).map_err(refuse),
                None => Err(refuse(error)),
            }
        }
        verified => verified.map_err(refuse),
    }
}

/// The client, if it may be used here.
async fn known(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client_id: &str,
) -> Result<Versioned<Client>, OAuthError> {
    let client = client::known(ports, client_id).await?;
    match request.issuer.registration().admission(&client.value) {
        Admission::Admitted => Ok(client),
        Admission::Waits => Err(refused("an administrator has not approved this client yet")),
        Admission::Refused => Err(refused("this client may not be used here; ask the administrator")),
    }
}

/// A client proves itself as it registered, and in no weaker way.
fn check_method(client: &Client, method: &str) -> Result<(), OAuthError> {
    if client.auth_method == method || client.other_auth_methods.iter().any(|other| other == method) {
        return Ok(());
    }
    Err(refused(format!("this client must authenticate with `{}`", client.auth_method)))
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

#[cfg(test)]
#[path = "client_auth_tests.rs"]
mod tests;
