//! Which clients are asked for a certificate, and whose certificates count.

use super::{LOOK, Slot};
use crate::config::tls::ClientCertificates;
use crate::node::Parts;
use portunus_core::digest::{Digest, sha256};
use portunus_edge::tls::{Asking, TlsConfigs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use tokio::sync::watch;

/// The authorities of a file, with the digest of what was read.
pub(crate) struct Authorities {
    config: ClientCertificates,
    loaded: Option<Digest>,
}

impl Authorities {
    pub(super) fn new(config: &ClientCertificates) -> Self {
        let mut authorities = Self { config: config.clone(), loaded: None };
        authorities.loaded = authorities.fingerprint();
        authorities
    }

    /// Reads the file; the error says what is wrong with it.
    pub(super) fn asking(&self, slot: &Arc<Slot>) -> Result<Arc<Asking>, String> {
        let file = &self.config.ca;
        let refuse = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| refuse(&e))? {
            roots.add(certificate.map_err(|e| refuse(&e))?).map_err(|e| refuse(&e))?;
        }
        if roots.is_empty() {
            return Err(refuse(&"holds no certificate in PEM form"));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let asking = Asking::new(slot.clone(), roots, self.config.names.iter().cloned(), name);
        asking.map(Arc::new).map_err(|e| refuse(&e))
    }

    fn fingerprint(&self) -> Option<Digest> {
        std::fs::read(&self.config.ca).ok().map(|bytes| sha256(&[&bytes]))
    }
}

/// Reads the file again when it changes, until stopped. Certificates shown before count no longer then: requests of those
/// connections go on without.
pub(super) async fn keep(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    let Some(authorities) = &parts.certificates.clients else { return };
    let (mut settled, mut last) = (authorities.loaded, authorities.loaded);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = authorities.fingerprint();
        let stays = std::mem::replace(&mut last, now) == now;
        if now == settled {
            continue;
        }
        let new = authorities.asking(&parts.certificates.slot);
        // A file that cannot be used may be half written.
        if (new.is_ok() || stays) && settle(&parts, &authorities.config, new).await {
            settled = now;
        }
    }
}

/// Puts the authorities into use once that is recorded, or records why not; false when it could not be recorded.
async fn settle(parts: &Parts, config: &ClientCertificates, new: Result<Arc<Asking>, String>) -> bool {
    let place = config.ca.display().to_string();
    match new {
        Err(error) => {
            tracing::error!(
                error,
                "the new authorities for client certificates are refused; the old ones stay"
            );
            parts.note("client_authorities.refused", &place, &[("why", &error)]).await.is_ok()
        }
        Ok(asking) => {
            if let Err(error) = parts.note("client_authorities.replaced", &place, &[]).await {
                tracing::error!(%error, "the new authorities wait: they could not be recorded");
                return false;
            }
            let before = parts.tls.load_full();
            parts.tls.store(Arc::new(TlsConfigs { asking: Some(asking), ..(*before).clone() }));
            tracing::info!("new authorities for client certificates are in use");
            true
        }
    }
}
