//! The way of a request through the vault: `bound` before the intent is recorded, which names credential and version;
//! `open` only with a permit for the same server; `inject` only towards the credential's own host, as the last thing.

use crate::credential::{self, Status};
use crate::key::SealingKey;
use crate::rules;
use crate::sealing::{self, SealingError};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use portunus_core::document::{Credential, CredentialKind, SealedVersion};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::{CACHED_CREDENTIALS, CREDENTIAL_TTL};
use portunus_core::record::CredentialUse;
use portunus_core::secret::Secret;
use portunus_core::store::{Kind, Store, StoreError, load};
use portunus_core::time::Timestamp;
use portunus_policy::Permit;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use zeroize::Zeroizing;

/// Why a credential does not go upstream. Each of these refuses the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no such credential.
    #[error("there is no credential `{0}`; add it with `portunus cred add`")]
    Unknown(CredentialName),
    /// Nobody answers for it.
    #[error("the credential `{0}` has no owner; name one with `portunus cred bind --owner`")]
    Ownerless(CredentialName),
    /// Nobody said what it is for.
    #[error("the credential `{0}` has no purpose; state one with `portunus cred bind --purpose`")]
    Purposeless(CredentialName),
    /// It has no expiry.
    #[error("the credential `{0}` has no expiry; give it one with `portunus cred bind --expires`")]
    Endless(CredentialName),
    /// Its end has come.
    #[error("the credential `{0}` has expired; replace its secret with `portunus cred add --replace`")]
    Expired(CredentialName),
    /// It was revoked.
    #[error("the credential `{0}` is revoked")]
    Revoked(CredentialName),
    /// Nobody may use it for now.
    #[error(
        "the credential `{name}` is disabled: {why}; when that is seen to, run `portunus cred enable {name}`"
    )]
    Disabled {
        /// The credential.
        name: CredentialName,
        /// Why.
        why: String,
    },
    /// Its secret is older than it may be.
    #[error(
        "the secret of `{0}` is older than it may be; rotate it, or get a waiver with `portunus cred waive`"
    )]
    TooOld(CredentialName),
    /// It is for another server than the one called, or permitted.
    #[error("the credential `{name}` is not for the server `{server}`")]
    ForeignServer {
        /// The credential.
        name: CredentialName,
        /// The server that was to get it.
        server: ServerName,
    },
    /// It is for another host than the one about to get it.
    #[error("the credential `{name}` may only go to {}", hosts.join(", "))]
    ForeignHost {
        /// The credential.
        name: CredentialName,
        /// Its own hosts.
        hosts: Vec<String>,
    },
    /// It changed between the decision and its use in a way that the decision did not know of.
    #[error("the credential `{0}` was changed while the call was decided; try again")]
    Changed(CredentialName),
    /// What is stored can no longer be presented.
    #[error("the credential `{0}` has no usable secret; replace it with `portunus cred add --replace`")]
    Unusable(CredentialName),
    /// Its sealed secret could not be opened.
    #[error("the credential `{name}` cannot be opened: {why}")]
    Sealed {
        /// The credential.
        name: CredentialName,
        /// Why.
        why: SealingError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Credentials for the request path.
pub struct Vault {
    store: Arc<dyn Store>,
    key: SealingKey,
    cache: Arc<Cache>,
    /// Milliseconds that a version may be old; 0: any age.
    oldest: AtomicU64,
}

/// A credential that may be used for a call, not yet opened.
#[derive(Clone)]
pub struct Bound(Arc<Held>);

/// An opened credential on its way into one request.
pub struct Opened {
    held: Arc<Held>,
    value: HeaderValue,
}

impl Vault {
    /// A vault over the store, which tells it of every change to a credential.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, key: SealingKey) -> Self {
        let cache = Arc::new(Cache::default());
        let told = Arc::clone(&cache);
        store.observe(Box::new(move |changed| {
            for change in changed.iter().filter(|change| change.kind == Kind::Credential) {
                told.forget(&change.id);
            }
        }));
        Self { store, key, cache, oldest: AtomicU64::new(0) }
    }

    /// How old a version may be that a call carries; `None`: any age.
    pub fn limit_age(&self, oldest: Option<Duration>) {
        let millis = oldest.map_or(0, |oldest| u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX));
        self.oldest.store(millis, Ordering::Release);
    }

    fn check_age(&self, held: &Held, now: Timestamp) -> Result<(), VaultError> {
        let oldest = self.oldest.load(Ordering::Acquire);
        let waived = held.credential.waiver.as_ref().is_some_and(|waiver| !waiver.until.is_past(now));
        if oldest > 0 && !waived && now.since(held.version.created_at) > Duration::from_millis(oldest) {
            return Err(VaultError::TooOld(held.used.name.clone()));
        }
        Ok(())
    }

    /// The credential of this name for a call to this server: known, owned, not expired, not revoked. Looks into the
    /// store only when it was not used lately.
    ///
    /// # Errors
    /// When it may not be used for this server now, or the store fails.
    pub async fn bound(
        &self,
        name: &CredentialName,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Bound, VaultError> {
        let held = match self.cache.fresh(name, now) {
            Some(held) => held,
            None => self.fetch(name, now).await?,
        };
        usable(&held.credential, now)?;
        self.check_age(&held, now)?;
        if &held.credential.server != server {
            return Err(VaultError::ForeignServer { name: name.clone(), server: server.clone() });
        }
        Ok(Bound(held))
    }

    /// Opens the secret for a permitted call. It looks into the store only when the credential changed after it was
    /// bound: one revoked meanwhile is refused, one replaced meanwhile still goes out as the version that was recorded.
    ///
    /// # Errors
    /// When the permit is for another server, the credential was revoked or rebound since, or its sealed form does not
    /// open.
    pub async fn open(&self, permit: &Permit, bound: &Bound) -> Result<Opened, VaultError> {
        let held = &bound.0;
        if permit.server() != &held.credential.server {
            let server = permit.server().clone();
            return Err(VaultError::ForeignServer { name: held.used.name.clone(), server });
        }
        if !held.current.load(Ordering::Acquire) {
            self.still_stands(held).await?;
        }
        let value = held.header_value(&self.key)?;
        Ok(Opened { held: Arc::clone(held), value })
    }

    async fn fetch(&self, name: &CredentialName, now: Timestamp) -> Result<Arc<Held>, VaultError> {
        let epoch = self.cache.epoch();
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let credential = found.ok_or_else(|| VaultError::Unknown(name.clone()))?.value;
        // Before anything else about it, so that the true reason is what the operator reads.
        usable(&credential, now)?;
        let held = Arc::new(Held::new(credential, now)?);
        self.cache.keep(&held, epoch);
        Ok(held)
    }

    /// Whether a credential that is no longer the cached one may still be used as it was bound.
    async fn still_stands(&self, held: &Held) -> Result<(), VaultError> {
        let name = &held.used.name;
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let stored = found.ok_or_else(|| VaultError::Unknown(name.clone()))?.value;
        if stored.revoked_at.is_some() {
            return Err(VaultError::Revoked(name.clone()));
        }
        let bound = &held.credential;
        let same = stored.server == bound.server
            && stored.hosts == bound.hosts
            && stored.kind == bound.kind
            && stored.owner == bound.owner
            && stored.versions.iter().any(|version| version.sealed == held.version.sealed);
        if same { Ok(()) } else { Err(VaultError::Changed(name.clone())) }
    }
}

impl Bound {
    /// Name and version, for the record.
    #[must_use]
    pub fn credential(&self) -> &CredentialUse {
        &self.0.used
    }
    /// The only hosts it may go to: `name[:port]`.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.0.credential.hosts
    }
    /// When this version of it was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.0.version.created_at
    }
    /// The only server it is for.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.0.credential.server
    }
}

impl Opened {
    /// Puts the secret into the headers of a request to `host` (`name[:port]` as in its URL), in place of whatever was
    /// there, marked as sensitive so that it is neither printed nor indexed by HPACK.
    ///
    /// # Errors
    /// When the host is not the credential's own; the headers stay as they were.
    pub fn inject(self, headers: &mut HeaderMap, host: &str) -> Result<(), VaultError> {
        let own = &self.held.credential.hosts;
        if !own.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Err(VaultError::ForeignHost { name: self.held.used.name.clone(), hosts: own.clone() });
        }
        headers.insert(self.held.header.clone(), self.value);
        Ok(())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}
impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("used", self.credential())
            .field("hosts", &self.hosts())
            .finish_non_exhaustive()
    }
}
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("used", &self.held.used).finish_non_exhaustive()
    }
}

/// A credential as it was read, and its secret once it was opened.
struct Held {
    credential: Credential,
    version: SealedVersion,
    used: CredentialUse,
    header: HeaderName,
    read_at: Timestamp,
    /// Set while this is what the cache holds, so that whoever still has it knows when it is not.
    current: AtomicBool,
    /// The whole header value.
    value: OnceLock<Secret<Vec<u8>>>,
}

impl Held {
    fn new(mut credential: Credential, read_at: Timestamp) -> Result<Self, VaultError> {
        let unusable = || VaultError::Unusable(credential.name.clone());
        let header = rules::header(&credential.kind).map_err(|_| unusable())?;
        let version = credential.in_use().cloned().ok_or_else(unusable)?;
        let used = CredentialUse { name: credential.name.clone(), version: version.number };
        credential.versions.clear();
        let (current, value) = (AtomicBool::new(false), OnceLock::new());
        Ok(Self { credential, version, used, header, read_at, current, value })
    }

    fn header_value(&self, key: &SealingKey) -> Result<HeaderValue, VaultError> {
        let plain = match self.value.get() {
            Some(plain) => plain,
            None => {
                let opened = self.unseal(key)?;
                self.value.get_or_init(|| opened)
            }
        };
        let mut value = HeaderValue::from_bytes(plain.expose())
            .map_err(|_| VaultError::Unusable(self.credential.name.clone()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn unseal(&self, key: &SealingKey) -> Result<Secret<Vec<u8>>, VaultError> {
        let context = credential::context(&self.credential, self.version.number);
        let secret = sealing::open(key, &context, &self.version.sealed)
            .map_err(|why| VaultError::Sealed { name: self.credential.name.clone(), why })?;
        Ok(match &self.credential.kind {
            CredentialKind::Bearer => Secret::new([b"Bearer ".as_slice(), secret.expose()].concat()),
            CredentialKind::Basic(user) => {
                let pair = Zeroizing::new([user.as_bytes(), b":", secret.expose()].concat());
                let encoded = Zeroizing::new(BASE64.encode(&pair));
                Secret::new([b"Basic ".as_slice(), encoded.as_bytes()].concat())
            }
            _ => secret,
        })
    }
}

/// Warm credentials. What the store says has changed is forgotten before the change is acknowledged.
#[derive(Default)]
struct Cache(RwLock<Warm>);

#[derive(Default)]
struct Warm {
    /// Counts what was forgotten, so that a read begun before is not kept after.
    epoch: u64,
    held: HashMap<CredentialName, Arc<Held>>,
}

impl Cache {
    fn fresh(&self, name: &CredentialName, now: Timestamp) -> Option<Arc<Held>> {
        let warm = self.0.read().unwrap_or_else(PoisonError::into_inner);
        warm.held.get(name).filter(|held| now.since(held.read_at) < CREDENTIAL_TTL).cloned()
    }

    fn epoch(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).epoch
    }

    fn keep(&self, held: &Arc<Held>, epoch: u64) {
        let mut warm = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if warm.epoch != epoch {
            return;
        }
        if warm.held.len() >= CACHED_CREDENTIALS {
            warm.held.drain().for_each(|(_, old)| old.current.store(false, Ordering::Release));
        }
        held.current.store(true, Ordering::Release);
        if let Some(old) = warm.held.insert(held.used.name.clone(), Arc::clone(held)) {
            old.current.store(false, Ordering::Release);
        }
    }

    fn forget(&self, id: &str) {
        let mut warm = self.0.write().unwrap_or_else(PoisonError::into_inner);
        warm.epoch += 1;
        let old = CredentialName::parse(id).ok().and_then(|name| warm.held.remove(&name));
        if let Some(old) = old {
            old.current.store(false, Ordering::Release);
        }
    }
}

fn usable(credential: &Credential, now: Timestamp) -> Result<(), VaultError> {
    let name = || credential.name.clone();
    match credential::status(credential, now) {
        Status::Active => Ok(()),
        Status::Revoked => Err(VaultError::Revoked(name())),
        Status::Disabled => {
            let why = credential.disabled.as_ref().map_or_else(String::new, |disabled| disabled.why.clone());
            Err(VaultError::Disabled { name: name(), why })
        }
        Status::Ownerless => Err(VaultError::Ownerless(name())),
        Status::Purposeless => Err(VaultError::Purposeless(name())),
        Status::Endless => Err(VaultError::Endless(name())),
        Status::Expired => Err(VaultError::Expired(name())),
    }
}
