//! Revoking a credential, and the proof that it worked: first nothing here takes it any more, then its secrets are ended at the
//! upstream where there is a way, then each is tried.

use crate::node::Parts;
use portunus_core::document::{Credential, TestOutcome, Tested};
use portunus_core::id::CredentialName;
use portunus_core::limits::REVOCATION_PROOF;
use portunus_core::server::Upstream;
use portunus_core::store::load;
use portunus_rotate::http::Http;
use portunus_rotate::probe::{self, Probe};
use portunus_vault::CredentialError;
use portunus_vault::credential::{self, Summary};
use portunus_vault::rotation::{RotationError, Trial};
use serde_json::Map;

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
    let why = match tokio::time::timeout(REVOCATION_PROOF, prove(parts, &revoked.name, by)).await {
        Ok(Ok(tested)) => return tested,
        Ok(Err(error)) => error.to_string(),
        Err(_) => String::from("its upstream did not answer in time"),
    };
    let seen = unverifiable(revoked, parts.clock.now(), &why);
    if let Err(error) = parts.rotations.note(&revoked.name, &seen, by).await {
        tracing::warn!(%error, credential = %revoked.name, "what was seen of its secret could not be noted");
    }
    seen
}

async fn prove(parts: &Parts, name: &CredentialName, by: &str) -> Result<Tested, RotationError> {
    let found = load::<Credential>(&*parts.store, name.as_str()).await?;
    let server = found.map(|found| found.value.server);
    let snapshot = parts.edge.snapshot.load_full();
    let published = server.and_then(|server| snapshot.servers.get(&server).cloned());
    let url = published.and_then(|published| match &published.server.upstream {
        Upstream::Http(url) => Some(url.clone()),
        Upstream::Tunnel | Upstream::Program(_) => None,
    });
    let probe = Probe::new(Http::new(&parts.upstream_tls));
    let trial = url.map(|url| Trial {
        rotator: &probe,
        settings: Map::from_iter([(probe::URL.to_owned(), url.as_str().into())]),
    });
    parts.rotations.end(name, trial, by, parts.clock.now()).await
}

fn unverifiable(revoked: &Summary, at: portunus_core::time::Timestamp, why: &str) -> Tested {
    Tested { at, version: revoked.version, outcome: TestOutcome::Unverifiable, detail: why.to_owned() }
}
