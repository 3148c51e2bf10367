//! A certificate from an ACME authority (RFC 8555): ordered under a lease, so that of several edges on one store one does
//! it; kept in the store with its key sealed; replaced in time.
//!
//! | module | holds |
//! |---|---|
//! | [`schedule`] | when to replace a certificate, and how long to pause after a failure (pure) |
//! | [`authority`] | the account, orders, the stored certificate |
//! | [`challenge`] | what a validating authority is answered (RFC 8555 section 8.3, RFC 8737) |
//! | [`leaf`] | what a certificate says of itself |
//! | `client` | HTTPS to the authority, within bounds |

#![forbid(unsafe_code)]

pub mod authority;
pub mod challenge;
mod client;
pub mod leaf;
mod order;
pub mod schedule;
