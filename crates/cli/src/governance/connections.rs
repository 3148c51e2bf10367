//! Connections to upstream servers as identities, and what becomes of those that nobody may have any more.

use crate::node::Parts;
use portunus_connections::Whose;
use portunus_connections::inventory::{Listed, list};
use portunus_core::document::{Connection, RotationPlan, User, VersionState};
use portunus_core::limits::GOVERNANCE_SWEEP;
use portunus_core::store::{Store, StoreError, list_all};
use portunus_governance::identity::{Identity, IdentityKind, Standing, Version};
use portunus_governance::leavers::must_end;
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

/// Looks after connections until stopped, beginning at once: what was half done when the edge ended is taken up.
pub(crate) async fn run(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    loop {
        match sweep(&parts).await {
            Ok(0) => {}
            Ok(ended) => tracing::warn!(ended, "connections were ended: see `portunus cred list`"),
            Err(error) => tracing::warn!(%error, "connections could not be looked after"),
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(GOVERNANCE_SWEEP) => {}
        }
    }
}

async fn sweep(parts: &Parts) -> Result<usize, StoreError> {
    let users: Vec<_> =
        list_all::<User>(&*parts.store, None).await?.into_iter().map(|user| user.value).collect();
    let (connections, now) = (&parts.edge.connections, parts.clock.now());
    let configured = |connection: &Connection| {
        let settings = connections.of(&connection.server);
        settings.is_some_and(|settings| (settings.whose == Whose::User) == connection.user.is_some())
    };
    connections.sweep(|one| must_end(one, configured(one), &users, now)).await
}

/// Every connection, over or not.
pub(crate) async fn identities(store: &dyn Store) -> Result<Vec<Identity>, StoreError> {
    Ok(list(store).await?.into_iter().map(identity).collect())
}

fn identity(listed: Listed) -> Identity {
    let host = Url::parse(&listed.resource).ok().and_then(|url| Some(url.host_str()?.to_owned()));
    let standing = match listed.state.as_str() {
        "connected" | "refreshing" => Standing::Active,
        "needs consent" => Standing::Proposed,
        _ => Standing::Revoked,
    };
    let number = u32::try_from(listed.generation).unwrap_or(u32::MAX);
    let version = Version {
        number,
        state: if standing == Standing::Active { VersionState::Active } else { VersionState::Retired },
        fingerprint: String::new(),
        created_at: listed.refreshed_at,
        owed: None,
    };
    Identity {
        id: listed.identity,
        kind: IdentityKind::Connection,
        form: String::from("oauth"),
        owner: Some(listed.owner.to_string()),
        purpose: format!(
            "calls of {}",
            listed.user.map_or_else(|| "everybody".to_owned(), |u| u.to_string())
        ),
        environment: None,
        vendor: Some(listed.issuer),
        upstreams: host.into_iter().collect(),
        servers: vec![listed.server],
        scopes: listed.scopes,
        versions: vec![version],
        created_at: listed.connected_at,
        expires_at: listed.access_expires_at,
        rotation: Some(RotationPlan {
            method: String::from("oauth"),
            every_seconds: None,
            settings: serde_json::Map::new(),
        }),
        changed_at: listed.refreshed_at,
        tested: listed.tested,
        last_used: None,
        uses: 0,
        standing,
        waived_until: None,
        exposed_at: None,
    }
}
