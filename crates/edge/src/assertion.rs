//! `Portunus-Assertion`: a short-lived signed statement to the upstream of who is calling and what was decided
//! (JWT, RFC 7519, EdDSA per RFC 8037).

use crate::caller::Known;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderName, HeaderValue};
use portunus_core::digest::{Digest, sha256};
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_policy::{Disclosure, Permit};
use serde::Serialize;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("portunus-assertion");

/// The action that permits trial runs.
const ESTIMATE: &str = "estimate";

/// Signs assertions.
pub struct Signer {
    key: Ed25519KeyPair,
    header: String,
    issuer: String,
}

/// The key could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the assertion key is not a usable Ed25519 seed")]
pub struct BadKey;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_sha256: Option<Digest>,
    /// The call is a trial run: nothing of it may last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    trial: bool,
    mask: Mask<'a>,
}

/// What must not be disclosed: `default` true means everything but the exceptions may be, false nothing but them.
#[derive(Serialize)]
struct Mask<'a> {
    default: bool,
    exceptions: &'a [String],
}

impl Signer {
    /// From a 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// When the seed is not usable.
    pub fn new(seed: &[u8], issuer: &str) -> Result<Self, BadKey> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadKey)?;
        // The key's RFC 7638 thumbprint, as in the published key set.
        let x = BASE64URL_NOPAD.encode(key.public_key().as_ref());
        let thumbprint = sha256(&[format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes()]);
        let kid = BASE64URL_NOPAD.encode(&thumbprint.0);
        let header =
            BASE64URL_NOPAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#).as_bytes());
        Ok(Self { key, header, issuer: issuer.to_owned() })
    }
    /// The public key, 32 bytes, with which an upstream checks assertions.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public_key().as_ref().to_vec()
    }
    /// The header's value for an admitted call.
    #[must_use]
    pub fn assert(
        &self,
        permit: &Permit,
        known: &Known,
        tool: Option<&str>,
        arguments: Option<Digest>,
        disclosure: &Disclosure,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let claims = Claims {
            iss: &self.issuer,
            aud: permit.server().as_str(),
            sub: known.caller.user.as_str(),
            client_id: known.caller.client.as_str(),
            iat: now.as_secs(),
            exp: now.plus(limits::ASSERTION_TTL).as_secs(),
            jti: permit.decision().as_str(),
            tool,
            arguments_sha256: arguments,
            // By the permit alone: one for a trial run can never carry a call that is none.
            trial: permit.action() == ESTIMATE,
            mask: Mask { default: disclosure.default, exceptions: &disclosure.exceptions },
        };
        let claims = serde_json::to_vec(&claims).ok()?;
        let mut text = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 96);
        text.push_str(&self.header);
        text.push('.');
        BASE64URL_NOPAD.encode_append(&claims, &mut text);
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut text);
        HeaderValue::try_from(text).ok()
    }
}
