//! Governance from outside the crate: documents in, answers out.

mod evidence;
mod findings;
mod reach;
mod review;
mod support;
mod visibility;
