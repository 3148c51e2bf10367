//! Pins: the definitions of tools, prompts and widgets that somebody accepted, in a lockfile that people review; what is
//! new or has changed since; and what looks wrong about it.
//!
//! Pure: no sockets, no clock, no randomness, no async runtime, no files.
//!
//! | module | does |
//! |---|---|
//! | [`definition`] | one definition in its canonical form, with its digest |
//! | [`lock`] | the lockfile: strict reading, printing that git can compare, and what is accepted |
//! | [`flags`] | hidden characters, instructions to the model, other tools' names, look-alikes |
//! | [`carried`] | widgets that are embedded in other answers, and what points to one |
//! | [`diff`] | what changed, for people |
//! | [`fuzz`] | what must hold for any bytes, for fuzzers and property tests |
//! | [`text`] | characters that cannot be seen, written out |
//!
//! ```
//! use portunus_core::{id::ServerName, time::Timestamp};
//! use portunus_pins::{Definition, Kind, Lock, State};
//!
//! let sales = ServerName::parse("sales").unwrap();
//! let tool = |text: &str| Definition::read("find", text.as_bytes()).unwrap();
//! let mut lock = Lock::default();
//! lock.accept(&sales, Kind::Tool, &tool(r#"{"name":"find"}"#), "ana", Timestamp::from_secs(0)).unwrap();
//! let state = |text: &str| lock.state(&sales, Kind::Tool, &tool(text));
//! assert_eq!(state(r#"{ "name": "find" }"#), State::Pinned);
//! assert_eq!(state(r#"{"name":"find","title":"Find"}"#), State::Changed);
//! ```

#![forbid(unsafe_code)]

pub mod carried;
pub mod definition;
pub mod diff;
pub mod flags;
pub mod fuzz;
pub mod lock;
pub mod text;

pub use carried::Carried;
pub use definition::{Definition, DefinitionError, Kind};
pub use diff::Diff;
pub use flags::{Flag, Names, Severity, flags};
pub use lock::{Entry, Full, Lock, LockError, PinnedTool, State};
