//! Which columns of a server a caller may be shown.

use crate::context::{self, Parts};
use crate::engine::{Asked, Engine, failures};
use crate::model::Context;
use crate::principal::{Prepared, Principal};
use cedar_policy::EntityUid;
use portunus_core::id::ServerName;

/// Which columns of a server may be shown to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// Whether a column is shown that is not among the exceptions.
    pub default: bool,
    /// The columns for which it is the other way round: `table.column`, lower-case, sorted.
    pub exceptions: Vec<String>,
}

/// Nothing at all.
const NOTHING: Disclosure = Disclosure { default: false, exceptions: Vec::new() };

impl Engine {
    /// Asks the policies for `Action::"disclose"` about every column that a policy names, and about one that none names.
    /// That is exact: policies can tell other columns apart neither by table (see `check`) nor by attributes.
    #[must_use]
    pub fn disclosure(
        &self,
        principal: &Principal,
        server: &ServerName,
        circumstances: &Context<'_>,
    ) -> Disclosure {
        let caller = &*principal.0;
        self.ask_disclosure(caller, server.as_str(), circumstances).unwrap_or(NOTHING)
    }

    fn ask_disclosure(
        &self,
        caller: &Prepared,
        server: &str,
        circumstances: &Context<'_>,
    ) -> Option<Disclosure> {
        let served = self.served(server).filter(|_| caller.caller.server.as_str() == server)?;
        let target = served.operation("disclose")?.clone();
        let mut more = served.columns.entities.clone();
        more.push(target.entity.clone());
        let entities = self.entities(caller, served)?.add_entities(more, None).ok()?;
        let context = context::build(target.slice.looks, caller, circumstances, Parts::default())?;
        let asked = Asked::about(served, target, entities);
        let shown = |column: &EntityUid| {
            let policies = &asked.target.slice.policies;
            self.respond(caller, &asked, column, policies, context.clone()).is_some_and(|response| {
                response.decision() == cedar_policy::Decision::Allow && failures(&response).next().is_none()
            })
        };
        let default = shown(&served.columns.unnamed);
        let others = served.columns.named.iter().filter(|(column, _)| shown(column) != default);
        let mut exceptions: Vec<String> = others.map(|(_, name)| name.clone()).collect();
        exceptions.sort_unstable();
        Some(Disclosure { default, exceptions })
    }
}
