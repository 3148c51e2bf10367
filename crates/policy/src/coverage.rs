//! Which policies the tests reach: a policy that never decided in any of them could say anything.

use crate::engine::Engine;
use crate::explain::Explanation;
use crate::testing::{Case, SqlOf, run_explained};
use cedar_policy::Effect;
use portunus_core::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// How the tests reach each policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// In order of file and line; the policies that come with Portunus are not among them.
    pub policies: Vec<Covered>,
    /// Of these, how many decided in at least one test.
    pub decided: usize,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// The line it starts on.
    pub line: usize,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Tests that it decided.
    pub decided: usize,
    /// Of these, those that expected just what came of it.
    pub confirmed: usize,
    /// Tests in which it could have permitted but did not apply.
    pub near_misses: usize,
    /// Tests in which it could not be evaluated.
    pub failed: usize,
}

impl Coverage {
    /// Policies that decided, in per cent of all, rounded down; 100 when there are none.
    #[must_use]
    pub fn percent(&self) -> usize {
        (self.decided * 100).checked_div(self.policies.len()).unwrap_or(100)
    }
}

/// Runs the tests and counts what each policy did. A test that makes no sense reaches nothing.
#[must_use]
pub fn coverage(engine: &Engine, cases: &[Case], now: Timestamp, sql: &SqlOf<'_>) -> Coverage {
    let own = engine.known.iter().filter(|(_, known)| known.path != crate::defaults::PATH);
    let mut policies: BTreeMap<&str, Covered> = own
        .map(|(id, known)| {
            let effect = if known.policy.effect() == Effect::Permit { "permit" } else { "forbid" };
            let (file, line) = (known.path.clone(), known.line);
            let nothing = (0, 0, 0, 0);
            let (decided, confirmed, near_misses, failed) = nothing;
            let covered =
                Covered { id: id.clone(), file, line, effect, decided, confirmed, near_misses, failed };
            (id.as_str(), covered)
        })
        .collect();
    for case in cases {
        if let Ok(explained) = run_explained(engine, case, now, sql) {
            count(&mut policies, &explained, case);
        }
    }
    let mut policies: Vec<Covered> = policies.into_values().collect();
    policies.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let decided = policies.iter().filter(|policy| policy.decided > 0).count();
    Coverage { policies, decided }
}

fn count(policies: &mut BTreeMap<&str, Covered>, explained: &Explanation, case: &Case) {
    for one in &explained.determining {
        if let Some(covered) = policies.get_mut(one.id.as_str()) {
            covered.decided += 1;
            covered.confirmed += usize::from(explained.decision == case.expect);
        }
    }
    for one in &explained.near_misses {
        if let Some(covered) = policies.get_mut(one.id.as_str()) {
            covered.near_misses += 1;
        }
    }
    for one in &explained.errors {
        if let Some(covered) = policies.get_mut(one.id.as_str()) {
            covered.failed += 1;
        }
    }
}
