//! Text → lock: strictly, so that nothing in the file means something else than people read in it.

use super::{Entry, Lock, VERSION};
use crate::definition::{Definition, Kind};
use crate::text;
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_mcp::json::{self, Bounds, Kind as Json, Raw};

/// Levels that a definition stands deeper in the lockfile than by itself.
const LEVELS: usize = 8;

/// Why a lockfile is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct LockError {
    /// From 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub what: String,
}

struct Reader<'a> {
    text: &'a str,
}

pub(super) fn read(text: &str) -> Result<Lock, LockError> {
    let bounds = Bounds {
        bytes: limits::LOCK_BYTES,
        depth: limits::JSON_DEPTH + LEVELS,
        members: limits::LOCK_MEMBERS,
    };
    let reader = Reader { text };
    if let Some(at) = conflict(text) {
        return Err(
            reader.error(at, "a merge conflict: keep one side of it, or remove the entry and accept it anew")
        );
    }
    let scan = json::scan(text.as_bytes(), &bounds).map_err(|error| reader.error(error.at, error.kind))?;
    reader.lock(scan.root())
}

/// The offset of a marker that git leaves in a file.
fn conflict(text: &str) -> Option<usize> {
    let marker = |line: &&str| ["<<<<<<< ", ">>>>>>> "].iter().any(|marker| line.starts_with(marker));
    let line = text.lines().find(marker)?;
    line.as_ptr().addr().checked_sub(text.as_ptr().addr())
}

impl<'a> Reader<'a> {
    fn error(&self, at: usize, what: impl ToString) -> LockError {
        let before = self.text.as_bytes().iter().take(at);
        LockError { line: 1 + before.filter(|byte| **byte == b'\n').count(), what: what.to_string() }
    }
    fn wrong(&self, at: Raw<'_>, what: impl ToString) -> LockError {
        self.error(at.range_in(self.text.as_bytes()).map_or(0, |range| range.start), what)
    }

    /// The members of an object that has exactly these.
    fn exactly<const N: usize>(&self, value: Raw<'a>, names: [&str; N]) -> Result<[Raw<'a>; N], LockError> {
        for (key, member) in self.object(value)?.members() {
            if !names.contains(&&*key) {
                return Err(self.wrong(member, format!("{} is not known here", shown(&key))));
            }
        }
        let mut found = [value; N];
        for (found, name) in found.iter_mut().zip(names) {
            *found = value.get(name).ok_or_else(|| self.wrong(value, format!("\"{name}\" is missing")))?;
        }
        Ok(found)
    }
    fn object(&self, value: Raw<'a>) -> Result<Raw<'a>, LockError> {
        match value.kind() {
            Json::Object => Ok(value),
            _ => Err(self.wrong(value, "an object is due here")),
        }
    }
    fn string(&self, value: Raw<'a>) -> Result<String, LockError> {
        value.string().map(Into::into).ok_or_else(|| self.wrong(value, "a string is due here"))
    }

    fn lock(&self, root: Raw<'a>) -> Result<Lock, LockError> {
        let [version, servers] = self.exactly(root, ["portunus_lock", "servers"])?;
        if version.text() != VERSION.to_string() {
            let what = format!("this version of portunus reads lockfiles of version {VERSION} only");
            return Err(self.wrong(version, what));
        }
        let mut lock = Lock::default();
        for (name, server) in self.object(servers)?.members() {
            let name = ServerName::parse(&name).map_err(|error| self.wrong(server, error))?;
            self.server(&mut lock, &name, server)?;
        }
        Ok(lock)
    }

    fn server(&self, lock: &mut Lock, name: &ServerName, server: Raw<'a>) -> Result<(), LockError> {
        let mut bytes = 0;
        lock.servers.entry(name.clone()).or_default();
        for (key, entries) in self.object(server)?.members() {
            let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == key);
            let kind =
                kind.ok_or_else(|| self.wrong(entries, format!("{} is not known here", shown(&key))))?;
            lock.open(name, kind);
            for (count, (key, value)) in self.object(entries)?.members().enumerate() {
                let entry = self.entry(kind, &key, value)?;
                bytes += entry.definition.canonical().len();
                if count >= limits::PINS || bytes > limits::DEFINITIONS_BYTES {
                    return Err(self.wrong(value, format!("more pins of {name} than fit")));
                }
                lock.put(name, kind, entry);
            }
        }
        Ok(())
    }

    fn entry(&self, kind: Kind, name: &str, value: Raw<'a>) -> Result<Entry, LockError> {
        let members = ["accepted_at", "accepted_by", "definition", "digest"];
        let [accepted_at, by, definition, digest] = self.exactly(value, members)?;
        let unknown =
            || Err(self.wrong(value, format!("{} is no name of a {kind} that is pinned", shown(name))));
        if name.is_empty() || name.len() > limits::URI_BYTES || !kind.is_pinned(name) {
            return unknown();
        }
        let at = Timestamp::parse(&self.string(accepted_at)?);
        let at =
            at.ok_or_else(|| self.wrong(accepted_at, "a time such as 2026-11-23T15:04:05Z is due here"))?;
        let accepted_by = self.string(by)?;
        if accepted_by.is_empty()
            || accepted_by.len() > limits::ACCEPTED_BY_BYTES
            || accepted_by.chars().any(text::is_hidden)
        {
            return Err(self.wrong(by, super::Full::By));
        }
        let read = Definition::of(name, definition).map_err(|error| self.wrong(definition, error))?;
        if kind == Kind::Widget && !read.is_of_widget() {
            return unknown();
        }
        if self.named(kind, definition).is_some_and(|inside| inside != name) {
            return Err(self.wrong(definition, format!("the definition is not of {}", shown(name))));
        }
        let wanted = Digest::try_from(self.string(digest)?).map_err(|what| self.wrong(digest, what))?;
        if wanted != read.digest() {
            let what = "the digest is not that of the definition: do not edit an entry by hand; take it back from \
                        version control, or remove it and accept it anew with portunus pin accept";
            return Err(self.wrong(digest, what));
        }
        Ok(Entry { definition: read, accepted_by: accepted_by.into(), accepted_at: at })
    }

    /// The name that a definition gives itself.
    fn named(&self, kind: Kind, definition: Raw<'a>) -> Option<String> {
        let key = match kind {
            Kind::Tool | Kind::Prompt => "name",
            Kind::Resource => "uri",
            Kind::Widget => return None,
        };
        definition.get(key)?.string().map(Into::into)
    }
}

fn shown(text: &str) -> String {
    format!("\"{}\"", text::shown(text, 80))
}
