//! The second way to a secret besides a permit, and a narrow one: nothing outside this module can call it, and what it opens
//! is lent to a [`Rotator`](super::Rotator) for one step. A secret of the kind
//! [`CredentialKind::Rotator`] is opened here only: [`Vault::bound`](crate::Vault::bound) refuses it, and its sealed form
//! is bound to its kind, so that changing the document does not make it presentable.

use super::{Administrator, RotationError};
use crate::credential::{self, Status};
use crate::ring::SealingKey;
use crate::sealing::{self, SealingError};
use portunus_core::document::{Credential, CredentialKind, SealedVersion};
use portunus_core::secret::Secret;
use portunus_core::store::{Store, load};
use portunus_core::time::Timestamp;

/// The setting of a plan that names the credential to work with.
const ADMINISTRATOR: &str = "admin";

/// Opens one version.
pub(super) fn version(
    key: &SealingKey,
    credential: &Credential,
    version: &SealedVersion,
) -> Result<Secret<Vec<u8>>, SealingError> {
    sealing::open(key, &credential::context(credential, version.number), &version.sealed)
}

/// Opens the credential that the plan names to work with: one of that kind, of the same server, in force.
pub(super) async fn administrator(
    store: &dyn Store,
    key: &SealingKey,
    of: &Credential,
    now: Timestamp,
) -> Result<Option<Administrator>, RotationError> {
    let Some(plan) = &of.rotation else { return Ok(None) };
    let Some(named) = plan.settings.get(ADMINISTRATOR) else { return Ok(None) };
    let named = named.as_str().unwrap_or_default();
    let refused = |why| RotationError::Administrator {
        name: of.name.clone(),
        administrator: named.chars().take(63).collect(),
        why,
    };
    let found = load::<Credential>(store, named).await?.ok_or_else(|| refused("which there is not"))?.value;
    let CredentialKind::Rotator(account) = &found.kind else {
        return Err(refused("which is not of the kind `rotator`: calls can carry it"));
    };
    if found.server != of.server {
        return Err(refused("which is for another server"));
    }
    match credential::status(&found, now) {
        Status::Active => {}
        Status::Revoked => return Err(refused("which is revoked")),
        Status::Disabled => return Err(refused("which is disabled")),
        Status::Expired => return Err(refused("which has expired")),
        Status::Ownerless | Status::Purposeless | Status::Endless => {
            return Err(refused("which has no owner, no purpose or no expiry"));
        }
    }
    let sealed = found.in_use().ok_or_else(|| refused("which has no usable secret"))?;
    let secret = version(key, &found, sealed)?;
    Ok(Some(Administrator::new(account.clone(), found.hosts.clone(), secret)))
}
