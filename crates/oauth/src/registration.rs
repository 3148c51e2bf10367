//! Which clients may be used here: what the configuration says of each way to become known, and of single clients. Pure.

use crate::client::document_url;
use portunus_core::document::{Client, ClientSource, Standing};
use portunus_core::id::ClientId;
use url::{Host, Url};

/// What the configuration says; part of the issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Clients whose id is the URL of their metadata document.
    pub documents: Documents,
    /// Clients that register themselves (RFC 7591).
    pub dynamic: Dynamic,
    /// Documents that need no approval.
    pub allow: Vec<Allowed>,
    /// Hosts of the company's own, with their port, that documents and key sets may be fetched from although their
    /// addresses are not public.
    pub internal_hosts: Vec<InternalHost>,
}

/// See [`Registration::documents`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Documents {
    /// Every document.
    #[default]
    Open,
    /// Those on the list; others are not even fetched.
    Listed,
    /// Those on the list, and others once an administrator approved them.
    Approval,
}

/// See [`Registration::dynamic`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dynamic {
    /// Nobody registers any more; who did, stays.
    Off,
    /// Everybody.
    #[default]
    Open,
    /// Everybody, and an administrator approves each before it can be used.
    Approval,
}

/// Documents that are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Exactly this one.
    Document(Url),
    /// All of this scheme, host and port.
    Origin(Url),
    /// All of this host, at https's own port.
    Host(String),
    /// All of the hosts below this one, at https's own port.
    Below(String),
}

/// A host of the company's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalHost {
    host: String,
    port: u16,
}

/// An entry of one of the lists that cannot be meant so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` {why}")]
pub struct InvalidEntry {
    entry: String,
    why: &'static str,
}

/// Whether a client may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admitted,
    /// Not before an administrator said yes.
    Waits,
    /// No.
    Refused,
}

impl Registration {
    /// Whether this client may be used.
    #[must_use]
    pub fn admission(&self, client: &Client) -> Admission {
        match (client.standing, client.source) {
            (Standing::Blocked, _) => Admission::Refused,
            (Standing::Approved, _) | (_, ClientSource::Administrator | ClientSource::Configuration) => {
                Admission::Admitted
            }
            (Standing::Undecided, ClientSource::Dynamic) => match self.dynamic {
                Dynamic::Approval => Admission::Waits,
                Dynamic::Off | Dynamic::Open => Admission::Admitted,
            },
            (Standing::Undecided, ClientSource::Document) => match self.documents {
                Documents::Open => Admission::Admitted,
                _ if self.lists(&client.client_id) => Admission::Admitted,
                Documents::Listed => Admission::Refused,
                Documents::Approval => Admission::Waits,
            },
        }
    }

    /// Whether the document of a client that nothing is known of may be fetched.
    #[must_use]
    pub fn may_be_fetched(&self, client_id: &ClientId) -> bool {
        self.documents != Documents::Listed || self.lists(client_id)
    }

    /// Whether a URL is on one of the company's own hosts.
    #[must_use]
    pub fn is_internal(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        self.internal_hosts.iter().any(|internal| internal.host == host && internal.port == port)
    }

    fn lists(&self, client_id: &ClientId) -> bool {
        let Some(url) = document_url(client_id) else { return false };
        self.allow.iter().any(|allowed| allowed.covers(&url))
    }
}

impl Allowed {
    /// Reads `https://client.example/oauth/client.json`, `https://client.example:8443`, `client.example` or
    /// `*.client.example`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, InvalidEntry> {
        let refuse = |why| Err(InvalidEntry { entry: text.to_owned(), why });
        if !text.contains("://") {
            let (host, below) = text.strip_prefix("*.").map_or((text, false), |host| (host, true));
            // The top of a tree such as `com` would let in half of the world.
            return match plain_host(host) {
                Some(host) if below && !host.contains('.') => refuse("covers a whole top-level domain"),
                Some(host) => Ok(if below { Self::Below(host) } else { Self::Host(host) }),
                None => refuse("is neither a host name in lower case nor an https URL"),
            };
        }
        let url = match Url::parse(text) {
            Ok(url) if url.scheme() == "https" => url,
            _ => return refuse("must begin with https://"),
        };
        if text.trim_end_matches('/') == url.as_str().trim_end_matches('/')
            && url.path() == "/"
            && url.query().is_none()
        {
            return Ok(Self::Origin(url));
        }
        match ClientId::parse(text).ok().as_ref().and_then(document_url) {
            Some(url) => Ok(Self::Document(url)),
            None => refuse("is not the URL of a document in its normal form"),
        }
    }

    fn covers(&self, document: &Url) -> bool {
        let host = document.host_str().filter(|_| document.port().is_none());
        match self {
            Self::Document(url) => url == document,
            Self::Origin(url) => url.origin() == document.origin(),
            Self::Host(name) => host == Some(name),
            Self::Below(name) => {
                host.and_then(|host| host.strip_suffix(name.as_str())).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }
}

impl InternalHost {
    /// Reads `clients.corp.example` or `clients.corp.example:8443`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidEntry> {
        let invalid = || InvalidEntry {
            entry: text.to_owned(),
            why: "is not a host name in lower case, with or without a port",
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?),
            None => (text, 443),
        };
        Ok(Self { host: plain_host(host).ok_or_else(invalid)?, port })
    }
}

/// A host name or IPv4 address in the form that URLs have it in.
fn plain_host(text: &str) -> Option<String> {
    let host = Host::parse(text).ok()?;
    let plain = !matches!(host, Host::Ipv6(_)) && host.to_string() == text && !text.contains('*');
    (plain && !text.ends_with('.')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(allow: &[&str], id: &str) -> bool {
        let allow = allow.iter().map(|entry| Allowed::parse(entry).unwrap()).collect();
        let registration = Registration { documents: Documents::Listed, allow, ..Registration::default() };
        registration.may_be_fetched(&ClientId::parse(id).unwrap())
    }

    #[test]
    fn a_list_covers_what_it_says_and_nothing_that_looks_like_it() {
        let exact = &["https://chatgpt.com/oauth/client.json"];
        assert!(lists(exact, "https://chatgpt.com/oauth/client.json"));
        for other in [
            "https://chatgpt.com/oauth/client.json?x",
            "https://chatgpt.com/oauth/client.json/",
            "https://chatgpt.com/oauth/Client.json",
            "https://chatgpt.com:8443/oauth/client.json",
            "https://chatgpt.com.evil.test/oauth/client.json",
            "https://evil.test/https://chatgpt.com/oauth/client.json",
            "https://evil.test/?https://chatgpt.com/oauth/client.json",
            "cli_01234567890123456789012345",
        ] {
            assert!(!lists(exact, other), "{other}");
        }
        for host in [&["chatgpt.com"], &["https://chatgpt.com"], &["https://chatgpt.com/"]] {
            assert!(lists(host, "https://chatgpt.com/anything"));
            for other in [
                "https://www.chatgpt.com/c",
                "https://chatgpt.com:8443/c",
                "https://xchatgpt.com/c",
                "https://chatgpt.com@evil.test/c",
                "https://chatgpt.com.evil.test/c",
            ] {
                assert!(!lists(host, other), "{host:?} {other}");
            }
        }
        let below = &["*.corp.example"];
        assert!(lists(below, "https://a.corp.example/c") && lists(below, "https://a.b.corp.example/c"));
        for other in
            ["https://corp.example/c", "https://evilcorp.example/c", "https://a.corp.example.evil.test/c"]
        {
            assert!(!lists(below, other), "{other}");
        }
        assert!(lists(&["https://corp.example:8443"], "https://corp.example:8443/c"));
        assert!(!lists(&["https://corp.example:8443"], "https://corp.example/c"));
    }

    #[test]
    fn entries_that_cannot_be_meant_so_are_refused() {
        for bad in [
            "",
            "*",
            "*.com",
            "*.*.example",
            "Chatgpt.com",
            "http://a.example/c",
            "https://a.example/../c",
            "https://me@a.example/c",
            "a.example/c",
            "a.example:443",
            "[::1]",
            "a b",
            "*.",
            "a.example.",
        ] {
            assert!(Allowed::parse(bad).is_err(), "{bad}");
        }
        for bad in
            ["", "a.example:0", "a.example:x", "A.example", "[::1]:443", "*.a.example", "https://a.example"]
        {
            assert!(InternalHost::parse(bad).is_err(), "{bad}");
        }
        let internal_hosts =
            vec![InternalHost::parse("a.corp:8443").unwrap(), InternalHost::parse("b.corp").unwrap()];
        let registration = Registration { internal_hosts, ..Registration::default() };
        for (url, internal) in [
            ("https://a.corp:8443/c", true),
            ("https://b.corp/c", true),
            ("https://a.corp/c", false),
            ("https://b.corp:8443/c", false),
            ("https://x.b.corp/c", false),
        ] {
            assert_eq!(registration.is_internal(&Url::parse(url).unwrap()), internal, "{url}");
        }
    }
}
