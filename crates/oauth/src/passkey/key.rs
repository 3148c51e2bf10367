//! Public keys of passkeys (COSE, RFC 9052 section 7, RFC 9053, RFC 8230) and their signatures.

use super::ceremony::{Bad, member};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ciborium::Value;
use portunus_core::limits;
use serde::{Deserialize, Serialize};

/// The algorithms that are asked for, in the order of preference (COSE identifiers): ES256, EdDSA, RS256.
pub const ALGORITHMS: [i32; 3] = [-7, -8, -257];

/// A key of one of [`ALGORITHMS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alg")]
pub(super) enum PublicKey {
    ES256 { x: Vec<u8>, y: Vec<u8> },
    EdDSA { x: Vec<u8> },
    RS256 { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// From a `COSE_Key`.
    pub(super) fn from_cose(key: Value) -> Result<Self, Bad> {
        let number = |label: i64| {
            let value = member(&key, &Value::Integer(label.into())).and_then(Value::as_integer);
            value.and_then(|value| i64::try_from(value).ok())
        };
        let bytes = |label: i64, least: usize, most: usize| {
            let value = member(&key, &Value::Integer(label.into())).and_then(Value::as_bytes);
            value.filter(|bytes| (least..=most).contains(&bytes.len())).cloned().ok_or(Bad::Key)
        };
        match (number(1), number(3), number(-1)) {
            (Some(2), Some(-7), Some(1)) => Ok(Self::ES256 { x: bytes(-2, 32, 32)?, y: bytes(-3, 32, 32)? }),
            (Some(1), Some(-8), Some(6)) => Ok(Self::EdDSA { x: bytes(-2, 32, 32)? }),
            (Some(3), Some(-257), _) => {
                let (least, most) = limits::RSA_MODULUS_BYTES;
                Ok(Self::RS256 { n: bytes(-1, least, most)?, e: bytes(-2, 1, 4)? })
            }
            _ => Err(Bad::Key),
        }
    }

    /// As it is stored.
    pub(super) fn to_text(&self) -> String {
        // A plain enum of bytes: writing it cannot fail; an empty text would be read as no key.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what was stored.
    pub(super) fn from_text(text: &str) -> Result<Self, Bad> {
        serde_json::from_str(text).map_err(|_| Bad::Key)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Bad> {
        let verified = match self {
            Self::ES256 { x, y } => {
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::EdDSA { x } => UnparsedPublicKey::new(&ED25519, x).verify(message, signature),
            Self::RS256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| Bad::Signature)
    }
}
