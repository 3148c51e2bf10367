//! Envelope encryption. Each value gets a fresh 256-bit data key under AES-256-GCM; the data key is wrapped by the
//! sealing key, also AES-256-GCM. Both are bound to what the value belongs to, so that a sealed value copied to
//! another place does not open there.
//!
//! GCM alone does not commit to its key: one ciphertext can be made that opens under two. So a digest of the data key is
//! stored and compared before anything is decrypted with it.
//!
//! ```text
//! format 1 | id of the sealing key 8 | nonce 12, wrapped data key 48 | commitment 32 | nonce 12, secret + tag 16
//! ```

use crate::key::SealingKey;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64;
use portunus_core::digest;
use portunus_core::document::{CredentialKind, Setting};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::DOCUMENT_BYTES;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use zeroize::Zeroizing;

/// The layout above; also part of what is authenticated.
const FORMAT: u8 = 1;
/// Bytes of a data key.
const KEY: usize = 32;
/// Bytes of a GCM tag.
const TAG: usize = 16;
/// Bytes of a plain value: sealed and in base64 it must fit a document.
const PLAIN_BYTES: usize = DOCUMENT_BYTES / 2;

/// Why a value was not sealed or opened. None of these says anything about the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// It is no sealed value of a format that this version knows.
    #[error("the sealed value is damaged or of an unknown format; restore it from a backup, or add it again")]
    Malformed,
    /// It was sealed with another key.
    #[error("it was sealed with another sealing key; give back the key file that was in use then")]
    OtherKey,
    /// It was changed, or belongs elsewhere.
    #[error("the sealed value was changed or belongs elsewhere; restore it from a backup, or add it again")]
    Refused,
    /// The value is too long.
    #[error("a value to seal has at most {PLAIN_BYTES} bytes")]
    TooLong,
    /// The cryptographic library failed.
    #[error("the value could not be encrypted")]
    Failed,
}

impl SealingKey {
    /// Seals a secret of Portunus itself, to be kept in the store under this name.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal_setting(&self, name: &str, plain: &[u8], rng: &dyn Rng) -> Result<Setting, SealingError> {
        Ok(Setting { name: name.to_owned(), value: seal(self, &Context::setting(name), plain, rng)? })
    }

    /// Opens what [`SealingKey::seal_setting`] sealed under the setting's name.
    ///
    /// # Errors
    /// When it was sealed with another key or under another name, or was changed.
    pub fn open_setting(&self, setting: &Setting) -> Result<Secret<Vec<u8>>, SealingError> {
        open(self, &Context::setting(&setting.name), &setting.value)
    }
}

/// What a sealed value belongs to, as authenticated bytes: every field behind its length, so that no two contexts
/// have the same bytes.
pub(crate) struct Context(Vec<u8>);

impl Context {
    /// One version of a credential.
    pub(crate) fn credential(
        name: &CredentialName,
        version: u32,
        kind: &CredentialKind,
        server: &ServerName,
        hosts: &[String],
    ) -> Self {
        // No host has a comma.
        let (version, hosts) = (version.to_string(), hosts.join(","));
        Self::of(&["credential", name.as_str(), &version, kind.word(), kind.name(), server.as_str(), &hosts])
    }

    /// A setting.
    fn setting(name: &str) -> Self {
        Self::of(&["setting", name])
    }

    fn of(fields: &[&str]) -> Self {
        let mut bytes = b"portunus sealed value\0".to_vec();
        bytes.push(FORMAT);
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        Self(bytes)
    }

    /// The context of one of the two layers.
    fn layer(&self, layer: &[u8]) -> Aad<Vec<u8>> {
        Aad::from([self.0.as_slice(), layer].concat())
    }
    fn wrapping(&self) -> Aad<Vec<u8>> {
        self.layer(b"\0key")
    }
    fn content(&self) -> Aad<Vec<u8>> {
        self.layer(b"\0value")
    }
}

/// Seals the value into base64 text.
pub(crate) fn seal(
    key: &SealingKey,
    context: &Context,
    plain: &[u8],
    rng: &dyn Rng,
) -> Result<String, SealingError> {
    if plain.len() > PLAIN_BYTES {
        return Err(SealingError::TooLong);
    }
    let mut data_key = Zeroizing::new([0_u8; KEY]);
    rng.fill(&mut *data_key);
    let mut blob = vec![FORMAT];
    blob.extend_from_slice(key.id());
    blob.extend_from_slice(&encrypt(key.bytes(), context.wrapping(), &*data_key, rng)?);
    blob.extend_from_slice(&commitment(&data_key));
    blob.extend_from_slice(&encrypt(&data_key, context.content(), plain, rng)?);
    Ok(BASE64.encode(&blob))
}

/// Opens what [`seal`] made in the same context with the same key.
pub(crate) fn open(
    key: &SealingKey,
    context: &Context,
    sealed: &str,
) -> Result<Secret<Vec<u8>>, SealingError> {
    if sealed.len() > DOCUMENT_BYTES {
        return Err(SealingError::Malformed);
    }
    let blob = BASE64.decode(sealed.as_bytes()).map_err(|_| SealingError::Malformed)?;
    let (format, rest) = blob.split_first().ok_or(SealingError::Malformed)?;
    if *format != FORMAT {
        return Err(SealingError::Malformed);
    }
    let (key_id, rest) = rest.split_at_checked(key.id().len()).ok_or(SealingError::Malformed)?;
    if key_id != key.id() {
        return Err(SealingError::OtherKey);
    }
    let (wrapped, rest) = rest.split_at_checked(NONCE_LEN + KEY + TAG).ok_or(SealingError::Malformed)?;
    let (committed, content) = rest.split_at_checked(32).ok_or(SealingError::Malformed)?;
    let unwrapped = decrypt(key.bytes(), context.wrapping(), wrapped)?;
    let mut data_key = Zeroizing::new([0_u8; KEY]);
    data_key.iter_mut().zip(unwrapped.iter()).for_each(|(to, from)| *to = *from);
    if !digest::equal(committed, &commitment(&data_key)) {
        return Err(SealingError::Refused);
    }
    let mut plain = decrypt(&data_key, context.content(), content)?;
    Ok(Secret::new(std::mem::take(&mut *plain)))
}

fn commitment(data_key: &[u8; KEY]) -> [u8; 32] {
    digest::sha256(&[b"portunus data key commitment 1\0", data_key]).0
}

/// Nonce, ciphertext and tag. Nonces are random: a data key encrypts once, and the sealing key wraps far fewer than the
/// 2^32 keys that SP 800-38D allows.
fn encrypt(
    key: &[u8; KEY],
    context: Aad<Vec<u8>>,
    plain: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, SealingError> {
    let mut nonce = [0_u8; NONCE_LEN];
    rng.fill(&mut nonce);
    // Large enough from the start: growing would leave a copy of the plain value behind.
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let cipher = cipher(key).ok_or(SealingError::Failed)?;
    let (_, in_place) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(SealingError::Failed)?;
    let tag = cipher
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), context, in_place)
        .map_err(|_| SealingError::Failed)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt(
    key: &[u8; KEY],
    context: Aad<Vec<u8>>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealingError> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(SealingError::Malformed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealingError::Malformed)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let cipher = cipher(key).ok_or(SealingError::Failed)?;
    let length = cipher.open_in_place(nonce, context, &mut plain).map_err(|_| SealingError::Refused)?.len();
    plain.truncate(length);
    Ok(plain)
}

fn cipher(key: &[u8; KEY]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Count(AtomicU64);
    impl Rng for Count {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(32) {
                let block = digest::sha256(&[&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes()]).0;
                chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            }
        }
    }

    fn rng() -> Count {
        Count(AtomicU64::new(0))
    }
    fn key(byte: u8) -> SealingKey {
        SealingKey::new(Secret::new([byte; 32]))
    }
    fn context(name: &str, version: u32, kind: &CredentialKind, server: &str, host: &str) -> Context {
        let name = CredentialName::parse(name).unwrap();
        Context::credential(&name, version, kind, &ServerName::parse(server).unwrap(), &[host.to_owned()])
    }
    fn usual() -> Context {
        context("db", 1, &CredentialKind::Bearer, "sales", "a.example")
    }

    #[test]
    fn a_value_moved_to_another_name_version_kind_server_or_host_does_not_open() {
        let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
        assert_eq!(open(&key(1), &usual(), &sealed).unwrap().expose(), b"secret");
        let header = CredentialKind::Header("authorization".to_owned());
        let bearer = CredentialKind::Bearer;
        for (what, other) in [
            ("name", context("db2", 1, &bearer, "sales", "a.example")),
            ("version", context("db", 2, &bearer, "sales", "a.example")),
            ("kind", context("db", 1, &header, "sales", "a.example")),
            ("server", context("db", 1, &bearer, "sale", "a.example")),
            ("host", context("db", 1, &bearer, "sales", "a.example:8443")),
            ("purpose", Context::setting("db")),
        ] {
            assert_eq!(open(&key(1), &other, &sealed).unwrap_err(), SealingError::Refused, "{what}");
        }
    }

    #[test]
    fn no_two_contexts_have_the_same_bytes() {
        let header = |name: &str| CredentialKind::Header(name.to_owned());
        let contexts = [
            context("a", 1, &header("x"), "b", "c"),
            context("a", 1, &header("xb"), "b", "c"),
            context("a1", 1, &header("x"), "b", "c"),
            context("a", 11, &header("x"), "b", "c"),
            context("a", 1, &header("x"), "bc", "c"),
            context("a", 1, &header("x"), "b", "bc"),
            context("a", 1, &CredentialKind::Bearer, "b", "c"),
            Context::setting("a"),
            Context::setting("a1"),
        ];
        let distinct: std::collections::BTreeSet<&[u8]> =
            contexts.iter().map(|one| one.0.as_slice()).collect();
        assert_eq!(distinct.len(), contexts.len());
    }

    #[test]
    fn another_sealing_key_is_named_as_the_reason() {
        let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
        assert_eq!(open(&key(2), &usual(), &sealed).unwrap_err(), SealingError::OtherKey);
        // Even when somebody writes the other key's id into the value.
        let mut blob = BASE64.decode(sealed.as_bytes()).unwrap();
        blob[1..9].copy_from_slice(key(2).id());
        assert_eq!(open(&key(2), &usual(), &BASE64.encode(&blob)).unwrap_err(), SealingError::Refused);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
        let blob = BASE64.decode(sealed.as_bytes()).unwrap();
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(1), &usual(), &BASE64.encode(&changed)).is_err(), "bit {bit}");
        }
        for end in 0..blob.len() {
            assert!(open(&key(1), &usual(), &BASE64.encode(&blob[..end])).is_err(), "cut at {end}");
        }
        for text in ["", "A", "====", "not base64!", &format!("{sealed}\n"), &format!("{sealed}AAAA")] {
            assert!(open(&key(1), &usual(), text).is_err(), "{text:?}");
        }
    }

    /// GCM opens this ciphertext with the wrapped key: only the commitment tells that it is not the one that was used.
    #[test]
    fn a_data_key_without_its_commitment_is_refused() {
        let (key, context, rng, other) = (key(1), usual(), rng(), [9_u8; KEY]);
        let mut blob = vec![FORMAT];
        blob.extend_from_slice(key.id());
        blob.extend_from_slice(&encrypt(key.bytes(), context.wrapping(), &other, &rng).unwrap());
        let committed = blob.len();
        blob.extend_from_slice(&commitment(&other));
        blob.extend_from_slice(&encrypt(&other, context.content(), b"forged", &rng).unwrap());
        assert_eq!(open(&key, &context, &BASE64.encode(&blob)).unwrap().expose(), b"forged");
        blob[committed..committed + 32].copy_from_slice(&commitment(&[8; KEY]));
        assert_eq!(open(&key, &context, &BASE64.encode(&blob)).unwrap_err(), SealingError::Refused);
    }

    #[test]
    fn the_two_layers_cannot_stand_in_for_each_other() {
        let context = usual();
        assert_ne!(context.wrapping().as_ref(), context.content().as_ref());
        let sealed = encrypt(&[1; KEY], context.wrapping(), &[7; KEY], &rng()).unwrap();
        assert!(decrypt(&[1; KEY], context.content(), &sealed).is_err());
    }

    #[test]
    fn sealing_twice_gives_two_texts_that_share_no_key() {
        let rng = rng();
        let first = BASE64.decode(seal(&key(1), &usual(), b"secret", &rng).unwrap().as_bytes()).unwrap();
        let second = BASE64.decode(seal(&key(1), &usual(), b"secret", &rng).unwrap().as_bytes()).unwrap();
        for part in [9..21, 21..69, 69..101, 101..113, 113..135] {
            assert_ne!(first[part.clone()], second[part]);
        }
    }

    #[test]
    fn what_would_not_fit_a_document_is_refused() {
        let setting = key(1).seal_setting("ca", &vec![b'x'; PLAIN_BYTES], &rng()).unwrap();
        assert!(setting.value.len() < DOCUMENT_BYTES * 3 / 4);
        let longer = key(1).seal_setting("ca", &vec![b'x'; PLAIN_BYTES + 1], &rng());
        assert_eq!(longer.unwrap_err(), SealingError::TooLong);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_was_sealed_comes_back(plain in proptest::collection::vec(any::<u8>(), 0..2000), name in ".{0,40}") {
            let mut setting = key(3).seal_setting(&name, &plain, &rng()).unwrap();
            let opened = key(3).open_setting(&setting).unwrap();
            prop_assert_eq!(opened.expose(), &plain);
            setting.name.push('x');
            prop_assert_eq!(key(3).open_setting(&setting).unwrap_err(), SealingError::Refused);
        }

        #[test]
        fn rubbish_never_opens_and_never_panics(blob in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(open(&key(1), &usual(), &BASE64.encode(&blob)).is_err());
        }
    }
}
