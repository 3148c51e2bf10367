//! The register of certificates that Portunus' own authorities sign for upstream servers, and the files by which those learn
//! what to refuse.

use portunus_core::document::{Issued, IssuedBy};
use portunus_core::id::CredentialName;
use portunus_core::limits::ISSUED_CERTIFICATES;
use portunus_core::store::{Batch, Store, StoreError, list_all, load};
use portunus_core::time::Timestamp;
use portunus_vault::rotation::{Case, RotatorError};
use std::path::Path;
use std::sync::Arc;

/// What one authority has signed.
#[derive(Clone)]
pub struct Register {
    store: Arc<dyn Store>,
    authority: IssuedBy,
}

impl Register {
    /// Of this authority, in this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, authority: IssuedBy) -> Self {
        Self { store, authority }
    }

    /// Writes down what is about to be signed.
    ///
    /// # Errors
    /// When there are too many certificates already, or the store does not take it: nothing may be signed then.
    pub async fn announce(
        &self,
        credential: &CredentialName,
        serial: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), RotatorError> {
        if self.all(now).await?.len() >= ISSUED_CERTIFICATES {
            return Err(RotatorError::Later(format!(
                "the authority has {ISSUED_CERTIFICATES} certificates out that have not ended; give them shorter lives"
            )));
        }
        let issued = Issued {
            authority: self.authority,
            serial: serial.to_owned(),
            credential: credential.clone(),
            issued_at: now,
            expires_at,
            revoked_at: None,
        };
        self.store.commit(Batch::new().insert(&issued)).await.map_err(later)?;
        Ok(())
    }

    /// Notes that upstream servers must refuse it. One that is not in the register has ended, or is none of ours.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke(&self, serial: &str, now: Timestamp) -> Result<(), RotatorError> {
        let id = format!("{}:{serial}", self.authority.word());
        loop {
            let Some(found) = load::<Issued>(&*self.store, &id).await.map_err(later)? else { return Ok(()) };
            if found.value.revoked_at.is_some() {
                return Ok(());
            }
            let revoked = Issued { revoked_at: Some(now), ..found.value };
            match self.store.commit(Batch::new().update(&revoked, found.version)).await {
                Err(StoreError::Conflict { .. }) => {}
                done => return done.map(drop).map_err(later),
            }
        }
    }

    /// Revokes what was made for this credential and belongs to no version of it: it was lost with an earlier attempt.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_lost(&self, case: &Case<'_>) -> Result<(), RotatorError> {
        for issued in self.all(case.now).await? {
            let known = case.known.iter().any(|known| known.handle.as_deref() == Some(&issued.serial));
            if issued.credential == case.credential.name && !known {
                self.revoke(&issued.serial, case.now).await?;
            }
        }
        Ok(())
    }

    /// Those that are to be refused and have not ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoked(&self, now: Timestamp) -> Result<Vec<Issued>, RotatorError> {
        let mut all = self.all(now).await?;
        all.retain(|issued| issued.revoked_at.is_some());
        Ok(all)
    }

    async fn all(&self, now: Timestamp) -> Result<Vec<Issued>, RotatorError> {
        let all = list_all::<Issued>(&*self.store, None).await.map_err(later)?;
        let all = all.into_iter().map(|one| one.value);
        Ok(all.filter(|one| one.authority == self.authority && !one.expires_at.is_past(now)).collect())
    }
}

/// Writes a file that other programs read at any time: they find the old text or the new one, whole.
///
/// # Errors
/// When it cannot be written.
pub fn publish(path: &Path, text: &[u8]) -> Result<(), RotatorError> {
    let draft = path.with_extension("new");
    let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|error| RotatorError::Later(format!("{}: {error}", path.display())))
}

fn later(error: StoreError) -> RotatorError {
    RotatorError::Later(error.to_string())
}
