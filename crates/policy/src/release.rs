//! How much of a result may be shown: caps on rows and bytes.

use crate::context::{self, Parts};
use crate::engine::{Asked, Engine, failures};
use crate::looks::Looks;
use crate::model::Context;
use crate::principal::{Prepared, Principal};
use portunus_core::id::ServerName;

/// The most of a tool's result that may be shown; `None`: no policy says anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Rows.
    pub rows: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Caps {
    /// Not one row, not one byte.
    pub const NOTHING: Self = Self { rows: Some(0), bytes: Some(0) };

    /// Whether nothing may be shown.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.rows == Some(0) || self.bytes == Some(0)
    }
}

/// More than any result has. Half of it is still more, so that sums do not overflow.
const MANY: u64 = 1 << 40;

impl Engine {
    /// Asks the policies for `Action::"release"` how many rows of a result, and how many bytes, may be shown. What is found
    /// has been permitted: when a policy forbids few rows but not many, nothing is shown. Where policies bound rows or bytes this
    /// takes some eighty evaluations: ask once for each call.
    #[must_use]
    pub fn caps(&self, principal: &Principal, server: &ServerName, tool: &str, now: &Context<'_>) -> Caps {
        let caller = &*principal.0;
        let Some(asked) = self.about_release(caller, server.as_str()) else {
            return Caps::NOTHING;
        };
        let (looks, policies) = (asked.target.slice.looks, caller.own(&asked.target.slice));
        let permits = |rows, bytes| {
            let parts = Parts {
                texts: vec![("tool", tool)],
                numbers: vec![("rows", rows), ("bytes", bytes)],
                ..Parts::default()
            };
            let context = context::build(looks, caller, now, parts);
            let response =
                context.and_then(|context| self.respond(caller, &asked, &asked.resource, &policies, context));
            response.is_some_and(|response| {
                response.decision() == cedar_policy::Decision::Allow && failures(&response).next().is_none()
            })
        };
        if permits(MANY, MANY) {
            return Caps::default();
        }
        // When even nothing is too much, or the two hang together in ways that cannot be told apart, nothing is shown.
        let rows = greatest(|rows| permits(rows, 0));
        let bytes = greatest(|bytes| permits(0, bytes));
        match (rows, bytes) {
            (Some(rows), Some(bytes)) if permits(rows, bytes) || looks == Looks::NOTHING => {
                Caps { rows: (rows < MANY).then_some(rows), bytes: (bytes < MANY).then_some(bytes) }
            }
            _ => Caps::NOTHING,
        }
    }

    /// The strictest of all tools' caps, for results of which it is not known what was called.
    #[must_use]
    pub fn caps_of_any(&self, principal: &Principal, server: &ServerName, now: &Context<'_>) -> Caps {
        let mut strictest = self.caps(principal, server, "", now);
        let Some(served) = self.served(server.as_str()).filter(|served| served.tells_tools_apart("release"))
        else {
            return strictest;
        };
        for tool in served.tool_names() {
            let caps = self.caps(principal, server, tool, now);
            strictest.rows = strictest.rows.into_iter().chain(caps.rows).min();
            strictest.bytes = strictest.bytes.into_iter().chain(caps.bytes).min();
        }
        strictest
    }

    fn about_release(&self, caller: &Prepared, server: &str) -> Option<Asked> {
        let served = self.served(server).filter(|_| caller.caller.server.as_str() == server)?;
        let target = served.operation("release")?.clone();
        let entities = self.entities(caller, served)?.add_entities([target.entity.clone()], None).ok()?;
        Some(Asked::about(served, target, entities))
    }
}

/// The greatest number up to [`MANY`] that is permitted, where all below it are; `None` when not even 0 is.
fn greatest(permits: impl Fn(u64) -> bool) -> Option<u64> {
    if permits(MANY) {
        return Some(MANY);
    }
    let (mut yes, mut no) = (0, MANY);
    if !permits(yes) {
        return None;
    }
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if permits(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_permitted_number_is_found() {
        for most in [0, 1, 99, 100, 65_535, MANY - 1] {
            assert_eq!(greatest(|n| n <= most), Some(most));
        }
        assert_eq!(greatest(|_| true), Some(MANY));
        assert_eq!(greatest(|_| false), None);
    }
}
