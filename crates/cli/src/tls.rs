//! Certificates → TLS configurations.

use crate::config::{Config, Tls};
use crate::node::StartError;
use portunus_core::time::{Rng, Timestamp};
use portunus_edge::tls::{TlsConfigs, client_config};
use portunus_tunnel::authority::{LinkAuthority, ServerAuthority};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;

/// The one certificate, whatever name is asked for.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The configurations for clients and links. With a local CA its certificate is written for clients to trust.
pub(crate) fn configs(
    config: &Config,
    authority: Option<&ServerAuthority>,
    links: &LinkAuthority,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<TlsConfigs, StartError> {
    let (chain, key) = match (&config.tls, authority) {
        (Tls::Files { cert, key }, _) => files(cert, key)?,
        (Tls::LocalCa, Some(authority)) => {
            let host = config.public_url.host_str().unwrap_or("localhost").to_owned();
            let mut names =
                vec![host, String::from("localhost"), String::from("127.0.0.1"), String::from("::1")];
            names.dedup();
            let made = authority.server_cert(&names, now, rng).map_err(|e| StartError(e.to_string()))?;
            std::fs::write(&config.ca_file, authority.certificate_pem())
                .map_err(|e| StartError(format!("{}: {e}", config.ca_file.display())))?;
            (made.chain, made.key)
        }
        (Tls::LocalCa, None) => return Err(StartError(String::from("the local CA is missing"))),
    };
    let provider =
        CryptoProvider::get_default().ok_or_else(|| StartError(String::from("no crypto provider")))?;
    let key = provider.key_provider.load_private_key(key).map_err(|e| StartError(format!("TLS key: {e}")))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|e| StartError(format!("TLS certificate and key do not belong together: {e}")))?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(One(Arc::new(certified)));
    let link_config = portunus_tunnel::tls::link_server_config(links.root(), resolver.clone());
    Ok(TlsConfigs {
        clients: Arc::new(client_config(resolver)),
        links: Some(link_config.map_err(|e| StartError(e.to_string()))?),
    })
}

fn files(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), StartError> {
    let text =
        |path: &Path, error: &dyn std::fmt::Display| StartError(format!("{}: {error}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).map_err(|e| text(cert, &e))?.collect();
    let chain = chain.map_err(|e| text(cert, &e))?;
    if chain.is_empty() {
        return Err(text(cert, &"holds no certificate in PEM form"));
    }
    Ok((chain, PrivateKeyDer::from_pem_file(key).map_err(|e| text(key, &e))?))
}

/// For HTTP upstreams: the system's roots.
pub(crate) fn upstream_client() -> Result<Arc<rustls::ClientConfig>, StartError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(roots = roots.len(), ignored, "system roots loaded");
    Ok(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
