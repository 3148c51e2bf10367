//! A rotation begun, and taken one step further. Which step, what it asks of whom, and what follows is in
//! [`steps`](super::steps); here is what all steps have in common: one node at a time, the pause, what a failure means.

use super::rotator::{Case, Known, Origin, Rotator, RotatorError};
use super::steps::{self, Turn};
use super::{Calls, Next, RotationError, door, due};
use crate::credential::{self, Status};
use crate::ring::SealingKey;
use crate::sealing;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::document::{
    Credential, Lease, Rotation, RotationPlan, RotationStep, SealedVersion, Setting, VersionState,
};
use portunus_core::id::CredentialName;
use portunus_core::lease;
use portunus_core::limits::{ROTATION_ATTEMPTS, ROTATION_ERROR_BYTES, ROTATION_LEASE};
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Expect, Store, StoreError, Versioned, list_all, load};
use portunus_core::time::{Rng, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Set while nothing is rotated.
const PAUSED: &str = "rotations-paused";
/// How long until a look whether rotations are still paused, or another node still busy.
const LOOK: Duration = Duration::from_secs(10);
/// How long until a look whether calls still carry the old version.
const DRAIN_LOOK: Duration = Duration::from_millis(100);

/// Changes secrets.
pub struct Engine {
    pub(super) store: Arc<dyn Store>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) key: SealingKey,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) calls: Arc<dyn Calls>,
    rotators: HashMap<String, Arc<dyn Rotator>>,
    holder: String,
    /// How long calls may still begin with the old version after the switch.
    pub(super) settle: Duration,
}

/// What an engine works with.
pub struct Parts {
    /// Where credentials and rotations are.
    pub store: Arc<dyn Store>,
    /// Where each step is recorded first.
    pub ledger: Arc<dyn Ledger>,
    /// What secrets are sealed with.
    pub key: SealingKey,
    /// Where new secrets come from.
    pub rng: Arc<dyn Rng>,
    /// Who still uses an old version.
    pub calls: Arc<dyn Calls>,
    /// By the plan's `method`.
    pub rotators: HashMap<String, Arc<dyn Rotator>>,
    /// Names this process among those on the same store.
    pub holder: String,
    /// How long others on the same store may not know of a switch; zero where there are none.
    pub settle: Duration,
}

impl Engine {
    /// Over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, ledger, key, rng, calls, rotators, holder, settle } = parts;
        Self { store, ledger, key, rng, calls, rotators, holder, settle }
    }

    /// The names of the methods there are.
    #[must_use]
    pub fn methods(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.rotators.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Credentials and the moment at which something is to be done about each, the most urgent first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due(&self) -> Result<Vec<(Timestamp, CredentialName)>, RotationError> {
        let rotations = list_all::<Rotation>(&*self.store, None).await?;
        let rotations: HashMap<&str, &Rotation> =
            rotations.iter().map(|one| (one.value.credential.as_str(), &one.value)).collect();
        let credentials = list_all::<Credential>(&*self.store, None).await?;
        let moment = |credential: &Credential| {
            due::due(credential, rotations.get(credential.name.as_str()).copied())
                .map(|moment| (moment, credential.name.clone()))
        };
        let mut all: Vec<_> = credentials.iter().filter_map(|one| moment(&one.value)).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// Whether a rotation of this credential could begin now: that it may be used, and its plan is valid.
    ///
    /// # Errors
    /// Says what is in the way.
    pub async fn check(&self, credential: &Credential, now: Timestamp) -> Result<(), RotationError> {
        self.prepare(credential, None, BY_ITSELF, now).await.map(drop)
    }

    /// Takes from dead processes what they hold. Only for a store that nobody else has open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over(&self) -> Result<(), RotationError> {
        for lease in list_all::<Lease>(&*self.store, None).await? {
            if lease.value.name.starts_with(LEASE) {
                let expected = Expect::Version(lease.version);
                self.store.commit(Batch::new().delete::<Lease>(&lease.value.name, expected)).await?;
            }
        }
        Ok(())
    }

    /// Begins a rotation; one that is under way is given back as it is, and tried again at once. `by` is who wants it.
    ///
    /// # Errors
    /// When the credential has no valid plan or may not be used, rotations are paused, or the store or the ledger fails.
    pub async fn begin(
        &self,
        name: &CredentialName,
        by: &str,
        now: Timestamp,
    ) -> Result<Rotation, RotationError> {
        if self.paused().await?.is_some() {
            return Err(RotationError::Paused);
        }
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let Versioned { value: mut credential, version } =
            found.ok_or_else(|| RotationError::Unknown(name.clone()))?;
        let last = load::<Rotation>(&*self.store, name.as_str()).await?;
        if let Some(Versioned { value: mut open, version }) = last.clone()
            && open.step.is_open()
        {
            if open.retry_at > now {
                open.retry_at = now;
                self.store.commit(Batch::new().update(&open, version)).await?;
            }
            return Ok(open);
        }
        let (rotation, sealed) =
            self.prepare(&credential, last.as_ref().map(|last| &last.value), by, now).await?;
        let event = self.event("requested", &rotation, by, now, &[]);
        let begun = match &last {
            None => Batch::new().insert(&rotation),
            Some(last) => Batch::new().update(&rotation, last.version),
        };
        credential.versions.extend(sealed);
        credential.numbered = rotation.to;
        self.record(event).await?;
        self.store.commit(begun.update(&credential, version)).await?;
        Ok(rotation)
    }

    /// The rotation to begin, and the version to keep before anybody hears of its secret.
    async fn prepare(
        &self,
        credential: &Credential,
        last: Option<&Rotation>,
        by: &str,
        now: Timestamp,
    ) -> Result<(Rotation, Option<SealedVersion>), RotationError> {
        let name = &credential.name;
        let unusable = |status| RotationError::Unusable { name: name.clone(), status };
        match credential::status(credential, now) {
            Status::Revoked => return Err(unusable("revoked")),
            Status::Expired => return Err(unusable("expired")),
            _ => {}
        }
        let from = credential.in_use().ok_or_else(|| unusable("without a secret"))?.number;
        let to = credential.next_number();
        let mut rotation = Rotation {
            credential: name.clone(),
            step: RotationStep::Create,
            from,
            to,
            stored: false,
            account: None,
            by: by.to_owned(),
            attempts: 0,
            last_error: None,
            failures: last.map_or(0, |last| last.failures),
            started_at: now,
            step_at: now,
            retry_at: now,
            ended_at: None,
            handles: last.map(|last| last.handles.clone()).unwrap_or_default(),
            lapses: last.map(|last| last.lapses.clone()).unwrap_or_default(),
        };
        let (plan, rotator) = self.plan_of(credential)?;
        let settings = |why| RotationError::Settings { name: name.clone(), why };
        due::check(plan.every_seconds, &plan.settings).map_err(settings)?;
        let administrator = door::administrator(&*self.store, &self.key, credential, now).await?;
        let (known, id) = (known(credential, &rotation), id(&rotation));
        let case = Case {
            credential,
            settings: &plan.settings,
            administrator: administrator.as_ref(),
            known: &known,
            in_use: None,
            id: &id,
            now,
        };
        let planned = rotator.plan(&case).map_err(settings)?;
        rotation.account.clone_from(&planned.account);
        let sealed = match planned.origin {
            Origin::Theirs => None,
            Origin::Ours => {
                rotation.stored = true;
                let secret = self.make_secret();
                Some(seal(self, credential, to, &secret, planned.account, now)?)
            }
        };
        Ok((rotation, sealed))
    }

    /// Takes the rotation under way one step further, or says when to come again.
    ///
    /// # Errors
    /// When the store or the ledger fails, somebody else changed the credential in the meantime, or what the step needs
    /// cannot be opened; nothing is lost, and the step can be taken again.
    pub async fn step(&self, name: &CredentialName, now: Timestamp) -> Result<Next, RotationError> {
        let Some(rotation) = load::<Rotation>(&*self.store, name.as_str()).await? else {
            return Ok(Next::Idle);
        };
        if !rotation.value.step.is_open() {
            return Ok(Next::Idle);
        }
        if rotation.value.retry_at > now {
            return Ok(Next::At(rotation.value.retry_at));
        }
        if self.paused().await?.is_some() {
            return Ok(Next::At(now.plus(LOOK)));
        }
        if rotation.value.step == RotationStep::Drain
            && let Some(credential) = load::<Credential>(&*self.store, name.as_str()).await?
            && steps::drains(self, &credential.value, &rotation.value, now)
        {
            return Ok(Next::At(now.plus(DRAIN_LOOK)));
        }
        let lease = lease_of(name);
        if !lease::take(&*self.store, &lease, &self.holder, ROTATION_LEASE, now).await? {
            return Ok(Next::At(now.plus(LOOK)));
        }
        let taken = self.step_alone(name, now).await;
        // One that stays behind runs out by itself.
        let given_back = lease::give_back(&*self.store, &lease, &self.holder).await;
        let next = taken?;
        given_back?;
        Ok(next)
    }

    async fn step_alone(&self, name: &CredentialName, now: Timestamp) -> Result<Next, RotationError> {
        // Read again: another node may have taken steps before the lease was ours.
        let rotation = load::<Rotation>(&*self.store, name.as_str()).await?;
        let Some(rotation) = rotation.filter(|one| one.value.step.is_open() && one.value.retry_at <= now)
        else {
            return Ok(Next::Again);
        };
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let Some(credential) = found else { return self.forget(rotation, now).await };
        let mut turn = Turn { credential, rotation, now };
        match steps::take(self, &mut turn).await {
            Err(steps::Halt::Failed(error)) => Err(error),
            Err(steps::Halt::Refused(error)) => self.stumble(turn, &error).await,
            Ok(next) => Ok(next),
        }
    }

    /// Notes that an attempt failed. Before the switch a rotation that cannot succeed, or did not after some attempts, is
    /// taken back; after it, only forward leads to one live version, however long it takes.
    async fn stumble(&self, mut turn: Turn, error: &RotatorError) -> Result<Next, RotationError> {
        let why = error.to_string();
        let rotation = &mut turn.rotation.value;
        let (step, now) = (rotation.step, turn.now);
        rotation.attempts = rotation.attempts.saturating_add(1);
        rotation.last_error = Some(why.clone());
        let hopeless = matches!(error, RotatorError::Wrong(_)) || rotation.attempts >= ROTATION_ATTEMPTS;
        if hopeless && matches!(step, RotationStep::Create | RotationStep::Verify | RotationStep::Switch) {
            (rotation.step, rotation.attempts) = (RotationStep::Undo, 0);
        }
        let mut chance = [0];
        self.rng.fill(&mut chance);
        let [chance] = chance;
        let at = now.plus(due::pause(rotation.attempts, chance));
        rotation.retry_at = if rotation.attempts == 0 { now } else { at };
        let attempt = rotation.attempts.to_string();
        let detail = [("step", step.word()), ("attempt", &attempt), ("why", &why)];
        self.record(self.event("attempt_failed", rotation, BY_ITSELF, now, &detail)).await?;
        let at = rotation.retry_at;
        self.store.commit(Batch::new().update(&turn.rotation.value, turn.rotation.version)).await?;
        Ok(Next::Stumbled { at, why })
    }

    /// The credential is gone: there is nothing left to change.
    async fn forget(&self, rotation: Versioned<Rotation>, now: Timestamp) -> Result<Next, RotationError> {
        let Versioned { value: mut rotation, version } = rotation;
        (rotation.step, rotation.ended_at) = (RotationStep::Failed, Some(now));
        rotation.last_error = Some(String::from("the credential is gone"));
        self.record(self.event("failed", &rotation, BY_ITSELF, now, &[("why", "the credential is gone")]))
            .await?;
        self.store.commit(Batch::new().update(&rotation, version)).await?;
        Ok(Next::Ended(Box::new(rotation)))
    }

    /// Stops all rotations where they are, until [`Engine::resume`]: the kill switch. Versions stay as they are, so calls go
    /// on.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn pause(&self, by: &str, now: Timestamp) -> Result<(), RotationError> {
        self.record(event("rotations.paused", "", by, now)).await?;
        let setting = Setting { name: PAUSED.to_owned(), value: format!("by {by} at {now}") };
        self.store.commit(Batch::new().upsert(&setting)).await?;
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn resume(&self, by: &str, now: Timestamp) -> Result<(), RotationError> {
        self.record(event("rotations.resumed", "", by, now)).await?;
        self.store.commit(Batch::new().delete::<Setting>(PAUSED, Expect::Any)).await?;
        Ok(())
    }

    /// Who stopped all rotations, and when.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn paused(&self) -> Result<Option<String>, StoreError> {
        Ok(load::<Setting>(&*self.store, PAUSED).await?.map(|setting| setting.value.value))
    }

    /// The latest rotation of a credential.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn latest(&self, name: &CredentialName) -> Result<Option<Rotation>, StoreError> {
        Ok(load::<Rotation>(&*self.store, name.as_str()).await?.map(|found| found.value))
    }

    pub(super) fn plan_of<'a>(
        &self,
        credential: &'a Credential,
    ) -> Result<(&'a RotationPlan, &dyn Rotator), RotationError> {
        let name = || credential.name.clone();
        let plan = credential.rotation.as_ref().ok_or_else(|| RotationError::NoPlan(name()))?;
        let rotator = self.rotators.get(&plan.method).ok_or_else(|| RotationError::NoRotator {
            name: name(),
            method: plan.method.clone(),
            known: self.methods().join(", "),
        })?;
        Ok((plan, &**rotator))
    }

    pub(super) fn event(
        &self,
        verb: &str,
        rotation: &Rotation,
        by: &str,
        now: Timestamp,
        more: &[(&str, &str)],
    ) -> Event {
        let mut event = event(&format!("credential.rotation.{verb}"), rotation.credential.as_str(), by, now);
        let numbers = [("from", rotation.from.to_string()), ("to", rotation.to.to_string())];
        event.detail.extend(numbers.map(|(key, value)| (key.to_owned(), value)));
        event.detail.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        event
    }

    pub(super) async fn record(&self, event: Event) -> Result<(), LedgerError> {
        self.ledger.append(Record::Event(event)).await.map(drop)
    }

    fn make_secret(&self) -> Secret<Vec<u8>> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        self.rng.fill(&mut *bytes);
        Secret::new(BASE64URL_NOPAD.encode(&*bytes).into_bytes())
    }
}

/// Whom the ledger names when nobody asked.
pub(super) const BY_ITSELF: &str = "portunus";

/// A version that is not yet known to work.
pub(super) fn seal(
    engine: &Engine,
    credential: &Credential,
    number: u32,
    secret: &Secret<Vec<u8>>,
    account: Option<String>,
    now: Timestamp,
) -> Result<SealedVersion, RotationError> {
    let context = credential::context(credential, number);
    let sealed = sealing::seal(&engine.key, &context, secret.expose(), &*engine.rng)?;
    let fingerprint = engine.key.fingerprint(secret.expose());
    let state = VersionState::Pending;
    Ok(SealedVersion {
        number,
        created_at: now,
        sealed,
        fingerprint,
        state,
        account,
        by_hand: false,
        seen: None,
    })
}

/// What the upstream should know of this credential: every version that is neither over nor being made.
pub(super) fn known(credential: &Credential, rotation: &Rotation) -> Vec<Known> {
    let live = credential.versions.iter().filter(|version| version.state != VersionState::Retired);
    live.map(|version| Known {
        version: version.number,
        account: version.account.clone(),
        handle: rotation.handles.get(&version.number).cloned(),
    })
    .collect()
}

pub(super) fn id(rotation: &Rotation) -> String {
    format!("{}/{}", rotation.credential, rotation.to)
}

/// What the names of the leases of rotations begin with.
const LEASE: &str = "rotation:";

fn lease_of(name: &CredentialName) -> String {
    format!("{LEASE}{name}")
}

pub(super) fn event(action: &str, subject: &str, by: &str, now: Timestamp) -> Event {
    let (by, action, subject) = (by.to_owned(), action.to_owned(), subject.to_owned());
    Event { at: now, by, action, subject, detail: BTreeMap::new() }
}

/// The text for people and the ledger: without control characters, within its bound, and without what could be a secret.
pub(super) fn clean(error: RotatorError, secrets: &[&Secret<Vec<u8>>]) -> RotatorError {
    let clean = |text: String| {
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        for secret in secrets.iter().filter_map(|secret| std::str::from_utf8(secret.expose()).ok()) {
            if !secret.is_empty() {
                text = text.replace(secret, "[secret]");
            }
        }
        let end = (0..=text.len().min(ROTATION_ERROR_BYTES)).rfind(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text
    };
    match error {
        RotatorError::Later(text) => RotatorError::Later(clean(text)),
        RotatorError::Wrong(text) => RotatorError::Wrong(clean(text)),
    }
}
