//! Reading and writing the lockfile: whole or not at all, one writer at a time, and never over what somebody wrote since it
//! was read.

use super::{NAME, PinsError};
use portunus_core::digest::{Digest, sha256};
use portunus_core::limits;
use portunus_pins::Lock;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for another writer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether it is done.
const PAUSE: Duration = Duration::from_millis(5);

/// A lockfile as it was read.
pub(super) struct Found {
    pub(super) text: Option<String>,
    /// Of the text; `None` when there is no file.
    pub(super) digest: Option<Digest>,
}

/// Reads a lockfile; one that is not there is an empty one.
pub(crate) fn load(path: &Path) -> Result<Lock, PinsError> {
    match read(path)?.text {
        Some(text) => parse(path, &text),
        None => Ok(Lock::default()),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Lock, PinsError> {
    Lock::parse(text).map_err(|error| PinsError::Lock { path: path.to_owned(), error })
}

pub(super) fn read(path: &Path) -> Result<Found, PinsError> {
    let failed = |error| PinsError::File { path: path.to_owned(), error };
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > limits::LOCK_BYTES as u64 => {
            return Err(PinsError::TooLong(path.to_owned()));
        }
        Ok(_) => Some(std::fs::read_to_string(path).map_err(failed)?),
    };
    let digest = text.as_deref().map(digest);
    Ok(Found { text, digest })
}

fn digest(text: &str) -> Digest {
    sha256(&[text.as_bytes()])
}

/// The right to write the lockfile; given up when dropped. Programs that edit it do not ask for it, so whoever has it looks
/// at the file again before it is replaced.
pub(super) struct Turn {
    target: PathBuf,
    _directory: File,
}

impl Turn {
    /// Waits for it. The lock is the directory's, since the file is another one after each change.
    pub(super) fn take(path: &Path) -> Result<Self, PinsError> {
        let failed = |error| PinsError::File { path: path.to_owned(), error };
        // A link stays a link.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = File::open(directory_of(&target)).map_err(failed)?;
        let began = Instant::now();
        loop {
            match directory.try_lock() {
                Ok(()) => break,
                // Where there are no locks, there is hardly a second edge.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(PinsError::Busy(path.to_owned())),
            }
        }
        Ok(Self { target, _directory: directory })
    }

    /// Writes the lockfile as a whole or not at all, if it is still as it was `found`; its permissions stay. The digest of
    /// what it holds now; `None` when somebody wrote something else meanwhile, which stays.
    pub(super) fn save(&self, lock: &Lock, found: Option<Digest>) -> Result<Option<Digest>, PinsError> {
        let text = lock.print();
        if text.len() > limits::LOCK_BYTES {
            return Err(PinsError::TooLong(self.target.clone()));
        }
        let temporary = directory_of(&self.target).join(format!(".{NAME}.{}", std::process::id()));
        let written = self.replace(&temporary, text.as_bytes(), found);
        if !matches!(written, Ok(true)) {
            // Nothing else can be done about a leftover.
            let _ = std::fs::remove_file(&temporary);
        }
        Ok(written?.then(|| digest(&text)))
    }

    fn replace(&self, temporary: &Path, bytes: &[u8], found: Option<Digest>) -> Result<bool, PinsError> {
        let failed = |error| PinsError::File { path: self.target.clone(), error };
        let mut file = File::create(temporary).map_err(failed)?;
        if let Ok(metadata) = std::fs::metadata(&self.target) {
            file.set_permissions(metadata.permissions()).map_err(failed)?;
        }
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        // As late as can be.
        if read(&self.target)?.digest != found {
            return Ok(false);
        }
        std::fs::rename(temporary, &self.target).map_err(failed)?;
        Ok(true)
    }
}

fn directory_of(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::super::tests::accepted;
    use super::*;

    #[test]
    fn a_lockfile_is_replaced_whole_and_keeps_permissions_and_links() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join(NAME));
        std::fs::write(&real, "old").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Turn::take(&link).unwrap().save(&accepted(&["a"]), Some(digest("old"))).unwrap().unwrap();
        assert_eq!(load(&link).unwrap(), accepted(&["a"]));
        assert!(link.is_symlink());
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn what_was_written_since_it_was_read_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let turn = Turn::take(&path).unwrap();
        std::fs::write(&path, "edited").unwrap();
        for found in [None, Some(digest("before"))] {
            assert_eq!(turn.save(&accepted(&["a"]), found).unwrap(), None);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "edited");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn one_writer_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let turn = Turn::take(&path).unwrap();
        let other = std::thread::spawn(move || Turn::take(&path).map(drop));
        std::thread::sleep(PAUSE * 4);
        assert!(!other.is_finished());
        drop(turn);
        other.join().unwrap().unwrap();
    }

    #[test]
    fn a_missing_lockfile_is_empty_and_a_broken_one_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        assert_eq!(load(&path).unwrap(), Lock::default());
        std::fs::write(&path, "{\n  \"portunus_lock\": 1,\n  oops\n}").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("portunus.lock, line 3"), "{error}");
    }
}
