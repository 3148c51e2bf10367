//! A ledger's two secrets: the key that signs its checkpoints and the key of the digests in its records.

use crate::checkpoint::{NoteError, SigningKey, VerifierKey};
use crate::disk::{Disk, RealDisk, create_dir};
use crate::layout::{CHECKPOINT, REDACTION_KEY, SIGNING_KEY, VKEY};
use data_encoding::BASE64;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of the longest key file that is read.
const KEY_FILE_BYTES: u64 = 1024;

/// Both keys.
#[derive(Debug)]
pub struct Keys {
    /// Signs checkpoints.
    pub signing: SigningKey,
    /// For [`crate::redact::Redactor::new`].
    pub redaction: Secret<[u8; 32]>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than the owner may read a secret.
    #[error("{0}: others can read this secret; run `chmod 600` on it, and replace it if they may have")]
    Open(PathBuf),
    /// A file does not hold a key.
    #[error("{path}: {error}; restore it from a backup")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        error: NoteError,
    },
    /// The ledger has checkpoints and the key that signed them is gone.
    #[error(
        "{0}: missing, but the ledger has signed checkpoints; restore it from a backup, \
         or move the ledger's directory away to start a new ledger"
    )]
    Missing(PathBuf),
    /// The key's name is not the wanted one.
    #[error("{path}: the key is of the log `{found}`, not `{wanted}`; a ledger keeps its origin for life")]
    Origin {
        /// Which.
        path: PathBuf,
        /// The key's name.
        found: String,
        /// The name asked for.
        wanted: String,
    },
}

/// The keys of the ledger in `dir`, made at the first time. The public one lies beside them in `ledger.vkey`.
///
/// # Errors
/// When a key cannot be read, may be read by others, is not whole, or is gone although the ledger was signed with it.
pub fn load_or_create(dir: &Path, origin: &str, rng: &dyn Rng) -> Result<Keys, KeyError> {
    create_dir(dir).map_err(|error| io_error(dir, error))?;
    let path = dir.join(SIGNING_KEY);
    let key_error = |error| KeyError::Key { path: path.clone(), error };
    let signing = match read_secret(&path)? {
        Some(text) => SigningKey::parse(text.expose()).map_err(key_error)?,
        None if dir.join(CHECKPOINT).exists() => return Err(KeyError::Missing(path)),
        None => {
            let key = SigningKey::new(origin, &random(rng)).map_err(key_error)?;
            write(&path, &Zeroizing::new(format!("{}\n", key.text().expose())))?;
            key
        }
    };
    if signing.name() != origin {
        return Err(KeyError::Origin { path, found: signing.name().to_owned(), wanted: origin.to_owned() });
    }
    publish(dir, signing.verifier())?;
    Ok(Keys { signing, redaction: redaction_key(&dir.join(REDACTION_KEY), rng)? })
}

/// Lays the public key into the directory.
pub(crate) fn publish(dir: &Path, verifier: &VerifierKey) -> Result<(), KeyError> {
    let (path, text) = (dir.join(VKEY), format!("{verifier}\n"));
    let there = std::fs::read_to_string(&path).is_ok_and(|there| there == text);
    if there { Ok(()) } else { write(&path, &text) }
}

/// The public key that lies in the directory; to trust a verification, keep a copy of it elsewhere.
///
/// # Errors
/// When it cannot be read or is not a key.
pub fn verifier(dir: &Path) -> Result<VerifierKey, KeyError> {
    let path = dir.join(VKEY);
    let text = read(&path)?.ok_or_else(|| io_error(&path, io::ErrorKind::NotFound.into()))?;
    VerifierKey::parse(text.expose()).map_err(|error| KeyError::Key { path, error })
}

/// The latest checkpoint that lies in the directory, a signed note; whoever uses it opens it with a key.
///
/// # Errors
/// When it cannot be read.
pub fn checkpoint(dir: &Path) -> io::Result<String> {
    let mut note = String::new();
    let bound = crate::checkpoint::NOTE_BYTES as u64;
    std::fs::File::open(dir.join(CHECKPOINT))?.take(bound).read_to_string(&mut note)?;
    Ok(note)
}

fn redaction_key(path: &Path, rng: &dyn Rng) -> Result<Secret<[u8; 32]>, KeyError> {
    let Some(text) = read_secret(path)? else {
        let key = random(rng);
        write(path, &Zeroizing::new(format!("{}\n", BASE64.encode(key.expose()))))?;
        return Ok(key);
    };
    let bytes = BASE64.decode(text.expose().trim_end().as_bytes()).ok().map(Zeroizing::new);
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    let error = NoteError::Key("it must be 32 bytes in base64");
    key.map(Secret::new).ok_or_else(|| KeyError::Key { path: path.to_owned(), error })
}

fn random(rng: &dyn Rng) -> Secret<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill(&mut *bytes);
    Secret::new(*bytes)
}

fn read_secret(path: &Path) -> Result<Option<Secret<String>>, KeyError> {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path) {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned()));
        }
    }
    read(path)
}

fn read(path: &Path) -> Result<Option<Secret<String>>, KeyError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES as usize));
    file.take(KEY_FILE_BYTES).read_to_string(&mut text).map_err(|error| io_error(path, error))?;
    Ok(Some(Secret::new(text.to_string())))
}

fn write(path: &Path, text: &str) -> Result<(), KeyError> {
    RealDisk.replace(path, text.as_bytes()).map_err(|error| io_error(path, error))
}

fn io_error(path: &Path, error: io::Error) -> KeyError {
    KeyError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fives;
    impl Rng for Fives {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(5);
        }
    }

    #[test]
    fn keys_are_made_once_and_loaded_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let made = load_or_create(dir.path(), "log.example", &Fives).unwrap();
        std::fs::remove_file(dir.path().join(VKEY)).unwrap();
        let loaded = load_or_create(dir.path(), "log.example", &Fives).unwrap();
        assert_eq!(made.signing.text().expose(), loaded.signing.text().expose());
        assert_eq!(made.redaction.expose(), loaded.redaction.expose());
        assert_eq!(&verifier(dir.path()).unwrap(), made.signing.verifier());
        let other = load_or_create(dir.path(), "other.example", &Fives);
        assert!(matches!(other, Err(KeyError::Origin { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_the_owner_only_and_refused_otherwise() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path(), "log.example", &Fives).unwrap();
        for name in [SIGNING_KEY, REDACTION_KEY] {
            let path = dir.path().join(name);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            let refused = load_or_create(dir.path(), "log.example", &Fives);
            assert!(matches!(refused, Err(KeyError::Open(_))));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    #[test]
    fn a_lost_key_of_a_signed_ledger_is_not_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path(), "log.example", &Fives).unwrap();
        std::fs::write(dir.path().join(CHECKPOINT), "signed").unwrap();
        std::fs::remove_file(dir.path().join(SIGNING_KEY)).unwrap();
        let refused = load_or_create(dir.path(), "log.example", &Fives);
        assert!(matches!(refused, Err(KeyError::Missing(_))));
    }

    #[test]
    fn a_damaged_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path(), "log.example", &Fives).unwrap();
        for name in [SIGNING_KEY, REDACTION_KEY] {
            let path = dir.path().join(name);
            let whole = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            let refused = load_or_create(dir.path(), "log.example", &Fives);
            assert!(matches!(refused, Err(KeyError::Key { .. })));
            std::fs::write(&path, whole).unwrap();
        }
    }
}
