//! How things stand, and how clients and the ledger are told.

use portunus_core::id::ServerName;
use portunus_pins::{Kind, State};
use portunus_policy::Operation;
use std::collections::HashSet;

/// How something stands that a client wants to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PinState {
    /// Accepted, and nothing else was seen since.
    Pinned,
    /// Not accepted.
    New,
    /// Something else is accepted.
    Changed,
    /// The server's definitions of this kind were never seen; a listing settles it.
    Unseen,
}

/// What of one list may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// All but these.
    AllBut(HashSet<String>),
    /// Nothing: the list could not be read.
    Nothing,
}

/// Something that happened by itself, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Definitions were accepted at first sight.
    FirstSeen {
        /// Whose.
        server: ServerName,
        /// Which.
        kind: Kind,
        /// How many.
        accepted: usize,
    },
    /// A definition waits to be accepted.
    Quarantined {
        /// Whose.
        server: ServerName,
        /// Which.
        kind: Kind,
        /// Its name.
        name: String,
        /// Why.
        state: State,
        /// Codes of its serious flags.
        flags: Vec<&'static str>,
    },
}

impl PinState {
    /// What policies call it (`context.pin`).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unseen => "unseen",
        }
    }
}

impl Sight {
    /// Whether an entry of the list may be shown.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        match self {
            Self::AllBut(hidden) => !hidden.contains(name),
            Self::Nothing => false,
        }
    }
}

/// What a client is told that asks for something which is not pinned.
#[must_use]
pub fn reason(server: &ServerName, operation: &Operation<'_>, state: PinState) -> String {
    let (kind, name) = match operation {
        Operation::CallTool(name) | Operation::Estimate(name) => (Kind::Tool, *name),
        Operation::GetPrompt(name) => (Kind::Prompt, *name),
        Operation::ReadResource(name) | Operation::Subscribe(name) => (Kind::Resource, *name),
        _ => return String::from("This is not pinned."),
    };
    let name = portunus_pins::text::shown(name, 100);
    let why = match state {
        PinState::Changed => "has changed since it was accepted",
        PinState::New | PinState::Pinned => "is new",
        PinState::Unseen => {
            return format!(
                "The {kind} {name} of {server} was never listed here: ask for the list of {kind}s first."
            );
        }
    };
    format!(
        "The {kind} {name} of {server} {why} and waits for an administrator: portunus pin diff {server}/{name}"
    )
}
