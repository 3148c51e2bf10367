//! Calls that wait for a human yes: listing them, and deciding. What an approval is good for is fixed when it is asked
//! for; here it is only allowed or denied, once.

use portunus_core::document::{Approval, ApprovalState};
use portunus_core::id::Id;
use portunus_core::record::LedgerError;
use portunus_core::store::{Batch, Store, StoreError, list_all, load};
use portunus_core::time::Timestamp;
use portunus_oauth::ports::{Ports, Trouble};

/// Why an approval could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// There is none of this id.
    #[error("there is no such approval; see `portunus approve list`")]
    Unknown,
    /// Somebody decided before, or it was used.
    #[error("this was decided already")]
    Decided,
    /// One's own call.
    #[error("somebody else must allow your own call")]
    Own,
    /// Its time is over.
    #[error("this has expired; the call must be made again")]
    Expired,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for ApprovalError {
    fn from(error: StoreError) -> Self {
        match error {
            // Whoever changed it in this moment has decided.
            StoreError::Conflict { .. } => Self::Decided,
            error => Trouble::from(error).into(),
        }
    }
}
impl From<LedgerError> for ApprovalError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

/// What waits for a decision, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn pending(store: &dyn Store, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
    let all = list_all::<Approval>(store, None).await?.into_iter().map(|approval| approval.value);
    let waits = |a: &Approval| a.state == ApprovalState::Pending && !a.expires_at.is_past(now);
    let mut pending: Vec<Approval> = all.filter(waits).collect();
    pending.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(pending)
}

/// Allows or denies a waiting call, in the name of `by`. It is recorded before it counts.
///
/// # Errors
/// See [`ApprovalError`].
pub async fn decide(ports: &Ports<'_>, id: &Id, by: &str, allow: bool) -> Result<Approval, ApprovalError> {
    let found = load::<Approval>(ports.store, id.as_str()).await?.ok_or(ApprovalError::Unknown)?;
    if found.value.state != ApprovalState::Pending {
        return Err(ApprovalError::Decided);
    }
    if found.value.expires_at.is_past(ports.now) {
        return Err(ApprovalError::Expired);
    }
    if allow && found.value.user.as_str() == by {
        return Err(ApprovalError::Own);
    }
    let (state, action) = if allow {
        (ApprovalState::Allowed, "approval.allowed")
    } else {
        (ApprovalState::Denied, "approval.denied")
    };
    let decided = Approval { state, decided_by: Some(by.to_owned()), ..found.value };
    let detail = [
        ("user", decided.user.as_str()),
        ("client", decided.client_id.as_str()),
        ("server", decided.server.as_str()),
        ("tool", decided.tool.as_str()),
        ("binding", &decided.binding.hex()),
    ];
    ports.record(by, action, id.as_str(), &detail).await?;
    ports.store.commit(Batch::new().update(&decided, found.version)).await?;
    Ok(decided)
}
