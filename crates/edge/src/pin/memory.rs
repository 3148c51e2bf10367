//! What one server listed lately, bounded.

use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_pins::{Definition, Flag, Full, Kind, Lock, Severity, State};
use std::collections::HashMap;
use std::time::Duration;

/// Time after which what was not listed again makes room.
const STALE: Duration = Duration::from_secs(3600);

/// What one server listed lately.
#[derive(Default)]
pub(super) struct Memory {
    kinds: HashMap<Kind, Listed>,
    /// Bytes that [`Memory::kinds`] holds.
    bytes: usize,
}

#[derive(Default)]
struct Listed {
    entries: HashMap<String, Seen>,
    /// The end of a first sight that is under way.
    open_until: Option<Timestamp>,
}

/// One definition as it was listed last.
pub(super) struct Seen {
    /// As sent, so that the same bytes need not be read again; empty when it is too long to keep.
    raw: Box<[u8]>,
    /// `None` when it cannot be pinned at all.
    digest: Option<Digest>,
    /// Kept while it is not accepted.
    definition: Option<Definition>,
    flags: Vec<Flag>,
    at: Timestamp,
}

/// Something that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub server: ServerName,
    /// What.
    pub kind: Kind,
    /// Its name or URI.
    pub name: String,
    /// New or changed.
    pub state: State,
    /// `None` when it is too long or cannot be read, and can never be accepted.
    pub digest: Option<Digest>,
    /// What looks wrong about it.
    pub flags: Vec<Flag>,
    /// When it was listed last.
    pub seen_at: Timestamp,
}

/// Why something was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The server did not list it since the edge started.
    #[error("the server has not listed it since this edge started: connect a client and list again")]
    NotListed,
    /// It is too long, or there was no room to keep it.
    #[error("its definition is too long to be pinned, or too many wait already")]
    TooLong,
    /// The administrator looked at something else.
    #[error("its digest is {now}: look at it again with portunus pin diff, then give the whole of it")]
    Digest {
        /// Of what is listed now.
        now: Digest,
    },
    /// A bound is reached.
    #[error(transparent)]
    Full(Full),
}

impl Seen {
    pub(super) fn pinned(raw: &[u8], definition: &Definition, at: Timestamp) -> Self {
        Self { raw: raw.into(), digest: Some(definition.digest()), definition: None, flags: Vec::new(), at }
    }
    pub(super) fn waiting(raw: &[u8], definition: Definition, flags: Vec<Flag>, at: Timestamp) -> Self {
        let digest = Some(definition.digest());
        Self { raw: raw.into(), digest, definition: Some(definition), flags, at }
    }
    pub(super) fn unreadable(at: Timestamp) -> Self {
        Self { raw: Box::default(), digest: None, definition: None, flags: Vec::new(), at }
    }
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest
    }
    pub(super) fn definition(&self) -> Option<&Definition> {
        self.definition.as_ref()
    }
    fn bytes(&self) -> usize {
        self.raw.len() + self.definition.as_ref().map_or(0, |definition| definition.canonical().len())
    }
}

impl Memory {
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Seen> {
        self.kinds.get(&kind)?.entries.get(name)
    }

    /// What was listed last, if an administrator looked at that very definition.
    pub(super) fn acceptable(&self, kind: Kind, name: &str, digest: &str) -> Result<&Definition, Reason> {
        let definition =
            self.get(kind, name).ok_or(Reason::NotListed)?.definition().ok_or(Reason::TooLong)?;
        // The whole of it: who writes definitions could make two that begin alike.
        if definition.digest().hex() != digest {
            return Err(Reason::Digest { now: definition.digest() });
        }
        Ok(definition)
    }

    /// Whether this is what was listed last and is what is pinned: nothing to do.
    pub(super) fn is_unchanged(
        &mut self,
        kind: Kind,
        name: &str,
        raw: &[u8],
        pinned: Option<Digest>,
        now: Timestamp,
    ) -> bool {
        let Some(seen) = self.kinds.get_mut(&kind).and_then(|listed| listed.entries.get_mut(name)) else {
            return false;
        };
        let same = pinned.is_some() && seen.digest == pinned && *seen.raw == *raw;
        if same {
            seen.at = now;
        }
        same
    }

    /// Remembers a definition; false when there is no room for it. What is pinned is always remembered, if only by its
    /// digest, so that a change of it shows.
    pub(super) fn keep(&mut self, kind: Kind, name: &str, mut seen: Seen, pinned: bool) -> bool {
        self.drop_one(kind, name);
        let listed = self.kinds.entry(kind).or_default();
        let room = pinned || listed.entries.len() < limits::PINS + limits::QUARANTINED || {
            let before = listed.entries.len();
            let bytes = &mut self.bytes;
            listed.entries.retain(|_, old| {
                let stays = old.definition.is_none() || old.at.plus(STALE) > seen.at;
                *bytes = if stays { *bytes } else { bytes.saturating_sub(old.bytes()) };
                stays
            });
            before > listed.entries.len()
        };
        if !room {
            return false;
        }
        // The lock holds as much again.
        if self.bytes.saturating_add(seen.bytes()) > limits::DEFINITIONS_BYTES.saturating_mul(3) {
            seen.raw = Box::default();
            seen.definition = None;
        }
        self.bytes = self.bytes.saturating_add(seen.bytes());
        listed.entries.insert(name.to_owned(), seen);
        true
    }

    pub(super) fn drop_one(&mut self, kind: Kind, name: &str) {
        let old = self.kinds.get_mut(&kind).and_then(|listed| listed.entries.remove(name));
        self.bytes = self.bytes.saturating_sub(old.map_or(0, |old| old.bytes()));
    }

    pub(super) fn open_until(&mut self, kind: Kind, end: Timestamp) {
        self.kinds.entry(kind).or_default().open_until = Some(end);
    }
    pub(super) fn is_open(&self, kind: Kind, now: Timestamp) -> bool {
        self.kinds.get(&kind).and_then(|listed| listed.open_until).is_some_and(|end| !end.is_past(now))
    }
    pub(super) fn close(&mut self, kind: Kind) {
        self.kinds.entry(kind).or_default().open_until = None;
    }

    /// What is listed and not pinned.
    pub(super) fn waiting(&self, server: &ServerName, lock: &Lock) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for (kind, listed) in &self.kinds {
            for (name, seen) in &listed.entries {
                let state = match lock.entry(server, *kind, name) {
                    None => State::New,
                    Some(entry) if Some(entry.definition.digest()) == seen.digest => continue,
                    Some(_) => State::Changed,
                };
                waiting.push(Waiting {
                    server: server.clone(),
                    kind: *kind,
                    name: name.clone(),
                    state,
                    digest: seen.digest,
                    flags: seen.flags.clone(),
                    seen_at: seen.at,
                });
            }
        }
        waiting
    }
}

/// The codes of serious flags.
pub(super) fn serious(flags: &[Flag]) -> Vec<&'static str> {
    flags.iter().filter(|flag| flag.severity == Severity::Serious).map(|flag| flag.code).collect()
}
