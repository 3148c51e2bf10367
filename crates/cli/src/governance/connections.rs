//! Connections to upstream servers as identities.

use portunus_connections::inventory::{Listed, list};
use portunus_core::document::{RotationPlan, VersionState};
use portunus_core::store::{Store, StoreError};
use portunus_governance::identity::{Identity, IdentityKind, Standing, Version};
use url::Url;

/// Every connection that is not over.
pub(crate) async fn identities(store: &dyn Store) -> Result<Vec<Identity>, StoreError> {
    Ok(list(store).await?.into_iter().map(identity).collect())
}

fn identity(listed: Listed) -> Identity {
    let host = Url::parse(&listed.resource).ok().and_then(|url| Some(url.host_str()?.to_owned()));
    let usable = matches!(listed.state.as_str(), "connected" | "refreshing");
    let number = u32::try_from(listed.generation).unwrap_or(u32::MAX);
    let version = Version {
        number,
        state: if usable { VersionState::Active } else { VersionState::Retired },
        fingerprint: String::new(),
        created_at: listed.refreshed_at,
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
        tested: None,
        last_used: None,
        uses: 0,
        standing: if usable { Standing::Active } else { Standing::Proposed },
        waived_until: None,
        exposed_at: None,
    }
}
