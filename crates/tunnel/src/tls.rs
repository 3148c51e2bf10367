//! The TLS configurations of both ends. A link is TLS 1.3 with certificates on both sides and nothing resumed, so each
//! link is checked anew.

use crate::wire::ALPN;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused.
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client verifier refused its roots.
    #[error("the link authority's certificate cannot be a root: {0}")]
    Root(#[from] rustls::server::VerifierBuilderError),
    /// The file of extra roots.
    #[error("no certificate could be read from {path}: {why}")]
    CaFile {
        /// The file.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// Nothing to trust.
    #[error(
        "this system has no trusted certificate authorities: install its CA certificates, or name a file of them with --ca-file"
    )]
    NoRoots,
}

/// The edge's side of a link: TLS 1.3 only, ALPN [`ALPN`] only, a client certificate of the link authority required.
///
/// # Errors
/// When the root is not a certificate authority.
pub fn link_server_config(
    root: &CertificateDer<'_>,
    server_certificate: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone().into_owned())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(server_certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would carry the client certificate of an earlier handshake, unchecked.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a connector trusts: the system's roots and those of a file.
///
/// # Errors
/// When the file holds no certificate, or there are no roots at all.
pub(crate) fn roots(extra: Option<&Path>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    tracing::debug!(roots = roots.len(), ignored, "system roots loaded");
    if let Some(path) = extra {
        let refuse = |why: &dyn std::fmt::Display| TlsError::CaFile {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let found = CertificateDer::pem_file_iter(path).map_err(|why| refuse(&why))?;
        let before = roots.len();
        for certificate in found {
            roots.add(certificate.map_err(|why| refuse(&why))?).map_err(|why| refuse(&why))?;
        }
        if roots.len() == before {
            return Err(refuse(&"it holds no certificate in PEM"));
        }
    }
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(Arc::new(roots)) }
}

/// The connector's side of a link.
pub(crate) fn link_client_config(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Plain HTTPS as a client, HTTP/1.1.
pub(crate) fn https_client_config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
