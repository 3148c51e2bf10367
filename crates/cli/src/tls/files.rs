//! A certificate from a pair of PEM files.

use super::Served;
use portunus_core::digest::{Digest, sha256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// The pair.
pub(crate) struct Pair {
    cert: PathBuf,
    key: PathBuf,
    /// As the files were before they were first read, so that no change is missed.
    loaded: Fingerprint,
}

/// Digest of what both files hold; `None` while one cannot be read.
type Fingerprint = Option<Digest>;

impl Pair {
    pub(crate) fn new(cert: &Path, key: &Path) -> Self {
        let mut pair = Self { cert: cert.to_owned(), key: key.to_owned(), loaded: None };
        pair.loaded = pair.fingerprint();
        pair
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { settled: self.loaded, last: self.loaded }
    }

    fn fingerprint(&self) -> Fingerprint {
        let cert = std::fs::read(&self.cert).ok()?;
        let key = std::fs::read(&self.key).ok()?;
        Some(sha256(&[&sha256(&[&cert]).0, &sha256(&[&key]).0]))
    }

    /// Reads both; the error says which file is wrong, and how.
    pub(crate) fn load(&self) -> Result<Served, String> {
        let text = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.cert).map_err(|e| text(&self.cert, &e))?.collect();
        let chain = chain.map_err(|e| text(&self.cert, &e))?;
        if chain.is_empty() {
            return Err(text(&self.cert, &"holds no certificate in PEM form"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| text(&self.key, &e))?;
        Served::new(chain, key)
            .map_err(|e| format!("{} and {}: {e}", self.cert.display(), self.key.display()))
    }
}

/// What has been seen of a pair.
#[derive(Default)]
pub(crate) struct Watch {
    /// The files that are in use, or were refused.
    settled: Fingerprint,
    /// The files at the last look.
    last: Fingerprint,
}

impl Watch {
    /// What a change of the files brings. A pair that cannot be used is reported only when it stays as it is until the next
    /// look: two files are not written at once.
    pub(crate) fn look(&mut self, pair: &Pair) -> Option<Result<Served, String>> {
        let now = pair.fingerprint();
        let stays = std::mem::replace(&mut self.last, now) == now;
        if now == self.settled {
            return None;
        }
        let new = pair.load();
        (new.is_ok() || stays).then_some(new)
    }

    /// The pair of the last look is in use, or refused for good.
    pub(crate) fn settled(&mut self) {
        self.settled = self.last;
    }
}
