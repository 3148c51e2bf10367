//! One provider with what is known of it. Nothing is fetched before somebody needs it, so a provider that is down does
//! not keep an edge from starting; what failed is tried again after a pause, by whoever needs it next.

use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_oauth::federation::exchange::{self, Carrier, ExchangeError, Outgoing, Tokens};
use portunus_oauth::federation::metadata::{Metadata, MetadataError, discovery_url};
use portunus_oauth::federation::provider::Provider;
use portunus_oauth::jwt::{self, Claims, TokenError, Verified};
use portunus_oauth::keys::{KeySet, KeySetError};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// A provider and what is known of it.
pub struct Party {
    provider: Provider,
    carrier: Arc<dyn Carrier>,
    /// Held while something is fetched: those who need the same wait for it instead of fetching it too.
    known: Mutex<Known>,
    problem: Lock<Option<(Timestamp, Down)>>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<KeySet>)>,
    /// When they were last fetched because a token named one that was not among them.
    rolled_at: Option<Timestamp>,
}

/// Why nobody can sign in at a provider just now; the text is for operators, and names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// No answer.
    #[error(transparent)]
    Unreachable(#[from] exchange::Unreachable),
    /// An error instead of a document.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A discovery document that cannot be used.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A key set that cannot be used.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// Why a token of a provider was not taken, or could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not good.
    #[error("its token was not accepted: {0}")]
    Token(#[from] TokenError),
    /// Its keys could not be had.
    #[error(transparent)]
    Down(#[from] Down),
}

impl Party {
    /// A provider of which nothing is known yet.
    #[must_use]
    pub fn new(provider: Provider, carrier: Arc<dyn Carrier>) -> Self {
        Self { provider, carrier, known: Mutex::default(), problem: Lock::default() }
    }

    /// Its configuration.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// What went wrong the last time, if nothing went well since.
    #[must_use]
    pub fn problem(&self) -> Option<Down> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.as_ref().map(|(_, down)| down.clone())
    }

    /// Its discovery document, fetched anew when it is older than `age`.
    ///
    /// # Errors
    /// See [`Down`].
    pub async fn metadata(&self, now: Timestamp, age: Duration) -> Result<Arc<Metadata>, Down> {
        let mut known = self.known.lock().await;
        self.metadata_in(&mut known, now, age).await
    }

    async fn metadata_in(
        &self,
        known: &mut Known,
        now: Timestamp,
        age: Duration,
    ) -> Result<Arc<Metadata>, Down> {
        if let Some((at, metadata)) = &known.metadata
            && now.since(*at) < age
        {
            return Ok(metadata.clone());
        }
        self.pause(now)?;
        let fetched = self.fetch_metadata().await;
        let metadata = Arc::new(self.note(now, fetched)?);
        known.metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    async fn fetch_metadata(&self) -> Result<Metadata, Down> {
        let address = discovery_url(&self.provider.issuer);
        let url = Url::parse(&address).map_err(|_| MetadataError::Endpoint("issuer"))?;
        let document = self.document(url).await?;
        Ok(Metadata::parse(&document, &self.provider)?)
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, Down> {
        let shown = url.to_string();
        let answered = self.carrier.send(exchange::document_request(url)).await?;
        if answered.status == 200 {
            return Ok(answered.body);
        }
        Err(Down::Status { url: shown, status: answered.status })
    }

    /// Its keys: those that are known while they are fresh. With `lacking`, a token names one that is not among those:
    /// they are fetched anew, unless that was just done (OpenID Connect Core section 10.1.1).
    async fn keys(&self, now: Timestamp, lacking: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, Down> {
        let mut known = self.known.lock().await;
        if let Some((at, keys)) = &known.keys {
            let others = lacking.is_none_or(|lacking| !Arc::ptr_eq(lacking, keys));
            let paused = known.rolled_at.is_some_and(|at| now.since(at) < limits::PROVIDER_PAUSE);
            if now.since(*at) < limits::PROVIDER_FRESH && (others || paused) {
                return Ok(keys.clone());
            }
        }
        if lacking.is_some() {
            known.rolled_at = Some(now);
        }
        let metadata = self.metadata_in(&mut known, now, limits::PROVIDER_FRESH).await?;
        self.pause(now)?;
        let fetched = match self.document(metadata.keys.clone()).await {
            Ok(document) => KeySet::parse(&document).map_err(Down::from),
            Err(down) => Err(down),
        };
        let keys = Arc::new(self.note(now, fetched)?);
        known.keys = Some((now, keys.clone()));
        Ok(keys)
    }

    /// Verifies a token that this provider is said to have signed.
    ///
    /// # Errors
    /// See [`Unproven`].
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, Unproven> {
        let keys = self.keys(now, None).await?;
        match jwt::read(text)?.verify(&keys) {
            Err(TokenError::UnknownKey) => {
                let newer = self.keys(now, Some(&keys)).await?;
                Ok(jwt::read(text)?.verify(&newer)?)
            }
            verified => Ok(verified?),
        }
    }

    /// Redeems a code.
    ///
    /// # Errors
    /// When the provider gives no answer, or no tokens.
    pub async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
        now: Timestamp,
    ) -> Result<Result<Tokens, ExchangeError>, Down> {
        let request = exchange::redemption(&self.provider, metadata, code, verifier, redirect_uri);
        Ok(exchange::tokens(&self.send(request, now).await?))
    }

    /// More claims about a subject; `None` when the provider has no endpoint for them.
    ///
    /// # Errors
    /// When the provider gives no answer, or none about this subject.
    pub async fn userinfo(
        &self,
        metadata: &Metadata,
        access_token: &Secret<String>,
        subject: &str,
        now: Timestamp,
    ) -> Result<Result<Option<Claims>, ExchangeError>, Down> {
        let Some(request) = exchange::userinfo_request(metadata, access_token) else { return Ok(Ok(None)) };
        Ok(exchange::userinfo(&self.send(request, now).await?, subject).map(Some))
    }

    async fn send(&self, request: Outgoing, now: Timestamp) -> Result<exchange::Answered, Down> {
        let answered = self.carrier.send(request).await.map_err(Down::from);
        self.note(now, answered)
    }

    /// Refuses while the last failure is recent.
    fn pause(&self, now: Timestamp) -> Result<(), Down> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match &*problem {
            Some((at, down)) if now.since(*at) < limits::PROVIDER_PAUSE => Err(down.clone()),
            _ => Ok(()),
        }
    }

    fn note<T>(&self, now: Timestamp, outcome: Result<T, Down>) -> Result<T, Down> {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(down) = &outcome {
            tracing::warn!(provider = self.provider.id, error = %down, "an identity provider cannot be used");
        }
        *problem = outcome.as_ref().err().map(|down| (now, down.clone()));
        outcome
    }
}
