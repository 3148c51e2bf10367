//! `tls:` and `listen.http` → where the certificate comes from.

use super::file;
use portunus_acme::challenge::Kind;
use std::path::{Path, PathBuf};
use url::Url;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    LocalCa,
    Files { cert: PathBuf, key: PathBuf },
    Acme(Box<Acme>),
}

/// An ACME authority and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acme {
    pub directory: Url,
    pub email: String,
    /// Whom to trust as the directory; `None`: the system's authorities.
    pub ca: Option<PathBuf>,
    pub challenge: Kind,
    pub profile: Option<String>,
    pub external_account: Option<ExternalAccount>,
}

/// An account elsewhere that the ACME account is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalAccount {
    pub key_id: String,
    pub key_file: PathBuf,
}

/// Whose certificates clients may show, and on which names they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificates {
    pub ca: PathBuf,
    pub names: Vec<String>,
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `tls.client_certificates`, its path relative to the file.
pub(super) fn clients(file: &file::ClientCertificates, base: &Path) -> ClientCertificates {
    ClientCertificates { ca: base.join(&file.ca), names: file.names.clone() }
}

/// Checks `tls:`; the error says what to write instead.
pub(super) fn parse(tls: &file::Tls, plain_port: bool, base: &Path) -> Result<Tls, String> {
    match (tls.local_ca, &tls.cert, &tls.key, &tls.acme) {
        (true, None, None, None) => Ok(Tls::LocalCa),
        (false, Some(cert), Some(key), None) => Ok(Tls::Files { cert: base.join(cert), key: base.join(key) }),
        (false, None, None, Some(acme)) => Ok(Tls::Acme(Box::new(parse_acme(acme, plain_port, base)?))),
        _ => Err(String::from("give one of `local_ca: true`, both `cert` and `key`, or `acme`")),
    }
}

fn parse_acme(acme: &file::Acme, plain_port: bool, base: &Path) -> Result<Acme, String> {
    let text = acme.directory.as_deref().unwrap_or(LETS_ENCRYPT);
    let directory = Url::parse(text).map_err(|e| format!("acme directory `{text}` is not a URL: {e}"))?;
    if directory.scheme() != "https" || directory.host_str().is_none() {
        return Err(format!("acme directory `{text}` must be https://…"));
    }
    let plain = |c: char| c.is_ascii_graphic() && !['<', '>', ',', '?', '&'].contains(&c);
    if !acme.email.contains('@') || !acme.email.chars().all(plain) {
        return Err(format!("acme email `{}` is not an e-mail address", acme.email));
    }
    let challenge = match acme.challenge.as_deref() {
        Some("tls-alpn-01") => Kind::TlsAlpn01,
        Some("http-01") if !plain_port => {
            return Err(String::from("acme challenge http-01 needs `listen: { http: 0.0.0.0:80 }`"));
        }
        None if !plain_port => Kind::TlsAlpn01,
        Some("http-01") | None => Kind::Http01,
        Some(other) => return Err(format!("acme challenge `{other}` must be tls-alpn-01 or http-01")),
    };
    let external_account = acme.eab.as_ref();
    Ok(Acme {
        directory,
        email: acme.email.clone(),
        ca: acme.ca.as_ref().map(|ca| base.join(ca)),
        challenge,
        profile: acme.profile.clone(),
        external_account: external_account
            .map(|eab| ExternalAccount { key_id: eab.kid.clone(), key_file: base.join(&eab.key_file) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(yaml: &str, plain_port: bool) -> Result<Tls, String> {
        let file: file::Tls = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        parse(&file, plain_port, Path::new("/etc/portunus"))
    }

    #[test]
    fn the_challenge_follows_the_ports_unless_it_is_named() {
        let kind = |more: &str, plain_port| {
            let text = format!("acme: {{ email: ops@example.com{more} }}");
            match tls(&text, plain_port) {
                Ok(Tls::Acme(acme)) => acme.challenge,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kind("", false), Kind::TlsAlpn01);
        assert_eq!(kind("", true), Kind::Http01);
        assert_eq!(kind(", challenge: tls-alpn-01", true), Kind::TlsAlpn01);
    }

    #[test]
    fn mistakes_are_named_with_their_remedy() {
        for (text, wanted) in [
            ("{}", "give one of"),
            ("acme: { email: a@b.test }\nlocal_ca: true", "give one of"),
            ("acme: { email: ab }", "not an e-mail address"),
            ("acme: { email: 'a@b.test, c@d.test' }", "not an e-mail address"),
            ("acme: { email: a@b.test, directory: 'http://ca.test/' }", "must be https"),
            ("acme: { email: a@b.test, challenge: http-01 }", "listen: { http:"),
            ("acme: { email: a@b.test, challenge: dns-01 }", "must be tls-alpn-01 or http-01"),
            ("acme: { email: a@b.test, dir: x }", "unknown field"),
        ] {
            let error = tls(text, false).expect_err(text);
            assert!(error.contains(wanted), "{error:?} should contain {wanted:?}");
        }
    }
}
