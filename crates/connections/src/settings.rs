//! One server's way of being connected, by the configuration.

use crate::ports::Carrier;
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::fmt;
use std::sync::Arc;
use url::{Host, Url};

/// How a server is connected to.
#[derive(Clone)]
pub struct Settings {
    /// The server.
    pub server: ServerName,
    /// What people call it.
    pub title: String,
    /// Where it is.
    pub upstream: Url,
    /// What its metadata calls it, where that is not its URL; on the same origin.
    pub resource: Option<String>,
    /// Whose a connection is.
    pub whose: Whose,
    /// The only authorization server; `None`: the first that its metadata names.
    pub issuer: Option<String>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// What the server may ask for on top.
    pub more_scopes: Vec<String>,
    /// The client that was made for us there; `None`: by metadata document or registration.
    pub client: Option<Configured>,
    /// Whether a client without a secret proves itself with the edge's key (`private_key_jwt`).
    pub signs: bool,
    /// Reaches the server and its authorization server.
    pub carrier: Arc<dyn Carrier>,
}

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Each user's own.
    User,
    /// Everybody's; an administrator connects it.
    Shared,
}

/// A client that was made for us at the authorization server.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Its `client_id`.
    pub id: String,
    /// Its secret; `None`: PKCE alone.
    pub secret: Option<Secret<String>>,
}

impl Settings {
    /// Of a server that the configuration does not have any more: nobody calls it.
    pub(crate) fn gone(server: ServerName, upstream: Url, carrier: Arc<dyn Carrier>) -> Self {
        Self {
            title: server.to_string(),
            server,
            upstream,
            resource: None,
            whose: Whose::User,
            issuer: None,
            scopes: Vec::new(),
            more_scopes: Vec::new(),
            client: None,
            signs: false,
            carrier,
        }
    }

    /// Whose connection a call of this user takes.
    #[must_use]
    pub const fn owner<'a>(&self, user: &'a UserName) -> Option<&'a UserName> {
        match self.whose {
            Whose::User => Some(user),
            Whose::Shared => None,
        }
    }

    /// Whether the configuration names the host and port of this URL.
    #[must_use]
    pub fn names(&self, url: &Url) -> bool {
        let issuer = self.issuer.as_deref().and_then(|issuer| Url::parse(issuer).ok());
        same_origin(&self.upstream, url) || issuer.is_some_and(|issuer| same_origin(&issuer, url))
    }

    /// Whether this is how the server itself is called (RFC 9728 section 3.3, RFC 8707 section 2): its URL, to a last
    /// slash, or what the configuration says on the same origin.
    #[must_use]
    pub fn is_resource(&self, resource: &str) -> bool {
        if let Some(configured) = &self.resource {
            return configured == resource;
        }
        if !is_plain(resource) {
            return false;
        }
        let Ok(url) = Url::parse(resource) else { return false };
        same_origin(&url, &self.upstream)
            && url.path().trim_end_matches('/') == self.upstream.path().trim_end_matches('/')
            && url.query() == self.upstream.query()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    }

    /// The host that tokens may go to: `name[:port]`. `None`: nowhere, since it is neither `https` nor this machine.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        is_safe(&self.upstream).then(|| authority(&self.upstream))
    }

    /// A URL of somebody else's word that may be used: `https`, or plain `http` on this machine where the configuration
    /// names that.
    #[must_use]
    pub fn usable(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|_| is_plain(text))?;
        let sound = url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        (sound && (url.scheme() == "https" || (is_safe(&url) && self.names(&url)))).then_some(url)
    }
}

/// Visible ASCII of a bounded length: parsers of URLs silently drop line ends and tabs.
fn is_plain(text: &str) -> bool {
    text.len() <= limits::REDIRECT_URI_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Scheme, host and port are the same.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// This machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `https`, or `http` to this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("server", &self.server).finish_non_exhaustive()
    }
}
