//! SQL text in a call's arguments → facts for the policy. Pure.

use portunus_mcp::message::{Call, Method};
use portunus_policy::sql::{self, Dialect, SqlFacts};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Arguments that hold SQL, by the names in common use.
#[derive(Deserialize)]
struct SqlArguments<'a> {
    #[serde(borrow, default)]
    sql: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    query: Option<Cow<'a, str>>,
}

/// Facts about the SQL that a tool call carries, if its arguments have a `sql` or `query` text. Text that is no SQL gives
/// incomplete facts, which policies must treat as the worst case.
#[must_use]
pub fn facts(call: &Call) -> Option<SqlFacts> {
    if call.method != Method::ToolsCall {
        return None;
    }
    of_arguments(call.arguments.as_ref()?)
}

/// The same, from the raw JSON object of the arguments.
#[must_use]
pub fn of_arguments(arguments: &[u8]) -> Option<SqlFacts> {
    // Cheap test first: most tools have neither name in their arguments. A backslash may hide one (`"s\u0071l"`).
    let mentions = |word: &[u8]| arguments.windows(word.len()).any(|w| w == word);
    if !mentions(b"sql") && !mentions(b"query") && !mentions(b"\\") {
        return None;
    }
    match serde_json::from_slice::<SqlArguments<'_>>(arguments) {
        Ok(SqlArguments { sql: Some(text), query: None } | SqlArguments { sql: None, query: Some(text) }) => {
            Some(sql::facts(&text, Dialect::Generic))
        }
        Ok(SqlArguments { sql: None, query: None }) => None,
        // Both, or not text: nothing is known, so everything must be assumed.
        Ok(_) | Err(_) => {
            Some(SqlFacts { kinds: BTreeSet::from([String::from("unknown")]), ..SqlFacts::default() })
        }
    }
}
