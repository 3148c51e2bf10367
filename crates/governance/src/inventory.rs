//! Documents of every kind → identities. What was used is counted under the identity's id.

use crate::identity::{Identity, IdentityKind, LastUse, Owed, Standing, Version};
use portunus_core::document::{
    Client, Connector, Credential, JoinToken, Observed, ObservedKind, RotationPlan, Usage, VersionState,
};
use portunus_core::id::ServerName;
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Everything that is known at one moment.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// Upstream secrets.
    pub credentials: &'a [Credential],
    /// Programs beside tools.
    pub connectors: &'a [Connector],
    /// OAuth clients.
    pub clients: &'a [Client],
    /// Workloads that the configuration trusts.
    pub workloads: &'a [Workload],
    /// Tokens with which connectors enrol.
    pub join_tokens: &'a [JoinToken],
    /// The edge's own keys and certificates.
    pub own: &'a [OwnKey],
    /// Identities that other parts keep, such as users' tokens at upstreams.
    pub others: &'a [Identity],
    /// What was used.
    pub uses: &'a [Usage],
    /// What was seen in traffic and is registered nowhere.
    pub observed: &'a [Observed],
    /// What is published.
    pub servers: &'a [PublishedServer],
}

/// A published server, as governance sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedServer {
    /// Its name.
    pub name: ServerName,
    /// Who answers for it.
    pub owner: String,
    /// Where it belongs.
    pub environment: String,
    /// Which kinds of actor may call it.
    pub actors: Vec<Actor>,
    /// The credential that its calls carry.
    pub credential: Option<String>,
    /// Where it is: a host, `tunnel` or the name of a program.
    pub upstream: String,
    /// Its tools, as far as they are known.
    pub tools: Vec<String>,
}

/// A workload that the configuration trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The servers that it may use.
    pub servers: Vec<ServerName>,
}

/// A key or a certificate of the edge itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// Such as `ledger-signing`, `link-ca`.
    pub name: String,
    /// Whether it is a certificate.
    pub certificate: bool,
    /// Its algorithm, or what it is.
    pub form: String,
    /// What it is for.
    pub purpose: String,
    /// Of its public part; empty where there is none.
    pub fingerprint: String,
    /// When it was made, as far as that is known.
    pub created_at: Timestamp,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// How it is renewed.
    pub renewal: Option<RotationPlan>,
}

/// Who answers for what belongs to the edge.
const OPERATOR: &str = "operator";

/// Every identity there is at `now`, in order of id.
#[must_use]
pub fn inventory(sources: &Sources<'_>, now: Timestamp) -> Vec<Identity> {
    let mut all: Vec<Identity> = Vec::new();
    let servers: HashMap<_, _> = sources.servers.iter().map(|server| (&server.name, server)).collect();
    all.extend(sources.credentials.iter().map(|credential| of_credential(credential, now)));
    all.extend(sources.connectors.iter().map(|one| of_connector(one, servers.get(&one.server).copied())));
    all.extend(sources.clients.iter().map(of_client));
    all.extend(sources.workloads.iter().map(of_workload));
    all.extend(sources.join_tokens.iter().map(|token| of_join_token(token, now)));
    all.extend(sources.own.iter().map(|own| of_own(own, now)));
    all.extend(sources.others.iter().cloned());
    all.extend(unregistered(sources).map(of_observed));
    add_uses(&mut all, sources.uses);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

/// One credential with its uses, and the others that hold the same secret: everything that is to be said of it is told from these. In a
/// time that hardly grows with the number of all.
#[must_use]
pub fn alone(name: &str, credentials: &[Credential], uses: &[Usage], now: Timestamp) -> Vec<Identity> {
    let wanted = credentials.iter().find(|credential| credential.name.as_str() == name);
    let prints: HashSet<&str> = wanted
        .into_iter()
        .flat_map(|one| &one.versions)
        .map(|version| version.fingerprint.as_str())
        .collect();
    let same = |one: &&Credential| {
        let shared = |print: &str| !print.is_empty() && prints.contains(print);
        one.name.as_str() == name || one.versions.iter().any(|version| shared(&version.fingerprint))
    };
    let credentials: Vec<Credential> = credentials.iter().filter(same).cloned().collect();
    let identity = format!("{}:{name}", IdentityKind::Credential);
    let uses: Vec<Usage> = uses.iter().filter(|usage| usage.identity == identity).cloned().collect();
    inventory(&Sources { credentials: &credentials, uses: &uses, ..Sources::default() }, now)
}

/// A use counts for the credential that went along, for the client, for the server's connectors and the workload that asked,
/// and for the edge's own keys, which every call needs.
fn add_uses(all: &mut [Identity], uses: &[Usage]) {
    let (mut by_identity, mut by_client) = (Seen::default(), Seen::default());
    let (mut by_server, mut by_user) = (Seen::default(), Seen::default());
    let mut any: Option<(u64, &Usage)> = None;
    for usage in uses {
        add(by_identity.entry(usage.identity.as_str()).or_insert((0, usage)), usage);
        add(by_client.entry(usage.client.as_str()).or_insert((0, usage)), usage);
        add(by_server.entry(usage.server.as_str()).or_insert((0, usage)), usage);
        if let Some(name) = usage.user.workload() {
            add(by_user.entry(name).or_insert((0, usage)), usage);
        }
        add(any.get_or_insert((0, usage)), usage);
    }
    for identity in all {
        let name = identity.id.split_once(':').map_or("", |(_, name)| name);
        let seen = match identity.kind {
            IdentityKind::Credential | IdentityKind::Connection => by_identity.get(identity.id.as_str()),
            IdentityKind::Client => by_client.get(name),
            IdentityKind::Workload => by_user.get(name),
            IdentityKind::Connector => {
                identity.servers.first().and_then(|server| by_server.get(server.as_str()))
            }
            IdentityKind::Key | IdentityKind::Certificate => any.as_ref(),
            IdentityKind::JoinToken | IdentityKind::Observed => None,
        };
        if let Some((count, last)) = seen {
            identity.uses = *count;
            identity.last_used = Some(LastUse {
                at: last.last_at,
                user: last.user.clone(),
                client: last.client.clone(),
                server: last.server.clone(),
                tool: last.tool.clone(),
                version: last.version,
            });
        }
    }
}

/// How often, and the last time.
type Seen<'a> = HashMap<&'a str, (u64, &'a Usage)>;

fn add<'a>(seen: &mut (u64, &'a Usage), usage: &'a Usage) {
    seen.0 = seen.0.saturating_add(usage.count);
    if usage.last_at > seen.1.last_at {
        seen.1 = usage;
    }
}

/// An identity of which nothing is known yet.
fn blank(kind: IdentityKind, name: &str, created_at: Timestamp) -> Identity {
    Identity {
        id: format!("{kind}:{name}"),
        kind,
        form: String::new(),
        owner: None,
        purpose: String::new(),
        environment: None,
        vendor: None,
        upstreams: Vec::new(),
        servers: Vec::new(),
        scopes: Vec::new(),
        versions: Vec::new(),
        created_at,
        expires_at: None,
        rotation: None,
        changed_at: created_at,
        tested: None,
        last_used: None,
        uses: 0,
        standing: Standing::Active,
        waived_until: None,
        exposed_at: None,
    }
}

fn of_credential(credential: &Credential, now: Timestamp) -> Identity {
    let owed: BTreeMap<u32, Owed> = credential
        .owed()
        .map(|version| {
            let (outcome, detail) = match &version.seen {
                Some(seen) => (Some(seen.outcome), seen.detail.clone()),
                None => (None, String::from("it was not tried yet")),
            };
            (version.number, Owed { outcome, detail })
        })
        .collect();
    let version = |v: &portunus_core::document::SealedVersion| Version {
        number: v.number,
        state: v.state,
        fingerprint: v.fingerprint.clone(),
        created_at: v.created_at,
        owed: owed.get(&v.number).cloned(),
    };
    Identity {
        form: credential.kind.word().to_owned(),
        owner: credential.owner.clone().filter(|owner| !owner.trim().is_empty()),
        purpose: credential.purpose.trim().to_owned(),
        environment: credential.environment.clone(),
        vendor: credential.vendor.clone(),
        upstreams: credential.hosts.clone(),
        servers: vec![credential.server.clone()],
        scopes: credential.scopes.clone(),
        versions: credential.versions.iter().map(version).collect(),
        expires_at: credential.expires_at,
        rotation: credential.rotation.clone(),
        changed_at: credential.in_use().map_or(credential.created_at, |version| version.created_at),
        tested: credential.tested.clone(),
        standing: standing(credential, now),
        exposed_at: credential.is_exposed(),
        waived_until: credential.waiver.as_ref().map(|waiver| waiver.until).filter(|end| !end.is_past(now)),
        ..blank(IdentityKind::Credential, credential.name.as_str(), credential.created_at)
    }
}

fn standing(credential: &Credential, now: Timestamp) -> Standing {
    let has = |state| credential.versions.iter().any(|version| version.state == state);
    let incomplete = credential.owner.as_deref().is_none_or(|owner| owner.trim().is_empty())
        || credential.purpose.trim().is_empty()
        || credential.expires_at.is_none();
    if credential.revoked_at.is_some() {
        Standing::Revoked
    } else if credential.disabled.is_some() {
        Standing::Disabled
    } else if credential.expires_at.is_some_and(|end| end.is_past(now)) {
        Standing::Expired
    } else if incomplete {
        Standing::Proposed
    } else if credential.in_use().is_none() {
        if has(VersionState::Pending) { Standing::Proposed } else { Standing::Retired }
    } else if has(VersionState::Pending) {
        Standing::Rotating
    } else if has(VersionState::Draining) {
        Standing::Draining
    } else {
        Standing::Active
    }
}

/// Secrets that were seen and that no credential holds.
fn unregistered<'a>(sources: &Sources<'a>) -> impl Iterator<Item = &'a Observed> {
    let versions = sources.credentials.iter().flat_map(|credential| &credential.versions);
    let known: HashSet<&str> = versions.map(|version| version.fingerprint.as_str()).collect();
    let secrets = sources.observed.iter().filter(|seen| seen.kind == ObservedKind::Credential);
    secrets.filter(move |seen| !known.contains(seen.name.as_str()))
}

fn of_observed(seen: &Observed) -> Identity {
    let mut found = blank(IdentityKind::Observed, &seen.name, seen.first_at);
    found.form = String::from("secret in arguments");
    found.servers = vec![seen.server.clone()];
    found.uses = seen.count;
    found.last_used = Some(LastUse {
        at: seen.last_at,
        user: seen.user.clone(),
        client: seen.client.clone(),
        server: seen.server.clone(),
        tool: seen.tool.clone(),
        version: 0,
    });
    found
}

fn of_connector(connector: &Connector, server: Option<&PublishedServer>) -> Identity {
    let mut found = blank(IdentityKind::Connector, connector.id.as_str(), connector.enrolled_at);
    found.form = String::from("x509");
    found.owner = Some(connector.owner.clone()).filter(|owner| !owner.trim().is_empty());
    found.purpose = format!("serves {}", connector.server);
    found.environment = server.map(|server| server.environment.clone());
    found.upstreams = vec![String::from("tunnel")];
    found.servers = vec![connector.server.clone()];
    found.versions = vec![Version {
        number: 1,
        state: VersionState::Active,
        fingerprint: short(&connector.key_digest.hex()),
        created_at: connector.enrolled_at,
        owed: None,
    }];
    found.expires_at = Some(connector.renewed_at.plus(portunus_core::limits::CONNECTOR_CERT_TTL));
    found.rotation = Some(plan("renewed by the connector"));
    found.changed_at = connector.renewed_at;
    if connector.revoked_at.is_some() {
        found.standing = Standing::Revoked;
    }
    found
}

fn of_client(client: &Client) -> Identity {
    let mut found = blank(IdentityKind::Client, client.client_id.as_str(), client.created_at);
    found.form.clone_from(&client.auth_method);
    found.owner.clone_from(&client.decided_by);
    found.purpose.clone_from(&client.name);
    found.servers.clone_from(&client.servers);
    if let Some(digest) = &client.secret_digest {
        found.versions = vec![Version {
            number: 1,
            state: VersionState::Active,
            fingerprint: short(&digest.hex()),
            created_at: client.created_at,
            owed: None,
        }];
    }
    if client.standing == portunus_core::document::Standing::Blocked {
        found.standing = Standing::Revoked;
    }
    found
}

fn of_workload(workload: &Workload) -> Identity {
    let mut found = blank(IdentityKind::Workload, &workload.name, Timestamp::default());
    found.form = String::from("oidc");
    found.owner = Some(String::from(OPERATOR));
    found.purpose = format!("trusted as {} says", workload.issuer);
    found.upstreams = vec![workload.issuer.clone()];
    found.servers.clone_from(&workload.servers);
    found
}

fn of_join_token(token: &JoinToken, now: Timestamp) -> Identity {
    let name = short(&token.digest.hex());
    // A join token lives so long from the moment that it was made.
    let created = token
        .expires_at
        .as_millis()
        .saturating_sub(u64::try_from(portunus_core::limits::JOIN_TTL.as_millis()).unwrap_or(u64::MAX));
    let mut found = blank(IdentityKind::JoinToken, &name, Timestamp::from_millis(created));
    found.form = String::from("one-time");
    found.owner = Some(token.issued_by.clone());
    found.purpose = format!("enrols a connector of {}", token.server);
    found.servers = vec![token.server.clone()];
    found.expires_at = Some(token.expires_at);
    found.rotation = Some(plan("used once"));
    if token.used_at.is_some() {
        found.standing = Standing::Retired;
    } else if token.expires_at.is_past(now) {
        found.standing = Standing::Expired;
    }
    found
}

fn of_own(own: &OwnKey, now: Timestamp) -> Identity {
    let kind = if own.certificate { IdentityKind::Certificate } else { IdentityKind::Key };
    let mut found = blank(kind, &own.name, own.created_at);
    found.form.clone_from(&own.form);
    found.owner = Some(String::from(OPERATOR));
    found.purpose.clone_from(&own.purpose);
    found.upstreams = vec![String::from("edge")];
    found.expires_at = own.expires_at;
    found.rotation.clone_from(&own.renewal);
    if !own.fingerprint.is_empty() {
        found.versions = vec![Version {
            number: 1,
            state: VersionState::Active,
            fingerprint: own.fingerprint.clone(),
            created_at: own.created_at,
            owed: None,
        }];
    }
    if own.expires_at.is_some_and(|end| end.is_past(now)) {
        found.standing = Standing::Expired;
    }
    found
}

fn plan(method: &str) -> RotationPlan {
    RotationPlan { method: method.to_owned(), every_seconds: None, settings: serde_json::Map::new() }
}

/// The first 32 characters of a digest in hexadecimal: enough to tell two apart.
fn short(hex: &str) -> String {
    hex.chars().take(32).collect()
}
