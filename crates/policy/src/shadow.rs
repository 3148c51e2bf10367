//! A candidate beside the policies in force: each request is decided by both, only the differences are kept, and those
//! bounded. Pure: who decides twice is the edge.

use crate::decision::{ApprovalNeeded, Decision, Refused};
use crate::explain::Outcome;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What two decisions about one request differ in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What the policies in force say.
    pub current: Outcome,
    /// What the candidate says.
    pub candidate: Outcome,
    /// The candidate's policies that decided, sorted; none when nothing of it permits the request.
    pub policies: Vec<String>,
    /// Who must approve now and who would have to, where both ask for an approval of somebody else.
    pub approvers: Option<(String, String)>,
}

/// Compares two decisions about the same request; `None` when they come to the same, by the same approver.
#[must_use]
pub fn compare(current: &Decision, candidate: &Decision) -> Option<Difference> {
    let (was, would_be) = (Outcome::of(current), Outcome::of(candidate));
    let policies = match candidate {
        Decision::Permit(permit) => permit.policies(),
        Decision::Refused(Refused { policies, .. })
        | Decision::ApprovalNeeded(ApprovalNeeded { refused: Refused { policies, .. }, .. }) => policies,
    };
    let approvers = current.approver().zip(candidate.approver()).filter(|(one, other)| one != other);
    (was != would_be || approvers.is_some()).then(|| Difference {
        current: was,
        candidate: would_be,
        policies: policies.to_vec(),
        approvers: approvers.map(|(one, other)| (one.to_owned(), other.to_owned())),
    })
}

/// Counts differences.
#[derive(Debug, Clone, Default)]
pub struct Shadow {
    since: Option<Timestamp>,
    decisions: u64,
    differences: u64,
    uncounted: u64,
    rows: BTreeMap<(String, String, Difference), (u64, Example)>,
}

/// One request that was decided differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The decision's id, by which the ledger has it.
    pub decision: String,
    /// Who asked.
    pub user: String,
    /// Through which client.
    pub client: String,
    /// When it was last seen.
    pub at: Timestamp,
}

/// What was counted, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whether a candidate is running at all.
    pub running: bool,
    /// Where its policies come from.
    #[serde(default)]
    pub candidate: String,
    /// Since when it counts.
    pub since: Option<Timestamp>,
    /// Requests decided by both.
    pub decisions: u64,
    /// Of these, those decided differently.
    pub differences: u64,
    /// Differences that are in no row, because there are as many rows as there may be.
    pub uncounted: u64,
    /// Most frequent first.
    pub rows: Vec<Row>,
}

/// Differences of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The server.
    pub server: String,
    /// The tool, or the method.
    pub tool: String,
    /// What the policies in force say.
    pub current: Outcome,
    /// What the candidate says.
    pub candidate: Outcome,
    /// The candidate's policies that decided, separated by commas; empty when nothing permits it.
    pub policy: String,
    /// Who must approve now and who would have to, where both ask for an approval of somebody else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approvers: Option<(String, String)>,
    /// How often.
    pub count: u64,
    /// The last one.
    pub example: Example,
}

impl Shadow {
    /// Counts one request; cheap when the two decisions agree. At most [`limits::SHADOW_ROWS`] kinds of difference are told
    /// apart.
    pub fn note(
        &mut self,
        server: &str,
        tool: &str,
        difference: Option<Difference>,
        example: impl FnOnce() -> Example,
        now: Timestamp,
    ) {
        self.since.get_or_insert(now);
        self.decisions += 1;
        let Some(difference) = difference else { return };
        self.differences += 1;
        let mut tool = tool.to_owned();
        while tool.len() > limits::NAME_BYTES {
            tool.pop();
        }
        let key = (server.to_owned(), tool, difference);
        if let Some((count, last)) = self.rows.get_mut(&key) {
            *count += 1;
            *last = example();
        } else if self.rows.len() < limits::SHADOW_ROWS {
            self.rows.insert(key, (1, example()));
        } else {
            self.uncounted += 1;
        }
    }

    /// What was counted so far. `candidate` says where its policies come from.
    #[must_use]
    pub fn report(&self, candidate: &str) -> Report {
        let rows = self.rows.iter().map(|((server, tool, difference), (count, example))| Row {
            server: server.clone(),
            tool: tool.clone(),
            current: difference.current,
            candidate: difference.candidate,
            policy: difference.policies.join(", "),
            approvers: difference.approvers.clone(),
            count: *count,
            example: example.clone(),
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        Report {
            running: true,
            candidate: candidate.to_owned(),
            since: self.since,
            decisions: self.decisions,
            differences: self.differences,
            uncounted: self.uncounted,
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::digest::Digest;
    use portunus_core::id::Id;

    fn example(n: u64) -> Example {
        Example {
            decision: format!("dec_{n}"),
            user: "ana".into(),
            client: "chat".into(),
            at: Timestamp::from_secs(n),
        }
    }

    fn refusal(policies: &[&str]) -> Difference {
        let policies = policies.iter().map(|one| (*one).to_owned()).collect();
        Difference { current: Outcome::Permit, candidate: Outcome::Refuse, policies, approvers: None }
    }

    #[test]
    fn another_approver_is_a_difference() {
        let needed = |approver: &str| {
            let decision = Id::parse("dec_00000000000000000000000000").unwrap();
            let refused =
                Refused { decision, reasons: Vec::new(), policies: vec!["ask".into()], step_up: None };
            Decision::ApprovalNeeded(ApprovalNeeded {
                refused,
                approver: approver.into(),
                binding: Digest([0; 32]),
            })
        };
        assert_eq!(compare(&needed("owner"), &needed("owner")), None);
        let difference = compare(&needed("two of group dba"), &needed("owner"));
        let approvers = difference.as_ref().unwrap().approvers.clone();
        assert_eq!(approvers, Some(("two of group dba".into(), "owner".into())));
        let mut shadow = Shadow::default();
        shadow.note("sales", "write", difference, || example(1), Timestamp::from_secs(1));
        assert_eq!(shadow.report("").rows[0].approvers, approvers);
    }

    #[test]
    fn differences_are_counted_by_kind_with_the_last_example_and_agreement_costs_nothing() {
        let mut shadow = Shadow::default();
        let now = Timestamp::from_secs(1);
        shadow.note("sales", "read", None, || panic!("no example is made"), now);
        shadow.note("sales", "read", Some(refusal(&["a"])), || example(1), now);
        shadow.note("sales", "read", Some(refusal(&["a"])), || example(2), now);
        shadow.note("sales", "read", Some(refusal(&["b"])), || example(3), now);
        let report = shadow.report("next/");
        assert_eq!((report.decisions, report.differences, report.rows.len()), (4, 3, 2));
        assert_eq!((report.rows[0].count, report.rows[0].policy.as_str()), (2, "a"));
        assert_eq!(report.rows[0].example, example(2));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let mut shadow = Shadow::default();
        for n in 0..limits::SHADOW_ROWS as u64 + 10 {
            let tool = format!("{n}{}", "x".repeat(2 * limits::NAME_BYTES));
            shadow.note("sales", &tool, Some(refusal(&[])), || example(n), Timestamp::from_secs(n));
        }
        let report = shadow.report("");
        assert_eq!((report.rows.len(), report.uncounted), (limits::SHADOW_ROWS, 10));
        assert!(report.rows.iter().all(|row| row.tool.len() <= limits::NAME_BYTES));
    }
}
