//! Upstream secrets as governed identities: sealed at rest, opened only with a permit, sent only to their own host.
//!
//! | module | holds |
//! |---|---|
//! | [`key`] | one epoch of the sealing key, and the file it comes from |
//! | [`ring`] | the sealing key: the epoch that seals, and those that still open |
//! | [`epochs`] | where each epoch comes from, as the store has it; the first start, and the change to a new one |
//! | [`sealing`] | envelope encryption of one secret, bound to what it belongs to |
//! | [`rewrap`] | everything sealed in the store, counted by key, or wrapped anew |
//! | [`service`] | key services that wrap the sealing key: OpenBao or Vault, AWS KMS |
//! | [`connection`] | the same for what belongs to connections |
//! | [`credential`] | the life of a credential: add, replace, list, show, revoke; each step recorded |
//! | [`bind`] | what a credential is bound to, changed |
//! | [`vault`] | the way of a request: bound → opened (with a permit) → presented |
//! | [`ending`] | tells what a credential holds open that it may not be used any more |
//! | `place` | whether a credential may go where a server is |
//! | [`rotation`] | a secret changed step by step, and the old one proven dead |
//! | `rules` | what a secret, a host and a header name must look like |
//!
//! A secret is plain in memory only as [`Secret`](portunus_core::secret::Secret), while a request is built, and in what is
//! made from it: the header that goes upstream, a TLS configuration, the environment of a process.

#![forbid(unsafe_code)]

pub mod bind;
pub mod connection;
pub mod credential;
pub mod ending;
pub mod epochs;
pub mod key;
mod place;
pub mod rewrap;
pub mod ring;
pub mod rotation;
mod rules;
pub mod sealing;
pub mod service;
pub mod vault;

pub use connection::Belongs;
pub use credential::CredentialError;
pub use key::{Kek, KeyError, KeyId};
pub use ring::SealingKey;
pub use sealing::{Context, SealingError};
pub use vault::{Bound, Missing, Opened, Vault, VaultError};
