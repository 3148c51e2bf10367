//! Upstream secrets as governed identities: who answers for each, what it is for, where it may go, when it ends, how it is
//! rotated, which versions of it there are, and who used it.

use crate::id::{ClientId, CredentialName, ServerName, UserName};
use crate::server::Actor;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// An upstream secret as a governed identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name; the id.
    pub name: CredentialName,
    /// How it is presented.
    pub kind: CredentialKind,
    /// Who answers for it; `None`: refused in the request path.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// Where it belongs, such as `production`; `None`: nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Who issued it, so that everything of one vendor can be ended at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// What it allows at its upstream, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The only hosts, with port when not the scheme's own, that it may be sent to. A credential of a program's environment
    /// has those that it is good for.
    #[serde(alias = "host", deserialize_with = "one_or_more")]
    pub hosts: Vec<String>,
    /// The only server it is for.
    pub server: ServerName,
    /// When it ends; `None`: refused in the request path.
    pub expires_at: Option<Timestamp>,
    /// How its secret is changed; `None`: by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationPlan>,
    /// Sealed versions, oldest first; the last active one is in use.
    pub versions: Vec<SealedVersion>,
    /// The highest number that any version ever had, also of those that are no longer kept: none comes twice.
    #[serde(default)]
    pub numbered: u32,
    /// What was found the last time that an ended secret was tried at its upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
    /// Set while nobody may use it, until somebody sees to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// Until when its age is put up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waiver>,
    /// Until when somebody had access to what it opens in an emergency: versions that were there by then are to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Credential {
    /// Since when the version in use is to be replaced because of an emergency.
    #[must_use]
    pub fn is_exposed(&self) -> Option<Timestamp> {
        let version = self.in_use()?;
        self.exposed_at.filter(|at| version.created_at <= *at)
    }

    /// The version that calls carry.
    #[must_use]
    pub fn in_use(&self) -> Option<&SealedVersion> {
        self.versions.iter().rfind(|version| version.state == VersionState::Active)
    }

    /// The number of the next version.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        let kept = self.versions.iter().map(|version| version.number).max().unwrap_or(0);
        kept.max(self.numbered).saturating_add(1)
    }

    /// The versions that somebody replaced by hand and that were not seen dead since. A secret that is in use again is not
    /// one of them.
    pub fn owed(&self) -> impl Iterator<Item = &SealedVersion> {
        let in_use = self.in_use().map(|version| version.fingerprint.as_str());
        let owed = self.versions.iter().filter(|version| version.is_owed());
        owed.filter(move |version| {
            version.fingerprint.is_empty() || Some(version.fingerprint.as_str()) != in_use
        })
    }
}

impl Document for Credential {
    const KIND: Kind = Kind::Credential;
    fn id(&self) -> String {
        self.name.to_string()
    }
}

/// How a credential is presented to its upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// `Authorization: Bearer …`
    Bearer,
    /// A header of this name.
    Header(String),
    /// `Authorization: Basic …` of this user (RFC 7617); the secret is the password.
    Basic(String),
    /// A parameter of the URL's query, which logs on the way may keep: flagged.
    Query(String),
    /// A certificate with its private key, both PEM in one text, shown in the TLS handshake.
    ClientCertificate,
    /// The environment variable of a program that the edge starts.
    Environment(String),
    /// A PostgreSQL role: the secret is its password, and a program gets both as `PGUSER` and `PGPASSWORD`.
    Postgres(String),
    /// An OpenSSH private key, with its certificate below it if it has one, by which a program logs in as this user. It gets
    /// an agent that signs with the key, never the key.
    Ssh(String),
    /// No call ever carries it: a rotator changes other credentials with it, as this account of their upstream (empty: the
    /// secret says who it is).
    Rotator(String),
}

impl CredentialKind {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Header(_) => "header",
            Self::Basic(_) => "basic",
            Self::Query(_) => "query",
            Self::ClientCertificate => "client_certificate",
            Self::Environment(_) => "environment",
            Self::Postgres(_) => "postgres",
            Self::Ssh(_) => "ssh",
            Self::Rotator(_) => "rotator",
        }
    }

    /// The name of header, user, parameter, variable, role or account.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Bearer | Self::ClientCertificate => "",
            Self::Header(name)
            | Self::Basic(name)
            | Self::Query(name)
            | Self::Environment(name)
            | Self::Postgres(name)
            | Self::Ssh(name)
            | Self::Rotator(name) => name,
        }
    }
}

/// How a credential's secret is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPlan {
    /// Which rotator: `postgres`, `exec` …
    pub method: String,
    /// Seconds after which a version is replaced; `None`: on demand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u64>,
    /// What the rotator needs to know; no secrets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// One version of a secret, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedVersion {
    /// From 1.
    pub number: u32,
    /// When it was added.
    pub created_at: Timestamp,
    /// What `vault` made of it; base64.
    pub sealed: String,
    /// Names the secret without telling anything about it: equal for equal secrets under one sealing key. Empty in documents
    /// of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// What becomes of it.
    #[serde(default)]
    pub state: VersionState,
    /// Whom the secret belongs to at the upstream, where versions differ in that: a role, a key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether somebody replaced it by hand, so that nothing has ended it at its upstream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// What was seen of it when it was tried, after it was replaced by hand or the credential was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Tested>,
}

impl SealedVersion {
    /// Whether it was replaced by hand and not seen dead since.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.by_hand && self.seen.as_ref().is_none_or(|seen| seen.outcome != TestOutcome::Dead)
    }
}

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// Made, not yet known to work.
    Pending,
    /// Calls carry it.
    #[default]
    Active,
    /// No new call carries it; calls that do are ending.
    Draining,
    /// Over.
    Retired,
}

/// Why nobody may use a credential for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Who did it: an administrator, a reviewer, or `portunus`.
    pub by: String,
    /// Why, for people.
    pub why: String,
}

/// A promise to see to it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Its end.
    pub until: Timestamp,
    /// Who gave it.
    pub by: String,
    /// Why, for people.
    pub why: String,
}

/// An ended secret, tried at its upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// When.
    pub at: Timestamp,
    /// Of which version.
    pub version: u32,
    /// What was seen.
    pub outcome: TestOutcome,
    /// In words; no secrets.
    pub detail: String,
}

/// What an upstream does with a secret that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// It refuses it.
    Dead,
    /// It still takes it.
    Alive,
    /// Nobody can say.
    Unverifiable,
}

impl TestOutcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Alive => "alive",
            Self::Unverifiable => "unverifiable",
        }
    }
}

/// How often an identity was used by one caller for one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What was used: `credential:NAME`, `connector:ID` …
    pub identity: String,
    /// By whom.
    pub user: UserName,
    /// Through which client.
    pub client: ClientId,
    /// For which server.
    pub server: ServerName,
    /// The tool; empty for everything that is no tool call.
    pub tool: String,
    /// The latest version.
    pub version: u32,
    /// What drove the client the last time.
    pub actor: Actor,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
}

impl Document for Usage {
    const KIND: Kind = Kind::Usage;
    fn id(&self) -> String {
        let Self { identity, user, client, server, tool, .. } = self;
        let fields =
            [identity.as_str(), user.as_str(), client.as_str(), server.as_str(), tool.as_str()].join("\0");
        crate::digest::sha256(&[b"portunus usage 1\0", fields.as_bytes()]).hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.identity.clone())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.last_at.plus(crate::limits::USES_KEPT))
    }
}

/// Older versions stored one host as a text.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Hosts {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Hosts::deserialize(deserializer)? {
        Hosts::One(host) => vec![host],
        Hosts::Several(hosts) => hosts,
    })
}
