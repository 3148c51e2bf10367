//! Key services: they wrap 32 bytes and give them back, and never show the key that they do it with. What is sent and what is
//! made of the answers is here; the exchange itself is a port.

pub mod aws_kms;
pub mod openbao;
pub mod sigv4;

use async_trait::async_trait;
use data_encoding::BASE64;
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Wraps keys and unwraps them. The context must be the same for both.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// The key as a text that only the service can make it from.
    async fn wrap(&self, context: &str, key: &[u8; 32]) -> Result<String, ServiceError>;
    /// The key again.
    async fn unwrap(&self, context: &str, wrapped: &str) -> Result<Secret<[u8; 32]>, ServiceError>;
}

/// One exchange with a service over HTTP: bounded in bytes and time, no redirects, never plain but to this machine itself.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// The answer, or why there is none.
    async fn exchange(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, String>;
}

/// Why a service did not do it. The texts hold nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It was not reached.
    #[error("{address}: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// It refused.
    #[error("{address} answered {status}: {said}")]
    Refused {
        /// Where.
        address: String,
        /// The status code.
        status: u16,
        /// What it said.
        said: String,
    },
    /// Its answer is none.
    #[error("{address} gave an answer that is none: {why}")]
    Unusable {
        /// Where.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is needed to ask it is not there.
    #[error("{0}")]
    NotReady(String),
}

/// Reads a small file with something secret in it; line ends around it are dropped.
///
/// # Errors
/// When it cannot be read, is too long, empty or no text.
pub fn secret_file(path: &Path) -> Result<Secret<String>, ServiceError> {
    let wrong = |why: &str| ServiceError::NotReady(format!("{}: {why}", path.display()));
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    let bound = limits::KEY_SERVICE_SECRET_BYTES;
    file.take(bound + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() as u64 > bound {
        return Err(wrong("is too long"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is no text"))?.trim();
    if text.is_empty() { Err(wrong("is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

/// The 32 bytes of a base64 text.
fn key_of(
    text: &str,
    unusable: impl Fn(&'static str) -> ServiceError,
) -> Result<Secret<[u8; 32]>, ServiceError> {
    let bytes = BASE64.decode(text.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| unusable("the key is not base64"))?;
    bytes.as_slice().try_into().map(Secret::new).map_err(|_| unusable("the key has not 32 bytes"))
}

/// What a service said, as far as it can be shown: one line of printable text.
fn said(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
