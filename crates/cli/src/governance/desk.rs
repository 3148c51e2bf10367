//! The administrator's side of governance, over the admin socket.

use super::{Picture, proposal};
use crate::desk::{ADMIN, Answer, Refused, refused};
use crate::node::Parts;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use portunus_core::document::Review;
use portunus_core::id::{CredentialName, UserName};
use portunus_core::limits;
use portunus_core::store::{Batch, list_all};
use portunus_core::time::Timestamp;
use portunus_governance::evidence;
use portunus_governance::reach::{self, Of};
use portunus_governance::review;
use portunus_governance::visibility::{missing, visibility};
use portunus_vault::bind::{self, Binding, Step};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

type Shared = State<Arc<Parts>>;

/// The routes.
pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/identities", get(identities))
        .route("/identities/{id}", get(identity))
        .route("/credentials/{name}/bind", post(change))
        .route("/credentials/{name}/disable", post(disable))
        .route("/credentials/{name}/enable", post(enable))
        .route("/credentials/{name}/waive", post(waive))
        .route("/reviews", get(reviews).post(open_review))
        .route("/governance/report", get(report))
        .route("/governance/evidence/{format}", get(export))
        .route("/governance/reach", get(reaches))
        .route("/governance/proposal", get(proposal))
        .with_state(parts)
}

async fn picture(parts: &Parts) -> Result<Picture, Refused> {
    Picture::take(parts).await.map_err(refused)
}

async fn identities(State(parts): Shared) -> Answer {
    Ok(Json(json!({ "identities": picture(&parts).await?.identities })))
}

/// One identity: what is missing of it, what is wrong with it, what would break without it.
async fn identity(State(parts): Shared, Path(id): Path<String>) -> Answer {
    let now = parts.clock.now();
    let wanted = if id.contains(':') { id.clone() } else { format!("credential:{id}") };
    let picture = Picture::of(&parts, &wanted).await.map_err(refused)?;
    let found = picture.identities.iter().find(|identity| identity.id == wanted);
    let found = found.ok_or_else(|| {
        refused(format!("there is no identity `{wanted}`; `portunus cred list` names them"))
    })?;
    let findings: Vec<_> =
        picture.findings(&parts).into_iter().filter(|finding| finding.identity == wanted).collect();
    let Picture { documents, servers, .. } = &picture;
    let breaks = reach::breaks(found, servers, documents.grants.all(), documents.uses.all(), now);
    let uses: Vec<_> = documents.uses.all().iter().filter(|usage| usage.identity == wanted).collect();
    Ok(Json(json!({
        "identity": found,
        "missing": missing(found, now),
        "findings": findings,
        "breaks": breaks,
        "uses_by": uses,
    })))
}

async fn report(State(parts): Shared) -> Answer {
    let picture = picture(&parts).await?;
    let share = visibility(&picture.identities, picture.blind_spots(&parts), parts.clock.now());
    let mut kinds = std::collections::BTreeMap::new();
    for identity in picture.identities.iter().filter(|identity| identity.standing.is_live()) {
        *kinds.entry(identity.kind.as_str()).or_insert(0_u64) += 1;
    }
    Ok(Json(json!({
        "at": parts.clock.now().to_string(),
        "visibility": share,
        "identities": kinds,
        "findings": picture.findings(&parts),
        "emergencies": super::emergency::rows(&parts, lately(parts.clock.now())).await?,
    })))
}

/// Emergencies of the last 90 days are in a report.
fn lately(now: Timestamp) -> Timestamp {
    Timestamp::from_secs(now.as_secs().saturating_sub(90 * 86_400))
}

async fn export(State(parts): Shared, Path(format): Path<String>) -> Result<Response, Refused> {
    let picture = picture(&parts).await?;
    let (now, version) = (parts.clock.now(), env!("CARGO_PKG_VERSION"));
    let (media, text) = match format.as_str() {
        "csv" => ("text/csv; charset=utf-8", evidence::identities_csv(&picture.identities, now)),
        "findings" => ("text/csv; charset=utf-8", evidence::findings_csv(&picture.findings(&parts))),
        "ocsf" => {
            let events: Vec<_> =
                picture.identities.iter().map(|id| evidence::ocsf_identity(id, version, now)).collect();
            ("application/json", json!(events).to_string())
        }
        "cyclonedx" => {
            let bom = evidence::cyclonedx(&picture.identities, &uuid(&parts), version, now);
            ("application/json", bom.to_string())
        }
        _ => return Err(refused("the format must be csv, findings, ocsf or cyclonedx")),
    };
    Ok(([(header::CONTENT_TYPE, media)], text).into_response())
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid(parts: &Parts) -> String {
    let mut bytes = [0_u8; 16];
    parts.rng.fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    user: Option<String>,
    client: Option<String>,
    server: Option<String>,
    credential: Option<String>,
}

async fn reaches(State(parts): Shared, Query(from): Query<From>) -> Answer {
    let of = match (&from.user, &from.client, &from.server, &from.credential) {
        (Some(user), None, None, None) => Of::User(user),
        (None, Some(client), None, None) => Of::Client(client),
        (None, None, Some(server), None) => Of::Server(server),
        (None, None, None, Some(credential)) => Of::Credential(credential),
        _ => return Err(refused("say exactly one of user, client, server, credential")),
    };
    // Only its documents are looked at.
    let Picture { documents, servers, .. } = Picture::of(&parts, "credential:").await.map_err(refused)?;
    let (now, grants, uses) = (parts.clock.now(), documents.grants.all(), documents.uses.all());
    Ok(Json(json!(reach::reaches(of, documents.credentials.all(), &servers, grants, uses, now))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    days: u32,
}

async fn proposal(State(parts): Shared, Query(within): Query<Within>) -> Answer {
    let within = Duration::from_secs(u64::from(within.days) * 86_400);
    Ok(Json(proposal::propose(&parts, within).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    owner: Option<String>,
    purpose: Option<String>,
    environment: Option<String>,
    vendor: Option<String>,
    scopes: Option<Vec<String>>,
    server: Option<portunus_core::id::ServerName>,
    hosts: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
    rotation: Option<portunus_core::document::RotationPlan>,
    #[serde(default)]
    by_hand: bool,
}

async fn change(
    State(parts): Shared,
    Path(name): Path<CredentialName>,
    Json(change): Json<Change>,
) -> Answer {
    let rotation = if change.by_hand { Some(None) } else { change.rotation.map(Some) };
    let binding = Binding {
        owner: change.owner,
        purpose: change.purpose,
        environment: change.environment,
        vendor: change.vendor,
        scopes: change.scopes,
        server: change.server,
        hosts: change.hosts,
        expires_at: change.expires_at,
        rotation,
    };
    let (store, ledger, now) = (&*parts.store, &*parts.ledger, parts.clock.now());
    let changed = bind::bind(store, ledger, &parts.key, (&name, binding, ADMIN), now, &*parts.rng).await;
    Ok(Json(json!(changed.map_err(refused)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    why: String,
}

async fn disable(
    State(parts): Shared,
    Path(name): Path<CredentialName>,
    Json(Why { why }): Json<Why>,
) -> Answer {
    take(&parts, &name, Step::Disable(why)).await
}

async fn enable(State(parts): Shared, Path(name): Path<CredentialName>) -> Answer {
    take(&parts, &name, Step::Enable).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waived {
    until: Timestamp,
    why: String,
}

async fn waive(State(parts): Shared, Path(name): Path<CredentialName>, Json(waived): Json<Waived>) -> Answer {
    take(&parts, &name, Step::Waive(waived.until, waived.why)).await
}

async fn reviews(State(parts): Shared) -> Answer {
    let all = list_all::<Review>(&*parts.store, None).await.map_err(refused)?;
    let all = all.into_iter().map(|review| review.value).collect();
    Ok(Json(json!({ "reviews": review::whole(all).0 })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReview {
    campaign: String,
    reviewers: Vec<UserName>,
    seconds: u64,
}

/// Opens a campaign: recorded, then stored in batches that a store takes. Until the last of them is stored nobody sees anything
/// of it, and where one cannot be stored the others are taken out again: here, or by the next sweep.
async fn open_review(State(parts): Shared, Json(new): Json<NewReview>) -> Answer {
    let picture = picture(&parts).await?;
    for reviewer in &new.reviewers {
        let account = picture.documents.users.all().iter().find(|user| user.name == *reviewer);
        if account.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(refused(format!(
                "{reviewer} has no account that can sign in; see `portunus user list`"
            )));
        }
    }
    let store = &*parts.store;
    if !list_all::<Review>(store, Some(&new.campaign)).await.map_err(refused)?.is_empty() {
        return Err(refused(format!(
            "there is a review {} already; give this one another name",
            new.campaign
        )));
    }
    let time = (parts.clock.now(), Duration::from_secs(new.seconds));
    let opened = review::open(&new.campaign, &picture.identities, &new.reviewers, time, &*parts.rng);
    let opened = opened.map_err(refused)?;
    let count = opened.len().to_string();
    parts.note("review.opened", &new.campaign, &[("identities", &count)]).await.map_err(refused)?;
    for part in opened.chunks(limits::BATCH_STEPS) {
        if let Err(error) = store.commit(part.iter().fold(Batch::new(), Batch::insert)).await {
            // One that fails here too is found by the sweep.
            let _ = super::sweep::forget(&parts.ports(), &new.campaign, &opened).await;
            return Err(refused(error));
        }
    }
    Ok(Json(json!({ "campaign": new.campaign, "reviews": opened })))
}

async fn take(parts: &Parts, name: &CredentialName, step: Step) -> Answer {
    let taken = bind::step(&*parts.store, &*parts.ledger, (name, step, ADMIN), parts.clock.now()).await;
    Ok(Json(json!(taken.map_err(refused)?)))
}
