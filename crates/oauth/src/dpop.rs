//! Proof of possession (RFC 9449): a client signs each request with a key of its own, and its tokens are bound to that key,
//! so that a stolen token alone is of no use. One function from a proof and what it should prove to a key's thumbprint;
//! what must be remembered between requests is in [`Guard`].

use crate::keys::{KeySet, algorithm};
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::{Digest, equal, sha256};
use portunus_core::limits;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

/// The name of the header that carries a proof, in lower case.
pub const HEADER: &str = "dpop";
/// The name of the header that carries a nonce to the client.
pub const NONCE_HEADER: &str = "dpop-nonce";

/// What a proof must be about.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's address as the world writes it, without query and fragment.
    pub url: &'a str,
    /// The token that comes with it; `None` at the token endpoint.
    pub access_token: Option<&'a str>,
    /// The only key it may be of.
    pub key: Option<Digest>,
    /// The present moment.
    pub now: Timestamp,
}

/// A proof that is good, if it was not used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The key's RFC 7638 thumbprint.
    pub key: Digest,
    /// Digest over key and `jti`.
    id: Digest,
    nonce: Option<String>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// There is none, or more than one.
    #[error("exactly one DPoP header is needed")]
    Missing,
    /// Not a compact JWS of bounded length with the members it needs.
    #[error(
        "the DPoP proof is not a JWT with typ, alg, jwk, jti, htm, htu and iat of at most {} bytes",
        limits::DPOP_PROOF_BYTES
    )]
    Malformed,
    /// Another kind of token, or a header that demands more of its reader.
    #[error("the DPoP proof's typ must be dpop+jwt, and its header must not have jku, x5u, x5c, crit or b64")]
    Header,
    /// No key, a private one, a weak one, or of another kind than its algorithm.
    #[error("the DPoP proof must be signed with RS256, PS256, ES256 or EdDSA by the public key in its jwk")]
    Key,
    /// The signature does not fit the key.
    #[error("the DPoP proof's signature is wrong")]
    Signature,
    /// About another request.
    #[error("the DPoP proof is for another method or address")]
    Request,
    /// About another token.
    #[error("the DPoP proof is for another access token")]
    Token,
    /// Of another key than the token is bound to.
    #[error("the access token is bound to another key")]
    OtherKey,
    /// Too old or from the future.
    #[error("the DPoP proof was not made just now; compare the clocks")]
    Time,
    /// Used before.
    #[error("this DPoP proof was used before; make a new one for each request")]
    Replayed,
    /// No nonce of ours in it, or an old one; here is a good one.
    #[error("use the nonce in the DPoP-Nonce header")]
    Nonce(String),
    /// Too many at the moment to remember them all.
    #[error("too many DPoP proofs at the moment; try again shortly")]
    Full,
}

impl DpopError {
    /// The `error` code of RFC 9449 sections 5 and 7.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        if matches!(self, Self::Nonce(_)) { "use_dpop_nonce" } else { "invalid_dpop_proof" }
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    typ: String,
    alg: String,
    #[serde(borrow)]
    jwk: &'a RawValue,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: f64,
    ath: Option<String>,
    nonce: Option<String>,
}

/// Checks everything about a proof that needs no memory (RFC 9449 section 4.3).
///
/// # Errors
/// See [`DpopError`].
pub fn verify(proof: &str, expected: &Expected<'_>) -> Result<Proven, DpopError> {
    if proof.len() > limits::DPOP_PROOF_BYTES {
        return Err(DpopError::Malformed);
    }
    let (message, signature) = proof.rsplit_once('.').ok_or(DpopError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(DpopError::Malformed)?;
    let part = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| DpopError::Malformed);
    let (header, claims) = (part(header)?, part(claims)?);
    let Header { typ, alg, jwk, jku, x5u, x5c, crit, b64 } =
        serde_json::from_slice(&header).map_err(|_| DpopError::Malformed)?;
    if typ != "dpop+jwt" || [jku, x5u, x5c, crit, b64].iter().any(Option::is_some) {
        return Err(DpopError::Header);
    }
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| DpopError::Malformed)?;
    let algorithm = algorithm(&alg).ok_or(DpopError::Key)?;
    // A set of one: the same strict reading as of every other key, private and shared ones refused.
    let set =
        KeySet::parse(format!("{{\"keys\":[{}]}}", jwk.get()).as_bytes()).map_err(|_| DpopError::Key)?;
    let key = set.choose(algorithm, None).map_err(|_| DpopError::Key)?;
    let thumbprint = key.thumbprint();
    if expected.key.is_some_and(|bound| bound != thumbprint) {
        return Err(DpopError::OtherKey);
    }
    check_claims(&claims, expected)?;
    let key = key.decoding().ok_or(DpopError::Key)?;
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm) {
        Ok(true) => {}
        _ => return Err(DpopError::Signature),
    }
    let id = sha256(&[b"portunus dpop ", &thumbprint.0, claims.jti.as_bytes()]);
    Ok(Proven { key: thumbprint, id, nonce: claims.nonce })
}

fn check_claims(claims: &Claims, expected: &Expected<'_>) -> Result<(), DpopError> {
    if !(1..=limits::ID_BYTES).contains(&claims.jti.len()) {
        return Err(DpopError::Malformed);
    }
    if claims.htm != expected.method || !is_same_address(&claims.htu, expected.url) {
        return Err(DpopError::Request);
    }
    let hash = |token: &str| BASE64URL_NOPAD.encode(&sha256(&[token.as_bytes()]).0);
    let about = expected.access_token.map(hash);
    if about.is_some() && about != claims.ath {
        return Err(DpopError::Token);
    }
    let made = Duration::try_from_secs_f64(claims.iat).map_err(|_| DpopError::Malformed)?;
    let made = Timestamp::from_millis(u64::try_from(made.as_millis()).map_err(|_| DpopError::Malformed)?);
    let old = made.plus(limits::DPOP_AGE).is_past(expected.now);
    let early = made > expected.now.plus(limits::SIGNED_ASSERTION_SKEW);
    if old || early { Err(DpopError::Time) } else { Ok(()) }
}

/// Compared as RFC 9449 section 4.3 says: both normalised (RFC 3986 section 6.2), query and fragment left out.
fn is_same_address(claimed: &str, own: &str) -> bool {
    let normal = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        let plain = url.username().is_empty() && url.password().is_none();
        plain.then(|| String::from(url))
    };
    normal(own).is_some_and(|own| normal(claimed) == Some(own))
}

/// What is remembered between requests: the proofs that were used, for as long as they would be good, and how nonces are
/// made. Nonces need no memory: each is its own time with a proof that we made it.
pub struct Guard {
    nonces: hmac::Key,
    demands_nonce: bool,
    used: Mutex<Used>,
}

impl Guard {
    /// With a key derived from a secret of this edge's own, for one place that checks proofs. With `demands_nonce`, each
    /// proof must hold a nonce from here (RFC 9449 section 8).
    #[must_use]
    pub fn new(secret: &[u8], demands_nonce: bool) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&outer, b"portunus dpop nonces 1");
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        Self { nonces, demands_nonce, used: Mutex::default() }
    }

    /// Whether a good proof could be taken now.
    ///
    /// # Errors
    /// When it was used before, has no nonce where one is demanded, or an old one.
    pub fn check(&self, proven: &Proven, now: Timestamp) -> Result<(), DpopError> {
        let good = match &proven.nonce {
            Some(nonce) => self.is_ours(nonce, now),
            None => !self.demands_nonce,
        };
        if !good {
            return Err(DpopError::Nonce(self.nonce(now)));
        }
        let mut used = self.used();
        used.turn(now);
        if used.holds(&proven.id) { Err(DpopError::Replayed) } else { Ok(()) }
    }

    /// Takes a good proof, once, out of the share of whoever sent it.
    ///
    /// # Errors
    /// As [`Guard::check`], or when too many are remembered already.
    pub fn take(&self, proven: &Proven, holder: Digest, now: Timestamp) -> Result<(), DpopError> {
        self.check(proven, now)?;
        self.used().take(proven.id, holder, now)
    }

    /// As [`Guard::take`], out of the share of the proof's key, but given back unless it is kept.
    ///
    /// # Errors
    /// As [`Guard::take`].
    pub(crate) fn reserve(&self, proven: &Proven, now: Timestamp) -> Result<Reserved<'_>, DpopError> {
        self.take(proven, proven.key, now)?;
        Ok(Reserved { guard: self, id: proven.id, holder: proven.key, kept: false })
    }

    /// Takes up the whole share of a key.
    #[cfg(test)]
    pub(crate) fn fill(&self, holder: Digest, now: Timestamp) {
        let mut used = self.used();
        for n in 0..limits::DPOP_PROOFS_EACH {
            used.take(sha256(&[&holder.0, &n.to_be_bytes()]), holder, now).unwrap();
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A nonce that is good for [`limits::DPOP_NONCE_AGE`].
    #[must_use]
    pub fn nonce(&self, now: Timestamp) -> String {
        let moment = now.as_secs().to_be_bytes();
        let tag = hmac::sign(&self.nonces, &moment);
        let tag: Vec<u8> = tag.as_ref().iter().take(NONCE_TAG_BYTES).copied().collect();
        BASE64URL_NOPAD.encode(&[&moment[..], &tag].concat())
    }

    fn is_ours(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(bytes) = BASE64URL_NOPAD.decode(nonce.as_bytes()) else { return false };
        let Some((moment, _)) = bytes.split_first_chunk::<8>() else { return false };
        let made = Timestamp::from_secs(u64::from_be_bytes(*moment));
        let fresh = made <= now && now.since(made) < limits::DPOP_NONCE_AGE;
        fresh && equal(self.nonce(made).as_bytes(), nonce.as_bytes())
    }
}

const NONCE_TAG_BYTES: usize = 16;

/// A proof that is used up once what it is for has happened.
pub(crate) struct Reserved<'a> {
    guard: &'a Guard,
    id: Digest,
    holder: Digest,
    kept: bool,
}

impl Reserved<'_> {
    /// It has happened.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.guard.used().give_back(&self.id, &self.holder);
        }
    }
}

/// The proofs of this span of time and of the one before. A span is as long as a proof is good, so that whatever has been
/// dropped would be refused for its age.
#[derive(Default)]
struct Used {
    since: Timestamp,
    present: HashSet<Digest>,
    past: HashSet<Digest>,
    /// How many of the present ones are whose.
    shares: HashMap<Digest, usize>,
}

impl Used {
    fn holds(&self, id: &Digest) -> bool {
        self.past.contains(id) || self.present.contains(id)
    }
    /// Begins a new span when the present one has passed.
    fn turn(&mut self, now: Timestamp) {
        let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
        let age = now.since(self.since);
        if age >= span {
            self.past = std::mem::take(&mut self.present);
            self.shares.clear();
            if age >= span * 2 {
                self.past.clear();
            }
            self.since = now;
        }
    }
    fn take(&mut self, id: Digest, holder: Digest, now: Timestamp) -> Result<(), DpopError> {
        self.turn(now);
        if self.holds(&id) {
            return Err(DpopError::Replayed);
        }
        // What cannot be remembered cannot be admitted; a share of the room keeps one from shutting out all others.
        let share = self.shares.get(&holder).copied().unwrap_or_default();
        if self.present.len() >= limits::DPOP_PROOFS || share >= limits::DPOP_PROOFS_EACH {
            return Err(DpopError::Full);
        }
        self.shares.insert(holder, share + 1);
        self.present.insert(id);
        Ok(())
    }
    fn give_back(&mut self, id: &Digest, holder: &Digest) {
        if self.present.remove(id)
            && let Some(share) = self.shares.get_mut(holder)
        {
            *share = share.saturating_sub(1);
            if *share == 0 {
                self.shares.remove(holder);
            }
        }
        self.past.remove(id);
    }
}

#[cfg(test)]
#[path = "dpop_tests.rs"]
mod tests;
