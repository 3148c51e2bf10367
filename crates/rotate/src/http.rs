//! HTTPS to an upstream: no redirect is followed, everything is bounded in bytes and time, plain HTTP goes to this machine
//! only.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portunus_core::limits::{ROTATION_ANSWER_BYTES, ROTATION_REQUEST_TIMEOUT};
use portunus_core::secret::Secret;
use portunus_vault::rotation::RotatorError;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use url::{Host, Url};

/// A client.
#[derive(Clone)]
pub struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Secret<Vec<u8>>,
}

impl Http {
    /// One that trusts what this configuration does.
    #[must_use]
    pub fn new(tls: &Arc<ClientConfig>) -> Self {
        let https = HttpsConnectorBuilder::new().with_tls_config((**tls).clone());
        // Rotations are rare: a connection kept for the next one would only be found dead by it.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(https.https_or_http().enable_http1().build());
        Self(client)
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// [`RotatorError::Later`] when none came, in time and within the bound.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, RotatorError> {
        self.send_within(request, ROTATION_REQUEST_TIMEOUT).await
    }

    /// The same with another time.
    ///
    /// # Errors
    /// See [`Http::send`].
    pub async fn send_within(
        &self,
        request: Request<Full<Bytes>>,
        longest: Duration,
    ) -> Result<Answer, RotatorError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let later = |why: String| RotatorError::Later(format!("{host} {why}"));
        let exchange = async {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| later(format!("cannot be asked: {}", causes(&error))))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ROTATION_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| later(format!("broke off its answer: {error}")))?;
            Ok(Answer { status: parts.status, body: Secret::new(body.to_bytes().to_vec()) })
        };
        let answered = timeout(longest, exchange).await;
        answered.unwrap_or_else(|_| Err(later(format!("gave no answer within {} s", longest.as_secs()))))
    }
}

/// The URL, if it is https or on this machine, and its host as a credential names it.
///
/// # Errors
/// Says what is wrong with it.
pub fn address(text: &str) -> Result<(Url, String), String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("`{text}` has no host")),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return Err(format!("`{text}` must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(String::from("the URL must have no user, password or fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Ok((url, host))
}

/// An error with what caused it: the outermost text alone is only "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
