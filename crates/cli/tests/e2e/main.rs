//! The binary from outside: started, killed and restarted as a process, spoken to over its real ports.
//!
//! [`app`] runs it, [`http`] and [`oauth`] are clients of our own that can also misbehave, [`upstream`] records what gets
//! through. The clients that no one here wrote are scripts in `tests/clients`, run by [`clients`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod abuse;
mod acme;
mod app;
mod architecture;
mod browser;
mod governance;
mod http;
mod oauth;
mod pebble;
mod upstream;

mod approvals;
mod bad_input;
mod certificates;
mod client_certificates;
mod clients;
mod compatibility;
mod conformance;
mod connections;
mod crash;
mod dance;
mod discover;
mod doctor;
mod edge_limits;
mod emergencies;
mod eras;
mod evidence;
mod federation;
mod json;
mod keys;
mod machines;
mod operations;
mod policy_tools;
mod registration;
mod reload;
mod rotation;
mod scale;
mod sealing;
mod sql;
mod sql_reference;
mod sqlite;
mod story;
mod tokens;
mod traces;
mod tunnel;
mod upstreams;
