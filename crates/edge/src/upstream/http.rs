//! An upstream at an `http` or `https` URL: pooled connections, certificates checked against the given roots, no redirects.
//! The credential of a request is opened here and put where it belongs, in a request to this URL's own host and to no other.

use super::pool::{Connector, Failed, Link, Pool};
use super::shown::{Shown, identity};
use async_trait::async_trait;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use portunus_core::dialer::{Body, DialError, Dialer, Manner, Plain, Presented};
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::time::timeout;
use tower::Service;

/// Reaches one URL.
pub struct HttpDialer {
    /// Without a certificate of a credential.
    plain: Arc<Way>,
    /// With one.
    shown: Shown,
    tls: Arc<rustls::ClientConfig>,
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
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
        let path = Uri::from_parts(path).map_err(|_| bad())?;
        let (plain, shown) = (Arc::new(Way::new(&tls)), Shown::default());
        Ok(Self { plain, shown, tls, url: target, host, path })
    }

    /// Puts the request's credential where it belongs; gives the way that the request takes.
    async fn inject(&self, request: &mut Request<Body>) -> Result<Arc<Way>, DialError> {
        let Some(credential) = request.extensions_mut().remove::<Presented>() else {
            return Ok(self.plain.clone());
        };
        match credential.manner() {
            Manner::Environment => return Err(credential.unfit("a URL")),
            Manner::Certificate if self.url.scheme() != Some(&Scheme::HTTPS) => {
                return Err(credential.unfit("a URL without TLS"));
            }
            Manner::Certificate => {
                return self
                    .shown
                    .way(&credential, |pem| identity(&self.tls, pem).map(|tls| Way::new(&tls)))
                    .await;
            }
            Manner::Header | Manner::Query => {}
        }
        match credential.open().await? {
            // In place of whatever was there.
            Plain::Header(name, value) => drop(request.headers_mut().insert(name, value)),
            Plain::Query(name, value) => {
                let uri = with_parameter(request.uri(), &name, value.expose());
                *request.uri_mut() = uri.ok_or_else(|| credential.unfit("this URL"))?;
            }
            Plain::Certificate(_) | Plain::Environment(_) | Plain::SshKey(_) => {
                return Err(credential.unfit("this request"));
            }
        }
        Ok(self.plain.clone())
    }
}

/// One way to the URL: how connections are made, and those that are open.
pub(super) struct Way {
    connector: Connector,
    pub(super) pool: Arc<Pool>,
}

impl Way {
    fn new(tls: &rustls::ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self { connector, pool: Arc::default() }
    }

    async fn connect(&self, url: &Uri) -> Result<Link, DialError> {
        let mut connector = self.connector.clone();
        let opening = async {
            poll_fn(|context| connector.poll_ready(context)).await.map_err(|error| innermost(&*error))?;
            let stream = connector.call(url.clone()).await.map_err(|error| innermost(&*error))?;
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
        let way = self.inject(&mut request).await?;
        let broken = |error: hyper::Error| DialError::Broken(innermost(&error));
        if let Some(link) = way.pool.take() {
            match link.send(&way.pool, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Broken(error)) => return Err(broken(error)),
                // The upstream closed it while it was idle: nothing was sent, so a fresh one may have the request.
                Err(Failed::Unsent(unsent)) => request = *unsent,
            }
        }
        match way.connect(&self.url).await?.send(&way.pool, request).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Broken(error)) => Err(broken(error)),
            Err(Failed::Unsent(_)) => {
                Err(DialError::Unreachable(String::from("the connection ended at once")))
            }
        }
    }
}

/// The URI with this parameter as the last of its query, in place of any of that name.
fn with_parameter(uri: &Uri, name: &str, value: &[u8]) -> Option<Uri> {
    let of_name =
        |pair: &&str| url::form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(key, _)| key == name);
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !of_name(pair));
    let all = uri.path().len() + uri.query().map_or(0, str::len) + 3 * (name.len() + value.len()) + 3;
    // Never moved to a larger place, which would leave the secret behind in the old one.
    let mut target = String::with_capacity(all);
    target.push_str(uri.path());
    for (number, pair) in kept.enumerate() {
        target.push(if number == 0 { '?' } else { '&' });
        target.push_str(pair);
    }
    let separator = if target.contains('?') { '&' } else { '?' };
    target.push(separator);
    target.extend(url::form_urlencoded::byte_serialize(name.as_bytes()));
    target.push('=');
    target.extend(url::form_urlencoded::byte_serialize(value));
    let wiped = Secret::new(target.into_bytes()).into_bytes();
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(wiped).ok()?);
    Uri::from_parts(parts).ok()
}

/// The innermost cause: what an operator can act on.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_encoded_and_stands_once_behind_what_the_url_has() {
        for (uri, value, wanted) in [
            ("/mcp", "abc", "/mcp?key=abc"),
            ("/mcp?tenant=a%26b", "abc", "/mcp?tenant=a%26b&key=abc"),
            ("/mcp?", "abc", "/mcp?key=abc"),
            ("/?a&&b=", "abc", "/?a&b=&key=abc"),
            ("/mcp", "a&b=c#d?e/f%g+h i", "/mcp?key=a%26b%3Dc%23d%3Fe%2Ff%25g%2Bh+i"),
            ("/mcp?key=theirs&a=1&%6Bey=too", "ours", "/mcp?a=1&key=ours"),
            ("/messages?sessionId=1", "x", "/messages?sessionId=1&key=x"),
        ] {
            let got = with_parameter(&uri.parse().unwrap(), "key", value.as_bytes()).unwrap();
            assert_eq!(got.to_string(), wanted);
            let decoded = url::form_urlencoded::parse(got.query().unwrap().as_bytes()).last().unwrap();
            assert_eq!(decoded, ("key".into(), value.into()), "what the upstream reads");
        }
    }
}
