//! Token revocation (RFC 7009) and introspection (RFC 7662).

use crate::client_auth::{self, Authenticated};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::grants;
use crate::ports::Ports;
use crate::resolve::{ResolveError, resolve};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::caller::{Caller, Confirmation};
use portunus_core::digest::Digest;
use portunus_core::document::{AccessToken, Grant, RefreshToken};
use portunus_core::id::{ClientId, Id};
use portunus_core::store::{Batch, Expect, load};
use portunus_core::token::{self, TokenKind};
use serde::Serialize;

/// Revokes what the client asks for: with a refresh token its whole grant, with an access token that token alone. Unknown
/// tokens count as revoked (RFC 7009 section 2.2). When this returns, nothing of it is admitted on this node.
///
/// # Errors
/// When the client does not prove itself, or the token is another client's.
pub async fn revoke(ports: &Ports<'_>, request: &Request<'_>) -> Result<(), OAuthError> {
    let client = client_auth::authenticate(ports, request).await?;
    let text = request.form.require("token")?;
    let by = client.client().client_id.as_str();
    // `token_type_hint` is not needed: the form of a token says what it is.
    if let Some(digest) = token::digest(TokenKind::Refresh, text)
        && let Some(token) = load::<RefreshToken>(ports.store, &digest.hex()).await?
    {
        own_grant(ports, &client, &token.value.grant, None).await?;
        grants::revoke(ports, &token.value.grant, by, "by its client").await?;
    }
    if let Some(digest) = token::digest(TokenKind::Access, text)
        && let Some(token) = load::<AccessToken>(ports.store, &digest.hex()).await?
    {
        let holder = token.value.holding.via.first();
        let grant = own_grant(ports, &client, &token.value.grant, holder).await?;
        ports.store.commit(Batch::new().delete::<AccessToken>(&digest.hex(), Expect::Any)).await?;
        grants::record(ports, by, "token.revoked", &grant, &[]).await?;
    }
    Ok(())
}

/// The grant of a token that this client holds; one that went through an exchange has another holder than its grant.
async fn own_grant(
    ports: &Ports<'_>,
    client: &Authenticated,
    id: &Id,
    holder: Option<&ClientId>,
) -> Result<Grant, OAuthError> {
    let grant = load::<Grant>(ports.store, id.as_str()).await?.map(|grant| grant.value);
    let own = |grant: &Grant| *holder.unwrap_or(&grant.client_id) == client.client().client_id;
    grant.filter(own).ok_or_else(|| {
        OAuthError::new(ErrorCode::UnauthorizedClient, "this token was issued to another client")
    })
}

/// What introspection says about a token (RFC 7662 section 2.2).
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Introspection {
    /// Good.
    Active(Box<Active>),
    /// Not good, or not this client's: the two look alike.
    Inactive {
        /// Always `false`.
        active: bool,
    },
}

/// A good access token.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Active {
    active: bool,
    scope: String,
    client_id: String,
    username: String,
    sub: String,
    aud: String,
    iss: String,
    token_type: &'static str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Cnf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
}

/// The key that the token is bound to (RFC 9449 section 6.2, RFC 8705 section 3.2).
#[derive(Debug, PartialEq, Eq, Serialize)]
enum Cnf {
    #[serde(rename = "jkt")]
    Dpop(String),
    #[serde(rename = "x5t#S256")]
    Certificate(String),
}

/// The client that acts, and on the word of which others (RFC 8693 section 4.1).
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Act {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

fn cnf(bound: Confirmation) -> Cnf {
    let text = |digest: Digest| BASE64URL_NOPAD.encode(&digest.0);
    match bound {
        Confirmation::Dpop(key) => Cnf::Dpop(text(key)),
        Confirmation::Certificate(thumbprint) => Cnf::Certificate(text(thumbprint)),
    }
}

fn act(via: &[ClientId]) -> Option<Act> {
    let (first, rest) = via.split_first()?;
    Some(Act { client_id: first.to_string(), act: act(rest).map(Box::new) })
}

/// Tells a client that has proven itself about one of its own access tokens, or about one for a server that it stands for.
///
/// # Errors
/// When the client does not prove itself with a secret.
pub async fn introspect(ports: &Ports<'_>, request: &Request<'_>) -> Result<Introspection, OAuthError> {
    let client = client_auth::authenticate(ports, request).await?;
    if !client.is_confidential() {
        let description = "introspection is for clients that authenticate with a secret";
        return Err(OAuthError::new(ErrorCode::InvalidClient, description));
    }
    let resolved = match resolve(ports.store, ports.now, request.form.require("token")?).await {
        Ok(resolved) if may_ask(request, &client, &resolved.caller) => resolved,
        Err(ResolveError::Store(error)) => return Err(error.into()),
        _ => return Ok(Introspection::Inactive { active: false }),
    };
    let caller = resolved.caller;
    Ok(Introspection::Active(Box::new(Active {
        active: true,
        scope: caller.scopes.join(" "),
        client_id: caller.client.to_string(),
        username: caller.user.to_string(),
        sub: caller.user.to_string(),
        aud: request.issuer.resource(&caller.server),
        iss: request.issuer.as_str().to_owned(),
        token_type: if matches!(caller.holding.bound, Some(Confirmation::Dpop(_))) {
            "DPoP"
        } else {
            "Bearer"
        },
        exp: resolved.expires_at.as_secs(),
        cnf: caller.holding.bound.map(cnf),
        act: act(&caller.holding.via),
    })))
}

fn may_ask(request: &Request<'_>, client: &Authenticated, caller: &Caller) -> bool {
    let id = &client.client().client_id;
    caller.client == *id || request.issuer.machines().stands_for(id, &caller.server)
}

#[cfg(test)]
#[path = "revocation_tests.rs"]
mod tests;
