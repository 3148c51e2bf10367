//! Signing in at identity providers: what is checked is in `portunus_oauth::federation`; here are the way there and back.
//!
//! | module | holds |
//! |---|---|
//! | [`carrier`] | HTTP to a provider, bounded |
//! | [`party`] | one provider with what is known of it: discovery document, keys, whether it is down |
//! | `start` | sending a browser there |
//! | `callback` | its return |
//! | `logout` | back-channel logout, and signing out there too |

pub mod carrier;
pub mod party;

pub(crate) mod callback;
pub(crate) mod logout;
pub(crate) mod start;

use party::Party;
use portunus_oauth::federation::exchange::Carrier;
use portunus_oauth::federation::provider::{Provider, Providers};
use std::sync::Arc;

/// How people sign in; replaced whole when the configuration reloads.
#[derive(Default)]
pub struct Login {
    /// Whether built-in accounts may.
    pub local: bool,
    providers: Providers,
    parties: Vec<Arc<Party>>,
}

impl Login {
    /// Built-in accounts and nothing else.
    #[must_use]
    pub fn local() -> Self {
        Self { local: true, ..Self::default() }
    }

    /// With these providers, each reached through its own carrier.
    #[must_use]
    pub fn new(local: bool, providers: Providers, carrier: impl Fn(&Provider) -> Arc<dyn Carrier>) -> Self {
        let party = |provider: &Provider| Arc::new(Party::new(provider.clone(), carrier(provider)));
        let parties = providers.all().iter().map(party).collect();
        Self { local, providers, parties }
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.providers
    }
    pub(crate) fn parties(&self) -> &[Arc<Party>] {
        &self.parties
    }
    pub(crate) fn with_id(&self, id: &str) -> Option<&Arc<Party>> {
        self.parties.iter().find(|party| party.provider().id == id)
    }
    pub(crate) fn with_issuer(&self, issuer: &str) -> Option<&Arc<Party>> {
        self.parties.iter().find(|party| party.provider().issuer == issuer)
    }
    pub(crate) fn for_email(&self, email: &str) -> Option<&Arc<Party>> {
        self.with_id(&self.providers.for_email(email)?.id)
    }
}
