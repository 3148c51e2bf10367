//! The sealing key of this edge: where it comes from, and its change while the edge runs.

mod access_keys;
pub(crate) mod desk;
mod exchange;

use crate::config::sealing::SealingKey as Configured;
use crate::node::{Parts, StartError};
use crate::tls::UpstreamTls;
use exchange::HttpExchange;
use portunus_core::record::Ledger;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_vault::SealingKey;
use portunus_vault::epochs::{Desk, Epoch, Provider, ServiceKind};
use portunus_vault::rewrap::Progress;
use portunus_vault::service::aws_kms::Kms;
use portunus_vault::service::openbao::Transit;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The change of the sealing key, as far as this process knows of it.
pub(crate) struct Sealing {
    provider: Provider,
    progress: Progress,
    state: Mutex<State>,
    current: Mutex<Epoch>,
    /// When the first epoch began.
    pub(crate) since: Timestamp,
}

/// What is being done about former keys.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing: there are none, as far as is known.
    Idle,
    /// One or more are still needed, and nothing is done.
    Unfinished,
    /// Everything is being rewrapped.
    Running,
    /// It broke off; why.
    Failed(String),
}

/// Has the sealing key from where the configuration says.
pub(crate) async fn open(
    configured: &Configured,
    store: &dyn Store,
    ledger: &dyn Ledger,
    clock: &Arc<dyn Clock>,
    rng: &dyn Rng,
) -> Result<(SealingKey, Arc<Sealing>), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError(format!("sealing key: {error}"));
    let provider = provider(configured, clock).map_err(|error| failed(&error))?;
    let desk = Desk { store, ledger, provider: &provider, clock: &**clock, rng };
    let opened = desk.open().await.map_err(|error| failed(&error))?;
    if let Some(notice) = opened.notice {
        tracing::warn!("{notice}");
    }
    let state = Mutex::new(if opened.unfinished { State::Unfinished } else { State::Idle });
    let (current, since) = (Mutex::new(opened.current), opened.since);
    Ok((opened.key, Arc::new(Sealing { provider, progress: Progress::default(), state, current, since })))
}

fn provider(configured: &Configured, clock: &Arc<dyn Clock>) -> Result<Provider, String> {
    let way = |ca: &Option<PathBuf>| -> Result<Arc<HttpExchange>, String> {
        let tls = UpstreamTls::new(ca.clone(), None, None)?.load()?;
        Ok(Arc::new(HttpExchange::new(&tls)))
    };
    Ok(match configured {
        Configured::File(path) => Provider::File(path.clone()),
        Configured::Systemd(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            Provider::Systemd { directory, name: name.clone() }
        }
        Configured::Openbao(bao) => Provider::Service {
            kind: ServiceKind::Openbao,
            key: bao.key.clone(),
            service: Arc::new(Transit {
                address: bao.address.clone(),
                mount: bao.mount.clone(),
                key: bao.key.clone(),
                namespace: bao.namespace.clone(),
                token_file: bao.token_file.clone(),
                exchange: way(&bao.ca)?,
            }),
        },
        Configured::AwsKms(kms) => Provider::Service {
            kind: ServiceKind::AwsKms,
            key: kms.key_id.clone(),
            service: Arc::new(Kms {
                key_id: kms.key_id.clone(),
                region: kms.region.clone(),
                endpoint: kms.endpoint.clone(),
                keys: access_keys::source(kms.credentials.clone()),
                exchange: way(&kms.ca)?,
                clock: clock.clone(),
            }),
        },
    })
}

/// Goes on with a change that the last process did not bring to its end.
pub(crate) fn resume(parts: &Arc<Parts>, stopped: &watch::Receiver<bool>) {
    if parts.sealing.take_up() {
        tracing::info!("the change of the sealing key goes on");
        tokio::spawn(finish(parts.clone(), stopped.clone()));
    }
}

/// Rewraps everything, until done, broken or stopped.
async fn finish(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    let sealing = &parts.sealing;
    let desk = sealing.desk(&parts);
    let done = tokio::select! {
        // What is done is done; the next start goes on.
        _ = stopped.wait_for(|stop| *stop) => return,
        done = desk.finish(&parts.key, &sealing.progress, tokio::time::sleep) => done,
    };
    let state = match done {
        Ok(rewrapped) => {
            tracing::info!(rewrapped, "nothing is sealed with a former sealing key any more");
            State::Idle
        }
        Err(error) => {
            tracing::error!(%error, "the change of the sealing key broke off; `portunus cred rewrap` goes on with it");
            State::Failed(error.to_string())
        }
    };
    sealing.set(state);
}

impl Sealing {
    fn desk<'a>(&'a self, parts: &'a Parts) -> Desk<'a> {
        Desk {
            store: &*parts.store,
            ledger: &*parts.ledger,
            provider: &self.provider,
            clock: &*parts.clock,
            rng: &*parts.rng,
        }
    }

    /// The epoch that seals.
    pub(crate) fn current(&self) -> Epoch {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Whether there is something to go on with, which is the caller's to do from then on.
    fn take_up(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let there_is = matches!(*state, State::Unfinished | State::Failed(_));
        if there_is {
            *state = State::Running;
        }
        there_is
    }
}
