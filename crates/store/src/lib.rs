//! Durable state behind the narrow port [`portunus_core::store::Store`].
//!
//! | module | holds |
//! |---|---|
//! | [`sqlite`] | the embedded store: one SQLite file, one writer that commits in groups, a few readers |
//! | `bounds` | the bounds every back end applies before it touches its database |
//! | `conformance` | the suite every back end must pass (feature `conformance`) |
//!
//! A store neither reads documents nor hides expired ones: whoever loads one checks its expiry, and
//! [`Store::purge`](portunus_core::store::Store::purge) removes it some time later.

#![forbid(unsafe_code)]

mod bounds;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod sqlite;

pub use sqlite::{OpenError, SqliteStore};
