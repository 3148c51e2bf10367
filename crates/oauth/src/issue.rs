//! Access tokens that an administrator issues for scripts and load tests: recorded and revoked like any other.

use crate::config::{Issuer, SCOPE};
use crate::error::OAuthError;
use crate::grants;
use crate::ports::{Ports, Trouble};
use crate::resolve::ISSUED;
use crate::token::{Issued, New};
use portunus_core::caller::SignIn;
use portunus_core::document::{Grant, User};
use portunus_core::id::{self, ClientId, ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{Batch, StoreError, load};
use std::time::Duration;

/// The client that such tokens name unless told otherwise.
pub const SCRIPT_CLIENT: &str = "portunus-token";

/// A token to issue.
#[derive(Debug, Clone)]
pub struct Order {
    /// As whom.
    pub user: UserName,
    /// For which server.
    pub server: ServerName,
    /// As which client; [`SCRIPT_CLIENT`] when absent.
    pub client: Option<ClientId>,
    /// For how long; a second to [`limits::ISSUED_TTL`].
    pub ttl: Duration,
}

/// Why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// No such server is published.
    #[error("no server `{0}` is published; see `servers:` in portunus.yaml")]
    UnknownServer(ServerName),
    /// No such user, or disabled.
    #[error("there is no enabled user `{0}`; see `portunus user list`")]
    UnknownUser(UserName),
    /// A life that is not allowed.
    #[error("the life of a token must be between 1 second and {} hours", limits::ISSUED_TTL.as_secs() / 3600)]
    Ttl,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] OAuthError),
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}

/// Issues an access token (and no refresh token) in the name of `by`, an administrator.
///
/// # Errors
/// See [`IssueError`].
pub async fn token(
    ports: &Ports<'_>,
    issuer: &Issuer,
    order: &Order,
    by: &str,
) -> Result<Issued, IssueError> {
    if !(Duration::from_secs(1)..=limits::ISSUED_TTL).contains(&order.ttl) {
        return Err(IssueError::Ttl);
    }
    if issuer.server(&order.server).is_none() {
        return Err(IssueError::UnknownServer(order.server.clone()));
    }
    let user = load::<User>(ports.store, order.user.as_str()).await?;
    if user.is_none_or(|user| user.value.disabled_at.is_some()) {
        return Err(IssueError::UnknownUser(order.user.clone()));
    }
    let (grant, batch) = script_grant(ports, order).await?;
    let new = New::mint_access(ports, &grant, grant.scopes.clone(), order.ttl)?;
    let life = order.ttl.as_secs().to_string();
    grants::record(ports, by, "token.issued", &grant, &[("ttl_seconds", &life)])
        .await
        .map_err(Trouble::from)?;
    ports.store.commit(new.insert_into(batch)).await?;
    Ok(new.into_issued(&grant))
}

/// The grant that the token belongs to: an equal live one serves again.
async fn script_grant(ports: &Ports<'_>, order: &Order) -> Result<(Grant, Batch), IssueError> {
    let client_id = match &order.client {
        Some(client) => client.clone(),
        None => ClientId::parse(SCRIPT_CLIENT).map_err(|_| IssueError::Trouble(Trouble::Busy))?,
    };
    let live = grants::live(ports.store, &order.user, &client_id, &order.server).await?;
    if let Some(known) = live.into_iter().find(|known| known.value.sign_in.method == ISSUED) {
        let batch = Batch::new().check::<Grant>(known.value.id.as_str(), known.version);
        return Ok((known.value, batch));
    }
    let grant = Grant {
        id: id::mint("grt", ports.now, ports.rng),
        user: order.user.clone(),
        client_name: client_id.to_string(),
        client_id,
        server: order.server.clone(),
        scopes: vec![SCOPE.to_owned()],
        sign_in: SignIn::new(ISSUED, ports.now),
        created_at: ports.now,
        revoked_at: None,
        revoked_why: None,
        actor: None,
        ends_at: None,
    };
    let batch = Batch::new().insert(&grant);
    Ok((grant, batch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{ResolveError, resolve};
    use crate::testing::World;
    use portunus_core::server::Actor;

    fn order() -> Order {
        Order {
            user: UserName::parse("ana").unwrap(),
            server: ServerName::parse("sales").unwrap(),
            client: None,
            ttl: Duration::from_secs(600),
        }
    }

    #[tokio::test]
    async fn an_administrator_can_issue_a_token_for_a_script() {
        let world = World::new().await;
        let issued = token(&world.ports(), &world.issuer, &order(), "admin").await.unwrap();
        assert!(issued.refresh_token.is_none());
        let resolved = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap();
        assert_eq!(resolved.caller.actor, Actor::Autonomous);
        assert_eq!(resolved.caller.client.as_str(), SCRIPT_CLIENT);
        assert_eq!(world.ledger.count("token.issued"), 1);
        // A second one belongs to the same grant, and both end with it.
        let again = token(&world.ports(), &world.issuer, &order(), "admin").await.unwrap();
        assert_eq!(again.grant, issued.grant);
        grants::revoke(&world.ports(), &issued.grant, "admin", "test").await.unwrap();
        for token in [&issued.access_token, &again.access_token] {
            let outcome = resolve(&world.store, world.now(), token.expose()).await;
            assert_eq!(outcome, Err(ResolveError::Revoked));
        }
    }

    #[tokio::test]
    async fn no_token_is_issued_for_what_does_not_exist_or_lasts_too_long() {
        let world = World::new().await;
        let mut bad = order();
        bad.ttl = limits::ISSUED_TTL + Duration::from_secs(1);
        assert_eq!(token(&world.ports(), &world.issuer, &bad, "admin").await.unwrap_err(), IssueError::Ttl);
        let mut bad = order();
        bad.user = UserName::parse("nobody").unwrap();
        let refused = token(&world.ports(), &world.issuer, &bad, "admin").await.unwrap_err();
        assert!(matches!(refused, IssueError::UnknownUser(_)));
        let mut bad = order();
        bad.server = ServerName::parse("other").unwrap();
        let refused = token(&world.ports(), &world.issuer, &bad, "admin").await.unwrap_err();
        assert!(matches!(refused, IssueError::UnknownServer(_)));
        world.ledger.set_failing(true);
        assert!(token(&world.ports(), &world.issuer, &order(), "admin").await.is_err());
    }
}
