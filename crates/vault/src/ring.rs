//! The sealing key as the rest of Portunus has it: the current epoch, which seals, and former ones, which still open until
//! everything is rewrapped. Clones share the epochs, so that a new one is in use everywhere at once.

use crate::key::{Kek, KeyError, KeyId};
use data_encoding::HEXLOWER;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Seals and opens. See [`crate::sealing`] for how.
#[derive(Clone)]
pub struct SealingKey(Arc<RwLock<Ring>>);

#[derive(Clone)]
struct Ring {
    current: Arc<Kek>,
    former: Vec<Arc<Kek>>,
    /// Names secrets; the same in all epochs, so that names can be compared across them.
    fingerprints: Arc<Secret<[u8; 32]>>,
}

impl SealingKey {
    /// A key of these bytes, in its first epoch.
    #[must_use]
    pub fn new(bytes: Secret<[u8; 32]>) -> Self {
        Self::of(Kek::new(bytes))
    }

    /// This epoch alone.
    #[must_use]
    pub fn of(kek: Kek) -> Self {
        let fingerprints = Arc::new(kek.derived_fingerprint_key());
        Self(Arc::new(RwLock::new(Ring { current: Arc::new(kek), former: Vec::new(), fingerprints })))
    }

    /// See [`Kek::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Kek::load(path).map(Self::of)
    }

    /// See [`Kek::load_or_create`].
    ///
    /// # Errors
    /// As there.
    pub fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, KeyError> {
        Kek::load_or_create(path, rng).map(Self::of)
    }

    /// Names a secret without telling anything about it: equal for equal secrets in one store, 32 hexadecimal digits.
    /// Without the sealing key nobody can try guesses against it.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        let own = Arc::clone(&self.read().fingerprints);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, own.expose());
        let tag = aws_lc_rs::hmac::sign(&key, secret);
        HEXLOWER.encode(tag.as_ref().get(..16).unwrap_or_default())
    }

    /// Names secrets with this key from now on.
    pub(crate) fn name_secrets_with(&self, key: Secret<[u8; 32]>) {
        self.write().fingerprints = Arc::new(key);
    }

    /// What seals now.
    pub(crate) fn current(&self) -> Arc<Kek> {
        Arc::clone(&self.read().current)
    }

    /// The epoch of this id, if it is known.
    pub(crate) fn of_id(&self, id: KeyId) -> Option<Arc<Kek>> {
        let ring = self.read();
        std::iter::once(&ring.current).chain(&ring.former).find(|kek| kek.id() == id).cloned()
    }

    /// Opens what this key sealed, too.
    pub(crate) fn accept(&self, kek: Kek) {
        if self.of_id(kek.id()).is_none() {
            self.write().former.push(Arc::new(kek));
        }
    }

    /// Seals with the accepted key of this id from now on.
    pub(crate) fn switch(&self, id: KeyId) {
        let mut ring = self.write();
        if let Some(place) = ring.former.iter().position(|kek| kek.id() == id) {
            let next = ring.former.remove(place);
            let before = std::mem::replace(&mut ring.current, next);
            ring.former.push(before);
        }
    }

    /// Opens nothing more with these former keys: they are gone from memory when their last use ends.
    pub(crate) fn forget(&self, ids: &[String]) {
        self.write().former.retain(|kek| !ids.contains(&kek.id().to_string()));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Ring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Ring> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.read();
        f.debug_struct("SealingKey").field("current", &ring.current).field("former", &ring.former).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_secrets_apart_and_nothing_without_the_key() {
        let (one, other) = (SealingKey::new(Secret::new([1; 32])), SealingKey::new(Secret::new([2; 32])));
        assert_eq!(one.fingerprint(b"secret"), SealingKey::new(Secret::new([1; 32])).fingerprint(b"secret"));
        assert_ne!(one.fingerprint(b"secret"), one.fingerprint(b"secreT"));
        assert_ne!(one.fingerprint(b"secret"), other.fingerprint(b"secret"), "a guess needs the key");
        assert_eq!(one.fingerprint(b"secret").len(), 32);
    }
}
