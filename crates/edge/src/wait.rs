//! How a client waits for an approval: in the protocol's own way where it has one for this client, else by being told to
//! make the call again, with a link.

use crate::Edge;
use crate::decide::Case;
use crate::handle::APPROVAL;
use crate::respond::{Place, code};
use bytes::Bytes;
use portunus_core::document::Approval;
use portunus_core::id::Id;
use portunus_mcp::message::{Era, Version};
use portunus_mcp::{answer, bridge};
use portunus_oauth::text;
use serde_json::{Value, json};

/// Characters of a tool's name in a sentence.
const NAME_CHARS: usize = 80;

/// A call that waits.
#[derive(Debug)]
pub struct Await {
    /// The call's id.
    pub id: Bytes,
    /// The decision.
    pub decision: Id,
    /// What it waits for.
    pub approval: Approval,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// An error that says: ask, then make the call again.
    AskAgain,
    /// The error of 2025-11-25 that sends the user to a page.
    UrlRequired,
    /// A result of 2026-07-28 that sends the user to a page and is continued with this `requestState`.
    Continued(String),
}

impl Await {
    pub(crate) fn new(edge: &Edge, case: &Case<'_>, decision: Id, approval: &Approval) -> Self {
        let (call, waiting) = (case.asked.call(), case.asked.waiting);
        let way = match call {
            Some(call) if waiting.by_url && !waiting.declined => match call.era() {
                Era::Modern => {
                    let own = edge.handles.of(&case.known.caller);
                    Way::Continued(own.approval_state(call, approval.expires_at))
                }
                Era::Legacy if call.version == Version::V20251125 => Way::UrlRequired,
                Era::Legacy => Way::AskAgain,
            },
            _ => Way::AskAgain,
        };
        Self { id: case.asked.id(), decision, approval: approval.clone(), way }
    }

    /// For whoever sits at the client.
    fn message(&self) -> String {
        let Approval { tool, server, approver, reason, .. } = &self.approval;
        let tool = text::clean(tool, NAME_CHARS).unwrap_or_default();
        format!(
            "{reason} The call of {tool} on {server} waits for approval by {approver}: see it here, or send this address to them."
        )
    }
}

/// The answer to the client.
pub(crate) fn tell(needed: &Await, place: &Place<'_>) -> Bytes {
    let Approval { id, approver, reason, expires_at, .. } = &needed.approval;
    let url = format!("{}/approvals/{id}", place.public_url);
    let decision = &needed.decision;
    match &needed.way {
        Way::Continued(state) => {
            let params = json!({ "mode": "url", "message": needed.message(), "url": url });
            let requests = json!({ APPROVAL: { "method": "elicitation/create", "params": params } });
            let result =
                json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state });
            bridge::result(&needed.id, &result.to_string())
        }
        Way::UrlRequired => {
            let elicitation =
                json!({ "mode": "url", "elicitationId": id, "url": url, "message": needed.message() });
            let data: Value = json!({ "elicitations": [elicitation], "decision": decision, "approval": id });
            let text = format!("Needs a human's approval: {reason} (decision {decision})");
            answer::error(Some(&needed.id), code::URL_ELICITATION_REQUIRED, &text, Some(&data))
        }
        Way::AskAgain => {
            let text = format!(
                "Needs a human's approval: {reason} Ask for approval {id} at {url} (by {approver}, until {expires_at}), \
                 then repeat the call with exactly the same arguments (decision {decision})"
            );
            let data = json!({
                "decision": decision, "approval": id, "url": url, "approver": approver,
                "expires_at": expires_at.to_string(), "reasons": [reason],
            });
            answer::error(Some(&needed.id), code::APPROVAL_NEEDED, &text, Some(&data))
        }
    }
}
