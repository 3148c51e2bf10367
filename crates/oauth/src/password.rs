//! Passwords: argon2id (RFC 9106) with the parameters that OWASP's Password Storage Cheat Sheet recommends. Hashing
//! takes some tens of milliseconds and 19 MiB: callers run it where it does not block others, and bound how many run.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE32_NOPAD;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash of no password: verified when there is no such user, so that this takes the same time.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Shorter than allowed.
    #[error("a password needs at least {} characters; a few unrelated words are easy to remember", limits::PASSWORD_BYTES.0)]
    TooShort,
    /// Longer than is hashed.
    #[error("a password can have at most {} bytes", limits::PASSWORD_BYTES.1)]
    TooLong,
    /// Easy to guess for whoever knows the user.
    #[error("a password must not be the user name, or one character again and again")]
    TooSimple,
    /// The same as before.
    #[error("the new password must differ from the old one")]
    Unchanged,
    /// The hash function failed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// Checks a password that a user chooses (NIST SP 800-63B section 5.1.1.2: length, no rules of composition).
///
/// # Errors
/// Saying what to choose instead.
pub fn check(password: &str, user_name: &str) -> Result<(), PasswordError> {
    let (fewest, most) = limits::PASSWORD_BYTES;
    if password.chars().count() < fewest {
        return Err(PasswordError::TooShort);
    }
    if password.len() > most {
        return Err(PasswordError::TooLong);
    }
    let first = password.chars().next();
    if password.eq_ignore_ascii_case(user_name) || password.chars().all(|c| Some(c) == first) {
        return Err(PasswordError::TooSimple);
    }
    Ok(())
}

/// Hashes a password; the result is in PHC form.
///
/// # Errors
/// [`PasswordError::TooLong`], or when the hash function fails.
pub fn hash(password: &str, rng: &dyn Rng) -> Result<String, PasswordError> {
    if password.len() > limits::PASSWORD_BYTES.1 {
        return Err(PasswordError::TooLong);
    }
    let failed = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let mut random = [0_u8; 16];
    rng.fill(&mut random);
    let salt = SaltString::encode_b64(&random).map_err(failed)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| PasswordError::Hash(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

/// Whether this is the password of that hash. Without a hash it takes as long and is never so.
#[must_use]
pub fn verify(hash: Option<&str>, password: &str) -> bool {
    if password.len() > limits::PASSWORD_BYTES.1 {
        return false;
    }
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODY));
    let right =
        parsed.is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
    right && hash.is_some()
}

/// A password to be given out once: 100 random bits in five groups of four letters and digits.
#[must_use]
pub fn one_time(rng: &dyn Rng) -> Secret<String> {
    let mut random = [0_u8; 13];
    rng.fill(&mut random);
    let text = Secret::new(BASE32_NOPAD.encode(&random).to_ascii_lowercase());
    let mut grouped = String::with_capacity(24);
    for (index, c) in text.expose().chars().take(20).enumerate() {
        if index > 0 && index % 4 == 0 {
            grouped.push('-');
        }
        grouped.push(c);
    }
    Secret::new(grouped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::testing::CountingRng;

    #[test]
    fn only_the_right_password_verifies() {
        let rng = CountingRng::default();
        let hashed = hash("correct horse battery", &rng).unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify(Some(&hashed), "correct horse battery"));
        assert!(!verify(Some(&hashed), "correct horse batterz"));
        assert!(!verify(Some("not a hash"), "correct horse battery"));
        assert!(!verify(None, "correct horse battery"));
        assert_ne!(hash("correct horse battery", &rng).unwrap(), hashed, "salted");
        assert_eq!(hash(&"x".repeat(limits::PASSWORD_BYTES.1 + 1), &rng), Err(PasswordError::TooLong));
    }

    #[test]
    fn a_missing_user_costs_a_real_hash() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let somebody = hash("correct horse battery", &CountingRng::default()).unwrap();
        let somebody = PasswordHash::new(&somebody).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (somebody.algorithm, somebody.version));
        assert_eq!(nobody.params, somebody.params);
        assert_eq!(nobody.hash.unwrap().len(), somebody.hash.unwrap().len());
    }

    #[test]
    fn weak_choices_are_refused_with_a_reason() {
        assert_eq!(check("short", "ana"), Err(PasswordError::TooShort));
        assert_eq!(check("aaaaaaaaaaaaaa", "ana"), Err(PasswordError::TooSimple));
        assert_eq!(check("Ana@example.com", "ana@example.com"), Err(PasswordError::TooSimple));
        assert_eq!(check(&"ab".repeat(200), "ana"), Err(PasswordError::TooLong));
        assert_eq!(check("a harbour and a key", "ana"), Ok(()));
    }

    #[test]
    fn one_time_passwords_are_long_and_differ() {
        let rng = CountingRng::default();
        let (first, second) = (one_time(&rng), one_time(&rng));
        assert_eq!(first.expose().len(), 24);
        assert_ne!(first.expose(), second.expose());
        assert_eq!(check(first.expose(), "ana"), Ok(()));
    }
}
