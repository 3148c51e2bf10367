//! The tunnel over loopback with real TLS: enrolment, links, calls, and what breaks them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admission;
mod calls;
mod enrolment;
mod key;
mod renewal;
mod target;
mod world;
