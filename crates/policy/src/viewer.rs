//! What is visible in a listing. Tools of one slice are alike to every policy that does not ask for more than its scope,
//! so each slice is decided once.

use crate::context;
use crate::decision::Permit;
use crate::engine::{Engine, Verdict, parts_of};
use crate::model::{Operation, Request, View};
use crate::principal::Principal;
use crate::slice::Slice;
use portunus_core::id::ServerName;
use std::collections::HashMap;
use std::sync::Arc;

/// One caller's view of one server's entries, as of one moment.
pub struct Viewer<'e> {
    engine: &'e Engine,
    principal: &'e Principal,
    view: View<'e>,
    /// By the address of the slice, which the engine keeps alive.
    decided: HashMap<usize, bool>,
}

impl Engine {
    /// For the entries of a listing of this server; the operation of the view does not matter.
    #[must_use]
    pub fn viewer<'e>(&'e self, principal: &'e Principal, view: View<'e>) -> Viewer<'e> {
        Viewer { engine: self, principal, view, decided: HashMap::new() }
    }

    /// Whether a request of this kind could be permitted with some arguments, perhaps after an approval.
    #[must_use]
    pub fn visible(&self, principal: &Principal, view: &View<'_>) -> bool {
        let caller = &*principal.0;
        let Some(asked) = self.ask(caller, view.server.as_str(), view.operation) else { return false };
        let parts = parts_of(view.operation);
        let slice = &asked.target.slice;
        let Some(context) = context::build(slice.looks, caller, &view.context, parts) else { return false };
        matches!(self.verdict(caller, &asked, &slice.without_arguments, context), Verdict::Allow(_))
    }

    /// The permit for a look of the edge's own at a list, without which it could not decide about what is `wanted`: for
    /// whoever would see that in the list. Nothing of the list is for them.
    #[must_use]
    pub fn look_up(
        &self,
        principal: &Principal,
        list: &Request<'_>,
        wanted: Operation<'_>,
    ) -> Option<Permit> {
        let Operation::List(_) = list.operation else { return None };
        let view = View { server: list.server, operation: wanted, context: list.context };
        self.visible(principal, &view).then(|| Permit {
            decision: list.decision.clone(),
            server: list.server.clone(),
            action: "list".to_owned(),
            policies: Vec::new(),
            approval: None,
        })
    }

    fn slice_of_tool(&self, server: &ServerName, tool: &str) -> Option<&Arc<Slice>> {
        self.served(server.as_str()).map(|served| served.slice_of_tool(tool))
    }
}

impl Viewer<'_> {
    /// Whether an entry is visible.
    pub fn shows(&mut self, operation: Operation<'_>) -> bool {
        let (engine, view) = (self.engine, self.view);
        let decide = || engine.visible(self.principal, &View { operation, ..view });
        let Operation::CallTool(tool) = operation else { return decide() };
        match engine.slice_of_tool(view.server, tool).filter(|slice| slice.is_alike) {
            None => decide(),
            Some(slice) => *self.decided.entry(Arc::as_ptr(slice) as usize).or_insert_with(decide),
        }
    }
}
