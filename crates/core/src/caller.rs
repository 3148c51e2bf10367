//! Who is asking: user, OAuth client and how they signed in. Both halves always travel together.

use crate::id::{ClientId, GroupName, Id, ServerName, UserName};
use crate::server::Actor;
use crate::time::Timestamp;

/// The identity behind one request, as its access token proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person or workload.
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
}

/// How and when a user proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignIn {
    /// `pwd`: the password of a built-in account; `passkey`; `oidc`: an identity provider; `local`: not at all, the token
    /// was issued by an administrator.
    pub method: String,
    /// When: for an identity provider the moment it names (`auth_time`), if it names one.
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
