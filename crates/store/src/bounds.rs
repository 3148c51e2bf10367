//! The bounds every back end applies to a batch before it touches its database.

use portunus_core::limits::{BATCH_STEPS, DOCUMENT_BYTES, DOCUMENT_ID_BYTES};
use portunus_core::store::{Batch, Change, StoreError, Write};

/// Refuses a batch that is too long or has a document out of bounds.
pub(crate) fn check(batch: &Batch) -> Result<(), StoreError> {
    let steps = batch.writes.len();
    if steps > BATCH_STEPS {
        return Err(refused(&format!(
            "a batch of {steps} steps; at most {BATCH_STEPS} can be committed at once"
        )));
    }
    batch.writes.iter().try_for_each(check_write)
}

fn check_write(write: &Write) -> Result<(), StoreError> {
    let kind = write.kind.as_str();
    check_id(kind, "id", &write.id)?;
    let Change::Put { parent, value, .. } = &write.change else { return Ok(()) };
    if let Some(parent) = parent {
        check_id(kind, "parent", parent)?;
    }
    let bytes = value.len();
    if (1..=DOCUMENT_BYTES).contains(&bytes) {
        return Ok(());
    }
    Err(refused(&format!("a {kind} of {bytes} bytes; a document has 1 to {DOCUMENT_BYTES}")))
}

/// Ids are never empty, so that every id comes after the start of a list; and have no NUL, which PostgreSQL cannot
/// store in a text.
fn check_id(kind: &str, what: &str, id: &str) -> Result<(), StoreError> {
    if (1..=DOCUMENT_ID_BYTES).contains(&id.len()) && !id.contains('\0') {
        return Ok(());
    }
    let bytes = id.len();
    Err(refused(&format!(
        "a {kind} whose {what} has {bytes} bytes; it must have 1 to {DOCUMENT_ID_BYTES} and no NUL"
    )))
}

fn refused(what: &str) -> StoreError {
    StoreError::Failed(format!("it refuses {what}"))
}
