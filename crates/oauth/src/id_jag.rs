//! Enterprise-managed authorization (MCP extension; draft-ietf-oauth-identity-assertion-authz-grant): an identity provider
//! says that a user may use a server here through one client, and that client brings the word for it. The user is who is
//! bound to the provider's own name for them: nobody is made, or found by an e-mail address, on this way.

use crate::authorize;
use crate::client_auth::Authenticated;
use crate::config::{OFFLINE_SCOPE, SCOPE};
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::federation::{account, id_token};
use crate::foreign::{self, Claimed, Expected, ForeignError};
use crate::issuer_keys;
use crate::jwt_bearer::{Order, bad, used};
use crate::ports::Ports;
use crate::workload::KeySource;
use portunus_core::caller::SignIn;
use portunus_core::document::{Identity, User};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::store::load;
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};

/// The type of such an assertion.
pub(crate) const TYPE: &str = "oauth-id-jag+jwt";
/// The profile's name in the issuer's metadata.
pub(crate) const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// How a user signs in for whom an identity provider speaks.
const METHOD: &str = "id_jag";

/// An identity provider whose word for its users is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Its keys.
    pub keys: KeySource,
    /// The servers it may speak for.
    pub servers: Vec<ServerName>,
    /// Whether clients that cannot prove themselves are served too.
    pub public_clients: bool,
}

/// An identity provider's word → what it gives.
pub(crate) async fn order(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
    text: &str,
    claimed: &Claimed,
) -> Result<Order, OAuthError> {
    let providers = &request.issuer.machines().identity_providers;
    let provider = providers.iter().find(|provider| provider.issuer == claimed.issuer);
    let provider = provider.ok_or_else(|| bad(ForeignError::Issuer.to_string()))?;
    if !client.is_confidential() && !provider.public_clients {
        let description = "the identity provider's word is taken from clients that prove themselves only";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    let audiences = [request.issuer.as_str()];
    let expected = Expected {
        issuer: &provider.issuer,
        audiences: &audiences,
        types: &[TYPE],
        longest: limits::ID_JAG_LIFE,
        now: ports.now,
    };
    let token = issuer_keys::verify(ports, request.trusted, &provider.keys, text, &expected).await?;
    let said = |name: &str| token.claims.get(name).and_then(Value::as_str);
    if said("client_id") != Some(client.client().client_id.as_str()) {
        return Err(bad("the assertion is for another client".to_owned()));
    }
    let used = used(&claimed.issuer, &token)?;
    let server = server(request, token.claims.get("resource"))?;
    if !provider.servers.contains(&server) {
        let description = "the identity provider may not speak for this server";
        return Err(OAuthError::new(ErrorCode::InvalidTarget, description));
    }
    let user = user(ports, request, provider, &token.subject).await?;
    let scopes = scopes(request.form.get("scope"), said("scope"))?;
    Ok(Order {
        user: user.name,
        client_id: client.client().client_id.clone(),
        client_name: client.client().name.clone(),
        server,
        scopes,
        sign_in: sign_in(provider, &token.claims, ports.now)?,
        actor: None,
        ttl: limits::ACCESS_TTL,
        used: Some(used),
        subject: token.subject,
    })
}

/// The user of a subject, who could also sign in here through that provider now.
async fn user(
    ports: &Ports<'_>,
    request: &Request<'_>,
    provider: &IdentityProvider,
    subject: &str,
) -> Result<User, OAuthError> {
    let unknown =
        || bad("nobody here is bound to the assertion's subject; they must sign in once".to_owned());
    let identity = Identity::id_of(&provider.issuer, subject);
    let identity = load::<Identity>(ports.store, &identity).await?.ok_or_else(unknown)?.value;
    let user = load::<User>(ports.store, identity.user.as_str()).await?.ok_or_else(unknown)?.value;
    if user.disabled_at.is_some() {
        return Err(bad("the account of the assertion's subject is disabled".to_owned()));
    }
    let providers = request.issuer.providers();
    let speaks = providers
        .with_issuer(&provider.issuer)
        .is_some_and(|speaker| account::is_its_own(providers, speaker, &user.name));
    if !speaks || user.issuer.as_ref() != Some(&provider.issuer) {
        let description = "the identity provider may not speak for the assertion's subject; see `login:`";
        return Err(bad(description.to_owned()));
    }
    Ok(user)
}

/// How and when the user signed in at the provider, as its assertion says. One that does not say when proves no fresh
/// sign-in: it can be made from a session that is days old.
fn sign_in(
    provider: &IdentityProvider,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<SignIn, OAuthError> {
    let at = foreign::moment(claims, "auth_time").map_err(|error| bad(error.to_string()))?;
    let at = at.unwrap_or(Timestamp::from_secs(0));
    if at > now.plus(limits::SIGNED_ASSERTION_SKEW) {
        return Err(bad(ForeignError::Early.to_string()));
    }
    Ok(SignIn {
        amr: id_token::methods(claims.get("amr")),
        acr: id_token::class(claims.get("acr")),
        issuer: Some(provider.issuer.clone()),
        ..SignIn::new(METHOD, at.min(now))
    })
}

/// The server that the assertion names, or, where it names none, the request. They must not differ.
fn server(request: &Request<'_>, asserted: Option<&Value>) -> Result<ServerName, OAuthError> {
    let target = |description: &str| OAuthError::new(ErrorCode::InvalidTarget, description);
    let named = match asserted {
        None => None,
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(some)) if some.len() == 1 => some.first().and_then(Value::as_str),
        Some(_) => return Err(target("the assertion's `resource` must be one server's URL")),
    };
    let asked = request.form.get("resource");
    let find = |resource: &str| {
        let server = request.issuer.server_of_resource(resource);
        server.ok_or_else(|| target("`resource` is not a server that is published here"))
    };
    match (named.map(find).transpose()?, asked.map(find).transpose()?) {
        (Some(asserted), Some(asked)) if asserted.name != asked.name => {
            Err(target("`resource` is another server than the assertion's"))
        }
        (Some(server), _) | (None, Some(server)) => Ok(server.name.clone()),
        (None, None) => Err(target("`resource` is missing: send the server's URL (RFC 8707)")),
    }
}

/// What is asked for, and no more than the provider allows. A refresh token is never given here.
fn scopes(asked: Option<&str>, allowed: Option<&str>) -> Result<Vec<String>, OAuthError> {
    let mut scopes = authorize::scopes(asked.or(allowed))?;
    let is_allowed = |scope: &String| allowed.is_none_or(|all| all.split(' ').any(|one| one == scope));
    scopes.retain(|scope| scope != OFFLINE_SCOPE && is_allowed(scope));
    if scopes.iter().any(|scope| scope == SCOPE) {
        return Ok(scopes);
    }
    Err(OAuthError::new(ErrorCode::InvalidScope, format!("the assertion's `scope` must include {SCOPE}")))
}

#[cfg(test)]
#[path = "id_jag_tests.rs"]
mod tests;
