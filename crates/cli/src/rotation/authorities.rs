//! The authorities whose certificates upstream servers accept, and the directory of what those servers must be given: what to
//! trust, and what to refuse.

use super::Shared;
use crate::config::Config;
use crate::node::StartError;
use crate::settings::{SettingError, Settings};
use portunus_core::document::IssuedBy;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_rotate::register::Register;
use portunus_rotate::ssh::Ssh;
use portunus_rotate::x509::{Authority, X509};
use portunus_ssh::UserAuthority;
use portunus_tunnel::authority::ClientAuthority;
use portunus_vault::rotation::RotatorError;
use std::sync::Arc;
use std::time::Duration;

/// Both of them. Clones share them.
#[derive(Clone)]
pub(crate) struct Authorities {
    pub(crate) client: Arc<ClientAuthority>,
    pub(crate) ssh: Arc<UserAuthority>,
}

impl Authorities {
    /// Loads or makes them.
    pub(crate) async fn open(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let (client, ssh) = (settings.client_authority().await?, settings.ssh_authority().await?);
        Ok(Self { client: Arc::new(client), ssh: Arc::new(ssh) })
    }
}

/// What the rotator asks of the authority.
struct Own(Arc<ClientAuthority>);

impl Authority for Own {
    fn certificate(&self) -> String {
        self.0.certificate_pem()
    }
    fn issue(
        &self,
        subject: &str,
        serial: &[u8],
        life: Duration,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, String> {
        self.0.client_cert(subject, serial, life, now).map_err(|error| error.to_string())
    }
    fn revocations(&self, revoked: &[(Vec<u8>, Timestamp)], now: Timestamp) -> Result<String, String> {
        self.0.revocations(revoked, now).map_err(|error| error.to_string())
    }
}

/// The rotators of both, with their files written.
pub(super) async fn rotators(config: &Config, shared: &Shared<'_>) -> Result<(X509, Ssh), StartError> {
    let directory = &config.authorities;
    let (Authorities { client, ssh }, now) = (shared.authorities.clone(), shared.clock.now());
    std::fs::create_dir_all(directory).map_err(|e| StartError(format!("{}: {e}", directory.display())))?;
    let register = |authority| Register::new(shared.store.clone(), authority);
    let failed = |error: RotatorError| StartError(error.to_string());
    let with = (shared.tls.clone(), shared.rng.clone());
    let x509 = X509::open(Arc::new(Own(client)), register(IssuedBy::X509), directory.clone(), with, now);
    let x509 = x509.await.map_err(failed)?;
    let ssh = Ssh::open(ssh, register(IssuedBy::Ssh), directory.clone(), shared.rng.clone(), now);
    Ok((x509, ssh.await.map_err(failed)?))
}
