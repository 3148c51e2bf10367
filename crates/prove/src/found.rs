//! Counter-examples: a whole request, decided again by Cedar's own evaluator, and printed for people.

use cedar_policy::{Authorizer, Decision, PolicySet};
use cedar_policy_symcc::Env;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A request that breaks a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counterexample {
    /// Who asks, as Cedar writes it.
    pub principal: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// What they want.
    pub action: String,
    /// Of what.
    pub resource: String,
    /// The context, attribute by attribute, as Cedar writes it.
    pub context: BTreeMap<String, String>,
    /// Of these, the attributes at which nothing looks.
    pub idle: BTreeSet<String>,
    /// The policies that decide it when it is evaluated.
    pub policies: Vec<String>,
}

/// What evaluating a counter-example came to.
pub(crate) struct Again {
    pub(crate) permitted: bool,
    pub(crate) policies: Vec<String>,
    /// Policies that fail, so that Portunus refuses what Cedar may permit.
    pub(crate) failed: Vec<String>,
}

/// Evaluates the request by Portunus' rule: permitted, and nothing failed.
pub(crate) fn again(found: &Env, policies: &PolicySet) -> Again {
    let response = Authorizer::new().is_authorized(&found.request, policies, &found.entities);
    let failed: Vec<String> = response
        .diagnostics()
        .errors()
        .map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
        })
        .collect();
    let mut deciding: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    deciding.sort();
    let permitted = response.decision() == Decision::Allow && failed.is_empty();
    Again { permitted, policies: deciding, failed }
}

impl Counterexample {
    /// There is none: a policy that applies to nothing.
    pub(crate) fn nothing(policy: &str) -> Self {
        Self {
            principal: String::new(),
            groups: Vec::new(),
            action: String::new(),
            resource: String::new(),
            context: BTreeMap::new(),
            idle: BTreeSet::new(),
            policies: vec![policy.to_owned()],
        }
    }

    /// `reads` says whether anything looks at an attribute.
    pub(crate) fn of(found: &Env, policies: Vec<String>, reads: impl Fn(&str) -> bool) -> Self {
        let text =
            |uid: Option<&cedar_policy::EntityUid>| uid.map_or_else(|| "any".to_owned(), ToString::to_string);
        let request = &found.request;
        let mut groups: Vec<String> = request
            .principal()
            .and_then(|principal| found.entities.ancestors(principal))
            .map(|ancestors| ancestors.map(|one| one.id().unescaped().to_owned()).collect())
            .unwrap_or_default();
        groups.sort();
        let mut context = BTreeMap::new();
        if let Some(given) = request.context() {
            for (name, _) in given.clone() {
                let value = given.get(&name).map_or_else(String::new, |value| value.to_string());
                context.insert(name, value);
            }
        }
        Self {
            principal: text(request.principal()),
            groups,
            action: text(request.action()),
            resource: text(request.resource()),
            idle: context.keys().filter(|name| !reads(name)).cloned().collect(),
            context,
            policies,
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.principal.is_empty() {
            return write!(f, "{} applies to no request at all", self.policies.join(", "));
        }
        let groups = if self.groups.is_empty() { "no group".to_owned() } else { self.groups.join(", ") };
        writeln!(f, "principal  {} in {groups}", self.principal)?;
        writeln!(f, "action     {}", self.action)?;
        writeln!(f, "resource   {}", self.resource)?;
        for (name, value) in self.context.iter().filter(|(name, _)| !self.idle.contains(*name)) {
            writeln!(f, "context    {name} = {value}")?;
        }
        let by = if self.policies.is_empty() { "none".to_owned() } else { self.policies.join(", ") };
        write!(f, "decided by {by}, evaluated again on exactly this request")
    }
}
