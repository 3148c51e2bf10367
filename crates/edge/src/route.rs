//! Host and path → what is asked for. Pure; matches whole strings only, so that nothing is normalised twice.

use portunus_core::id::ServerName;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A published server's one endpoint.
    Mcp(ServerName),
    /// The control plane's.
    Control,
}

/// Hosts that this edge answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// `host` or `host:port` of the public URL, lower case, without a default port.
    authority: String,
    /// Whether the port does not matter.
    any_port: bool,
}

impl Hosts {
    /// For a public URL.
    #[must_use]
    pub fn new(public_url: &url::Url) -> Self {
        let host = public_url.host_str().unwrap_or_default().to_ascii_lowercase();
        let authority = match public_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Self { authority, any_port: false }
    }
    /// For the host of a public URL on another port of this edge.
    #[must_use]
    pub fn on_any_port(public_url: &url::Url) -> Self {
        let authority = public_url.host_str().unwrap_or_default().to_ascii_lowercase();
        Self { authority, any_port: true }
    }
    /// Whether a Host header or `:authority` names this edge; a default port may be spelled out.
    #[must_use]
    pub fn accept(&self, authority: &str) -> bool {
        if self.any_port {
            let port = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
            let host = match authority.rsplit_once(':') {
                // The colons of an IPv6 address stand in brackets.
                Some((host, text)) if port(text) && !text.is_empty() => host,
                _ => authority,
            };
            return host.eq_ignore_ascii_case(&self.authority);
        }
        let asked = authority.strip_suffix(":443").unwrap_or(authority);
        asked.eq_ignore_ascii_case(self.authority.strip_suffix(":443").unwrap_or(&self.authority))
    }
}

/// What this path is: exactly `/{server}/mcp` is a server, everything else belongs to the control plane.
#[must_use]
pub fn route(path: &str) -> Route {
    let server =
        path.strip_prefix('/').and_then(|p| p.strip_suffix("/mcp")).and_then(|n| ServerName::parse(n).ok());
    server.map_or(Route::Control, Route::Mcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_path_is_a_server() {
        assert_eq!(route("/sales/mcp"), Route::Mcp(ServerName::parse("sales").unwrap()));
        for other in [
            "/sales/mcp/",
            "//sales/mcp",
            "/sales%2fmcp",
            "/Sales/mcp",
            "/a/b/mcp",
            "/mcp",
            "/sales/../x/mcp",
        ] {
            assert_eq!(route(other), Route::Control, "{other}");
        }
    }

    #[test]
    fn only_the_public_host_is_ours() {
        let hosts = Hosts::new(&url::Url::parse("https://tools.example.com").unwrap());
        assert!(hosts.accept("tools.example.com"));
        assert!(hosts.accept("Tools.Example.com:443"));
        for other in
            ["tools.example.com.", "evil.test", "tools.example.com:8443", "", "tools.example.com@evil.test"]
        {
            assert!(!hosts.accept(other), "{other}");
        }
        let hosts = Hosts::new(&url::Url::parse("https://localhost:8443").unwrap());
        assert!(hosts.accept("localhost:8443"));
        assert!(!hosts.accept("localhost"));
    }

    #[test]
    fn on_the_plain_port_the_host_counts_and_the_port_does_not() {
        let hosts = |url: &str| Hosts::on_any_port(&url::Url::parse(url).unwrap());
        for (url, asked) in [
            ("https://edge.test:8443", "edge.test"),
            ("https://edge.test", "EDGE.test:80"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]"),
            ("https://[2001:db8::1]", "[2001:db8::1]:5002"),
        ] {
            assert!(hosts(url).accept(asked), "{url} {asked}");
        }
        for asked in [
            "",
            ":80",
            "edge.test:",
            "edge.test:80:80",
            "edge.test:x",
            "a.edge.test",
            "edge.test.",
            "edge.test:123456",
        ] {
            assert!(!hosts("https://edge.test").accept(asked), "{asked}");
        }
    }
}
