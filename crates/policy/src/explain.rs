//! Why a request is decided as it is, for `portunus policy explain`. Nothing of this is for clients.

use crate::context::{self, Parts};
use crate::decision::Decision;
use crate::engine::{Asked, Engine, context_of, failures};
use crate::model::{Context as Circumstances, Request};
use crate::names::{TYPES, uid};
use crate::principal::{Prepared, Principal};
use cedar_policy::{Context, Effect, EntityUid, Policy, PolicySet};
use portunus_core::id::ServerName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Why a request is decided as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The result.
    pub decision: Outcome,
    /// What the client is told when it is refused.
    pub reasons: Vec<String>,
    /// Who could approve it.
    pub approver: Option<String>,
    /// The policies that decided; none when nothing permits it.
    pub determining: Vec<Explained>,
    /// Policies that could not be evaluated. Any such refuses.
    pub errors: Vec<Explained>,
    /// Permits for this action that did not apply.
    pub near_misses: Vec<Explained>,
}

/// The result of a decision, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Permitted.
    Permit,
    /// Refused.
    Refuse,
    /// Refused until somebody approves it.
    Approval,
}

impl Outcome {
    /// What a decision came to.
    #[must_use]
    pub fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Permit(_) => Self::Permit,
            Decision::Refused(_) => Self::Refuse,
            Decision::ApprovalNeeded(_) => Self::Approval,
        }
    }
    /// `permit`, `refuse` or `approval`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Refuse => "refuse",
            Self::Approval => "approval",
        }
    }
}

/// A policy, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// The line it starts on.
    pub line: usize,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// What it did, in words.
    pub note: String,
    /// Its text.
    pub text: String,
}

/// Explains the decision that [`Engine::decide`] makes.
#[must_use]
pub fn explain(engine: &Engine, principal: &Principal, request: &Request<'_>) -> Explanation {
    let mut approval = None;
    let (decision, reasons, approver) = match engine.decide(principal, request) {
        Decision::Permit(permit) => {
            approval = request.approval.filter(|_| permit.approval().is_some());
            (Outcome::Permit, Vec::new(), None)
        }
        Decision::Refused(refused) => (Outcome::Refuse, refused.reasons, None),
        Decision::ApprovalNeeded(needed) => {
            (Outcome::Approval, needed.refused.reasons, Some(needed.approver))
        }
    };
    let mut explanation = Explanation::of(decision, reasons, approver);
    let caller = &*principal.0;
    let approval = approval.map(|used| (uid(&TYPES.user, used.by.as_str()), used.id.as_str()));
    if let Some(asked) = engine.ask(caller, request.server.as_str(), request.operation)
        && let Ok(context) = context_of(caller, request, &asked, approval)
    {
        attribute(&mut explanation, engine, caller, &asked, &context);
    }
    explanation
}

impl Explanation {
    fn of(decision: Outcome, reasons: Vec<String>, approver: Option<String>) -> Self {
        let (determining, errors, near_misses) = (Vec::new(), Vec::new(), Vec::new());
        Self { decision, reasons, approver, determining, errors, near_misses }
    }
}

/// Explains whether a caller may be shown a column (`table.column`), as it is; [`Engine::disclosure`] decides it.
#[must_use]
pub fn explain_column(
    engine: &Engine,
    principal: &Principal,
    server: &ServerName,
    column: &str,
    circumstances: &Circumstances<'_>,
) -> Explanation {
    let mut explanation = Explanation::of(Outcome::Refuse, Vec::new(), None);
    let caller = &*principal.0;
    if let Some(asked) = engine.ask_data(caller, server.as_str(), "disclose", column)
        && let Some(context) =
            context::build(asked.target.slice.looks, caller, circumstances, Parts::default())
    {
        attribute(&mut explanation, engine, caller, &asked, &context);
    }
    let determining = &explanation.determining;
    let permits = !determining.is_empty() && determining.iter().all(|one| one.effect == "permit");
    if permits && explanation.errors.is_empty() {
        explanation.decision = Outcome::Permit;
    }
    let forbids = explanation.determining.iter().filter(|one| one.effect == "forbid");
    explanation.reasons = forbids.filter_map(|one| one.reason.clone()).collect();
    explanation
}

impl Engine {
    /// The question whether a column (`disclose`) or data class (`class`) may be shown, or the rows of a table changed
    /// (`change`). What no policy names stands for all that none names.
    pub(crate) fn ask_data(&self, caller: &Prepared, server: &str, kind: &str, name: &str) -> Option<Asked> {
        let operation = if kind == "change" { "change" } else { "disclose" };
        let asked = self.ask_about_data(caller, server, operation)?;
        let data = &self.served(server)?.data;
        let find = |all: &BTreeMap<EntityUid, String>, name: &str| {
            all.iter().find(|(_, known)| *known == name).map(|(entity, _)| entity.clone())
        };
        let resource = match kind {
            "class" => find(&data.classes, name)?,
            "change" => find(&data.tables, name).unwrap_or_else(|| data.unnamed_table.clone()),
            _ => {
                let others = name.rsplit_once('.').map(|(table, _)| format!("{table}.*"));
                let named = find(&data.columns, name);
                let named = named.or_else(|| find(&data.columns, &others?));
                named.unwrap_or_else(|| data.unnamed_column.clone())
            }
        };
        Some(Asked { resource, ..asked })
    }
}

/// Says of each policy that could apply what it did.
fn attribute(
    explanation: &mut Explanation,
    engine: &Engine,
    caller: &Prepared,
    asked: &Asked,
    context: &Context,
) {
    let policies = &asked.target.slice.policies;
    let Some(response) = engine.respond(caller, asked, &asked.resource, policies, context.clone()) else {
        return;
    };
    let decided: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    for id in &decided {
        explanation.determining.extend(explained(engine, id, "applies"));
    }
    for (id, why) in failures(&response).collect::<BTreeSet<_>>() {
        explanation.errors.extend(explained(engine, &id, &why));
    }
    let failed: BTreeSet<&str> = explanation.errors.iter().map(|error| error.id.as_str()).collect();
    let mut missed: Vec<&Policy> =
        policies.policies().filter(|policy| policy.effect() == Effect::Permit).collect();
    missed.sort_by_key(|policy| policy.id().to_string());
    for policy in missed {
        let id = policy.id().to_string();
        // When something forbids, permits that hold are not named by Cedar: ask each alone.
        let alone = |policy: Policy| {
            let response = PolicySet::from_policies([policy])
                .ok()
                .and_then(|one| engine.respond(caller, asked, &asked.resource, &one, context.clone()));
            response.is_some_and(|response| response.decision() == cedar_policy::Decision::Allow)
        };
        if decided.contains(&id) || failed.contains(id.as_str()) || alone(policy.clone()) {
            continue;
        }
        let in_scope = scope_only(policy).is_some_and(alone);
        let note =
            if in_scope { "its conditions do not hold" } else { "it is not about this caller or resource" };
        explanation.near_misses.extend(explained(engine, &id, note));
    }
}

/// The policy without its conditions.
fn scope_only(policy: &Policy) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    json.as_object_mut()?.insert("conditions".to_owned(), serde_json::Value::Array(Vec::new()));
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

fn explained(engine: &Engine, id: &str, note: &str) -> Option<Explained> {
    let known = engine.known.get(id)?;
    Some(Explained {
        id: id.to_owned(),
        file: known.path.clone(),
        line: known.line,
        effect: if known.policy.effect() == Effect::Permit { "permit" } else { "forbid" },
        reason: known.reason.clone(),
        note: note.to_owned(),
        text: known.policy.to_cedar().unwrap_or_default(),
    })
}
