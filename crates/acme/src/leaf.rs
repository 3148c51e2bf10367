//! What a server certificate says of itself.

use crate::schedule::Life;
use portunus_core::time::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// A parsed leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Its validity.
    pub life: Life,
    /// Its SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|e| format!("the certificate does not parse: {e}"))?;
        let moment = |seconds: i64| Timestamp::from_secs(u64::try_from(seconds).unwrap_or_default());
        let validity = parsed.validity();
        Ok(Self {
            serial: data_encoding::HEXLOWER.encode(parsed.raw_serial()),
            life: Life {
                not_before: moment(validity.not_before.timestamp()),
                not_after: moment(validity.not_after.timestamp()),
            },
            public_key: parsed.public_key().raw.to_vec(),
        })
    }
}

/// Whether a client that asked for this DNS name or IP address (without brackets) accepts the certificate's names.
#[must_use]
pub fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let fits = || {
        let leaf = ParsedCertificate::try_from(certificate).ok()?;
        let host = ServerName::try_from(host).ok()?;
        rustls::client::verify_server_name(&leaf, &host).ok()
    };
    fits().is_some()
}
