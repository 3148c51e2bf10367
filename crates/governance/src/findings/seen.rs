//! What was seen in traffic and should not be there.

use super::{Around, Finding, Rule, Severity};
use crate::identity::Identity;
use portunus_core::document::{Observed, ObservedKind};
use std::collections::HashMap;

/// Secrets in arguments, tools that nobody accepted, hosts that nobody registered.
pub(super) fn findings(identities: &[Identity], around: &Around<'_>) -> Vec<Finding> {
    let versions =
        identities.iter().flat_map(|identity| identity.versions.iter().map(move |v| (identity, v)));
    let holders: HashMap<&str, &Identity> =
        versions.map(|(identity, version)| (version.fingerprint.as_str(), identity)).collect();
    let mut found: Vec<_> =
        around.observed.iter().map(|seen| of(seen, holders.get(seen.name.as_str()).copied())).collect();
    for (server, tool) in around.unaccepted {
        found.push(Finding {
            identity: format!("tool:{server}/{tool}"),
            rule: Rule::Unregistered,
            severity: Severity::Medium,
            detail: String::from("the server offers it, nobody accepted it: it is hidden and refused"),
            remedy: format!("look at it with `portunus pin diff {server}`, then accept or reject it"),
        });
    }
    found
}

fn of(seen: &Observed, holder: Option<&Identity>) -> Finding {
    let Observed { kind, name, server, tool, user, client, count, .. } = seen;
    let by = format!(
        "by {user} through {client}, {count} times, {}",
        if seen.refused { "refused" } else { "let through" }
    );
    let place = if tool.is_empty() { server.to_string() } else { format!("{server}/{tool}") };
    let (identity, rule, severity, detail, remedy) = match (kind, holder) {
        (ObservedKind::Credential, Some(holder)) => (
            holder.id.clone(),
            Rule::Exposed,
            Severity::Critical,
            format!("its secret was in the arguments of a call at {place} {by}"),
            format!("whoever has it goes around the edge: `portunus cred rotate {}`", super::name(holder)),
        ),
        (ObservedKind::Credential, None) => (
            format!("observed:{name}"),
            Rule::Unregistered,
            Severity::High,
            format!("a secret that nobody registered was in the arguments of a call at {place} {by}"),
            String::from("register it with `portunus cred add`, or end it at its maker"),
        ),
        (ObservedKind::Tool, _) => (
            format!("tool:{server}/{name}"),
            Rule::Unregistered,
            Severity::Medium,
            format!("a tool that is not in the lockfile was called {by}"),
            format!("if it should be there: `portunus pin list {server}`"),
        ),
        (ObservedKind::Host, _) => (
            format!("host:{name}"),
            Rule::Unregistered,
            Severity::High,
            format!("{server} sent calls on to a host that is not its own, {by}"),
            format!("if the server has moved, change its `url`; else find out what it is at {server}"),
        ),
    };
    Finding { identity, rule, severity, detail, remedy }
}
