//! Which columns of a server a caller may be shown.

use crate::context::{self, Parts};
use crate::engine::{Asked, Engine, failures};
use crate::model::Context;
use crate::principal::{Prepared, Principal};
use crate::slice::{Columns, UNNAMED};
use portunus_core::id::ServerName;

/// Which columns of a server may be shown to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// Whether a column is shown that is not among the exceptions.
    pub default: bool,
    /// The columns for which it is the other way round: `table.column`, or `table.*` for every column of a table;
    /// lower-case, sorted.
    pub exceptions: Vec<String>,
}

/// Nothing at all.
const NOTHING: Disclosure = Disclosure { default: false, exceptions: Vec::new() };

impl Engine {
    /// Asks the policies for `Action::"disclose"` about every column that a policy names, and about one that none names.
    /// Where the answer cannot be said exactly in terms of the result, less is shown.
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
        let shown = |table: &str, column: &str| {
            let resource = Columns::uid(server, table, column);
            let policies = &asked.target.slice.policies;
            self.respond(caller, &asked, &resource, policies, context.clone()).is_some_and(|response| {
                response.decision() == cedar_policy::Decision::Allow && failures(&response).next().is_none()
            })
        };
        let default = shown(UNNAMED, UNNAMED);
        let mut exceptions = Vec::new();
        for (table, columns) in &served.columns.tables {
            let of_table = shown(table, UNNAMED);
            let columns: Vec<(&String, bool)> =
                columns.iter().map(|column| (column, shown(table, column))).collect();
            // A whole table is hidden even if one of its columns need not be; it is shown only if all of them are.
            let whole = of_table != default && (default || columns.iter().all(|(_, shown)| *shown));
            if whole {
                exceptions.push(format!("{table}.*"));
            } else {
                let others = columns.iter().filter(|(_, shown)| *shown != default);
                exceptions.extend(others.map(|(column, _)| format!("{table}.{column}")));
            }
        }
        exceptions.sort_unstable();
        Some(Disclosure { default, exceptions })
    }
}
