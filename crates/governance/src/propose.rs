//! The least that policy must permit for what was really used: a policy to read, narrow further and prove, never to load unread.

use portunus_core::document::Usage;
use portunus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Cedar statements that permit exactly the tools that each user used since `now - within`, one for each user and server.
/// Everything that is no tool call (lists, prompts, resources) stays for the policies that are there.
#[must_use]
pub fn least_privilege(uses: &[Usage], within: Duration, now: Timestamp) -> String {
    let mut used: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for usage in uses.iter().filter(|usage| now.since(usage.last_at) <= within && !usage.tool.is_empty()) {
        let key = (usage.server.as_str(), usage.user.as_str());
        used.entry(key).or_default().insert(&usage.tool);
    }
    let mut text = format!("// What was used in the {} days before {now}.\n", within.as_secs() / 86_400);
    for ((server, user), tools) in used {
        let actions: Vec<_> =
            tools.iter().map(|tool| format!("Action::{}", quoted(&format!("{server}/{tool}")))).collect();
        let id = quoted(&format!("least-{server}-{user}"));
        let _ = write!(
            text,
            "\n@id({id})\npermit (\n  principal == User::{},\n  action in [{}],\n  resource == Server::{}\n);\n",
            quoted(user),
            actions.join(", "),
            quoted(server),
        );
    }
    text
}

/// A Cedar text literal.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}
