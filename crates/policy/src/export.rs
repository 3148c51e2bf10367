//! Compiled policies for other tools that reason about Cedar, such as the prover.

use crate::engine::Engine;
use crate::lookups::{Lookups, uses_of_arguments};
use crate::shape::{Member, Shape};
use crate::step_up::StepUp;
use cedar_policy::Policy;
use portunus_core::treatment::Treatment;
use std::collections::BTreeSet;

/// One policy, as it is decided by.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// The line it starts on.
    pub line: usize,
    /// Itself, under that id.
    pub policy: Policy,
    /// How it reads a call's arguments.
    pub arguments: Arguments,
    /// The attributes of the context that it reads; `None`: it takes the context as a whole.
    pub reads: Option<BTreeSet<String>>,
    /// Who must approve what it forbids, as `@approvable` says it.
    pub approver: Option<String>,
    /// What lifts it, as `@step_up` says it.
    pub step_up: Option<StepUp>,
    /// What stands in the place of what it hides, as `@mask` says it.
    pub treatment: Option<Treatment>,
}

/// How a policy reads a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// Not at all, if this is false.
    pub read: bool,
    /// Members that it reads or asks for, each as the path from `context.arguments`.
    pub paths: Vec<Vec<String>>,
    /// Of these, those whose value it takes as it is, not only asks whether it is there.
    pub values: Vec<Vec<String>>,
    /// It takes the arguments, or the context, as a whole: what it then says may depend on anything in them.
    pub whole: bool,
}

impl Arguments {
    /// How a policy reads a call's arguments.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut arguments = Self::default();
        match policy.to_json().ok().as_ref().and_then(|json| json.get("conditions")) {
            Some(conditions) => uses_of_arguments(conditions, &mut arguments),
            None => (arguments.read, arguments.whole) = (true, true),
        }
        arguments
    }

    /// Whether Cedar's schema has all that is read, as a call may bring it, for a tool of this input schema. What the input
    /// schema does not declare, or in words that Cedar has no type for (`$ref`, unions, an array of anything), is not there
    /// in Cedar's schema, but it is in a request's context.
    #[must_use]
    pub fn are_declared(&self, schema: Option<&str>) -> bool {
        if !self.read {
            return true;
        }
        let Some(shape) = schema.and_then(Shape::of_schema).filter(|_| !self.whole) else { return false };
        let typed = |path: &Vec<String>| matches!(shape.member(path), Member::Typed(_));
        let closed = |path: &Vec<String>| matches!(shape.member(path), Member::Typed(of) if of.is_closed());
        self.paths.iter().all(typed) && self.values.iter().all(closed)
    }

    /// Whether something is read that a tool of this shape has, but Cedar's schema does not.
    pub(crate) fn reads_untyped(&self, shape: &Shape) -> bool {
        self.paths.iter().any(|path| shape.member(path) == Member::Untyped)
    }
}

impl Engine {
    /// All policies, in order of id.
    #[must_use]
    pub fn export(&self) -> Vec<Exported> {
        let export = |(id, known): (&String, &crate::engine::Known)| {
            let arguments = Arguments::of(&known.policy);
            let (file, policy) = (known.path.clone(), known.policy.clone());
            let lookups = Lookups::of(&policy);
            let reads = (!lookups.everything).then_some(lookups.attributes);
            let (approver, step_up) = (known.approver.clone(), known.step_up.clone());
            let (id, line, treatment) = (id.clone(), known.line, known.treatment);
            Exported { id, file, line, policy, arguments, reads, approver, step_up, treatment }
        };
        let mut all: Vec<Exported> = self.known.iter().map(export).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}
