//! Who this connector is: its key, which never leaves the state directory, and its certificate.

use crate::authority::AuthorityError;
use crate::wire::{EnrolReply, RenewRequest, renewal_message};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::id::{Id, ServerName};
use portunus_core::time::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {why}")]
    Io {
        /// The file or directory.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// A file is not what this program wrote.
    #[error("{path} is damaged ({why}): remove it and enrol with a new join token")]
    Damaged {
        /// The file.
        path: String,
        /// What does not parse.
        why: String,
    },
    /// Others can read the key.
    #[error(
        "{path} can be read by other users: run `chmod 600 {path}`, and if others use this machine, enrol anew"
    )]
    Exposed {
        /// The key file.
        path: String,
    },
    /// The directory belongs to another server or gateway.
    #[error("{path} belongs to the server `{server}` at {gateway}: use another state directory")]
    Other {
        /// The file.
        path: String,
        /// Whose it is.
        server: ServerName,
        /// Of which gateway.
        gateway: String,
    },
    /// The key could not be made or used.
    #[error("the connector's key could not be used: {0}")]
    Key(#[from] AuthorityError),
}

/// The connector's key pair and where it is kept.
pub(crate) struct Key {
    pair: KeyPair,
    dir: PathBuf,
}

/// An enrolled connector: what the edge answered, and when to renew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) gateway: String,
    pub(crate) renew_at: Timestamp,
    pub(crate) reply: EnrolReply,
}

const KEY_FILE: &str = "connector.key";
const IDENTITY_FILE: &str = "connector.json";

impl Key {
    /// Loads the key of a state directory, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        create_dir(dir).map_err(|why| failed(dir, why))?;
        let path = dir.join(KEY_FILE);
        let pair = match fs::read_to_string(&path) {
            Ok(pem) => {
                check_private(&path)?;
                KeyPair::from_pem(&pem).map_err(|why| damaged(&path, &why))?
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Failed)?;
                write_private(&path, pair.serialize_pem().as_bytes())?;
                pair
            }
            Err(why) => return Err(failed(&path, why)),
        };
        Ok(Self { pair, dir: dir.to_owned() })
    }

    /// The identity that the directory holds, if it is of this gateway and server.
    pub(crate) fn identity(
        &self,
        gateway: &str,
        server: &ServerName,
    ) -> Result<Option<Identity>, StateError> {
        let path = self.dir.join(IDENTITY_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(failed(&path, why)),
        };
        let identity: Identity = serde_json::from_slice(&text).map_err(|why| damaged(&path, &why))?;
        if identity.gateway != gateway || identity.reply.server != *server {
            let Identity { gateway, reply, .. } = identity;
            return Err(StateError::Other {
                path: path.display().to_string(),
                server: reply.server,
                gateway,
            });
        }
        Ok(Some(identity))
    }

    /// Keeps what the edge answered.
    pub(crate) fn keep(
        &self,
        gateway: &str,
        reply: EnrolReply,
        now: Timestamp,
    ) -> Result<Identity, StateError> {
        let path = self.dir.join(IDENTITY_FILE);
        // At two thirds of the certificate's life.
        let renew_at = now.plus(Duration::from_secs(reply.lifetime_secs) * 2 / 3);
        let identity = Identity { gateway: gateway.to_owned(), renew_at, reply };
        let text = serde_json::to_vec_pretty(&identity).map_err(|why| damaged(&path, &why))?;
        write_private(&path, &text)?;
        Ok(identity)
    }

    /// A signing request in PEM: proves possession of the key and says nothing else.
    pub(crate) fn csr(&self) -> Result<String, StateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let csr = params.serialize_request(&self.pair).and_then(|csr| csr.pem());
        Ok(csr.map_err(AuthorityError::Failed)?)
    }

    /// A request to renew, signed.
    pub(crate) fn renewal(&self, connector: &Id, at: Timestamp) -> Result<RenewRequest, StateError> {
        let csr_pem = self.csr()?;
        let signature = self.pair.sign(&renewal_message(connector, at, &csr_pem));
        let signature = BASE64URL_NOPAD.encode(&signature.map_err(AuthorityError::Failed)?);
        Ok(RenewRequest { connector: connector.clone(), at, csr_pem, signature })
    }

    /// Certificate chain and key for TLS.
    pub(crate) fn for_tls(
        &self,
        identity: &Identity,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), StateError> {
        let path = self.dir.join(IDENTITY_FILE);
        let certificate = CertificateDer::from_pem_slice(identity.reply.certificate_pem.as_bytes());
        let certificate = certificate.map_err(|why| damaged(&path, &why))?;
        Ok((vec![certificate], PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()))
    }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let temporary = path.with_extension("new");
    let write = || {
        match fs::remove_file(&temporary) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|why| failed(path, why))
}

fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), StateError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|why| failed(path, why))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(StateError::Exposed { path: path.display().to_string() }) }
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), StateError> {
    Ok(())
}

fn failed(path: &Path, why: io::Error) -> StateError {
    StateError::Io { path: path.display().to_string(), why }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StateError {
    StateError::Damaged { path: path.display().to_string(), why: why.to_string() }
}
