//! Governance from outside the crate: documents in, answers out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod emergency;
mod evidence;
mod findings;
mod reach;
mod review;
mod support;
mod visibility;
