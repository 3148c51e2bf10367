//! When a rotation's time has come, and how long to pause after a failure. Pure.

use portunus_core::digest::sha256;
use portunus_core::document::{Credential, Rotation};
use portunus_core::limits::{
    ROTATION_DRAIN, ROTATION_DRAIN_LONGEST, ROTATION_PAUSE, ROTATION_SETTINGS_BYTES, ROTATION_SHORTEST,
};
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The moment at which something is to be done about a credential's secret by itself: the rotation under way goes on, or the
/// next one begins. `None`: never. `rotation` is the latest one.
///
/// A version is replaced when it has reached the plan's age, earlier by up to a tenth of it (a part that is always the same
/// for a version), so that what was added together is not replaced together; and when two thirds of the life that its
/// upstream gave it are over.
#[must_use]
pub fn due(credential: &Credential, rotation: Option<&Rotation>) -> Option<Timestamp> {
    if let Some(open) = rotation.filter(|rotation| rotation.step.is_open()) {
        return Some(open.retry_at);
    }
    let plan = credential.rotation.as_ref()?;
    if credential.revoked_at.is_some() {
        return None;
    }
    let version = credential.in_use()?;
    let by_age = plan.every_seconds.map(|seconds| {
        let every = Duration::from_secs(seconds).max(ROTATION_SHORTEST);
        let digest = sha256(&[credential.name.as_str().as_bytes(), &version.number.to_be_bytes()]);
        let chance = u32::from(digest.0.first().copied().unwrap_or_default());
        version.created_at.plus(every - every / 10 * chance / 255)
    });
    let lapse = rotation.and_then(|rotation| rotation.lapses.get(&version.number));
    let by_lapse = lapse.map(|end| version.created_at.plus(end.since(version.created_at) / 3 * 2));
    // After an emergency at once.
    let exposed = credential.is_exposed();
    let moment = [by_age, by_lapse, exposed].into_iter().flatten().min()?;
    // After one that was given up.
    Some(moment.max(rotation.map_or(moment, |rotation| rotation.retry_at)))
}

/// The pause after so many failures in a row: twice the one before, up to a bound, and up to half as long again by `chance`.
#[must_use]
pub fn pause(failures: u32, chance: u8) -> Duration {
    let (first, longest) = ROTATION_PAUSE;
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(longest);
    pause + pause / 2 * u32::from(chance) / 255
}

/// How long calls that carry an old version are waited for.
///
/// # Errors
/// When the settings say something that is no such time.
pub fn drain(settings: &Map<String, Value>) -> Result<Duration, String> {
    let Some(given) = settings.get("drain_seconds") else { return Ok(ROTATION_DRAIN) };
    let longest = ROTATION_DRAIN_LONGEST.as_secs();
    // `cred bind --set` gives texts.
    let seconds = given.as_u64().or_else(|| given.as_str()?.parse().ok());
    match seconds {
        Some(seconds) if seconds <= longest => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("drain_seconds must be a number from 0 to {longest}")),
    }
}

/// What holds for the settings of every plan.
///
/// # Errors
/// When they are too long, or too short a time is asked for.
pub fn check(every_seconds: Option<u64>, settings: &Map<String, Value>) -> Result<(), String> {
    let shortest = ROTATION_SHORTEST.as_secs();
    if every_seconds.is_some_and(|every| every < shortest) {
        return Err(format!("every_seconds must be at least {shortest}"));
    }
    let bytes = serde_json::to_vec(settings).map_or(usize::MAX, |text| text.len());
    if bytes > ROTATION_SETTINGS_BYTES {
        return Err(format!("the settings have more than {ROTATION_SETTINGS_BYTES} bytes"));
    }
    drain(settings).map(drop)
}
