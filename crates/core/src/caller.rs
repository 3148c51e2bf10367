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
    /// Authentication method reference (RFC 8176): `pwd`, `otp`, `hwk` …; `local` for a token issued by an administrator.
    pub method: String,
    /// When.
    pub at: Timestamp,
}
