//! The durable documents. Plain data: what may happen to them is decided in `oauth`, `vault`, `policy` and `tunnel`.

mod approval;
mod certificate;
mod client;
mod connection;
mod credential;
mod device;

pub use approval::{Approval, ApprovalState, Estimate, Ruling, SqlSummary, Through};
pub use certificate::{Lease, PendingChallenge};
pub use client::{Client, ClientKeys, ClientSource, FetchedKeys, Standing, UsedAssertion};
pub use connection::{
    AnsweredConsent, ClientAuth, ClientIdentity, Connection, ConnectionState, PendingConsent, Registered,
};
pub use credential::{
    Credential, CredentialKind, Disabled, RotationPlan, SealedVersion, TestOutcome, Tested, Usage,
    VersionState, Waiver,
};
pub use device::{DeviceRequest, DeviceState};
mod emergency;
mod federation;
mod issued;
mod observed;
mod passkey;
mod past;
mod review;
mod rotation;
pub use emergency::{Emergency, EmergencyEnd};
pub use federation::{GrantUse, Identity, ProviderSession, UsedLogout};
pub use issued::{Issued, IssuedBy};
pub use observed::{Observed, ObservedKind};
pub use passkey::{Passkey, UsedChallenge};
pub use past::{SessionLabels, Tally};
pub use review::{Review, ReviewVerdict};
pub use rotation::{Rotation, RotationStep};

use crate::caller::{Confirmation, Holding, SignIn};
use crate::digest::Digest;
use crate::id::{ClientId, GroupName, Id, ServerName, UserName};
use crate::server::Actor;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An account: a built-in one, or of somebody whom an identity provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What they sign in with; the id.
    pub name: UserName,
    /// What people see.
    pub display_name: String,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// argon2id in PHC form; `None`: cannot sign in with a password.
    pub password_hash: Option<String>,
    /// The password was given out once and must be changed at the next sign-in.
    pub one_time_password: bool,
    /// May use the console's and admin API's administrative parts.
    pub administrator: bool,
    /// Set when the account was disabled: nothing of it is admitted any more.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The issuer of the identity provider that they sign in with; `None`: a built-in account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl Document for User {
    const KIND: Kind = Kind::User;
    fn id(&self) -> String {
        self.name.to_string()
    }
}

/// How a user's name is spelt. Stored together with the user under the name in lower case, so that of two names that
/// differ in case alone only one is ever given away, even when both are asked for in the same moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spelling {
    /// The one spelling.
    pub user: UserName,
}

impl Document for Spelling {
    const KIND: Kind = Kind::Spelling;
    fn id(&self) -> String {
        self.user.as_str().to_ascii_lowercase()
    }
}

/// What a user agreed to: user × client × server × scopes. Parent of codes and tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `grt_…`
    pub id: Id,
    /// Who agreed.
    pub user: UserName,
    /// To which client.
    pub client_id: ClientId,
    /// What the client called itself then.
    pub client_name: String,
    /// For which server.
    pub server: ServerName,
    /// To what.
    pub scopes: Vec<String>,
    /// How they were signed in when they agreed.
    pub sign_in: SignIn,
    /// When.
    pub created_at: Timestamp,
    /// When it was revoked; nothing under it is admitted any more.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked, for people: `by ana`, `refresh token reused` …
    pub revoked_why: Option<String>,
    /// What kind of actor drives the client; `None`: what the way of signing in says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// When it can be forgotten, if it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

impl Document for Grant {
    const KIND: Kind = Kind::Grant;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        self.ends_at
    }
}

/// An authorization code waiting to be redeemed, kept until it expires even when used, so that a second use is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Digest of the code; the id.
    pub digest: Digest,
    /// The grant it will give tokens for.
    pub grant: Id,
    /// The client it was given to.
    pub client_id: ClientId,
    /// Exactly as in the authorization request.
    pub redirect_uri: String,
    /// PKCE S256 challenge (RFC 7636), 43 characters.
    pub code_challenge: String,
    /// The `resource` of the authorization request, exactly as asked (RFC 8707).
    pub resource: String,
    /// When it was redeemed.
    pub used_at: Option<Timestamp>,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Document for Code {
    const KIND: Kind = Kind::Code;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.grant.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Digest of the token; the id.
    pub digest: Digest,
    /// Its grant.
    pub grant: Id,
    /// The one server it is for.
    pub server: ServerName,
    /// What it allows; no more than the grant.
    pub scopes: Vec<String>,
    /// End of its life.
    pub expires_at: Timestamp,
    /// How its client came by it, and what it must show with it.
    #[serde(default)]
    pub holding: Holding,
}

impl Document for AccessToken {
    const KIND: Kind = Kind::Access;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.grant.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// A refresh token, kept after rotation so that reuse is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Digest of the token; the id.
    pub digest: Digest,
    /// Its grant, which is its family.
    pub grant: Id,
    /// 1 for the first of the family.
    pub generation: u64,
    /// When it was exchanged for the next one.
    pub used_at: Option<Timestamp>,
    /// End of its life.
    pub expires_at: Timestamp,
    /// The key that a public client must prove to hold when it exchanges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Confirmation>,
}

impl Document for RefreshToken {
    const KIND: Kind = Kind::Refresh;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.grant.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Digest of the cookie; the id.
    pub digest: Digest,
    /// Who.
    pub user: UserName,
    /// How and when they signed in.
    pub sign_in: SignIn,
    /// The session at the identity provider that it came of (`sid`), if the provider names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Document for Session {
    const KIND: Kind = Kind::Session;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.user.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// A one-time token with which a connector enrols.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Digest of the token; the id.
    pub digest: Digest,
    /// The server the connector will serve.
    pub server: ServerName,
    /// Who made it.
    pub issued_by: String,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Document for JoinToken {
    const KIND: Kind = Kind::Join;
    fn id(&self) -> String {
        self.digest.hex()
    }
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// An enrolled connector: a non-human identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// `con_…`; also the subject of its certificate.
    pub id: Id,
    /// The one server it may serve.
    pub server: ServerName,
    /// SHA-256 of its public key (SubjectPublicKeyInfo): a renewal must bring the same key.
    pub key_digest: Digest,
    /// Who enrolled it.
    pub owner: String,
    /// When.
    pub enrolled_at: Timestamp,
    /// When its certificate was last renewed.
    pub renewed_at: Timestamp,
    /// When it was revoked; no link of it is accepted any more.
    pub revoked_at: Option<Timestamp>,
}

impl Document for Connector {
    const KIND: Kind = Kind::Connector;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Some(self.server.to_string())
    }
}

/// A named value of Portunus itself, such as its sealed certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The id.
    pub name: String,
    /// Text; secrets only in sealed form.
    pub value: String,
}

impl Document for Setting {
    const KIND: Kind = Kind::Setting;
    fn id(&self) -> String {
        self.name.clone()
    }
}
