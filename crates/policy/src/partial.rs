//! Decisions of which not everything is known: what they are at best and at worst. A policy that reads something unknown
//! counts, at best, when it permits and, at worst, when it forbids, as far as its known conditions let it apply; one that
//! could fail refuses at worst. If both come out alike, that is the decision, whatever the unknown is.

use crate::decision::Decision;
use crate::engine::{Asked, Engine};
use crate::lookups::{Lookups, may_fail};
use crate::model::Request;
use crate::names::TYPES;
use crate::principal::Principal;
use crate::slice::{Slice, Target};
use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of a request.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Attributes of the context.
    pub(crate) attributes: BTreeSet<&'static str>,
    /// Which groups the caller is in.
    pub(crate) groups: bool,
    /// Whether arguments fit the tool's schema and SQL was understood, so that reading them cannot fail.
    pub(crate) well_formed: bool,
}

/// A decision at best and at worst.
pub(crate) struct Range {
    pub(crate) best: Decision,
    pub(crate) worst: Decision,
    /// What it may depend on: unknown attributes of the context that some policy reads, `groups` among them.
    pub(crate) depends: BTreeSet<String>,
}

/// Makes such decisions; reads each policy once.
pub(crate) struct Partial<'e> {
    engine: &'e Engine,
    policies: HashMap<&'e str, Read>,
}

struct Read {
    json: Value,
    lookups: Lookups,
    names_groups: bool,
}

impl<'e> Partial<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        let read = |policy: &Policy| Read {
            json: policy.to_json().unwrap_or(Value::Null),
            lookups: Lookups::of(policy),
            names_groups: policy.entity_literals().iter().any(|one| *one.type_name() == TYPES.group),
        };
        let policies = engine.known.iter().map(|(id, known)| (id.as_str(), read(&known.policy))).collect();
        Self { engine, policies }
    }

    /// What the policies about an operation of a server read that is not known.
    pub(crate) fn missing(&self, server: &str, operation: &str, known: &Known) -> BTreeSet<String> {
        let target = self.engine.served(server).and_then(|served| served.operation(operation));
        let policies = target.into_iter().flat_map(|target| target.slice.policies.policies());
        let read = policies.filter_map(|policy| self.policies.get(policy.id().to_string().as_str()));
        read.flat_map(|read| unknown(read, known)).collect()
    }

    /// `None` when the request is for a server that does not exist, or is not the caller's.
    pub(crate) fn decide(
        &self,
        principal: &Principal,
        request: &Request<'_>,
        known: &Known,
    ) -> Option<Range> {
        let caller = &*principal.0;
        let asked = self.engine.ask(caller, request.server.as_str(), request.operation)?;
        self.decide_asked(principal, request, asked, known)
    }

    /// The same of what was asked already, such as a column.
    pub(crate) fn decide_asked(
        &self,
        principal: &Principal,
        request: &Request<'_>,
        asked: Asked,
        known: &Known,
    ) -> Option<Range> {
        let caller = &*principal.0;
        let (mut best, mut worst, mut depends) = (Vec::new(), Vec::new(), BTreeSet::new());
        for policy in asked.target.slice.policies.policies() {
            let read = self.policies.get(policy.id().to_string().as_str())?;
            let groups = read.names_groups && !known.groups;
            if !groups && read.lookups.within(&known.attributes) {
                best.push(policy.clone());
                worst.push(policy.clone());
                continue;
            }
            let possible = possible(policy, read, known)?;
            if !self.may_apply(principal, request, &asked, &possible) {
                continue;
            }
            depends.extend(unknown(read, known));
            if policy.effect() == Effect::Permit { &mut best } else { &mut worst }.push(possible.clone());
            if fails(read, known) {
                worst.push(as_refusal(&possible)?);
            }
        }
        let decide = |policies: Vec<Policy>, asked: &Asked| {
            let slice = slice_of(policies, &asked.target.slice)?;
            let target = Target { slice: Arc::new(slice), ..asked.target.clone() };
            Some(self.engine.decide_asked(caller, request, &asked.with(target)))
        };
        if depends.is_empty() {
            let one = decide(best, &asked)?;
            return Some(Range { worst: decide(worst, &asked)?, best: one, depends });
        }
        Some(Range { best: decide(best, &asked)?, worst: decide(worst, &asked)?, depends })
    }

    /// Whether a policy, taken for itself, applies or fails.
    fn may_apply(
        &self,
        principal: &Principal,
        request: &Request<'_>,
        asked: &Asked,
        policy: &Policy,
    ) -> bool {
        let caller = &*principal.0;
        let (Ok(one), Ok(context)) = (
            PolicySet::from_policies([policy.clone()]),
            crate::engine::context_of(caller, request, asked, None),
        ) else {
            return true;
        };
        // With an approval it may be otherwise; without one it applies at least as often, for a forbid.
        let reads_approval = self
            .policies
            .get(policy.id().to_string().as_str())
            .is_some_and(|read| read.lookups.everything || read.lookups.attributes.contains("approval"));
        reads_approval
            || self.engine.respond(caller, asked, &asked.resource, &one, context).is_none_or(|response| {
                response.diagnostics().reason().next().is_some()
                    || response.diagnostics().errors().next().is_some()
            })
    }
}

/// The unknown that a policy reads.
fn unknown(read: &Read, known: &Known) -> Vec<String> {
    let attributes = &read.lookups.attributes;
    let mut names: Vec<String> =
        attributes.iter().filter(|name| !known.attributes.contains(name.as_str())).cloned().collect();
    if read.lookups.everything {
        names.push("context".to_owned());
    }
    if read.names_groups && !known.groups {
        names.push("groups".to_owned());
    }
    names
}

/// Whether evaluating the policy on the unknown could fail.
fn fails(read: &Read, known: &Known) -> bool {
    if !known.well_formed {
        return read.json.get("conditions").is_none_or(may_fail);
    }
    // What is read of arguments and SQL is there; what is left is arithmetic.
    read.json.get("conditions").is_none_or(|conditions| may_fail(&without_calls(conditions)))
}

/// The expression with `context.arguments` and `context.sql` out of sight.
fn without_calls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_calls).collect(),
        Value::Object(members) => {
            if let Some(access) = members.get(".")
                && access.get("left").and_then(|left| left.get("Var")).is_some()
            {
                return Value::Null;
            }
            members.iter().map(|(name, operand)| (name.clone(), without_calls(operand))).collect()
        }
        other => other.clone(),
    }
}

/// The policy with every condition left out that reads something unknown: it applies whenever the whole could.
fn possible(policy: &Policy, read: &Read, known: &Known) -> Option<Policy> {
    let mut json = read.json.clone();
    if read.names_groups && !known.groups {
        let members = json.as_object_mut()?;
        // A scope that names a group may or may not hold.
        if members.get("principal").is_some_and(|scope| scope.to_string().contains("\"Group\"")) {
            members.insert("principal".to_owned(), json!({ "op": "All" }));
        }
    }
    let conditions = json.get_mut("conditions")?.as_array_mut()?;
    let mut kept = Vec::new();
    let mut certain = true;
    for condition in conditions.drain(..) {
        let kind = condition.get("kind")?.as_str()?.to_owned();
        // `unless { a || b }` is `when { !a && !b }`.
        let operator = if kind == "when" { "&&" } else { "||" };
        let mut parts = Vec::new();
        flatten(condition.get("body")?, operator, &mut parts);
        for part in parts {
            let readable = Lookups::of_value(&part).within(&known.attributes)
                && (known.groups || !part.to_string().contains("\"Group\""));
            // After something unknown, a part is evaluated only perhaps: it must not be what fails.
            if readable && (certain || !may_fail(&part)) {
                kept.push(json!({ "kind": kind, "body": part }));
            } else {
                certain = false;
            }
        }
    }
    *conditions = kept;
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

/// The operands of a chain of the same operator, in the order of evaluation.
fn flatten(body: &Value, operator: &str, parts: &mut Vec<Value>) {
    match body.get(operator).and_then(|sides| Some((sides.get("left")?, sides.get("right")?))) {
        Some((left, right)) => {
            flatten(left, operator, parts);
            flatten(right, operator, parts);
        }
        None => parts.push(body.clone()),
    }
}

/// A policy that fails refuses, and no approval helps.
fn as_refusal(policy: &Policy) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    json.as_object_mut()?.insert("effect".to_owned(), json!("forbid"));
    let id = PolicyId::new(format!("{} (fails)", policy.id()));
    Policy::from_json(Some(id), json).ok()
}

fn slice_of(policies: Vec<Policy>, of: &Slice) -> Option<Slice> {
    Some(Slice {
        policies: PolicySet::from_policies(policies).ok()?.into(),
        looks: of.looks,
        without_arguments: PolicySet::new(),
        step_ups: PolicySet::new(),
        is_alike: false,
    })
}
