//! `workloads:`, `identity_assertions:`, `exchanges:`, `resource_servers:` and `dpop:` of `portunus.yaml` → [`Machines`].

use super::{actor, duration};
use portunus_core::id::{ClientId, ServerName, WorkloadName};
use portunus_core::limits;
use portunus_core::server::Actor;
use portunus_oauth::id_jag::IdentityProvider;
use portunus_oauth::keys::KeySet;
use portunus_oauth::machines::{Exchange, Machines, ResourceServer};
use portunus_oauth::workload::{KeySource, Subject, Workload};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// A workload of another platform, and the tokens that prove it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadFile {
    /// Its name: `Workload::"NAME"` in policies, `workload:NAME` in records and commands.
    pub name: String,
    /// The platform's issuer, such as `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// The one audience of its tokens; choose one that no other service takes.
    pub audience: String,
    /// Whom they are about: `system:serviceaccount:build:runner`, or `repo:acme/app:*`.
    pub subject: String,
    /// What else they must say, exactly; such as `{ repository: acme/app, environment: production }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Claim>,
    /// The servers it may get tokens for.
    pub servers: Vec<String>,
    /// `ci` or `workload`.
    pub actor: String,
    /// Where the platform's keys are; default: where its discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// A file with the platform's keys, where the edge cannot reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// The life of its access tokens, up to `1h`; default: `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Whether one token of the platform may be used again, as Kubernetes' projected ones must be; default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reusable: bool,
}

/// The value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Claim {
    /// `true` or `false`.
    Truth(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

/// An identity provider whose word for its users is taken (ID-JAG).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityAssertionFile {
    /// Its issuer; users are those who have signed in through it once.
    pub issuer: String,
    /// The servers it may speak for.
    pub servers: Vec<String>,
    /// Where its keys are; default: where its discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// A file with its keys, where the edge cannot reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Whether clients that cannot prove themselves are served too; default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_clients: bool,
}

/// A client that may exchange more than its own tokens for lesser ones.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeFile {
    /// The client's id.
    pub client: String,
    /// The clients whose tokens it may exchange besides its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The servers that it may exchange a token for another server to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_exchange_to: Vec<String>,
}

/// A client that may ask about the tokens for servers (RFC 7662).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceServerFile {
    /// The client's id; it must prove itself with a secret or key.
    pub client: String,
    /// The servers.
    pub servers: Vec<String>,
}

/// Proofs of possession (RFC 9449).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DpopFile {
    /// Whether each proof must hold a nonce that the edge gave out, so that none can be made in advance; default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nonce: bool,
}

/// The keys of the file that are about machines.
pub(crate) struct Files<'a> {
    pub(crate) workloads: &'a [WorkloadFile],
    pub(crate) identity_assertions: &'a [IdentityAssertionFile],
    pub(crate) exchanges: &'a [ExchangeFile],
    pub(crate) resource_servers: &'a [ResourceServerFile],
    /// The ids of the configured clients: one that asks in its own name is a workload of that name too.
    pub(crate) clients: Vec<&'a str>,
}

/// Checks what the file says of machines; `known` are the published servers.
pub(crate) fn machines(files: &Files<'_>, known: &[ServerName], base: &Path) -> Result<Machines, String> {
    let mut workloads: Vec<Workload> = Vec::new();
    for file in files.workloads {
        let made = workload(file, known, base).map_err(|message| format!("`{}`: {message}", file.name))?;
        if files.clients.contains(&made.name.as_str()) {
            return Err(format!(
                "`{}` is a client in `clients` too: policies could not tell them apart",
                made.name
            ));
        }
        if workloads.iter().any(|other| other.name == made.name) {
            return Err(format!("two workloads have the name `{}`", made.name));
        }
        if workloads.iter().any(|other| other.issuer == made.issuer && other.keys != made.keys) {
            return Err(format!(
                "all workloads of `{}` must have the same jwks_uri or jwks_file",
                made.issuer
            ));
        }
        workloads.push(made);
    }
    let provider = |file: &IdentityAssertionFile| {
        address(&file.issuer).map_err(|why| format!("issuer `{}` {why}", file.issuer))?;
        Ok::<_, String>(IdentityProvider {
            issuer: file.issuer.clone(),
            keys: keys(file.jwks_uri.as_deref(), file.jwks_file.as_deref(), base)?,
            servers: servers(&file.servers, known)?,
            public_clients: file.public_clients,
        })
    };
    let exchange = |file: &ExchangeFile| {
        Ok::<_, String>(Exchange {
            client: client(&file.client)?,
            from: file.from.iter().map(|id| client(id)).collect::<Result<_, _>>()?,
            may_exchange_to: servers(&file.may_exchange_to, known)?,
        })
    };
    let resource_server = |file: &ResourceServerFile| {
        Ok::<_, String>(ResourceServer {
            client: client(&file.client)?,
            servers: servers(&file.servers, known)?,
        })
    };
    Ok(Machines {
        workloads,
        identity_providers: files.identity_assertions.iter().map(provider).collect::<Result<_, _>>()?,
        exchanges: files.exchanges.iter().map(exchange).collect::<Result<_, _>>()?,
        resource_servers: files.resource_servers.iter().map(resource_server).collect::<Result<_, _>>()?,
    })
}

fn workload(file: &WorkloadFile, known: &[ServerName], base: &Path) -> Result<Workload, String> {
    let name = WorkloadName::parse(&file.name).map_err(|e| e.to_string())?;
    address(&file.issuer).map_err(|why| format!("issuer `{}` {why}", file.issuer))?;
    if file.audience.is_empty() || file.servers.is_empty() {
        return Err(String::from("needs an audience and at least one server"));
    }
    let actor = actor(&file.actor)?;
    if !matches!(actor, Actor::Workload | Actor::Ci) {
        return Err(String::from("actor must be `workload` or `ci`"));
    }
    let ttl = file.ttl.as_deref().map_or(Ok(limits::ACCESS_TTL), duration)?;
    if ttl > limits::WORKLOAD_TTL {
        return Err(format!("ttl must be at most {} minutes", limits::WORKLOAD_TTL.as_secs() / 60));
    }
    let claims = file.claims.iter().map(|(name, claim)| {
        let value = match claim {
            Claim::Truth(truth) => (*truth).into(),
            Claim::Number(number) => (*number).into(),
            Claim::Text(text) => text.as_str().into(),
        };
        (name.clone(), value)
    });
    Ok(Workload {
        name,
        issuer: file.issuer.clone(),
        keys: keys(file.jwks_uri.as_deref(), file.jwks_file.as_deref(), base)?,
        audience: file.audience.clone(),
        subject: Subject::parse(&file.subject).map_err(|e| format!("subject `{}`: {e}", file.subject))?,
        claims: claims.collect(),
        servers: servers(&file.servers, known)?,
        actor,
        ttl,
        single_use: !file.reusable,
    })
}

fn keys(uri: Option<&str>, file: Option<&Path>, base: &Path) -> Result<KeySource, String> {
    match (uri, file) {
        (None, None) => Ok(KeySource::Discovery),
        (Some(uri), None) => address(uri).map(KeySource::At).map_err(|why| format!("jwks_uri `{uri}` {why}")),
        (None, Some(file)) => {
            let path = base.join(file);
            let place = |error: &dyn std::fmt::Display| format!("jwks_file {}: {error}", path.display());
            let bytes = std::fs::read(&path).map_err(|error| place(&error))?;
            KeySet::parse(&bytes).map(KeySource::Given).map_err(|error| place(&error))
        }
        (Some(_), Some(_)) => Err(String::from("give either jwks_uri or jwks_file")),
    }
}

/// `https`, or `http` on loopback.
fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(url)
    } else {
        Err("must begin with https:// (http:// is for loopback only)")
    }
}

fn client(id: &str) -> Result<ClientId, String> {
    ClientId::parse(id).map_err(|error| error.to_string())
}

fn servers(names: &[String], known: &[ServerName]) -> Result<Vec<ServerName>, String> {
    let server = |name: &String| {
        let found = known.iter().find(|server| server.as_str() == name);
        found.cloned().ok_or_else(|| format!("server `{name}` is not in `servers`"))
    };
    names.iter().map(server).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    const GOOD: &str = "public_url: https://tools.example.com
listen: { https: 0.0.0.0:443 }
tls: { local_ca: true }
store: sqlite:state/portunus.db
sealing_key: { file: sealing.key }
login: { local: true }
policies: ./policies
servers:
  - { name: sales, owner: ana@example.com, purpose: Questions, upstream: tunnel }
workloads:
  - name: ci-build
    issuer: https://ci.example
    audience: portunus
    subject: repo:acme/app:*
    claims: { repository: acme/app, protected: true, attempt: 1 }
    servers: [sales]
    actor: ci
    ttl: 10m
identity_assertions: [{ issuer: https://idp.example, servers: [sales] }]
exchanges: [{ client: agent, from: [chat], may_exchange_to: [sales] }]
resource_servers: [{ client: backend, servers: [sales] }]
dpop: { nonce: true }
";

    #[test]
    fn machines_are_read_and_mistakes_named() {
        let read =
            |text: &str| parse(Path::new("/etc/portunus/portunus.yaml"), text).map_err(|e| e.to_string());
        let config = read(GOOD).unwrap();
        assert!(config.dpop_nonce);
        let workload = &config.machines.workloads[0];
        assert_eq!(workload.claims["protected"], serde_json::json!(true));
        assert_eq!(workload.claims["attempt"], serde_json::json!(1));
        assert!(workload.single_use);
        assert_eq!(config.machines.identity_providers.len(), 1);
        for (from, to, wanted) in [
            ("repo:acme/app:*", "repo:acme/app*", "app-of-others"),
            ("https://ci.example", "http://ci.example", "must begin with https://"),
            ("servers: [sales]\n    actor", "servers: [other]\n    actor", "`other` is not in `servers`"),
            ("servers: [sales]\n    actor", "servers: []\n    actor", "at least one server"),
            ("actor: ci", "actor: assistant", "must be `workload` or `ci`"),
            ("ttl: 10m", "ttl: 2h", "at most 60 minutes"),
            ("ttl: 10m", "jwks_file: missing.json", "missing.json"),
            ("ttl: 10m", "audiense: x", "did you mean `audience`?"),
            ("may_exchange_to: [sales]", "may_exchange_to: [hr]", "`hr` is not in `servers`"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = read(&GOOD.replace(from, to)).expect_err(wanted);
            assert!(error.contains(wanted), "{error:?} should contain {wanted:?}");
        }
    }
}
