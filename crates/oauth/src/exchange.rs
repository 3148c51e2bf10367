//! Token exchange (RFC 8693) that only ever narrows: an access token of ours becomes one with fewer scopes and a shorter
//! life, for the same user and under the same grant, so that revoking that grant ends it too. Another client's token, or
//! another server, only where the configuration says so. Every hand that a token went through is kept with it.

use crate::client_auth::Authenticated;
use crate::config::{OFFLINE_SCOPE, SCOPE};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::grants;
use crate::ports::Ports;
use crate::resolve::{ResolveError, Resolved, resolve};
use crate::token::{Issued, New, live_grant};
use portunus_core::caller::Holding;
use portunus_core::id::{ClientId, ServerName};
use portunus_core::limits;
use portunus_core::store::{Batch, StoreError};

/// The grant type.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The only type of token that is taken and given.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Exchanges an access token for a lesser one.
///
/// # Errors
/// `invalid_request` for what is not a good token or asks for what does not exist here (RFC 8693 section 2.2.2),
/// `invalid_target`, `invalid_scope`, `unauthorized_client`.
pub(crate) async fn redeem(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    let (form, holding) = (request.form, client.holding());
    if form.require("subject_token_type")? != ACCESS_TOKEN
        || form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN)
    {
        return Err(invalid("only access tokens are taken and given: use their token type for both"));
    }
    if form.get("actor_token").is_some() {
        return Err(invalid("`actor_token` is not supported: the client itself is the actor"));
    }
    let subject = match resolve(ports.store, ports.now, form.require("subject_token")?).await {
        Ok(resolved) => resolved,
        Err(ResolveError::Store(error)) => return Err(error.into()),
        Err(_) => return Err(invalid("`subject_token` is not an access token that is good here")),
    };
    let id = &client.client().client_id;
    let holder = &subject.caller.client;
    // Whoever only names an id gets nothing that was allowed to the client of that id.
    let exchange = request.issuer.machines().exchange(id).filter(|_| client.is_confidential());
    if holder != id && !exchange.is_some_and(|exchange| exchange.from.contains(holder)) {
        let description = "the token is held by another client, and nothing allows this one to exchange it; what \
                           `exchanges:` allows is for clients that prove themselves with a secret or key";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    // Whoever cannot use a token cannot exchange it either.
    if subject.caller.holding.bound.is_some() && subject.caller.holding.bound != holding.bound {
        return Err(invalid("`subject_token` is bound to a key; prove that key with this request"));
    }
    let server = wanted_server(request, &subject, exchange.map(|exchange| &exchange.may_exchange_to[..]))?;
    let scopes = narrowed(form.get("scope"), &subject.caller.scopes)?;
    let holding = Holding { via: via(id, &subject)?, ..holding };
    let grant = live_grant(ports, &subject.caller.grant).await?;
    let ttl = subject.expires_at.since(ports.now).min(limits::ACCESS_TTL);
    let new = New::mint_access(ports, &grant.value, scopes, ttl)?.held(holding).for_server(&server);
    let detail = [("holder", id.as_str()), ("from", holder.as_str()), ("for", server.as_str())];
    grants::record(ports, id.as_str(), "token.exchanged", &grant.value, &detail).await?;
    match ports.store.commit(new.batch(client.still(Batch::new()), &grant)).await {
        Ok(_generation) => Ok(Issued { exchanged: true, ..new.into_issued(&grant.value) }),
        Err(StoreError::Conflict { .. }) => {
            Err(invalid("the grant of `subject_token`, or the client, has just changed"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The server of the new token: the old one's, or one that the configuration allows.
fn wanted_server(
    request: &Request<'_>,
    subject: &Resolved,
    others: Option<&[ServerName]>,
) -> Result<ServerName, OAuthError> {
    let own = &subject.caller.server;
    let named = match (request.form.get("resource"), request.form.get("audience")) {
        (Some(_), Some(_)) => return Err(invalid("name the server once: in `resource` or in `audience`")),
        (named, None) | (None, named) => named,
    };
    let Some(named) = named else { return Ok(own.clone()) };
    let target = |description: &str| OAuthError::new(ErrorCode::InvalidTarget, description);
    let server = request.issuer.server_of_resource(named);
    let server = server.ok_or_else(|| target("`resource` is not a server that is published here"))?;
    if server.name == *own || others.is_some_and(|others| others.contains(&server.name)) {
        return Ok(server.name.clone());
    }
    Err(target("the token is for another server, and nothing allows this client to exchange it for this one"))
}

/// No more than the token has.
fn narrowed(asked: Option<&str>, held: &[String]) -> Result<Vec<String>, OAuthError> {
    let wanted: Vec<&str> = match asked {
        Some(asked) => asked.split(' ').collect(),
        None => held.iter().map(String::as_str).filter(|scope| *scope != OFFLINE_SCOPE).collect(),
    };
    let held = wanted.iter().all(|scope| held.iter().any(|one| one == scope));
    if held && wanted.contains(&SCOPE) {
        return Ok(wanted.into_iter().map(str::to_owned).collect());
    }
    let description = format!("`scope` is more than the token has, or lacks {SCOPE}");
    Err(OAuthError::new(ErrorCode::InvalidScope, description))
}

/// The clients that the token went through, the new holder first.
fn via(id: &ClientId, subject: &Resolved) -> Result<Vec<ClientId>, OAuthError> {
    let caller = &subject.caller;
    if caller.client == *id {
        return Ok(caller.holding.via.clone());
    }
    let mut via = vec![id.clone()];
    if caller.holding.via.is_empty() {
        via.push(caller.client.clone());
    }
    via.extend(caller.holding.via.iter().cloned());
    if via.len() > limits::EXCHANGES {
        return Err(invalid("the token has gone through too many hands already"));
    }
    Ok(via)
}

fn invalid(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
