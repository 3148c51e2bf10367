//! OAuth errors (RFC 6749 sections 4.1.2.1 and 5.2, RFC 7591 section 3.2.2, RFC 8707 section 2).

use crate::ports::Trouble;
use portunus_core::record::LedgerError;
use portunus_core::store::StoreError;

/// The `error` codes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, malformed or given twice.
    InvalidRequest,
    /// The client is unknown or did not prove itself.
    InvalidClient,
    /// The code or refresh token is not good (any more).
    InvalidGrant,
    /// The client may not do this.
    UnauthorizedClient,
    /// Another grant type than ours.
    UnsupportedGrantType,
    /// Another response type than `code`.
    UnsupportedResponseType,
    /// None of the scopes is known, or more than was granted.
    InvalidScope,
    /// `resource` is missing or not one of our servers.
    InvalidTarget,
    /// The user said no.
    AccessDenied,
    /// Consent would be needed, and the client forbade asking for it.
    ConsentRequired,
    /// Request objects are not supported.
    RequestNotSupported,
    /// Request objects by reference are not supported.
    RequestUriNotSupported,
    /// A redirect URI may not be registered.
    InvalidRedirectUri,
    /// Client metadata is malformed or asks for what is not supported.
    InvalidClientMetadata,
    /// The person has not decided yet (RFC 8628 section 3.5).
    AuthorizationPending,
    /// The client asks too often.
    SlowDown,
    /// Nobody decided in time.
    ExpiredToken,
    /// The proof of a key is missing or wrong (RFC 9449 section 5).
    InvalidDpopProof,
    /// The proof of a key needs a nonce of ours (RFC 9449 section 8).
    UseDpopNonce,
    /// Too much of this at the moment.
    TemporarilyUnavailable,
    /// Something failed on our side.
    ServerError,
}

impl ErrorCode {
    /// The code as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status of a direct answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::AccessDenied => 403,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// An OAuth error: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// What kind.
    pub code: ErrorCode,
    /// What is wrong and what to do; sent to the client.
    pub description: String,
    /// What failed on our side; for the log, never sent.
    pub trouble: Option<Trouble>,
}

impl OAuthError {
    /// An error of the client's (or user's) making.
    pub(crate) fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), trouble: None }
    }

    /// The JSON body of a direct answer.
    #[must_use]
    pub fn body(&self) -> String {
        let body =
            serde_json::json!({ "error": self.code.as_str(), "error_description": self.sent_description() });
        body.to_string()
    }

    /// The description in the characters that RFC 6749 allows (no quotes, backslash or anything beyond ASCII).
    #[must_use]
    pub fn sent_description(&self) -> String {
        let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        self.description.chars().map(|c| if allowed(c) { c } else { '?' }).collect()
    }
}

impl From<Trouble> for OAuthError {
    fn from(trouble: Trouble) -> Self {
        let description = "Portunus could not do this just now; nothing was granted. Try again.".to_owned();
        Self { code: ErrorCode::ServerError, description, trouble: Some(trouble) }
    }
}
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<LedgerError> for OAuthError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}
