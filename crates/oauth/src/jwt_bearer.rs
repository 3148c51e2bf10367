//! Access tokens for assertions of others (RFC 7523 section 2.1): a workload brings a token of its platform, a client an
//! identity provider's word for a user ([`crate::id_jag`]). There is no refresh token: whoever still has the right brings a
//! new assertion.

use crate::authorize;
use crate::client_auth;
use crate::config::OFFLINE_SCOPE;
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::foreign::{self, Assertion, Claimed};
use crate::grants;
use crate::id_jag;
use crate::issuer_keys;
use crate::ports::Ports;
use crate::possession::Shown;
use crate::token::{Issued, New};
use crate::workload::{self, Workload};
use portunus_core::caller::{ClientProof, Holding, SignIn};
use portunus_core::digest::sha256;
use portunus_core::document::{Grant, UsedAssertion};
use portunus_core::id::{self, ClientId, ServerName, UserName};
use portunus_core::limits;
use portunus_core::server::Actor;
use portunus_core::store::{Batch, Document, StoreError, load};
use portunus_core::time::Timestamp;
use std::time::Duration;

/// The grant type of both.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How a workload signs in.
const WORKLOAD: &str = "workload";

/// Answers a request with an assertion. A workload's assertion stands for itself; an identity provider's is for one client,
/// which proves itself as it always does.
///
/// # Errors
/// `invalid_grant`, `invalid_target`, `invalid_scope`, `invalid_client`, `unauthorized_client`.
pub(crate) async fn redeem(
    ports: &Ports<'_>,
    request: &Request<'_>,
    shown: &Shown<'_>,
) -> Result<Issued, OAuthError> {
    let text = request.form.require("assertion")?;
    let claimed = foreign::claimed(text).map_err(|error| bad(error.to_string()))?;
    if claimed.kind == id_jag::TYPE {
        let client = shown.bind(client_auth::authenticate(ports, request).await?)?;
        let order = id_jag::order(ports, request, &client, text, &claimed).await?;
        return issue(ports, order, client.holding(), client.still(Batch::new())).await;
    }
    let bound = shown.bound();
    let order = platform(ports, request, text, &claimed).await?;
    // The assertion is the proof: it was signed with a key that the platform keeps.
    issue(ports, order, Holding { proof: ClientProof::Key, bound, via: Vec::new() }, Batch::new()).await
}

/// What an assertion gives.
pub(crate) struct Order {
    pub(crate) user: UserName,
    pub(crate) client_id: ClientId,
    pub(crate) client_name: String,
    pub(crate) server: ServerName,
    pub(crate) scopes: Vec<String>,
    pub(crate) sign_in: SignIn,
    pub(crate) actor: Option<Actor>,
    pub(crate) ttl: Duration,
    pub(crate) used: Option<UsedAssertion>,
    /// Whom the assertion is about, in its issuer's words.
    pub(crate) subject: String,
}

/// The token of a platform → one of its workloads.
async fn platform(
    ports: &Ports<'_>,
    request: &Request<'_>,
    text: &str,
    claimed: &Claimed,
) -> Result<Order, OAuthError> {
    let machines = request.issuer.machines();
    let ours: Vec<&Workload> = machines.workloads.iter().filter(|w| w.issuer == claimed.issuer).collect();
    let first = ours.first().ok_or_else(|| bad(foreign::ForeignError::Issuer.to_string()))?;
    let server = wanted_server(request)?;
    let audiences: Vec<&str> = ours.iter().map(|workload| workload.audience.as_str()).collect();
    let expected = first.expected(&audiences, ports.now);
    let token = issuer_keys::verify(ports, request.trusted, &first.keys, text, &expected).await?;
    let audience = token.claims.get("aud").map(|aud| aud.get(0).unwrap_or(aud));
    let for_it = |workload: &&&Workload| audience.is_some_and(|aud| aud == workload.audience.as_str());
    let workload = workload::choose(ours.iter().filter(for_it).copied(), &token, &server);
    let workload = workload.map_err(|error| bad(error.to_string()))?;
    let used = if workload.single_use { Some(used(&claimed.issuer, &token)?) } else { None };
    let name = UserName::of_workload(&workload.name);
    let client_id = ClientId::parse(name.as_str()).map_err(|error| bad(error.to_string()))?;
    Ok(Order {
        client_name: workload.name.to_string(),
        client_id,
        user: name,
        server: server.clone(),
        scopes: scopes(request.form.get("scope"))?,
        sign_in: SignIn { issuer: Some(workload.issuer.clone()), ..SignIn::new(WORKLOAD, ports.now) },
        actor: Some(workload.actor),
        ttl: workload.ttl,
        used,
        subject: token.subject,
    })
}

/// The server that the request names.
fn wanted_server(request: &Request<'_>) -> Result<ServerName, OAuthError> {
    let target = |description: &str| OAuthError::new(ErrorCode::InvalidTarget, description);
    let named = request.form.get("resource");
    let named = named.ok_or_else(|| target("`resource` is missing: send the server's URL (RFC 8707)"))?;
    let server = request.issuer.server_of_resource(named);
    let server = server.ok_or_else(|| target("`resource` is not a server that is published here"))?;
    Ok(server.name.clone())
}

/// The scopes of the token. A refresh token is never given here, so nothing is said of one; nor are the scopes that a server
/// declares, since nobody is there to agree to them.
fn scopes(asked: Option<&str>) -> Result<Vec<String>, OAuthError> {
    let mut scopes = authorize::scopes(asked)?;
    scopes.retain(|scope| scope != OFFLINE_SCOPE);
    Ok(scopes)
}

/// What keeps an assertion from being used again until it ends by itself. One without a `jti` cannot be told from its like:
/// it is refused where it may be used once only.
pub(crate) fn used(issuer: &str, token: &Assertion) -> Result<UsedAssertion, OAuthError> {
    let id = token.id.as_ref().ok_or_else(|| bad("the assertion has no `jti`".to_owned()))?;
    let length = (issuer.len() as u64).to_be_bytes();
    let digest = sha256(&[b"portunus assertion ", &length, issuer.as_bytes(), id.as_bytes()]);
    Ok(UsedAssertion { digest, expires_at: token.refused_from })
}

/// Stores the grant and its token together with `batch`, or nothing.
async fn issue(
    ports: &Ports<'_>,
    order: Order,
    holding: Holding,
    batch: Batch,
) -> Result<Issued, OAuthError> {
    let expires_at = ports.now.plus(order.ttl);
    let grant = Grant {
        id: id::mint("grt", ports.now, ports.rng),
        user: order.user,
        client_id: order.client_id,
        client_name: order.client_name,
        server: order.server,
        scopes: order.scopes,
        sign_in: order.sign_in,
        created_at: ports.now,
        revoked_at: None,
        revoked_why: None,
        actor: order.actor,
        ends_at: Some(kept_until(expires_at)),
    };
    let new = New::mint_access(ports, &grant, grant.scopes.clone(), order.ttl)?.held(holding);
    let mut batch = batch.insert(&grant);
    if let Some(used) = &order.used {
        // Looked at first, so that a replay leaves no record of a grant that never was.
        if load::<UsedAssertion>(ports.store, &used.digest.hex()).await?.is_some() {
            return Err(again());
        }
        batch = batch.insert(used);
    }
    let issuer = grant.sign_in.issuer.as_deref().unwrap_or_default();
    let detail =
        [("through", grant.sign_in.method.as_str()), ("issuer", issuer), ("subject", &order.subject)];
    grants::record(ports, grant.user.as_str(), "grant.created", &grant, &detail).await?;
    match ports.store.commit(new.insert_into(batch)).await {
        Ok(_generation) => Ok(new.into_issued(&grant)),
        Err(StoreError::Conflict { kind }) if kind == UsedAssertion::KIND.as_str() => Err(again()),
        Err(error) => Err(error.into()),
    }
}

/// A grant without a refresh token ends with its token; it can be looked at for a day more.
fn kept_until(token_ends: Timestamp) -> Timestamp {
    token_ends.plus(limits::ENDED_GRANT_KEPT)
}

fn again() -> OAuthError {
    bad("this assertion was used before; get a new one for each request".to_owned())
}

pub(crate) fn bad(description: String) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidGrant, description)
}

#[cfg(test)]
#[path = "jwt_bearer_tests.rs"]
mod tests;
