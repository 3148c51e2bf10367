//! What a validating authority is answered. The answer to a pending challenge is in the store, so that any node on it can
//! give it, whichever one the authority happens to reach.

use portunus_core::digest::sha256;
use portunus_core::document::PendingChallenge;
use portunus_core::limits;
use portunus_core::store::{self, Store, StoreError};
use portunus_core::time::Timestamp;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use std::net::IpAddr;
use std::sync::Arc;

/// How the authority checks that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It opens TLS with ALPN `acme-tls/1` on port 443 (RFC 8737).
    TlsAlpn01,
    /// It fetches a file over plain HTTP from port 80 (RFC 8555 section 8.3).
    Http01,
}

impl Kind {
    /// Its registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }

    /// The id under which the answer is kept: by the name that the authority puts into SNI, or by the token that it puts
    /// into the path.
    pub(crate) fn id(self, host: &str, token: &str) -> String {
        match self {
            Self::TlsAlpn01 => format!("{}:{}", self.as_str(), server_name(host)),
            Self::Http01 => format!("{}:{token}", self.as_str()),
        }
    }
}

/// The text that answers http-01 for this token, if one is pending.
///
/// # Errors
/// When the store fails.
pub async fn http_answer(
    store: &dyn Store,
    token: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    if !is_token(token) {
        return Ok(None);
    }
    pending(store, &format!("{}:{token}", Kind::Http01.as_str()), now).await
}

/// The certificate that answers tls-alpn-01 for this server name, if a challenge for it is pending.
///
/// # Errors
/// When the store fails, or the certificate cannot be made.
pub async fn tls_answer(
    store: &dyn Store,
    name: &str,
    now: Timestamp,
) -> Result<Option<Arc<CertifiedKey>>, TlsAnswerError> {
    let id = format!("{}:{}", Kind::TlsAlpn01.as_str(), name.to_ascii_lowercase());
    match pending(store, &id, now).await? {
        Some(authorization) => Ok(Some(Arc::new(certificate(name, &authorization)?))),
        None => Ok(None),
    }
}

/// Why a tls-alpn-01 challenge could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum TlsAnswerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate could not be made.
    #[error("the challenge's certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Nor its key loaded.
    #[error("the challenge's key could not be used: {0}")]
    Key(String),
}

/// RFC 8555 section 8.3: base64url, at least 128 bits; bounded, since it is looked up.
pub(crate) fn is_token(token: &str) -> bool {
    (1..=limits::ACME_TOKEN_BYTES).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

async fn pending(store: &dyn Store, id: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
    if id.len() > limits::DOCUMENT_ID_BYTES {
        return Ok(None);
    }
    let found = store::load::<PendingChallenge>(store, id).await?;
    Ok(found.filter(|found| !found.value.expires_at.is_past(now)).map(|found| found.value.key_authorization))
}

/// RFC 8737 section 3: self-signed, the name alone, and the critical `acmeIdentifier` with the digest of the key
/// authorization. Its key is used for this one handshake.
fn certificate(name: &str, authorization: &str) -> Result<CertifiedKey, TlsAnswerError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let host = address(name).map_or_else(|| name.to_owned(), |address| address.to_string());
    let mut params = CertificateParams::new([host])?;
    params.distinguished_name = DistinguishedName::new();
    let digest = sha256(&[authorization.as_bytes()]);
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest.0)];
    let certificate = params.self_signed(&key)?.der().clone();
    let failed = |why: &dyn std::fmt::Display| TlsAnswerError::Key(why.to_string());
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| failed(&e))?;
    let provider = CryptoProvider::get_default().ok_or_else(|| failed(&"no crypto provider"))?;
    let key = provider.key_provider.load_private_key(key).map_err(|e| failed(&e))?;
    Ok(CertifiedKey::new(vec![certificate], key))
}

/// The name an authority puts into SNI for this host: for an address its reverse name (RFC 8738 section 6).
fn server_name(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(v6)) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
        Err(_) => host.to_ascii_lowercase(),
    }
}

/// The address whose reverse name this is.
fn address(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let reversed: Vec<&str> = labels.split('.').rev().collect();
        return reversed.join(".").parse().ok();
    }
    let labels: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
    let groups: Vec<String> = labels.chunks(4).map(<[&str]>::concat).collect();
    groups.join(":").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::store::Batch;
    use portunus_core::testing::MemoryStore;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    async fn store_with(kind: Kind, host: &str, token: &str, expires_at: u64) -> MemoryStore {
        let store = MemoryStore::default();
        let pending = PendingChallenge {
            id: kind.id(host, token),
            key_authorization: format!("{token}.thumbprint"),
            expires_at: Timestamp::from_secs(expires_at),
        };
        store.commit(Batch::new().insert(&pending)).await.unwrap();
        store
    }

    #[tokio::test]
    async fn only_the_exact_token_of_a_pending_challenge_is_answered() {
        let store = store_with(Kind::Http01, "a.test", "abc_-9", 2000).await;
        let answer = |token: &'static str| http_answer(&store, token, NOW);
        assert_eq!(answer("abc_-9").await.unwrap().as_deref(), Some("abc_-9.thumbprint"));
        for other in
            ["", "ABC_-9", "abc_-9.", "abc_-9/", "../abc_-9", "abc_-9%2e", "abc", "tls-alpn-01:a.test"]
        {
            assert_eq!(answer(other).await.unwrap(), None, "{other}");
        }
        let expired = store_with(Kind::Http01, "a.test", "abc", 1000).await;
        assert_eq!(http_answer(&expired, "abc", NOW).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_tls_answer_carries_the_digest_for_its_name_alone() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let store = store_with(Kind::TlsAlpn01, "Edge.test", "abc", 2000).await;
        let made = tls_answer(&store, "edge.TEST", NOW).await.unwrap().unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&made.cert[0]).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        // id-pe-acmeIdentifier, critical, an OCTET STRING of 32 bytes.
        let id = parsed.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        let digest = sha256(&[b"abc.thumbprint"]);
        assert!(id.critical);
        assert_eq!(id.value, [&[4, 32][..], &digest.0].concat());
        for other in ["other.test", "", "edge.test.", "sub.edge.test"] {
            assert!(tls_answer(&store, other, NOW).await.unwrap().is_none(), "{other}");
        }
    }

    #[test]
    fn addresses_have_reverse_names_and_come_back_from_them() {
        for (host, name) in [
            ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
            ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(server_name(host), name);
            assert_eq!(address(name), Some(host.parse().unwrap()));
        }
        assert_eq!(server_name("Edge.Test"), "edge.test");
        assert_eq!(address("in-addr.arpa"), None);
        assert_eq!(address("x.ip6.arpa"), None);
    }
}
