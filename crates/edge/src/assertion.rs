//! `Portunus-Assertion`: a short-lived signed statement to the upstream of who is calling and what was decided
//! (JWT, RFC 7519, EdDSA per RFC 8037).

use crate::caller::Known;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderName, HeaderValue};
use portunus_core::digest::{Digest, sha256};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_core::treatment::Treatment;
use portunus_policy::sql::SqlFacts;
use portunus_policy::{Caps, Disclosure, Permit};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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
    mask: Mask<'a>,
    /// The key of hashes and tokens, base64url; fresh for each grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Tables<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The call is a trial run: nothing of it may last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    trial: bool,
}

/// What must not be disclosed: `default` true means everything but the exceptions may be, false nothing but them. Of a
/// column in `treat` a treated value may be shown.
#[derive(Serialize)]
struct Mask<'a> {
    default: bool,
    exceptions: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    treat: &'a BTreeMap<String, Treatment>,
}

/// Which tables' rows may be changed.
#[derive(Serialize)]
struct Changes<'a> {
    default: bool,
    exceptions: &'a [String],
}

/// The tables that the decision was about.
#[derive(Serialize)]
struct Tables<'a> {
    reads: &'a BTreeSet<String>,
    writes: &'a BTreeSet<String>,
}

/// What an assertion says besides who is calling.
pub struct Said<'a> {
    /// The tool that is called.
    pub tool: Option<&'a str>,
    /// Of the exact bytes of the arguments.
    pub arguments: Option<Digest>,
    /// What may be shown and changed.
    pub disclosure: &'a Disclosure,
    /// How much may be shown.
    pub caps: Caps,
    /// What the decision knew of the SQL.
    pub sql: Option<&'a SqlFacts>,
    /// The key of hashes and tokens.
    pub key: Option<Secret<String>>,
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
    /// A statement as a JWS (RFC 7515) of this type, for whoever has the edge's public keys.
    #[must_use]
    pub fn statement(&self, kind: &str, payload: &[u8]) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{kind}"}}"#);
        let mut text = BASE64URL_NOPAD.encode(header.as_bytes());
        text.push('.');
        BASE64URL_NOPAD.encode_append(payload, &mut text);
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut text);
        text
    }

    /// The header's value for an admitted call.
    #[must_use]
    pub fn assert(
        &self,
        permit: &Permit,
        known: &Known,
        said: &Said<'_>,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let Disclosure { columns, treated, changes, .. } = said.disclosure;
        let sql = said.sql.filter(|facts| facts.complete);
        let claims = Claims {
            iss: &self.issuer,
            aud: permit.server().as_str(),
            sub: known.caller.user.as_str(),
            client_id: known.caller.client.as_str(),
            iat: now.as_secs(),
            exp: now.plus(limits::ASSERTION_TTL).as_secs(),
            jti: permit.decision().as_str(),
            tool: said.tool,
            arguments_sha256: said.arguments,
            mask: Mask { default: columns.default, exceptions: &columns.exceptions, treat: treated },
            key: said.key.as_ref().filter(|_| !treated.is_empty()).map(|key| key.expose().as_str()),
            changes: (!changes.is_all())
                .then(|| Changes { default: changes.default, exceptions: &changes.exceptions }),
            sql: sql.map(|facts| Tables { reads: &facts.reads, writes: &facts.writes }),
            rows: said.caps.rows,
            bytes: said.caps.bytes,
            // By the permit alone: one for a trial run can never carry a call that is none.
            trial: permit.action() == ESTIMATE,
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
