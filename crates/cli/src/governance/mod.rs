//! Governance of identities that are no people, wired: what there is, gathered from the store, the configuration and the edge's
//! own keys; and the administrator's routes.

pub(crate) mod connections;
pub(crate) mod desk;
pub(crate) mod emergency;
pub(crate) mod kill;
mod own;
mod proposal;
pub(crate) mod revoke;
pub(crate) mod sweep;

pub(crate) use own::at_start as own_keys;

use crate::node::Parts;
use portunus_core::server::{Actor, Upstream};
use portunus_core::store::StoreError;
use portunus_edge::Snapshot;
use portunus_governance::findings::{Around, Finding, findings};
use portunus_governance::mirror::Documents;
use portunus_governance::{Identity, PublishedServer, Sources, Workload, alone, inventory};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything about identities at one moment.
pub(crate) struct Picture {
    pub(crate) documents: Arc<Documents>,
    pub(crate) servers: Vec<PublishedServer>,
    pub(crate) identities: Vec<Identity>,
}

impl Picture {
    /// Reads what changed since the last one. Bounded by what the store holds.
    pub(crate) async fn take(parts: &Parts) -> Result<Self, StoreError> {
        let documents = parts.mirror.documents().await?;
        let issuer = parts.issuer.load();
        let workloads = issuer.machines().workloads.iter().map(|workload| Workload {
            name: workload.name.to_string(),
            issuer: workload.issuer.clone(),
            servers: workload.servers.clone(),
        });
        let workloads: Vec<_> = workloads.collect();
        let others = connections::identities(&*parts.store).await?;
        let servers = servers(parts, &parts.edge.snapshot.load());
        let sources = Sources {
            credentials: documents.credentials.all(),
            connectors: documents.connectors.all(),
            clients: documents.clients.all(),
            workloads: &workloads,
            join_tokens: documents.join_tokens.all(),
            own: &own::keys(parts),
            others: &others,
            uses: documents.uses.all(),
            observed: documents.observed.all(),
            servers: &servers,
        };
        let identities = inventory(&sources, parts.clock.now());
        Ok(Self { documents, servers, identities })
    }

    /// The same about one identity, as far as that can be told apart: quicker where there are very many.
    pub(crate) async fn of(parts: &Parts, id: &str) -> Result<Self, StoreError> {
        let Some(name) = id.strip_prefix("credential:") else { return Self::take(parts).await };
        let documents = parts.mirror.documents().await?;
        let (credentials, uses) = (documents.credentials.all(), documents.uses.all());
        let identities = alone(name, credentials, uses, parts.clock.now());
        let servers = servers(parts, &parts.edge.snapshot.load());
        Ok(Self { documents, servers, identities })
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
            servers: &self.servers,
            users: self.documents.users.all(),
            human_use: &human_use,
            observed: self.documents.observed.all(),
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
        let machines: BTreeSet<_> = self.servers.iter().filter(machines).map(|s| &s.name).collect();
        let used = self.documents.uses.all().iter().filter(|usage| {
            machines.contains(&usage.server) && matches!(usage.actor, Actor::Assistant | Actor::Autonomous)
        });
        used.map(|usage| usage.identity.clone()).collect()
    }

    /// What nobody looks at, in sentences.
    pub(crate) fn blind_spots(&self, parts: &Parts) -> Vec<String> {
        let mut spots = Vec::new();
        let behind = |what: &str| self.servers.iter().filter(|s| s.upstream == what).count();
        let tunnels = behind("tunnel");
        if tunnels > 0 {
            spots.push(format!(
                "{tunnels} servers are behind connectors: secrets that those programs hold themselves are not seen"
            ));
        }
        let has_none = |server: &&PublishedServer| {
            let account = parts.edge.connections.of(&server.name).is_some();
            server.credential.is_none() && !account && server.upstream != "tunnel"
        };
        let bare = self.servers.iter().filter(has_none).count();
        if bare > 0 {
            spots.push(format!(
                "{bare} servers carry no credential of ours: what they use behind them is not seen"
            ));
        }
        spots.push(String::from(
            "client configurations on people's machines are seen only where `portunus cred discover` was run",
        ));
        spots
    }
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
