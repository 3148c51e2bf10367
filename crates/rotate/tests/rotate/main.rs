//! Rotations against real upstreams, and killed wherever they can be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod aws;
mod crash;
mod database;
mod exec;
mod life;
mod openbao;
mod postgres;
mod schedule;
mod ssh;
mod upstream;
mod webhook;
mod world;
mod x509;
