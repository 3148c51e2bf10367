//! Whether what a call names is pinned. Of a server that was never listed, the list is asked for first, in the caller's name:
//! recorded like any other question, and permitted to whoever may list, or may make the call.

use crate::decide::Case;
use crate::pin::PinState;
use crate::refusal::Refusal;
use crate::{Edge, mirror};
use portunus_mcp::json;
use portunus_pins::Kind;
use portunus_policy::Operation;
use std::sync::Arc;

/// Sees to it that the state of what is called is known.
///
/// # Errors
/// Whatever the edge's own question for the list may be refused with.
pub async fn settle(edge: &Arc<Edge>, case: &Case<'_>) -> Result<(), Refusal> {
    if !case.published.pinned {
        return Ok(());
    }
    if let Operation::List(method) = case.asked.operation() {
        return settle_list(edge, case, method).await;
    }
    let server = &case.published.server.name;
    let unseen = case.asked.uses().find(|used| edge.pins.state_of(server, used) == PinState::Unseen);
    let Some(unseen) = unseen else { return Ok(()) };
    let method = match unseen {
        Operation::CallTool(_) => "tools/list",
        Operation::GetPrompt(_) => "prompts/list",
        _ => "resources/list",
    };
    // Boxed: the question goes the same way as the call.
    Box::pin(mirror::ask(edge, case, method, Some(unseen))).await
}

/// A page that is not the first says nothing about the whole: at first sight the list is asked for from its beginning.
async fn settle_list(edge: &Arc<Edge>, case: &Case<'_>, method: &str) -> Result<(), Refusal> {
    let kind = case.asked.call().and_then(|call| call.method.list()).and_then(Kind::of_list);
    let known = kind.is_none_or(|kind| edge.pins.lock().knows(&case.published.server.name, kind));
    let cursor = json::skim(&case.asked.body).and_then(|root| root.get("params")?.get("cursor"));
    let Some(method) = LISTS.into_iter().find(|list| *list == method) else { return Ok(()) };
    if known || cursor.is_none() {
        return Ok(());
    }
    Box::pin(mirror::ask(edge, case, method, None)).await
}

const LISTS: [&str; 3] = ["tools/list", "prompts/list", "resources/list"];

/// The word for policies: where what is called stands.
#[must_use]
pub fn word(edge: &Edge, case: &Case<'_>) -> &'static str {
    edge.pins.state_of(&case.published.server.name, &case.asked.operation()).word()
}
