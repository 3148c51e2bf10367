//! Calls that are refused although their decision permits them, as the edge refuses them: nothing of the result may be shown,
//! or the SQL uses what is hidden at a server that hides nothing itself.

use super::{Recorded, Replay, Replayed};
use crate::explain::Outcome;
use crate::model::{Operation, Request};
use crate::partial::Known;
use crate::principal::Principal;
use std::collections::BTreeSet;

/// In the place of policies: those about how much of a result is shown.
const RELEASE: &str = "(release)";
/// Those about which data is shown and changed.
const DISCLOSE: &str = "(disclose)";

/// Attributes of the context that are known of a question about a result or data: they come with it, or it never has them.
const OF_DATA: [&str; 9] =
    ["tool", "rows", "bytes", "arguments", "sql", "approval", "method", "target", "mode"];

impl Replay<'_> {
    /// What came of the decision, or else of what is asked besides it.
    pub(super) fn or_unfit(
        &self,
        settled: Replayed,
        recorded: &Recorded<'_>,
        principal: &Principal,
        request: &Request<'_>,
        known: &Known,
    ) -> Replayed {
        let Operation::CallTool(tool) = request.operation else { return settled };
        if matches!(settled, Replayed::Decided(Outcome::Refuse, _)) {
            return settled;
        }
        let mut of_data = known.clone();
        of_data.attributes.extend(OF_DATA);
        let mut missing = BTreeSet::new();
        for found in [
            self.nothing_shown(tool, principal, request, &of_data),
            self.objection(recorded, principal, request, &of_data),
        ] {
            match found {
                Ok(None) => {}
                Ok(Some(by)) => return Replayed::Decided(Outcome::Refuse, vec![by.to_owned()]),
                Err(more) => missing.extend(more),
            }
        }
        match settled {
            settled if missing.is_empty() => settled,
            Replayed::Unknown(others) => Replayed::Unknown(missing.into_iter().chain(others).collect()),
            _ => Replayed::Unknown(missing),
        }
    }

    /// Whether not one row or byte of its result may be shown; the error is what would have to be known.
    fn nothing_shown(
        &self,
        tool: &str,
        principal: &Principal,
        request: &Request<'_>,
        known: &Known,
    ) -> Result<Option<&'static str>, BTreeSet<String>> {
        let missing = self.partial.missing(request.server.as_str(), "release", known);
        if !missing.is_empty() {
            return Err(missing);
        }
        let caps = self.engine.caps(principal, request.server, tool, &request.context);
        Ok(caps.is_nothing().then_some(RELEASE))
    }

    /// Whether its SQL uses what is hidden or may not be changed.
    fn objection(
        &self,
        recorded: &Recorded<'_>,
        principal: &Principal,
        request: &Request<'_>,
        known: &Known,
    ) -> Result<Option<&'static str>, BTreeSet<String>> {
        if recorded.hides_itself || (recorded.sql_known && recorded.sql.is_none()) {
            return Ok(None);
        }
        let server = request.server.as_str();
        let mut missing = self.partial.missing(server, "disclose", known);
        missing.extend(self.partial.missing(server, "change", known));
        if !missing.is_empty() {
            return Err(missing);
        }
        let disclosure = self.engine.disclosure(principal, request.server, &request.context);
        match recorded.sql.filter(|_| recorded.sql_known) {
            Some(facts) => Ok(disclosure.objection(facts).map(|_| DISCLOSE)),
            None if disclosure.columns.is_all() && disclosure.changes.is_all() => Ok(None),
            None => Err(["sql".to_owned()].into()),
        }
    }
}

/// Whether these are the edge's words for such a refusal.
pub(super) fn refused_so(reason: &str) -> bool {
    let begins = [
        "No policy allows anything of this tool's results",
        "Some columns are hidden from you",
        "Some tables may not be changed",
        "The rows of `",
    ];
    begins.iter().any(|begin| reason.starts_with(begin))
        || (reason.starts_with('`') && reason.contains("` is hidden from you"))
}
