//! The port to an upstream: one HTTP exchange, streamed both ways, never replayed.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// Any error of a body while it streams.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A streamed body.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Reaches one kind of upstream. The request's URI is relative to the server: `/mcp` is the server itself, anything else a
/// path that the server named; headers are final.
#[async_trait::async_trait]
pub trait Dialer: Send + Sync {
    /// Sends the request once and returns the answer's head with its body still streaming. Dropping the future, or the
    /// answer's body, cancels the exchange.
    ///
    /// # Errors
    /// See [`DialError`]; nothing is ever sent twice.
    async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Body>, DialError>;
}

/// Why an exchange with an upstream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No link or connection could be had: nothing was sent.
    #[error("the server is not connected: {0}")]
    Unreachable(String),
    /// Every link is at its bound of streams: nothing was sent.
    #[error("the server is busy: all of its streams are in use")]
    Busy,
    /// The exchange broke after it began: the call may or may not have taken effect.
    #[error("the connection to the server broke during the call: {0}")]
    Broken(String),
}

/// A body of these bytes.
#[must_use]
pub fn full(bytes: Bytes) -> Body {
    use http_body_util::BodyExt;
    UnsyncBoxBody::new(http_body_util::Full::new(bytes).map_err(|never| match never {}))
}

/// A body without bytes.
#[must_use]
pub fn empty() -> Body {
    full(Bytes::new())
}
