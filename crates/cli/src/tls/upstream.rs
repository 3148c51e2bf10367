//! TLS towards one upstream: its own CA, and a certificate of ours to show it.

use portunus_core::digest::{Digest, sha256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the configuration says about it; nothing: the system's roots, and no certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UpstreamTls {
    /// Trusted, and nothing else.
    pub ca: Option<PathBuf>,
    /// Certificate chain and key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl UpstreamTls {
    /// From three settings.
    pub(crate) fn new(
        ca: Option<PathBuf>,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Self, String> {
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(String::from("a client certificate needs both its file and its key's")),
        };
        Ok(Self { ca, client })
    }

    /// Whether there is anything special.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The files that it consists of.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let (cert, key) = self.client.clone().unzip();
        [self.ca.clone(), cert, key].into_iter().flatten()
    }

    /// Of the settings, and of what the files hold now.
    pub(crate) fn digest(&self) -> Digest {
        let parts = self.files().flat_map(|path| {
            let held = std::fs::read(&path).map_or_else(|_| [0; 32], |held| sha256(&[&held]).0);
            [sha256(&[path.as_os_str().as_encoded_bytes()]).0, held]
        });
        sha256(&[&parts.collect::<Vec<_>>().concat()])
    }

    /// Reads the files. The error names the one that is wrong.
    pub(crate) fn load(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = match &self.ca {
            None => system_roots(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|e| wrong(path, &e))?;
                }
                roots
            }
        };
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let Some((cert, key)) = &self.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain = certificates(cert)?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
        let config = builder.with_client_auth_cert(chain, secret);
        config.map(Arc::new).map_err(|e| format!("{} and {}: {e}", cert.display(), key.display()))
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(roots = roots.len(), ignored, "system roots loaded");
    roots
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| wrong(path, &e))?.collect();
    let all = all.map_err(|e| wrong(path, &e))?;
    if all.is_empty() { Err(wrong(path, &"holds no certificate in PEM form")) } else { Ok(all) }
}

fn wrong(path: &Path, error: &dyn Display) -> String {
    format!("{}: {error}", path.display())
}
