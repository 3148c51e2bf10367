//! A certificate from Portunus' own CA.

use super::Served;
use crate::config::Config;
use crate::node::StartError;
use crate::settings::Settings;
use portunus_core::time::{Rng, Timestamp};
use portunus_tunnel::authority::ServerAuthority;

/// The CA and what it certifies.
pub(crate) struct Local {
    authority: ServerAuthority,
    names: Vec<String>,
}

impl Local {
    /// Loads or makes the CA, and writes its certificate for clients to trust.
    pub(crate) async fn open(
        config: &Config,
        settings: &Settings<'_>,
        host: &str,
    ) -> Result<Self, StartError> {
        let authority = settings.server_authority().await?;
        std::fs::write(&config.ca_file, authority.certificate_pem())
            .map_err(|e| StartError(format!("{}: {e}", config.ca_file.display())))?;
        let mut names =
            vec![host.to_owned(), String::from("localhost"), String::from("127.0.0.1"), String::from("::1")];
        names.dedup();
        Ok(Self { authority, names })
    }

    /// A new certificate with a new key.
    pub(crate) fn issue(&self, now: Timestamp, rng: &dyn Rng) -> Result<Served, String> {
        let made = self.authority.server_cert(&self.names, now, rng).map_err(|e| e.to_string())?;
        Served::new(made.chain, made.key)
    }
}
