//! The authorization endpoint (OAuth 2.1 section 4.1.1): read and check a request, and answer it when the user has
//! decided. Nothing is sent to a redirect URI before it is known to belong to the client.

use crate::client::{self, DocumentFetcher};
use crate::config::{Issuer, OFFLINE_SCOPE, SCOPE};
use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use crate::fresh::Fresh;
use crate::ports::Ports;
use crate::registration::Admission;
use crate::{grants, redirect};
use portunus_core::caller::SignIn;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Client, Code, Grant, User};
use portunus_core::id::{self, ClientId};
use portunus_core::limits;
use portunus_core::server::Server;
use portunus_core::store::Batch;
use portunus_core::token::{self, TokenKind};
use std::collections::BTreeMap;

/// A sound authorization request: what the consent page shows and what a yes grants.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub client: Client,
    /// Where the answer goes; one of the client's.
    pub redirect_uri: String,
    /// For which server.
    pub server: Server,
    /// For what.
    pub scopes: Vec<String>,
    /// How fresh a sign-in it asks for.
    pub fresh: Fresh,
    resource: String,
    state: Option<String>,
    code_challenge: String,
}

/// Why an authorization request was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// To be shown to the user: client or redirect URI cannot be trusted (RFC 6749 section 4.1.2.1).
    Page(OAuthError),
    /// To be shown to the user: the client is in order, but an administrator must approve it first.
    Waiting(Box<Client>),
    /// To be sent back to the client: this location holds `error`, `state` and `iss`.
    Redirect {
        /// Where the browser goes.
        location: String,
        /// What it says there.
        error: OAuthError,
    },
}

/// Reads the query of an authorization request. The client's metadata document is fetched if need be.
///
/// # Errors
/// See [`Rejected`].
pub async fn read(
    ports: &Ports<'_>,
    issuer: &Issuer,
    fetcher: &dyn DocumentFetcher,
    query: &str,
) -> Result<Request, Rejected> {
    let form = Form::parse(query.as_bytes()).map_err(|error| Rejected::Page(error.into()))?;
    let (client, redirect_uri) =
        trusted_redirect(ports, issuer, fetcher, &form).await.map_err(Rejected::Page)?;
    match issuer.registration().admission(&client) {
        Admission::Admitted => {}
        Admission::Waits => return Err(Rejected::Waiting(Box::new(client))),
        Admission::Refused => {
            let description = "this client may not be used here; ask the administrator of this site";
            return Err(Rejected::Page(OAuthError::new(ErrorCode::UnauthorizedClient, description)));
        }
    }
    // Only a state that can be returned exactly as it came is returned at all.
    let state = form.get("state").filter(|state| is_state(state)).map(str::to_owned);
    let read = |state| rest(issuer, &form, client, redirect_uri.clone(), state);
    read(state.clone()).map_err(|error| Rejected::Redirect {
        location: error_location(issuer, &redirect_uri, state.as_deref(), &error),
        error,
    })
}

/// The user said yes: stores the grant (an equal live one serves again) and a code, and returns where to send the
/// browser. The location holds the code: it is a secret until it is redeemed.
///
/// # Errors
/// When it could not be stored or recorded; nothing was given out then.
pub async fn approve(
    ports: &Ports<'_>,
    issuer: &Issuer,
    request: &Request,
    user: &User,
    sign_in: &SignIn,
) -> Result<String, OAuthError> {
    let live = grants::live(ports.store, &user.name, &request.client.client_id, &request.server.name).await?;
    let how = |sign_in: &SignIn| (sign_in.method.clone(), sign_in.issuer.clone());
    // Who asks for a fresher sign-in gets a grant that has it; older tokens of the same client do not become stronger.
    let fits =
        |known: &SignIn| if request.fresh.is_asked() { known == sign_in } else { how(known) == how(sign_in) };
    let same = |grant: &Grant| grant.scopes == request.scopes && fits(&grant.sign_in);
    let (grant, action, batch) = match live.into_iter().find(|known| same(&known.value)) {
        // The check makes a revocation in this very moment win.
        Some(known) => {
            let batch = Batch::new().check::<Grant>(known.value.id.as_str(), known.version);
            (known.value, "grant.confirmed", batch)
        }
        None => {
            let grant = Grant {
                id: id::mint("grt", ports.now, ports.rng),
                user: user.name.clone(),
                client_id: request.client.client_id.clone(),
                client_name: request.client.name.clone(),
                server: request.server.name.clone(),
                scopes: request.scopes.clone(),
                sign_in: sign_in.clone(),
                created_at: ports.now,
                revoked_at: None,
                revoked_why: None,
                actor: None,
                ends_at: None,
            };
            let batch = Batch::new().insert(&grant);
            (grant, "grant.created", batch)
        }
    };
    let text = token::mint(TokenKind::Code, ports.rng);
    let digest = token::digest(TokenKind::Code, text.expose())
        .ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "no code could be made"))?;
    let code = Code {
        digest,
        grant: grant.id.clone(),
        client_id: request.client.client_id.clone(),
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        resource: request.resource.clone(),
        used_at: None,
        expires_at: ports.now.plus(limits::CODE_TTL),
    };
    grants::record(ports, user.name.as_str(), action, &grant, &[("redirects_to", &request.destination())])
        .await?;
    client::mark_agreed(ports, &request.client.client_id).await?;
    ports.store.commit(batch.insert(&code)).await?;
    Ok(response_location(issuer, request, &[("code", text.expose())]))
}

/// The user said no: returns where to send the browser.
///
/// # Errors
/// When it could not be recorded.
pub async fn deny(
    ports: &Ports<'_>,
    issuer: &Issuer,
    request: &Request,
    user: &User,
) -> Result<String, OAuthError> {
    let detail = [("server", request.server.name.as_str()), ("client_name", &request.client.name)];
    ports.record(user.name.as_str(), "consent.denied", request.client.client_id.as_str(), &detail).await?;
    Ok(response_location(
        issuer,
        request,
        &[("error", ErrorCode::AccessDenied.as_str()), ("error_description", "The user said no.")],
    ))
}

impl Request {
    /// Where the answer leads, for people.
    #[must_use]
    pub fn destination(&self) -> String {
        redirect::destination(&self.redirect_uri)
    }

    /// A digest of everything that a consent page shows and a yes grants: a form made for one request cannot approve
    /// another one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (scopes, fresh) = (self.scopes.join(" "), format!("{:?}", self.fresh));
        let parts = [
            self.client.client_id.as_str(),
            &self.client.name,
            &self.redirect_uri,
            self.server.name.as_str(),
            &scopes,
            &fresh,
            &self.resource,
            &self.code_challenge,
            self.state.as_deref().unwrap_or_default(),
        ];
        let framed: Vec<u8> =
            parts.iter().flat_map(|p| (p.len() as u64).to_be_bytes().into_iter().chain(p.bytes())).collect();
        sha256(&[b"portunus authorization request", &framed])
    }
}

/// The client, and its redirect URI: until both are sound, an error may only be shown, never sent.
async fn trusted_redirect(
    ports: &Ports<'_>,
    issuer: &Issuer,
    fetcher: &dyn DocumentFetcher,
    form: &Form,
) -> Result<(Client, String), OAuthError> {
    let client_id = ClientId::parse(form.require("client_id")?)
        .map_err(|error| OAuthError::new(ErrorCode::InvalidRequest, error.to_string()))?;
    let requested = form.require("redirect_uri")?;
    let client = client::find(ports, issuer.registration(), fetcher, &client_id).await?;
    // Checked again at every use: what may be registered can become narrower from one version to the next.
    let known = client
        .redirect_uris
        .iter()
        .any(|registered| redirect::validate(registered).is_ok() && redirect::matches(registered, requested));
    if !known {
        let description = "the redirect URI of this request is not one that the client registered";
        return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, description));
    }
    Ok((client, requested.to_owned()))
}

fn rest(
    issuer: &Issuer,
    form: &Form,
    client: Client,
    redirect_uri: String,
    state: Option<String>,
) -> Result<Request, OAuthError> {
    let refuse = |code, description: &str| Err(OAuthError::new(code, description));
    if form.get("request").is_some() {
        return refuse(ErrorCode::RequestNotSupported, "request objects are not supported");
    }
    if form.get("request_uri").is_some() {
        return refuse(ErrorCode::RequestUriNotSupported, "request objects are not supported");
    }
    if form.get("state").is_some() && state.is_none() {
        return refuse(ErrorCode::InvalidRequest, "`state` is too long or not visible ASCII");
    }
    if form.require("response_type")? != "code" {
        return refuse(ErrorCode::UnsupportedResponseType, "`response_type` must be code");
    }
    if form.get("response_mode").is_some_and(|mode| mode != "query") {
        return refuse(ErrorCode::InvalidRequest, "`response_mode` must be query");
    }
    if form.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|p| p == "none")) {
        return refuse(ErrorCode::ConsentRequired, "consent is always asked for here");
    }
    // RFC 7636 section 4.4.1; a missing method would mean `plain`, which is refused as well.
    let code_challenge = form.require("code_challenge")?;
    if form.get("code_challenge_method") != Some("S256") {
        return refuse(ErrorCode::InvalidRequest, "`code_challenge_method` must be S256");
    }
    if code_challenge.len() != 43 || !code_challenge.bytes().all(is_base64url) {
        return refuse(ErrorCode::InvalidRequest, "`code_challenge` must be 43 characters of base64url");
    }
    let resource = form.get("resource").ok_or_else(|| {
        OAuthError::new(ErrorCode::InvalidTarget, "`resource` is missing: send the server's URL (RFC 8707)")
    })?;
    let Some(server) = issuer.server_of_resource(resource) else {
        return refuse(ErrorCode::InvalidTarget, "`resource` is not a server that is published here");
    };
    Ok(Request {
        redirect_uri,
        server: server.clone(),
        scopes: scopes_of(form.get("scope"), &server.scopes)?,
        fresh: Fresh::read(form)?,
        resource: resource.to_owned(),
        state,
        code_challenge: code_challenge.to_owned(),
        client,
    })
}

/// The scopes of a token to which nobody is there to agree: none that a server declares.
pub(crate) fn scopes(asked: Option<&str>) -> Result<Vec<String>, OAuthError> {
    scopes_of(asked, &BTreeMap::new())
}

/// The scopes to agree on: those asked for that exist here (RFC 6749 section 3.3 lets the server ignore others, and the
/// token answer says what was granted). The right to use the server is part of all of them.
pub(crate) fn scopes_of(
    asked: Option<&str>,
    declared: &BTreeMap<String, String>,
) -> Result<Vec<String>, OAuthError> {
    let asked: Vec<&str> = asked.unwrap_or(SCOPE).split(' ').collect();
    // Only what is declared for this server: another server's scopes mean nothing here.
    let declared = || declared.keys().map(String::as_str).filter(|scope| asked.contains(scope));
    let offline = asked.contains(&OFFLINE_SCOPE);
    if !offline && !asked.contains(&SCOPE) && declared().next().is_none() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, format!("`scope` must include {SCOPE}")));
    }
    let offline = offline.then_some(OFFLINE_SCOPE);
    Ok(std::iter::once(SCOPE).chain(declared()).chain(offline).map(str::to_owned).collect())
}

/// RFC 6749 appendix A.5: visible ASCII and spaces.
fn is_state(state: &str) -> bool {
    state.len() <= limits::STATE_BYTES && state.bytes().all(|b| matches!(b, b' '..=b'~'))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn response_location(issuer: &Issuer, request: &Request, parameters: &[(&str, &str)]) -> String {
    location(issuer, &request.redirect_uri, request.state.as_deref(), parameters)
}

fn error_location(issuer: &Issuer, redirect_uri: &str, state: Option<&str>, error: &OAuthError) -> String {
    let description = error.sent_description();
    let parameters = [("error", error.code.as_str()), ("error_description", description.as_str())];
    location(issuer, redirect_uri, state, &parameters)
}

/// Every answer carries the issuer (RFC 9207 section 2), so that a client that talks to several cannot mix them up.
fn location(issuer: &Issuer, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let mut all = parameters.to_vec();
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", issuer.as_str()));
    redirect::with_parameters(redirect_uri, &all)
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
