//! Recorded calls under other policies: which of them would be decided otherwise. A record does not hold everything that
//! policies may look at (arguments are redacted and bounded, old records lack the caller's groups); a call whose decision
//! depends on what is not there is counted as unknown, never as the same.

mod report;
mod unfit;

pub use report::{Day, Example, Flip, Report};

use crate::decision::{ARGUMENTS_REASON, ApprovalNeeded, DEFAULT_REASON, Decision, Refused};
use crate::engine::Engine;
use crate::explain::Outcome;
use crate::model::{Approved, Context, NO_PAST, Operation, Past, Question, Request};
use crate::partial::{Known, Partial, Range};
use crate::principal::Principal;
use crate::sql::SqlFacts;
use crate::testing::{id, operation};
use portunus_core::caller::{Caller, ClientProof, Confirmation, Holding, SignIn};
use portunus_core::digest::Digest;
use portunus_core::id::{GroupName, UserName};
use portunus_core::limits;
use portunus_core::record::{Circumstances, Intent, Verdict};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// A recorded call.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Its record.
    pub intent: &'a Intent,
    /// Whether the recorded arguments are the exact ones: nothing in them is redacted, nothing was too long.
    pub arguments_whole: bool,
    /// What its SQL does, where an argument holds SQL; `None`: no argument does.
    pub sql: Option<&'a SqlFacts>,
    /// Whether `sql` is what the edge saw.
    pub sql_known: bool,
    /// Whether the server hides columns itself, as the built-in SQL server does: then no statement is refused for them.
    pub hides_itself: bool,
    /// Who had to approve it, of a call that asked for an approval or had one; `None`: not known.
    pub approver: Option<&'a str>,
}

/// What a recorded call comes to under other policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It would be decided so, by these policies.
    Decided(Outcome, Vec<String>),
    /// An approval would be needed still, but of somebody else.
    OtherApprover {
        /// Who had to approve.
        was: String,
        /// Who would have to.
        now: String,
        /// The policies that say so.
        policies: Vec<String>,
    },
    /// It cannot be told without this.
    Unknown(BTreeSet<String>),
    /// It was not decided by policy, so that no policy changes it.
    NotByPolicy,
}

/// Decides recorded calls again.
pub struct Replay<'e> {
    engine: &'e Engine,
    partial: Partial<'e>,
    groups: HashMap<UserName, Vec<GroupName>>,
    callers: HashMap<String, Principal>,
    report: Report,
}

impl<'e> Replay<'e> {
    /// `groups` stands in for the groups of users whose records do not hold them.
    #[must_use]
    pub fn new(engine: &'e Engine, groups: HashMap<UserName, Vec<GroupName>>) -> Self {
        let partial = Partial::new(engine);
        Self { engine, partial, groups, callers: HashMap::new(), report: Report::default() }
    }

    /// What was counted.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.flips.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.user.cmp(&b.user)));
        self.report
    }

    /// Decides one call again and counts it.
    pub fn add(&mut self, recorded: &Recorded<'_>) -> Replayed {
        let replayed = self.decide(recorded);
        let intent = recorded.intent;
        self.report.calls += 1;
        let day = self.report.days.entry(day_of(intent.at)).or_default();
        match &replayed {
            Replayed::NotByPolicy => {
                self.report.not_by_policy += 1;
                day.not_by_policy += 1;
            }
            Replayed::Unknown(missing) => {
                self.report.unknown += 1;
                day.unknown += 1;
                for name in missing {
                    *self.report.missing.entry(name.clone()).or_default() += 1;
                }
            }
            Replayed::Decided(now, _) if *now == was(intent) => {
                self.report.same += 1;
                day.same += 1;
            }
            Replayed::Decided(now, policies) => {
                self.report.flipped += 1;
                // Permit is less than approval is less than refuse.
                let strictness = |outcome: Outcome| match outcome {
                    Outcome::Permit => 0,
                    Outcome::Approval => 1,
                    Outcome::Refuse => 2,
                };
                let narrower = strictness(*now) > strictness(was(intent));
                *if narrower { &mut day.narrower } else { &mut day.wider } += 1;
                self.flip(intent, *now, policies, None);
            }
            Replayed::OtherApprover { was, now, policies } => {
                self.report.flipped += 1;
                day.approver += 1;
                self.flip(intent, Outcome::Approval, policies, Some((was.clone(), now.clone())));
            }
        }
        replayed
    }

    fn flip(
        &mut self,
        intent: &Intent,
        now: Outcome,
        policies: &[String],
        approvers: Option<(String, String)>,
    ) {
        let tool = match (intent.method.as_str(), intent.target.as_deref()) {
            ("tools/call", Some(tool)) => tool.to_owned(),
            (method, Some(target)) => format!("{method} {target}"),
            (method, None) => method.to_owned(),
        };
        let example = Example {
            decision: intent.decision.to_string(),
            at: intent.at,
            arguments: intent.arguments.clone(),
        };
        let was = was(intent);
        let known = self.report.flips.iter().position(|flip| {
            flip.user == intent.user.as_str()
                && flip.client == intent.client.as_str()
                && flip.server == intent.server.as_str()
                && (&flip.tool, flip.was, flip.now) == (&tool, was, now)
                && flip.policies == policies
                && flip.approvers == approvers
        });
        if let Some(flip) = known.and_then(|index| self.report.flips.get_mut(index)) {
            flip.count += 1;
            flip.example = example;
        } else if self.report.flips.len() < limits::REPLAY_ROWS {
            self.report.flips.push(Flip {
                user: intent.user.to_string(),
                client: intent.client.to_string(),
                server: intent.server.to_string(),
                tool,
                was,
                now,
                policies: policies.to_vec(),
                approvers,
                count: 1,
                example,
            });
        } else {
            self.report.uncounted += 1;
        }
    }

    fn decide(&mut self, recorded: &Recorded<'_>) -> Replayed {
        let intent = recorded.intent;
        if !by_policy(intent) {
            return Replayed::NotByPolicy;
        }
        let missing = |what: &str| Replayed::Unknown([what.to_owned()].into());
        // A target that looks like a secret is recorded by its digest.
        if intent.target.as_deref().is_some_and(|target| target.contains(REDACTED)) {
            return missing("target");
        }
        let (tool, method) = match intent.method.as_str() {
            "tools/call" => (intent.target.as_deref(), None),
            // Each of its resources was decided by itself, and none is recorded.
            "subscriptions/listen" => return missing("subscriptions"),
            method => (None, Some(method)),
        };
        let target = intent.target.as_deref().or(Some(""));
        let operation = match method {
            Some("sampling/createMessage") => Ok(Operation::Ask(Question::Sampling)),
            Some("roots/list") => Ok(Operation::Ask(Question::Roots)),
            Some("elicitation/create") => {
                let host = intent.target.as_deref();
                Ok(Operation::Ask(host.map_or(Question::Form, Question::Page)))
            }
            method => operation(tool, method, target),
        };
        let (Ok(operation), Ok(decision)) = (operation, id("dec")) else { return missing("target") };
        let mut known = self.known(recorded);
        if matches!(operation, Operation::Ask(_)) {
            known.attributes.extend(["mode", "host"]);
        }
        let Some(principal) = self.principal(intent) else { return missing("caller") };
        let circumstances = intent.circumstances.as_ref();
        let emergency = circumstances.and_then(|known| known.emergency.clone());
        let past = Past { emergency, ..NO_PAST.clone() };
        let request = Request {
            decision,
            server: &intent.server,
            operation,
            arguments: intent.arguments.as_deref().filter(|_| recorded.arguments_whole).map(str::as_bytes),
            sql: recorded.sql,
            besides: None,
            approval: None,
            context: Context {
                now: intent.at,
                source: circumstances.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |c| c.source),
                environment: circumstances.map_or("", |c| c.environment.as_str()),
                era: circumstances.map_or("modern", |c| c.era.as_str()),
                certificate: None,
                past: &past,
                pin: "pinned",
                credential_age: None,
            },
        };
        let Some(range) = self.partial.decide(&principal, &request, &known) else {
            // The server is gone: nothing permits it.
            return Replayed::Decided(Outcome::Refuse, Vec::new());
        };
        let settled = self.settle(recorded, &principal, &request, &known, range);
        self.or_unfit(settled, recorded, &principal, &request, &known)
    }

    /// The one decision, if there is one. A call that was approved is approved again; one that was turned down stays so.
    fn settle(
        &self,
        recorded: &Recorded<'_>,
        principal: &Principal,
        request: &Request<'_>,
        known: &Known,
        range: Range,
    ) -> Replayed {
        let intent = recorded.intent;
        let unknown = |range: Range| {
            let mut missing = range.depends;
            if missing.is_empty() {
                missing.insert("approver".to_owned());
            }
            Replayed::Unknown(missing)
        };
        let same_approver = range.best.approver() == range.worst.approver();
        if Outcome::of(&range.best) != Outcome::of(&range.worst) || !same_approver {
            return unknown(range);
        }
        let Decision::ApprovalNeeded(ApprovalNeeded { refused, binding, approver }) = &range.worst else {
            return Replayed::Decided(Outcome::of(&range.worst), policies_of(&range.worst));
        };
        if intent.verdict == Verdict::Refuse
            && !refused.policies.is_empty()
            && intent.policies == refused.policies
        {
            return Replayed::Decided(Outcome::Refuse, refused.policies.clone());
        }
        let waits = intent.verdict == Verdict::ApprovalNeeded;
        if !waits && (intent.verdict != Verdict::Permit || intent.approval.is_none()) {
            return Replayed::Decided(Outcome::Approval, refused.policies.clone());
        }
        // What was approved by one is not what another would have approved.
        match recorded.approver {
            None => return Replayed::Unknown(["approver".to_owned()].into()),
            Some(was) if was != approver && waits => {
                let (was, now, policies) = (was.to_owned(), approver.clone(), refused.policies.clone());
                return Replayed::OtherApprover { was, now, policies };
            }
            Some(was) if was != approver || waits => {
                return Replayed::Decided(Outcome::Approval, refused.policies.clone());
            }
            Some(_) => {}
        }
        // Who approved is in another record: it must not matter.
        let mut found: Option<(Outcome, Vec<String>)> = None;
        for by in ["approver", "somebody-else"] {
            let (Ok(by), Ok(id)) = (UserName::parse(by), id("apr")) else { return unknown(range) };
            let approved = Approved { id, by, binding: *binding };
            let request = Request { approval: Some(&approved), ..request.clone() };
            let Some(again) = self.partial.decide(principal, &request, known) else { return unknown(range) };
            let came = (Outcome::of(&again.worst), policies_of(&again.worst));
            if Outcome::of(&again.best) != came.0 || found.as_ref().is_some_and(|other| other.0 != came.0) {
                return unknown(range);
            }
            found = Some(came);
        }
        found.map_or_else(|| unknown(range), |(outcome, policies)| Replayed::Decided(outcome, policies))
    }

    fn known(&self, recorded: &Recorded<'_>) -> Known {
        let intent = recorded.intent;
        let mut attributes: BTreeSet<&'static str> =
            ["client", "now", "hour", "weekday", "method", "target", "approval"].into();
        if recorded.arguments_whole {
            attributes.insert("arguments");
        }
        if recorded.sql_known {
            attributes.insert("sql");
        }
        if let Some(circumstances) = &intent.circumstances {
            attributes.extend(["actor", "scopes", "sign_in", "source", "environment", "era", "client_proof"]);
            attributes.insert("emergency");
            if !circumstances.certificate {
                attributes.insert("client_certificate");
            }
        }
        let groups = intent.circumstances.is_some() || self.groups.contains_key(&intent.user);
        Known { attributes, groups, well_formed: false }
    }

    fn principal(&mut self, intent: &Intent) -> Option<Principal> {
        let key = format!("{} {} {} {:?}", intent.user, intent.client, intent.server, intent.circumstances);
        if let Some(known) = self.callers.get(&key) {
            return Some(known.clone());
        }
        let caller = self.caller(intent)?;
        let principal = self.engine.principal(&caller);
        if self.callers.len() >= limits::REPLAY_ROWS {
            self.callers.clear();
        }
        self.callers.insert(key, principal.clone());
        Some(principal)
    }

    fn caller(&self, intent: &Intent) -> Option<Caller> {
        let unknown = Circumstances {
            groups: self.groups.get(&intent.user).cloned().unwrap_or_default(),
            scopes: Vec::new(),
            actor: Actor::Assistant,
            sign_in: SignIn::new("pwd", intent.at),
            proof: "none".to_owned(),
            certificate: false,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            environment: String::new(),
            era: "modern".to_owned(),
            emergency: None,
        };
        let known = intent.circumstances.as_ref().unwrap_or(&unknown);
        Some(Caller {
            user: intent.user.clone(),
            groups: known.groups.clone(),
            client: intent.client.clone(),
            client_name: String::new(),
            grant: intent.grant.clone(),
            server: intent.server.clone(),
            scopes: known.scopes.clone(),
            actor: known.actor,
            sign_in: known.sign_in.clone(),
            holding: holding(&known.proof)?,
        })
    }
}

/// What stands in a record in the place of a secret; `portunus_ledger::redact::MARK`.
pub const REDACTED: &str = "hmac-sha256:";

/// Whether policies decided it: they did when they are named, and when nothing was permitted.
fn by_policy(intent: &Intent) -> bool {
    let reason = intent.reason.as_deref().unwrap_or_default();
    // A question of a server that is not known here; in old records for the same reason as those that are.
    if intent.method == "request" {
        return false;
    }
    if intent.policies.is_empty() {
        return [DEFAULT_REASON, ARGUMENTS_REASON].contains(&reason)
            || reason.starts_with("No policy allows the server")
            || unfit::refused_so(reason);
    }
    // It names the policies that ask for an approval, but its answers to questions are why it is refused.
    reason != "A call that needs approval cannot carry answers to questions."
}

fn was(intent: &Intent) -> Outcome {
    match intent.verdict {
        Verdict::Permit => Outcome::Permit,
        Verdict::Refuse => Outcome::Refuse,
        Verdict::ApprovalNeeded => Outcome::Approval,
    }
}

fn policies_of(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Permit(permit) => permit.policies().to_vec(),
        Decision::Refused(Refused { policies, .. })
        | Decision::ApprovalNeeded(ApprovalNeeded { refused: Refused { policies, .. }, .. }) => {
            policies.clone()
        }
    }
}

/// A holding that policies read by this word.
fn holding(word: &str) -> Option<Holding> {
    let nothing = Holding::default();
    Some(match word {
        "none" => nothing,
        "secret" => Holding { proof: ClientProof::Secret, ..nothing },
        "key" => Holding { proof: ClientProof::Key, ..nothing },
        "certificate" => Holding { proof: ClientProof::Certificate, ..nothing },
        "dpop" => Holding { bound: Some(Confirmation::Dpop(Digest([0; 32]))), ..nothing },
        _ => return None,
    })
}

fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
