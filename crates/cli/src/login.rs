//! The identity providers of the configuration, each with its way there.

use crate::config::Config;
use crate::node::StartError;
use portunus_oauth::federation::exchange::Carrier;
use portunus_web::Login;
use portunus_web::federation::carrier::HttpCarrier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// How people sign in by this configuration. Nothing is asked of a provider yet.
pub(crate) fn login(config: &Config, system: &rustls::ClientConfig) -> Result<Login, StartError> {
    let mut own = HashMap::new();
    for (id, path) in &config.login.ca {
        own.insert(id.clone(), trusting(path)?);
    }
    let providers = config.login.providers.clone();
    Ok(Login::new(config.login.local, providers, |provider| -> Arc<dyn Carrier> {
        Arc::new(HttpCarrier::new(own.get(&provider.id).unwrap_or(system)))
    }))
}

/// Trusts the certificates of a file, and no others.
fn trusting(path: &Path) -> Result<rustls::ClientConfig, StartError> {
    let wrong = |why: &dyn std::fmt::Display| StartError(format!("ca {}: {why}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate in PEM form"));
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
