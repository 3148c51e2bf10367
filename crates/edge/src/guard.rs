//! Checks on the HTTP head before anything else looks at the request. hyper lets several ambiguous forms through; a
//! proxy that forwards them is a smuggling gadget, so they are refused here (RFC 9112 sections 3.2, 6.1 and 6.3).

use crate::cors::Origins;
use crate::route::Hosts;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, StatusCode, Version};
use portunus_core::limits;

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// Not HTTP/1.1 or HTTP/2.
    #[error("use HTTP/1.1 or HTTP/2")]
    Version,
    /// The target is too long, has an odd form, or carries a fragment.
    #[error("the request target is not acceptable")]
    Target,
    /// Not exactly one host, or two that differ.
    #[error("exactly one Host is needed")]
    Host,
    /// A host that is not ours: DNS rebinding or a wrong public_url.
    #[error("this edge does not answer to that host; check public_url")]
    Misdirected,
    /// A page of a foreign origin is asking.
    #[error("requests from this origin are not accepted")]
    Origin,
    /// Content-Length and Transfer-Encoding that could be read in two ways.
    #[error("the request's length is ambiguous")]
    Length,
    /// An expectation other than `100-continue`.
    #[error("this expectation is not supported")]
    Expectation,
    /// Asking to change the protocol of the connection.
    #[error("protocol upgrades are not supported")]
    Upgrade,
    /// Too many fields.
    #[error("too many header fields")]
    Fields,
}

impl BadHead {
    /// The HTTP status that says so.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Target | Self::Host | Self::Length | Self::Upgrade => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// Checks everything about a head that does not depend on where it goes.
///
/// # Errors
/// The first thing found wrong.
pub fn check<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), BadHead> {
    let headers = request.headers();
    if !matches!(request.version(), Version::HTTP_11 | Version::HTTP_2) {
        return Err(BadHead::Version);
    }
    if headers.len() > limits::HEADER_FIELDS {
        return Err(BadHead::Fields);
    }
    check_target(request)?;
    check_host(request, hosts)?;
    check_length(request)?;
    match single(headers, &header::EXPECT) {
        Ok(None) => {}
        Ok(Some(value)) if value.eq_ignore_ascii_case(b"100-continue") => {}
        _ => return Err(BadHead::Expectation),
    }
    if headers.contains_key(header::UPGRADE) {
        return Err(BadHead::Upgrade);
    }
    Ok(())
}

/// Checks the `Origin` of a request to an MCP endpoint: absent, our own, or a configured one.
///
/// # Errors
/// [`BadHead::Origin`].
pub fn check_origin(headers: &HeaderMap, origins: &Origins) -> Result<(), BadHead> {
    match single(headers, &header::ORIGIN) {
        Ok(None) => Ok(()),
        Ok(Some(origin)) if origins.accept(origin) => Ok(()),
        _ => Err(BadHead::Origin),
    }
}

fn check_target<B>(request: &Request<B>) -> Result<(), BadHead> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let odd = target.bytes().any(|b| b == b'\\' || b == b'#' || b <= b' ' || b >= 0x7f);
    if !target.starts_with('/')
        || target.len() > limits::TARGET_BYTES
        || odd
        || request.method() == Method::CONNECT
    {
        return Err(BadHead::Target);
    }
    Ok(())
}

fn check_host<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), BadHead> {
    let header = single(request.headers(), &header::HOST).map_err(|()| BadHead::Host)?;
    let authority = request.uri().authority().map(|a| a.as_str().as_bytes());
    let asked = match (authority, header) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => return Err(BadHead::Host),
        (Some(authority), _) => authority,
        (None, Some(host)) => host,
        (None, None) => return Err(BadHead::Host),
    };
    let asked = std::str::from_utf8(asked).map_err(|_| BadHead::Host)?;
    if hosts.accept(asked) { Ok(()) } else { Err(BadHead::Misdirected) }
}

fn check_length<B>(request: &Request<B>) -> Result<(), BadHead> {
    let headers = request.headers();
    let length = single(headers, &header::CONTENT_LENGTH).map_err(|()| BadHead::Length)?;
    let coding = single(headers, &header::TRANSFER_ENCODING).map_err(|()| BadHead::Length)?;
    let ambiguous = length.is_some() && coding.is_some();
    let odd_coding = coding.is_some_and(|c| !c.eq_ignore_ascii_case(b"chunked"));
    let odd_length = length.is_some_and(|l| l.is_empty() || !l.iter().all(u8::is_ascii_digit));
    let bodiless = matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    let unwanted = bodiless && (coding.is_some() || length.is_some_and(|l| l != b"0"));
    if ambiguous || odd_coding || odd_length || unwanted { Err(BadHead::Length) } else { Ok(()) }
}

/// The value of a field that may occur once at most.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.as_bytes())),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<(), BadHead> {
        let hosts = Hosts::new(&url::Url::parse("https://edge.test").unwrap());
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap(), &hosts)
    }

    #[test]
    fn an_ordinary_head_passes() {
        assert_eq!(verdict("POST", "/sales/mcp", &[("host", "edge.test"), ("content-length", "2")]), Ok(()));
        assert_eq!(verdict("POST", "/a", &[("host", "edge.test"), ("transfer-encoding", "chunked")]), Ok(()));
        assert_eq!(verdict("GET", "https://edge.test/a", &[]), Ok(()));
    }

    #[test]
    fn each_ambiguity_is_refused() {
        let host = ("host", "edge.test");
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], BadHead);
        let cases: &[Case<'_>] = &[
            ("GET", "/", &[], BadHead::Host),
            ("GET", "/", &[host, host], BadHead::Host),
            ("GET", "https://evil.test/", &[host], BadHead::Host),
            ("GET", "/", &[("host", "evil.test")], BadHead::Misdirected),
            ("GET", "/", &[("host", "edge.test.")], BadHead::Misdirected),
            (
                "POST",
                "/",
                &[host, ("content-length", "1"), ("transfer-encoding", "chunked")],
                BadHead::Length,
            ),
            ("POST", "/", &[host, ("content-length", "1"), ("content-length", "1")], BadHead::Length),
            ("POST", "/", &[host, ("content-length", "+1")], BadHead::Length),
            ("POST", "/", &[host, ("transfer-encoding", "identity")], BadHead::Length),
            ("POST", "/", &[host, ("transfer-encoding", "gzip, chunked")], BadHead::Length),
            ("GET", "/", &[host, ("content-length", "5")], BadHead::Length),
            ("POST", "/", &[host, ("expect", "200-maybe")], BadHead::Expectation),
            ("POST", "/", &[host, ("upgrade", "websocket")], BadHead::Upgrade),
            ("GET", "/\\evil", &[host], BadHead::Target),
        ];
        for (method, target, fields, wanted) in cases {
            assert_eq!(verdict(method, target, fields), Err(*wanted), "{method} {target} {fields:?}");
        }
        let long = format!("/{}", "a".repeat(limits::TARGET_BYTES));
        assert_eq!(verdict("GET", &long, &[host]), Err(BadHead::Target));
    }

    #[test]
    fn only_our_own_origin_and_configured_ones_may_ask() {
        let origins = Origins::new("https://edge.test", &[String::from("https://page.test")]);
        let headers = |origin: &str| HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
        assert_eq!(check_origin(&HeaderMap::new(), &origins), Ok(()));
        assert_eq!(check_origin(&headers("https://edge.test"), &origins), Ok(()));
        assert_eq!(check_origin(&headers("https://page.test"), &origins), Ok(()));
        for bad in [
            "null",
            "https://edge.test.evil.test",
            "http://edge.test",
            "https://edge.test/",
            "https://app.test",
        ] {
            assert_eq!(check_origin(&headers(bad), &origins), Err(BadHead::Origin), "{bad}");
        }
    }
}
