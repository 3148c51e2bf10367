//! What was done before a request: the counts under the names that it is counted by, and the labels on its session.

use crate::asked::Asked;
use crate::caller::Known;
use crate::counters::Whose;
use crate::refusal::Refusal;
use crate::{Edge, Snapshot};
use portunus_core::time::Timestamp;
use portunus_policy::Past;
use std::sync::Arc;

/// Under whose names a request is counted, and what was counted and labelled before it.
///
/// # Errors
/// When the store fails: without its labels nothing is decided.
pub async fn before(
    edge: &Edge,
    snapshot: &Snapshot,
    known: &Known,
    asked: &Asked,
    now: Timestamp,
) -> Result<(Whose, Arc<Past>), Refusal> {
    let caller = &known.caller;
    // Only of tools that exist: names are a client's own texts.
    let tool = asked.tool().filter(|tool| snapshot.engine.knows_tool(&caller.server, tool));
    let whose = Whose::new(&caller.user, &caller.client, tool.map(|tool| (&caller.server, tool)));
    let past = of(edge, known, &whose, now).await?;
    Ok((whose, past))
}

/// What was counted under these names and labelled until now.
///
/// # Errors
/// As [`before`].
pub async fn of(edge: &Edge, known: &Known, whose: &Whose, now: Timestamp) -> Result<Arc<Past>, Refusal> {
    let caller = &known.caller;
    let labels = edge.labels.of(caller, now).await?;
    let emergency = edge.emergencies.of(&*edge.store, (&caller.user, &caller.server), now).await?;
    Ok(Arc::new(Past { labels, emergency, ..edge.counters.past(whose, now) }))
}
