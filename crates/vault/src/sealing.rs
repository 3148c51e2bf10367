//! Envelope encryption. Each value gets a fresh 256-bit data key under AES-256-GCM; the data key is wrapped by the
//! sealing key, also AES-256-GCM. Both are bound to what the value belongs to, so that a sealed value copied to
//! another place does not open there.
//!
//! GCM alone does not commit to its key: one ciphertext can be made that opens under two. So a digest of the data key is
//! stored and compared before anything is decrypted with it.
//!
//! ```text
//! format 2, behind the word `sealed-2.`:
//!   id of the sealing key 8 | digest of the context 32 | nonce 12, wrapped data key 48 | commitment 32 | nonce 12, secret + tag 16
//! format 1, still read:
//!   1 | id of the sealing key 8 | nonce 12, wrapped data key 48 | commitment 32 | nonce 12, secret + tag 16
//! ```
//!
//! In format 2 the wrapping is bound to the context's digest, which is beside it, and the text tells what it is: so a sealed
//! value in any document is found, and its data key wrapped anew, by whoever knows nothing about the document
//! ([`crate::rewrap`]). Opening it still takes the context itself.

use crate::key::{Kek, KeyId};
use crate::ring::SealingKey;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64;
use portunus_core::digest;
use portunus_core::document::{CredentialKind, Setting};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::DOCUMENT_BYTES;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use zeroize::Zeroizing;

/// What a text of format 2 begins with. Neither it nor base64 is ever escaped in JSON.
pub(crate) const WORD: &str = "sealed-2.";
/// Bytes of a wrapped data key with its nonce.
const WRAPPED: usize = NONCE_LEN + KEY + TAG;
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
    #[error("it was sealed with another sealing key; give back the key or key file that was in use then")]
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

/// The layouts above; also part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Format {
    One = 1,
    Two = 2,
}

impl SealingKey {
    /// Seals a value for a document; the text is at most two thirds longer. Wherever the text stands in the store, it takes
    /// part when the sealing key is changed.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, context: &Context, plain: &[u8], rng: &dyn Rng) -> Result<String, SealingError> {
        seal(self, context, plain, rng)
    }

    /// Opens what [`SealingKey::seal`] made in the same context.
    ///
    /// # Errors
    /// When it was sealed with another key or in another context, or was changed.
    pub fn open(&self, context: &Context, sealed: &str) -> Result<Secret<Vec<u8>>, SealingError> {
        open(self, context, sealed)
    }

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// Of these fields; the first says what kind of thing the value belongs to, and no other kind has the same word.
    #[must_use]
    pub fn of(fields: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        Self(bytes)
    }

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
    pub(crate) fn setting(name: &str) -> Self {
        Self::of(&["setting", name])
    }

    fn bytes(&self, format: Format, layer: &[u8]) -> Vec<u8> {
        [b"portunus sealed value\0".as_slice(), &[format as u8], &self.0, layer].concat()
    }
    fn digest(&self) -> [u8; 32] {
        digest::sha256(&[b"portunus sealed context 2\0", &self.0]).0
    }
    fn content(&self, format: Format) -> Aad<Vec<u8>> {
        Aad::from(self.bytes(format, b"\0value"))
    }
}

/// A sealed value taken apart. Nothing about it is known to be true.
pub(crate) struct Envelope {
    /// What binds the wrapped key, when the text itself says it.
    context: Option<[u8; 32]>,
    key: KeyId,
    wrapped: Vec<u8>,
    committed: Vec<u8>,
    content: Vec<u8>,
}

impl Envelope {
    pub(crate) fn parse(text: &str) -> Result<Self, SealingError> {
        if text.len() > DOCUMENT_BYTES {
            return Err(SealingError::Malformed);
        }
        let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| SealingError::Malformed);
        let (blob, format) = match text.strip_prefix(WORD) {
            Some(rest) => (decode(rest)?, Format::Two),
            None => (decode(text)?, Format::One),
        };
        let mut rest = blob.as_slice();
        if format == Format::One && take(&mut rest, 1)? != [Format::One as u8] {
            return Err(SealingError::Malformed);
        }
        let key = take(&mut rest, 8)?.try_into().map(KeyId).map_err(|_| SealingError::Malformed)?;
        let context = match format {
            Format::One => None,
            Format::Two => Some(take(&mut rest, 32)?.try_into().map_err(|_| SealingError::Malformed)?),
        };
        let wrapped = take(&mut rest, WRAPPED)?.to_vec();
        let committed = take(&mut rest, 32)?.to_vec();
        if rest.len() < NONCE_LEN + TAG {
            return Err(SealingError::Malformed);
        }
        Ok(Self { context, key, wrapped, committed, content: rest.to_vec() })
    }

    /// Which key it says it was sealed with.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    /// Whether it can be opened and rewrapped only by who knows what it belongs to.
    pub(crate) fn needs_context(&self) -> bool {
        self.context.is_none()
    }

    /// The same value, wrapped by the key that seals now. Its content stays as it is, byte for byte.
    pub(crate) fn rewrap(
        mut self,
        ring: &SealingKey,
        context: Option<&Context>,
        rng: &dyn Rng,
    ) -> Result<String, SealingError> {
        let data_key = self.unwrap(ring, context)?;
        let kek = ring.current();
        self.key = kek.id();
        self.wrapped = encrypt(kek.bytes(), self.wrapping(context)?, &*data_key, rng)?;
        Ok(self.text())
    }

    /// Its data key.
    pub(crate) fn unwrap(
        &self,
        ring: &SealingKey,
        context: Option<&Context>,
    ) -> Result<Zeroizing<[u8; KEY]>, SealingError> {
        let kek: std::sync::Arc<Kek> = ring.of_id(self.key).ok_or(SealingError::OtherKey)?;
        let unwrapped = decrypt(kek.bytes(), self.wrapping(context)?, &self.wrapped)?;
        let mut data_key = Zeroizing::new([0_u8; KEY]);
        data_key.iter_mut().zip(unwrapped.iter()).for_each(|(to, from)| *to = *from);
        let same = digest::equal(&self.committed, &commitment(&data_key));
        if same { Ok(data_key) } else { Err(SealingError::Refused) }
    }

    /// What the wrapped key is bound to.
    fn wrapping(&self, context: Option<&Context>) -> Result<Aad<Vec<u8>>, SealingError> {
        match (self.context, context) {
            (Some(digest), _) => Ok(Aad::from([b"portunus sealed key\0\x02".as_slice(), &digest].concat())),
            (None, Some(context)) => Ok(Aad::from(context.bytes(Format::One, b"\0key"))),
            (None, None) => Err(SealingError::Refused),
        }
    }

    fn format(&self) -> Format {
        if self.context.is_some() { Format::Two } else { Format::One }
    }

    fn text(&self) -> String {
        let (word, first) = match self.format() {
            Format::One => ("", [Format::One as u8].as_slice()),
            Format::Two => (WORD, [].as_slice()),
        };
        let context = self.context.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default();
        let parts: [&[u8]; 6] = [first, &self.key.0, context, &self.wrapped, &self.committed, &self.content];
        format!("{word}{}", BASE64.encode(&parts.concat()))
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], SealingError> {
    let (taken, left) = rest.split_at_checked(bytes).ok_or(SealingError::Malformed)?;
    *rest = left;
    Ok(taken)
}

/// Seals the value into a text of format 2.
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
    let kek = key.current();
    let mut envelope = Envelope {
        context: Some(context.digest()),
        key: kek.id(),
        wrapped: Vec::new(),
        committed: commitment(&data_key).to_vec(),
        content: encrypt(&data_key, context.content(Format::Two), plain, rng)?,
    };
    envelope.wrapped = encrypt(kek.bytes(), envelope.wrapping(None)?, &*data_key, rng)?;
    Ok(envelope.text())
}

/// Opens what [`seal`] made in the same context with a key of the ring.
pub(crate) fn open(
    key: &SealingKey,
    context: &Context,
    sealed: &str,
) -> Result<Secret<Vec<u8>>, SealingError> {
    let envelope = Envelope::parse(sealed)?;
    if key.of_id(envelope.key).is_none() {
        return Err(SealingError::OtherKey);
    }
    // The content is bound to the whole context; this tells it sooner.
    if envelope.context.is_some_and(|digest| digest != context.digest()) {
        return Err(SealingError::Refused);
    }
    let data_key = envelope.unwrap(key, Some(context))?;
    let mut plain = decrypt(&data_key, context.content(envelope.format()), &envelope.content)?;
    Ok(Secret::new(std::mem::take(&mut *plain)))
}

/// Whether two texts hold the same sealed value, whichever keys wrap its data key.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one == other
        || match (Envelope::parse(one), Envelope::parse(other)) {
            (Ok(one), Ok(other)) => {
                (one.context, one.committed, one.content) == (other.context, other.committed, other.content)
            }
            _ => false,
        }
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
mod tests;
