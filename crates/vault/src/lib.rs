//! Upstream secrets as governed identities: sealed at rest, opened only with a permit, sent only to their own host.
//!
//! | module | holds |
//! |---|---|
//! | [`key`] | the sealing key and the file it comes from |
//! | [`sealing`] | envelope encryption of one secret, bound to what it belongs to |
//! | [`credential`] | the life of a credential: add, replace, list, show, revoke; each step recorded |
//! | [`bind`] | what a credential is bound to, changed |
//! | [`vault`] | the way of a request: bound → opened (with a permit) → presented |
//! | `place` | whether a credential may go where a server is |
//! | `rules` | what a secret, a host and a header name must look like |
//!
//! A secret is plain in memory only as [`Secret`](portunus_core::secret::Secret), while a request is built, and in what is
//! made from it: the header that goes upstream, a TLS configuration, the environment of a process.

#![forbid(unsafe_code)]

pub mod bind;
pub mod credential;
pub mod key;
mod place;
mod rules;
pub mod sealing;
pub mod vault;

pub use credential::CredentialError;
pub use key::{KeyError, SealingKey};
pub use sealing::SealingError;
pub use vault::{Bound, Missing, Opened, Vault, VaultError};
