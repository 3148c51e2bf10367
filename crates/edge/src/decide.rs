//! Policy → permit, with an approval used where one is needed; a refusal is recorded before the client hears of it.

use crate::approval::{self, Standing};
use crate::asked::{self, Asked};
use crate::caller::Known;
use crate::counters::{Count, Whose};
use crate::refusal::Refusal;
use crate::step_up::Needs;
use crate::wait::Await;
use crate::{Edge, Published, Snapshot, facts, observed, record, shadow};
use portunus_core::document::Approval;
use portunus_core::id::{self, Id};
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::record::Verdict;
use portunus_core::time::Timestamp;
use portunus_core::trace::TraceContext;
use portunus_policy::sql::SqlFacts;
use portunus_policy::{
    ApprovalNeeded, Caps, Context, Decision, Operation, Past, Permit, Principal, Refused, Request,
};
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
    /// What is known of the SQL that it carries.
    pub sql: Option<&'a SqlFacts>,
    /// Seconds since the credential version that it will carry was made.
    pub credential_age: Option<u64>,
    /// Where what is called is pinned.
    pub pin: &'static str,
    /// How much of the answer may be shown.
    pub caps: Caps,
    /// For a list that the edge asks for itself: what cannot be decided without.
    pub wanted: Option<Operation<'a>>,
    /// Under whose names it is counted.
    pub whose: &'a Whose,
    /// What was done before.
    pub past: &'a Arc<Past>,
}

impl Case<'_> {
    /// What metrics call it: the tool, or the method. Other targets are clients' own texts.
    #[must_use]
    pub fn label(&self) -> &str {
        self.asked.tool().unwrap_or_else(|| self.asked.method())
    }
}

/// What came of looking at a request.
pub enum Decided {
    /// It may go on.
    Permit(Permit),
    /// It waited for a person who has spoken: it is to be looked at again, as of now.
    Anew,
}

/// Decides.
///
/// # Errors
/// Whenever there is no permit.
pub async fn decide(edge: &Edge, case: &Case<'_>) -> Result<Decided, Refusal> {
    let engine = &case.snapshot.engine;
    let principal = case.known.principal(engine);
    let request = Request {
        decision: id::mint("dec", case.now, &*edge.rng),
        server: &case.published.server.name,
        operation: case.asked.operation(),
        arguments: case.asked.arguments().map(|raw| &raw[..]),
        sql: case.sql,
        besides: case.asked.besides(),
        approval: None,
        context: context(case),
    };
    let why = unpinned(edge, case).inspect(|_| observed::tool(edge, case));
    if let Some(why) = why.or_else(|| unfit(case, &request)).or_else(|| observed::secret_carried(edge, case))
    {
        let refused =
            Refused { decision: request.decision, reasons: vec![why], policies: Vec::new(), step_up: None };
        return Err(refuse(edge, case, refused).await);
    }
    for uri in case.asked.subscriptions() {
        let operation = Operation::Subscribe(uri);
        let pin = edge.pins.state_of(request.server, &operation).word();
        let each = Request { operation, context: Context { pin, ..request.context }, ..request.clone() };
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
    let made = once(edge, case, &principal, &request);
    shadow::note(edge, case, &principal, &request, &made);
    let needed = match made {
        Decision::Permit(permit) => return admitted(edge, case, permit).await.map(Decided::Permit),
        Decision::Refused(refused) => {
            let look_up = case.wanted.and_then(|wanted| engine.look_up(&principal, &request, wanted));
            return match look_up {
                Some(permit) => Ok(Decided::Permit(permit)),
                None => Err(refuse(edge, case, refused).await),
            };
        }
        Decision::ApprovalNeeded(needed) => needed,
    };
    if case.asked.call().is_some_and(|call| call.input_responses.is_some() || call.request_state.is_some()) {
        // An approval is bound to the arguments; what else steers the tool would slip in unseen.
        let reasons = vec![String::from("A call that needs approval cannot carry answers to questions.")];
        return Err(refuse(edge, case, Refused { reasons, ..needed.refused }).await);
    }
    approved(edge, case, &principal, &request, needed).await
}

/// A call that goes on only with a person's yes, which is used up last: what is refused otherwise does not cost it.
async fn approved(
    edge: &Edge,
    case: &Case<'_>,
    principal: &Principal,
    request: &Request<'_>,
    needed: ApprovalNeeded,
) -> Result<Decided, Refusal> {
    for _ in 0..limits::APPROVAL_TRIES {
        let allowed = match approval::find_or_ask(edge, case, case.sql, &needed).await? {
            Standing::Allowed(allowed) => allowed,
            Standing::Waiting(approval) => return Err(wait(edge, case, needed.refused, &approval).await),
            Standing::Settled => return Ok(Decided::Anew),
            Standing::Refused(reason) => {
                let refused = Refused { reasons: vec![reason], ..needed.refused };
                return Err(refuse(edge, case, refused).await);
            }
        };
        let request = Request { approval: Some(&allowed.approved), ..request.clone() };
        if !approval::holds(edge, case, &needed, &allowed) {
            // Another definition of the tool was accepted meanwhile.
            continue;
        }
        let permit = match once(edge, case, principal, &request) {
            Decision::Permit(permit) => permit,
            Decision::Refused(refused) => return Err(refuse(edge, case, refused).await),
            Decision::ApprovalNeeded(_) => {
                return Err(Refusal::Internal("an approval did not satisfy its own policy"));
            }
        };
        let used = approval::use_up(edge, &allowed).await;
        if matches!(used, Ok(true)) {
            return admitted(edge, case, permit).await.map(Decided::Permit);
        }
        edge.counters.take_back(case.whose, case.now, calls(&request));
        used?;
        // Another call was quicker.
    }
    Err(Refusal::Busy { id: case.asked.id() })
}

/// What is known of the SQL that a call carries.
#[must_use]
pub fn facts(case: &Case<'_>) -> Option<SqlFacts> {
    let declared = case.asked.tool().and_then(|tool| case.published.sql.get(tool));
    facts::facts(case.asked.call()?, declared)
}

/// Why something that is not pinned is refused.
fn unpinned(edge: &Edge, case: &Case<'_>) -> Option<String> {
    let name = &case.published.server.name;
    case.asked.uses().find_map(|used| edge.pins.refusal(name, &used)).filter(|_| case.published.pinned)
}

/// What is wrong with a call whatever policies say of it: its arguments do not fit the tool's schema, or its SQL would use
/// what is hidden from the caller at a server that does not hide it itself.
fn unfit(case: &Case<'_>, request: &Request<'_>) -> Option<String> {
    let tool = case.asked.tool()?;
    let engine = &case.snapshot.engine;
    if let Err(why) = engine.check_arguments(request.server, tool, request.arguments) {
        return Some(why);
    }
    if case.caps.is_nothing() {
        return Some(String::from("No policy allows anything of this tool's results to be shown."));
    }
    let facts = request.sql.filter(|_| !case.published.built_in_sql)?;
    case.known.disclosure(engine, &request.context).objection(facts)
}

/// One decision, counted. Where a policy looks at counts, nobody else's call is counted between them and the decision.
fn once(edge: &Edge, case: &Case<'_>, principal: &Principal, request: &Request<'_>) -> Decision {
    let (engine, now) = (&case.snapshot.engine, request.context.now);
    let counted = |decision: &Decision| match decision {
        Decision::Permit(_) => calls(request),
        Decision::Refused(_) | Decision::ApprovalNeeded(_) => Count::default(),
    };
    if !engine.looks_at_counters(request.server, request.operation) {
        let decision = engine.decide(principal, request);
        edge.counters.count(case.whose, now, counted(&decision));
        return decision;
    }
    edge.counters.decide(case.whose, now, |mut past| {
        past.labels.clone_from(&request.context.past.labels);
        past.emergency.clone_from(&request.context.past.emergency);
        let context = Context { past: &past, ..request.context };
        let decision = engine.decide(principal, &Request { context, ..request.clone() });
        let count = counted(&decision);
        (decision, count)
    })
}

/// What a request counts for once it is permitted.
fn calls(request: &Request<'_>) -> Count {
    Count { calls: u64::from(is_use(request.operation)), ..Count::default() }
}

/// What reads or does something, as against listings and housekeeping.
const fn is_use(operation: Operation<'_>) -> bool {
    matches!(operation, Operation::CallTool(_) | Operation::ReadResource(_) | Operation::GetPrompt(_))
}

/// Puts the labels of what was permitted on the caller's session, before it is sent.
async fn admitted(edge: &Edge, case: &Case<'_>, permit: Permit) -> Result<Permit, Refusal> {
    if is_use(case.asked.operation()) {
        let labels = &case.published.labels;
        let of_tool = case.asked.tool().and_then(|tool| labels.of_tool.get(tool));
        let mut put = labels.all.clone();
        for (label, life) in of_tool.into_iter().flatten() {
            let longest = put.entry(label.clone()).or_insert(*life);
            *longest = (*longest).max(*life);
        }
        if !put.is_empty() {
            edge.labels.put(&case.known.caller, &put, case.now).await?;
        }
    }
    Ok(permit)
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
        past: case.past,
        pin: case.pin,
        credential_age: case.credential_age,
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
    if verdict == Verdict::Refuse {
        edge.counters.count(case.whose, case.now, Count { refusals: 1, ..Count::default() });
    }
    let mut intent = record::intent(edge, case, decision.clone(), verdict, policies);
    intent.reason = Some(reasons.join(" "));
    intent.approval = approval;
    record::durable(record::append(edge, intent)).await
}
