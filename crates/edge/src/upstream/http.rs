//! An upstream at an `http` or `https` URL: pooled connections, certificates checked against the given roots, no redirects.

use async_trait::async_trait;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use portunus_core::dialer::{Body, DialError, Dialer};
use portunus_core::limits;
use std::sync::Arc;
use std::time::Duration;

type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

/// Reaches one URL.
pub struct HttpDialer {
    client: Client<Connector, Body>,
    scheme: Scheme,
    authority: Authority,
    path: PathAndQuery,
}

/// A URL that cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "upstream URL `{0}` must be http:// or https:// with a host and without user name, password or fragment"
)]
pub struct BadUrl(String);

impl HttpDialer {
    /// For this URL; `tls` says whom to trust.
    ///
    /// # Errors
    /// When the URL is not one that can be dialled.
    pub fn new(url: &url::Url, tls: Arc<rustls::ClientConfig>) -> Result<Self, BadUrl> {
        let bad = || BadUrl(url.to_string());
        let uri: Uri = url.as_str().parse().map_err(|_| bad())?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.filter(|s| *s == Scheme::HTTP || *s == Scheme::HTTPS).ok_or_else(bad)?;
        let authority = parts.authority.filter(|a| !a.as_str().contains('@')).ok_or_else(bad)?;
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if url.fragment().is_some() {
            return Err(bad());
        }
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limits::LINK_TIMEOUT));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(512)
            .build(https);
        Ok(Self { client, scheme, authority, path })
    }
}

#[async_trait]
impl Dialer for HttpDialer {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let (mut head, body) = request.into_parts();
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(self.path.clone());
        head.uri = Uri::from_parts(uri).map_err(|e| DialError::Unreachable(e.to_string()))?;
        head.version = http::Version::HTTP_11;
        head.headers.remove(header::HOST);
        let answer = self.client.request(Request::from_parts(head, body)).await.map_err(|error| {
            if error.is_connect() {
                DialError::Unreachable(source_text(&error))
            } else {
                DialError::Broken(source_text(&error))
            }
        })?;
        Ok(answer.map(|body| Body::new(body.map_err(Into::into))))
    }
}

/// The innermost cause: what an operator can act on.
fn source_text(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
