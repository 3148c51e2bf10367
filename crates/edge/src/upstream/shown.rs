//! Client certificates of credentials: a TLS configuration for each version, and connections that were made with it, which
//! no request under another version gets.

use super::http::Way;
use portunus_core::dialer::{DialError, Plain, Presented};
use portunus_core::limits;
use portunus_core::record::CredentialUse;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::{Arc, Mutex, PoisonError};

/// The latest used is the last.
#[derive(Default)]
pub(super) struct Shown(Mutex<Vec<(CredentialUse, Arc<Way>)>>);

impl Shown {
    /// The way of a request with this certificate; `make` makes it from PEM when the version was not used lately.
    pub(super) async fn way(
        &self,
        credential: &Presented,
        make: impl FnOnce(&[u8]) -> Result<Way, String>,
    ) -> Result<Arc<Way>, DialError> {
        if let Some(way) = self.find(credential.used()) {
            return Ok(way);
        }
        let Plain::Certificate(pem) = credential.open().await? else {
            return Err(credential.unfit("this URL"));
        };
        let made = make(pem.expose())
            .map_err(|why| DialError::Credential(format!("`{}`: {why}", credential.used().name)))?;
        Ok(self.keep(credential.used(), Arc::new(made)))
    }

    fn find(&self, used: &CredentialUse) -> Option<Arc<Way>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(known, _)| known == used)?;
        if at + 1 < all.len() {
            let found = all.remove(at);
            all.push(found);
            close_others(&all);
        }
        all.last().map(|(_, way)| way.clone())
    }

    fn keep(&self, used: &CredentialUse, made: Arc<Way>) -> Arc<Way> {
        // Somebody else may have made it meanwhile.
        if let Some(way) = self.find(used) {
            return way;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= limits::UPSTREAM_CERTIFICATES {
            all.remove(0).1.pool.clear();
        }
        all.push((used.clone(), made.clone()));
        close_others(&all);
        made
    }
}

/// Connections of other versions end when what they carry has ended; those that carry nothing end now.
fn close_others(all: &[(CredentialUse, Arc<Way>)]) {
    let Some(((_, latest), others)) = all.split_last() else { return };
    others.iter().for_each(|(_, way)| way.pool.clear());
    latest.pool.open();
}

/// The configuration with this certificate chain and key instead of any that it has.
///
/// # Errors
/// When the PEM holds no chain and key that belong together. The text says nothing of the key.
pub(super) fn identity(tls: &ClientConfig, pem: &[u8]) -> Result<ClientConfig, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|_| String::from("its certificate is no PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| String::from("its private key is no PEM"))?;
    let pair = CertifiedKey::from_der(chain, key, tls.crypto_provider())
        .map_err(|_| String::from("its certificate and private key cannot be used together"))?;
    let mut tls = tls.clone();
    tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
    // A session that was begun with another certificate must not be resumed with this one.
    tls.resumption = Resumption::default();
    Ok(tls)
}
