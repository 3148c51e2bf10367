//! What a file was before an import. A backup holds the plain secret, so it is for its owner's eyes alone, and is to be
//! deleted (`--forget`) when the import has proven itself.

use super::replace::{self, suffix};
use crate::args::Admin;
use crate::command::admin::show;
use crate::command::{Failure, Outcome, printable};
use crate::system::SystemClock;
use portunus_core::digest::sha256;
use portunus_core::limits::DISCOVER_FILE_BYTES;
use portunus_core::secret::Secret;
use portunus_core::time::Clock;
use portunus_discover::rewrite;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const WHAT: &str = "what.json";
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// The directory of all backups.
pub(super) struct Backups {
    directory: PathBuf,
}

/// What a backup is of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct What {
    /// The real path of the file.
    pub file: PathBuf,
    /// The finding that was imported.
    pub import: String,
    /// The edge's server.
    pub server: String,
    /// The credential that holds the secret now.
    pub credential: Option<String>,
    /// SHA-256 of the file before and after.
    pub before: String,
    /// See `before`.
    pub after: String,
}

impl Backups {
    pub(super) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps what the file was and becomes; the backup's name.
    pub(super) fn keep(&self, mut what: What, before: &str, after: &str) -> Result<String, String> {
        what.before = sha256(&[before.as_bytes()]).hex();
        what.after = sha256(&[after.as_bytes()]).hex();
        let moment: String =
            SystemClock.now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let (day, time) = moment.split_at(moment.len().min(8));
        let name = format!("{day}-{time}-{}", suffix());
        let directory = self.directory.join(&name);
        let failed =
            |error: io::Error| format!("the backup {}: {error}; nothing was changed", directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&what).map_err(|error| failed(error.into()))?;
        for (file, bytes) in [(BEFORE, before.as_bytes()), (AFTER, after.as_bytes()), (WHAT, &text)] {
            let written =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(file));
            written
                .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
                .map_err(failed)?;
        }
        Ok(name)
    }

    /// Puts the file back; when it was changed elsewhere since, only what the import changed.
    pub(super) fn undo(&self, name: &str, admin: &Admin) -> Outcome {
        let directory = self.own(name)?;
        let what = what(&directory)?;
        let text = |file: &str| text(&directory.join(file)).map_err(Failure::Refused);
        let (before, after) = (text(BEFORE)?, text(AFTER)?);
        let whole = |text: &str, digest: &str| sha256(&[text.as_bytes()]).hex() == digest;
        if !whole(before.expose(), &what.before) || !whole(after.expose(), &what.after) {
            return Err(Failure::Refused(format!(
                "the backup {name} is not what was kept; nothing was changed"
            )));
        }
        let roots: Vec<PathBuf> = what.file.parent().map(Path::to_owned).into_iter().collect();
        let target = replace::check(&what.file, &roots).map_err(Failure::Refused)?;
        let current = super::files::text(&target.path).map_err(Failure::Refused)?;
        let shown = printable(&what.file.display().to_string());
        if current.expose() == before.expose() {
            show(admin, &json!({ "undone": name, "file": what.file, "changed": false }), || {
                format!("{shown} is as it was already")
            });
            return Ok(());
        }
        let exact = current.expose() == after.expose();
        let restored = if exact {
            before.clone()
        } else {
            let reverted = rewrite::revert(before.expose(), after.expose(), current.expose());
            Secret::new(reverted.ok_or_else(|| {
                Failure::Refused(format!(
                    "{shown}: the entry was changed since; nothing was changed. What it was is in {}",
                    directory.join(BEFORE).display()
                ))
            })?)
        };
        replace::replace(&target, current.expose().as_bytes(), restored.expose().as_bytes())
            .map_err(Failure::Refused)?;
        let answer = json!({ "undone": name, "file": what.file, "changed": true, "exact": exact, "credential": what.credential });
        show(admin, &answer, || {
            let how =
                if exact { "byte for byte as it was" } else { "as it was where the import had changed it" };
            let rest = what.credential.as_ref().map_or_else(String::new, |credential| {
                format!("\nThe edge keeps the credential {credential}; `portunus cred revoke {credential}` ends it there.")
            });
            format!("{shown} is {how}. The plain secret is in it again.{rest}")
        });
        Ok(())
    }

    /// Deletes a backup.
    pub(super) fn forget(&self, name: &str, admin: &Admin) -> Outcome {
        let directory = self.own(name)?;
        what(&directory)?;
        for file in [BEFORE, AFTER, WHAT] {
            std::fs::remove_file(directory.join(file))
                .map_err(|error| Failure::Refused(format!("{}: {error}", directory.join(file).display())))?;
        }
        std::fs::remove_dir(&directory)
            .map_err(|error| Failure::Refused(format!("{}: {error}", directory.display())))?;
        show(admin, &json!({ "forgotten": name }), || format!("{name} is deleted"));
        Ok(())
    }

    /// A backup's directory, when it is nobody else's: what is in it is written into the user's files.
    fn own(&self, name: &str) -> Result<PathBuf, Failure> {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !plain {
            return Err(Failure::Usage(format!("`{}` is not the name of a backup", printable(name))));
        }
        let directory = self.directory.join(name);
        let kind = std::fs::symlink_metadata(&directory).map_err(|error| {
            Failure::Usage(format!("there is no backup {}: {error}", directory.display()))
        })?;
        let ours =
            kind.is_dir() && kind.uid() == rustix::process::geteuid().as_raw() && kind.mode() & 0o077 == 0;
        if ours {
            return Ok(directory);
        }
        Err(Failure::Refused(format!(
            "{} is not a directory that is yours alone; it is not used",
            directory.display()
        )))
    }
}

fn what(directory: &Path) -> Result<What, Failure> {
    let path = directory.join(WHAT);
    let text = text(&path).map_err(Failure::Refused)?;
    serde_json::from_str(text.expose())
        .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))
}

fn text(path: &Path) -> Result<Secret<String>, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // What an edit adds is far less than a file may have.
    let read = file.take(DISCOVER_FILE_BYTES * 2).read_to_string(&mut text);
    let text = Secret::new(text);
    read.map_err(failed)?;
    Ok(text)
}
