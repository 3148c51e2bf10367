//! The sealing key at the administrator's socket.

use super::{State, finish};
use crate::desk::{ADMIN, Answer, refused};
use crate::node::Parts;
use axum::extract::State as Given;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;

/// Its routes.
pub(crate) fn router(parts: Arc<Parts>, stopped: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/sealing-key", get(status))
        .route("/sealing-key/progress", get(progress))
        .route("/sealing-key/rewrap", post(rewrap))
        .with_state((parts, stopped))
}

type Shared = (Arc<Parts>, watch::Receiver<bool>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rewrap {
    /// On the edge's machine; made when it is not there.
    new_key_file: Option<PathBuf>,
}

/// Begins a change of the sealing key, or goes on with the last.
async fn rewrap(Given((parts, stopped)): Given<Shared>, Json(asked): Json<Rewrap>) -> Answer {
    let sealing = &parts.sealing;
    let goes_on = asked.new_key_file.is_none() && sealing.take_up();
    let epoch = if goes_on {
        None
    } else {
        if sealing.state() == State::Running {
            return Err(refused(
                "the sealing key is being changed already; `portunus cred rewrap --status` shows how far it is",
            ));
        }
        let file = asked.new_key_file.as_deref();
        let begun = sealing.desk(&parts).begin(&parts.key, file, ADMIN).await;
        let epoch = begun.map_err(refused)?;
        sealing.set(State::Running);
        *sealing.current.lock().unwrap_or_else(PoisonError::into_inner) = epoch.clone();
        Some(json!({ "number": epoch.number, "key_id": epoch.key_id, "source": epoch.source.words() }))
    };
    tokio::spawn(finish(parts.clone(), stopped));
    Ok(Json(json!({ "epoch": epoch, "resumed": goes_on })))
}

/// How far it is, as far as this process knows.
async fn progress(Given((parts, _)): Given<Shared>) -> Answer {
    Ok(Json(shown(&parts)))
}

fn shown(parts: &Parts) -> Value {
    let (progress, state) = (&parts.sealing.progress, parts.sealing.state());
    let error = match &state {
        State::Failed(why) => Some(why.as_str()),
        _ => None,
    };
    json!({
        "running": state == State::Running,
        "unfinished": state != State::Idle,
        "error": error,
        "documents": progress.documents.load(Ordering::Relaxed),
        "seen": progress.seen.load(Ordering::Relaxed),
        "rewrapped": progress.rewrapped.load(Ordering::Relaxed),
    })
}

/// What is sealed with which key, counted now.
async fn status(Given((parts, _)): Given<Shared>) -> Answer {
    let status = parts.sealing.desk(&parts).status(&parts.key).await;
    let (epochs, census) = status.map_err(refused)?;
    let mut counts: BTreeMap<String, u64> =
        census.sealed.iter().map(|(id, count)| (id.to_string(), *count)).collect();
    let mut rows = Vec::new();
    let last = epochs.len().saturating_sub(1);
    for (place, epoch) in epochs.iter().enumerate() {
        rows.push(json!({
            "number": epoch.number,
            "key_id": epoch.key_id,
            "source": epoch.source.words(),
            "created_at": epoch.created_at,
            "retired_at": epoch.retired_at,
            "current": place == last,
            "values": counts.remove(&epoch.key_id).unwrap_or_default(),
        }));
    }
    Ok(Json(json!({
        "epochs": rows,
        "documents": census.documents,
        "unknown": counts.values().sum::<u64>(),
        "damaged": census.damaged,
        "damaged_at": census.damaged_at,
        "progress": shown(&parts),
    })))
}
