//! What the handlers share.

use crate::approvals::webhook::{Courier, Webhook};
use crate::federation::Login;
use arc_swap::{ArcSwap, ArcSwapOption};
use portunus_connections::Connections;
use portunus_core::id::GroupName;
use portunus_core::record::Ledger;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_core::{limits, time};
use portunus_oauth::client::DocumentFetcher;
use portunus_oauth::config::Issuer;
use portunus_oauth::device::Guesses;
use portunus_oauth::dpop::Guard;
use portunus_oauth::passkey::ceremony::ChallengeKey;
use portunus_oauth::ports::Ports;
use portunus_oauth::throttle::Throttle;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Makes a JWS of a payload.
pub type Sealer = Arc<dyn Fn(&[u8]) -> String + Send + Sync>;

/// What the control plane is built from.
pub struct Parts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The audit log.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub rng: Arc<dyn Rng>,
    /// The issuer and its servers; replaced when the configuration reloads.
    pub issuer: Arc<ArcSwap<Issuer>>,
    /// Fetches client metadata documents; see [`crate::fetch::PublicFetcher`].
    pub fetcher: Arc<dyn DocumentFetcher>,
    /// Fetches from hosts that the configuration names; see [`crate::fetch::PublicFetcher::of_named_hosts`].
    pub trusted: Arc<dyn DocumentFetcher>,
    /// Carries webhooks to hosts that the configuration names.
    pub courier: Arc<dyn Courier>,
    /// Remembers which proofs of possession were used at the token endpoint.
    pub dpop: Guard,
    /// What the challenges of passkeys are made with.
    pub challenges: ChallengeKey,
    /// Connections to upstream servers.
    pub connections: Connections,
    /// How people sign in; see [`State::replace_login`].
    pub login: Login,
    /// Signs statements as JWS with the key of [`Parts::jwks`].
    pub seal: Sealer,
    /// The JSON Web Key Set served at `/oauth/jwks`; see [`crate::jwks`].
    pub jwks: String,
}

/// The handlers' shared state; cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    parts: Parts,
    login: ArcSwap<Login>,
    webhook: ArcSwapOption<Webhook>,
    emergency_approvers: ArcSwapOption<GroupName>,
    sign_ins: Mutex<Throttle>,
    registrations: Mutex<Throttle>,
    assertions: Mutex<Throttle>,
    device_guesses: Mutex<Guesses>,
    hashing: Semaphore,
}

impl State {
    /// A control plane of these parts.
    #[must_use]
    pub fn new(mut parts: Parts) -> Self {
        let login = std::mem::take(&mut parts.login);
        Self(Arc::new(Shared {
            parts,
            login: ArcSwap::from_pointee(login),
            webhook: ArcSwapOption::empty(),
            emergency_approvers: ArcSwapOption::empty(),
            sign_ins: Mutex::new(Throttle::sign_ins()),
            registrations: Mutex::new(Throttle::registrations()),
            assertions: Mutex::new(Throttle::assertions()),
            device_guesses: Mutex::default(),
            hashing: Semaphore::new(limits::PASSWORD_HASHES),
        }))
    }

    /// From now on people sign in like this.
    pub fn replace_login(&self, login: Login) {
        self.0.login.store(Arc::new(login));
    }

    /// From now on approvals are announced like this, and decided through it too.
    pub fn replace_webhook(&self, webhook: Option<Webhook>) {
        self.0.webhook.store(webhook.map(Arc::new));
    }

    /// From now on two of this group allow what is asked for in an emergency; `None`: nothing can be asked for.
    pub fn replace_emergency_approvers(&self, group: Option<GroupName>) {
        self.0.emergency_approvers.store(group.map(Arc::new));
    }

    pub(crate) fn emergency_approvers(&self) -> Option<Arc<GroupName>> {
        self.0.emergency_approvers.load_full()
    }
    pub(crate) fn webhook(&self) -> Option<Arc<Webhook>> {
        self.0.webhook.load_full()
    }
    pub(crate) fn courier(&self) -> &dyn Courier {
        &*self.0.parts.courier
    }
    pub(crate) fn login(&self) -> Arc<Login> {
        self.0.login.load_full()
    }
    pub(crate) fn ports(&self) -> Ports<'_> {
        let Parts { store, ledger, rng, .. } = &self.0.parts;
        Ports { store: &**store, ledger: &**ledger, rng: &**rng, now: self.now() }
    }
    /// A statement as a JWS, signed by this edge.
    pub(crate) fn sign(&self, statement: &impl Serialize) -> String {
        // Plain structs of text and numbers: serialising one into memory cannot fail.
        (self.0.parts.seal)(&serde_json::to_vec(statement).unwrap_or_default())
    }
    pub(crate) fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }
    pub(crate) fn rng(&self) -> Arc<dyn time::Rng> {
        self.0.parts.rng.clone()
    }
    pub(crate) fn issuer(&self) -> Arc<Issuer> {
        self.0.parts.issuer.load_full()
    }
    pub(crate) fn fetcher(&self) -> &dyn DocumentFetcher {
        &*self.0.parts.fetcher
    }
    pub(crate) fn trusted(&self) -> &dyn DocumentFetcher {
        &*self.0.parts.trusted
    }
    pub(crate) fn dpop(&self) -> &Guard {
        &self.0.parts.dpop
    }
    pub(crate) fn challenges(&self) -> &ChallengeKey {
        &self.0.parts.challenges
    }
    pub(crate) fn connections(&self) -> &Connections {
        &self.0.parts.connections
    }
    pub(crate) fn jwks(&self) -> &str {
        &self.0.parts.jwks
    }
    pub(crate) fn sign_ins(&self) -> MutexGuard<'_, Throttle> {
        self.0.sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn registrations(&self) -> MutexGuard<'_, Throttle> {
        self.0.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn device_guesses(&self) -> MutexGuard<'_, Guesses> {
        self.0.device_guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn assertions(&self) -> MutexGuard<'_, Throttle> {
        self.0.assertions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs password hashing where it blocks nobody, a bounded number at a time. `None` when it could not be run.
    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.0.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}
