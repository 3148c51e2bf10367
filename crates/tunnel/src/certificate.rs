//! What a connector's certificate says. TLS has checked its signature, validity and purpose before; this reads who it is.

use portunus_core::digest::{Digest, sha256};
use portunus_core::id::{Id, ServerName};
use portunus_core::time::Timestamp;
use x509_parser::extensions::GeneralName;

/// The identity in a verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The connector.
    pub connector: Id,
    /// The one server it may serve.
    pub server: ServerName,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key_digest: Digest,
    /// End of its life.
    pub not_after: Timestamp,
}

/// The certificate does not have the form that the link authority gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client certificate is not a connector's: {0}")]
pub struct CertificateRefused(&'static str);

impl PeerCertificate {
    /// Reads the leaf that TLS verified.
    ///
    /// # Errors
    /// When it is not exactly of the form that [`crate::authority::LinkAuthority::connector_cert`] gives.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateRefused> {
        let refuse = CertificateRefused;
        let (rest, parsed) =
            x509_parser::parse_x509_certificate(der).map_err(|_| refuse("it does not parse"))?;
        if !rest.is_empty() {
            return Err(refuse("bytes follow it"));
        }
        let mut names = parsed.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(refuse("it does not have one common name"));
        };
        let connector = name.as_str().ok().and_then(|text| Id::parse(text).ok());
        let connector = connector.ok_or(refuse("its common name is not an identifier"))?;
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let server = match alternatives.map(|found| found.value.general_names.as_slice()) {
            Some([GeneralName::URI(uri)]) => server_of(uri, &connector),
            _ => None,
        };
        Ok(Self {
            server: server.ok_or(refuse("its SAN is not the one URI of this connector"))?,
            key_digest: sha256(&[parsed.public_key().raw]),
            not_after: u64::try_from(parsed.validity().not_after.timestamp())
                .map(Timestamp::from_secs)
                .map_err(|_| refuse("it ended before 1970"))?,
            connector,
        })
    }
}

/// The SAN URI of a connector.
pub(crate) fn san_uri(connector: &Id, server: &ServerName) -> String {
    format!("portunus://connector/{connector}/server/{server}")
}

fn server_of(uri: &str, connector: &Id) -> Option<ServerName> {
    let (_, server) = uri.rsplit_once('/')?;
    let server = ServerName::parse(server).ok()?;
    (uri == san_uri(connector, &server)).then_some(server)
}
