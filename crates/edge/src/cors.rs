//! Pages of other web origins (Fetch Standard, "CORS protocol"): only those that the configuration names may ask, and never
//! with cookies, since a token in the Authorization header is the only way in.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use portunus_core::dialer::{self, Body};

/// Request headers that a page may send, besides `mcp-…`.
const SENT: [&str; 9] = [
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "dpop",
    "last-event-id",
    "traceparent",
    "tracestate",
    "user-agent",
];
/// Answer headers that a page may read, besides those that it always may.
const READ: &str = "mcp-session-id, mcp-protocol-version, www-authenticate, retry-after, dpop-nonce";
/// Seconds for which a browser need not ask again.
const AGE: &str = "600";

/// The web origins whose pages may use this edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    own: String,
    others: Vec<String>,
}

impl Origins {
    /// The edge's own origin, and others as browsers write them: `scheme://host[:port]`, without a slash at the end.
    #[must_use]
    pub fn new(own: &str, others: &[String]) -> Self {
        Self { own: own.to_owned(), others: others.to_vec() }
    }

    /// Whether requests from this origin are taken. Byte for byte: browsers write an origin in one way only.
    #[must_use]
    pub fn accept(&self, origin: &[u8]) -> bool {
        origin == self.own.as_bytes() || self.is_other(origin)
    }

    fn is_other(&self, origin: &[u8]) -> bool {
        self.others.iter().any(|other| other.as_bytes() == origin)
    }

    /// The configured foreign origin that a request names, which is what its answer must repeat.
    #[must_use]
    pub fn foreign(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let origin = values.next().filter(|_| values.next().is_none())?;
        self.is_other(origin.as_bytes()).then(|| origin.clone())
    }
}

/// The answer to a browser that asks whether a page of a configured origin may send such a request.
#[must_use]
pub fn preflight<B>(request: &Request<B>, origin: Option<&HeaderValue>) -> Option<Response<Body>> {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    if !asks {
        return None;
    }
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let names =
        wanted.unwrap_or_default().split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let granted: Vec<_> =
        names.filter(|name| SENT.contains(&name.as_str()) || name.as_str().starts_with("mcp-")).collect();
    let mut answer = Response::new(dialer::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let out = answer.headers_mut();
    out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(AGE));
    let granted = granted.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(granted) = HeaderValue::try_from(granted) {
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, granted);
    }
    Some(answer)
}

/// Lets a page of this origin read the answer. Never with `Access-Control-Allow-Credentials`: a signed-in browser's
/// cookies give a page nothing.
#[must_use]
pub fn release(mut answer: Response<Body>, origin: Option<HeaderValue>) -> Response<Body> {
    let headers = answer.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://inspector.test";

    fn asking(origin: &str, wanted: &str) -> Request<()> {
        let request = Request::builder().method("OPTIONS").uri("/sales/mcp").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", wanted).body(()).unwrap()
    }

    fn preflight_of(origin: &str, wanted: &str) -> Option<Response<Body>> {
        let origins = Origins::new("https://edge.test", &[PAGE.to_owned()]);
        let request = asking(origin, wanted);
        let origin = origins.foreign(request.headers());
        preflight(&request, origin.as_ref()).map(|answer| release(answer, origin))
    }

    #[test]
    fn a_configured_origin_may_send_what_clients_send_and_nothing_else() {
        let answer =
            preflight_of(PAGE, "authorization, Mcp-Param-Region,mcp-method, cookie, x-forwarded-for")
                .unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(header("access-control-allow-origin").as_deref(), Some(PAGE));
        assert_eq!(
            header("access-control-allow-headers").as_deref(),
            Some("authorization, mcp-param-region, mcp-method")
        );
        assert_eq!(header("vary").as_deref(), Some("origin"));
        assert_eq!(header("access-control-allow-credentials"), None);
    }

    #[test]
    fn no_other_origin_gets_an_answer() {
        for origin in
            ["https://edge.test", "https://inspector.test.evil.test", "null", "HTTPS://INSPECTOR.TEST", ""]
        {
            assert!(preflight_of(origin, "authorization").is_none(), "{origin}");
        }
    }
}
