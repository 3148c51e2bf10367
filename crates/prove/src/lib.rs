//! Proves properties of policies for every possible request, or finds a request that breaks them: Cedar's symbolic compiler
//! (`cedar-policy-symcc`) and the solver cvc5 as a child process. Offline; nothing on the way of a request uses it.
//!
//! | module | holds |
//! |---|---|
//! | [`property`] | what can be stated, as it is written in `*.proofs.yaml` |
//! | [`world`] | policies, schema, and what is assumed of requests |
//! | [`prover`] | one question after the other to the solver |
//! | `annotations` | what decides beside the conditions that the solver sees |
//! | [`found`] | counter-examples: decided again by Cedar itself, and printed |
//!
//! What is proven is about Portunus' decisions, not only Cedar's: a policy that fails refuses here, where Cedar passes over
//! it. What Portunus permits, Cedar permits too, so "never permitted" holds for both; where the difference could matter (a
//! policy set that something is compared *with*), policies must be proven never to fail. What cannot be put to the solver is
//! [`Verdict::Unknown`], never proven.

#![forbid(unsafe_code)]

mod annotations;
pub mod found;
pub mod property;
pub mod prover;
pub mod world;

pub use found::Counterexample;
pub use property::Property;
pub use prover::{Checked, ProveError, Prover, Verdict};
pub use world::World;
