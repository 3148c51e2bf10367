//! One node at a time: a document that names who may do something, and until when, changed by compare-and-swap.

use crate::document::Lease;
use crate::store::{self, Batch, Expect, Store, StoreError};
use crate::time::Timestamp;
use std::time::Duration;

/// Takes the lease for `holder` unless somebody else holds it; false when somebody does.
///
/// # Errors
/// When the store fails.
pub async fn take(
    store: &dyn Store,
    name: &str,
    holder: &str,
    span: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = store::load::<Lease>(store, name).await?;
    let lease = Lease { name: name.to_owned(), holder: holder.to_owned(), expires_at: now.plus(span) };
    let batch = match &found {
        None => Batch::new().insert(&lease),
        // A clock that was set back must not keep everybody out for longer than one span.
        Some(held)
            if held.value.holder != holder
                && !held.value.expires_at.is_past(now)
                && held.value.expires_at <= lease.expires_at =>
        {
            return Ok(false);
        }
        Some(held) => Batch::new().update(&lease, held.version),
    };
    match store.commit(batch).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lease back, if `holder` still has it.
///
/// # Errors
/// When the store fails.
pub async fn give_back(store: &dyn Store, name: &str, holder: &str) -> Result<(), StoreError> {
    let Some(held) = store::load::<Lease>(store, name).await?.filter(|held| held.value.holder == holder)
    else {
        return Ok(());
    };
    match store.commit(Batch::new().delete::<Lease>(name, Expect::Version(held.version))).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
