//! A certificate with its key, checked and ready to serve; and the slot that handshakes take it from.

use arc_swap::ArcSwapOption;
use portunus_core::time::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A certificate in use.
pub(crate) struct Served {
    key: Arc<CertifiedKey>,
    /// The leaf's serial number, hexadecimal.
    pub(crate) serial: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Served {
    /// Checks that the chain starts with a certificate for this key.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let leaf = chain.first().ok_or("there is no certificate")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|e| format!("the first certificate does not parse: {e}"))?;
        let moment = |seconds: i64| Timestamp::from_secs(u64::try_from(seconds).unwrap_or_default());
        let (not_before, not_after) = (
            moment(parsed.validity().not_before.timestamp()),
            moment(parsed.validity().not_after.timestamp()),
        );
        let serial = data_encoding::HEXLOWER.encode(parsed.raw_serial());
        let provider = CryptoProvider::get_default().ok_or("no crypto provider")?;
        let key = provider.key_provider.load_private_key(key).map_err(|e| format!("the key: {e}"))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|e| format!("certificate and key do not belong together: {e}"))?;
        Ok(Self { key: Arc::new(key), serial, not_before, not_after })
    }

    /// Whether to replace it: a third of its life is left, or the clock was set back and it is not valid yet.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.with_left(3).is_past(now) || self.not_before > now
    }

    /// Whether so little of its life is left (a sixth) that somebody has to look.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.with_left(6).is_past(now)
    }

    /// The moment when one part in `parts` of its life is left.
    fn with_left(&self, parts: u32) -> Timestamp {
        let life = self.not_after.since(self.not_before);
        self.not_before.plus(life.saturating_sub(life / parts))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Behind a proxy that ends TLS itself the name may differ on purpose, so this is no error.
    pub(crate) fn warn_of_name(&self, host: &str) {
        let fits = || {
            let leaf = ParsedCertificate::try_from(self.key.cert.first()?).ok()?;
            let host = ServerName::try_from(host.trim_matches(['[', ']'])).ok()?;
            rustls::client::verify_server_name(&leaf, &host).ok()
        };
        if fits().is_none() {
            tracing::warn!(host, "the certificate is not for the host of public_url: clients will refuse it");
        }
    }
}

/// Where handshakes take the certificate from; empty before the first one.
#[derive(Default)]
pub(crate) struct Slot(ArcSwapOption<Served>);

impl Slot {
    pub(crate) fn holding(first: Served) -> Self {
        Self(ArcSwapOption::from_pointee(first))
    }
    pub(crate) fn get(&self) -> Option<Arc<Served>> {
        self.0.load_full()
    }
    pub(crate) fn put(&self, new: Served) {
        self.0.store(Some(Arc::new(new)));
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// The one certificate, whatever name is asked for: which host a request is for is the guard's matter.
impl ResolvesServerCert for Slot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|served| served.key.clone())
    }
}
