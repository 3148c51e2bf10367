//! Redirect URIs: which may be registered, and which requested one matches a registered one.
//!
//! Matching is by bytes (RFC 9700 section 2.1), with the one exception of RFC 8252 section 7.3: the port of an `http`
//! redirect to loopback is chosen when the client runs, so it is ignored. Nothing is decoded or normalised to match;
//! instead only URIs that are in normal form already can be registered.

use portunus_core::limits;
use url::{Host, Url};

/// Schemes without a dot that well-known desktop clients use. Any other private-use scheme must have the form of a
/// reversed domain name (RFC 8252 section 7.1), which also keeps `javascript:` and its kind out.
const NATIVE_SCHEMES: [&str; 10] = [
    "cursor",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "windsurf",
    "claude",
    "zed",
    "raycast",
    "warp",
    "goose",
];

/// Why a redirect URI may not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedirect {
    /// Longer than [`limits::REDIRECT_URI_BYTES`].
    #[error("a redirect URI is longer than {} bytes", limits::REDIRECT_URI_BYTES)]
    TooLong,
    /// Has a character that a URI cannot have, or that programs read differently.
    #[error("a redirect URI has characters that must be percent-encoded")]
    Characters,
    /// Cannot be parsed.
    #[error("a redirect URI is not an absolute URI")]
    NotAbsolute,
    /// Is not written the way every parser would write it.
    #[error("a redirect URI is not in its normal form; write it as `{0}`")]
    NotNormal(String),
    /// Has a fragment.
    #[error("a redirect URI must not have a fragment")]
    Fragment,
    /// Has a user name or password.
    #[error("a redirect URI must not have user information before its host")]
    UserInformation,
    /// Plain `http` to another machine.
    #[error("a redirect URI with `http` must point to localhost, 127.0.0.1 or [::1]; use `https`")]
    PlainHttp,
    /// Some other scheme.
    #[error(
        "redirect URIs may use `https`, `http` on loopback, or a private-use scheme such as `com.example.app`"
    )]
    Scheme,
}

/// Checks that a redirect URI may be registered.
///
/// # Errors
/// See [`InvalidRedirect`].
pub fn validate(text: &str) -> Result<(), InvalidRedirect> {
    if text.len() > limits::REDIRECT_URI_BYTES {
        return Err(InvalidRedirect::TooLong);
    }
    if text.bytes().any(|b| !b.is_ascii_graphic() || b"\"'<>\\^`{|}".contains(&b)) {
        return Err(InvalidRedirect::Characters);
    }
    if text.contains('#') {
        return Err(InvalidRedirect::Fragment);
    }
    let url = Url::parse(text).map_err(|_| InvalidRedirect::NotAbsolute)?;
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err(InvalidRedirect::UserInformation);
    }
    // Covers upper case, default ports, dot segments however encoded, other forms of addresses, missing slashes.
    let rootless = url.as_str().strip_suffix('/').filter(|_| url.path() == "/" && url.query().is_none());
    if url.as_str() != text && rootless != Some(text) {
        return Err(InvalidRedirect::NotNormal(url.to_string()));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback(text).is_some() => Ok(()),
        "http" => Err(InvalidRedirect::PlainHttp),
        scheme if scheme.contains('.') || NATIVE_SCHEMES.contains(&scheme) => Ok(()),
        _ => Err(InvalidRedirect::Scheme),
    }
}

/// Whether a requested redirect URI is this registered one.
#[must_use]
pub fn matches(registered: &str, requested: &str) -> bool {
    registered == requested
        || loopback(registered).is_some_and(|(host, rest)| loopback(requested) == Some((host, rest)))
}

/// Host and rest (path and query) of an `http` URI on loopback; the port is checked and left out.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let after_scheme = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|h| after_scheme.starts_with(h))?;
    let after_host = after_scheme.strip_prefix(host)?;
    let rest = match after_host.strip_prefix(':') {
        None => after_host,
        Some(with_port) => {
            let digits = with_port.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = with_port.split_at_checked(digits)?;
            let in_range = port.parse::<u16>().is_ok_and(|number| number > 0);
            (in_range && !port.starts_with('0')).then_some(rest)?
        }
    };
    let ends_there = rest.is_empty() || rest.starts_with('/') || rest.starts_with('?');
    ends_there.then_some((host, rest))
}

/// Whether a redirect stays on the user's own machine: loopback `http`, or an app's private-use scheme.
#[must_use]
pub fn is_local(uri: &str) -> bool {
    loopback(uri).is_some() || !(uri.starts_with("https://") || uri.starts_with("http://"))
}

/// Where a (validated) redirect leads, for people: its host, or its scheme when an app on this computer handles it.
#[must_use]
pub fn destination(uri: &str) -> String {
    let url = Url::parse(uri).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) if uri.starts_with("http") => name.to_owned(),
        Some(Host::Ipv4(address)) if uri.starts_with("http") => address.to_string(),
        Some(Host::Ipv6(address)) if uri.starts_with("http") => address.to_string(),
        _ => uri.split_once(':').map_or_else(|| uri.to_owned(), |(scheme, _)| format!("{scheme}:")),
    }
}

/// The source expression that lets a form's answer redirect there (CSP `form-action`): an origin, or a scheme.
#[must_use]
pub fn form_action_source(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    match url.scheme() {
        "http" | "https" => Some(url.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    }
}

/// The redirect with response parameters appended to its query; what is there already stays as it is
/// (RFC 6749 section 4.1.2).
#[must_use]
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let added = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{added}")
}

fn authority(text: &str) -> &str {
    let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.split(['/', '?']).next().unwrap_or_default()
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
