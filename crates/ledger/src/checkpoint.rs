//! Checkpoints: the tree's size and root, signed. C2SP `tlog-checkpoint` in a C2SP `signed-note`, Ed25519.
//!
//! ```text
//! example.com/portunus
//! 1234
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.com/portunus Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use portunus_core::digest::{Digest, sha256};
use portunus_core::secret::Secret;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the longest note that is read.
pub const NOTE_BYTES: usize = 16 * 1024;
/// The largest tree: far from where the arithmetic on indices could overflow.
const SIZE: u64 = 1 << 56;
/// Bytes of the longest key name.
const NAME_BYTES: usize = 256;
/// The signed note's algorithm byte for Ed25519.
const ALGORITHM: u8 = 1;
const SIGNATURE_START: &str = "\u{2014} ";

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many records it covers.
    pub size: u64,
    /// The tree's root over them.
    pub root: Digest,
    /// Further lines under the signature, such as the store's generation.
    pub extensions: Vec<String>,
}

/// A further line for checkpoints: not empty, no control characters, not like a signature, at most 1 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionLine(String);

impl ExtensionLine {
    /// Parses the line.
    ///
    /// # Errors
    /// When it breaks the rule above.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let plain = !line.is_empty() && line.len() <= 1024 && !line.chars().any(char::is_control);
        if plain && !line.starts_with(SIGNATURE_START) {
            Ok(Self(line.to_owned()))
        } else {
            Err(NoteError::Checkpoint("an extension line must be 1 to 1024 bytes without control characters"))
        }
    }
}

/// Why a note or key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// Signed, but not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// No signature is by the key.
    #[error("the note is not signed by the key {0}")]
    Unsigned(String),
    /// The signature does not fit the text.
    #[error("the signature by {0} does not fit: the text was changed, or the key is another one")]
    Signature(String),
    /// Not a key.
    #[error("not a key: {0}")]
    Key(&'static str),
}

/// The key that signs checkpoints. Prints nothing of itself.
pub struct SigningKey {
    verifier: VerifierKey,
    seed: Secret<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The Ed25519 key with this seed. `name` becomes the log's origin: by convention a schema-less URL under the
    /// operator's control, such as `example.com/portunus`.
    ///
    /// # Errors
    /// When the name is empty, too long, or has spaces, `+` or control characters.
    pub fn new(name: &str, seed: &Secret<[u8; 32]>) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .map_err(|_| NoteError::Key("an Ed25519 seed is 32 bytes"))?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| NoteError::Key("an Ed25519 public key is 32 bytes"))?;
        Ok(Self { verifier: VerifierKey::new(name, public)?, seed: seed.clone(), pair })
    }

    /// Reads the text form `PRIVATE+KEY+name+hash+key` that Go's `note` package uses too.
    ///
    /// # Errors
    /// When it is not such a key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text.trim_end().strip_prefix("PRIVATE+KEY+");
        let (name, hash, bytes) = split_key(rest.ok_or(NoteError::Key("it must start with PRIVATE+KEY+"))?)?;
        let key = Self::new(name, &Secret::new(bytes))?;
        if key.verifier.hash_hex() == hash { Ok(key) } else { Err(NoteError::Key("its hash does not fit")) }
    }

    /// The text form that [`SigningKey::parse`] reads.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        let key = Secret::new(key_base64(self.seed.expose()));
        Secret::new(format!("PRIVATE+KEY+{}+{}+{}", self.name(), self.verifier.hash_hex(), key.expose()))
    }

    /// The key's name, which is the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.verifier.name
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of a checkpoint of this log.
    #[must_use]
    pub fn sign(&self, size: u64, root: Digest, extensions: &[ExtensionLine]) -> String {
        let mut text = format!("{}\n{size}\n{}\n", self.name(), BASE64.encode(&root.0));
        for line in extensions {
            text.push_str(&line.0);
            text.push('\n');
        }
        let mut signature = self.verifier.hash.to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{SIGNATURE_START}{} {}\n", self.name(), BASE64.encode(&signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

/// The key that checks checkpoints; prints as the C2SP vkey `name+hash+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(plain) {
            return Err(NoteError::Key("its name must be 1 to 256 bytes without spaces and `+`"));
        }
        let Digest([a, b, c, d, ..]) = sha256(&[name.as_bytes(), b"\n", &[ALGORITHM], &public]);
        Ok(Self { name: name.to_owned(), hash: [a, b, c, d], public })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When it is not the vkey of an Ed25519 key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let (name, hash, public) = split_key(text.trim_end())?;
        let key = Self::new(name, public)?;
        if key.hash_hex() == hash { Ok(key) } else { Err(NoteError::Key("its hash does not fit")) }
    }

    /// The key's name, which is the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checkpoint in a note, if the note is signed by this key and the checkpoint is of this log.
    ///
    /// # Errors
    /// When it is not; a signature by this key that does not fit is never overlooked.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        if note.len() > NOTE_BYTES {
            return Err(NoteError::Form("longer than 16 KiB"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Form("control characters"));
        }
        let split = note.rfind("\n\n").and_then(|end| note.split_at_checked(end + 1));
        let (text, signatures) = split.ok_or(NoteError::Form("no empty line before the signatures"))?;
        let signatures = signatures.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
        let signatures = signatures.ok_or(NoteError::Form("it does not end with a newline"))?;
        let mut signed = false;
        for line in signatures.split('\n') {
            signed |= self.check(text, line)?;
        }
        if !signed {
            return Err(NoteError::Unsigned(self.name.clone()));
        }
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.origin == self.name {
            Ok(checkpoint)
        } else {
            Err(NoteError::Checkpoint("it is of another log"))
        }
    }

    /// Whether a signature line is by this key; an error if it is and does not fit.
    fn check(&self, text: &str, line: &str) -> Result<bool, NoteError> {
        let malformed = NoteError::Form("a signature line has another form");
        let rest = line.strip_prefix(SIGNATURE_START).ok_or_else(|| malformed.clone())?;
        let (name, encoded) = rest.split_once(' ').ok_or_else(|| malformed.clone())?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| malformed.clone())?;
        let (hash, signature) = bytes.split_at_checked(4).ok_or(malformed)?;
        if name != self.name || hash != self.hash {
            return Ok(false);
        }
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(text.as_bytes(), signature)
            .map(|()| true)
            .map_err(|_| NoteError::Signature(self.name.clone()))
    }

    fn hash_hex(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.hash_hex(), key_base64(&self.public))
    }
}

impl Checkpoint {
    fn parse(text: &str) -> Result<Self, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Checkpoint("it does not end with a newline"))?;
        let mut lines = body.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().ok_or(NoteError::Checkpoint("no origin"))?;
        let size = line().ok_or(NoteError::Checkpoint("no size"))?;
        let number = size.parse().ok().filter(|number: &u64| *number <= SIZE && number.to_string() == size);
        let root = line().ok_or(NoteError::Checkpoint("no root"))?;
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(NoteError::Checkpoint("an empty line"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: number.ok_or(NoteError::Checkpoint("the size is not a plain number"))?,
            root: Digest(root.ok_or(NoteError::Checkpoint("the root is not 32 bytes in base64"))?),
            extensions,
        })
    }
}

/// `name`, `hash` and key of `name+hash+base64(algorithm ‖ key)`.
fn split_key(text: &str) -> Result<(&str, &str, [u8; 32]), NoteError> {
    let form = NoteError::Key("it must have the form name+hash+key");
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form);
    };
    let key = Secret::new(BASE64.decode(key.as_bytes()).map_err(|_| form.clone())?);
    match key.expose().split_first() {
        Some((&ALGORITHM, key)) => Ok((name, hash, key.try_into().map_err(|_| form)?)),
        _ => Err(NoteError::Key("it is not an Ed25519 key")),
    }
}

fn key_base64(key: &[u8; 32]) -> String {
    let mut bytes = Zeroizing::new([ALGORITHM; 33]);
    for (to, from) in bytes.iter_mut().skip(1).zip(key) {
        *to = *from;
    }
    BASE64.encode(&*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Go package `golang.org/x/mod/sumdb/note`, made by another implementation.
    const GO_VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_SIGNER: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key() -> SigningKey {
        SigningKey::new("example.com/portunus", &Secret::new([7; 32])).unwrap()
    }

    fn note() -> String {
        let generation = ExtensionLine::parse("store 42").unwrap();
        key().sign(3, sha256(&[b"root"]), &[generation])
    }

    #[test]
    fn keys_and_signatures_are_those_of_the_signed_note_specification() {
        let signer = SigningKey::parse(GO_SIGNER).unwrap();
        assert_eq!(signer.text().expose(), GO_SIGNER);
        assert_eq!(signer.verifier().to_string(), GO_VERIFIER);
        let verifier = VerifierKey::parse(GO_VERIFIER).unwrap();
        assert_eq!(&verifier, signer.verifier());
        // Not a checkpoint, but the signature over it was found to fit.
        assert_eq!(verifier.open(GO_NOTE), Err(NoteError::Checkpoint("no root")));
        let changed = GO_NOTE.replace("answer", "cause");
        assert_eq!(verifier.open(&changed), Err(NoteError::Signature("PeterNeumann".into())));
    }

    #[test]
    fn a_checkpoint_survives_its_note() {
        let key = key();
        let expected = Checkpoint {
            origin: "example.com/portunus".into(),
            size: 3,
            root: sha256(&[b"root"]),
            extensions: vec!["store 42".into()],
        };
        let verifier = VerifierKey::parse(&key.verifier().to_string()).unwrap();
        assert_eq!(verifier.open(&note()), Ok(expected));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let (key, note) = (key(), note());
        for position in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(key.verifier().open(&changed).is_err(), "byte {position} bit {bit}: {changed}");
            }
        }
    }

    #[test]
    fn a_note_by_another_key_or_of_another_log_is_refused() {
        let note = note();
        let other = SigningKey::new("example.com/portunus", &Secret::new([8; 32])).unwrap();
        assert!(matches!(other.verifier().open(&note), Err(NoteError::Unsigned(_))));
        let cosigned = format!("{note}{SIGNATURE_START}witness {}\n", BASE64.encode(&[9; 68]));
        assert_eq!(key().verifier().open(&cosigned).map(|checkpoint| checkpoint.size), Ok(3));
        let text = note.replace("\n3\n", "\n03\n");
        assert!(key().verifier().open(&text).is_err());
        assert!(key().verifier().open(&"a".repeat(NOTE_BYTES + 1)).is_err());
    }

    #[test]
    fn bad_keys_and_extension_lines_are_refused() {
        for name in ["", "a b", "a+b", "a\nb", &"a".repeat(257)] {
            assert!(SigningKey::new(name, &Secret::new([7; 32])).is_err(), "{name:?}");
        }
        for text in [
            "",
            "a+b",
            "a+00000000+AQ==",
            &GO_VERIFIER.replace("c74f", "c74e"),
            &GO_VERIFIER.replace("+AR", "+BR"),
        ] {
            assert!(VerifierKey::parse(text).is_err(), "{text}");
        }
        for line in ["", "a\nb", "\u{2014} example.com/portunus AAAA", "tab\t"] {
            assert!(ExtensionLine::parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_signing_key_prints_only_its_public_half() {
        let shown = format!("{:?}", key());
        assert!(shown.contains(&key().verifier().to_string()) && !shown.contains("PRIVATE"));
    }
}
