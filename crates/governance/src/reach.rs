//! The graph between people, clients, grants, servers, tools, credentials and hosts, walked both ways.

use crate::identity::Identity;
use crate::inventory::PublishedServer;
use portunus_core::document::{Credential, Grant, Usage};
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What stops working when an identity goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaks {
    /// Servers that cannot be called any more.
    pub servers: BTreeSet<String>,
    /// Tools that were used through it.
    pub tools: BTreeSet<String>,
    /// People and machines that used it, or may.
    pub users: BTreeSet<String>,
    /// Clients that used it, or may.
    pub clients: BTreeSet<String>,
    /// Grants that are worth nothing without it.
    pub grants: BTreeSet<String>,
    /// Calls that were counted.
    pub calls: u64,
    /// The last of them.
    pub last_at: Option<Timestamp>,
}

/// What can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reaches {
    /// Servers.
    pub servers: BTreeSet<String>,
    /// Their tools, as `SERVER/TOOL`, as far as they are known.
    pub tools: BTreeSet<String>,
    /// Credentials that go along.
    pub credentials: BTreeSet<String>,
    /// Hosts that those are good at.
    pub hosts: BTreeSet<String>,
    /// Tools of those that were really used.
    pub used: BTreeSet<String>,
}

/// What breaks without `identity`. `uses` and `grants` may be limited to what concerns it.
#[must_use]
pub fn breaks(
    identity: &Identity,
    servers: &[PublishedServer],
    grants: &[Grant],
    uses: &[Usage],
    now: Timestamp,
) -> Breaks {
    let mut breaks = Breaks::default();
    let name = identity.id.strip_prefix("credential:");
    let needs = |server: &&PublishedServer| match name {
        Some(name) => server.credential.as_deref() == Some(name),
        None => identity.servers.contains(&server.name),
    };
    breaks.servers = servers.iter().filter(needs).map(|server| server.name.to_string()).collect();
    let live = grants.iter().filter(|grant| is_live(grant, now));
    for grant in live.filter(|grant| breaks.servers.contains(grant.server.as_str())) {
        breaks.grants.insert(grant.id.to_string());
        breaks.users.insert(grant.user.to_string());
        breaks.clients.insert(grant.client_id.to_string());
    }
    for usage in uses.iter().filter(|usage| usage.identity == identity.id) {
        if !usage.tool.is_empty() {
            breaks.tools.insert(format!("{}/{}", usage.server, usage.tool));
        }
        breaks.users.insert(usage.user.to_string());
        breaks.clients.insert(usage.client.to_string());
        breaks.calls += usage.count;
        breaks.last_at = breaks.last_at.max(Some(usage.last_at));
    }
    breaks
}

/// Whose reach is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// A person or a machine that signs in.
    User(&'a str),
    /// An OAuth client, whoever uses it.
    Client(&'a str),
    /// A server, which is to say whatever speaks through it.
    Server(&'a str),
    /// A credential.
    Credential(&'a str),
}

/// What can be reached from there.
#[must_use]
pub fn reaches(
    of: Of<'_>,
    credentials: &[Credential],
    servers: &[PublishedServer],
    grants: &[Grant],
    uses: &[Usage],
    now: Timestamp,
) -> Reaches {
    let mut reaches = Reaches::default();
    let from = |grant: &Grant| match of {
        Of::User(user) => grant.user.as_str() == user,
        Of::Client(client) => grant.client_id.as_str() == client,
        Of::Server(_) | Of::Credential(_) => false,
    };
    let live = grants.iter().filter(|grant| is_live(grant, now) && from(grant));
    reaches.servers = live.map(|grant| grant.server.to_string()).collect();
    match of {
        Of::Server(server) => drop(reaches.servers.insert(server.to_owned())),
        Of::Credential(name) => {
            let with = servers.iter().filter(|server| server.credential.as_deref() == Some(name));
            reaches.servers = with.map(|server| server.name.to_string()).collect();
            reaches.credentials.insert(name.to_owned());
        }
        Of::User(_) | Of::Client(_) => {}
    }
    for server in servers.iter().filter(|server| reaches.servers.contains(server.name.as_str())) {
        reaches.tools.extend(server.tools.iter().map(|tool| format!("{}/{tool}", server.name)));
        reaches.credentials.extend(server.credential.iter().cloned());
    }
    let gone_along = credentials.iter().filter(|one| reaches.credentials.contains(one.name.as_str()));
    reaches.hosts = gone_along.flat_map(|credential| credential.hosts.iter().cloned()).collect();
    let used = uses.iter().filter(|usage| match of {
        Of::User(user) => usage.user.as_str() == user,
        Of::Client(client) => usage.client.as_str() == client,
        Of::Server(server) => usage.server.as_str() == server,
        Of::Credential(name) => usage.identity.strip_prefix("credential:") == Some(name),
    });
    let named = used.filter(|usage| !usage.tool.is_empty());
    reaches.used = named.map(|usage| format!("{}/{}", usage.server, usage.tool)).collect();
    reaches
}

fn is_live(grant: &Grant, now: Timestamp) -> bool {
    grant.revoked_at.is_none() && grant.ends_at.is_none_or(|end| !end.is_past(now))
}
