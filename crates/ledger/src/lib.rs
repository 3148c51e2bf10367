//! The audit ledger: records as lines of JSON, a Merkle tree over them, signed checkpoints, and the proof that nothing
//! was changed.
//!
//! | module | holds | |
//! |---|---|---|
//! | [`entry`] | one record as one line | pure |
//! | [`merkle`] | RFC 9162 hashing, an incremental tree, inclusion and consistency proofs | pure |
//! | [`checkpoint`] | C2SP checkpoints, signed notes and their keys | pure |
//! | [`redact`] | arguments with secrets replaced by keyed digests; [`secret_shape`] and [`secret_name`] find them | pure |
//! | [`layout`] | the names of the files, and reading them line by line | reads |
//! | [`keys`] | the signing key and the redaction key in the ledger's directory | reads, writes |
//! | [`file`](mod@file) | [`FileLedger`]: one writer thread, group commit, recovery; [`disk`] is its way to the disk | writes |
//! | [`verify`](mod@verify) | the offline verifier, which names what is wrong | reads |
//! | [`read`] | the last records, following, searching | reads |
//! | [`tiles`] | publishes the log in C2SP tlog-tiles layout for tools of others | reads, writes |
//!
//! What lies in the directory is described in [`layout`].

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod disk;
pub mod entry;
pub mod file;
pub mod keys;
pub mod layout;
pub mod merkle;
pub mod read;
mod recover;
pub mod redact;
pub mod secret_name;
pub mod secret_shape;
pub mod tiles;
pub mod verify;
mod writer;

pub use file::{FileLedger, Options, Stats};
pub use recover::OpenError;
pub use verify::{Finding, Report, verify};
