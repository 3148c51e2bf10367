//! Intent records: durable before a call that may change something is sent, and before the answer of any other is
//! released (law 1).

use crate::Edge;
use crate::decide::{self, Case};
use crate::refusal::Refusal;
use portunus_core::caller::Caller;
use portunus_core::id::{GroupName, Id};
use portunus_core::limits;
use portunus_core::record::{Circumstances, Intent, LedgerError, Receipt, Record, Verdict};
use portunus_policy::Context;

/// The intent record of a decision about this case.
#[must_use]
pub fn intent(edge: &Edge, case: &Case<'_>, decision: Id, verdict: Verdict, policies: Vec<String>) -> Intent {
    let redacted = case.asked.arguments().map(|raw| edge.redactor.arguments(raw));
    let caller = &case.known.caller;
    Intent {
        at: case.now,
        decision,
        verdict,
        server: case.published.server.name.clone(),
        method: case.asked.method().to_owned(),
        target: case.asked.target().map(|target| edge.redactor.text(target).into_owned()),
        user: caller.user.clone(),
        client: caller.client.clone(),
        grant: caller.grant.clone(),
        arguments_digest: redacted.as_ref().map(|r| r.digest),
        arguments: redacted.and_then(|r| r.text),
        policies,
        reason: None,
        approval: None,
        credential: None,
        connection: None,
        trace: Some(case.trace.trace_hex()),
        circumstances: circumstances(caller, &decide::context(case)),
    }
}

/// What else a decision looked at, so that it can be made again under other policies; `None` when it is too long.
#[must_use]
pub fn circumstances(caller: &Caller, context: &Context<'_>) -> Option<Circumstances> {
    let sign_in = &caller.sign_in;
    let texts = caller.groups.iter().map(GroupName::as_str).chain(caller.scopes.iter().map(String::as_str));
    let texts =
        texts.chain(sign_in.amr.iter().chain(&sign_in.acr).chain(&sign_in.issuer).map(String::as_str));
    // Three bytes around each text in JSON.
    if texts.map(|text| text.len() + 3).sum::<usize>() > limits::RECORDED_CIRCUMSTANCE_BYTES {
        return None;
    }
    Some(Circumstances {
        groups: caller.groups.clone(),
        scopes: caller.scopes.clone(),
        actor: caller.actor,
        sign_in: sign_in.clone(),
        proof: caller.holding.word().to_owned(),
        certificate: context.certificate.is_some_and(|shown| shown.verified_by.is_some()),
        source: context.source,
        environment: context.environment.to_owned(),
        era: context.era.to_owned(),
        emergency: context.past.emergency.clone(),
    })
}

/// Appends it; the receipt resolves when it is durable.
#[must_use]
pub fn append(edge: &Edge, intent: Intent) -> Receipt {
    edge.ledger.append(Record::Intent(Box::new(intent)))
}

/// Waits until a record is durable.
///
/// # Errors
/// When it is not durable in time: the call is then refused.
pub async fn durable(receipt: Receipt) -> Result<(), Refusal> {
    match tokio::time::timeout(limits::LEDGER_TIMEOUT, receipt).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(LedgerError::Io(String::from("it did not become durable in time")).into()),
    }
}
