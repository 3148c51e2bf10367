//! What a write would change, found out by trying it: the built-in SQL server runs the statement, counts, and rolls back.
//! A permit of its own (`estimate`) opens this, the call says of itself that it is a trial in a tool's name that no server
//! runs by mistake, and nothing of its answer reaches the client.

use crate::Edge;
use crate::asked::Asked;
use crate::decide::{self, Case};
use crate::refusal::Refusal;
use crate::{inspect, record, seal, send};
use http::Response;
use http_body_util::{BodyExt, Limited};
use portunus_core::dialer::Body;
use portunus_core::document::Estimate;
use portunus_core::id::{self, Id};
use portunus_core::limits;
use portunus_core::record::{End, Outcome, Record, Verdict};
use portunus_oauth::text;
use portunus_policy::sql::SqlFacts;
use portunus_policy::{Decision, Operation, Permit, Request};
use serde_json::Value;
use std::time::Instant;

/// The one tool that is tried.
const TOOL: &str = "write_query";
/// What it is called in a trial: a server that does not know of trials has no such tool, and changes nothing.
const TRIAL_TOOL: &str = "write_query.trial";
/// As recorded.
const METHOD: &str = "portunus/estimate";
/// Characters of a server's reason that approvers see.
const REASON_CHARS: usize = 200;

/// What this call would change; `None` for a call of which nothing can be said this way.
pub(crate) async fn estimate(edge: &Edge, case: &Case<'_>, sql: Option<&SqlFacts>) -> Option<Estimate> {
    let server = &case.published.server;
    let can_be_tried = case.published.built_in_sql && sql.is_some() && server.credential.is_none();
    if !can_be_tried || case.asked.tool() != Some(TOOL) {
        return None;
    }
    let unknown = |why: &str| Some(Estimate::Unknown(why.to_owned()));
    let Ok(_turn) = edge.approvals.trials.try_acquire() else {
        return unknown("too many trial runs are under way");
    };
    let Some(permit) = permit(edge, case) else { return unknown("no policy allows a trial run") };
    Some(match tried(edge, case, &permit).await {
        Ok(estimate) => estimate,
        // What exactly failed may be nobody's business but the operator's.
        Err(refusal) => {
            tracing::debug!(refusal = ?refusal, "a trial run failed");
            Estimate::Unknown(String::from("the trial run did not come about"))
        }
    })
}

/// Law 1 holds here too.
fn permit(edge: &Edge, case: &Case<'_>) -> Option<Permit> {
    let request = Request {
        decision: id::mint("dec", case.now, &*edge.rng),
        server: &case.published.server.name,
        operation: Operation::Estimate(TOOL),
        arguments: None,
        sql: None,
        besides: None,
        approval: None,
        context: decide::context(case),
    };
    match case.snapshot.engine.decide(&decide::principal(case), &request) {
        Decision::Permit(permit) => Some(permit),
        Decision::Refused(_) | Decision::ApprovalNeeded(_) => None,
    }
}

async fn tried(edge: &Edge, case: &Case<'_>, permit: &Permit) -> Result<Estimate, Refusal> {
    let asked = Asked::trial(case.asked, TRIAL_TOOL)?;
    let policies = permit.policies().to_vec();
    let mut intent = record::intent(edge, case, permit.decision().clone(), Verdict::Permit, policies);
    METHOD.clone_into(&mut intent.method);
    record::durable(record::append(edge, intent)).await?;
    let mut end = Ended::new(edge, permit.decision());
    let case = Case { asked: &asked, ..*case };
    let exchange = async {
        let answer = send::send(edge, &case, permit, None).await?;
        inspect::answer(case.asked.id(), bounded(answer)).await
    };
    match tokio::time::timeout(limits::TRIAL_TIMEOUT, exchange).await {
        Ok(Ok(answer)) => {
            end.how = End::Done;
            Ok(read(&answer))
        }
        Ok(Err(refusal)) => {
            end.how = seal::how_it_ended(&refusal);
            Err(refusal)
        }
        Err(_elapsed) => {
            end.how = End::TimedOut;
            Ok(Estimate::Unknown(format!(
                "the trial run took longer than {} s",
                limits::TRIAL_TIMEOUT.as_secs()
            )))
        }
    }
}

fn bounded(answer: Response<Body>) -> Response<Body> {
    answer.map(|body| Limited::new(body, limits::TRIAL_ANSWER_BYTES).boxed_unsync())
}

/// `structuredContent: {"trial": true, "rows_changed": N}`, or why not.
fn read(answer: &[u8]) -> Estimate {
    let unknown = |why: &str| Estimate::Unknown(why.to_owned());
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return unknown("the trial run's answer cannot be read");
    };
    let Some(result) = answer.get("result") else {
        return unknown("this server does not know of trial runs");
    };
    let said = |name: &str| result.get("structuredContent").and_then(|said| said.get(name));
    if said("trial") == Some(&Value::Bool(true))
        && let Some(rows) = said("rows_changed").and_then(Value::as_u64)
    {
        return Estimate::RowsChanged(rows);
    }
    let words = result.pointer("/content/0/text").and_then(Value::as_str);
    match words.and_then(|words| text::clean(words, REASON_CHARS)) {
        Some(words) => Estimate::Unknown(format!("the trial run was refused: {words}")),
        None => unknown("the trial run said nothing about rows"),
    }
}

/// Records how it ended, whatever happens.
struct Ended<'a> {
    edge: &'a Edge,
    decision: &'a Id,
    started: Instant,
    how: End,
}

impl<'a> Ended<'a> {
    fn new(edge: &'a Edge, decision: &'a Id) -> Self {
        Self { edge, decision, started: Instant::now(), how: End::Cancelled }
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (at, decision) = (self.edge.clock.now(), self.decision.clone());
        let outcome = Outcome { at, decision, end: self.how, status: None, bytes: 0, micros };
        self.edge.ledger.append_later(Record::Outcome(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trial_that_says_so_is_an_estimate() {
        let answered =
            |result: &str| read(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).as_bytes());
        assert_eq!(
            answered(r#"{"structuredContent":{"trial":true,"rows_changed":3}}"#),
            Estimate::RowsChanged(3)
        );
        for other in [
            r#"{"structuredContent":{"rows_changed":3}}"#,
            r#"{"structuredContent":{"trial":false,"rows_changed":3}}"#,
            r#"{"structuredContent":{"trial":true,"rows_changed":-3}}"#,
            r#"{"structuredContent":{"trial":true,"rows_changed":"3"}}"#,
            r#"{"structuredContent":{"trial":"true","rows_changed":3}}"#,
            r"{}",
            r"[]",
        ] {
            assert!(matches!(answered(other), Estimate::Unknown(_)), "{other}");
        }
        let refused = answered(
            "{\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"no such\\u202e table\"}]}",
        );
        assert_eq!(refused, Estimate::Unknown("the trial run was refused: no such table".to_owned()));
        let unknown = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}"#;
        assert!(matches!(read(unknown), Estimate::Unknown(_)));
        assert!(matches!(read(b""), Estimate::Unknown(_)));
    }
}
