//! The token endpoint (OAuth 2.1 section 3.2): codes and refresh tokens become access tokens, each in one atomic batch
//! that also demands that the grant is still as it was read, so that a revocation always wins. Tokens leave only after
//! their issue is recorded.

use crate::client_auth::{self, Authenticated};
use crate::config::{Issuer, Lives, SCOPE};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use crate::ports::{ATTEMPTS, Ports};
use crate::{client_credentials, device, grants, jwt_bearer, possession};
use portunus_core::caller::{ClientProof, Confirmation, Holding};
use portunus_core::digest::{Digest, equal, sha256};
use portunus_core::document::{AccessToken, Code, Grant, RefreshToken, User};
use portunus_core::id::{Id, ServerName};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Document, StoreError, Versioned, load};
use portunus_core::token::{self, TokenKind};
use std::time::Duration;

/// Tokens that were just issued.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub access_token: Secret<String>,
    /// The refresh token; none for tokens that an administrator issued.
    pub refresh_token: Option<Secret<String>>,
    /// The life of the access token.
    pub expires_in: Duration,
    /// What it allows.
    pub scopes: Vec<String>,
    /// The grant it belongs to.
    pub grant: Id,
    /// The key it is bound to.
    pub bound: Option<Confirmation>,
    /// Whether it is the answer to a token exchange.
    pub exchanged: bool,
}

impl Issued {
    /// The JSON of the answer (RFC 6749 section 5.1).
    #[must_use]
    pub fn body(&self) -> Secret<String> {
        let mut body = serde_json::json!({
            "access_token": self.access_token.expose(),
            "token_type": if matches!(self.bound, Some(Confirmation::Dpop(_))) { "DPoP" } else { "Bearer" },
            "expires_in": self.expires_in.as_secs(),
            "scope": self.scopes.join(" "),
        });
        if let (true, Some(members)) = (self.exchanged, body.as_object_mut()) {
            members.insert("issued_token_type".to_owned(), crate::exchange::ACCESS_TOKEN.into());
        }
        if let (Some(refresh), Some(members)) = (&self.refresh_token, body.as_object_mut()) {
            members.insert("refresh_token".to_owned(), refresh.expose().as_str().into());
        }
        Secret::new(body.to_string())
    }
}

/// Answers a request to the token endpoint. Each grant type is one line here, and a function that reads like the others.
///
/// # Errors
/// RFC 6749 section 5.2, RFC 8707 section 2.
pub async fn respond(ports: &Ports<'_>, request: &Request<'_>) -> Result<Issued, OAuthError> {
    let shown = possession::shown(ports, request)?;
    if request.form.get("grant_type") == Some(jwt_bearer::GRANT_TYPE) {
        let issued = jwt_bearer::redeem(ports, request, &shown).await?;
        shown.spend();
        return Ok(issued);
    }
    let client = client_auth::authenticate(ports, request).await?;
    let client = shown.bind(client)?;
    let issued = issue(ports, request, &client).await?;
    shown.spend();
    Ok(issued)
}

async fn issue(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    match request.form.require("grant_type")? {
        "authorization_code" => exchange(ports, request, client).await,
        "refresh_token" => refresh(ports, request, client).await,
        device::GRANT_TYPE => device::redeem(ports, request, client).await,
        crate::exchange::GRANT_TYPE => crate::exchange::redeem(ports, request, client).await,
        client_credentials::GRANT_TYPE => client_credentials::issue(ports, request, client).await,
        _ => Err(OAuthError::new(
            ErrorCode::UnsupportedGrantType,
            "`grant_type` must be one of grant_types_supported in the issuer's metadata",
        )),
    }
}

/// Redeems an authorization code. A second use means that the code leaked: the grant and all its tokens end
/// (RFC 6749 section 4.1.2, RFC 9700 section 2.1.1).
async fn exchange(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    let (issuer, form) = (request.issuer, request.form);
    let digest = token::digest(TokenKind::Code, form.require("code")?).ok_or_else(bad_code)?;
    for _ in 0..ATTEMPTS {
        let code = load::<Code>(ports.store, &digest.hex()).await?.ok_or_else(bad_code)?;
        if code.value.client_id != client.client().client_id {
            return Err(bad_code());
        }
        if code.value.used_at.is_some() {
            reused(ports, "code.reused", &code.value.grant, "its authorization code was used twice").await?;
            return Err(bad_code());
        }
        if code.value.expires_at.is_past(ports.now) {
            return Err(bad_code());
        }
        check_proofs(form, &code.value)?;
        let grant = live_grant(ports, &code.value.grant).await?;
        check_resource(issuer, form, &grant.value)?;
        let used = Code { used_at: Some(ports.now), ..code.value };
        let new = New::mint(ports, issuer.lives(), &grant.value, grant.value.scopes.clone(), 1)?
            .held(client.holding());
        let batch = new.batch(Batch::new().update(&used, code.version), &grant);
        match ports.store.commit(batch).await {
            Ok(_generation) => return new.release(ports, client, &grant.value, "token.issued").await,
            // Somebody changed code or grant in this moment: read again and judge what is there now.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(bad_code())
}

/// Exchanges a refresh token for the next one (OAuth 2.1 section 4.3.1). One that was exchanged before means that there
/// are two holders: the grant and all its tokens end. There is no time of grace, since a thief would keep a parallel
/// chain in it. Of requests that overlap in time one wins and the others are refused; they alone do not end the grant,
/// since a client that asks twice at once is no thief.
async fn refresh(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    let (issuer, form) = (request.issuer, request.form);
    let digest = token::digest(TokenKind::Refresh, form.require("refresh_token")?).ok_or_else(bad_refresh)?;
    for _ in 0..ATTEMPTS {
        let token = load::<RefreshToken>(ports.store, &digest.hex()).await?.ok_or_else(bad_refresh)?;
        let grant = live_grant(ports, &token.value.grant).await?;
        if grant.value.client_id != client.client().client_id {
            return Err(bad_refresh());
        }
        if token.value.used_at.is_some() {
            reused(ports, "refresh.reused", &grant.value.id, "its refresh token was used twice").await?;
            return Err(bad_refresh());
        }
        if token.value.expires_at.is_past(ports.now) {
            return Err(bad_refresh());
        }
        check_resource(issuer, form, &grant.value)?;
        let scopes = narrowed(form.get("scope"), &grant.value)?;
        // Whoever stole it does not have the key (RFC 9449 section 5).
        if token.value.bound.is_some() && token.value.bound != client.holding().bound {
            let description = "the refresh token is bound to a key; prove that key with this request";
            return Err(OAuthError::new(ErrorCode::InvalidGrant, description));
        }
        let generation = token.value.generation.saturating_add(1);
        let new = New::mint(ports, issuer.lives(), &grant.value, scopes, generation)?.held(client.holding());
        let used = RefreshToken { used_at: Some(ports.now), ..token.value };
        let batch = new.batch(Batch::new().update(&used, token.version), &grant);
        // Spending the token and then failing to record it would cost an honest client its grant at the next attempt.
        grants::record(ports, "portunus", "token.refreshing", &grant.value, &[]).await?;
        match ports.store.commit(batch).await {
            Ok(_generation) => return new.release(ports, client, &grant.value, "token.refreshed").await,
            Err(StoreError::Conflict { kind }) if kind == RefreshToken::KIND.as_str() => {
                grants::record(ports, "portunus", "refresh.raced", &grant.value, &[]).await?;
                return Err(bad_refresh());
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(bad_refresh())
}

/// Tokens that are not stored yet.
pub(crate) struct New {
    access: Secret<String>,
    access_document: AccessToken,
    refresh: Option<(Secret<String>, RefreshToken)>,
    expires_in: Duration,
}

impl New {
    pub(crate) fn mint(
        ports: &Ports<'_>,
        lives: Lives,
        grant: &Grant,
        scopes: Vec<String>,
        generation: u64,
    ) -> Result<Self, OAuthError> {
        let mut new = Self::mint_access(ports, grant, scopes, lives.access)?;
        let (text, digest) = mint(ports, TokenKind::Refresh)?;
        let expires_at = ports.now.plus(lives.refresh);
        let document = RefreshToken {
            digest,
            grant: grant.id.clone(),
            generation,
            used_at: None,
            expires_at,
            bound: None,
        };
        new.refresh = Some((text, document));
        Ok(new)
    }

    /// An access token alone.
    pub(crate) fn mint_access(
        ports: &Ports<'_>,
        grant: &Grant,
        scopes: Vec<String>,
        ttl: Duration,
    ) -> Result<Self, OAuthError> {
        let (access, digest) = mint(ports, TokenKind::Access)?;
        let access_document = AccessToken {
            digest,
            grant: grant.id.clone(),
            server: grant.server.clone(),
            scopes,
            expires_at: ports.now.plus(ttl),
            holding: Holding::default(),
        };
        Ok(Self { access, access_document, refresh: None, expires_in: ttl })
    }

    /// How their holder came by them and what it must show with them. A public client has nothing but its key to prove
    /// itself with, so its refresh token is bound to that too.
    pub(crate) fn held(mut self, holding: Holding) -> Self {
        if let Some((_, document)) = &mut self.refresh {
            document.bound = holding.bound.filter(|_| holding.proof == ClientProof::None);
        }
        self.access_document.holding = holding;
        self
    }

    /// For another server than the grant's.
    pub(crate) fn for_server(mut self, server: &ServerName) -> Self {
        self.access_document.server = server.clone();
        self
    }

    /// Adds the tokens to a batch.
    pub(crate) fn insert_into(&self, batch: Batch) -> Batch {
        let batch = batch.insert(&self.access_document);
        match &self.refresh {
            Some((_, document)) => batch.insert(document),
            None => batch,
        }
    }

    pub(crate) fn batch(&self, batch: Batch, grant: &Versioned<Grant>) -> Batch {
        self.insert_into(batch.check::<Grant>(grant.value.id.as_str(), grant.version))
    }

    /// The tokens, stored already, for their holder.
    pub(crate) fn into_issued(self, grant: &Grant) -> Issued {
        Issued {
            access_token: self.access,
            refresh_token: self.refresh.map(|(text, _)| text),
            expires_in: self.expires_in,
            scopes: self.access_document.scopes,
            grant: grant.id.clone(),
            bound: self.access_document.holding.bound,
            exchanged: false,
        }
    }

    pub(crate) async fn release(
        self,
        ports: &Ports<'_>,
        client: &Authenticated,
        grant: &Grant,
        action: &str,
    ) -> Result<Issued, OAuthError> {
        let generation = self.refresh.as_ref().map_or(0, |(_, token)| token.generation).to_string();
        let by = client.client().client_id.as_str();
        grants::record(ports, by, action, grant, &[("generation", &generation)]).await?;
        Ok(self.into_issued(grant))
    }
}

fn mint(ports: &Ports<'_>, kind: TokenKind) -> Result<(Secret<String>, Digest), OAuthError> {
    let text = token::mint(kind, ports.rng);
    let digest = token::digest(kind, text.expose())
        .ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "no token could be made"))?;
    Ok((text, digest))
}

/// The grant, if it and its user are in force.
pub(crate) async fn live_grant(ports: &Ports<'_>, id: &Id) -> Result<Versioned<Grant>, OAuthError> {
    let revoked = || OAuthError::new(ErrorCode::InvalidGrant, "this access was revoked; sign in again");
    let grant = load::<Grant>(ports.store, id.as_str()).await?.ok_or_else(revoked)?;
    let workload = grant.value.user.workload().is_some();
    let user = load::<User>(ports.store, grant.value.user.as_str()).await?;
    let enabled = workload || user.is_some_and(|user| user.value.disabled_at.is_none());
    if grant.value.revoked_at.is_none() && enabled { Ok(grant) } else { Err(revoked()) }
}

/// Redirect URI and PKCE verifier (RFC 7636 section 4.6). OAuth 2.1 no longer asks for the redirect URI here; a client
/// that sends it must send the same.
fn check_proofs(form: &Form, code: &Code) -> Result<(), OAuthError> {
    if form.get("redirect_uri").is_some_and(|uri| uri != code.redirect_uri) {
        let description = "`redirect_uri` is not the one of the authorization request";
        return Err(OAuthError::new(ErrorCode::InvalidGrant, description));
    }
    let verifier = form.require("code_verifier")?;
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let challenge = data_encoding::BASE64URL_NOPAD.encode(&sha256(&[verifier.as_bytes()]).0);
    if well_formed && equal(challenge.as_bytes(), code.code_challenge.as_bytes()) {
        return Ok(());
    }
    Err(OAuthError::new(ErrorCode::InvalidGrant, "`code_verifier` does not match the code challenge"))
}

/// `resource` may be left out; if it is sent it must be the grant's server (RFC 8707 section 2.2).
fn check_resource(issuer: &Issuer, form: &Form, grant: &Grant) -> Result<(), OAuthError> {
    if issuer.server(&grant.server).is_none() {
        return Err(OAuthError::new(ErrorCode::InvalidTarget, "the server is not published any more"));
    }
    match form.get("resource").map(|resource| issuer.server_of_resource(resource)) {
        None => Ok(()),
        Some(Some(server)) if server.name == grant.server => Ok(()),
        Some(_) => {
            Err(OAuthError::new(ErrorCode::InvalidTarget, "`resource` is not the server that was agreed to"))
        }
    }
}

/// The scopes of a refreshed access token: no more than was granted (RFC 6749 section 6).
fn narrowed(asked: Option<&str>, grant: &Grant) -> Result<Vec<String>, OAuthError> {
    let Some(asked) = asked else { return Ok(grant.scopes.clone()) };
    let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
    let granted = asked.iter().all(|scope| grant.scopes.contains(scope));
    if granted && asked.iter().any(|scope| scope == SCOPE) {
        return Ok(grant.scopes.iter().filter(|scope| asked.contains(scope)).cloned().collect());
    }
    Err(OAuthError::new(ErrorCode::InvalidScope, "`scope` is more than was agreed to, or lacks `mcp`"))
}

pub(crate) async fn reused(ports: &Ports<'_>, action: &str, grant: &Id, why: &str) -> Result<(), OAuthError> {
    // First the grant ends, then it is recorded why: a ledger that fails must not keep a thief's tokens alive.
    grants::revoke(ports, grant, "portunus", why).await?;
    Ok(ports.record("portunus", action, grant.as_str(), &[]).await?)
}

fn bad_code() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidGrant, "the authorization code is wrong, expired or used; start again")
}

fn bad_refresh() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidGrant, "the refresh token is wrong, expired or used; sign in again")
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
