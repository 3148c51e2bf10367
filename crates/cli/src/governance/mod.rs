//! Governance of identities that are no people, wired: what there is, gathered from the store, the configuration and the edge's
//! own keys; and the administrator's routes.

mod connections;
pub(crate) mod desk;
mod own;
pub(crate) mod revoke;
pub(crate) mod sweep;

pub(crate) use own::at_start as own_keys;

use crate::node::Parts;
use portunus_core::document::{Client, Connector, Credential, Grant, JoinToken, Observed, Usage, User};
use portunus_core::server::{Actor, Upstream};
use portunus_core::store::{StoreError, Versioned, list_all};
use portunus_edge::Snapshot;
use portunus_governance::findings::{Around, Finding, findings};
use portunus_governance::{Identity, PublishedServer, Sources, Workload, inventory};
use std::collections::BTreeSet;

/// Everything about identities at one moment.
pub(crate) struct Picture {
    pub(crate) sources: Sources,
    pub(crate) identities: Vec<Identity>,
    pub(crate) users: Vec<User>,
    pub(crate) grants: Vec<Grant>,
}

impl Picture {
    /// Reads everything. Bounded by what the store holds.
    pub(crate) async fn take(parts: &Parts) -> Result<Self, StoreError> {
        let store = &*parts.store;
        let snapshot = parts.edge.snapshot.load();
        let issuer = parts.issuer.load();
        let workloads = issuer.machines().workloads.iter().map(|workload| Workload {
            name: workload.name.to_string(),
            issuer: workload.issuer.clone(),
            servers: workload.servers.clone(),
        });
        let sources = Sources {
            credentials: values(list_all::<Credential>(store, None).await?),
            connectors: values(list_all::<Connector>(store, None).await?),
            clients: values(list_all::<Client>(store, None).await?),
            workloads: workloads.collect(),
            join_tokens: values(list_all::<JoinToken>(store, None).await?),
            own: own::keys(parts),
            others: connections::identities(store).await?,
            uses: values(list_all::<Usage>(store, None).await?),
            observed: values(list_all::<Observed>(store, None).await?),
            servers: servers(parts, &snapshot),
        };
        let users = values(list_all::<User>(store, None).await?);
        let grants = values(list_all::<Grant>(store, None).await?);
        let identities = inventory(&sources, parts.clock.now());
        Ok(Self { sources, identities, users, grants })
    }

    /// What is wrong.
    pub(crate) fn findings(&self, parts: &Parts) -> Vec<Finding> {
        let human_use = self.human_use();
        let waiting = parts.edge.pins.waiting(None).into_iter();
        let unaccepted: Vec<_> = waiting
            .filter(|waiting| waiting.kind == portunus_pins::Kind::Tool)
            .map(|waiting| (waiting.server, waiting.name))
            .collect();
        let around = Around {
            servers: &self.sources.servers,
            users: &self.users,
            human_use: &human_use,
            observed: &self.sources.observed,
            unaccepted: &unaccepted,
            thresholds: **parts.thresholds.load(),
        };
        findings(&self.identities, &around, parts.clock.now())
    }

    /// Identities that people used although their server is for machines only.
    fn human_use(&self) -> BTreeSet<String> {
        let machines = |server: &&PublishedServer| {
            !server.actors.iter().any(|actor| matches!(actor, Actor::Assistant | Actor::Autonomous))
        };
        let machines: BTreeSet<_> = self.sources.servers.iter().filter(machines).map(|s| &s.name).collect();
        let used = self.sources.uses.iter().filter(|usage| {
            machines.contains(&usage.server) && matches!(usage.actor, Actor::Assistant | Actor::Autonomous)
        });
        used.map(|usage| usage.identity.clone()).collect()
    }

    /// What nobody looks at, in sentences.
    pub(crate) fn blind_spots(&self) -> Vec<String> {
        let mut spots = Vec::new();
        let behind = |what: &str| self.sources.servers.iter().filter(|s| s.upstream == what).count();
        let tunnels = behind("tunnel");
        if tunnels > 0 {
            spots.push(format!(
                "{tunnels} servers are behind connectors: secrets that those programs hold themselves are not seen"
            ));
        }
        let bare =
            self.sources.servers.iter().filter(|s| s.credential.is_none() && s.upstream != "tunnel").count();
        if bare > 0 {
            spots.push(format!(
                "{bare} servers carry no credential of ours: what they use behind them is not seen"
            ));
        }
        let observed = self.identities.iter().filter(|identity| identity.id.starts_with("observed:")).count();
        if observed == 0 {
            spots.push(String::from(
                "client configurations on people's machines are seen only where `portunus cred discover` was run",
            ));
        }
        spots
    }
}

fn values<T>(found: Vec<Versioned<T>>) -> Vec<T> {
    found.into_iter().map(|found| found.value).collect()
}

fn servers(parts: &Parts, snapshot: &Snapshot) -> Vec<PublishedServer> {
    let lock = parts.edge.pins.lock();
    let mut servers: Vec<_> = snapshot
        .servers
        .values()
        .map(|published| {
            let server = &published.server;
            let upstream = match &server.upstream {
                Upstream::Tunnel => String::from("tunnel"),
                Upstream::Http(url) => url.host_str().unwrap_or_default().to_owned(),
                Upstream::Program(program) => program.command.first().cloned().unwrap_or_default(),
            };
            PublishedServer {
                name: server.name.clone(),
                owner: server.owner.clone(),
                environment: server.environment.clone(),
                actors: server.actors.clone(),
                credential: server.credential.as_ref().map(ToString::to_string),
                upstream,
                tools: lock.tools(&server.name).map(|tool| tool.name.to_owned()).collect(),
            }
        })
        .collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    servers
}
