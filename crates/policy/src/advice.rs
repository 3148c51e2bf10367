//! What would have to change for a refusal to become a permit, found by trying: each change is put to the engine, and only
//! what it then really permits is told. Policies themselves are never among what could change.

mod candidates;

use crate::decision::Decision;
use crate::engine::Engine;
use crate::explain::Outcome;
use crate::model::{Approved, Context, Operation, Past, Request};
use crate::principal::Principal;
use crate::sql::SqlFacts;
use crate::testing::id;
use candidates::{FRESH, candidates};
use portunus_core::caller::Caller;
use portunus_core::id::UserName;
use portunus_core::limits;
use serde::Serialize;
use std::collections::BTreeSet;

/// Something that would make a refused request a permitted one. It was tried, and it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The changes, all of which are needed; one, unless none is enough for itself.
    pub changes: Vec<Change>,
    /// Whether a person must approve the call besides, and who.
    pub approver: Option<String>,
    /// The policies that then permit it.
    pub policies: Vec<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Of what: `group`, `scope`, `sign_in`, `client`, `proof`, `actor`, `source`, `time`, `argument`, `sql`, `label`,
    /// `counters`, `tool`.
    pub kind: &'static str,
    /// In words, as in "it would be permitted …".
    pub text: String,
}

/// A request that can be changed; borrowed requests are made of it.
#[derive(Clone)]
struct Draft<'a> {
    caller: Caller,
    tool: Option<String>,
    arguments: Option<Vec<u8>>,
    sql: Option<SqlFacts>,
    past: Past,
    request: Request<'a>,
}

/// What a change does to a draft; `false` when it does not apply.
type Apply = Box<dyn Fn(&mut Draft<'_>) -> bool>;

struct Candidate {
    change: Change,
    apply: Apply,
}

/// Finds what would lift a refusal: single changes first and, when there are none, two together. Empty when the request is
/// permitted, and when nothing that was tried helps. At most [`limits::ADVICE_TRIED`] decisions are made.
#[must_use]
pub fn advise(engine: &Engine, principal: &Principal, request: &Request<'_>) -> Vec<Suggestion> {
    let decision = engine.decide(principal, request);
    if matches!(decision, Decision::Permit(_)) {
        return Vec::new();
    }
    let draft = Draft {
        caller: principal.caller().clone(),
        tool: None,
        arguments: request.arguments.map(<[u8]>::to_vec),
        sql: request.sql.cloned(),
        past: request.context.past.clone(),
        request: request.clone(),
    };
    let mut found = Vec::new();
    if matches!(decision, Decision::ApprovalNeeded(_)) {
        found.extend(attempt(engine, &draft, &[]));
    }
    let candidates = candidates(engine, &draft);
    let mut left = limits::ADVICE_TRIED;
    for one in &candidates {
        if left == 0 {
            break;
        }
        left -= 1;
        // A permit without anybody's approval is more than one with it.
        found.extend(
            attempt(engine, &draft, &[one])
                .filter(|made| made.approver.is_none() || Outcome::of(&decision) != Outcome::Approval),
        );
    }
    if found.is_empty() {
        for (index, one) in candidates.iter().enumerate() {
            for other in
                candidates.iter().skip(index + 1).filter(|other| other.change.kind != one.change.kind)
            {
                if left == 0 {
                    return found;
                }
                left -= 1;
                found.extend(attempt(engine, &draft, &[one, other]));
            }
        }
    }
    // Who only needs to sign in anew need not do it in any particular way.
    let is = |suggestion: &Suggestion, fresh: bool| match suggestion.changes.as_slice() {
        [one] => one.kind == "sign_in" && (one.text == FRESH) == fresh,
        _ => false,
    };
    if found.iter().any(|suggestion| is(suggestion, true)) {
        found.retain(|suggestion| !is(suggestion, false));
    }
    found.sort_by_key(|suggestion| suggestion.approver.is_some());
    found
}

/// Puts a changed request to the engine.
fn attempt(engine: &Engine, draft: &Draft<'_>, changes: &[&Candidate]) -> Option<Suggestion> {
    let mut draft = draft.clone();
    if !changes.iter().all(|one| (one.apply)(&mut draft)) {
        return None;
    }
    let principal = engine.principal(&draft.caller);
    let operation = draft.tool.as_deref().map_or(draft.request.operation, Operation::CallTool);
    let request = Request {
        operation,
        arguments: draft.arguments.as_deref(),
        sql: draft.sql.as_ref(),
        besides: None,
        approval: None,
        context: Context { past: &draft.past, ..draft.request.context },
        ..draft.request.clone()
    };
    let changes = changes.iter().map(|one| one.change.clone()).collect();
    match engine.decide(&principal, &request) {
        Decision::Permit(permit) => {
            Some(Suggestion { changes, approver: None, policies: permit.policies().to_vec() })
        }
        Decision::ApprovalNeeded(needed) => {
            let by = UserName::parse("approver").ok()?;
            let approved = Approved { id: id("apr").ok()?, by, binding: needed.binding };
            let request = Request { approval: Some(&approved), ..request };
            match engine.decide(&principal, &request) {
                Decision::Permit(permit) => Some(Suggestion {
                    changes,
                    approver: Some(needed.approver),
                    policies: permit.policies().to_vec(),
                }),
                Decision::Refused(_) | Decision::ApprovalNeeded(_) => None,
            }
        }
        Decision::Refused(_) => None,
    }
}

/// The suggestions that are worth reading: of many moments the first, of many values of an argument the first.
#[must_use]
pub fn brief(suggestions: Vec<Suggestion>) -> Vec<Suggestion> {
    let mut seen = BTreeSet::new();
    let key = |suggestion: &Suggestion| {
        let part = |change: &Change| match change.kind {
            "time" => "time".to_owned(),
            "argument" => change.text.split(" = ").next().unwrap_or_default().to_owned(),
            _ => change.text.clone(),
        };
        suggestion.changes.iter().map(part).collect::<Vec<_>>()
    };
    suggestions.into_iter().filter(|suggestion| seen.insert(key(suggestion))).collect()
}
