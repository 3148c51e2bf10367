//! The control plane driven through its router, as browsers, clients and attackers do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod admin;
mod app;
mod approvals;
mod authorize;
mod clients;
mod console;
mod device;
mod flow;
mod routes;
mod safety;
mod sign_in;
mod webhook;
