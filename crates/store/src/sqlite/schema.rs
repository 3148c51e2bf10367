//! The database file: who may touch it, how it is opened, and which tables it has.

use portunus_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Marks the file as a Portunus store (`PRAGMA application_id`): "PTNS".
const APPLICATION_ID: i64 = 0x5054_4e53;
/// How long SQLite waits for a lock that some other program, such as a backup, holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The log is cut back to this many bytes after a checkpoint.
const JOURNAL_BYTES: i64 = 64 * 1024 * 1024;

/// Schema changes in order; `PRAGMA user_version` says how many a file has.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE document (
        kind       TEXT    NOT NULL,
        id         TEXT    NOT NULL,
        version    INTEGER NOT NULL,
        parent     TEXT,
        expires_at INTEGER,
        value      BLOB    NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX document_parent ON document (kind, parent, id) WHERE parent IS NOT NULL;
    CREATE INDEX document_expiry ON document (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE meta (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        generation INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta (one, generation) VALUES (1, 0);
"];

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or directory could not be made, read or locked.
    #[error("{}: {error}; check the path, and that this user may write there", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process, or another part of this one, has it open.
    #[error("{} is in use by another Portunus process; stop that one, or use its admin socket", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// Others could put their own file in the store's place.
    #[error("the directory {} may be written by others; run `chmod go-w` on it, or use another", path.display())]
    OthersMayWrite {
        /// The directory.
        path: PathBuf,
    },
    /// The file is a database of some other program.
    #[error("{} is a database, but not a Portunus store; give another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer Portunus has changed the schema.
    #[error("{} has schema {found}, and this Portunus knows {known}; run the newer Portunus, or restore a backup", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// SQLite refused the file.
    #[error("{}: {why}; if the file is damaged, restore a backup", path.display())]
    Database {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Makes the directory and the file if they are missing, for their owner only, and takes the lock beside the file.
pub(super) fn prepare_files(path: &Path) -> Result<File, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_directory(directory).map_err(|error| OpenError::Io { path: directory.to_owned(), error })?;
    if others_may_write(directory).map_err(|error| OpenError::Io { path: directory.to_owned(), error })? {
        return Err(OpenError::OthersMayWrite { path: directory.to_owned() });
    }
    let mut lock_path = OsString::from(path);
    lock_path.push(".lock");
    let lock = open_private(Path::new(&lock_path))
        .map_err(|error| OpenError::Io { path: PathBuf::from(&lock_path), error })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => {
            return Err(OpenError::Io { path: PathBuf::from(lock_path), error });
        }
    }
    // SQLite gives its log and index the mode of the file it finds here.
    open_private(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    Ok(lock)
}

/// The connection that writes, its schema up to date, and the generation of the last commit.
pub(super) fn open_writer(path: &Path) -> Result<(Connection, u64), OpenError> {
    let failed =
        |error: rusqlite::Error| OpenError::Database { path: path.to_owned(), why: error.to_string() };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let schema = check_origin(&connection, path)?;
    configure_writer(&connection).map_err(failed)?;
    migrate(&mut connection, schema).map_err(failed)?;
    let generation: i64 =
        connection.query_row("SELECT generation FROM meta", [], |row| row.get(0)).map_err(failed)?;
    Ok((connection, generation.unsigned_abs()))
}

/// A connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        Ok(connection)
    };
    open().map_err(|error| OpenError::Database { path: path.to_owned(), why: error.to_string() })
}

/// How many migrations the file has, when it is empty or a store that this version knows.
fn check_origin(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let ask = |sql: &str| -> Result<i64, OpenError> {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| OpenError::Database { path: path.to_owned(), why: error.to_string() })
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found = ask("PRAGMA user_version")?;
    match ask("PRAGMA application_id")? {
        APPLICATION_ID if found > known => Err(OpenError::Newer { path: path.to_owned(), found, known }),
        APPLICATION_ID => Ok(found),
        0 if found == 0 && ask("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // Some network file systems cannot do it, and without it readers would block the writer.
        return Err(rusqlite::Error::InvalidParameterName(format!("journal mode is {mode}, not WAL")));
    }
    // FULL syncs the log at every commit: an acknowledged commit survives the loss of power. On macOS only `fullfsync`
    // reaches the disk itself.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was deleted or replaced must be gone: a data key that an old sealing key wrapped, for one.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL_BYTES, |_| Ok(()))
}

/// Applies the missing migrations, all or none.
fn migrate(connection: &mut Connection, schema: i64) -> rusqlite::Result<()> {
    let missing = MIGRATIONS.iter().skip(usize::try_from(schema).unwrap_or(usize::MAX));
    if missing.len() == 0 {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len().to_string())?;
    transaction.commit()
}

#[cfg(unix)]
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(unix)]
fn others_may_write(directory: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(directory)?.permissions().mode() & 0o022 != 0)
}

#[cfg(not(unix))]
fn others_may_write(_directory: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Opens a file that only its owner may read, making it if it is missing and closing it to others if it was open.
#[cfg(unix)]
fn open_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(not(unix))]
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kill -9` cannot show this: only the loss of power tells a synced log from a written one.
    #[test]
    fn commits_are_synced_and_readers_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portunus.db");
        let _lock = prepare_files(&path).unwrap();
        let (writer, _) = open_writer(&path).unwrap();
        let pragma = |name| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2, "FULL");
        assert_eq!((pragma("fullfsync"), pragma("checkpoint_fullfsync"), pragma("foreign_keys")), (1, 1, 1));
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        let reader = open_reader(&path).unwrap();
        assert!(reader.execute("DELETE FROM document", []).is_err());
    }
}
