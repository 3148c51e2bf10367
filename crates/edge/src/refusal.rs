//! Why a request was refused: one variant per reason. `respond` alone turns them into HTTP and JSON-RPC.

use bytes::Bytes;
use portunus_connections::ConnectionError;
use portunus_core::dialer::DialError;
use portunus_core::id::{Id, ServerName};
use portunus_core::record::LedgerError;
use portunus_core::store::StoreError;
use portunus_oauth::dpop::DpopError;
use portunus_vault::VaultError;

/// A refused request.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The HTTP head is malformed, ambiguous or not for this edge.
    #[error(transparent)]
    Head(#[from] crate::guard::BadHead),
    /// No server of that name is published.
    #[error("no server `{0}` is published here")]
    NoServer(ServerName),
    /// The method is not one of POST, GET, DELETE.
    #[error("this method is not allowed here")]
    MethodNotAllowed,
    /// No token, or one that proves nothing.
    #[error("{0}")]
    Unauthorized(Unauthorized),
    /// The token's proof is good, but as many are remembered as may be.
    #[error("too many DPoP proofs at the moment; nothing was sent. Try again shortly")]
    Proofs,
    /// The body could not be read within its bounds.
    #[error(transparent)]
    Body(#[from] crate::body::BadBody),
    /// The body is not one unambiguous message.
    #[error("{}", .0.message)]
    Message(Box<portunus_mcp::message::Reject>),
    /// The session is not this caller's, or not known.
    #[error("this session is not known; start a new one")]
    NoSession,
    /// The event to resume from was not given to this caller.
    #[error("this event id is not known; open the stream without Last-Event-ID")]
    NoEvent,
    /// A policy said no.
    #[error("refused by policy")]
    Policy {
        /// The call's id.
        id: Bytes,
        /// The decision.
        decision: Id,
        /// The policies' own words.
        reasons: Vec<String>,
    },
    /// A policy asks for a human's yes first.
    #[error("needs approval")]
    ApprovalNeeded(Box<crate::wait::Await>),
    /// More scopes, or a fresher or stronger sign-in, would lift a policy's no.
    #[error("needs a step-up")]
    StepUp(Box<crate::step_up::Needs>),
    /// The server has as many calls in flight as it may have.
    #[error("the server is busy")]
    Busy {
        /// The call's id.
        id: Bytes,
    },
    /// The credential cannot be used.
    #[error("the server's credential cannot be used")]
    Credential {
        /// The call's id.
        id: Bytes,
        /// For the log, never for the client.
        error: VaultError,
    },
    /// The caller must connect the server first, or again, or agree to more.
    #[error("needs to be connected")]
    ConnectNeeded(Box<crate::connect::Connect>),
    /// The server's connection cannot be used now.
    #[error("the server's connection cannot be used now: {error}")]
    Connection {
        /// The call's id.
        id: Bytes,
        /// For the log, never for the client.
        error: ConnectionError,
    },
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamFailure),
    /// The store failed: nothing is admitted.
    #[error("the store is not available")]
    Store(#[from] StoreError),
    /// The ledger failed: nothing is admitted.
    #[error("the ledger is not available")]
    Ledger(#[from] LedgerError),
    /// The call was sent, but its record did not become durable: the answer is not released.
    #[error("the call could not be recorded")]
    Unrecorded {
        /// The call's id.
        id: Bytes,
    },
    /// The grant was revoked while the request was under way.
    #[error("the grant was revoked")]
    Revoked,
    /// The credential that the call carried was revoked while it was under way: it may have taken effect.
    #[error("the server's credential was revoked during the call")]
    CredentialRevoked {
        /// The call's id.
        id: Bytes,
    },
    /// Something the edge itself should have prevented.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// There is no Authorization header.
    #[error("sign in first")]
    Missing,
    /// The header is not one `Bearer` or `DPoP` token.
    #[error("the Authorization header is not one Bearer or DPoP token")]
    Malformed,
    /// The token is unknown, expired, revoked, or for another server; which of these is not told.
    #[error("the access token is not valid for this server")]
    Invalid,
    /// A token that is bound to a key came without a proof of it (RFC 9449 section 7.2).
    #[error("this access token is bound to a key: send it with the DPoP scheme and a proof")]
    Bound,
    /// A token came with the `DPoP` scheme that is not bound to such a key.
    #[error("this access token is not bound to a DPoP key: send it with the Bearer scheme")]
    NotBound,
    /// The proof is missing or wrong.
    #[error("{0}")]
    Proof(DpopError),
    /// A token that is bound to a certificate came through a connection without it (RFC 8705 section 3).
    #[error("this access token is bound to another client certificate than the connection's")]
    Certificate,
    /// A token came in the query, where proxies log it (RFC 6750 section 2.3 forbids it here).
    #[error("tokens are accepted in the Authorization header only")]
    InQuery,
}

/// Why the upstream gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFailure {
    /// See [`DialError`].
    #[error("{error}")]
    Dial {
        /// The call's id.
        id: Bytes,
        /// What failed.
        error: DialError,
    },
    /// No answer in time; it may have taken effect.
    #[error("the server did not answer in time")]
    TimedOut {
        /// The call's id.
        id: Bytes,
    },
    /// The answer could not be inspected, so it is withheld.
    #[error("the server's answer was withheld: {why}")]
    Withheld {
        /// The call's id.
        id: Bytes,
        /// What is wrong with it.
        why: String,
    },
}

impl Refusal {
    /// One line for the log; what is wrong with a server's credential is for its operator to see, and never for the client.
    pub(crate) fn log(&self, server: Option<&ServerName>) {
        let server = server.map(ServerName::as_str);
        if let Some(error) = self.of_credential() {
            tracing::warn!(server, error, "a credential cannot be used");
        }
        tracing::debug!(server, refusal = ?self, "request refused");
    }

    fn of_credential(&self) -> Option<String> {
        match self {
            Self::Credential { error, .. } => Some(error.to_string()),
            Self::Connection { error, .. } => Some(error.to_string()),
            Self::Upstream(UpstreamFailure::Dial { error: DialError::Credential(why), .. }) => {
                Some(why.clone())
            }
            _ => None,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Head(_) => "head",
            Self::NoServer(_) => "no_server",
            Self::MethodNotAllowed => "http_method",
            Self::Unauthorized(_) => "unauthorized",
            Self::Proofs => "proofs",
            Self::Body(_) => "body",
            Self::Message(_) => "message",
            Self::NoSession => "session",
            Self::NoEvent => "event",
            Self::Policy { .. } => "policy",
            Self::ApprovalNeeded(_) => "approval",
            Self::StepUp(_) => "step_up",
            Self::Busy { .. } => "busy",
            Self::Credential { .. } | Self::CredentialRevoked { .. } => "credential",
            Self::ConnectNeeded(_) => "connect",
            Self::Connection { .. } => "connection",
            Self::Upstream(_) => "upstream",
            Self::Store(_) => "store",
            Self::Ledger(_) => "ledger",
            Self::Unrecorded { .. } => "ledger",
            Self::Revoked => "revoked",
            Self::Internal(_) => "internal",
        }
    }
}
