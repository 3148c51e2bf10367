//! What both ceremonies have in common: the challenge, the client data and the authenticator data.

use crate::csrf;
use aws_lc_rs::hmac;
use ciborium::Value;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use portunus_core::digest::{Digest, equal, sha256};
use portunus_core::document::UsedChallenge;
use portunus_core::limits;
use portunus_core::time::{Rng, Timestamp};
use serde::Deserialize;

/// Depth of the CBOR that is read.
const CBOR_DEPTH: usize = 8;

/// Where a ceremony takes place.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The one origin of our pages.
    pub origin: &'a str,
    /// The relying party id: the host of that origin.
    pub rp_id: &'a str,
}

/// What is wrong with a browser's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Not what the specification says it looks like.
    #[error("{0} cannot be read")]
    Malformed(&'static str),
    /// Something is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Another ceremony.
    #[error("it belongs to another ceremony")]
    Type,
    /// Not ours, not this browser's, too old, or answered before.
    #[error("its challenge is not one that this browser was given, is too old, or was answered before")]
    Challenge,
    /// Made on a page of another site, or in a frame of one.
    #[error("it was made for another site")]
    Origin,
    /// Nobody was there, or nobody proved to be the user (by a PIN or a fingerprint).
    #[error("the user was not verified")]
    Verification,
    /// A key that is not accepted.
    #[error("its key is not ES256, EdDSA or RS256")]
    Key,
    /// Not made by the key.
    #[error("its signature is wrong")]
    Signature,
    /// Another user's.
    #[error("it belongs to another user")]
    UserHandle,
    /// Used before, by this or a copied authenticator.
    #[error("its counter did not grow: the authenticator may have been copied")]
    Counter,
}

/// What challenges are made with. A browser chooses its own cookies, so a cookie alone would let whoever holds an
/// authenticator for a minute make answers for later.
#[derive(Debug)]
pub struct ChallengeKey(hmac::Key);

impl ChallengeKey {
    /// Derived from a secret of this edge's own.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&outer, b"portunus passkey challenges 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }
}

/// A challenge of one browser for one purpose: a moment, randomness, and our proof for the browser's cookie.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// Ours.
    pub key: &'a ChallengeKey,
    /// The browser's cookie.
    pub cookie: &'a str,
    /// What for.
    pub purpose: &'a str,
}

impl Challenge<'_> {
    /// A fresh one, as its text: the bytes that are signed are those of the text.
    #[must_use]
    pub fn make(&self, now: Timestamp, rng: &dyn Rng) -> String {
        let mut random = [0_u8; 16];
        rng.fill(&mut random);
        let begin = format!("{}.{}", now.as_secs(), HEXLOWER.encode(&random));
        let proof = self.proof(&begin);
        format!("{begin}.{proof}")
    }

    fn proof(&self, begin: &str) -> String {
        let of_browser = csrf::proof(self.cookie, &format!("{} {begin}", self.purpose));
        BASE64URL_NOPAD.encode(hmac::sign(&self.key.0, of_browser.as_bytes()).as_ref())
    }

    /// Whether the client data answers one of these, in time; what must be stored so that it is answered once.
    pub(super) fn check(&self, data: &ClientData, now: Timestamp) -> Result<UsedChallenge, Bad> {
        let text = std::str::from_utf8(&data.challenge).map_err(|_| Bad::Challenge)?;
        let (begin, proof) = text.rsplit_once('.').ok_or(Bad::Challenge)?;
        let at = begin.split_once('.').and_then(|(at, _)| at.parse().ok()).map(Timestamp::from_secs);
        let proven = equal(self.proof(begin).as_bytes(), proof.as_bytes());
        let in_time = |at: &Timestamp| *at <= now && now.since(*at) < limits::CHALLENGE_TTL;
        let at = at.filter(|at| proven && in_time(at)).ok_or(Bad::Challenge)?;
        let digest = sha256(&[b"portunus challenge", &data.challenge]);
        Ok(UsedChallenge { digest, expires_at: at.plus(limits::CHALLENGE_TTL) })
    }
}

/// What the browser itself says of a ceremony (section 5.8.1).
#[derive(Debug)]
pub struct ClientData {
    challenge: Vec<u8>,
    /// Of the JSON, byte for byte.
    pub digest: Digest,
}

impl ClientData {
    /// Reads it: it must be of this ceremony, on one of our own pages.
    pub(super) fn read(text: &str, ceremony: &str, site: &Site<'_>) -> Result<Self, Bad> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            r#type: String,
            challenge: String,
            origin: String,
            #[serde(default)]
            cross_origin: bool,
            top_origin: Option<String>,
        }
        let bytes = decode(text)?;
        let json: Json = serde_json::from_slice(&bytes).map_err(|_| Bad::Malformed("clientDataJSON"))?;
        if json.r#type != ceremony {
            return Err(Bad::Type);
        }
        if json.origin != site.origin || json.cross_origin || json.top_origin.is_some() {
            return Err(Bad::Origin);
        }
        Ok(Self { challenge: decode(&json.challenge)?, digest: sha256(&[&bytes]) })
    }
}

/// What an authenticator says (section 6.1).
#[derive(Debug)]
pub struct AuthenticatorData<'a> {
    /// How often it was used; 0 when it does not count.
    pub counter: u32,
    /// Whether the key may be on several devices.
    pub synced: bool,
    /// A new credential: its id and its key, as COSE.
    pub credential: Option<(&'a [u8], Value)>,
}

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENDED: u8 = 0x80;

/// Reads authenticator data: for this site, with the user present and verified, and to its last byte.
pub(super) fn authenticator_data<'a>(bytes: &'a [u8], site: &Site<'_>) -> Result<AuthenticatorData<'a>, Bad> {
    let malformed = Bad::Malformed("the authenticator data");
    let (rp, rest) = bytes.split_at_checked(32).ok_or(malformed)?;
    let (head, mut rest) = rest.split_at_checked(5).ok_or(malformed)?;
    let (&flags, counter) = head.split_first().ok_or(malformed)?;
    if !equal(rp, &sha256(&[site.rp_id.as_bytes()]).0) {
        return Err(Bad::Origin);
    }
    if flags & (PRESENT | VERIFIED) != PRESENT | VERIFIED {
        return Err(Bad::Verification);
    }
    if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
        return Err(malformed);
    }
    let counter = counter.try_into().map(u32::from_be_bytes).map_err(|_| malformed)?;
    let mut credential = None;
    if flags & ATTESTED != 0 {
        let (_model, after) = rest.split_at_checked(16).ok_or(malformed)?;
        let (length, after) = after.split_at_checked(2).ok_or(malformed)?;
        let length = length.try_into().map(u16::from_be_bytes).map_err(|_| malformed)?;
        // Section 5.8.3: at most 1023 bytes.
        let length =
            Some(usize::from(length)).filter(|length| (1..=1023).contains(length)).ok_or(malformed)?;
        let (id, mut after) = after.split_at_checked(length).ok_or(malformed)?;
        credential = Some((id, cbor(&mut after)?));
        rest = after;
    }
    if flags & EXTENDED != 0 {
        cbor(&mut rest)?;
    }
    if !rest.is_empty() {
        return Err(malformed);
    }
    Ok(AuthenticatorData { counter, synced: flags & BACKUP_ELIGIBLE != 0, credential })
}

/// The authenticator data of an attestation object (section 6.5.4). Who made the authenticator was not asked for, and
/// nothing is concluded from what is said of it.
pub(super) fn attested(mut bytes: &[u8]) -> Result<Vec<u8>, Bad> {
    let malformed = Bad::Malformed("the attestation object");
    let object = cbor(&mut bytes)?;
    if !bytes.is_empty() {
        return Err(malformed);
    }
    let data = member(&object, &Value::Text("authData".to_owned())).and_then(Value::as_bytes);
    data.cloned().ok_or(malformed)
}

/// The one member of a map with this key.
pub(super) fn member<'a>(map: &'a Value, key: &Value) -> Option<&'a Value> {
    let mut found = map.as_map()?.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
    let value = found.next()?;
    found.next().is_none().then_some(value)
}

/// One CBOR item (RFC 8949) off the beginning of `bytes`.
fn cbor(bytes: &mut &[u8]) -> Result<Value, Bad> {
    ciborium::de::from_reader_with_recursion_limit(bytes, CBOR_DEPTH).map_err(|_| Bad::Malformed("CBOR"))
}

/// base64url without padding.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Bad> {
    if text.len() > limits::PASSKEY_BYTES {
        return Err(Bad::Malformed("a member that is too long"));
    }
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Bad::Malformed("base64url"))
}
