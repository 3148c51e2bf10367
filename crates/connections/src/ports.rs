//! What is needed from outside.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use portunus_core::secret::Secret;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A request to an upstream's metadata or to an authorization server.
#[derive(Debug)]
pub struct Outgoing {
    /// Where.
    pub url: Url,
    /// The configuration names this very host and port, so it may be a private one, or plain `http` on this machine.
    /// Any other is somebody else's word: public addresses and `https` only.
    pub named: bool,
    /// The Authorization header.
    pub authorization: Option<Secret<String>>,
    /// What is sent.
    pub sends: Sends,
}

/// What is sent.
#[derive(Debug)]
pub enum Sends {
    /// A GET.
    Nothing,
    /// A POST of a form.
    Form(Secret<String>),
    /// A POST of JSON.
    Json(String),
}

/// An answer of any status.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Its `WWW-Authenticate` headers, joined by commas.
    pub challenge: Option<String>,
    /// The body, at most [`portunus_core::limits::CONNECTION_ANSWER_BYTES`].
    pub body: Vec<u8>,
}

/// Why there is no answer; the texts are for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing was sent: it may be tried again.
    #[error("{host} could not be reached: {why}")]
    Unsent {
        /// The host.
        host: String,
        /// What happened.
        why: String,
    },
    /// The request was sent, or part of it: it may have been carried out.
    #[error("{host} gave no whole answer: {why}")]
    Lost {
        /// The host.
        host: String,
        /// What happened.
        why: String,
    },
}

/// Carries requests and brings back answers: bounded in bytes and time
/// ([`portunus_core::limits::CONNECTION_TIMEOUT`]), redirects not followed, addresses checked as [`Outgoing::named`] says.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// One request, one answer.
    ///
    /// # Errors
    /// See [`NoAnswer`]. When it is not known whether anything was sent, it was.
    async fn send(&self, request: Outgoing) -> Result<Answered, NoAnswer>;
}

/// Makes a JWS of claims, of the type `client-authentication+jwt`, with the edge's Ed25519 key: its public part is at
/// `PUBLIC_URL/oauth/jwks`.
pub type Sign = Arc<dyn Fn(&[u8]) -> String + Send + Sync>;

/// What runs things.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Runs a task to its end, whoever stops waiting for it.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Resolves after this time.
    async fn pause(&self, time: Duration);
}
