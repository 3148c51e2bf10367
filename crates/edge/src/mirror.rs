//! `Mcp-Param-*` headers say what the arguments say (law 2), by the annotations in the tool's own schema. The edge reads
//! those in every `tools/list` answer that passes through; for a tool it has not seen, it asks the server itself, in the
//! caller's name: recorded like any other question, and permitted to whoever may list, or may make the call.

use crate::Edge;
use crate::asked::Asked;
use crate::decide::Case;
use crate::refusal::Refusal;
use crate::{inspect, request};
use bytes::Bytes;
use http::HeaderMap;
use portunus_core::limits;
use portunus_mcp::header::MCP_PARAM_PREFIX;
use portunus_mcp::list;
use portunus_mcp::message::{Era, Reject};
use portunus_mcp::param::ParamHeaders;
use portunus_policy::Operation;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which arguments of one server's tools are mirrored, as its latest lists say.
#[derive(Default)]
pub struct Mirrors(Mutex<HashMap<String, Mirrored>>);

/// A tool's mirrors, or `None` when its annotations break the protocol's rules: clients must drop such a tool.
type Mirrored = Option<Arc<ParamHeaders>>;

impl Mirrors {
    /// Reads the tools of an answer to `tools/list`; one that cannot be read teaches nothing.
    pub fn learn(&self, answer: &Bytes) {
        let Ok(tools) = list::tools(answer) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len().saturating_add(tools.len()) > limits::MIRRORED_TOOLS {
            known.clear();
        }
        for tool in tools.into_iter().take(limits::MIRRORED_TOOLS) {
            let mirrors =
                tool.input_schema.map_or_else(|| Ok(ParamHeaders::default()), |s| ParamHeaders::read(&s));
            known.insert(tool.name, mirrors.ok().map(Arc::new));
        }
    }

    /// What is known of a tool, if it was ever listed.
    fn of(&self, tool: &str) -> Option<Mirrored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tool).cloned()
    }

    /// Takes out the headers that mirror nothing: nobody upstream shall act on what was not compared.
    pub fn strip(&self, headers: &mut HeaderMap, tool: Option<&str>) {
        let mirrors = tool.and_then(|tool| self.of(tool)).flatten();
        let idle: Vec<_> = headers
            .keys()
            .filter(|name| name.as_str().starts_with(MCP_PARAM_PREFIX))
            .filter(|name| mirrors.as_ref().is_none_or(|mirrors| !mirrors.has(name)))
            .cloned()
            .collect();
        for name in idle {
            headers.remove(name);
        }
    }
}

/// Compares the `Mcp-Param-*` headers of a call with its arguments.
///
/// # Errors
/// 400 with −32020 when they differ, or when there is no schema to compare them by; whatever the edge's own question for
/// the schema may be refused with.
pub async fn check(edge: &Arc<Edge>, case: &Case<'_>) -> Result<(), Refusal> {
    let asked = case.asked;
    let sent = asked.headers.keys().any(|name| name.as_str().starts_with(MCP_PARAM_PREFIX));
    let reject = |reject: Reject| Err(Refusal::Message(Box::new(reject.with_id(asked.id()))));
    let Some(tool) = asked.tool().filter(|_| asked.era() == Era::Modern) else {
        return match sent {
            true => reject(Reject::header_mismatch("Mcp-Param headers belong to a modern tools/call")),
            false => Ok(()),
        };
    };
    let mirrors = &case.published.mirrors;
    if sent && mirrors.of(tool).is_none() {
        ask(edge, case, "tools/list", Some(asked.operation())).await?;
    }
    match mirrors.of(tool) {
        Some(Some(mirrors)) => {
            let arguments = asked.arguments().map(|raw| &raw[..]);
            mirrors.check(&asked.headers, arguments).or_else(reject)
        }
        _ if sent => reject(Reject::header_mismatch(
            "Mcp-Param headers of a tool without a valid schema to compare them by: call tools/list again",
        )),
        _ => Ok(()),
    }
}

/// Asks the server for a list, page by page, so that what passes through is learnt from. Nothing of it reaches the caller,
/// who need not be allowed to list if what is `wanted` cannot be decided without.
///
/// # Errors
/// Whatever the edge's own question may be refused with.
pub async fn ask(
    edge: &Arc<Edge>,
    case: &Case<'_>,
    method: &'static str,
    wanted: Option<Operation<'_>>,
) -> Result<(), Refusal> {
    let mut cursor = None;
    for _ in 0..limits::LIST_PAGES {
        let list = Asked::list(case.asked, method, cursor.as_deref())?;
        let answer = request::admit(edge, &Case { asked: &list, wanted, ..*case }).await?;
        cursor = list::next_cursor(&inspect::answer(case.asked.id(), answer).await?);
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}
