//! Connections over in-memory ports, with an authorization server that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod calls;
mod consents;
mod discovery;
mod endings;
mod renewals;
mod world;
