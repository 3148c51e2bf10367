//! What governance does by itself, again and again: credentials of those who left are disabled when their time is over, and so
//! is what a reviewer ended or said nothing about.

use crate::node::Parts;
use portunus_core::document::{Credential, Review, Standing, Usage, User};
use portunus_core::id::{ClientId, CredentialName, Id};
use portunus_core::limits::{BATCH_STEPS, GOVERNANCE_SWEEP, USES_STORED};
use portunus_core::store::{Batch, Document, Expect, Kind, Store, StoreError, list_all};
use portunus_governance::leavers::orphans;
use portunus_governance::review::{self, Due, due};
use portunus_oauth::client_admin::{self, ClientError};
use portunus_oauth::ports::Ports;
use portunus_tunnel::enrol::{self, EnrolError};
use portunus_vault::CredentialError;
use portunus_vault::bind::{self, Step};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// Sweeps until stopped.
pub(crate) async fn run(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    loop {
        match sweep(&parts.ports()).await {
            Ok(0) => {}
            Ok(disabled) => tracing::warn!(disabled, "credentials were disabled: see `portunus cred report`"),
            Err(error) => tracing::warn!(%error, "governance could not look at credentials"),
        }
        parts.mirror.rest().await;
        if let Err(error) = bound_uses(&*parts.store, USES_STORED).await {
            tracing::warn!(%error, "counters of uses could not be bounded");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(GOVERNANCE_SWEEP) => {}
        }
    }
}

/// One sweep; how many identities it ended.
pub(crate) async fn sweep(ports: &Ports<'_>) -> Result<usize, StoreError> {
    let Ports { store, ledger, now, .. } = *ports;
    let credentials: Vec<_> =
        list_all::<Credential>(store, None).await?.into_iter().map(|c| c.value).collect();
    let users: Vec<_> = list_all::<User>(store, None).await?.into_iter().map(|user| user.value).collect();
    let mut disabled = 0;
    for orphan in orphans(&credentials, &users, now) {
        let step = Step::Disable(orphan.why);
        match bind::step(store, ledger, (&orphan.credential, step, "portunus"), now).await {
            Ok(_) => disabled += 1,
            // Somebody changed it in this moment: the next sweep looks again.
            Err(CredentialError::Store(StoreError::Conflict { .. }) | CredentialError::Revoked(_)) => {}
            Err(CredentialError::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, credential = %orphan.credential, "it could not be disabled"),
        }
    }
    disabled += close_reviews(ports).await?;
    Ok(disabled)
}

/// What follows from reviews; how many identities ended.
async fn close_reviews(ports: &Ports<'_>) -> Result<usize, StoreError> {
    let Ports { store, now, .. } = *ports;
    let mut ended = 0;
    let all = list_all::<Review>(store, None).await?;
    let versions: HashMap<Id, u64> =
        all.iter().map(|found| (found.value.id.clone(), found.version)).collect();
    let (whole, cut_off) = review::whole(all.into_iter().map(|found| found.value).collect());
    forget_cut_off(ports, cut_off).await?;
    for review in whole {
        let version = versions.get(&review.id).copied().unwrap_or_default();
        match due(&review, now) {
            Due::Nothing => continue,
            Due::Close => {}
            Due::Disable(why) => {
                if !end(ports, &review.identity, why).await {
                    // It is tried again: nothing is closed that was not done.
                    continue;
                }
                ended += 1;
            }
        }
        let closed = Review { closed_at: Some(now), ..review };
        match store.commit(Batch::new().update(&closed, version)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// Campaigns whose opening was cut off, by a crash or a store that failed.
async fn forget_cut_off(ports: &Ports<'_>, reviews: Vec<Review>) -> Result<(), StoreError> {
    let mut campaigns: BTreeMap<String, Vec<Review>> = BTreeMap::new();
    for review in reviews.into_iter().filter(|review| ports.now.since(review.opened_at) >= GOVERNANCE_SWEEP) {
        campaigns.entry(review.campaign.clone()).or_default().push(review);
    }
    for (campaign, reviews) in campaigns {
        forget(ports, &campaign, &reviews).await?;
    }
    Ok(())
}

/// Takes out again what is stored of a campaign that was not opened to its end.
pub(crate) async fn forget(ports: &Ports<'_>, campaign: &str, reviews: &[Review]) -> Result<(), StoreError> {
    tracing::warn!(campaign, "a review could not be opened to its end; nothing of it stays");
    if let Err(error) = ports.record("portunus", "review.not_opened", campaign, &[]).await {
        tracing::warn!(%error, "that a review was not opened could not be recorded");
    }
    for part in reviews.chunks(BATCH_STEPS) {
        let gone = part
            .iter()
            .fold(Batch::new(), |batch, review| batch.delete::<Review>(review.id.as_str(), Expect::Any));
        ports.store.commit(gone).await?;
    }
    Ok(())
}

/// Ends an identity, however that is done for its kind; whether it is over now. One that is gone is over, which is recorded.
async fn end(ports: &Ports<'_>, identity: &str, why: String) -> bool {
    let (Ports { store, ledger, now, .. }, by) = (*ports, "portunus");
    let ended = match identity.split_once(':') {
        Some(("credential", name)) => {
            let Ok(name) = CredentialName::parse(name) else { return gone(ports, identity).await };
            match bind::step(store, ledger, (&name, Step::Disable(why), by), now).await {
                Ok(_) | Err(CredentialError::Revoked(_)) => Ok(()),
                Err(CredentialError::Unknown(_)) => return gone(ports, identity).await,
                Err(error) => Err(error.to_string()),
            }
        }
        Some(("connector", id)) => {
            let Ok(id) = Id::parse(id) else { return gone(ports, identity).await };
            match enrol::revoke(store, ledger, &id, by, now).await {
                Err(EnrolError::Unknown) => return gone(ports, identity).await,
                other => other.map_err(|error| error.to_string()),
            }
        }
        Some(("client", id)) => {
            let Ok(id) = ClientId::parse(id) else { return gone(ports, identity).await };
            match client_admin::decide(ports, &id, Standing::Blocked, by).await {
                Err(ClientError::Unknown(_)) => return gone(ports, identity).await,
                other => other.map(drop).map_err(|error| error.to_string()),
            }
        }
        _ => return gone(ports, identity).await,
    };
    if let Err(error) = &ended {
        tracing::warn!(%error, identity, "it could not be ended");
    }
    ended.is_ok()
}

/// Removes the counters of uses that were used longest ago when there are too many; the ledger has what they counted.
pub(crate) async fn bound_uses(store: &dyn Store, (most, left): (usize, usize)) -> Result<(), StoreError> {
    if store.count(Kind::Usage).await? <= most as u64 {
        return Ok(());
    }
    let mut all: Vec<_> =
        list_all::<Usage>(store, None).await?.into_iter().map(|usage| usage.value).collect();
    all.sort_by_key(|usage| usage.last_at);
    let surplus = all.len().saturating_sub(left);
    let gone: Vec<String> = all.into_iter().take(surplus).map(|usage| usage.id()).collect();
    for part in gone.chunks(BATCH_STEPS) {
        let batch = part.iter().fold(Batch::new(), |batch, id| batch.delete::<Usage>(id, Expect::Any));
        store.commit(batch).await?;
    }
    tracing::warn!(
        counters = surplus,
        "counters of uses that were used longest ago are gone; the ledger has the calls"
    );
    Ok(())
}

#[cfg(test)]
mod uses;
/// There is nothing to end any more: that is recorded, and the review is closed.
async fn gone(ports: &Ports<'_>, identity: &str) -> bool {
    let recorded = ports.record("portunus", "review.identity_gone", identity, &[]).await;
    if let Err(error) = &recorded {
        tracing::warn!(%error, identity, "that an identity is gone could not be recorded");
    }
    recorded.is_ok()
}

#[cfg(test)]
mod year;
