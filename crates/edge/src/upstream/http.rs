//! An upstream at an `http` or `https` URL: pooled connections, certificates checked against the given roots, no redirects.

use super::pool::{Connector, Failed, Link, Pool};
use async_trait::async_trait;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use portunus_core::dialer::{Body, DialError, Dialer};
use portunus_core::limits;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::time::timeout;
use tower::Service;

/// Reaches one URL.
pub struct HttpDialer {
    connector: Connector,
    pool: Arc<Pool>,
    url: Uri,
    host: HeaderValue,
    path: Uri,
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
        let target: Uri = url.as_str().parse().map_err(|_| bad())?;
        let parts = target.clone().into_parts();
        let known = parts.scheme.is_some_and(|s| s == Scheme::HTTP || s == Scheme::HTTPS);
        let authority = parts.authority.filter(|a| !a.as_str().contains('@')).ok_or_else(bad)?;
        if !known || url.fragment().is_some() {
            return Err(bad());
        }
        let mut path = http::uri::Parts::default();
        path.path_and_query = Some(parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
        let path = Uri::from_parts(path).map_err(|_| bad())?;
        Ok(Self { connector, pool: Arc::default(), url: target, host, path })
    }

    async fn connect(&self) -> Result<Link, DialError> {
        let mut connector = self.connector.clone();
        let opening = async {
            poll_fn(|context| connector.poll_ready(context)).await.map_err(|error| innermost(&*error))?;
            let stream = connector.call(self.url.clone()).await.map_err(|error| innermost(&*error))?;
            Link::open(stream).await.map_err(|error| innermost(&error))
        };
        match timeout(limits::TARGET_TIMEOUT, opening).await {
            Ok(opened) => opened.map_err(DialError::Unreachable),
            Err(_) => Err(DialError::Unreachable(String::from("no connection in time"))),
        }
    }
}

#[async_trait]
impl Dialer for HttpDialer {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, DialError> {
        // Another path than that of the server itself is one that the server named, at this same origin.
        if *request.uri() == *"/mcp" {
            *request.uri_mut() = self.path.clone();
        }
        *request.version_mut() = http::Version::HTTP_11;
        request.headers_mut().insert(header::HOST, self.host.clone());
        let broken = |error: hyper::Error| DialError::Broken(innermost(&error));
        if let Some(link) = self.pool.take() {
            match link.send(&self.pool, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Broken(error)) => return Err(broken(error)),
                // The upstream closed it while it was idle: nothing was sent, so a fresh one may have the request.
                Err(Failed::Unsent(unsent)) => request = *unsent,
            }
        }
        match self.connect().await?.send(&self.pool, request).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Broken(error)) => Err(broken(error)),
            Err(Failed::Unsent(_)) => {
                Err(DialError::Unreachable(String::from("the connection ended at once")))
            }
        }
    }
}

/// The innermost cause: what an operator can act on.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
