//! The sealing key (key-encryption key): 32 bytes from a file that only its owner may read.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use portunus_core::digest::sha256;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key file that are read: the longest form and some white space.
const FILE_BYTES: u64 = 256;

/// The key that wraps the keys of all sealed values.
#[derive(Debug, Clone)]
pub struct SealingKey {
    bytes: Secret<[u8; KEY_BYTES]>,
    id: [u8; 8],
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
    /// The file holds something else.
    #[error("{} is no sealing key: it must hold 32 bytes as 64 hexadecimal digits or as base64", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl SealingKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: Secret<[u8; 32]>) -> Self {
        let digest = sha256(&[b"portunus sealing key id 1\0", bytes.expose()]).0;
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { bytes, id }
    }

    /// Reads the key from a file that only its owner may read: 64 hexadecimal digits, or base64 of 32 bytes.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let broken = |error| KeyError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(broken)?;
        if !is_private(&file).map_err(broken)? {
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
    /// As for [`SealingKey::load`], and when the file cannot be made.
    pub fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                create(path, rng).map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
                Self::load(path)
            }
            other => other,
        }
    }

    /// Names a secret without telling anything about it: equal for equal secrets under one sealing key, 32 hexadecimal
    /// digits. Without the key nobody can try guesses against it.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        let own = sha256(&[b"portunus fingerprint key 1\0", self.bytes.expose()]);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &own.0);
        let tag = aws_lc_rs::hmac::sign(&key, secret);
        HEXLOWER.encode(tag.as_ref().get(..16).unwrap_or_default())
    }

    /// Names the key without telling anything about it.
    pub(crate) fn id(&self) -> &[u8; 8] {
        &self.id
    }

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
fn is_private(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_file: &File) -> io::Result<bool> {
    Ok(true)
}
