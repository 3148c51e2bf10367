//! The authority, our account with it, and the certificate from it that the store keeps.

use crate::challenge::Kind;
use crate::client::BoundedClient;
use crate::leaf::{self, Leaf};
use crate::schedule::Window;
use instant_acme::{Account, AccountCredentials, CertificateIdentifier, ExternalAccountKey, NewAccount};
use portunus_core::digest::sha256;
use portunus_core::document::Setting;
use portunus_core::lease;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{self, Batch, Expect, Store, StoreError};
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_vault::{SealingError, SealingKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use url::Url;

/// What to order, and from whom.
pub struct Plan {
    /// The authority's directory.
    pub directory: Url,
    /// Where it may write to.
    pub email: String,
    /// How it is to check that the host is ours.
    pub challenge: Kind,
    /// One of its profiles, such as `shortlived`.
    pub profile: Option<String>,
    /// The account at the authority's owner that ours is bound to (RFC 8555 section 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// The DNS name, or IP address without brackets.
    pub host: String,
    /// Whom to trust as the authority.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Binds our account to one that exists outside ACME.
pub struct ExternalAccount {
    /// Its key's id.
    pub key_id: String,
    /// Its key.
    pub key: Secret<Vec<u8>>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Another node is ordering; its certificate will be in the store soon.
    #[error("another node is ordering the certificate")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored secret cannot be opened.
    #[error("{name} in the store: {error}; is this the sealing key that the store was made with?")]
    Sealing {
        /// The setting.
        name: String,
        /// Why.
        error: SealingError,
    },
    /// A stored value has another form.
    #[error("{0} in the store is damaged; remove it to get a new one")]
    Damaged(String),
    /// The authority could not be reached or refused.
    #[error("{doing}: {error}")]
    Authority {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        error: instant_acme::Error,
    },
    /// The authority could not validate the host, or asks for what cannot be given.
    #[error("{0}")]
    Refused(String),
    /// What it issued cannot be used.
    #[error("the issued certificate is not usable: {0}")]
    Unusable(String),
    /// It took too long.
    #[error("the order was not complete within {} s", limits::ACME_ORDER_TIMEOUT.as_secs())]
    TimedOut,
    /// Making a key or request failed.
    #[error("the signing request could not be made: {0}")]
    Request(#[from] rcgen::Error),
}

impl AcmeError {
    /// Whether the authority says that too much was asked of it.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        self.problem().is_some_and(|kind| kind.ends_with(":rateLimited"))
    }
    /// Whether the authority does not know our account any more.
    fn is_forgotten(&self) -> bool {
        self.problem().is_some_and(|kind| kind.ends_with(":accountDoesNotExist"))
    }
    /// The authority's own name for what is wrong.
    fn problem(&self) -> Option<&str> {
        match self {
            Self::Authority { error: instant_acme::Error::Api(problem), .. } => problem.r#type.as_deref(),
            _ => None,
        }
    }
    pub(crate) fn at(doing: &'static str) -> impl Fn(instant_acme::Error) -> Self {
        move |error| Self::Authority { doing, error }
    }
}

/// A certificate with its key, as the store keeps it (sealed).
#[derive(Serialize, Deserialize)]
struct Kept {
    /// PEM, leaf first.
    chain: String,
    /// PKCS #8, PEM.
    key: String,
    /// When it was issued.
    issued_at: Timestamp,
}

/// A certificate from the store.
pub struct Stored {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Of the stored document; grows with each renewal.
    pub version: u64,
}

/// An authority and what it certifies.
pub struct Authority {
    pub(crate) plan: Plan,
    pub(crate) store: Arc<dyn Store>,
    key: SealingKey,
    pub(crate) clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// This process, as the holder of the lease.
    holder: String,
}

impl Authority {
    /// What is ordered from whom, and where it is kept.
    pub fn new(
        plan: Plan,
        store: Arc<dyn Store>,
        key: SealingKey,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let mut holder = [0; 16];
        rng.fill(&mut holder);
        Self { plan, store, key, clock, rng, holder: data_encoding::HEXLOWER.encode(&holder) }
    }

    /// How it checks that the host is ours.
    #[must_use]
    pub const fn challenge(&self) -> Kind {
        self.plan.challenge
    }

    /// The certificate in the store, if there is one.
    ///
    /// # Errors
    /// When the store fails, or what it has cannot be opened or read.
    pub async fn stored(&self) -> Result<Option<Stored>, AcmeError> {
        let name = self.certificate_name();
        let Some(found) = store::load::<Setting>(&*self.store, &name).await? else { return Ok(None) };
        let plain = self.open(&name, &found.value)?;
        let damaged = || AcmeError::Damaged(name.clone());
        let kept: Kept = serde_json::from_slice(plain.expose()).map_err(|_| damaged())?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(kept.chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(kept.key.as_bytes()).map_err(|_| damaged())?;
        let (chain, issued_at) = (chain.map_err(|_| damaged())?, kept.issued_at);
        Ok(Some(Stored { chain, key, issued_at, version: found.version }))
    }

    /// When the authority suggests to replace a certificate, and when to ask again; `None` where it suggests nothing
    /// (RFC 9773).
    ///
    /// # Errors
    /// When it cannot be reached or answers something else.
    pub async fn suggestion(
        self: &Arc<Self>,
        certificate: &CertificateDer<'static>,
    ) -> Result<Option<(Window, Duration)>, AcmeError> {
        let certificate = certificate.clone();
        self.shielded(|this| async move { this.ask_when(&certificate).await }).await
    }

    async fn ask_when(
        &self,
        certificate: &CertificateDer<'_>,
    ) -> Result<Option<(Window, Duration)>, AcmeError> {
        let Ok(id) = CertificateIdentifier::try_from(certificate) else { return Ok(None) };
        match self.account().await?.renewal_info(&id).await {
            Ok((info, again)) => {
                let moment = |at: i64| Timestamp::from_secs(u64::try_from(at).unwrap_or_default());
                let window = info.suggested_window;
                let window = Window {
                    start: moment(window.start.unix_timestamp()),
                    end: moment(window.end.unix_timestamp()),
                };
                Ok(Some((window, again)))
            }
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(AcmeError::at("asking when to renew")(error)),
        }
    }

    /// Orders a certificate and stores it; or gives the one in the store when that is not `known` here yet.
    ///
    /// # Errors
    /// See [`AcmeError`]. What was in the store stays there.
    pub async fn order(self: &Arc<Self>, known: Option<u64>) -> Result<Stored, AcmeError> {
        let (name, span) = (self.lease_name(), limits::ACME_ORDER_TIMEOUT + limits::ACME_TIMEOUT);
        if !lease::take(&*self.store, &name, &self.holder, span, self.clock.now()).await? {
            return Err(AcmeError::Busy);
        }
        let ordered = self.shielded(move |this| async move { this.order_alone(known).await });
        let ordered = tokio::time::timeout(limits::ACME_ORDER_TIMEOUT, ordered).await;
        // One that stays behind runs out by itself.
        self.give_back().await;
        ordered.unwrap_or(Err(AcmeError::TimedOut))
    }

    /// Lets another node order, when this one stops in the middle.
    pub async fn give_back(&self) {
        if let Err(error) = lease::give_back(&*self.store, &self.lease_name(), &self.holder).await {
            tracing::warn!(%error, "the lease for ordering a certificate was not given back");
        }
    }

    /// Runs an exchange with the authority in a task of its own, so that an answer that makes the ACME library panic (an
    /// unusable URL does) fails this exchange and not all later ones; it ends with the task that waits for it.
    async fn shielded<T, F>(self: &Arc<Self>, exchange: impl FnOnce(Arc<Self>) -> F) -> Result<T, AcmeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AcmeError>> + Send + 'static,
    {
        let mut task = JoinSet::new();
        task.spawn(exchange(self.clone()));
        match task.join_next().await {
            Some(Ok(outcome)) => outcome,
            _ => Err(AcmeError::Refused(String::from("the authority's answer cannot be processed"))),
        }
    }

    async fn order_alone(&self, known: Option<u64>) -> Result<Stored, AcmeError> {
        let before = self.stored().await?;
        match before {
            Some(stored) if Some(stored.version) != known => Ok(stored),
            before => {
                let leaf = before.as_ref().and_then(|before| before.chain.first());
                let mut issued = self.issue(&self.account().await?, leaf).await;
                if issued.as_ref().is_err_and(AcmeError::is_forgotten) {
                    tracing::info!("the authority has forgotten our account: registering anew");
                    let forget = Batch::new().delete::<Setting>(&self.account_name(), Expect::Any);
                    self.store.commit(forget).await?;
                    issued = self.issue(&self.account().await?, leaf).await;
                }
                let (chain, key) = issued?;
                self.keep(chain, key, before.map(|before| before.version)).await
            }
        }
    }

    /// Checks what was issued and puts it into the store.
    async fn keep(
        &self,
        chain: String,
        key: rcgen::KeyPair,
        replaces: Option<u64>,
    ) -> Result<Stored, AcmeError> {
        let unusable = |why: &dyn std::fmt::Display| AcmeError::Unusable(why.to_string());
        let now = self.clock.now();
        let first = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|e| unusable(&e))?;
        let leaf = Leaf::read(&first).map_err(|e| unusable(&e))?;
        if leaf.public_key != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(unusable(&"it is for another key"));
        }
        if !leaf::is_for(&first, &self.plan.host) {
            return Err(unusable(&format!("it is not for {}", self.plan.host)));
        }
        if leaf.life.not_after.is_past(now) {
            return Err(unusable(&format!("it ended at {}", leaf.life.not_after)));
        }
        let name = self.certificate_name();
        let kept = Kept { chain, key: key.serialize_pem(), issued_at: now };
        let plain = Secret::new(serde_json::to_vec(&kept).map_err(|e| unusable(&e))?);
        let setting = self.seal(&name, plain.expose())?;
        let batch = match replaces {
            Some(version) => Batch::new().update(&setting, version),
            None => Batch::new().insert(&setting),
        };
        match self.store.commit(batch).await {
            // Somebody else stored one: that is as good.
            Ok(_) | Err(StoreError::Conflict { .. }) => self.stored().await?.ok_or(AcmeError::Damaged(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Our account, registered at the first use.
    async fn account(&self) -> Result<Account, AcmeError> {
        let name = self.account_name();
        let builder = Account::builder_with_http(Box::new(BoundedClient::new(&self.plan.tls)));
        if let Some(found) = store::load::<Setting>(&*self.store, &name).await? {
            let plain = self.open(&name, &found.value)?;
            let credentials: AccountCredentials =
                serde_json::from_slice(plain.expose()).map_err(|_| AcmeError::Damaged(name))?;
            let opened = builder.from_credentials(credentials).await;
            return opened.map_err(AcmeError::at("reading the authority's directory"));
        }
        let contact = format!("mailto:{}", self.plan.email);
        let new =
            NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
        let external = self.plan.external_account.as_ref();
        let external =
            external.map(|bound| ExternalAccountKey::new(bound.key_id.clone(), bound.key.expose()));
        let (account, credentials) = builder
            .create(&new, self.plan.directory.to_string(), external.as_ref())
            .await
            .map_err(AcmeError::at("registering an account"))?;
        let plain =
            Secret::new(serde_json::to_vec(&credentials).map_err(|_| AcmeError::Damaged(name.clone()))?);
        self.store.commit(Batch::new().upsert(&self.seal(&name, plain.expose())?)).await?;
        tracing::info!(account = account.id(), "registered with the certificate authority");
        Ok(account)
    }

    fn open(&self, name: &str, setting: &Setting) -> Result<Secret<Vec<u8>>, AcmeError> {
        let sealing = |error| AcmeError::Sealing { name: name.to_owned(), error };
        self.key.open_setting(setting).map_err(sealing)
    }
    fn seal(&self, name: &str, plain: &[u8]) -> Result<Setting, AcmeError> {
        let sealing = |error| AcmeError::Sealing { name: name.to_owned(), error };
        self.key.seal_setting(name, plain, &*self.rng).map_err(sealing)
    }

    /// Another directory or address is another account.
    fn account_name(&self) -> String {
        named("acme-account", &[self.plan.directory.as_str(), &self.plan.email])
    }
    /// Another directory, host or profile is another certificate.
    fn certificate_name(&self) -> String {
        let profile = self.plan.profile.as_deref().unwrap_or_default();
        named("acme-certificate", &[self.plan.directory.as_str(), &self.plan.host, profile])
    }
    fn lease_name(&self) -> String {
        self.certificate_name()
    }
}

fn named(what: &str, parts: &[&str]) -> String {
    let digests: Vec<_> = parts.iter().map(|part| sha256(&[part.as_bytes()])).collect();
    let all: Vec<&[u8]> = digests.iter().map(|digest| digest.0.as_slice()).collect();
    format!("{what}-{}", sha256(&all).hex())
}
