//! Portunus' own keys, kept sealed in the store and made at the first start.

use portunus_core::document::Setting;
use portunus_core::secret::Secret;
use portunus_core::store::{self, Batch, Store, StoreError};
use portunus_core::time::{Rng, Timestamp};
use portunus_ssh::UserAuthority;
use portunus_tunnel::authority::{AuthorityError, ClientAuthority, LinkAuthority, ServerAuthority};
use portunus_vault::{SealingError, SealingKey};

/// Why a key of Portunus could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{name} in the store: {error}; is this the sealing key that the store was made with?")]
    Sealing { name: &'static str, error: SealingError },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("{0} in the store is damaged")]
    Damaged(&'static str),
}

/// Where the keys are kept and what seals them.
pub(crate) struct Settings<'a> {
    pub store: &'a dyn Store,
    pub key: &'a SealingKey,
    pub rng: &'a dyn Rng,
    pub now: Timestamp,
}

impl Settings<'_> {
    /// The CA of `tls: { local_ca: true }`.
    pub(crate) async fn server_authority(&self) -> Result<ServerAuthority, SettingError> {
        let make = || Ok(ServerAuthority::create(self.now, self.rng)?.1.expose().clone().into_bytes());
        Ok(ServerAuthority::load(&self.text("server-ca", make).await?)?)
    }
    /// The CA of connectors.
    pub(crate) async fn link_authority(&self) -> Result<LinkAuthority, SettingError> {
        let make = || Ok(LinkAuthority::create(self.now, self.rng)?.1.expose().clone().into_bytes());
        Ok(LinkAuthority::load(&self.text("link-ca", make).await?)?)
    }
    /// The CA of what the edge shows to upstream servers.
    pub(crate) async fn client_authority(&self) -> Result<ClientAuthority, SettingError> {
        let make = || Ok(ClientAuthority::create(self.now, self.rng)?.1.expose().clone().into_bytes());
        Ok(ClientAuthority::load(&self.text("client-ca", make).await?)?)
    }
    /// The CA of SSH keys.
    pub(crate) async fn ssh_authority(&self) -> Result<UserAuthority, SettingError> {
        let name = "ssh-ca";
        let bytes = self.load_or_make(name, || Ok(self.random())).await?;
        let seed = <[u8; 32]>::try_from(bytes.expose().as_slice()).map(Secret::new);
        seed.ok().and_then(|seed| UserAuthority::new(&seed)).ok_or(SettingError::Damaged(name))
    }
    /// The Ed25519 seed that signs assertions.
    pub(crate) async fn assertion_seed(&self) -> Result<Secret<Vec<u8>>, SettingError> {
        self.load_or_make("assertion-seed", || Ok(self.random())).await
    }

    fn random(&self) -> Vec<u8> {
        let mut bytes = vec![0_u8; 32];
        self.rng.fill(&mut bytes);
        bytes
    }

    async fn text(
        &self,
        name: &'static str,
        make: impl Fn() -> Result<Vec<u8>, AuthorityError>,
    ) -> Result<Secret<String>, SettingError> {
        let bytes = self.load_or_make(name, make).await?;
        String::from_utf8(bytes.expose().clone()).map(Secret::new).map_err(|_| SettingError::Damaged(name))
    }

    async fn load_or_make(
        &self,
        name: &'static str,
        make: impl Fn() -> Result<Vec<u8>, AuthorityError>,
    ) -> Result<Secret<Vec<u8>>, SettingError> {
        let sealing = |error| SettingError::Sealing { name, error };
        loop {
            if let Some(found) = store::load::<Setting>(self.store, name).await? {
                return self.key.open_setting(&found.value).map_err(sealing);
            }
            let plain = Secret::new(make()?);
            let setting = self.key.seal_setting(name, plain.expose(), self.rng).map_err(sealing)?;
            match self.store.commit(Batch::new().insert(&setting)).await {
                Ok(_) => return Ok(plain),
                Err(StoreError::Conflict { .. }) => {} // somebody else made it first: read theirs
                Err(error) => return Err(error.into()),
            }
        }
    }
}
