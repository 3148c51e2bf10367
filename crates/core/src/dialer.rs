//! The port to an upstream: one HTTP exchange, streamed both ways, never replayed; and the credential that it carries.

use crate::record::CredentialUse;
use crate::secret::Secret;
use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

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
    /// The credential that the request carries cannot be opened, or not be presented here: nothing was sent.
    #[error("the server's credential cannot be used: {0}")]
    Credential(String),
}

/// A credential that a request carries to the dialer of its own server, in the request's extensions and never on the wire
/// as such. It is sealed still: the dialer opens it when it needs the secret, and keeps that no longer than it takes to
/// build the request. What lives longer, a TLS configuration or a process, is made once for each version.
#[derive(Clone)]
pub struct Presented(Arc<dyn Presentable>);

/// A credential that may be opened: a permit was shown, and the place where it goes was checked.
#[async_trait::async_trait]
pub trait Presentable: Send + Sync {
    /// Name and version.
    fn used(&self) -> &CredentialUse;
    /// How it is shown to the upstream.
    fn manner(&self) -> Manner;
    /// The secret as the upstream gets it.
    ///
    /// # Errors
    /// [`DialError::Credential`] when it was revoked meanwhile or does not open.
    async fn open(&self) -> Result<Plain, DialError>;
    /// Whether it may not be used any more.
    fn is_ended(&self) -> bool {
        false
    }
    /// Resolves when it may not be used any more: what was made with it ends then.
    fn ended(&self) -> Ending {
        Box::pin(std::future::pending())
    }
}

/// The end of a credential's use. It keeps no secret and no version of it.
pub type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a credential is shown to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// In a header.
    Header,
    /// In the URL's query.
    Query,
    /// In the TLS handshake.
    Certificate,
    /// In the environment of a program.
    Environment,
}

/// An opened credential. It is dropped as soon as it is where it belongs.
#[derive(Debug)]
pub enum Plain {
    /// This header; the value is marked as sensitive.
    Header(HeaderName, HeaderValue),
    /// This parameter, not yet encoded.
    Query(String, Secret<Vec<u8>>),
    /// A certificate chain and its key, PEM.
    Certificate(Secret<Vec<u8>>),
    /// These variables.
    Environment(Vec<(String, Secret<String>)>),
    /// An OpenSSH private key and perhaps its certificate, for a program's agent.
    SshKey(Secret<Vec<u8>>),
}

impl Presented {
    /// To be opened by the dialer.
    #[must_use]
    pub fn new(credential: Arc<dyn Presentable>) -> Self {
        Self(credential)
    }
    /// The one that a request carries.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
    /// Name and version: what was made with one version is not used for another.
    #[must_use]
    pub fn used(&self) -> &CredentialUse {
        self.0.used()
    }
    /// How it is shown to the upstream.
    #[must_use]
    pub fn manner(&self) -> Manner {
        self.0.manner()
    }
    /// See [`Presentable::open`].
    ///
    /// # Errors
    /// See there.
    pub async fn open(&self) -> Result<Plain, DialError> {
        self.0.open().await
    }
    /// See [`Presentable::is_ended`].
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.is_ended()
    }
    /// See [`Presentable::ended`].
    #[must_use]
    pub fn ended(&self) -> Ending {
        self.0.ended()
    }
    /// What a dialer says that cannot show a credential in this manner.
    #[must_use]
    pub fn unfit(&self, place: &str) -> DialError {
        let manner = match self.manner() {
            Manner::Header => "in a header",
            Manner::Query => "in a query",
            Manner::Certificate => "as a certificate",
            Manner::Environment => "in a program's environment",
        };
        DialError::Credential(format!("`{}` is shown {manner}, which {place} has not", self.used().name))
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("used", self.used()).finish_non_exhaustive()
    }
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
