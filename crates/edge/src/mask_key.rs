//! The keys that hashes and tokens in results are made with: another one for each grant, so that nobody can compare what two
//! people, or one person before and after a new consent, were shown.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::id::Id;
use portunus_core::secret::Secret;

/// Derives keys; needs no state.
pub struct MaskKeys(hmac::Key);

impl MaskKeys {
    /// From a secret of this edge's own.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&outer, b"portunus masks 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The 32 bytes for a grant.
    #[must_use]
    pub fn of(&self, grant: &Id) -> Secret<Vec<u8>> {
        Secret::new(hmac::sign(&self.0, grant.as_str().as_bytes()).as_ref().to_vec())
    }

    /// The same as text, for an assertion.
    #[must_use]
    pub fn text_of(&self, grant: &Id) -> Secret<String> {
        Secret::new(BASE64URL_NOPAD.encode(self.of(grant).expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grant_has_a_key_of_its_own_and_always_the_same() {
        let id = |n: u8| Id::parse(&format!("grt_0000000000000000000000000{n}")).unwrap();
        let keys = MaskKeys::new(b"secret");
        assert_eq!(keys.of(&id(1)).expose(), MaskKeys::new(b"secret").of(&id(1)).expose());
        assert_ne!(keys.of(&id(1)).expose(), keys.of(&id(2)).expose());
        assert_ne!(keys.of(&id(1)).expose(), MaskKeys::new(b"other").of(&id(1)).expose());
        assert_eq!(keys.of(&id(1)).expose().len(), 32);
    }
}
