//! The only place that writes a user's file: the whole file or nothing, with its mode and group, never through a link that
//! leads out of where it should be, and never a file that somebody else owns, shares or changed meanwhile.

use crate::system::SystemRng;
use data_encoding::HEXLOWER;
use portunus_core::time::Rng;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Anybody may write.
const WORLD_WRITABLE: u32 = 0o002;
/// In a directory: only owners may rename.
const STICKY: u32 = 0o1000;

/// A file that may be replaced.
#[derive(Debug)]
pub(super) struct Target {
    /// Its real path.
    pub path: PathBuf,
    kind: Metadata,
}

/// Checks that a file may be replaced.
///
/// # Errors
/// In words, when it leads out of `roots`, is no regular file, belongs to somebody else, has further names, or lies where
/// others may put something in its place.
pub(super) fn check(path: &Path, roots: &[PathBuf]) -> Result<Target, String> {
    let shown = path.display();
    let real = std::fs::canonicalize(path).map_err(|error| format!("{shown}: {error}"))?;
    let inside =
        roots.iter().filter_map(|root| std::fs::canonicalize(root).ok()).any(|root| real.starts_with(root));
    if !inside {
        return Err(format!(
            "{shown} is a link that leads out of where it was looked for; nothing was changed"
        ));
    }
    let kind = std::fs::symlink_metadata(&real).map_err(|error| format!("{shown}: {error}"))?;
    let user = rustix::process::geteuid().as_raw();
    if !kind.is_file() {
        return Err(format!("{shown} is not a regular file; nothing was changed"));
    }
    if kind.uid() != user {
        return Err(format!("{shown} belongs to somebody else: run this as its owner; nothing was changed"));
    }
    if kind.nlink() != 1 {
        return Err(format!(
            "{shown} has further names (hard links), which would keep the secret; nothing was changed"
        ));
    }
    let parent = real.parent().unwrap_or(Path::new("/"));
    let directory =
        std::fs::symlink_metadata(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let loose = directory.mode() & WORLD_WRITABLE != 0 && directory.mode() & STICKY == 0;
    if loose || (directory.uid() != user && directory.uid() != 0) {
        return Err(format!("others may put files into {}; nothing was changed", parent.display()));
    }
    Ok(Target { path: real, kind })
}

/// Replaces the file when it still says `before`.
///
/// # Errors
/// In words; the file is then as it was.
pub(super) fn replace(target: &Target, before: &[u8], after: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}; nothing was changed", target.path.display());
    let directory = target.path.parent().unwrap_or(Path::new("/"));
    let name = target.path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.portunus-{}", suffix()));
    let done = write_beside(target, &beside, after).map_err(failed).and_then(|()| {
        let now = std::fs::read(&target.path).map_err(failed)?;
        if now != before {
            return Err(format!(
                "{} was changed meanwhile; try again; nothing was changed",
                target.path.display()
            ));
        }
        std::fs::rename(&beside, &target.path).map_err(failed)
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done?;
    // It is in place; that its name survives a power cut is the most that can still fail.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn write_beside(target: &Target, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(bytes)?;
    if file.metadata()?.gid() != target.kind.gid() {
        std::os::unix::fs::fchown(&file, None, Some(target.kind.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(target.kind.mode() & 0o777))?;
    file.sync_all()
}

/// Eight hexadecimal digits that nobody guesses before they are there.
pub(super) fn suffix() -> String {
    let mut random = [0_u8; 4];
    SystemRng.fill(&mut random);
    HEXLOWER.encode(&random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn roots(dir: &Path) -> Vec<PathBuf> {
        vec![dir.join("home")]
    }

    fn stage() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let file = dir.path().join("home/mcp.json");
        std::fs::write(&file, "before").unwrap();
        (dir, file)
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let (dir, file) = stage();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let target = check(&file, &roots(dir.path())).unwrap();
        replace(&target, b"before", b"after").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"after");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path().join("home")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_changed_meanwhile_stays_as_it_is() {
        let (dir, file) = stage();
        let target = check(&file, &roots(dir.path())).unwrap();
        std::fs::write(&file, "other").unwrap();
        assert!(replace(&target, b"before", b"after").unwrap_err().contains("changed meanwhile"));
        assert_eq!(std::fs::read(&file).unwrap(), b"other");
        assert_eq!(std::fs::read_dir(dir.path().join("home")).unwrap().count(), 1);
    }

    #[test]
    fn links_out_of_the_home_and_shared_files_are_not_written() {
        let (dir, file) = stage();
        let outside = dir.path().join("outside.json");
        std::fs::write(&outside, "other").unwrap();
        let link = dir.path().join("home/link.json");
        symlink(&outside, &link).unwrap();
        assert!(check(&link, &roots(dir.path())).unwrap_err().contains("leads out"));
        // A link that stays inside is a way of keeping one's files.
        let inner = dir.path().join("home/inner.json");
        symlink(&file, &inner).unwrap();
        let target = check(&inner, &roots(dir.path())).unwrap();
        replace(&target, b"before", b"after").unwrap();
        assert!(std::fs::symlink_metadata(&inner).unwrap().is_symlink());
        std::fs::hard_link(&file, dir.path().join("home/second.json")).unwrap();
        assert!(check(&file, &roots(dir.path())).unwrap_err().contains("hard links"));
        let directory = dir.path().join("home");
        assert!(check(&directory, &roots(dir.path())).is_err());
        std::fs::remove_file(dir.path().join("home/second.json")).unwrap();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        assert!(check(&file, &roots(dir.path())).unwrap_err().contains("others may put"));
    }
}
