//! Candidate policies beside those in force: they decide every request too, and only what would differ is counted.

use crate::Edge;
use crate::decide::Case;
use portunus_policy::shadow::{Example, Report, compare};
use portunus_policy::{Decision, Principal, Request};
use std::sync::PoisonError;

/// Counts what the candidate, if there is one, would have decided otherwise. Its decision opens nothing.
pub fn note(edge: &Edge, case: &Case<'_>, principal: &Principal, request: &Request<'_>, made: &Decision) {
    let Some(candidate) = &case.snapshot.shadow else { return };
    let difference = compare(made, &candidate.engine.decide(principal, request));
    let caller = &case.known.caller;
    let example = || Example {
        decision: request.decision.to_string(),
        user: caller.user.to_string(),
        client: caller.client.to_string(),
        at: case.now,
    };
    let mut counts = edge.shadow.lock().unwrap_or_else(PoisonError::into_inner);
    counts.note(case.published.server.name.as_str(), case.label(), difference, example, case.now);
}

/// What was counted so far.
#[must_use]
pub fn report(edge: &Edge) -> Report {
    let snapshot = edge.snapshot.load();
    let counts = edge.shadow.lock().unwrap_or_else(PoisonError::into_inner);
    match &snapshot.shadow {
        Some(candidate) => counts.report(&candidate.path),
        None => Report::default(),
    }
}
