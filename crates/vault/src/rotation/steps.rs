//! Each step of a rotation: record it, try it, commit what it gave together with the step that follows.

use super::engine::{self, BY_ITSELF, Engine};
use super::rotator::{Administrator, Case, Created, Known, Origin, Rotator, RotatorError, Verdict, Version};
use super::{Next, RotationError, door, due};
use crate::{credential, rules};
use portunus_core::document::{
    Credential, Rotation, RotationStep, SealedVersion, TestOutcome, Tested, VersionState,
};
use portunus_core::limits::{ROTATION_ACCOUNT_BYTES, ROTATION_DRAIN};
use portunus_core::record::LedgerError;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, StoreError, Versioned};
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};

/// What a step works on: both documents as they were read.
pub(super) struct Turn {
    pub(super) credential: Versioned<Credential>,
    pub(super) rotation: Versioned<Rotation>,
    pub(super) now: Timestamp,
}

/// Why a step did not come to its end.
pub(super) enum Halt {
    /// Ours: nothing is known to have changed.
    Failed(RotationError),
    /// The upstream's, or the plan's: it is noted, and tried again.
    Refused(RotatorError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}
impl From<RotatorError> for Halt {
    fn from(error: RotatorError) -> Self {
        Self::Refused(error)
    }
}

type Step = Result<Next, Halt>;

pub(super) async fn take(engine: &Engine, turn: &mut Turn) -> Step {
    let step = turn.rotation.value.step;
    if let Some(why) = turn.hindrance() {
        turn.rotation.value.last_error = Some(why.to_owned());
        return turn.advance(engine, RotationStep::Undo, false).await;
    }
    match step {
        RotationStep::Create => create(engine, turn).await,
        RotationStep::Verify => verify(engine, turn).await,
        RotationStep::Switch => switch(engine, turn).await,
        RotationStep::Drain => drained(engine, turn).await,
        RotationStep::Disable => disable(engine, turn).await,
        RotationStep::VerifyDead => verify_dead(engine, turn).await,
        RotationStep::Delete => delete(engine, turn).await,
        RotationStep::Undo => undo(engine, turn).await,
        RotationStep::Done | RotationStep::Failed => Ok(Next::Idle),
    }
}

async fn create(engine: &Engine, turn: &mut Turn) -> Step {
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let made = {
        let case = scene.case(turn);
        let origin = scene.rotator.plan(&case).map_err(RotatorError::Wrong)?.origin;
        if origin == Origin::Ours && scene.new.is_none() {
            return Err(RotatorError::Wrong(String::from("the new secret is gone")).into());
        }
        let made = scene.rotator.create(&case, &scene.new_version(turn)).await;
        made.map_err(|error| scene.clean(error))?
    };
    keep(engine, turn, made)?;
    turn.advance(engine, RotationStep::Verify, true).await
}

/// Notes in both documents what the upstream made.
fn keep(engine: &Engine, turn: &mut Turn, made: Created) -> Result<(), Halt> {
    let now = turn.now;
    let (rotation, credential) = (&mut turn.rotation.value, &mut turn.credential.value);
    let Created { secret, account, handle, lapses_at } = made;
    // Kept first, also of what turns out unusable: it must be known to be removed.
    for name in [&account, &handle].into_iter().flatten() {
        if name.is_empty() || name.len() > ROTATION_ACCOUNT_BYTES || name.chars().any(char::is_control) {
            let why = format!("the account or handle must be 1 to {ROTATION_ACCOUNT_BYTES} bytes of text");
            return Err(RotatorError::Wrong(why).into());
        }
    }
    if account.is_some() {
        rotation.account = account;
    }
    if let Some(handle) = handle {
        rotation.handles.insert(rotation.to, handle);
    }
    if let Some(end) = lapses_at {
        rotation.lapses.insert(rotation.to, end);
    }
    let account = rotation.account.clone();
    let stored = rotation.stored;
    match (secret, version_mut(credential, rotation.to).filter(|_| stored)) {
        (_, Some(version)) => version.account = account,
        (Some(secret), None) => {
            let secret = rules::secret(&credential.kind, &secret);
            let secret =
                secret.map_err(|why| RotatorError::Wrong(format!("the new secret is not usable: {why}")))?;
            let sealed = engine::seal(engine, credential, rotation.to, &secret, account, now);
            credential.versions.push(sealed.map_err(Halt::Failed)?);
            rotation.stored = true;
        }
        (None, None) => return Err(RotatorError::Wrong(String::from("the upstream gave no secret")).into()),
    }
    Ok(())
}

async fn verify(engine: &Engine, turn: &mut Turn) -> Step {
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let verified = scene.rotator.verify(&scene.case(turn), &scene.new_version(turn)).await;
    verified.map_err(|error| scene.clean(error))?;
    turn.advance(engine, RotationStep::Switch, false).await
}

async fn switch(engine: &Engine, turn: &mut Turn) -> Step {
    turn.record(engine, &[]).await?;
    let (from, to) = (turn.rotation.value.from, turn.rotation.value.to);
    for version in &mut turn.credential.value.versions {
        version.state = match version.state {
            _ if version.number == to => VersionState::Active,
            _ if version.number == from => VersionState::Draining,
            VersionState::Active => VersionState::Retired,
            other => other,
        };
    }
    turn.advance(engine, RotationStep::Drain, true).await
}

/// Whether calls that carry the old version are still waited for.
pub(super) fn drains(engine: &Engine, credential: &Credential, rotation: &Rotation, now: Timestamp) -> bool {
    let settings = credential.rotation.as_ref().map(|plan| &plan.settings);
    let longest = settings.map_or(Ok(ROTATION_DRAIN), due::drain).unwrap_or(ROTATION_DRAIN);
    let waited = now.since(rotation.step_at);
    let busy = engine.calls.carrying(&rotation.credential, rotation.from) > 0;
    waited < engine.settle || (busy && waited < longest)
}

async fn drained(engine: &Engine, turn: &mut Turn) -> Step {
    let left = engine.calls.carrying(&turn.rotation.value.credential, turn.rotation.value.from).to_string();
    turn.record(engine, &[("calls_left", &left)]).await?;
    turn.advance(engine, RotationStep::Disable, false).await
}

async fn disable(engine: &Engine, turn: &mut Turn) -> Step {
    if turn.old().is_none() {
        return lost(engine, turn).await;
    }
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let disabled = scene.rotator.disable(&scene.case(turn), &scene.old_version(turn)).await;
    disabled.map_err(|error| scene.clean(error))?;
    let attempts = turn.rotation.value.attempts;
    // Attempts go on counting when the old secret was found alive, so that the pauses grow.
    turn.set(RotationStep::VerifyDead);
    turn.rotation.value.attempts = attempts;
    turn.commit(engine, false).await
}

async fn verify_dead(engine: &Engine, turn: &mut Turn) -> Step {
    if turn.old().is_none() {
        return lost(engine, turn).await;
    }
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let tried = scene.rotator.verify_dead(&scene.case(turn), &scene.old_version(turn)).await;
    let Verdict { outcome, detail } = tried.map_err(|error| scene.clean(error))?;
    let RotatorError::Later(detail) = scene.clean(RotatorError::Later(detail)) else {
        return Ok(Next::Again);
    };
    let (version, at) = (turn.rotation.value.from, turn.now);
    turn.credential.value.tested = Some(Tested { at, version, outcome, detail: detail.clone() });
    if outcome != TestOutcome::Alive {
        return turn.advance(engine, RotationStep::Delete, true).await;
    }
    turn.record_as(engine, "alive", &[("detail", &detail)]).await?;
    let attempts = turn.rotation.value.attempts.saturating_add(1);
    turn.set(RotationStep::Disable);
    let why = format!("the old secret still works: {detail}");
    let rotation = &mut turn.rotation.value;
    (rotation.attempts, rotation.last_error) = (attempts, Some(why.clone()));
    rotation.retry_at = at.plus(due::pause(attempts, 0));
    let at = rotation.retry_at;
    turn.commit(engine, true).await?;
    Ok(Next::Stumbled { at, why })
}

async fn delete(engine: &Engine, turn: &mut Turn) -> Step {
    if turn.old().is_none() {
        return lost(engine, turn).await;
    }
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let deleted = scene.rotator.delete(&scene.case(turn), &scene.old_version(turn)).await;
    deleted.map_err(|error| scene.clean(error))?;
    let outcome =
        turn.credential.value.tested.as_ref().map_or("unverifiable", |tested| tested.outcome.word());
    turn.record_as(engine, "finished", &[("old_secret", outcome)]).await?;
    finish(engine, turn, RotationStep::Done).await
}

/// The old version was dropped from the credential before it was over, by replacements by hand: it can no longer be tried.
async fn lost(engine: &Engine, turn: &mut Turn) -> Step {
    let why = "the old version was dropped from the credential; end its secret at the upstream by hand";
    turn.record_as(engine, "finished", &[("old_secret", "unverifiable"), ("why", why)]).await?;
    turn.rotation.value.last_error = Some(why.to_owned());
    finish(engine, turn, RotationStep::Done).await
}

async fn undo(engine: &Engine, turn: &mut Turn) -> Step {
    turn.record(engine, &[]).await?;
    let scene = Scene::set(engine, turn).await?;
    let taken_back = {
        let (new, old) = (scene.new_version(turn), scene.old_version(turn));
        scene.rotator.undo(&scene.case(turn), &new, &old).await.map_err(|error| scene.clean(error))?
    };
    if let (Some(account), Some(old)) =
        (taken_back, version_mut(&mut turn.credential.value, turn.rotation.value.from))
    {
        old.account = Some(account);
    }
    let why = turn.rotation.value.last_error.clone().unwrap_or_default();
    turn.record_as(engine, "failed", &[("why", &why)]).await?;
    finish(engine, turn, RotationStep::Failed).await
}

async fn finish(engine: &Engine, turn: &mut Turn, how: RotationStep) -> Step {
    let error = turn.rotation.value.last_error.clone();
    turn.set(how);
    let (rotation, now) = (&mut turn.rotation.value, turn.now);
    rotation.ended_at = Some(now);
    rotation.last_error = error;
    let (over, known) =
        if how == RotationStep::Done { (rotation.from, true) } else { (rotation.to, rotation.stored) };
    if how == RotationStep::Done {
        rotation.failures = 0;
    } else {
        rotation.failures = rotation.failures.saturating_add(1);
        // The attempts have had their pauses: the next rotation comes later than the next attempt would.
        rotation.retry_at = now.plus(due::pause(rotation.failures.saturating_add(4), 0));
    }
    rotation.handles.remove(&over);
    rotation.lapses.remove(&over);
    if let Some(version) = version_mut(&mut turn.credential.value, over).filter(|_| known) {
        version.state = VersionState::Retired;
    }
    credential::prune(&mut turn.credential.value);
    turn.commit(engine, true).await?;
    Ok(Next::Ended(Box::new(turn.rotation.value.clone())))
}

fn version_mut(credential: &mut Credential, number: u32) -> Option<&mut SealedVersion> {
    credential.versions.iter_mut().find(|version| version.number == number)
}

impl Turn {
    fn version(&self, number: u32) -> Option<&SealedVersion> {
        self.credential.value.versions.iter().find(|version| version.number == number)
    }
    fn old(&self) -> Option<&SealedVersion> {
        self.version(self.rotation.value.from)
    }
    fn next(&self) -> Option<&SealedVersion> {
        self.version(self.rotation.value.to).filter(|_| self.rotation.value.stored)
    }

    /// Why a rotation that has not switched yet must not go on: somebody else has decided otherwise.
    fn hindrance(&self) -> Option<&'static str> {
        let (credential, rotation) = (&self.credential.value, &self.rotation.value);
        if rotation.step.has_switched() || rotation.step == RotationStep::Undo {
            return None;
        }
        if credential.revoked_at.is_some() {
            return Some("the credential was revoked");
        }
        if credential.in_use().map(|version| version.number) != Some(rotation.from) {
            return Some("the secret was replaced by hand");
        }
        let new = self.next().map(|version| version.state);
        let there = new == Some(VersionState::Pending);
        let may_lack = rotation.step == RotationStep::Create && new.is_none();
        (!there && !may_lack).then_some("the new version was replaced by hand")
    }

    /// Records the step that is about to be tried.
    async fn record(&self, engine: &Engine, more: &[(&str, &str)]) -> Result<(), Halt> {
        let verb = self.rotation.value.step.word();
        self.record_as(engine, verb, more).await
    }

    async fn record_as(&self, engine: &Engine, verb: &str, more: &[(&str, &str)]) -> Result<(), Halt> {
        let event = engine.event(verb, &self.rotation.value, BY_ITSELF, self.now, more);
        Ok(engine.record(event).await?)
    }

    fn set(&mut self, step: RotationStep) {
        let (rotation, now) = (&mut self.rotation.value, self.now);
        (rotation.step, rotation.step_at, rotation.retry_at, rotation.attempts) = (step, now, now, 0);
        if step != RotationStep::Undo {
            rotation.last_error = None;
        }
    }

    async fn advance(&mut self, engine: &Engine, step: RotationStep, credential: bool) -> Step {
        self.set(step);
        self.commit(engine, credential).await
    }

    /// Both documents must be as they were read, or nothing is stored.
    async fn commit(&self, engine: &Engine, credential: bool) -> Step {
        let batch = Batch::new().update(&self.rotation.value, self.rotation.version);
        let batch = if credential {
            batch.update(&self.credential.value, self.credential.version)
        } else {
            batch.check::<Credential>(self.credential.value.name.as_str(), self.credential.version)
        };
        engine.store.commit(batch).await?;
        Ok(Next::Again)
    }
}

/// What a rotator gets to see, opened for one step.
struct Scene<'a> {
    rotator: &'a dyn Rotator,
    settings: Map<String, Value>,
    administrator: Option<Administrator>,
    known: Vec<Known>,
    id: String,
    new: Option<Secret<Vec<u8>>>,
    old: Option<Secret<Vec<u8>>>,
    in_use: Option<Secret<Vec<u8>>>,
}

impl<'a> Scene<'a> {
    async fn set(engine: &'a Engine, turn: &Turn) -> Result<Self, Halt> {
        // Somebody must set right what is wrong here; until then it is tried again like anything else.
        let wrong = |error: RotationError| match error {
            RotationError::Store(error) => Halt::from(error),
            other => Halt::Refused(RotatorError::Later(other.to_string())),
        };
        let (credential, rotation) = (&turn.credential.value, &turn.rotation.value);
        let plan = credential.rotation.as_ref();
        let settings = plan.map(|plan| plan.settings.clone()).unwrap_or_default();
        let (_, rotator) = engine.plan_of(credential).map_err(wrong)?;
        let administrator =
            door::administrator(&*engine.store, &engine.key, credential, turn.now).await.map_err(wrong)?;
        let open = |version: Option<&SealedVersion>| {
            let opened = version.map(|version| door::version(&engine.key, credential, version));
            opened.transpose().map_err(|error| wrong(error.into()))
        };
        let (new, old, in_use) = (open(turn.next())?, open(turn.old())?, open(credential.in_use())?);
        let (known, id) = (engine::known(credential, rotation), engine::id(rotation));
        Ok(Self { rotator, settings, administrator, known, id, new, old, in_use })
    }

    fn case<'b>(&'b self, turn: &'b Turn) -> Case<'b> {
        Case {
            credential: &turn.credential.value,
            settings: &self.settings,
            administrator: self.administrator.as_ref(),
            known: &self.known,
            in_use: self.in_use.as_ref(),
            id: &self.id,
            now: turn.now,
        }
    }

    fn new_version<'b>(&'b self, turn: &'b Turn) -> Version<'b> {
        let rotation = &turn.rotation.value;
        Version {
            number: rotation.to,
            account: rotation.account.as_deref(),
            handle: rotation.handles.get(&rotation.to).map(String::as_str),
            secret: self.new.as_ref(),
        }
    }

    fn old_version<'b>(&'b self, turn: &'b Turn) -> Version<'b> {
        let rotation = &turn.rotation.value;
        Version {
            number: rotation.from,
            account: turn.old().and_then(|old| old.account.as_deref()),
            handle: rotation.handles.get(&rotation.from).map(String::as_str),
            secret: self.old.as_ref(),
        }
    }

    fn clean(&self, error: RotatorError) -> RotatorError {
        let administrator = self.administrator.as_ref().map(Administrator::secret);
        let secrets: Vec<_> = [self.new.as_ref(), self.old.as_ref(), self.in_use.as_ref(), administrator]
            .into_iter()
            .flatten()
            .collect();
        engine::clean(error, &secrets)
    }
}
