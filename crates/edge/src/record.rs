//! Intent records: durable before a call that may change something is sent, and before the answer of any other is
//! released (law 1).

use crate::Edge;
use crate::decide::Case;
use crate::refusal::Refusal;
use portunus_core::id::Id;
use portunus_core::limits;
use portunus_core::record::{Intent, LedgerError, Receipt, Record, Verdict};

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
        trace: Some(case.trace.trace_hex()),
    }
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
