//! Compiled policies for other tools that reason about Cedar, such as the prover.

use crate::engine::Engine;
use crate::lookups::{Lookups, uses_of_arguments};
use cedar_policy::Policy;
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
}

/// How a policy reads a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// Not at all, if this is false.
    pub read: bool,
    /// Members that it reads or asks for, each as the path from `context.arguments`.
    pub paths: Vec<Vec<String>>,
    /// It takes the arguments, or the context, as a whole: what it then says may depend on anything in them.
    pub whole: bool,
}

impl Engine {
    /// All policies, in order of id.
    #[must_use]
    pub fn export(&self) -> Vec<Exported> {
        let export = |(id, known): (&String, &crate::engine::Known)| {
            let mut arguments = Arguments::default();
            match known.policy.to_json().ok().as_ref().and_then(|json| json.get("conditions")) {
                Some(conditions) => uses_of_arguments(conditions, &mut arguments),
                None => (arguments.read, arguments.whole) = (true, true),
            }
            let (file, policy) = (known.path.clone(), known.policy.clone());
            let lookups = Lookups::of(&policy);
            let reads = (!lookups.everything).then_some(lookups.attributes);
            Exported { id: id.clone(), file, line: known.line, policy, arguments, reads }
        };
        let mut all: Vec<Exported> = self.known.iter().map(export).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}
