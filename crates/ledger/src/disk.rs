//! The writer's way to the disk: small enough to be replaced by one that fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the ledger writes.
pub trait Disk: Send + Sync {
    /// Opens a file for writing, creating it for the owner only; its directory must exist. A created file's name is
    /// durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Replaces a file's content at once and durably: whoever opens it sees the old or the new content, whole.
    ///
    /// # Errors
    /// When the disk refuses; the file is then the old one or the new one.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Writes all bytes from this offset on.
    ///
    /// # Errors
    /// When the disk refuses; any part may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// When the disk refuses.
    fn set_len(&mut self, length: u64) -> io::Result<()>;

    /// Returns once everything written is durable.
    ///
    /// # Errors
    /// When it is not; nothing written since the last success may then be relied on.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let existed = path.exists();
        let file = owner_only().create(true).truncate(false).open(path)?;
        if !existed {
            sync_parent(path)?;
        }
        Ok(Box::new(file))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let mut file = owner_only().create(true).truncate(true).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_parent(path)
    }
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a directory, and those above it, for the owner only.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    sync_parent(path)
}

/// Makes the names in a file's directory durable. Elsewhere than on Unix directories cannot be synced.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        return File::open(parent)?.sync_all();
    }
    let _ = path;
    Ok(())
}

pub(crate) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
