//! Who is asking: user (or workload), OAuth client and how they signed in. Both halves always travel together.

use crate::digest::Digest;
use crate::id::{ClientId, GroupName, Id, ServerName, UserName};
use crate::server::Actor;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The identity behind one request, as its access token proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person or workload; [`UserName::workload`] tells which.
    pub user: UserName,
    /// The groups that the user is in now.
    pub groups: Vec<GroupName>,
    /// The OAuth client that holds the token.
    pub client: ClientId,
    /// The name the client gave itself; for people only, never for a decision.
    pub client_name: String,
    /// The grant the token belongs to.
    pub grant: Id,
    /// The one server the token is for (RFC 8707).
    pub server: ServerName,
    /// What was agreed to on the consent page.
    pub scopes: Vec<String>,
    /// What kind of actor drives the client.
    pub actor: Actor,
    /// How the user signed in.
    pub sign_in: SignIn,
    /// How the client came by the token, and what it must show with it.
    pub holding: Holding,
}

/// How and when a user proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// `pwd`: the password of a built-in account; `passkey`; `oidc`: an identity provider; `local`: not at all, the token
    /// was issued by an administrator.
    pub method: String,
    /// When: for an identity provider the moment it names (`auth_time`), and the
    /// beginning of all time if it names none: how long ago that was is not known, so it counts as too long.
    pub at: Timestamp,
    /// Authentication method references (RFC 8176), as the provider or the passkey says; at most
    /// [`crate::limits::AMR_VALUES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Authentication context class, as the provider says (OpenID Connect Core section 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The identity provider's issuer; `None`: a built-in account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl SignIn {
    /// A sign-in about which no more is known than how and when.
    #[must_use]
    pub fn new(method: &str, at: Timestamp) -> Self {
        Self { method: method.to_owned(), at, amr: Vec::new(), acr: None, issuer: None }
    }
}

/// How a client came by its access token, and what it must show together with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holding {
    /// How it proved itself at the token endpoint.
    #[serde(default)]
    pub proof: ClientProof,
    /// The key it must prove to hold at each use; `None`: whoever bears the token may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Confirmation>,
    /// The clients that came by it through token exchange, the present holder first (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<ClientId>,
}

/// How a client proved itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientProof {
    /// Not at all: a public client.
    #[default]
    None,
    /// With a shared secret.
    Secret,
    /// With a signature of its own key (`private_key_jwt`, RFC 7523).
    Key,
    /// With a TLS client certificate (RFC 8705 section 2).
    Certificate,
}

/// The key that a token is bound to (RFC 7800 `cnf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirmation {
    /// SHA-256 thumbprint (RFC 7638) of a `DPoP` key: `jkt` of RFC 9449 section 6.
    Dpop(Digest),
    /// SHA-256 of a client certificate: `x5t#S256` of RFC 8705 section 3.1.
    Certificate(Digest),
}

impl Holding {
    /// The word that policies read: the strongest thing known of the client.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.bound, self.proof) {
            (Some(Confirmation::Certificate(_)), _) | (None, ClientProof::Certificate) => "certificate",
            (Some(Confirmation::Dpop(_)), _) => "dpop",
            (None, ClientProof::Key) => "key",
            (None, ClientProof::Secret) => "secret",
            (None, ClientProof::None) => "none",
        }
    }
}

/// Told which grants are in use: once for each token whenever its caller is looked up anew, which is not at every call.
pub trait Usage: Send + Sync {
    /// A token of this grant was shown. Must be quick, and may forget.
    fn used(&self, grant: &Id, at: Timestamp);
}
