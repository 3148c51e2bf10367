//! Secrets that are over by somebody's hand. Those of a revoked credential are ended at the upstream and tried: the proof that
//! revoking it worked. One that was replaced by hand is tried: nothing here ended it, and somebody must know whether it lives.

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

/// The action of the record that says what became of a revoked credential's secrets.
pub const ENDED: &str = "credential.ended";

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
        let versions: Vec<_> = credential.versions.iter().collect();
        let seen = self.try_all(&credential, &versions, true, trial, now).await?;
        let worst = worst(&seen).cloned().unwrap_or_else(|| Tested {
            at: now,
            version: 0,
            outcome: TestOutcome::Unverifiable,
            detail: String::from("there is no secret to try any more"),
        });
        self.note(name, &worst, &seen, (ENDED, by)).await?;
        Ok(worst)
    }

    /// Tries the secrets of a credential that somebody replaced by hand and that were not seen dead since; the worst of what was
    /// seen, which is noted. `None`: there are none.
    ///
    /// # Errors
    /// When the credential is unknown, or the store or the ledger fails.
    pub async fn try_replaced(
        &self,
        name: &CredentialName,
        trial: Option<Trial<'_>>,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Tested>, RotationError> {
        let found = load::<Credential>(&*self.store, name.as_str()).await?;
        let credential = found.ok_or_else(|| RotationError::Unknown(name.clone()))?.value;
        // Without its secret nothing can be tried; what is known of it stays.
        let owed: Vec<_> = credential.owed().filter(|version| !version.sealed.is_empty()).collect();
        if owed.is_empty() {
            return Ok(None);
        }
        self.record(engine::event("credential.trying", name.as_str(), by, now)).await?;
        let seen = self.try_all(&credential, &owed, false, trial, now).await?;
        let Some(worst) = worst(&seen).cloned() else { return Ok(None) };
        self.note(name, &worst, &seen, ("credential.tried", by)).await?;
        Ok(Some(worst))
    }

    /// What is seen of each of these versions; with `ends` the upstream is made to refuse them first, where there is a way.
    async fn try_all(
        &self,
        credential: &Credential,
        versions: &[&SealedVersion],
        ends: bool,
        trial: Option<Trial<'_>>,
        now: Timestamp,
    ) -> Result<Vec<Tested>, RotationError> {
        let unverifiable = |detail: &str| {
            let each = versions.iter().map(|version| Tested {
                at: now,
                version: version.number,
                outcome: TestOutcome::Unverifiable,
                detail: detail.to_owned(),
            });
            Ok(each.collect())
        };
        let planned = self.plan_of(credential).ok().map(|(plan, rotator)| (rotator, plan.settings.clone()));
        let (rotator, settings, ends) = match (planned, trial) {
            (Some((rotator, settings)), _) => (rotator, settings, ends),
            (None, Some(trial)) => (trial.rotator, trial.settings, false),
            (None, None) => return unverifiable("nothing here can try it; end it at its upstream by hand"),
        };
        let administrator = match door::administrator(&*self.store, &self.key, credential, now).await {
            Ok(administrator) => administrator,
            Err(RotationError::Store(error)) => return Err(error.into()),
            Err(error) => return unverifiable(&error.to_string()),
        };
        let rotation = load::<Rotation>(&*self.store, credential.name.as_str()).await?;
        let known = known(credential, rotation.as_ref().map(|found| &found.value));
        let opened: Vec<_> = versions
            .iter()
            .map(|version| (*version, door::version(&self.key, credential, version)))
            .collect();
        // Whatever is said is said without any of them.
        let secrets: Vec<&Secret<Vec<u8>>> = opened
            .iter()
            .filter_map(|(_, secret)| secret.as_ref().ok())
            .chain(administrator.as_ref().map(Administrator::secret))
            .collect();
        let mut seen = Vec::new();
        for (version, secret) in &opened {
            let verdict = match (secret, version.sealed.is_empty(), &version.seen) {
                // It went with the place that it was good at.
                (_, true, Some(known)) => Verdict { outcome: known.outcome, detail: known.detail.clone() },
                (Err(error), ..) => Verdict { outcome: TestOutcome::Unverifiable, detail: error.to_string() },
                (Ok(secret), ..) => {
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
                    // One that a rotation replaced was ended then, and what it belonged to may have another secret by now.
                    let ends = ends && (version.state != VersionState::Retired || version.is_owed());
                    let tried = try_one(rotator, &case, &of(version, &known, secret), ends).await;
                    tried.unwrap_or_else(|error| Verdict {
                        outcome: TestOutcome::Unverifiable,
                        detail: error.to_string(),
                    })
                }
            };
            let detail = engine::clean(RotatorError::Later(verdict.detail), &secrets).to_string();
            seen.push(Tested { at: now, version: version.number, outcome: verdict.outcome, detail });
        }
        Ok(seen)
    }

    /// Records the worst of what was seen of a credential's secrets, and notes that, and what was seen of each.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn note(
        &self,
        name: &CredentialName,
        worst: &Tested,
        seen: &[Tested],
        (action, by): (&str, &str),
    ) -> Result<(), RotationError> {
        let mut event = engine::event(action, name.as_str(), by, worst.at);
        event.detail.insert(String::from("version"), worst.version.to_string());
        event.detail.insert(String::from("outcome"), worst.outcome.word().to_owned());
        event.detail.insert(String::from("detail"), worst.detail.clone());
        self.record(event).await?;
        for _ in 0..ATTEMPTS {
            let Some(Versioned { value, version }) = load::<Credential>(&*self.store, name.as_str()).await?
            else {
                return Ok(());
            };
            let mut noted = Credential { tested: Some(worst.clone()), ..value };
            for version in &mut noted.versions {
                let own = seen.iter().find(|seen| seen.version == version.number);
                version.seen = own.cloned().or(version.seen.take());
            }
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

/// One living secret is enough.
fn worst(seen: &[Tested]) -> Option<&Tested> {
    seen.iter().max_by_key(|seen| badness(seen.outcome))
}

const fn badness(outcome: TestOutcome) -> u8 {
    match outcome {
        TestOutcome::Dead => 0,
        TestOutcome::Unverifiable => 1,
        TestOutcome::Alive => 2,
    }
}
