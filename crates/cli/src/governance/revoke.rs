//! Secrets that are over by somebody's hand, and the proof that they are dead. Revoking a credential: first nothing here takes it
//! any more, then its secrets are ended at the upstream where there is a way, then each is tried. Replacing one: the old secret is
//! tried. What is not proven dead is tried again and again.

use crate::node::Parts;
use portunus_core::document::{Credential, TestOutcome, Tested};
use portunus_core::id::CredentialName;
use portunus_core::limits::{GOVERNANCE_SWEEP, REVOCATION_PROOF, UNDEAD_TRIED};
use portunus_core::server::Upstream;
use portunus_core::store::{StoreError, list_all, load};
use portunus_core::time::Timestamp;
use portunus_rotate::http::Http;
use portunus_rotate::probe::{self, Probe};
use portunus_vault::CredentialError;
use portunus_vault::credential::{self, Summary};
use portunus_vault::rotation::{ENDED, RotationError, Trial};
use serde_json::Map;
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

/// Revokes it. When the proof cannot be had, the revocation stands all the same.
pub(crate) async fn revoke(
    parts: &Parts,
    name: &CredentialName,
    by: &str,
) -> Result<Summary, CredentialError> {
    let now = parts.clock.now();
    let revoked = credential::revoke(&*parts.store, &*parts.ledger, name, by, now).await?;
    let tested = tested(parts, &revoked, by).await;
    Ok(Summary { tested: Some(tested), ..revoked })
}

/// What was seen of a revoked credential's secrets; noted in any case.
pub(crate) async fn tested(parts: &Parts, revoked: &Summary, by: &str) -> Tested {
    let proven = async {
        let probe = Probe::new(Http::new(&parts.upstream_tls));
        let trial = trial(&probe, url(parts, &revoked.name).await?);
        parts.rotations.end(&revoked.name, trial, by, parts.clock.now()).await
    };
    let why = match tokio::time::timeout(REVOCATION_PROOF, proven).await {
        Ok(Ok(tested)) => return tested,
        Ok(Err(error)) => error.to_string(),
        Err(_) => String::from("its upstream did not answer in time"),
    };
    let (at, version) = (parts.clock.now(), revoked.version);
    let seen = Tested { at, version, outcome: TestOutcome::Unverifiable, detail: why };
    if let Err(error) = parts.rotations.note(&revoked.name, &seen, &[], (ENDED, by)).await {
        tracing::warn!(%error, credential = %revoked.name, "what was seen of its secret could not be noted");
    }
    seen
}

/// What is seen of the secrets of a credential that were replaced by hand and may live on; `None`: there are none, or it could
/// not be found out, and is tried again.
pub(crate) async fn replaced(parts: &Parts, name: &CredentialName, by: &str) -> Option<Tested> {
    let tried = async {
        let probe = Probe::new(Http::new(&parts.upstream_tls));
        let trial = trial(&probe, url(parts, name).await?);
        parts.rotations.try_replaced(name, trial, by, parts.clock.now()).await
    };
    let why = match tokio::time::timeout(REVOCATION_PROOF, tried).await {
        Ok(Ok(seen)) => return seen,
        Ok(Err(error)) => error.to_string(),
        Err(_) => String::from("its upstream did not answer in time"),
    };
    tracing::warn!(credential = %name, why, "a secret that was replaced could not be tried");
    None
}

/// Tries until stopped what was not seen dead, beginning at once: a proof that the edge's end cut off is had then.
pub(crate) async fn run(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = sweep(&parts).await {
            tracing::warn!(%error, "secrets that are not proven dead could not be looked for");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(GOVERNANCE_SWEEP) => {}
        }
    }
}

async fn sweep(parts: &Parts) -> Result<(), StoreError> {
    for found in list_all::<Credential>(&*parts.store, None).await? {
        let (credential, now) = (found.value, parts.clock.now());
        if !is_due(&credential, now) {
            continue;
        }
        if credential.revoked_at.is_none() {
            let _ = replaced(parts, &credential.name, "portunus").await;
        } else if let Ok(summary) = credential::show(&*parts.store, &credential.name, now).await {
            let _ = tested(parts, &summary, "portunus").await;
        }
    }
    Ok(())
}

/// Whether a secret of the credential is to be tried now: one that is over and was not seen dead. Hourly at first, then ever more
/// seldom: what lives on for a year is not asked about, and recorded, thousands of times.
fn is_due(credential: &Credential, now: Timestamp) -> bool {
    let over = credential.revoked_at.or(credential.in_use().map(|version| version.created_at));
    let pause = over.map_or(UNDEAD_TRIED, |over| UNDEAD_TRIED.max(now.since(over) / 10));
    let long_ago = |at: Timestamp| now.since(at) >= pause;
    match credential.revoked_at {
        Some(at) => match &credential.tested {
            Some(tested) => tested.outcome != TestOutcome::Dead && long_ago(tested.at),
            // Whoever revoked it may be at it right now.
            None => now.since(at) >= REVOCATION_PROOF,
        },
        None => {
            let mut owed = credential.owed().filter(|version| !version.sealed.is_empty());
            owed.any(|version| version.seen.as_ref().is_none_or(|seen| long_ago(seen.at)))
        }
    }
}

/// Where the credential's server is, if it can be tried there.
async fn url(parts: &Parts, name: &CredentialName) -> Result<Option<Url>, RotationError> {
    let found = load::<Credential>(&*parts.store, name.as_str()).await?;
    let server = found.map(|found| found.value.server);
    let snapshot = parts.edge.snapshot.load_full();
    let published = server.and_then(|server| snapshot.servers.get(&server).cloned());
    Ok(published.and_then(|published| match &published.server.upstream {
        Upstream::Http(url) => Some(url.clone()),
        Upstream::Tunnel | Upstream::Program(_) => None,
    }))
}

fn trial(probe: &Probe, url: Option<Url>) -> Option<Trial<'_>> {
    let settings = Map::from_iter([(probe::URL.to_owned(), url?.as_str().into())]);
    Some(Trial { rotator: probe, settings })
}
