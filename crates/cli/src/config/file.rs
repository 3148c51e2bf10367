//! `portunus.yaml` as it is written: unknown keys are errors, units are spelled out. [`super`] turns it into the domain.

pub(crate) use super::governance::GovernanceFile;
use super::machines::{DpopFile, ExchangeFile, IdentityAssertionFile, ResourceServerFile, WorkloadFile};
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The URL that clients use, such as `https://tools.example.com`.
    pub public_url: String,
    /// Web origins whose pages may use this edge from a browser, such as `https://inspector.example.com`; default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// Addresses to listen on.
    pub listen: Listen,
    /// Where the certificate comes from.
    pub tls: Tls,
    /// `sqlite:PATH`.
    pub store: String,
    /// The key that seals secrets in the store.
    pub sealing_key: SealingKey,
    /// The directory of the ledger; default: `ledger` beside the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PathBuf>,
    /// The administrator's Unix socket; default: `admin.sock` beside the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_socket: Option<PathBuf>,
    /// How people sign in.
    pub login: Login,
    /// How long tokens live; default: 15m and 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The directory of `*.cedar` policies.
    pub policies: PathBuf,
    /// A directory of candidate `*.cedar` policies: they decide nothing, but what they would decide otherwise is counted
    /// (`portunus policy shadow`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_policies: Option<PathBuf>,
    /// Which clients may register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_registration: Option<super::clients::ClientRegistration>,
    /// Clients that need not register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<super::clients::ClientEntry>,
    /// How long labels stay on sessions: `{ private: { lasts: 8h } }`; default: 8 hours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, super::data::LabelFile>,
    /// Classes of data in results: your own by pattern, and the labels that values of any class put on sessions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data_classes: BTreeMap<String, super::data::DataClassFile>,
    /// The published servers.
    pub servers: Vec<Server>,
    /// Workloads that get tokens for a token of their own platform (RFC 7523).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadFile>,
    /// Identity providers whose word for their users is taken (enterprise-managed authorization, ID-JAG).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_assertions: Vec<IdentityAssertionFile>,
    /// Clients that may exchange tokens of others, or for other servers (RFC 8693).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<ExchangeFile>,
    /// Clients that may ask about the tokens for servers (RFC 7662).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_servers: Vec<ResourceServerFile>,
    /// How calls that need a person's yes are asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<super::approvals::ApprovalsFile>,
    /// How identities that are no people are governed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance: Option<GovernanceFile>,
    /// Proofs of possession (RFC 9449).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop: Option<DpopFile>,
    /// Plug-ins that change secrets at upstreams that Portunus does not know itself, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rotators: BTreeMap<String, super::rotators::RotatorFile>,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Clients and links, such as `0.0.0.0:443`.
    pub https: String,
    /// Answers http-01 challenges and redirects browsers to https, such as `0.0.0.0:80`; none: not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Health and metrics, such as `127.0.0.1:9090`; none: not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

/// Where the certificate comes from: exactly one of `local_ca: true`, `cert` and `key`, or `acme`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Issue it from Portunus' own CA; clients must be told to trust `ca.pem` beside the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local_ca: bool,
    /// Certificate chain, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Order it from an ACME authority, and renew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// Ask clients for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

/// Clients are asked for a certificate, which they need not have.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificates {
    /// The authorities whose certificates count, PEM.
    pub ca: PathBuf,
    /// The host names on which clients are asked; default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// An ACME authority (RFC 8555), such as Let's Encrypt. Who names one agrees to its terms of service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// Where the authority may write to.
    pub email: String,
    /// The authority's directory; default: Let's Encrypt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Certificates to trust as the directory, PEM, for an authority of your own; default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// `tls-alpn-01`, which needs port 443 to lead here, or `http-01`, which needs port 80; default: the latter if
    /// `listen.http` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// One of the authority's profiles, such as `shortlived`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The account elsewhere that the authority wants the ACME account bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eab: Option<Eab>,
}

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eab {
    /// The key's id, as the authority gave it.
    pub kid: String,
    /// A file with the key in base64url, as the authority gave it.
    pub key_file: PathBuf,
}

/// The key that seals secrets in the store: exactly one of `file`, `systemd`, `openbao` or `aws_kms`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealingKey {
    /// A file that only its owner can read; made at the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The name of a credential that systemd gives the service (`LoadCredential=` or `LoadCredentialEncrypted=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    /// The transit engine of OpenBao or HashiCorp Vault: it wraps the sealing key, and unwraps it at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openbao: Option<Openbao>,
    /// AWS KMS: it wraps the sealing key, and unwraps it at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_kms: Option<AwsKms>,
}

/// A key of a transit engine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Openbao {
    /// Such as `https://bao.internal:8200`; plain `http` only to this machine.
    pub address: String,
    /// The name of the transit key; of an AEAD type, as the default `aes256-gcm96` is.
    pub key: String,
    /// A file with a token that may `update` `transit/encrypt/KEY` and `transit/decrypt/KEY`; read anew each time.
    pub token_file: PathBuf,
    /// Where the transit engine is mounted; default: `transit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// The namespace; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Certificates to trust for it instead of the system's, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// A symmetric key of AWS KMS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsKms {
    /// The key's id, ARN or alias (`alias/portunus`).
    pub key_id: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as that of a VPC endpoint; default: `https://kms.REGION.amazonaws.com`. Plain `http` only to this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// A file with access keys, as the AWS tools have it in `~/.aws/credentials`; read anew each time. Default: the
    /// environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// The section of that file; default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Certificates to trust for it instead of the system's, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// How people sign in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Built-in accounts.
    #[serde(default)]
    pub local: bool,
    /// An identity provider, or a list of several that are told apart by the e-mail addresses of their people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
}

/// Identity providers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Oidc {
    /// The only one.
    One(Box<OidcProvider>),
    /// Several.
    Several(Vec<OidcProvider>),
}

/// Either form by its look, so that a mistake inside is reported as what it is.
impl<'de> Deserialize<'de> for Oidc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Oidc;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an identity provider, or a list of them")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Oidc, A::Error> {
                OidcProvider::deserialize(MapAccessDeserializer::new(map)).map(|one| Oidc::One(Box::new(one)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Oidc, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Oidc::Several)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An identity provider (OpenID Connect).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcProvider {
    /// Its issuer identifier, to the last slash as its discovery document has it.
    pub issuer: String,
    /// What it knows Portunus as.
    pub client_id: String,
    /// A file with the client secret; none: a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Its short name, of a-z, 0-9 and `-`: the end of its redirect URI `/login/oidc/callback/ID`. In a list each needs
    /// one; the redirect URI of an only provider without one is `/login/oidc/callback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people see on the sign-in page; default: the host of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is asked for besides `openid`; default: `[email, profile]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The claim that lists a user's groups; none: its users are in no group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// The groups of that claim that count; needed where there are several providers. Without it all count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// The claim that becomes the user name; default: the e-mail address, which must be verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<String>,
    /// The e-mail domains it may speak for; none: all that no other provider lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Certificates to trust for it instead of the system's, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// What a back-channel logout ends: `sessions` (the default), or `grants` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout: Option<String>,
}

/// How long tokens live.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// Of an access token, 1s to 24h, such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Of a refresh token that is not used, 1m to 400d, such as `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// A published server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Its name in URLs and policies: a-z, 0-9 and `-`.
    pub name: String,
    /// What people see on the consent page; default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who answers for it.
    #[serde(default)]
    #[schemars(required)]
    pub owner: String,
    /// What it is for.
    #[serde(default)]
    #[schemars(required)]
    pub purpose: String,
    /// Such as `production`.
    #[serde(default = "production")]
    pub environment: String,
    /// Who may drive its clients: assistant, autonomous, workload, ci; default: the first two. Tokens from `token issue`
    /// are autonomous.
    #[serde(default = "people")]
    pub actors: Vec<String>,
    /// `tunnel`, `{ url: https://… }`, or `{ command: [PROGRAM, …] }`.
    pub upstream: Upstream,
    /// What it speaks: `modern` (2026-07-28 and later), `legacy` (streamable HTTP up to 2025-11-25), `sse` (HTTP+SSE of
    /// 2024-11-05) or `auto`: found out with the first request. Clients of the other era are served by translation.
    #[serde(default = "auto")]
    pub protocol: String,
    /// What its tools do, as you confirm it: `sql` for the built-in SQL server, or `{ TOOL: [read | write | destructive
    /// | open_world, …] }`, or `{ TOOL: { groups: […], sql: { argument: sql, dialect: postgres }, labels: […] } }`. Tools
    /// that are not confirmed count as all but `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Whether what it lists must be as it was accepted in `portunus.lock`; default: yes. `false` is for servers under
    /// development.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub pinned: bool,
    /// Labels that every call, resource and prompt of it puts on the caller's session, such as `private`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Tools that may be given secrets in their arguments, such as `[login]`. No other gets a call that holds a key or token
    /// of a known maker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What is injected on the way up: the name of a credential; `none` for a server that needs none; or `{ oauth: { per:
    /// user, scopes: […] } }` for an account at the server's authorization server. It must be stated for servers with a
    /// `url` or `command`; one behind a tunnel has its connector's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Its bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Scopes that policies ask for with `@step_up("scope …")`, with what each allows, for the consent page:
    /// `{ "sales:write": "Change rows" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}
fn production() -> String {
    String::from("production")
}
fn auto() -> String {
    String::from("auto")
}
fn people() -> Vec<String> {
    vec![String::from("assistant"), String::from("autonomous")]
}

/// What a server's calls take along.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Credential {
    /// The name of a credential.
    Name(String),
    /// An account elsewhere.
    Account(Account),
}

/// Either form by its look, so that a mistake inside is reported as what it is.
impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Credential;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a credential, or { oauth: … }")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Credential, E> {
                Ok(Credential::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Credential, A::Error> {
                Account::deserialize(MapAccessDeserializer::new(map)).map(Credential::Account)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An account elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// At the server's authorization server, by consent through the edge.
    pub oauth: Oauth,
}

/// How a server is connected to at its authorization server (MCP authorization).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oauth {
    /// `user`: each user connects an account of their own (the default); `shared`: an administrator connects one for all.
    #[serde(default = "user")]
    pub per: String,
    /// What is asked for; default: what the authorization server gives by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What the server may ask for on top, when a call needs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_scopes: Vec<String>,
    /// The only authorization server, byte for byte as its metadata has it; default: the first that the server names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the server's metadata calls it, where that is not its URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// A client that was made for Portunus there; default: a client metadata document, or a dynamic registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// A file with its secret; none: a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// `private_key_jwt`: the client, of `client_id` or of the metadata document, is proven with the edge's own key, whose public
    /// part is at `/oauth/jwks`. Default: by its secret, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<String>,
}

fn user() -> String {
    String::from("user")
}

/// Where a server is.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Upstream {
    /// The word `tunnel`: behind a connector.
    Word(String),
    /// At a URL, or a program.
    Place(Place),
}

/// A URL or a program; exactly one of `url` and `command`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// With an `https` URL: PEM file of the CA to trust for it, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// With an `https` URL: PEM file of the certificate chain to show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The key of `client_cert`, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// A program that speaks MCP on its standard input and output, and its arguments, such as `[npx, some-server]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What the program finds in its environment besides PATH, HOME, LANG, TZ and TMPDIR.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The program's working directory; default: the one of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// `server`: one process for all callers (the default); `caller`: one for each user and client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
}

impl std::fmt::Debug for Upstream {
    /// Without values of the environment, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.debug_tuple("Word").field(word).finish(),
            Self::Place(place) => f
                .debug_struct("Place")
                .field("url", &place.url)
                .field("command", &place.command)
                .finish_non_exhaustive(),
        }
    }
}

/// What a server's tools do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Tools {
    /// The word `sql`: the tools of `portunus sqlite`.
    Word(String),
    /// By tool: its groups, or more.
    Confirmed(BTreeMap<String, super::data::ToolFile>),
}

/// Bounds of one server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Longest request body, such as `1MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<String>,
    /// Longest answer, such as `8MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<String>,
    /// Longest wait for an answer, and between two pieces of it, such as `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Calls in flight at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_calls: Option<usize>,
}
