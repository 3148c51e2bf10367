//! Which identities that are no people there are, who answers for each, what is wrong with them, what each can reach and what
//! would break without it. Documents in, answers out; only [`mirror`] reads a store.
//!
//! | module | holds |
//! |---|---|
//! | [`identity`] | one identity, as people and auditors see it |
//! | [`inventory`] | documents of every kind → identities |
//! | [`mirror`] | what the store holds about all this, kept up to date in memory |
//! | [`emergency`] | access for an hour that two others allow |
//! | [`visibility`] | which share of them is known in full, and what is not seen at all |
//! | [`findings`] | what is wrong, how bad it is and what to do |
//! | [`reach`] | what breaks if this goes, what this can reach |
//! | [`propose`] | the least that policy must permit for what was used |
//! | [`leavers`] | what becomes of what somebody owned who left |
//! | [`review`] | campaigns in which somebody else than the owner says what is still wanted |
//! | [`evidence`] | tables and documents for auditors: CSV, OCSF, `CycloneDX` |

#![forbid(unsafe_code)]

pub mod emergency;
pub mod evidence;
pub mod findings;
pub mod identity;
pub mod inventory;
pub mod leavers;
pub mod mirror;
pub mod propose;
pub mod reach;
pub mod review;
pub mod visibility;

pub use identity::{Identity, IdentityKind, Standing};
pub use inventory::{OwnKey, PublishedServer, Sources, Workload, alone, inventory};
