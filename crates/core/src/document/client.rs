//! OAuth clients, their keys, and what keeps their assertions from being used twice.

use crate::digest::Digest;
use crate::id::{ClientId, ServerName};
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An OAuth client that registered (RFC 7591), whose metadata document was fetched (CIMD), or that an administrator
/// entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`; the id.
    pub client_id: ClientId,
    /// What it calls itself, already cleaned of control and formatting characters.
    pub name: String,
    /// Exact redirect URIs; none for a machine.
    pub redirect_uris: Vec<String>,
    /// Its home page, shown by host only.
    pub client_uri: Option<String>,
    /// Digest of its secret, if it authenticates with one.
    pub secret_digest: Option<Digest>,
    /// How it authenticates at the token endpoint: `none`, `client_secret_basic`, `client_secret_post`,
    /// `private_key_jwt`.
    pub auth_method: String,
    /// Other ways that it declared to use besides.
    #[serde(default)]
    pub other_auth_methods: Vec<String>,
    /// Its public keys, if it authenticates with one.
    #[serde(default)]
    pub keys: Option<ClientKeys>,
    /// The only algorithm it signs with (JWA name); `None`: any that its keys allow.
    #[serde(default)]
    pub signing_alg: Option<String>,
    /// The servers that it may use in its own name (client credentials); empty for clients that people use.
    #[serde(default)]
    pub servers: Vec<ServerName>,
    /// It said, or an administrator did, that it uses the device grant (RFC 8628), where no redirect URI ties the tokens to
    /// the program that has this id.
    #[serde(default)]
    pub device_grant: bool,
    /// It uses `DPoP` for every token (RFC 9449 section 5.2).
    #[serde(default)]
    pub dpop_bound: bool,
    /// Its tokens are bound to the certificate of its connection (RFC 8705 section 3.4).
    #[serde(default)]
    pub certificate_bound: bool,
    /// How it became known.
    pub source: ClientSource,
    /// Whether an administrator let it in or kept it out.
    #[serde(default)]
    pub standing: Standing,
    /// Who decided that.
    #[serde(default)]
    pub decided_by: Option<String>,
    /// When it became known.
    pub created_at: Timestamp,
    /// When its document was fetched.
    #[serde(default)]
    pub fetched_at: Option<Timestamp>,
    /// A fetched document is used until then.
    pub fresh_until: Option<Timestamp>,
    /// When a user first agreed to it: from then on it is not forgotten to make room for others.
    #[serde(default)]
    pub agreed_at: Option<Timestamp>,
}

impl Document for Client {
    const KIND: Kind = Kind::Client;
    fn id(&self) -> String {
        self.client_id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Self::listed_under(self.source).map(str::to_owned)
    }
}

impl Client {
    /// The parent under which clients of this source are listed; `None`: they are only listed with all others.
    #[must_use]
    pub const fn listed_under(source: ClientSource) -> Option<&'static str> {
        match source {
            ClientSource::Administrator => Some("administrator"),
            ClientSource::Configuration => Some("configuration"),
            ClientSource::Dynamic | ClientSource::Document => None,
        }
    }
}

/// How a client became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientSource {
    /// It registered itself (RFC 7591).
    Dynamic,
    /// Its id is the URL of its metadata document.
    Document,
    /// An administrator entered it.
    Administrator,
    /// It is in the configuration file.
    Configuration,
}

/// What an administrator decided about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing: it may do what clients of its source may do.
    #[default]
    Undecided,
    /// It may be used, also where new clients wait for a yes.
    Approved,
    /// It may not be used.
    Blocked,
}

/// Where a client's public keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// In the registration itself: a JSON Web Key Set (RFC 7517), reduced to the keys that can be used.
    Inline(String),
    /// At this https URL.
    At(String),
}

/// A JSON Web Key Set that was fetched, while it is fresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedKeys {
    /// Where; the id.
    pub uri: String,
    /// The set, reduced to the keys that can be used.
    pub jwks: String,
    /// When.
    pub fetched_at: Timestamp,
    /// It is used until then.
    pub fresh_until: Timestamp,
}

impl Document for FetchedKeys {
    const KIND: Kind = Kind::FetchedKeys;
    fn id(&self) -> String {
        self.uri.clone()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.fresh_until)
    }
}

/// A signed assertion that was presented once already, kept until it would have ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedAssertion {
    /// Digest of who issued it and of its `jti`; the id.
    pub digest: Digest,
    /// After that it is refused for its age.
    pub expires_at: Timestamp,
}

impl Document for UsedAssertion {
    const KIND: Kind = Kind::UsedAssertion;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}
