//! The nouns and ports every other crate of Portunus shares. No I/O, no clock, no randomness of its own.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | names and identifiers, parsed once at the rim |
//! | [`time`] | [`time::Timestamp`], the [`time::Clock`] and [`time::Rng`] ports |
//! | [`secret`] | [`secret::Secret`]: unprintable, zeroized |
//! | [`limits`] | every bound with its unit, on one page |
//! | [`server`] | a published MCP server and its upstream |
//! | [`assertion`] | checking the edge's signed word on who calls |
//! | [`caller`] | who is asking: user × client × how they signed in |
//! | [`peer`] | what the peer of a TLS connection proved |
//! | [`document`] | the durable documents: user, client, grant, tokens, credentials, approvals … |
//! | [`store`] | the narrow port to durable state |
//! | [`lease`] | one node at a time |
//! | [`record`] | audit records and the port to the ledger |
//! | [`dialer`] | the port to an upstream |
//! | [`digest`] | SHA-256 and constant-time comparison |
//! | [`token`] | the `ptn_…` token format |
//! | [`treatment`] | what is shown in place of a value that may not be shown |
//! | `testing` | in-memory ports for tests (feature `testing`) |
//! | [`trace`] | W3C trace context and the port to telemetry |

#![forbid(unsafe_code)]

pub mod assertion;
pub mod caller;
pub mod dialer;
pub mod digest;
pub mod document;
pub mod id;
pub mod lease;
pub mod limits;
pub mod peer;
pub mod record;
pub mod secret;
pub mod server;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod token;
pub mod trace;
pub mod treatment;
