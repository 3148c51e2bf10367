//! The lockfile: which definitions of which server somebody accepted. See `docs/pins.md` for its format.

mod merge;
mod read;
mod write;

pub use read::LockError;

use crate::definition::{Definition, Kind};
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_mcp::json::{self, Kind as Json, Raw};
use portunus_mcp::list::Annotations;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of the format that is written and read.
pub const VERSION: u32 = 1;
/// Who accepted what was there when a server was first seen.
pub const FIRST_SIGHT: &str = "first sight";

/// All accepted definitions. Cheap to clone: servers are shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    servers: BTreeMap<ServerName, Arc<Pinned>>,
}

/// Those of one server. A kind that is there, even without entries, has had its first sight.
type Pinned = BTreeMap<Kind, BTreeMap<Arc<str>, Arc<Entry>>>;

/// One accepted definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The definition.
    pub definition: Definition,
    /// Who accepted it; [`FIRST_SIGHT`] for nobody in particular.
    pub accepted_by: Arc<str>,
    /// When.
    pub accepted_at: Timestamp,
}

/// How a definition stands to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is the accepted one.
    Pinned,
    /// Nothing of this name is accepted.
    New,
    /// Another definition of this name is accepted.
    Changed,
}

/// Why a definition cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too many.
    #[error("a server has at most {max} pins of one kind", max = limits::PINS)]
    Entries,
    /// Too long together.
    #[error("the pinned definitions of a server have at most {max} bytes", max = limits::DEFINITIONS_BYTES)]
    Bytes,
    /// A name for whoever accepts that cannot be written down.
    #[error("whoever accepts is named in 1 to {max} bytes without control characters", max = limits::ACCEPTED_BY_BYTES)]
    By,
}

/// A pinned tool, for policy schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedTool<'a> {
    /// Its name.
    pub name: &'a str,
    /// The digest of its whole definition.
    pub digest: Digest,
    /// Its input schema as JSON text; `None` when it has none, or one that is no object.
    pub input_schema: Option<&'a str>,
    /// Its output schema, likewise.
    pub output_schema: Option<&'a str>,
    /// What it claims about itself.
    pub annotations: Annotations,
}

impl Lock {
    /// Reads a lockfile.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        read::read(text)
    }
    /// The lockfile's text: the same for the same pins, sorted, one member on a line.
    #[must_use]
    pub fn print(&self) -> String {
        write::write(self)
    }
    /// The servers that were seen, in order of name.
    pub fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.servers.keys()
    }
    /// Whether a server's definitions of this kind had their first sight.
    #[must_use]
    pub fn knows(&self, server: &ServerName, kind: Kind) -> bool {
        self.servers.get(server).is_some_and(|pinned| pinned.contains_key(&kind))
    }
    /// An accepted definition.
    #[must_use]
    pub fn entry(&self, server: &ServerName, kind: Kind, name: &str) -> Option<&Arc<Entry>> {
        self.servers.get(server)?.get(&kind)?.get(name)
    }
    /// All accepted definitions of a server, by kind and name.
    pub fn entries(&self, server: &ServerName) -> impl Iterator<Item = (Kind, &Arc<Entry>)> {
        let pinned = self.servers.get(server).into_iter().flat_map(|pinned| pinned.iter());
        pinned.flat_map(|(kind, entries)| entries.values().map(|entry| (*kind, entry)))
    }
    /// How a definition stands to the lock.
    #[must_use]
    pub fn state(&self, server: &ServerName, kind: Kind, definition: &Definition) -> State {
        match self.entry(server, kind, definition.name()) {
            None => State::New,
            Some(entry) if entry.definition.digest() == definition.digest() => State::Pinned,
            Some(_) => State::Changed,
        }
    }
    /// The pinned tools of a server, in order of name.
    pub fn tools(&self, server: &ServerName) -> impl Iterator<Item = PinnedTool<'_>> {
        let entries = self.servers.get(server).and_then(|pinned| pinned.get(&Kind::Tool));
        entries.into_iter().flat_map(|entries| entries.values()).map(|entry| pinned_tool(&entry.definition))
    }

    /// Marks the first sight of a server's definitions of this kind as made.
    pub fn open(&mut self, server: &ServerName, kind: Kind) {
        Arc::make_mut(self.servers.entry(server.clone()).or_default()).entry(kind).or_default();
    }
    /// Accepts a definition in place of any other of its name.
    ///
    /// # Errors
    /// When a bound is reached.
    pub fn accept(
        &mut self,
        server: &ServerName,
        kind: Kind,
        definition: &Definition,
        by: &str,
        at: Timestamp,
    ) -> Result<(), Full> {
        if by.is_empty() || by.len() > limits::ACCEPTED_BY_BYTES || by.chars().any(crate::text::is_hidden) {
            return Err(Full::By);
        }
        let length = |entry: &Arc<Entry>| entry.definition.canonical().len();
        let others =
            self.entries(server).filter(|(k, e)| (*k, e.definition.name()) != (kind, definition.name()));
        let (mut count, mut bytes) = (0, definition.canonical().len());
        for (other, entry) in others {
            count += usize::from(other == kind);
            bytes += length(entry);
        }
        if count >= limits::PINS {
            return Err(Full::Entries);
        }
        if bytes > limits::DEFINITIONS_BYTES {
            return Err(Full::Bytes);
        }
        let entry = Entry { definition: definition.clone(), accepted_by: by.into(), accepted_at: at };
        self.put(server, kind, entry);
        Ok(())
    }
    /// Takes an accepted definition out; false when there was none.
    pub fn remove(&mut self, server: &ServerName, kind: Kind, name: &str) -> bool {
        let pinned = self.servers.get_mut(server).map(Arc::make_mut);
        pinned.and_then(|pinned| pinned.get_mut(&kind)).is_some_and(|entries| entries.remove(name).is_some())
    }
    /// Forgets a server: its next listing is a first sight again.
    pub fn forget(&mut self, server: &ServerName) -> bool {
        self.servers.remove(server).is_some()
    }

    fn put(&mut self, server: &ServerName, kind: Kind, entry: Entry) {
        let pinned = Arc::make_mut(self.servers.entry(server.clone()).or_default());
        pinned.entry(kind).or_default().insert(entry.definition.name().into(), Arc::new(entry));
    }
}

fn pinned_tool(definition: &Definition) -> PinnedTool<'_> {
    let tool = json::skim(definition.canonical().as_bytes());
    let schema = |key| {
        let schema = tool.and_then(|tool| tool.get(key)).filter(|schema| schema.kind() == Json::Object);
        schema.map(Raw::text)
    };
    let annotations = tool.and_then(|tool| tool.get("annotations"));
    let hint = |key| annotations.and_then(|annotations| annotations.get(key)).and_then(Raw::bool);
    PinnedTool {
        name: definition.name(),
        digest: definition.digest(),
        input_schema: schema("inputSchema"),
        output_schema: schema("outputSchema"),
        annotations: Annotations {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        },
    }
}

#[cfg(test)]
mod tests;
