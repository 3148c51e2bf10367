//! Decides every request: Cedar policies over callers, servers, tools, arguments and SQL facts. Pure: no I/O, no clock.

#![forbid(unsafe_code)]

mod decision;
pub mod defaults;
mod engine;
mod model;
mod problem;
pub mod sql;

pub use decision::{ApprovalNeeded, DEFAULT_REASON, Decision, Permit, Refused};
pub use engine::{Disclosure, Engine, Principal};
pub use model::{Approved, Context, Operation, Request, ServerTools, Source, Tool, TrustGroups, View};
pub use problem::{Problem, Severity};
