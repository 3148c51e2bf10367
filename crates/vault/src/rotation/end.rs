//! A revoked credential's secrets, ended at the upstream and tried: the proof that revoking it worked.

use super::engine::{self, Engine};
use super::rotator::{Administrator, Case, Known, Rotator, RotatorError, Verdict, Version};
use super::{RotationError, door};
use portunus_core::document::{Credential, Rotation, SealedVersion, TestOutcome, Tested, VersionState};
use portunus_core::id::CredentialName;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, StoreError, Versioned, load};
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};

/// How often what was seen is noted anew when the credential changes meanwhile.
const ATTEMPTS: usize = 8;

/// How a secret is tried whose credential has no rotation plan.
pub struct Trial<'a> {
    /// Only asked whether a secret is dead.
    pub rotator: &'a dyn Rotator,
    /// What it needs to know.
    pub settings: Map<String, Value>,
}

impl Engine {
    /// Ends every secret of a revoked credential that may still be good: with its rotator the upstream is made to refuse it;
    /// without one it is only tried. What was seen of the version that calls carried last is noted in the credential. It may
    /// be asked again: whatever was not seen dead is ended and tried anew.
    ///
    /// # Errors
    /// When the credential is unknown or not revoked, a secret does not open, or the store or the ledger fails. That the
    /// upstream could not be reached is no error, but [`TestOutcome::Unverifiable`].
    pub async fn end(
        &self,
        name: &CredentialName,
        trial: Option<Trial<'_>>,
        by: &str,
        now: Timestamp,
    ) -> Result<Tested, RotationError> {
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let credential = found.ok_or_else(|| RotationError::Unknown(name.clone()))?.value;
        let Some(revoked_at) = credential.revoked_at else {
            return Err(RotationError::Unusable { name: name.clone(), status: "not revoked" });
        };
        if let Some(seen) = credential.tested.clone()
            && seen.outcome == TestOutcome::Dead
            && seen.at >= revoked_at
        {
            return Ok(seen);
        }
        self.record(engine::event("credential.ending", name.as_str(), by, now)).await?;
        let seen = self.end_all(&credential, trial, now).await?;
        self.note(name, &seen, by).await?;
        Ok(seen)
    }

    /// The worst of what was seen: one living secret is enough.
    async fn end_all(
        &self,
        credential: &Credential,
        trial: Option<Trial<'_>>,
        now: Timestamp,
    ) -> Result<Tested, RotationError> {
        let told =
            |version, outcome, detail: &str| Tested { at: now, version, outcome, detail: detail.to_owned() };
        let carried = credential.in_use().map_or(0, |version| version.number);
        let planned = self.plan_of(credential).ok().map(|(plan, rotator)| (rotator, plan.settings.clone()));
        let (rotator, settings, ends) = match (planned, trial) {
            (Some((rotator, settings)), _) => (rotator, settings, true),
            (None, Some(trial)) => (trial.rotator, trial.settings, false),
            (None, None) => {
                let text = "nothing here can try it; end it at its upstream by hand";
                return Ok(told(carried, TestOutcome::Unverifiable, text));
            }
        };
        let administrator = match door::administrator(&*self.store, &self.key, credential, now).await {
            Ok(administrator) => administrator,
            Err(RotationError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(told(carried, TestOutcome::Unverifiable, &error.to_string())),
        };
        let rotation = load::<Rotation>(&*self.store, credential.name.as_str()).await?;
        let known = known(credential, rotation.as_ref().map(|found| &found.value));
        let opened: Vec<_> = credential
            .versions
            .iter()
            .map(|version| (version, door::version(&self.key, credential, version)))
            .collect();
        // Whatever is said is said without any of them.
        let secrets: Vec<&Secret<Vec<u8>>> = opened
            .iter()
            .filter_map(|(_, secret)| secret.as_ref().ok())
            .chain(administrator.as_ref().map(Administrator::secret))
            .collect();
        let mut worst: Option<Tested> = None;
        for (version, secret) in &opened {
            let verdict = match secret {
                Err(error) => Verdict { outcome: TestOutcome::Unverifiable, detail: error.to_string() },
                Ok(secret) => {
                    let id = format!("{}/{}", credential.name, version.number);
                    let case = Case {
                        credential,
                        settings: &settings,
                        administrator: administrator.as_ref(),
                        known: &known,
                        in_use: Some(secret),
                        id: &id,
                        now,
                    };
                    // One that was replaced before is only tried: what it belonged to may have another secret by now.
                    let ends = ends && version.state != VersionState::Retired;
                    let tried = try_one(rotator, &case, &of(version, &known, secret), ends).await;
                    tried.unwrap_or_else(|error| Verdict {
                        outcome: TestOutcome::Unverifiable,
                        detail: error.to_string(),
                    })
                }
            };
            let detail = engine::clean(RotatorError::Later(verdict.detail), &secrets).to_string();
            let seen = told(version.number, verdict.outcome, &detail);
            if worst.as_ref().is_none_or(|worst| badness(seen.outcome) >= badness(worst.outcome)) {
                worst = Some(seen);
            }
        }
        Ok(worst.unwrap_or_else(|| {
            told(carried, TestOutcome::Unverifiable, "there is no secret to try any more")
        }))
    }

    /// Records what was seen of a revoked credential's secrets, and notes it there.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn note(&self, name: &CredentialName, seen: &Tested, by: &str) -> Result<(), RotationError> {
        let mut event = engine::event("credential.ended", name.as_str(), by, seen.at);
        event.detail.insert(String::from("outcome"), seen.outcome.word().to_owned());
        event.detail.insert(String::from("detail"), seen.detail.clone());
        self.record(event).await?;
        for _ in 0..ATTEMPTS {
            let Some(Versioned { value, version }) = load::<Credential>(&*self.store, name.as_str()).await?
            else {
                return Ok(());
            };
            let noted = Credential { tested: Some(seen.clone()), ..value };
            match self.store.commit(Batch::new().update(&noted, version)).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict { kind: "credential" }.into())
    }
}

async fn try_one(
    rotator: &dyn Rotator,
    case: &Case<'_>,
    version: &Version<'_>,
    ends: bool,
) -> Result<Verdict, RotatorError> {
    if ends {
        rotator.disable(case, version).await?;
    }
    rotator.verify_dead(case, version).await
}

fn of<'a>(version: &'a SealedVersion, known: &'a [Known], secret: &'a Secret<Vec<u8>>) -> Version<'a> {
    let handle = known.iter().find(|known| known.version == version.number);
    Version {
        number: version.number,
        account: version.account.as_deref(),
        handle: handle.and_then(|known| known.handle.as_deref()),
        secret: Some(secret),
    }
}

fn known(credential: &Credential, rotation: Option<&Rotation>) -> Vec<Known> {
    let live = credential.versions.iter().filter(|version| version.state != VersionState::Retired);
    live.map(|version| Known {
        version: version.number,
        account: version.account.clone(),
        handle: rotation.and_then(|rotation| rotation.handles.get(&version.number).cloned()),
    })
    .collect()
}

const fn badness(outcome: TestOutcome) -> u8 {
    match outcome {
        TestOutcome::Dead => 0,
        TestOutcome::Unverifiable => 1,
        TestOutcome::Alive => 2,
    }
}
