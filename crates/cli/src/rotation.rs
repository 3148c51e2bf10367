//! Rotations on this edge: the engine with its drivers, the task that takes them forward, and what the administrator's socket
//! says about them.

pub(crate) mod authorities;

use crate::config::Config;
use crate::config::rotators::{Plugin, Way};
use crate::desk::{ADMIN, Answer, refused};
use crate::node::{Parts, StartError};
use crate::upstreams::GUARD;
use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use portunus_core::document::{Credential, Rotation, RotationStep};
use portunus_core::id::{CredentialName, mint};
use portunus_core::record::Ledger;
use portunus_core::store::{Store, list_all, load};
use portunus_core::time::{Clock, Rng};
use portunus_rotate::aws::Aws;
use portunus_rotate::exec::Exec;
use portunus_rotate::http::Http;
use portunus_rotate::openbao::{Kv, Leases};
use portunus_rotate::plugin::{self, Plugins};
use portunus_rotate::postgres::Postgres;
use portunus_rotate::schedule::{Scheduler, Watcher};
use portunus_rotate::webhook::Webhook;
use portunus_stdio::Guard;
use portunus_vault::SealingKey;
use portunus_vault::rotation::engine;
use portunus_vault::rotation::{Calls, Engine, Rotator, due};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What an engine shares with the rest of the edge.
pub(crate) struct Shared<'a> {
    pub store: &'a Arc<dyn Store>,
    pub ledger: &'a Arc<dyn Ledger>,
    pub clock: &'a Arc<dyn Clock>,
    pub rng: &'a Arc<dyn Rng>,
    pub key: &'a SealingKey,
    pub calls: Arc<dyn Calls>,
    pub tls: &'a Arc<ClientConfig>,
    pub authorities: authorities::Authorities,
}

/// The engine with every driver there is.
pub(crate) async fn engine(config: &Config, shared: Shared<'_>) -> Result<Engine, StartError> {
    let http = Http::new(shared.tls);
    let (execs, webhooks) = plugins(&config.rotators, &http)?;
    let (x509, ssh) = authorities::rotators(config, &shared).await?;
    let rotators: [(&str, Arc<dyn Rotator>); 8] = [
        ("x509", Arc::new(x509)),
        ("ssh", Arc::new(ssh)),
        ("aws-access-key", Arc::new(Aws::new(http.clone()))),
        ("postgres", Arc::new(Postgres::new(shared.tls.clone()))),
        ("exec", Arc::new(execs)),
        ("webhook", Arc::new(webhooks)),
        ("openbao-kv", Arc::new(Kv::new(http.clone()))),
        ("openbao-lease", Arc::new(Leases::new(http))),
    ];
    let engine = Engine::new(engine::Parts {
        store: shared.store.clone(),
        ledger: shared.ledger.clone(),
        key: shared.key.clone(),
        rng: shared.rng.clone(),
        calls: shared.calls,
        rotators: rotators.into_iter().map(|(name, rotator)| (name.to_owned(), rotator)).collect(),
        holder: mint("prc", shared.clock.now(), &**shared.rng).to_string(),
        // Nobody else has this store open, and its observers have told the vault before a switch is known to have happened.
        settle: Duration::ZERO,
    });
    // For the same reason whoever held a lease is dead.
    engine.take_over().await.map_err(|error| StartError(error.to_string()))?;
    Ok(engine)
}

fn plugins(configured: &[Plugin], http: &Http) -> Result<(Plugins<Exec>, Plugins<Webhook>), StartError> {
    let (mut execs, mut webhooks) = (HashMap::new(), HashMap::new());
    let guard = Guard::of_this_program(GUARD).map_err(|error| StartError(error.to_string()))?;
    let process = OsString::from(std::process::id().to_string());
    let guard = vec![guard.program.into_os_string(), guard.argument, process, OsString::from("--")];
    for one in configured.iter().cloned() {
        let Plugin { name, way, origin, timeout } = one;
        match way {
            Way::Exec { program, arguments } => {
                let guard = Some(guard.clone());
                let carrier = Exec { name: name.clone(), program, arguments, guard, timeout };
                execs.insert(name, plugin::Plugin { carrier, origin });
            }
            Way::Webhook { url, host } => {
                let carrier = Webhook { url, host, http: http.clone(), timeout };
                webhooks.insert(name, plugin::Plugin { carrier, origin });
            }
        }
    }
    Ok((Plugins(execs), Plugins(webhooks)))
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    result: Word,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum Word {
    Done,
    Failed,
}

/// Counts what becomes of rotations.
#[derive(Default)]
struct Counters {
    ended: Family<Labels, Counter>,
    failed_attempts: Counter,
}

impl Watcher for Counters {
    fn ended(&self, rotation: &Rotation) {
        let result = if rotation.step == RotationStep::Done { Word::Done } else { Word::Failed };
        self.ended.get_or_create(&Labels { result }).inc();
    }
    fn stumbled(&self, _name: &CredentialName, _why: &str) {
        self.failed_attempts.inc();
    }
}

/// Takes rotations forward until stopped.
pub(crate) async fn run(parts: Arc<Parts>, stopped: watch::Receiver<bool>) {
    let counters = Arc::new(Counters::default());
    parts.edge.metrics.register(|registry| {
        registry.register("rotations", "Rotations that ended, by how", counters.ended.clone());
        let attempts = counters.failed_attempts.clone();
        registry.register(
            "rotation_failed_attempts",
            "Attempts at a step of a rotation that failed",
            attempts,
        );
    });
    let clock = parts.clock.clone();
    let scheduler = Scheduler::new(parts.rotations.clone(), &*parts.store, clock, counters);
    scheduler.run(stopped).await;
}

/// What the administrator may ask and say.
pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/credentials/{name}/rotate", post(rotate))
        .route("/credentials/{name}/rotation", get(show))
        .route("/rotations", get(list))
        .route("/rotations/pause", post(pause))
        .route("/rotations/resume", post(resume))
        .with_state(parts)
}

async fn rotate(State(parts): State<Arc<Parts>>, UrlPath(name): UrlPath<CredentialName>) -> Answer {
    let begun = parts.rotations.begin(&name, ADMIN, parts.clock.now()).await;
    Ok(Json(json!(begun.map_err(refused)?)))
}

async fn show(State(parts): State<Arc<Parts>>, UrlPath(name): UrlPath<CredentialName>) -> Answer {
    let (store, now) = (&*parts.store, parts.clock.now());
    let found = load::<Credential>(store, name.as_str()).await;
    let found = found.map_err(refused)?;
    let unknown = || refused(format!("there is no credential `{name}`; `portunus cred list` names them"));
    let credential = found.ok_or_else(unknown)?.value;
    let latest = parts.rotations.latest(&name).await.map_err(refused)?;
    let problem = match &credential.rotation {
        Some(_) => parts.rotations.check(&credential, now).await.err().map(|error| error.to_string()),
        None => None,
    };
    let due = due::due(&credential, latest.as_ref());
    Ok(Json(json!({
        "credential": name, "plan": credential.rotation, "problem": problem, "rotation": latest, "due_at": due, "now": now,
        "version": credential.in_use().map(|version| version.number), "tested": credential.tested,
    })))
}

async fn list(State(parts): State<Arc<Parts>>) -> Answer {
    let all = list_all::<Rotation>(&*parts.store, None).await.map_err(refused)?;
    let all: Vec<Value> = all.into_iter().map(|one| json!(one.value)).collect();
    let paused = parts.rotations.paused().await.map_err(refused)?;
    Ok(Json(json!({ "rotations": all, "paused": paused, "methods": parts.rotations.methods() })))
}

async fn pause(State(parts): State<Arc<Parts>>) -> Answer {
    parts.rotations.pause(ADMIN, parts.clock.now()).await.map_err(refused)?;
    Ok(Json(json!({ "paused": true })))
}

async fn resume(State(parts): State<Arc<Parts>>) -> Answer {
    parts.rotations.resume(ADMIN, parts.clock.now()).await.map_err(refused)?;
    Ok(Json(json!({ "paused": false })))
}
