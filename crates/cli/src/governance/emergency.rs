//! Emergencies, wired: what ends by itself is ended, and what follows from an end is done: grants revoked, which cuts what still runs,
//! and the credential marked, which has it rotated. And the administrator's routes.

use crate::desk::{ADMIN, Answer, Refused, refused};
use crate::node::Parts;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use portunus_core::document::{Emergency, Grant};
use portunus_core::id::Id;
use portunus_core::limits::EMERGENCY_SWEEP;
use portunus_core::store::{Batch, StoreError, Versioned, list_all};
use portunus_core::time::Timestamp;
use portunus_governance::emergency::{Due, due};
use portunus_oauth::grants;
use portunus_oauth::ports::{Ports, Trouble};
use portunus_vault::CredentialError;
use portunus_vault::bind::{self, Step};
use portunus_web::emergencies::{self, StepError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// Who ends what nobody ended by hand.
const BY_ITSELF: &str = "portunus";

/// Sweeps until stopped.
pub(crate) async fn run(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    loop {
        let Parts { store, ledger, rng, clock, .. } = &*parts;
        let ports = Ports { store: &**store, ledger: &**ledger, rng: &**rng, now: clock.now() };
        if let Err(error) = sweep(&ports).await {
            tracing::warn!(%error, "what follows from emergencies could not be done; it is tried again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EMERGENCY_SWEEP) => {}
        }
    }
}

/// Ends what is over, and closes what ended. Whatever does not succeed is tried again by the next sweep.
pub(crate) async fn sweep(ports: &Ports<'_>) -> Result<(), Trouble> {
    for Versioned { value: emergency, .. } in list_all::<Emergency>(ports.store, None).await? {
        if let Due::End(why) = due(&emergency, ports.now) {
            match emergencies::end(ports, &emergency.id, BY_ITSELF, why).await {
                // Somebody else was quicker.
                Ok(_) | Err(StepError::Gone | StepError::Refused(_)) => {}
                Err(StepError::Trouble(trouble)) => return Err(trouble),
            }
        }
    }
    for Versioned { value: emergency, version } in list_all::<Emergency>(ports.store, None).await? {
        if due(&emergency, ports.now) == Due::Close {
            close(ports, emergency, version).await?;
        }
    }
    Ok(())
}

async fn close(ports: &Ports<'_>, emergency: Emergency, version: u64) -> Result<(), Trouble> {
    if emergency.allowed_at.is_some() {
        revoke_grants(ports, &emergency).await?;
        expose(ports, &emergency).await?;
    }
    let closed = Emergency { closed_at: Some(ports.now), ..emergency };
    match ports.store.commit(Batch::new().update(&closed, version)).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the person may still have open at that server is cut with their grants for it; they can agree anew.
async fn revoke_grants(ports: &Ports<'_>, emergency: &Emergency) -> Result<(), Trouble> {
    for grant in list_all::<Grant>(ports.store, Some(emergency.user.as_str())).await? {
        let grant = grant.value;
        if grant.server == emergency.server && grant.revoked_at.is_none() {
            grants::revoke(ports, &grant.id, BY_ITSELF, "an emergency at this server ended").await?;
        }
    }
    Ok(())
}

/// The credential's secret is due for rotation from now on; without a rotator it is a finding until it is replaced.
async fn expose(ports: &Ports<'_>, emergency: &Emergency) -> Result<(), Trouble> {
    let (Some(name), Some(end)) = (&emergency.credential, &emergency.ended) else { return Ok(()) };
    let why = format!("{} had access in the emergency {}", emergency.user, emergency.id);
    let step = Step::Expose(end.at, why);
    match bind::step(ports.store, ports.ledger, (name, step, BY_ITSELF), ports.now).await {
        Ok(_) | Err(CredentialError::Revoked(_) | CredentialError::Unknown(_)) => Ok(()),
        Err(CredentialError::Store(StoreError::Conflict { .. })) => Err(Trouble::Busy),
        Err(CredentialError::Store(error)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, credential = %name, "it could not be marked for rotation");
            Err(Trouble::Busy)
        }
    }
}

pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new().route("/emergencies", get(list)).route("/emergencies/{id}/end", post(end)).with_state(parts)
}

async fn list(State(parts): State<Arc<Parts>>) -> Answer {
    Ok(Json(json!({ "emergencies": rows(&parts, Timestamp::default()).await? })))
}

/// Emergencies asked for since then, the newest first.
pub(super) async fn rows(parts: &Parts, since: Timestamp) -> Result<Vec<Value>, Refused> {
    let all = list_all::<Emergency>(&*parts.store, None).await.map_err(refused)?;
    let now = parts.clock.now();
    let row = |one: &Emergency| {
        let mut row = json!(one);
        if let Some(members) = row.as_object_mut() {
            members.insert("standing".to_owned(), one.standing(now).into());
        }
        row
    };
    Ok(all.iter().rev().map(|one| &one.value).filter(|one| one.asked_at >= since).map(row).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    why: String,
}

async fn end(State(parts): State<Arc<Parts>>, Path(id): Path<Id>, Json(Why { why }): Json<Why>) -> Answer {
    let Parts { store, ledger, rng, clock, .. } = &*parts;
    let ports = Ports { store: &**store, ledger: &**ledger, rng: &**rng, now: clock.now() };
    let ended = emergencies::end(&ports, &id, ADMIN, &why).await.map_err(refused)?;
    Ok(Json(json!(ended)))
}

#[cfg(test)]
mod hour;
