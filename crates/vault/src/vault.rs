//! The way of a request through the vault: `bound` before the intent is recorded, which names credential and version, and
//! which looks whether it may go where the server is; `open` only with a permit for the same server; `present` as the last
//! thing. The dialer opens what it is presented when it needs the secret, which is kept nowhere in between.

use crate::credential;
use crate::ending::{self, Ended, Endings};
use crate::place;
use crate::ring::SealingKey;
use crate::rotation::Calls;
use crate::rules;
use crate::sealing::{self, SealingError};
use async_trait::async_trait;
use data_encoding::BASE64;
use http::HeaderValue;
use portunus_core::dialer::{DialError, Ending, Manner, Plain, Presentable, Presented};
use portunus_core::document::{Credential, CredentialKind, SealedVersion};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::{CACHED_CREDENTIALS, CREDENTIAL_TTL};
use portunus_core::record::CredentialUse;
use portunus_core::secret::Secret;
use portunus_core::server::Server;
use portunus_core::store::{Kind, Store, StoreError, load};
use portunus_core::time::Timestamp;
use portunus_policy::Permit;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use zeroize::Zeroizing;

/// Why a credential does not go upstream. Each of these refuses the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no such credential.
    #[error("there is no credential `{0}`; add it with `portunus cred add`")]
    Unknown(CredentialName),
    /// What an active credential must have is not there.
    #[error("the credential `{name}` is not complete: {}", sentences(missing))]
    Incomplete {
        /// The credential.
        name: CredentialName,
        /// All that is missing; never empty.
        missing: Vec<Missing>,
    },
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
    /// Rotators work with it, calls never do.
    #[error("the credential `{0}` is for rotators only; bind the server to another one")]
    ForRotators(CredentialName),
    /// It is for another server than the one called, or permitted.
    #[error("the credential `{name}` is not for the server `{server}`")]
    ForeignServer {
        /// The credential.
        name: CredentialName,
        /// The server that was to get it.
        server: ServerName,
    },
    /// It belongs to another environment than the server's.
    #[error(
        "the credential `{name}` belongs to the environment `{own}`, the server `{server}` to `{environment}`; give the \
         server a credential of its own environment"
    )]
    ForeignEnvironment {
        /// The credential.
        name: CredentialName,
        /// Its environment.
        own: String,
        /// The server that was to get it.
        server: ServerName,
        /// The server's environment.
        environment: String,
    },
    /// The server is behind a tunnel.
    #[error(
        "the credential `{name}` cannot go through the tunnel to `{server}`: its connector has its own; take `credential` \
         out of the server's configuration"
    )]
    Tunnel {
        /// The credential.
        name: CredentialName,
        /// The server that was to get it.
        server: ServerName,
    },
    /// It is shown to URLs, and the server is a program.
    #[error(
        "the credential `{name}` is of the kind {kind}, which goes to URLs, and `{server}` is a program: it needs one of the \
         kind environment, postgres or ssh"
    )]
    NotForPrograms {
        /// The credential.
        name: CredentialName,
        /// Its kind.
        kind: &'static str,
        /// The server that was to get it.
        server: ServerName,
    },
    /// It goes into a program's environment, and the server is at a URL.
    #[error(
        "the credential `{name}` is of the kind {kind}, which goes into the environment of a program, and `{server}` is at a \
         URL: it needs one of the kind bearer, header, basic, query or client_certificate"
    )]
    OnlyForPrograms {
        /// The credential.
        name: CredentialName,
        /// Its kind.
        kind: &'static str,
        /// The server that was to get it.
        server: ServerName,
    },
    /// The server's URL has no TLS, and is not on this machine.
    #[error(
        "the credential `{name}` is not sent without TLS: the server's URL begins with `{scheme}:`; use https"
    )]
    Unencrypted {
        /// The credential.
        name: CredentialName,
        /// The URL's scheme.
        scheme: String,
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

/// What a credential must have before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Nobody answers for it.
    #[error("it has no owner; name one with `portunus cred bind --owner`")]
    Owner,
    /// Nobody said what it is for.
    #[error("it has no purpose; state one with `portunus cred bind --purpose`")]
    Purpose,
    /// It has no end.
    #[error("it has no expiry; give it one with `portunus cred bind --expires`")]
    Expiry,
}

fn sentences(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(". ")
}
/// How often a credential is read anew when credentials change meanwhile.
const READS: usize = 64;

/// Credentials for the request path.
pub struct Vault {
    depot: Arc<Depot>,
    cache: Arc<Cache>,
    endings: Arc<Endings>,
    /// Credentials whose use in a query was told of.
    flagged: Mutex<HashSet<CredentialName>>,
    /// Milliseconds that a version may be old; 0: any age.
    oldest: AtomicU64,
    /// What was read, as long as the cache or a call has it.
    read: Mutex<Vec<Weak<Held>>>,
}

/// Where sealed secrets are, and what opens them.
struct Depot {
    store: Arc<dyn Store>,
    key: SealingKey,
}

/// A credential that may be used for a call, not yet opened.
#[derive(Clone)]
pub struct Bound(Arc<Held>);

/// A credential that a permit opens, on its way into one request.
pub struct Opened {
    held: Arc<Held>,
    depot: Arc<Depot>,
}

impl Vault {
    /// Names a secret without telling anything about it, as the registry does.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        self.depot.key.fingerprint(secret)
    }
    /// A vault over the store, which tells it of every change to a credential.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, key: SealingKey) -> Self {
        let (cache, endings) = (Arc::new(Cache::default()), Arc::new(Endings::default()));
        let told = (Arc::clone(&cache), Arc::clone(&endings));
        store.observe(Box::new(move |changed| {
            for change in changed.iter().filter(|change| change.kind == Kind::Credential) {
                told.0.forget(&change.id);
                told.1.note(&change.id);
            }
        }));
        Self {
            depot: Arc::new(Depot { store, key }),
            cache,
            endings,
            flagged: Mutex::default(),
            oldest: AtomicU64::new(0),
            read: Mutex::default(),
        }
    }

    /// Tells what was begun with a credential that it may not be used any more, right after that was committed; never
    /// ends. Nothing is cut while nobody runs this.
    pub async fn watch_endings(&self) {
        self.endings.watch(&*self.depot.store).await;
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

    /// The credential of this name for a call to this server: known, complete, not expired, not revoked, and such that it
    /// may go there. Looks into the store only when it was not used lately.
    ///
    /// # Errors
    /// When it may not be used for this server now, or the store fails.
    pub async fn bound(
        &self,
        name: &CredentialName,
        server: &Server,
        now: Timestamp,
    ) -> Result<Bound, VaultError> {
        let held = match self.cache.fresh(name, now) {
            Some(held) => held,
            None => self.fetch(name, now).await?,
        };
        usable(&held.credential, now)?;
        self.check_age(&held, now)?;
        place::check(&held.credential, server)?;
        Ok(Bound(held))
    }

    /// Lets a permitted call have the secret. It looks into the store only when the credential changed after it was bound:
    /// one revoked meanwhile is refused, one replaced meanwhile still goes out as the version that was recorded.
    ///
    /// # Errors
    /// When the permit is for another server, or the credential was revoked or rebound since.
    pub async fn open(&self, permit: &Permit, bound: &Bound) -> Result<Opened, VaultError> {
        let held = &bound.0;
        if permit.server() != &held.credential.server {
            let server = permit.server().clone();
            return Err(VaultError::ForeignServer { name: held.used.name.clone(), server });
        }
        self.depot.still_stands(held).await?;
        Ok(Opened { held: Arc::clone(held), depot: Arc::clone(&self.depot) })
    }

    /// Whether it goes into a query, where it may be logged on its way, and this was not asked about it before.
    pub fn is_newly_flagged(&self, bound: &Bound) -> bool {
        if bound.0.manner != Manner::Query {
            return false;
        }
        let mut flagged = self.flagged.lock().unwrap_or_else(PoisonError::into_inner);
        flagged.len() < CACHED_CREDENTIALS && flagged.insert(bound.0.used.name.clone())
    }

    async fn fetch(&self, name: &CredentialName, now: Timestamp) -> Result<Arc<Held>, VaultError> {
        for _ in 0..READS {
            let epoch = self.cache.epoch();
            let found = load::<Credential>(&*self.depot.store, name.as_str()).await?;
            let credential = found.ok_or_else(|| VaultError::Unknown(name.clone()))?.value;
            // Before anything else about it, so that the true reason is what the operator reads.
            usable(&credential, now)?;
            if matches!(credential.kind, CredentialKind::Rotator(_)) {
                return Err(VaultError::ForRotators(name.clone()));
            }
            let held = Arc::new(Held::new(credential, &self.endings, now)?);
            self.watch(&held);
            // Whoever switches to another version from here on sees that a call has this one. Before, it could not.
            if self.cache.epoch() == epoch {
                self.cache.keep(&held, epoch);
                return Ok(held);
            }
        }
        Err(VaultError::Changed(name.clone()))
    }

    fn watch(&self, held: &Arc<Held>) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|one| one.strong_count() > 0);
        read.push(Arc::downgrade(held));
    }
}

impl Depot {
    /// Whether a credential may still be used as it was bound. Asks the store only about one that is no longer the cached
    /// one.
    async fn still_stands(&self, held: &Held) -> Result<Option<String>, VaultError> {
        if held.current.load(Ordering::Acquire) {
            return Ok(None);
        }
        let name = &held.used.name;
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let stored = found.ok_or_else(|| VaultError::Unknown(name.clone()))?.value;
        ending::in_force(&stored)?;
        let bound = &held.credential;
        let alike = ending::is_bound_alike(&stored, bound) && stored.owner == bound.owner;
        let mut versions = stored.versions.into_iter();
        let same = versions.find(|version| alike && sealing::same(&version.sealed, &held.version.sealed));
        same.map(|version| Some(version.sealed)).ok_or_else(|| VaultError::Changed(name.clone()))
    }
}

impl Calls for Vault {
    fn carrying(&self, name: &CredentialName, version: u32) -> usize {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let held = read.iter().filter_map(Weak::upgrade);
        let held = held.filter(|held| &held.used.name == name && held.used.version == version);
        // Ours, and the cache's.
        held.map(|held| {
            let others = 1 + usize::from(held.current.load(Ordering::Acquire));
            Arc::strong_count(&held).saturating_sub(others)
        })
        .sum()
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
    /// Becomes true when it may not be used any more; what was begun with it ends then.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.0.ended.clone()
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
    /// For a request to this server, whose dialer opens it.
    ///
    /// # Errors
    /// When it may not go where the server is.
    pub fn present(self, server: &Server) -> Result<Presented, VaultError> {
        place::check(&self.held.credential, server)?;
        Ok(Presented::new(Arc::new(self)))
    }

    /// The secret as the upstream gets it.
    async fn plain(&self) -> Result<Plain, VaultError> {
        // It may have been on its way for long: a session with an upstream lasts.
        let sealed = self.depot.still_stands(&self.held).await?;
        self.held.plain(&self.depot.key, sealed.as_deref().unwrap_or(&self.held.version.sealed))
    }
}

#[async_trait]
impl Presentable for Opened {
    fn used(&self) -> &CredentialUse {
        &self.held.used
    }
    fn manner(&self) -> Manner {
        self.held.manner
    }
    async fn open(&self) -> Result<Plain, DialError> {
        self.plain().await.map_err(|error| DialError::Credential(error.to_string()))
    }
    fn is_ended(&self) -> bool {
        *self.held.ended.borrow()
    }
    fn ended(&self) -> Ending {
        // Without what is held: whoever waits for the end is no call that carries it.
        let mut ended = self.held.ended.clone();
        Box::pin(async move {
            if ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
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

/// A credential as it was read, its secret still sealed.
struct Held {
    credential: Arc<Credential>,
    version: SealedVersion,
    used: CredentialUse,
    manner: Manner,
    read_at: Timestamp,
    /// Set while this is what the cache holds, so that whoever still has it knows when it is not.
    current: AtomicBool,
    ended: Ended,
}

impl Held {
    fn new(mut credential: Credential, endings: &Endings, read_at: Timestamp) -> Result<Self, VaultError> {
        let unusable = || VaultError::Unusable(credential.name.clone());
        rules::kind(&credential.kind).map_err(|_| unusable())?;
        let version = credential.in_use().cloned().ok_or_else(unusable)?;
        let used = CredentialUse { name: credential.name.clone(), version: version.number };
        let manner = place::manner(&credential.kind);
        credential.versions.clear();
        let credential = Arc::new(credential);
        let ended = endings.of(&credential, version.number);
        Ok(Self { credential, version, used, manner, read_at, current: AtomicBool::new(false), ended })
    }

    fn plain(&self, key: &SealingKey, sealed: &str) -> Result<Plain, VaultError> {
        let unusable = || VaultError::Unusable(self.used.name.clone());
        let context = credential::context(&self.credential, self.version.number);
        let secret = sealing::open(key, &context, sealed)
            .map_err(|why| VaultError::Sealed { name: self.used.name.clone(), why })?;
        // What is stored may be older than the rules.
        let secret = rules::secret(&self.credential.kind, &secret).map_err(|_| unusable())?;
        let text = || String::from_utf8(secret.expose().clone()).map(Secret::new).map_err(|_| unusable());
        let header = |value: Secret<Vec<u8>>| {
            let name = rules::header(&self.credential.kind).map_err(|_| unusable())?;
            Ok(Plain::Header(name, sensitive(value).ok_or_else(unusable)?))
        };
        match &self.credential.kind {
            CredentialKind::Bearer => header(Secret::new([b"Bearer ".as_slice(), secret.expose()].concat())),
            CredentialKind::Header(_) => header(secret),
            CredentialKind::Basic(user) => {
                // A rotation gives each of two users its own secret.
                let user = self.version.account.as_ref().unwrap_or(user);
                let pair = Zeroizing::new([user.as_bytes(), b":", secret.expose()].concat());
                let encoded = Zeroizing::new(BASE64.encode(&pair));
                header(Secret::new([b"Basic ".as_slice(), encoded.as_bytes()].concat()))
            }
            CredentialKind::Rotator(_) => Err(VaultError::ForRotators(self.used.name.clone())),
            CredentialKind::Query(name) => Ok(Plain::Query(name.clone(), secret)),
            CredentialKind::ClientCertificate => Ok(Plain::Certificate(secret)),
            CredentialKind::Ssh(_) => Ok(Plain::SshKey(secret)),
            CredentialKind::Environment(name) => Ok(Plain::Environment(vec![(name.clone(), text()?)])),
            CredentialKind::Postgres(role) => {
                let role = self.version.account.as_ref().unwrap_or(role).clone();
                Ok(Plain::Environment(vec![
                    ("PGUSER".to_owned(), Secret::new(role)),
                    ("PGPASSWORD".to_owned(), text()?),
                ]))
            }
        }
    }
}

/// A header value that is neither printed nor indexed by HPACK.
fn sensitive(value: Secret<Vec<u8>>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(value.into_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
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
    ending::in_force(credential)?;
    let missing = credential::missing(credential);
    if !missing.is_empty() {
        return Err(VaultError::Incomplete { name: name(), missing });
    }
    match credential.expires_at {
        Some(end) if end.is_past(now) => Err(VaultError::Expired(name())),
        _ => Ok(()),
    }
}
