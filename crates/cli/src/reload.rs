//! Hot reload of configuration and policies, and the purge of what has expired.

use crate::config::{self, Config};
use crate::node::{self, Parts};
use crate::{connections, login};
use notify::{RecursiveMode, Watcher};
use portunus_edge::Snapshot;
use portunus_pins::Lock;
use portunus_policy::shadow::Shadow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long files must be quiet before they are read, so that a save in two steps is read once.
const QUIET: Duration = Duration::from_millis(30);
/// Interval of a look at the files even when nothing was reported, for file systems that report nothing.
const LOOK: Duration = Duration::from_secs(5);
/// Interval of the purge.
const PURGE: Duration = Duration::from_secs(30);
/// Documents purged in one commit.
const PURGED: usize = 1000;

/// Applies changes of the configuration file and the policies until stopped. What is wrong is logged and changes nothing.
pub(crate) async fn watch(
    config: Config,
    loaded: Fingerprint,
    parts: Arc<Parts>,
    mut stopped: watch::Receiver<bool>,
) {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = start_watcher(&config, changed);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "changes of files are seen only every {} s", LOOK.as_secs());
    }
    let mut seen = loaded;
    let mut pins = parts.book.pins().changes();
    let mut built_on = parts.book.pins().lock();
    loop {
        tokio::select! {
            () = stop(&mut stopped) => return,
            Some(()) = changes.recv() => {
                tokio::time::sleep(QUIET).await;
                while changes.try_recv().is_ok() {}
            }
            Ok(()) = pins.changed() => tokio::time::sleep(QUIET).await,
            () = tokio::time::sleep(LOOK) => {}
        }
        let (now, lock) = (fingerprint(&config), parts.book.pins().lock());
        // What could not be recorded is tried again at the next look.
        if (now != seen || !Arc::ptr_eq(&lock, &built_on)) && apply(&config, &lock, &parts).await {
            (seen, built_on) = (now, lock);
        }
    }
}

/// Reads everything anew and replaces the snapshot, or says why not; false when it should be tried again.
async fn apply(running: &Config, lock: &Lock, parts: &Parts) -> bool {
    let place = running.path.display().to_string();
    let load = || -> Result<_, String> {
        let config = config::load(&running.path).map_err(|e| e.to_string())?;
        let text = |e: node::StartError| e.to_string();
        if config.public_url != running.public_url || config.policies != running.policies {
            return Err(String::from("a new public_url or policies directory needs a restart"));
        }
        let before = parts.edge.snapshot.load();
        let issuer = node::issuer(&config).map_err(text)?;
        let snapshot = node::snapshot(&config, lock, Some(&before), &parts.upstreams).map_err(text)?;
        let system = crate::tls::upstream_client().map_err(text)?;
        let login = login::login(&config, &system).map_err(text)?;
        let connected = connections::settings(&config, &system, &parts.clock, &parts.issuer).map_err(text)?;
        Ok((config, issuer, snapshot, login, connected))
    };
    // Compiling many policies takes a while; calls go on meanwhile.
    match tokio::task::block_in_place(load) {
        Err(error) => {
            tracing::error!(error, "reload refused; the old configuration and policies stay in force");
            parts.note("config.refused", &place, &[("why", &error)]).await.is_ok()
        }
        Ok((config, issuer, snapshot, login, connected)) => {
            let version = snapshot.engine.version().hex();
            // No record, no change: what decides must be known from the ledger.
            if let Err(error) = parts.note("config.reloaded", &place, &[("policies", &version)]).await {
                tracing::error!(%error, "reload refused for now: it could not be recorded");
                return false;
            }
            let clients = node::configure_clients(parts, &config).await;
            if let Err(error) = clients {
                tracing::error!(%error, "reload refused for now: the clients could not be stored");
                return false;
            }
            parts.edge.vault.limit_age(config.governance.block_age);
            parts.thresholds.store(Arc::new(config.governance));
            parts.config.store(Arc::new(config.clone()));
            parts.issuer.store(Arc::new(issuer));
            parts.upstreams.keep(&snapshot.servers);
            parts.web.replace_login(login);
            parts.edge.connections.replace(connected);
            parts.web.replace_webhook(config.approvals.webhook());
            parts.web.replace_emergency_approvers(config.emergency_approvers.clone());
            let candidate = |snapshot: &Snapshot| snapshot.shadow.as_ref().map(|c| *c.engine.version());
            if candidate(&snapshot) != candidate(&parts.edge.snapshot.load()) {
                // What another candidate would have decided is of no use any more.
                *parts.edge.shadow.lock().unwrap_or_else(PoisonError::into_inner) = Shadow::default();
            }
            parts.edge.snapshot.store(Arc::new(snapshot));
            tracing::info!(policies = version, "reloaded");
            true
        }
    }
}

fn start_watcher(config: &Config, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_event| {
        // A full channel already holds the news.
        let _ = changed.try_send(());
    })?;
    watcher.watch(&config.policies, RecursiveMode::NonRecursive)?;
    // The directory, not the file: editors replace files.
    let directory = config.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Digests of the files that count.
pub(crate) type Fingerprint = Vec<(PathBuf, Option<portunus_core::digest::Digest>)>;

/// As they are now. Taken before they are read, so that no change is missed.
pub(crate) fn fingerprint(config: &Config) -> Fingerprint {
    let mut paths = crate::policies::files(&config.policies, ".cedar").unwrap_or_default();
    paths.push(config.path.clone());
    let candidates = config.shadow_policies.as_ref();
    paths.extend(candidates.and_then(|d| crate::policies::files(d, ".cedar").ok()).unwrap_or_default());
    // As the configuration is now: one that cannot be read differs from the one that was.
    if let Ok(config) = config::load(&config.path) {
        paths.extend(config.servers.iter().flat_map(|entry| entry.tls.files()));
        paths.extend(config.servers.iter().filter_map(|entry| entry.oauth.as_ref()?.file.clone()));
    }
    paths.extend(config.client_files.iter().cloned());
    paths.extend(config.login.files.iter().cloned());
    paths.extend(config.approvals.file.iter().cloned());
    let digest =
        |path: &PathBuf| std::fs::read(path).ok().map(|bytes| portunus_core::digest::sha256(&[&bytes]));
    paths
        .into_iter()
        .map(|path| {
            let found = digest(&path);
            (path, found)
        })
        .collect()
}

/// Records what nobody decided about in time, and removes expired documents, until stopped.
pub(crate) async fn purge(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = stop(&mut stopped) => return,
            () = tokio::time::sleep(PURGE) => {}
        }
        // Before they are gone: what nobody decided about is recorded.
        if let Err(error) = portunus_web::approvals::expire(&parts.web).await {
            tracing::warn!(%error, "approvals that ran out could not be recorded");
        }
        // Piece by piece until all is gone, so that nobody waits long for the writer, and what ends faster than a fixed
        // number could be purged does not pile up.
        loop {
            match parts.store.purge(parts.clock.now(), PURGED).await {
                Ok(0) => break,
                Ok(documents) => tracing::debug!(documents, "expired documents purged"),
                Err(error) => {
                    tracing::warn!(%error, "the purge failed");
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the node is gone, which is a stop too.
    drop(stopped.wait_for(|stop| *stop).await);
}
