//! What policies decide, tried from outside the crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod approve;
mod arguments;
mod decide;
mod fuzz;
mod people;
mod problems;
mod property;
mod see;
mod step_up;
mod tools;
mod world;
