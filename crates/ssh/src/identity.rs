//! A private key and its certificate: the text that a credential holds is OpenSSH's own, a key without a passphrase, and
//! below it the line of its certificate, if it has one.

use crate::authority::Certificate;
use crate::wire::{Reader, nested, put};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;
use portunus_core::secret::Secret;
use std::fmt;
use zeroize::Zeroizing;

/// The one algorithm.
pub(crate) const ED25519: &[u8] = b"ssh-ed25519";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// Characters in a line of base64, as OpenSSH writes it.
const LINE: usize = 70;
const KEY_BYTES: usize = 32;

/// A key that signs, with its certificate.
pub struct Identity {
    pair: Ed25519KeyPair,
    certificate: Option<Certificate>,
}

/// The text is no such identity. No more is said of it, since it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is something else, or damaged.
    #[error("it is no OpenSSH private key (`{BEGIN}`)")]
    Malformed,
    /// Nobody could type its passphrase.
    #[error("its private key has a passphrase; take it off with `ssh-keygen -p -N ''`")]
    Encrypted,
    /// It is of another algorithm.
    #[error("only Ed25519 keys can be used; make one with `ssh-keygen -t ed25519`")]
    Algorithm,
    /// What is below the key is no certificate for it.
    #[error("the line below the private key is no certificate of that key")]
    Certificate,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the text of a credential.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &[u8]) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(text).map_err(|_| IdentityError::Malformed)?;
        let (body, rest) = text
            .trim_start()
            .strip_prefix(BEGIN)
            .and_then(|text| text.split_once(END))
            .ok_or(IdentityError::Malformed)?;
        let mut packed = Zeroizing::new(Vec::with_capacity(body.len()));
        packed.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let bytes = BASE64.decode(&packed).map(Zeroizing::new).map_err(|_| IdentityError::Malformed)?;
        let seed = seed(&bytes)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| IdentityError::Malformed)?;
        let certificate = match rest.trim() {
            "" => None,
            line => Some(Certificate::read(line).ok_or(IdentityError::Certificate)?),
        };
        let public: &[u8] = pair.public_key().as_ref();
        if certificate.as_ref().is_some_and(|certificate| certificate.public != public) {
            return Err(IdentityError::Certificate);
        }
        Ok(Self { pair, certificate })
    }

    /// The certificate, if it has one.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The public keys by which it is asked for, the certificate first.
    pub(crate) fn blobs(&self) -> Vec<Vec<u8>> {
        let certificate = self.certificate.iter().map(|certificate| certificate.blob.clone());
        certificate.chain([public_blob(self.pair.public_key().as_ref())]).collect()
    }

    /// A signature in the encoding of RFC 8709 section 6.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        signature(&self.pair, message)
    }
}

pub(crate) fn signature(pair: &Ed25519KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = Vec::new();
    put(&mut signature, ED25519);
    put(&mut signature, pair.sign(message).as_ref());
    signature
}

/// RFC 8709 section 4.
pub(crate) fn public_blob(public: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, public);
    blob
}

/// The seed in a private key file (OpenSSH's PROTOCOL.key).
fn seed(bytes: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, IdentityError> {
    let malformed = || IdentityError::Malformed;
    let mut outer = Reader(bytes.strip_prefix(MAGIC).ok_or_else(malformed)?);
    let mut string = || outer.string().ok_or_else(malformed);
    let (cipher, kdf, options) = (string()?, string()?, string()?);
    if (cipher, kdf, options) != (&b"none"[..], &b"none"[..], &b""[..]) {
        return Err(IdentityError::Encrypted);
    }
    if outer.u32() != Some(1) {
        return Err(malformed());
    }
    let public = outer.string().ok_or_else(malformed)?;
    let mut inner = Reader(outer.string().ok_or_else(malformed)?);
    if inner.u32().is_none() || inner.u32().is_none() {
        return Err(malformed());
    }
    if inner.string() != Some(ED25519) {
        return Err(IdentityError::Algorithm);
    }
    let (own, private) = (inner.string().ok_or_else(malformed)?, inner.string().ok_or_else(malformed)?);
    let (seed, again) = private.split_at_checked(KEY_BYTES).ok_or_else(malformed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| malformed())?;
    let derived: &[u8] = pair.public_key().as_ref();
    if own != derived || again != derived || public != public_blob(derived) {
        return Err(malformed());
    }
    seed.try_into().map(Zeroizing::new).map_err(|_| malformed())
}

/// The text of an identity: the private key of this seed, and its certificate's line. `check` are random bytes.
///
/// # Errors
/// When the cryptographic library refuses the seed, which it does not.
pub fn write(
    seed: &Secret<[u8; KEY_BYTES]>,
    check: [u8; 4],
    certificate: &str,
) -> Result<Secret<Vec<u8>>, IdentityError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| IdentityError::Malformed)?;
    let public: &[u8] = pair.public_key().as_ref();
    // Large enough from the start: growing would leave copies behind.
    let mut inner = Zeroizing::new(Vec::with_capacity(256));
    inner.extend_from_slice(&check);
    inner.extend_from_slice(&check);
    put(&mut inner, ED25519);
    put(&mut inner, public);
    put(&mut inner, &Zeroizing::new([seed.expose().as_slice(), public].concat()));
    put(&mut inner, b"portunus");
    let padding = inner.len().next_multiple_of(8) - inner.len();
    inner.extend((1_u8..).take(padding));
    let mut bytes = Zeroizing::new(Vec::with_capacity(512));
    bytes.extend_from_slice(MAGIC);
    put(&mut bytes, b"none");
    put(&mut bytes, b"none");
    put(&mut bytes, b"");
    bytes.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut bytes, &public_blob(public));
    put(&mut bytes, &inner);
    let body = Zeroizing::new(BASE64.encode(&bytes));
    let mut text = Zeroizing::new(Vec::with_capacity(body.len() * 2 + certificate.len() + 128));
    text.extend_from_slice(BEGIN.as_bytes());
    text.push(b'\n');
    for line in body.as_bytes().chunks(LINE) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(END.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(certificate.as_bytes());
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// The public key of this seed.
///
/// # Errors
/// As for [`write`].
pub fn public_of(seed: &Secret<[u8; KEY_BYTES]>) -> Result<[u8; KEY_BYTES], IdentityError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| IdentityError::Malformed)?;
    let public: &[u8] = pair.public_key().as_ref();
    public.try_into().map_err(|_| IdentityError::Malformed)
}

/// A public key as one line of text.
pub(crate) fn line(algorithm: &str, blob: &[u8], comment: &str) -> String {
    format!("{algorithm} {} {comment}", BASE64.encode(blob))
}

/// As in `authorized_keys`: for whoever is to trust a key.
#[must_use]
pub fn public_line(public: &[u8; KEY_BYTES], comment: &str) -> String {
    line("ssh-ed25519", &public_blob(public), comment)
}

/// The strings of a certificate's lists, each packed once more.
pub(crate) fn packed(to: &mut Vec<u8>, strings: &[&str]) {
    nested(to, |inner| strings.iter().for_each(|string| put(inner, string.as_bytes())));
}
