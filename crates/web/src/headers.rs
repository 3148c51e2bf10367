//! The protective headers of every answer.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, StatusCode};

/// No script, no frame, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The same for a page whose one script is needed to speak to the device's lock.
const SCRIPT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds what an answer does not say itself. The referrer stays within the site instead of being dropped altogether,
/// since a browser that may send no referrer does not say either where a form comes from (`Origin: null`).
pub(crate) async fn protect(mut response: Response) -> Response {
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in defaults {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The policy of a page whose form leads elsewhere in the end: to a client, to an identity provider. Browsers apply `form-action` to every redirect that follows a form too, so it names
/// that place, and `https:` for what the pages there lead on to.
pub(crate) fn policy_with_destination(source: Option<&str>) -> Option<HeaderValue> {
    let allowed = format!("form-action 'self' https: {}", source.unwrap_or_default());
    HeaderValue::try_from(POLICY.replace("form-action 'self'", allowed.trim_end())).ok()
}

/// The policy of a page with our own script.
pub(crate) fn policy_with_script() -> HeaderValue {
    HeaderValue::from_static(SCRIPT_POLICY)
}

/// Lets our own script run under a policy.
pub(crate) fn with_script(policy: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{}; script-src 'self'", policy.to_str().ok()?)).ok()
}

/// Lets clients that run in a browser use endpoints that look at no cookie.
pub(crate) async fn open_to_all_origins(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { Response::default() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("dpop-nonce"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    if preflight {
        let allowed = HeaderValue::from_static("authorization, content-type, dpop, mcp-protocol-version");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
