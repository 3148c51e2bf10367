//! The way of a request from its head to its sealed outcome, with scripted upstreams and ports that can be made to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

mod admission;
mod answers;
mod approvals;
mod credentials;
mod decisions;
mod handles;
mod mirrors;
mod observed;
mod origins;
mod pins;
mod results;
mod senders;
