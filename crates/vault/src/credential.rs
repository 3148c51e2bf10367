//! The life of a credential: added with an owner and an expiry, replaced by new versions, listed, shown, revoked. Every
//! step is recorded before it is taken (law 1); one that then fails is recorded as failed.

use crate::ring::SealingKey;
use crate::rules;
use crate::sealing::{self, Context, SealingError};
use crate::vault::Missing;
use portunus_core::document::{
    Credential, CredentialKind, Disabled, RotationPlan, SealedVersion, Tested, VersionState, Waiver,
};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::CREDENTIAL_VERSIONS;
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Store, StoreError, Versioned, list_all, load};
use portunus_core::time::{Rng, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a revocation is tried anew when the credential changes under it.
const REVOKE_ATTEMPTS: usize = 16;

/// A credential to be added.
#[derive(Debug, Clone)]
pub struct New {
    /// Its name; must be free.
    pub name: CredentialName,
    /// How it is presented.
    pub kind: CredentialKind,
    /// Who answers for it; not empty.
    pub owner: String,
    /// What it is for; not empty.
    pub purpose: String,
    /// Where it belongs.
    pub environment: Option<String>,
    /// Who issued it.
    pub vendor: Option<String>,
    /// What it allows at its upstream.
    pub scopes: Vec<String>,
    /// The only hosts it may go to, one at least: `name[:port]`, the port when it is not the scheme's own.
    pub hosts: Vec<String>,
    /// The only server it is for.
    pub server: ServerName,
    /// When it ends; in the future.
    pub expires_at: Timestamp,
    /// How its secret is changed.
    pub rotation: Option<RotationPlan>,
    /// As read from a file or standard input; a line end at its end is dropped.
    pub secret: Secret<Vec<u8>>,
    /// Who adds it.
    pub by: String,
}

/// A new version of a credential; all else stays.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Whose secret is replaced.
    pub name: CredentialName,
    /// See [`New::secret`].
    pub secret: Secret<Vec<u8>>,
    /// When the credential ends now; in the future.
    pub expires_at: Timestamp,
    /// Who replaces it.
    pub by: String,
}

/// A credential as people see it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub name: CredentialName,
    /// How it is presented.
    pub kind: CredentialKind,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// Where it belongs.
    pub environment: Option<String>,
    /// Who issued it.
    pub vendor: Option<String>,
    /// What it allows at its upstream.
    pub scopes: Vec<String>,
    /// The only hosts it may go to.
    pub hosts: Vec<String>,
    /// The only server it is for.
    pub server: ServerName,
    /// Whether the request path takes it.
    pub status: Status,
    /// The version in use; 0: none.
    pub version: u32,
    /// When that version was added.
    pub version_created_at: Option<Timestamp>,
    /// Every version that is kept.
    pub versions: Vec<VersionSummary>,
    /// How its secret is changed.
    pub rotation: Option<RotationPlan>,
    /// What was found the last time that an ended secret was tried.
    pub tested: Option<Tested>,
    /// Why nobody may use it for now.
    pub disabled: Option<Disabled>,
    /// Until when its age is put up with.
    pub waiver: Option<Waiver>,
    /// When the credential was added.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A version as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSummary {
    /// From 1.
    pub number: u32,
    /// What becomes of it.
    pub state: VersionState,
    /// Names its secret without telling anything about it.
    pub fingerprint: String,
    /// Whom it belongs to at the upstream.
    pub account: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Whether somebody replaced it by hand and it was not seen dead since.
    pub owed: bool,
    /// What was seen of it when it was tried.
    pub seen: Option<Tested>,
}

/// Whether the request path takes a credential, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Active,
    /// It was revoked.
    Revoked,
    /// Nobody may use it for now.
    Disabled,
    /// Nobody answers for it.
    Ownerless,
    /// Nobody said what it is for.
    Purposeless,
    /// It has no expiry.
    Endless,
    /// Its end has come.
    Expired,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Something given breaks a rule.
    #[error("the credential's {what} is not valid: {why}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// The rule.
        why: &'static str,
    },
    /// The name is taken.
    #[error("there is a credential `{0}` already; use another name, or replace its secret with --replace")]
    Exists(CredentialName),
    /// There is no such credential.
    #[error("there is no credential `{0}`; `portunus cred list` names them")]
    Unknown(CredentialName),
    /// A revoked credential stays revoked.
    #[error("the credential `{0}` is revoked for good; add the new secret under another name")]
    Revoked(CredentialName),
    /// The secret could not be sealed.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The store did not take it, or somebody else changed the credential at the same time.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger did not record it, so it was not done.
    #[error("nothing was changed, because it could not be recorded: {0}")]
    Ledger(#[from] LedgerError),
}

/// Adds a credential.
///
/// # Errors
/// When a field breaks its rule, the name is taken, or the store or the ledger fails.
pub async fn add(
    store: &dyn Store,
    ledger: &dyn Ledger,
    key: &SealingKey,
    new: New,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Summary, CredentialError> {
    let credential = seal_new(key, &new, now, rng)?;
    if load::<Credential>(store, credential.name.as_str()).await?.is_some() {
        return Err(CredentialError::Exists(new.name));
    }
    let event = event("credential.added", &credential, &new.by, now);
    match recorded(store, ledger, event, || Batch::new().insert(&credential)).await {
        Err(CredentialError::Store(StoreError::Conflict { .. })) => Err(CredentialError::Exists(new.name)),
        other => other.map(|()| summarize(&credential, now)),
    }
}

/// Adds a version to a credential, which is used from then on.
///
/// # Errors
/// When there is no such credential, it is revoked, a field breaks its rule, or the store or the ledger fails.
pub async fn add_version(
    store: &dyn Store,
    ledger: &dyn Ledger,
    key: &SealingKey,
    replacement: Replacement,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Summary, CredentialError> {
    let Versioned { value: mut credential, version } = existing(store, &replacement.name).await?;
    if credential.revoked_at.is_some() {
        return Err(CredentialError::Revoked(replacement.name));
    }
    demand_future(replacement.expires_at, now)?;
    let secret = rules::secret(&credential.kind, &replacement.secret).map_err(invalid("secret"))?;
    credential.expires_at = Some(replacement.expires_at);
    seal_version(key, &mut credential, &secret, now, rng)?;
    let event = event("credential.replaced", &credential, &replacement.by, now);
    recorded(store, ledger, event, || Batch::new().update(&credential, version)).await?;
    Ok(summarize(&credential, now))
}

/// Every credential, in order of name.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &dyn Store, now: Timestamp) -> Result<Vec<Summary>, CredentialError> {
    let all = list_all::<Credential>(store, None).await?;
    Ok(all.iter().map(|credential| summarize(&credential.value, now)).collect())
}

/// One credential.
///
/// # Errors
/// When there is none of this name, or the store fails.
pub async fn show(
    store: &dyn Store,
    name: &CredentialName,
    now: Timestamp,
) -> Result<Summary, CredentialError> {
    Ok(summarize(&existing(store, name).await?.value, now))
}

/// Revokes a credential for good: when this returns, no call on this node gets it any more. Revoking it again changes
/// nothing.
///
/// # Errors
/// When there is none of this name, or the store or the ledger fails.
pub async fn revoke(
    store: &dyn Store,
    ledger: &dyn Ledger,
    name: &CredentialName,
    by: &str,
    now: Timestamp,
) -> Result<Summary, CredentialError> {
    let mut attempts = 0;
    loop {
        let Versioned { value: mut credential, version } = existing(store, name).await?;
        if credential.revoked_at.is_some() {
            return Ok(summarize(&credential, now));
        }
        credential.revoked_at = Some(now);
        // What was seen of an older version says nothing about these.
        credential.tested = None;
        let event = event("credential.revoked", &credential, by, now);
        attempts += 1;
        match recorded(store, ledger, event, || Batch::new().update(&credential, version)).await {
            // Replaced at the same moment: what is revoked is the credential, whichever version it is at.
            Err(CredentialError::Store(StoreError::Conflict { .. })) if attempts < REVOKE_ATTEMPTS => {}
            other => return other.map(|()| summarize(&credential, now)),
        }
    }
}

/// Whether the request path takes the credential at `now`.
pub(crate) fn status(credential: &Credential, now: Timestamp) -> Status {
    if credential.revoked_at.is_some() {
        return Status::Revoked;
    }
    if credential.disabled.is_some() {
        return Status::Disabled;
    }
    match (missing(credential).first(), credential.expires_at) {
        (Some(Missing::Owner), _) => Status::Ownerless,
        (Some(Missing::Purpose), _) => Status::Purposeless,
        (Some(Missing::Expiry), _) => Status::Endless,
        (None, Some(end)) if end.is_past(now) => Status::Expired,
        (None, _) => Status::Active,
    }
}

/// All that an active credential must have and that this one has not.
pub(crate) fn missing(credential: &Credential) -> Vec<Missing> {
    let ownerless = credential.owner.as_deref().is_none_or(|owner| owner.trim().is_empty());
    let all = [
        (ownerless, Missing::Owner),
        (credential.purpose.trim().is_empty(), Missing::Purpose),
        (credential.expires_at.is_none(), Missing::Expiry),
    ];
    all.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
}

/// What the given version of the credential is sealed to.
pub(crate) fn context(credential: &Credential, version: u32) -> Context {
    Context::credential(&credential.name, version, &credential.kind, &credential.server, &credential.hosts)
}

fn seal_new(
    key: &SealingKey,
    new: &New,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Credential, CredentialError> {
    if new.owner.trim().is_empty() {
        return Err(CredentialError::Invalid { what: "owner", why: "somebody must answer for it" });
    }
    if new.purpose.trim().is_empty() {
        return Err(CredentialError::Invalid {
            what: "purpose",
            why: "somebody must be able to tell what it is for",
        });
    }
    rules::text(&new.owner).map_err(invalid("owner"))?;
    rules::text(&new.purpose).map_err(invalid("purpose"))?;
    rules::kind(&new.kind).map_err(invalid("kind"))?;
    demand_future(new.expires_at, now)?;
    let secret = rules::secret(&new.kind, &new.secret).map_err(invalid("secret"))?;
    let mut credential = Credential {
        name: new.name.clone(),
        kind: new.kind.clone(),
        owner: Some(new.owner.trim().to_owned()),
        purpose: new.purpose.clone(),
        environment: new.environment.clone(),
        vendor: new.vendor.clone(),
        scopes: new.scopes.clone(),
        hosts: rules::hosts(&new.hosts).map_err(invalid("host"))?,
        server: new.server.clone(),
        expires_at: Some(new.expires_at),
        rotation: new.rotation.clone(),
        versions: Vec::new(),
        numbered: 0,
        tested: None,
        disabled: None,
        waiver: None,
        exposed_at: None,
        revoked_at: None,
        created_at: now,
    };
    check_labels(&credential)?;
    seal_version(key, &mut credential, &secret, now, rng)?;
    Ok(credential)
}

/// The short words about a credential.
pub(crate) fn check_labels(credential: &Credential) -> Result<(), CredentialError> {
    rules::label(credential.environment.as_deref()).map_err(invalid("environment"))?;
    rules::label(credential.vendor.as_deref()).map_err(invalid("vendor"))?;
    rules::scopes(&credential.scopes).map_err(invalid("scopes"))?;
    credential.rotation.as_ref().map_or(Ok(()), rules::rotation).map_err(invalid("rotation"))
}

fn seal_version(
    key: &SealingKey,
    credential: &mut Credential,
    secret: &Secret<Vec<u8>>,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<(), CredentialError> {
    let number = credential.next_number();
    let sealed = sealing::seal(key, &context(credential, number), secret.expose(), rng)?;
    for old in &mut credential.versions {
        // What a rotation made or is ending, it ends itself.
        old.by_hand |= old.state == VersionState::Active;
        old.state = VersionState::Retired;
    }
    credential.numbered = number;
    credential.versions.push(SealedVersion {
        number,
        created_at: now,
        sealed,
        fingerprint: key.fingerprint(secret.expose()),
        state: VersionState::Active,
        account: None,
        by_hand: false,
        seen: None,
    });
    prune(credential);
    Ok(())
}

/// Drops versions that are over until no more are kept than may be: the oldest first, but those that were not seen dead last.
pub(crate) fn prune(credential: &mut Credential) {
    while credential.versions.len() > CREDENTIAL_VERSIONS {
        let over = |version: &SealedVersion| version.state == VersionState::Retired;
        let dead = credential.versions.iter().position(|version| over(version) && !version.is_owed());
        let Some(at) = dead.or_else(|| credential.versions.iter().position(over)) else { return };
        credential.versions.remove(at);
    }
}

pub(crate) async fn existing(
    store: &dyn Store,
    name: &CredentialName,
) -> Result<Versioned<Credential>, CredentialError> {
    load(store, name.as_str()).await?.ok_or_else(|| CredentialError::Unknown(name.clone()))
}

/// Records the event, then commits the batch; a commit that fails is recorded too.
pub(crate) async fn recorded(
    store: &dyn Store,
    ledger: &dyn Ledger,
    event: Event,
    batch: impl FnOnce() -> Batch,
) -> Result<(), CredentialError> {
    let failed = Event { action: format!("{}.failed", event.action), ..event.clone() };
    ledger.append(Record::Event(event)).await?;
    match store.commit(batch()).await {
        Ok(_) => Ok(()),
        Err(error) => {
            // The commit's error is what the caller must hear, whether or not this can be recorded.
            let _ = ledger.append(Record::Event(failed)).await;
            Err(error.into())
        }
    }
}

pub(crate) fn event(action: &str, credential: &Credential, by: &str, now: Timestamp) -> Event {
    let mut detail = BTreeMap::from([
        ("server".to_owned(), credential.server.to_string()),
        ("host".to_owned(), credential.hosts.join(" ")),
        ("owner".to_owned(), credential.owner.clone().unwrap_or_default()),
        ("version".to_owned(), version(credential).to_string()),
    ]);
    if let Some(end) = credential.expires_at {
        detail.insert("expires_at".to_owned(), end.to_string());
    }
    Event {
        at: now,
        by: by.to_owned(),
        action: action.to_owned(),
        subject: credential.name.to_string(),
        detail,
    }
}

pub(crate) fn summarize(credential: &Credential, now: Timestamp) -> Summary {
    Summary {
        name: credential.name.clone(),
        kind: credential.kind.clone(),
        owner: credential.owner.clone(),
        purpose: credential.purpose.clone(),
        environment: credential.environment.clone(),
        vendor: credential.vendor.clone(),
        scopes: credential.scopes.clone(),
        hosts: credential.hosts.clone(),
        server: credential.server.clone(),
        status: status(credential, now),
        version: version(credential),
        version_created_at: credential.in_use().map(|version| version.created_at),
        versions: credential.versions.iter().map(|version| summarize_version(credential, version)).collect(),
        rotation: credential.rotation.clone(),
        tested: credential.tested.clone(),
        disabled: credential.disabled.clone(),
        waiver: credential.waiver.clone(),
        created_at: credential.created_at,
        expires_at: credential.expires_at,
        revoked_at: credential.revoked_at,
    }
}

fn summarize_version(credential: &Credential, version: &SealedVersion) -> VersionSummary {
    VersionSummary {
        owed: credential.owed().any(|owed| owed.number == version.number),
        seen: version.seen.clone(),
        number: version.number,
        state: version.state,
        fingerprint: version.fingerprint.clone(),
        account: version.account.clone(),
        created_at: version.created_at,
    }
}

fn version(credential: &Credential) -> u32 {
    credential.in_use().map_or(0, |version| version.number)
}

pub(crate) fn demand_future(end: Timestamp, now: Timestamp) -> Result<(), CredentialError> {
    if end.is_past(now) {
        return Err(CredentialError::Invalid { what: "expiry", why: "it must be in the future" });
    }
    Ok(())
}

pub(crate) fn invalid(what: &'static str) -> impl Fn(&'static str) -> CredentialError {
    move |why| CredentialError::Invalid { what, why }
}
