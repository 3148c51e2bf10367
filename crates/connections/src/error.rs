//! Why a call has no token to take along, and why a connection was not made.

use crate::discovery::DiscoveryError;
use crate::identity::IdentityError;
use crate::ports::NoAnswer;
use crate::settings::Settings;
use crate::tokens::TokenError;
use portunus_core::id::{ServerName, UserName};
use portunus_core::record::LedgerError;
use portunus_core::store::StoreError;
use portunus_vault::SealingError;

/// A user must act before a call can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The server.
    pub server: ServerName,
    /// What people call it.
    pub title: String,
    /// Whose connection it is; `None`: everybody's, which an administrator connects.
    pub user: Option<UserName>,
    /// Why, a sentence for people.
    pub why: String,
    /// What is asked for on top, if that is what is needed.
    pub scopes: Vec<String>,
}

/// The commonest reason.
pub(crate) const NOT_CONNECTED: &str = "it is not connected";

impl Settings {
    /// What says that its user must act.
    pub(crate) fn need(&self, user: Option<UserName>, why: &str) -> ConnectionError {
        let (server, title) = (self.server.clone(), self.title.clone());
        ConnectionError::Needed(Box::new(Need {
            server,
            title,
            user,
            why: why.to_owned(),
            scopes: Vec::new(),
        }))
    }
}

/// Why a call has no token to take along.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A user must connect first, or again, or agree to more.
    #[error("{} must be connected: {}", .0.server, .0.why)]
    Needed(Box<Need>),
    /// The server wants scopes that the configuration does not let it have.
    #[error(
        "the server `{server}` asks for the scope `{scope}`, which is neither among `scopes` nor `more_scopes` of its `oauth`"
    )]
    ScopeNotAllowed {
        /// The server.
        server: ServerName,
        /// The first such scope.
        scope: String,
    },
    /// The authorization server does not renew it now; for the operator.
    #[error("the connection to `{server}` cannot be renewed now: {why}")]
    Unavailable {
        /// The server.
        server: ServerName,
        /// What it said, or what happened.
        why: String,
    },
    /// The token is for another server or host than what it was about to go to.
    #[error("the connection to `{0}` is not for this server or host")]
    Foreign(ServerName),
    /// It changed between the decision and its use.
    #[error("the connection to `{0}` was changed while the call was decided; try again")]
    Changed(ServerName),
    /// Its sealed tokens could not be opened.
    #[error("the tokens of the connection to `{server}` cannot be opened: {why}")]
    Sealed {
        /// The server.
        server: ServerName,
        /// Why.
        why: SealingError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a connection was not made, or not ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No such server, or not one that is connected to by OAuth.
    #[error("there is nothing to connect here")]
    Unknown,
    /// A shared connection is an administrator's to make and to end.
    #[error("this connection is for everybody: an administrator connects it")]
    NotAdministrator,
    /// Its metadata could not be used.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// We are nobody there.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What came back does not belong to what this browser began, or comes too late, or for the second time.
    #[error("no consent that this would be the answer to was begun in this browser, or it took too long")]
    NotBegun,
    /// The answer is another authorization server's (RFC 9207).
    #[error("the answer is not of the authorization server that this browser was sent to")]
    Foreign,
    /// The user, or the authorization server, said no; its words, cleaned.
    #[error("the authorization server says: {0}")]
    Refused(String),
    /// Neither code nor error.
    #[error("the answer has no code")]
    NoCode,
    /// No answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// No tokens for the code.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// Sealing failed.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// Others changed the same connection again and again.
    #[error("the connection was changed by others again and again; try once more")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ConnectError {
    /// Whether redeeming a code ended so that it is to be taken up again: not begun, or with tokens given that nobody here
    /// knows of.
    pub(crate) const fn is_to_be_resumed(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer(NoAnswer::Lost { .. })
                | Self::Tokens(TokenError::NoTokens(_))
                | Self::Busy
                | Self::Store(_)
                | Self::Ledger(_)
        )
    }
}
