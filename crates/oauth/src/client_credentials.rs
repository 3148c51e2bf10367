//! Tokens for machines in their own name (RFC 6749 section 4.4): for clients that an administrator entered, that prove
//! themselves, for one of the servers they were entered for, and only where that server admits workloads. No refresh
//! token: the client can always ask again.

use crate::client_auth::Authenticated;
use crate::config::SCOPE;
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::grants;
use crate::ports::Ports;
use crate::token::{Issued, New};
use portunus_core::caller::SignIn;
use portunus_core::document::{ClientSource, Grant};
use portunus_core::id::{self, ServerName, UserName, WorkloadName};
use portunus_core::limits;
use portunus_core::server::Actor;
use portunus_core::store::Batch;

/// The grant type.
pub const GRANT_TYPE: &str = "client_credentials";
/// How a machine signs in that holds a client's own proof.
const METHOD: &str = "client";

/// Answers a request of this grant type.
///
/// # Errors
/// `unauthorized_client` when the client may not do this, `invalid_target` for a server that is not published or not
/// named, `invalid_scope`.
pub(crate) async fn issue(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    let known = client.client();
    let entered = matches!(known.source, ClientSource::Administrator | ClientSource::Configuration);
    let name = WorkloadName::parse(known.client_id.as_str()).ok();
    let name = name.filter(|_| entered && !known.servers.is_empty() && client.is_confidential());
    let name = name.ok_or_else(|| {
        let description = "this client may not use servers in its own name; an administrator enters such clients \
                           with `portunus client add ID --server NAME`";
        OAuthError::new(ErrorCode::UnauthorizedClient, description)
    })?;
    if request.form.get("scope").is_some_and(|scope| scope.split(' ').any(|scope| scope != SCOPE)) {
        return Err(OAuthError::new(ErrorCode::InvalidScope, format!("`scope` must be {SCOPE} or absent")));
    }
    let server = target(request, &known.servers)?;
    let user = UserName::of_workload(&name);
    let live = grants::live(ports.store, &user, &known.client_id, &server).await?;
    let (grant, batch) = match live.into_iter().find(|live| live.value.sign_in.method == METHOD) {
        // The check makes a revocation in this very moment win.
        Some(live) => {
            let batch = Batch::new().check::<Grant>(live.value.id.as_str(), live.version);
            (live.value, batch)
        }
        None => {
            let grant = Grant {
                id: id::mint("grt", ports.now, ports.rng),
                user,
                client_id: known.client_id.clone(),
                client_name: known.name.clone(),
                server,
                scopes: vec![SCOPE.to_owned()],
                sign_in: SignIn::new(METHOD, ports.now),
                created_at: ports.now,
                revoked_at: None,
                revoked_why: None,
                actor: Some(Actor::Workload),
                ends_at: None,
            };
            let batch = Batch::new().insert(&grant);
            (grant, batch)
        }
    };
    let new =
        New::mint_access(ports, &grant, grant.scopes.clone(), limits::ACCESS_TTL)?.held(client.holding());
    // No record, no token; and none at all when it is not stored.
    grants::record(ports, known.client_id.as_str(), "token.issued", &grant, &[("grant_type", GRANT_TYPE)])
        .await?;
    ports.store.commit(new.insert_into(client.still(batch))).await?;
    Ok(new.into_issued(&grant))
}

/// The one server that the token is for: it is published, admits workloads, and the client was entered for it.
fn target(request: &Request<'_>, servers: &[ServerName]) -> Result<ServerName, OAuthError> {
    let refuse = |code, description: &str| Err(OAuthError::new(code, description));
    let Some(resource) = request.form.get("resource") else {
        return refuse(ErrorCode::InvalidTarget, "`resource` is missing: send the server's URL (RFC 8707)");
    };
    let Some(server) = request.issuer.server_of_resource(resource) else {
        return refuse(ErrorCode::InvalidTarget, "`resource` is not a server that is published here");
    };
    if !servers.contains(&server.name) {
        return refuse(ErrorCode::UnauthorizedClient, "this client was not entered for this server");
    }
    if !server.actors.contains(&Actor::Workload) {
        return refuse(
            ErrorCode::UnauthorizedClient,
            "this server does not admit workloads; see `actors:` in portunus.yaml",
        );
    }
    Ok(server.name.clone())
}

#[cfg(test)]
#[path = "client_credentials_tests.rs"]
mod tests;
