//! Client certificates of credentials: a TLS configuration for each version, and connections that were made with it, which
//! no request under another version gets.

use super::http::Way;
use portunus_core::dialer::{DialError, Ending, Plain, Presented};
use portunus_core::limits;
use portunus_core::record::CredentialUse;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::task::AbortHandle;

/// The latest used is the last.
#[derive(Default)]
pub(super) struct Shown(Arc<Mutex<Vec<Made>>>);

/// What was made with one version.
struct Made {
    used: CredentialUse,
    way: Arc<Way>,
    /// Forgets it when its credential may not be used any more.
    watch: AbortHandle,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.way.pool.clear();
        self.watch.abort();
    }
}

impl Shown {
    /// The way of a request with this certificate; `make` makes it from PEM when the version was not used lately.
    pub(super) async fn way(
        &self,
        credential: &Presented,
        make: impl FnOnce(&[u8]) -> Result<Way, String>,
    ) -> Result<Arc<Way>, DialError> {
        if !credential.is_ended()
            && let Some(way) = self.find(credential.used())
        {
            return Ok(way);
        }
        let Plain::Certificate(pem) = credential.open().await? else {
            return Err(credential.unfit("this URL"));
        };
        let made = make(pem.expose())
            .map_err(|why| DialError::Credential(format!("`{}`: {why}", credential.used().name)))?;
        Ok(self.keep(credential, Arc::new(made)))
    }

    fn find(&self, used: &CredentialUse) -> Option<Arc<Way>> {
        let mut all = lock(&self.0);
        let at = all.iter().position(|made| made.used == *used)?;
        if at + 1 < all.len() {
            let found = all.remove(at);
            all.push(found);
            close_others(&all);
        }
        all.last().map(|made| made.way.clone())
    }

    fn keep(&self, credential: &Presented, way: Arc<Way>) -> Arc<Way> {
        let used = credential.used();
        // Somebody else may have made it meanwhile.
        if let Some(way) = self.find(used) {
            return way;
        }
        let watch = tokio::spawn(forget(Arc::downgrade(&self.0), used.clone(), credential.ended()));
        let mut all = lock(&self.0);
        if all.len() >= limits::UPSTREAM_CERTIFICATES {
            all.remove(0);
        }
        all.push(Made { used: used.clone(), way: way.clone(), watch: watch.abort_handle() });
        close_others(&all);
        way
    }
}

/// Connections that rest end at once; those that carry something end with it, which the same signal cuts.
async fn forget(all: Weak<Mutex<Vec<Made>>>, used: CredentialUse, ended: Ending) {
    ended.await;
    if let Some(all) = all.upgrade() {
        lock(&all).retain(|made| made.used != used);
    }
}

fn lock(all: &Mutex<Vec<Made>>) -> MutexGuard<'_, Vec<Made>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections of other versions end when what they carry has ended; those that carry nothing end now.
fn close_others(all: &[Made]) {
    let Some((latest, others)) = all.split_last() else { return };
    others.iter().for_each(|made| made.way.pool.clear());
    latest.way.pool.open();
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
