//! A certificate with its key, checked and ready to serve; and the slot that handshakes take it from.

use arc_swap::ArcSwapOption;
use portunus_acme::leaf::{self, Leaf};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A certificate in use.
pub(crate) struct Served {
    key: Arc<CertifiedKey>,
    pub(crate) leaf: Leaf,
}

impl Served {
    /// Checks that the chain starts with a certificate for this key.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let leaf = Leaf::read(chain.first().ok_or("there is no certificate")?)?;
        let provider = CryptoProvider::get_default().ok_or("no crypto provider")?;
        let key = provider.key_provider.load_private_key(key).map_err(|e| format!("the key: {e}"))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|e| format!("certificate and key do not belong together: {e}"))?;
        Ok(Self { key: Arc::new(key), leaf })
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Behind a proxy that ends TLS itself the name may differ on purpose, so this is no error.
    pub(crate) fn warn_of_name(&self, host: &str) {
        let first = self.key.cert.first();
        if !first.is_some_and(|leaf| leaf::is_for(leaf, host.trim_matches(['[', ']']))) {
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
