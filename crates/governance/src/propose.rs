//! The least that policy must permit for what was really used, as statements that take the rest away: added to the policies that
//! are there they can only narrow. To read, narrow further and prove, never to load unread.

use portunus_core::document::Usage;
use portunus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Cedar statements that forbid every tool call but those that were used since `now - within`: for each server all tools that nobody
/// used, and for each used tool everybody who did not. Servers of which nothing was used are left as they are, and so is
/// everything that is no tool call (lists, prompts, resources).
#[must_use]
pub fn least_privilege(uses: &[Usage], within: Duration, now: Timestamp) -> String {
    let mut used: BTreeMap<&str, BTreeMap<&str, People<'_>>> = BTreeMap::new();
    for usage in uses.iter().filter(|usage| now.since(usage.last_at) <= within && !usage.tool.is_empty()) {
        let tools = used.entry(usage.server.as_str()).or_default();
        tools.entry(&usage.tool).or_default().add(usage);
    }
    let days = within.as_secs() / 86_400;
    let mut text = format!(
        "// Only what was used in the {days} days before {now}. Add it to the policies that are there.\n"
    );
    let reason = quoted(&format!("Nobody used this in the {days} days before {now}."));
    for (server, tools) in used {
        let actions: Vec<_> = tools.keys().map(|tool| action(server, tool)).collect();
        let _ = write!(
            text,
            "\n@id({id})\n@reason({reason})\nforbid (\n  principal,\n  action in Action::\"call\",\n  resource == Server::{name}\n) unless {{\n  action in [{actions}]\n}};\n",
            id = quoted(&format!("least-{server}")),
            name = quoted(server),
            actions = actions.join(", "),
        );
        for (tool, people) in tools {
            let _ = write!(
                text,
                "\n@id({id})\n@reason({reason})\nforbid (\n  principal,\n  action == {action},\n  resource == Server::{name}\n) unless {{\n  {people}\n}};\n",
                id = quoted(&format!("least-{server}-{tool}")),
                reason = quoted(&format!("You did not use this in the {days} days before {now}.")),
                action = action(server, tool),
                name = quoted(server),
                people = people.condition(),
            );
        }
    }
    text
}

fn action(server: &str, tool: &str) -> String {
    format!("Action::{}", quoted(&format!("{server}/{tool}")))
}

/// Who used a tool. Cedar's sets hold entities of one type.
#[derive(Default)]
struct People<'a> {
    users: BTreeSet<&'a str>,
    workloads: BTreeSet<&'a str>,
}

impl<'a> People<'a> {
    fn add(&mut self, usage: &'a Usage) {
        match usage.user.workload() {
            Some(name) => self.workloads.insert(name),
            None => self.users.insert(usage.user.as_str()),
        };
    }

    fn condition(&self) -> String {
        let of = |kind: &str, names: &BTreeSet<&str>| {
            let names: Vec<_> = names.iter().map(|name| format!("{kind}::{}", quoted(name))).collect();
            format!("principal is {kind} && [{}].contains(principal)", names.join(", "))
        };
        let kinds = [("User", &self.users), ("Workload", &self.workloads)].into_iter();
        let parts: Vec<_> =
            kinds.filter(|(_, names)| !names.is_empty()).map(|(kind, names)| of(kind, names)).collect();
        parts.join(" || ")
    }
}

/// A Cedar text literal.
fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            ' '..='~' => literal.push(c),
            _ => {
                let _ = write!(literal, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    literal + "\""
}
