//! Whether a credential may go where a server is: its own server, environment and hosts, and in a manner that the place has.
//! Pure; asked before the call is decided, and again as the last thing before the credential goes.

use crate::vault::VaultError;
use portunus_core::dialer::Manner;
use portunus_core::document::{Credential, CredentialKind};
use portunus_core::server::{Server, Upstream};
use url::{Host, Url};

/// How this kind is shown to an upstream.
pub(crate) const fn manner(kind: &CredentialKind) -> Manner {
    match kind {
        CredentialKind::Bearer | CredentialKind::Header(_) | CredentialKind::Basic(_) => Manner::Header,
        CredentialKind::Query(_) => Manner::Query,
        // What is for rotators is refused before anybody asks how it would be shown.
        CredentialKind::ClientCertificate | CredentialKind::Rotator(_) => Manner::Certificate,
        CredentialKind::Environment(_) | CredentialKind::Postgres(_) | CredentialKind::Ssh(_) => {
            Manner::Environment
        }
    }
}

/// # Errors
/// When it may not go there: the first reason of server, environment, manner, TLS and host.
pub(crate) fn check(credential: &Credential, server: &Server) -> Result<(), VaultError> {
    let name = || credential.name.clone();
    if matches!(credential.kind, CredentialKind::Rotator(_)) {
        return Err(VaultError::ForRotators(name()));
    }
    if credential.server != server.name {
        return Err(VaultError::ForeignServer { name: name(), server: server.name.clone() });
    }
    if let Some(own) = credential.environment.as_ref().filter(|own| **own != server.environment) {
        return Err(VaultError::ForeignEnvironment {
            name: name(),
            own: own.clone(),
            server: server.name.clone(),
            environment: server.environment.clone(),
        });
    }
    let manner = manner(&credential.kind);
    let (word, of) = (credential.kind.word(), server.name.clone());
    match (&server.upstream, manner) {
        (Upstream::Tunnel, _) => Err(VaultError::Tunnel { name: name(), server: of }),
        (Upstream::Program(_), Manner::Environment) => Ok(()),
        (Upstream::Program(_), _) => Err(VaultError::NotForPrograms { name: name(), kind: word, server: of }),
        (Upstream::Http(_), Manner::Environment) => {
            Err(VaultError::OnlyForPrograms { name: name(), kind: word, server: of })
        }
        (Upstream::Http(url), _) => check_url(credential, url, manner),
    }
}

fn check_url(credential: &Credential, url: &Url, manner: Manner) -> Result<(), VaultError> {
    let name = || credential.name.clone();
    let encrypted = url.scheme() == "https";
    // Without TLS there is nobody to show a certificate to; anything else may stay on this machine.
    if !encrypted && (manner == Manner::Certificate || !is_loopback(url)) {
        return Err(VaultError::Unencrypted { name: name(), scheme: url.scheme().to_owned() });
    }
    let host = authority(url);
    if credential.hosts.iter().any(|own| own.eq_ignore_ascii_case(&host)) {
        return Ok(());
    }
    Err(VaultError::ForeignHost { name: name(), hosts: credential.hosts.clone() })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `host`, or `host:port` where the port is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::id::{CredentialName, ServerName};
    use portunus_core::limits::ServerLimits;
    use portunus_core::secret::Secret;
    use portunus_core::server::{Per, Program};
    use portunus_core::time::Timestamp;
    use std::collections::BTreeMap;

    fn credential(kind: CredentialKind, hosts: &[&str], environment: Option<&str>) -> Credential {
        Credential {
            name: CredentialName::parse("key").unwrap(),
            kind,
            owner: Some("ana".to_owned()),
            purpose: "tests".to_owned(),
            environment: environment.map(str::to_owned),
            vendor: None,
            scopes: Vec::new(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            server: ServerName::parse("wiki").unwrap(),
            expires_at: None,
            rotation: None,
            versions: Vec::new(),
            numbered: 0,
            tested: None,
            disabled: None,
            waiver: None,
            exposed_at: None,
            revoked_at: None,
            created_at: Timestamp::from_secs(0),
        }
    }

    fn server(name: &str, environment: &str, upstream: Upstream) -> Server {
        Server {
            name: ServerName::parse(name).unwrap(),
            title: String::new(),
            owner: "olga".to_owned(),
            purpose: "tests".to_owned(),
            environment: environment.to_owned(),
            actors: Vec::new(),
            upstream,
            credential: None,
            limits: ServerLimits::default(),
            scopes: BTreeMap::new(),
        }
    }

    fn at(url: &str) -> Upstream {
        Upstream::Http(url.parse().unwrap())
    }

    fn program() -> Upstream {
        Upstream::Program(Program {
            command: vec!["server".to_owned()],
            environment: BTreeMap::from([("A".to_owned(), Secret::new("b".to_owned()))]),
            directory: ".".into(),
            per: Per::Server,
        })
    }

    /// What a check says: nothing, or the name of the error.
    fn said(kind: &CredentialKind, upstream: Upstream) -> String {
        let hosts = ["api.example.com", "api.example.com:8443", "localhost:1", "[::1]:1", "10.0.0.1"];
        let checked = check(&credential(kind.clone(), &hosts, None), &server("wiki", "test", upstream));
        let debug = checked.map_or_else(|error| format!("{error:?}"), |()| String::new());
        debug.split([' ', '(']).next().unwrap_or_default().to_owned()
    }

    #[test]
    fn each_kind_goes_only_to_the_place_that_has_its_manner() {
        let kinds = [
            (CredentialKind::Bearer, true),
            (CredentialKind::Header("x-api-key".to_owned()), true),
            (CredentialKind::Basic("ana".to_owned()), true),
            (CredentialKind::Query("key".to_owned()), true),
            (CredentialKind::ClientCertificate, true),
            (CredentialKind::Environment("TOKEN".to_owned()), false),
            (CredentialKind::Postgres("reader".to_owned()), false),
            (CredentialKind::Ssh("reader".to_owned()), false),
        ];
        for (kind, for_urls) in kinds {
            let (url, program_says) = if for_urls { ("", "NotForPrograms") } else { ("OnlyForPrograms", "") };
            assert_eq!(said(&kind, at("https://api.example.com/mcp")), url, "{kind:?}");
            assert_eq!(said(&kind, program()), program_says, "{kind:?}");
            assert_eq!(said(&kind, Upstream::Tunnel), "Tunnel", "{kind:?}");
        }
    }

    #[test]
    fn a_secret_goes_to_its_own_hosts_only_and_never_unencrypted_over_a_network() {
        for (url, wanted) in [
            ("https://api.example.com", ""),
            ("https://API.example.com:443/mcp", ""),
            ("https://api.example.com:8443/mcp", ""),
            ("http://localhost:1/mcp", ""),
            ("http://[::1]:1/mcp", ""),
            ("https://api.example.com:80/", "ForeignHost"),
            ("https://api.example.com.evil.test/", "ForeignHost"),
            ("https://evil.test/?https://api.example.com", "ForeignHost"),
            ("https://xapi.example.com/", "ForeignHost"),
            ("https://api.example.com.:8443/", "ForeignHost"),
            ("http://localhost:2/mcp", "ForeignHost"),
            ("http://127.0.0.1:1/mcp", "ForeignHost"),
            ("http://api.example.com/", "Unencrypted"),
            ("http://10.0.0.1/", "Unencrypted"),
            ("http://localhost.evil.test:1/", "Unencrypted"),
        ] {
            assert_eq!(said(&CredentialKind::Bearer, at(url)), wanted, "{url}");
            assert_eq!(said(&CredentialKind::Query("k".to_owned()), at(url)), wanted, "{url}");
        }
        let certificate = CredentialKind::ClientCertificate;
        assert_eq!(said(&certificate, at("http://localhost:1/mcp")), "Unencrypted", "no TLS to show it in");
    }

    #[test]
    fn a_credential_of_one_environment_is_refused_in_every_other_by_an_error_that_names_both() {
        let of = |own: Option<&str>, environment: &str| {
            let credential = credential(CredentialKind::Bearer, &["api.example.com"], own);
            check(&credential, &server("wiki", environment, at("https://api.example.com/")))
        };
        assert_eq!(of(None, "development"), Ok(()));
        assert_eq!(of(Some("production"), "production"), Ok(()));
        for (own, environment) in [
            ("production", "development"),
            ("development", "production"),
            ("production", "Production"),
            ("production", ""),
        ] {
            let error = of(Some(own), environment).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{own}`")) && error.contains(&format!("`{environment}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn another_servers_credential_is_refused_whatever_else_fits() {
        let credential = credential(CredentialKind::Bearer, &["api.example.com"], None);
        let refused = check(&credential, &server("hr", "test", at("https://api.example.com/")));
        assert!(matches!(refused, Err(VaultError::ForeignServer { .. })), "{refused:?}");
    }
}
