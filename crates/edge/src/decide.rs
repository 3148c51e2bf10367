//! Policy → permit, with an approval used where one is needed; a refusal is recorded before the client hears of it.

use crate::approval::{self, Standing};
use crate::asked::{self, Asked};
use crate::caller::Known;
use crate::refusal::Refusal;
use crate::step_up::Needs;
use crate::wait::Await;
use crate::{Edge, Published, Snapshot, facts, record};
use portunus_core::document::Approval;
use portunus_core::id::{self, Id};
use portunus_core::peer::ClientCertificate;
use portunus_core::record::Verdict;
use portunus_core::time::Timestamp;
use portunus_core::trace::TraceContext;
use portunus_policy::{ApprovalNeeded, Context, Decision, Operation, Permit, Principal, Refused, Request};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// One request with everything that a decision about it looks at.
pub struct Case<'a> {
    /// The view of configuration and policies it is decided under.
    pub snapshot: &'a Snapshot,
    /// The server.
    pub published: &'a Published,
    /// Who is asking.
    pub known: &'a Known,
    /// The certificate of the client's connection.
    pub certificate: Option<&'a Arc<ClientCertificate>>,
    /// What.
    pub asked: &'a Asked,
    /// From where.
    pub source: IpAddr,
    /// Since when the edge has it.
    pub started: Instant,
    /// When it is decided.
    pub now: Timestamp,
    /// In which trace.
    pub trace: &'a TraceContext,
}

impl Case<'_> {
    /// What metrics call it: the tool, or the method. Other targets are clients' own texts.
    #[must_use]
    pub fn label(&self) -> &str {
        self.asked.tool().unwrap_or_else(|| self.asked.method())
    }
}

/// Decides.
///
/// # Errors
/// Whenever there is no permit.
pub async fn decide(edge: &Edge, case: &Case<'_>) -> Result<Permit, Refusal> {
    let engine = &case.snapshot.engine;
    let principal = case.known.principal(engine);
    let sql = case.asked.call().and_then(|call| facts::facts(call, case.published.dialect));
    let mut request = Request {
        decision: id::mint("dec", case.now, &*edge.rng),
        server: &case.published.server.name,
        operation: case.asked.operation(),
        arguments: case.asked.arguments().map(|raw| &raw[..]),
        sql: sql.as_ref(),
        approval: None,
        context: context(case),
    };
    for uri in case.asked.subscriptions() {
        let each = Request { operation: Operation::Subscribe(uri), ..request.clone() };
        match engine.decide(&principal, &each) {
            Decision::Permit(_) => {}
            Decision::Refused(refused) | Decision::ApprovalNeeded(ApprovalNeeded { refused, .. }) => {
                return Err(refuse(edge, case, refused).await);
            }
        }
    }
    if !case.published.server.actors.contains(&case.known.caller.actor) {
        let reasons = vec![format!("Clients of kind {} may not use this server.", case.known.caller.actor)];
        let refused = Refused { decision: request.decision, reasons, policies: Vec::new(), step_up: None };
        return Err(refuse(edge, case, refused).await);
    }
    let needed = match engine.decide(&principal, &request) {
        Decision::Permit(permit) => return Ok(permit),
        Decision::Refused(refused) => return Err(refuse(edge, case, refused).await),
        Decision::ApprovalNeeded(needed) => needed,
    };
    if case.asked.call().is_some_and(|call| call.input_responses.is_some() || call.request_state.is_some()) {
        // An approval is bound to the arguments; what else steers the tool would slip in unseen.
        let reasons = vec![String::from("A call that needs approval cannot carry answers to questions.")];
        return Err(refuse(edge, case, Refused { reasons, ..needed.refused }).await);
    }
    match approval::find_or_ask(edge, case, sql.as_ref(), &needed).await? {
        Standing::Approved(approved) => {
            request.approval = Some(&approved);
            match engine.decide(&principal, &request) {
                Decision::Permit(permit) => Ok(permit),
                Decision::Refused(refused) => Err(refuse(edge, case, refused).await),
                Decision::ApprovalNeeded(_) => {
                    Err(Refusal::Internal("an approval did not satisfy its own policy"))
                }
            }
        }
        Standing::Refused(reason) => {
            let refused = Refused { reasons: vec![reason], ..needed.refused };
            Err(refuse(edge, case, refused).await)
        }
        Standing::Waiting(approval) => Err(wait(edge, case, needed.refused, &approval).await),
    }
}

/// The circumstances of a request.
#[must_use]
pub fn context<'a>(case: &Case<'a>) -> Context<'a> {
    Context {
        now: case.now,
        source: case.source,
        environment: &case.published.server.environment,
        era: asked::era_word(case.asked.era()),
        certificate: case.certificate.map(|certificate| &**certificate),
    }
}

/// The caller's principal under the case's policies.
#[must_use]
pub fn principal(case: &Case<'_>) -> Arc<Principal> {
    case.known.principal(&case.snapshot.engine)
}

async fn refuse(edge: &Edge, case: &Case<'_>, refused: Refused) -> Refusal {
    let Refused { decision, reasons, policies, step_up } = refused;
    let verdict = (Verdict::Refuse, policies, None);
    match note(edge, case, &decision, &reasons, verdict).await {
        Ok(()) => match step_up {
            Some(step_up) => Refusal::StepUp(Box::new(Needs::new(case, decision, reasons, step_up))),
            None => Refusal::Policy { id: case.asked.id(), decision, reasons },
        },
        Err(refusal) => refusal,
    }
}

async fn wait(edge: &Edge, case: &Case<'_>, refused: Refused, approval: &Approval) -> Refusal {
    let Refused { decision, reasons, policies, step_up: _ } = refused;
    let verdict = (Verdict::ApprovalNeeded, policies, Some(approval.id.clone()));
    match note(edge, case, &decision, &reasons, verdict).await {
        Ok(()) => Refusal::ApprovalNeeded(Box::new(Await::new(edge, case, decision, approval))),
        Err(refusal) => refusal,
    }
}

async fn note(
    edge: &Edge,
    case: &Case<'_>,
    decision: &Id,
    reasons: &[String],
    (verdict, policies, approval): (Verdict, Vec<String>, Option<Id>),
) -> Result<(), Refusal> {
    edge.metrics.decided(case.published.server.name.as_str(), case.label(), verdict);
    let mut intent = record::intent(edge, case, decision.clone(), verdict, policies);
    intent.reason = Some(reasons.join(" "));
    intent.approval = approval;
    record::durable(record::append(edge, intent)).await
}
