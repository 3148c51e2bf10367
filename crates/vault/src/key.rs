//! A key-encryption key: 32 bytes, from a file that only its owner may read, or made here and wrapped by a key service.

pub use crate::ring::SealingKey;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use portunus_core::digest::sha256;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key file that are read: the longest form and some white space.
const FILE_BYTES: u64 = 256;

/// A key that wraps the keys of sealed values: one epoch of the sealing key.
#[derive(Clone)]
pub struct Kek {
    bytes: Secret<[u8; KEY_BYTES]>,
    id: KeyId,
}

/// Names a key without telling anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", self.id)
    }
}

/// Who else may read a key's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Nobody but its owner.
    Owner,
    /// Its group, as systemd's credentials have it: there the group's bits are the mask of an access list that names the
    /// service's user alone.
    Group,
}

/// Why there is no sealing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("the sealing key {}: {error}; a new one is made by `openssl rand -hex 32`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may read the file.
    #[error("others may read the sealing key {}; run `chmod 600` on it, and think about whether they did", path.display())]
    OthersMayRead {
        /// The file.
        path: PathBuf,
    },
    /// systemd gave no credentials.
    #[error(
        "`sealing_key: {{ systemd: {name} }}` needs a credential of that name: start Portunus as a systemd service with LoadCredential={name}:FILE or LoadCredentialEncrypted="
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// The file holds something else.
    #[error("{} is no sealing key: it must hold 32 bytes as 64 hexadecimal digits or as base64", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Kek {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: Secret<[u8; 32]>) -> Self {
        let digest = sha256(&[b"portunus sealing key id 1\0", bytes.expose()]).0;
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { bytes, id: KeyId(id) }
    }

    /// A fresh key.
    pub fn random(rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        rng.fill(&mut *bytes);
        Self::new(Secret::new(*bytes))
    }

    /// Reads the key from a file that only its owner may read: 64 hexadecimal digits, or base64 of 32 bytes.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::load_for(path, Readers::Owner)
    }

    /// The same of a file that others may be allowed to read.
    ///
    /// # Errors
    /// As for [`Kek::load`].
    pub fn load_for(path: &Path, readers: Readers) -> Result<Self, KeyError> {
        let broken = |error| KeyError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(broken)?;
        if !is_private(&file, readers).map_err(broken)? {
            return Err(KeyError::OthersMayRead { path: path.to_owned() });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES as usize));
        file.take(FILE_BYTES).read_to_end(&mut text).map_err(broken)?;
        decode(text.trim_ascii()).map(Self::new).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Reads the key, or makes the file with a fresh one when there is none. Of several that try at once, one makes it
    /// and all get the same.
    ///
    /// # Errors
    /// As for [`Kek::load`], and when the file cannot be made.
    pub fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                create(path, rng).map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
                Self::load(path)
            }
            other => other,
        }
    }

    /// Names the key without telling anything about it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What names secrets in stores that have no key of their own for it yet.
    pub(crate) fn derived_fingerprint_key(&self) -> Secret<[u8; 32]> {
        Secret::new(sha256(&[b"portunus fingerprint key 1\0", self.bytes.expose()]).0)
    }

    /// The key itself, for the one place that must use it.
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose()
    }
}

fn decode(text: &[u8]) -> Option<Secret<[u8; KEY_BYTES]>> {
    let encoding = match text.len() {
        64 => HEXLOWER_PERMISSIVE,
        44 => BASE64,
        43 => BASE64_NOPAD,
        _ => return None,
    };
    let bytes = Zeroizing::new(encoding.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Secret::new)
}

/// Writes a fresh key beside the path and links it into place when it is whole and on disk: a crash leaves no half a
/// key, and a key that is already there is never replaced.
fn create(path: &Path, rng: &dyn Rng) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    rng.fill(&mut *key);
    let mut suffix = [0_u8; 8];
    rng.fill(&mut suffix);
    let draft = directory.join(format!(".sealing-key-{}", HEXLOWER.encode(&suffix)));
    let text = Zeroizing::new(HEXLOWER.encode(&*key));
    let written = write_private(&draft, text.as_bytes()).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => removed.and_then(|()| sync_directory(directory)),
    }
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Makes the new name in the directory durable.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_private(file: &File, readers: Readers) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    let forbidden = match readers {
        Readers::Owner => 0o077,
        Readers::Group => 0o037,
    };
    Ok(file.metadata()?.permissions().mode() & forbidden == 0)
}

#[cfg(not(unix))]
fn is_private(_file: &File, _readers: Readers) -> io::Result<bool> {
    Ok(true)
}
