//! The issuer and the servers it gives tokens for: one immutable value, replaced whole when the configuration reloads.

use crate::federation::provider::Providers;
use crate::machines::Machines;
use crate::registration::Registration;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::server::Server;
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// The scope every token has: to use one server on the user's behalf, within policy.
pub const SCOPE: &str = "mcp";
/// Asked for by clients that want a refresh token. All clients get one, so it changes nothing and is only agreed to.
pub const OFFLINE_SCOPE: &str = "offline_access";

/// The authorization server as the world sees it.
#[derive(Debug, Clone)]
pub struct Issuer {
    url: Arc<str>,
    servers: Arc<[Server]>,
    registration: Arc<Registration>,
    machines: Arc<Machines>,
    providers: Providers,
    lives: Lives,
}

/// How long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// Access tokens.
    pub access: Duration,
    /// Refresh tokens; each rotation starts their life anew.
    pub refresh: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self { access: limits::ACCESS_TTL, refresh: limits::REFRESH_TTL }
    }
}

/// Why a public URL cannot be an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("public_url `{url}` {why}")]
pub struct InvalidIssuer {
    url: String,
    why: &'static str,
}

impl Issuer {
    /// An issuer at `public_url`: `https` (or `http` on loopback), host and port only, so that there is one form of it
    /// (RFC 8414 section 2, RFC 9207 section 2.4: issuers are compared byte for byte).
    ///
    /// # Errors
    /// When the URL has another scheme, or a path, query, fragment or user information.
    pub fn new(public_url: &Url, servers: Vec<Server>) -> Result<Self, InvalidIssuer> {
        let refuse = |why| Err(InvalidIssuer { url: public_url.to_string(), why });
        let loopback = match public_url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return refuse("has no host"),
        };
        if public_url.scheme() != "https" && !(public_url.scheme() == "http" && loopback) {
            return refuse("must begin with https:// (http:// is for loopback only)");
        }
        if !public_url.username().is_empty() || public_url.password().is_some() {
            return refuse("must not contain a user name or password");
        }
        if public_url.path() != "/" || public_url.query().is_some() || public_url.fragment().is_some() {
            return refuse("must have no path, query or fragment");
        }
        Ok(Self {
            url: public_url.as_str().trim_end_matches('/').into(),
            servers: servers.into(),
            registration: Arc::default(),
            machines: Arc::default(),
            providers: Providers::default(),
            lives: Lives::default(),
        })
    }

    /// The same issuer, with what the configuration says of clients.
    #[must_use]
    pub fn with_registration(self, registration: Registration) -> Self {
        Self { registration: Arc::new(registration), ..self }
    }

    /// The same issuer, with what the configuration says of machines.
    #[must_use]
    pub fn with_machines(self, machines: Machines) -> Self {
        Self { machines: Arc::new(machines), ..self }
    }

    /// The same issuer, with the identity providers that people sign in at.
    #[must_use]
    pub fn with_providers(self, providers: Providers) -> Self {
        Self { providers, ..self }
    }

    /// The identity providers that people sign in at.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// What it knows of machines.
    #[must_use]
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// Which clients may be used here.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// The same with other lives of tokens.
    #[must_use]
    pub fn with_lives(self, lives: Lives) -> Self {
        Self { lives, ..self }
    }

    /// How long tokens live.
    #[must_use]
    pub const fn lives(&self) -> Lives {
        self.lives
    }

    /// The issuer identifier: the public URL without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The URL of one of its endpoints; `path` begins with `/`.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The published servers.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The published server of this name.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == *name)
    }

    /// The resource identifier of a server (RFC 8707, RFC 9728): the URL that a user pastes into a client.
    #[must_use]
    pub fn resource(&self, server: &ServerName) -> String {
        format!("{}/{server}/mcp", self.url)
    }

    /// The server whose resource this is: byte for byte, but for one trailing slash that some clients add.
    #[must_use]
    pub fn server_of_resource(&self, resource: &str) -> Option<&Server> {
        let exact = resource.strip_suffix('/').unwrap_or(resource);
        self.servers.iter().find(|server| self.resource(&server.name) == exact)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::issuer;
    use url::Url;

    #[test]
    fn a_resource_is_recognised_by_its_exact_bytes_only() {
        let issuer = issuer();
        let known =
            |resource: &str| issuer.server_of_resource(resource).map(|server| server.name.to_string());
        assert_eq!(known("https://tools.example.com/sales/mcp").as_deref(), Some("sales"));
        assert_eq!(known("https://tools.example.com/sales/mcp/").as_deref(), Some("sales"));
        for other in [
            "",
            "https://tools.example.com",
            "https://tools.example.com/sales",
            "https://tools.example.com/sales/mcp//",
            "https://tools.example.com/Sales/mcp",
            "https://TOOLS.example.com/sales/mcp",
            "https://tools.example.com:443/sales/mcp",
            "https://tools.example.com/sales/mcp?x",
            "https://tools.example.com/sales/mcp#x",
            "http://tools.example.com/sales/mcp",
            "https://tools.example.com.evil.test/sales/mcp",
            "https://tools.example.com/unknown/mcp",
        ] {
            assert_eq!(known(other), None, "{other}");
        }
    }

    #[test]
    fn an_issuer_is_an_https_origin_and_nothing_more() {
        let accepted = |text: &str| super::Issuer::new(&Url::parse(text).unwrap(), vec![]);
        assert_eq!(accepted("https://tools.example.com/").unwrap().as_str(), "https://tools.example.com");
        assert_eq!(accepted("https://Localhost:8443").unwrap().as_str(), "https://localhost:8443");
        assert!(accepted("http://127.0.0.1:8080").is_ok());
        for bad in [
            "http://tools.example.com",
            "https://tools.example.com/a",
            "https://tools.example.com/?q",
            "https://tools.example.com/#f",
            "https://me@tools.example.com",
            "ftp://tools.example.com",
        ] {
            assert!(accepted(bad).is_err(), "{bad}");
        }
    }
}
