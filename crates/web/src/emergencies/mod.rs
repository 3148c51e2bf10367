//! Emergencies: asked for, allowed, denied and ended. Each step is recorded before it is stored, and what came of it after.
//!
//! An emergency opens nothing by itself: a policy must permit what has `context.emergency`.

mod page;

pub(crate) use page::{Row, act, of_identities, show};

use portunus_core::document::{Emergency, User};
use portunus_core::id::{GroupName, Id};
use portunus_core::store::{Batch, StoreError, Versioned, list_all, load};
use portunus_governance::emergency::{self, Asked, EmergencyError};
use portunus_oauth::ports::{Ports, Trouble};

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It may not be taken.
    #[error(transparent)]
    Refused(#[from] EmergencyError),
    /// There is none of this id, or somebody changed it in this moment.
    #[error(
        "there is no such emergency, or somebody changed it in this moment; see `portunus cred emergency list`"
    )]
    Gone,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::Gone,
            error => Self::Trouble(error.into()),
        }
    }
}

/// Asks for one.
///
/// # Errors
/// When it may not be asked for, or the store or the ledger fails.
pub async fn ask(
    ports: &Ports<'_>,
    asked: Asked,
    approvers: Option<&GroupName>,
) -> Result<Emergency, StepError> {
    let by = asked.user.to_string();
    let own = list_all::<Emergency>(ports.store, Some(&by)).await?;
    let own: Vec<Emergency> = own.into_iter().map(|one| one.value).collect();
    let new = emergency::ask(asked, approvers, &own, ports.now, ports.rng)?;
    record(ports, &new, &by, "emergency.asked", &[]).await?;
    ports.store.commit(Batch::new().insert(&new)).await?;
    Ok(new)
}

/// Says yes or no to one.
///
/// # Errors
/// When it is not this user's to say, or the store or the ledger fails.
pub async fn say(
    ports: &Ports<'_>,
    id: &Id,
    by: &User,
    (allow, reason): (bool, Option<&str>),
) -> Result<Emergency, StepError> {
    let Versioned { value: before, version } = find(ports, id).await?;
    let mut others = Vec::new();
    for ruling in before.rulings.iter().filter(|ruling| ruling.allow) {
        others.extend(load::<User>(ports.store, &ruling.by).await?.map(|user| user.value));
    }
    let said = emergency::say(&before, by, (allow, reason), &others, ports.now)?;
    let why = reason.map(|reason| ("said", reason));
    let more: Vec<_> = why.into_iter().collect();
    let trying = if allow { "emergency.allowing" } else { "emergency.denying" };
    record(ports, &before, by.name.as_str(), trying, &more).await?;
    ports.store.commit(Batch::new().update(&said, version)).await?;
    let done = match (allow, said.allowed_at) {
        (false, _) => "emergency.denied",
        (true, None) => "emergency.agreed",
        (true, Some(_)) => "emergency.allowed",
    };
    record(ports, &said, by.name.as_str(), done, &more).await?;
    Ok(said)
}

/// Ends one, by hand or because its time is over. New calls are refused when this returns.
///
/// # Errors
/// When it is over, or the store or the ledger fails.
pub async fn end(ports: &Ports<'_>, id: &Id, by: &str, why: &str) -> Result<Emergency, StepError> {
    let Versioned { value: before, version } = find(ports, id).await?;
    let ended = match emergency::due(&before, ports.now) {
        emergency::Due::End(_) => {
            // What its time has ended is noted as ended then.
            let at = before.until.unwrap_or(before.answer_by);
            let end = portunus_core::document::EmergencyEnd { at, by: by.to_owned(), why: why.to_owned() };
            Emergency { ended: Some(end), ..before.clone() }
        }
        _ => emergency::end(&before, by, why, ports.now)?,
    };
    record(ports, &before, by, "emergency.ended", &[("why", why)]).await?;
    ports.store.commit(Batch::new().update(&ended, version)).await?;
    Ok(ended)
}

async fn find(ports: &Ports<'_>, id: &Id) -> Result<Versioned<Emergency>, StepError> {
    load::<Emergency>(ports.store, id.as_str()).await?.ok_or(StepError::Gone)
}

/// Records a step of an emergency.
///
/// # Errors
/// When the ledger fails: then the step is not taken.
pub async fn record(
    ports: &Ports<'_>,
    of: &Emergency,
    by: &str,
    action: &str,
    more: &[(&str, &str)],
) -> Result<(), Trouble> {
    let (seconds, until) = (of.seconds.to_string(), of.until.map(|until| until.to_string()));
    let mut detail = vec![
        ("user", of.user.as_str()),
        ("server", of.server.as_str()),
        ("reason", of.reason.as_str()),
        ("seconds", &seconds),
        ("approvers", of.approvers.as_str()),
    ];
    detail.extend(of.credential.as_ref().map(|name| ("credential", name.as_str())));
    detail.extend(until.as_deref().map(|until| ("until", until)));
    detail.extend_from_slice(more);
    Ok(ports.record(by, action, of.id.as_str(), &detail).await?)
}
