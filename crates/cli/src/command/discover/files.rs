//! Which files are read: the known places of clients below a home and below projects, and those that were named. Only
//! regular files within a bound; nothing is searched for by walking directories.

use super::inventory::{File, Inventory};
use crate::args::CredDiscover;
use portunus_core::limits::{DISCOVER_ENTRIES, DISCOVER_FILE_BYTES, DISCOVER_FILES};
use portunus_core::secret::Secret;
use portunus_discover::{Client, Format, Os, place, read};
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Reads everything that was asked for into the inventory; what cannot be read is a problem in it.
pub(super) fn read_all(asked: &CredDiscover, home: &Path, os: Os, inventory: &mut Inventory) {
    let mut reader = Reader { inventory, seen: BTreeSet::new() };
    for place in place::of_user(os) {
        for path in expand(home, &place.path) {
            reader.file(path, place.client, place.format, "user", false);
        }
    }
    // Claude Code names the projects that it was used in: those below this home are searched too.
    let named = reader.inventory.files.iter().flat_map(|file| file.reading.projects.iter());
    let named = named.map(PathBuf::from).filter(|path| path.starts_with(home) && path != home);
    let projects: VecDeque<PathBuf> =
        asked.project.iter().cloned().chain(named.collect::<Vec<_>>()).collect();
    for project in projects.into_iter().take(DISCOVER_FILES) {
        for place in place::of_project() {
            for path in expand(&project, &place.path) {
                reader.file(path, place.client, place.format, "project", false);
            }
        }
    }
    for path in &asked.dotenv {
        reader.file(path.clone(), Client::Environment, Format::Dotenv, "given", true);
    }
    for path in &asked.file {
        let toml = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
        let (client, format) =
            if toml { (Client::Codex, Format::Toml) } else { (Client::Generic, Format::Json) };
        reader.file(path.clone(), client, format, "given", true);
    }
}

struct Reader<'a> {
    inventory: &'a mut Inventory,
    /// By their real paths, so that a file with two names is read once.
    seen: BTreeSet<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: PathBuf, client: Client, format: Format, scope: &'static str, named: bool) {
        let real = match std::fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return,
            Err(error) => return self.inventory.problem(&path, &error),
        };
        if !self.seen.insert(real) {
            return;
        }
        if self.inventory.files.len() >= DISCOVER_FILES {
            return self
                .inventory
                .problem(&path, &format!("more than {DISCOVER_FILES} files; it was not read"));
        }
        match text(&path) {
            Ok(text) => {
                let reading = read(client, format, text.expose());
                if let Some(problem) = &reading.problem {
                    let note = format!("{problem}; it was searched as plain text");
                    self.inventory.problem(&path, &note);
                }
                if reading.cut {
                    self.inventory.problem(&path, &"there is more in it than is kept");
                }
                self.inventory.files.push(File { path, client, format, scope, text, reading });
            }
            Err(problem) => self.inventory.problem(&path, &problem),
        }
    }
}

/// A regular file's text, within the bound.
///
/// # Errors
/// In words.
pub(super) fn text(path: &Path) -> Result<Secret<String>, String> {
    // Asked before it is opened, since opening a pipe waits for its other end.
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err(String::from("it is not a regular file"));
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|kind| kind.is_file()) {
        return Err(String::from("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = file.take(DISCOVER_FILE_BYTES + 1).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.expose().len() as u64 > DISCOVER_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", DISCOVER_FILE_BYTES / 1024 / 1024));
    }
    match std::str::from_utf8(bytes.expose()) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(String::from("it is not UTF-8")),
    }
}

/// The paths below `base` that a place names, in order; its parts may hold `*` at their start.
fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![base.to_owned()];
    for part in pattern.split('/') {
        let Some(end) = part.strip_prefix('*') else {
            for path in &mut found {
                path.push(part);
            }
            continue;
        };
        let mut next = Vec::new();
        for directory in &found {
            let entries = std::fs::read_dir(directory).into_iter().flatten().take(DISCOVER_ENTRIES).flatten();
            let names = entries.map(|entry| entry.file_name());
            next.extend(
                names.filter(|name| name.to_string_lossy().ends_with(end)).map(|name| directory.join(name)),
            );
        }
        next.sort();
        next.truncate(DISCOVER_ENTRIES);
        found = next;
    }
    found
}
