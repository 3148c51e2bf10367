//! A caller who must connect a server first: told in the protocol's own way where it has one for this client, else by an
//! error with the address of the page. Nothing was sent; the call can be made again, and one that comes back by itself
//! waits a bounded time for its user.

use crate::Edge;
use crate::decide::Case;
use crate::handle::CONNECTION;
use crate::key;
use crate::refusal::Refusal;
use crate::respond::code;
use bytes::Bytes;
use portunus_connections::{Bound, ConnectionError, Need};
use portunus_core::id::Id;
use portunus_core::{id, limits};
use portunus_mcp::message::{Era, Method, Version};
use portunus_mcp::{answer, bridge};
use serde_json::json;

/// A call whose user must connect the server first.
#[derive(Debug)]
pub struct Connect {
    /// The call's id.
    pub id: Bytes,
    /// What is needed.
    pub need: Need,
    url: String,
    /// Of this question, for clients that count them.
    question: Id,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// An error that says: connect, then make the call again.
    AskAgain,
    /// The error of 2025-11-25 that sends the user to a page.
    UrlRequired,
    /// A result of 2026-07-28 that sends the user to a page and is continued with this `requestState`.
    Continued(String),
}

/// The caller's connection to this server. A call that comes back from the page waits for its user there.
///
/// # Errors
/// When the caller must connect first, or it cannot be used now.
pub(crate) async fn bound(edge: &Edge, case: &Case<'_>) -> Result<Option<Bound>, Refusal> {
    let (server, user) = (&case.published.server.name, &case.known.caller.user);
    let end = tokio::time::Instant::now() + edge.approvals.patience();
    let mut place = None;
    loop {
        let error = match edge.connections.bound(server, user).await {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        let waiting = case.asked.waiting;
        let waits = waiting.resumed && !waiting.declined && matches!(error, ConnectionError::Needed(_));
        if place.is_none() && waits {
            place = edge.approvals.place();
        }
        let over = tokio::time::Instant::now() + limits::CONNECT_LOOK >= end;
        if !waits || place.is_none() || over || case.known.is_revoked() {
            return Err(key::refusal(edge, case, error));
        }
        tokio::time::sleep(limits::CONNECT_LOOK).await;
    }
}

impl Connect {
    pub(crate) fn new(edge: &Edge, case: &Case<'_>, need: Need) -> Self {
        let (call, waiting) = (case.asked.call(), case.asked.waiting);
        let way = match call {
            Some(call) if waiting.by_url && !waiting.declined => match call.era() {
                // 2026-07-28, Multi Round-Trip Requests: only these may be answered with a question.
                Era::Modern if !may_be_interrupted(&call.method) => Way::AskAgain,
                Era::Modern => {
                    let own = edge.handles.of(&case.known.caller);
                    let expires = edge.clock.now().plus(limits::CONSENT_TTL);
                    Way::Continued(own.approval_state(call, expires))
                }
                Era::Legacy if call.version == Version::V20251125 => Way::UrlRequired,
                Era::Legacy => Way::AskAgain,
            },
            _ => Way::AskAgain,
        };
        let url = edge.connections.page(&need.server);
        let question = id::mint("con", edge.clock.now(), &*edge.rng);
        Self { id: case.asked.id(), need, url, question, way }
    }

    /// For whoever sits at the client.
    fn message(&self) -> String {
        let Need { title, user, why, scopes, .. } = &self.need;
        let mut text = match user {
            Some(_) => format!("Connect your {title}: {why}"),
            None => format!("An administrator must connect {title} for everybody: {why}"),
        };
        if !scopes.is_empty() {
            text.push_str(&format!(" ({})", scopes.join(" ")));
        }
        text.push('.');
        text
    }
}

const fn may_be_interrupted(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

/// The answer to the client.
pub(crate) fn tell(connect: &Connect) -> Bytes {
    let (url, server) = (&connect.url, &connect.need.server);
    match &connect.way {
        Way::Continued(state) => {
            let params = json!({ "mode": "url", "message": connect.message(), "url": url });
            let requests = json!({ CONNECTION: { "method": "elicitation/create", "params": params } });
            let result =
                json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state });
            bridge::result(&connect.id, &result.to_string())
        }
        Way::UrlRequired => {
            let elicitation = json!({
                "mode": "url", "elicitationId": connect.question, "url": url, "message": connect.message(),
            });
            let data = json!({ "elicitations": [elicitation], "server": server });
            answer::error(Some(&connect.id), code::URL_ELICITATION_REQUIRED, &connect.message(), Some(&data))
        }
        Way::AskAgain => {
            let text =
                format!("{} Do so at {url}, then make the call again. Nothing was sent", connect.message());
            let data = json!({ "url": url, "server": server, "scopes": connect.need.scopes });
            answer::error(Some(&connect.id), code::CONNECT_NEEDED, &text, Some(&data))
        }
    }
}
