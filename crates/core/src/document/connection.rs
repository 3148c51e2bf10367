//! What is kept of Portunus as the OAuth client of upstream servers: connections, consents under way, registrations.

use super::Tested;
use super::credential::TestOutcome;
use crate::digest::{Digest, sha256};
use crate::id::{Id, ServerName, UserName};
use crate::limits;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One user's (or everybody's) access to one upstream server, as an authorization server gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The server it is for.
    pub server: ServerName,
    /// Whose it is; `None`: all users of the server share it.
    pub user: Option<UserName>,
    /// Who agreed to it.
    pub connected_by: UserName,
    /// The authorization server.
    pub issuer: String,
    /// Where tokens are renewed.
    pub token_endpoint: String,
    /// Where they are revoked (RFC 7009), if anywhere.
    pub revocation_endpoint: Option<String>,
    /// What the tokens are for (RFC 8707).
    pub resource: String,
    /// What the authorization server knows us as.
    pub client: ClientIdentity,
    /// What it granted.
    pub scopes: Vec<String>,
    /// What the server has asked for on top, and the user has not agreed to yet.
    pub wanted: Vec<String>,
    /// Counts sets of tokens: each new one, by renewal or by consent, is one more. They are sealed under it.
    pub generation: u64,
    /// The tokens; `None`: there are none any more.
    pub sealed: Option<String>,
    /// When the access token ends, as far as the authorization server said.
    pub access_expires_at: Option<Timestamp>,
    /// Whether a refresh token may be sent once only; so it is assumed until the authorization server hands back the same.
    pub one_time: bool,
    /// Where it stands.
    pub state: ConnectionState,
    /// When somebody agreed.
    pub connected_at: Timestamp,
    /// When the tokens came.
    pub refreshed_at: Timestamp,
    /// Whether the configuration named the authorization server, which may be at a private address then, when it was made.
    #[serde(default)]
    pub issuer_named: bool,
    /// What was seen of its tokens when they were tried after they had been revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
}

/// Where a connection stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ConnectionState {
    /// Its tokens are good, or can be renewed.
    Connected,
    /// One process is about to send the refresh token, or has sent it. Past `until` nobody knows what became of it.
    Refreshing {
        /// Who: an id made for this one renewal.
        holder: Id,
        /// The end of its turn.
        until: Timestamp,
    },
    /// Nobody but the user can make it good again.
    NeedsConsent {
        /// Why, for people.
        why: String,
    },
    /// Its tokens are being revoked at the authorization server; nothing uses them here any more. Whoever finds it so goes on.
    Disconnecting {
        /// Who wants it so.
        #[serde(default)]
        by: String,
        /// Since when.
        #[serde(default)]
        since: Timestamp,
    },
    /// It is over. Kept for a while, so that its generations go on where they ended when it is connected again: a process
    /// that was late must never take new tokens for those that it knew. It has tokens still only where these were not seen
    /// dead: so that they can be revoked once more.
    Disconnected {
        /// Since when.
        at: Timestamp,
    },
}

impl ConnectionState {
    /// The word for people and for machines.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refreshing { .. } => "refreshing",
            Self::NeedsConsent { .. } => "needs consent",
            Self::Disconnecting { .. } => "disconnecting",
            Self::Disconnected { .. } => "disconnected",
        }
    }

    /// Whether somebody ended it: nothing may use it here.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Disconnecting { .. } | Self::Disconnected { .. })
    }
}

/// What an authorization server knows us as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientIdentity {
    /// The `client_id`.
    pub id: String,
    /// How we prove it.
    pub auth: ClientAuth,
    /// The sealed secret of a dynamic registration; that of a configured client stays in its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_secret: Option<String>,
}

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Not at all: PKCE and the redirect URI alone.
    None,
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `private_key_jwt` (RFC 7523 section 2.2): with a statement that the edge signs.
    PrivateKeyJwt,
}

impl Connection {
    /// The id of the connection of a user, or of all, to a server.
    #[must_use]
    pub fn id_of(server: &ServerName, user: Option<&UserName>) -> String {
        // No server's name has a slash.
        user.map_or_else(|| server.to_string(), |user| format!("{server}/{user}"))
    }

    /// What it is called in records and in the inventory of identities.
    #[must_use]
    pub fn identity(&self) -> String {
        Self::identity_of(&self.server, self.user.as_ref())
    }

    /// Whether its tokens were seen dead after they had been revoked.
    #[must_use]
    pub fn is_proven_dead(&self) -> bool {
        self.tested.as_ref().is_some_and(|tested| tested.outcome == TestOutcome::Dead)
    }

    /// [`Connection::identity`] of a connection that may not be there.
    #[must_use]
    pub fn identity_of(server: &ServerName, user: Option<&UserName>) -> String {
        format!("connection:{server}/{}", user.map_or("shared", UserName::as_str))
    }
}

impl Document for Connection {
    const KIND: Kind = Kind::Connection;
    fn id(&self) -> String {
        Self::id_of(&self.server, self.user.as_ref())
    }
    fn parent(&self) -> Option<String> {
        self.user.as_ref().map(ToString::to_string)
    }
    fn expires_at(&self) -> Option<Timestamp> {
        match self.state {
            ConnectionState::Disconnected { at } if self.is_proven_dead() || self.sealed.is_none() => {
                Some(at.plus(limits::DISCONNECTED_KEPT))
            }
            ConnectionState::Disconnected { at } => Some(at.plus(limits::UNDEAD_KEPT)),
            _ => None,
        }
    }
}

/// A consent under way: the user was sent to an authorization server and has not come back yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingConsent {
    /// Digest of the `state` that comes back; the id.
    pub state: Digest,
    /// The only browser session that may bring it back.
    pub session: Digest,
    /// Whose it is.
    pub by: UserName,
    /// The server to be connected.
    pub server: ServerName,
    /// Whose connection it becomes; `None`: everybody's.
    pub user: Option<UserName>,
    /// The authorization server that the user was sent to.
    pub issuer: String,
    /// Whether its answer must name it (RFC 9207).
    pub names_issuer: bool,
    /// Where the code is redeemed.
    pub token_endpoint: String,
    /// Where tokens are revoked.
    pub revocation_endpoint: Option<String>,
    /// What the tokens will be for.
    pub resource: String,
    /// What the authorization server knows us as.
    pub client: ClientIdentity,
    /// Where it sends the user back to.
    pub redirect_uri: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// Whether the configuration names the authorization server.
    #[serde(default)]
    pub issuer_named: bool,
    /// The sealed PKCE verifier.
    pub sealed_verifier: String,
    /// End of its life.
    pub expires_at: Timestamp,
    /// The answer, from the moment that it is used: no other one counts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<AnsweredConsent>,
}

/// An answer to a consent, while its code is redeemed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredConsent {
    /// The sealed code.
    pub sealed_code: String,
    /// Since when it is redeemed. Long after that whoever did so is gone.
    pub at: Timestamp,
}

impl Document for PendingConsent {
    const KIND: Kind = Kind::PendingConsent;
    fn id(&self) -> String {
        self.state.hex()
    }
    fn parent(&self) -> Option<String> {
        Some(self.by.to_string())
    }
    fn expires_at(&self) -> Option<Timestamp> {
        let kept = self.answered.as_ref().map(|_| self.expires_at.plus(limits::ANSWER_KEPT));
        Some(kept.unwrap_or(self.expires_at))
    }
}

/// A dynamic registration (RFC 7591) of ours at an authorization server, for one server and its redirect URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The server.
    pub server: ServerName,
    /// The authorization server.
    pub issuer: String,
    /// The redirect URI it was made with.
    pub redirect_uri: String,
    /// What it gave us.
    pub client: ClientIdentity,
    /// When.
    pub registered_at: Timestamp,
    /// When its secret ends, if it does.
    pub expires_at: Option<Timestamp>,
}

impl Registered {
    /// The id of the registration for this server at this authorization server.
    #[must_use]
    pub fn id_of(server: &ServerName, issuer: &str, redirect_uri: &str) -> String {
        let length = (issuer.len() as u64).to_be_bytes();
        let parts: [&[u8]; 5] =
            [b"portunus registration ", &length, issuer.as_bytes(), redirect_uri.as_bytes(), b" "];
        format!("{server}/{}", sha256(&parts).hex())
    }
}

impl Document for Registered {
    const KIND: Kind = Kind::Registered;
    fn id(&self) -> String {
        Self::id_of(&self.server, &self.issuer, &self.redirect_uri)
    }
    fn expires_at(&self) -> Option<Timestamp> {
        // Connections that were made with it go on to hold what they need of it.
        self.expires_at.or_else(|| Some(self.registered_at.plus(limits::REGISTRATION_KEPT)))
    }
}
