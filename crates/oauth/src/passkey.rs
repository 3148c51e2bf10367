//! Passkeys (Web Authentication Level 3) of built-in accounts: discoverable, with the user verified, without attestation.
//! Challenges are made from the browser's own cookie and a key of ours, so nothing is kept of those that are never answered; one that was
//! answered is remembered until it would be too old anyway.
//!
//! | module | holds |
//! |---|---|
//! | [`ceremony`] | challenges, client data and authenticator data, as both ceremonies have them |
//! | [`key`] | public keys (COSE, RFC 9053) and their signatures |

pub mod ceremony;
pub mod key;

use crate::login::Proven;
use crate::ports::{Ports, Trouble};
use crate::text;
use ceremony::{Bad, Challenge, ClientData, Site, authenticator_data};
use data_encoding::BASE64URL_NOPAD;
use key::PublicKey;
use portunus_core::caller::SignIn;
use portunus_core::digest::{equal, sha256};
use portunus_core::document::{Passkey, UsedChallenge, User};
use portunus_core::id::UserName;
use portunus_core::limits;
use portunus_core::record::LedgerError;
use portunus_core::store::{Batch, Document, Expect, Store, StoreError, list_all, load};

/// How people sign in with one.
pub const METHOD: &str = "passkey";
/// Characters of the name that a user gives a passkey.
const NAME_CHARS: usize = 60;

/// What a browser brings to register a passkey.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// `clientDataJSON`, base64url.
    pub client_data: &'a str,
    /// `attestationObject`, base64url.
    pub attestation: &'a str,
}

/// What a browser brings to sign in with one.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// The credential's id, base64url.
    pub id: &'a str,
    /// `clientDataJSON`, base64url.
    pub client_data: &'a str,
    /// `authenticatorData`, base64url.
    pub authenticator_data: &'a str,
    /// base64url.
    pub signature: &'a str,
    /// base64url.
    pub user_handle: &'a str,
}

/// Why a passkey was not registered, or nobody was signed in with one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The browser's answer is not in order.
    #[error("the answer of your browser was not accepted: {0}")]
    Bad(#[from] Bad),
    /// Nobody's, or somebody's who may not sign in; there is no way to tell which.
    #[error("this passkey is not known here")]
    Unknown,
    /// There is one with this id.
    #[error("this passkey is registered already")]
    Exists,
    /// The user has enough.
    #[error("you have {} passkeys already; remove one first", limits::PASSKEYS_PER_USER)]
    TooMany,
    /// The user has no account of this site itself.
    #[error("your organisation signs you in; passkeys are for accounts of this site itself")]
    NotLocal,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for PasskeyError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<LedgerError> for PasskeyError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

/// What an authenticator knows a user by: says nothing of them to whoever reads it off the authenticator.
#[must_use]
pub fn user_handle(user: &User) -> Vec<u8> {
    let made = user.created_at.as_millis().to_be_bytes();
    sha256(&[b"portunus user handle", &made, user.name.as_str().as_bytes()]).0.to_vec()
}

/// A user's passkeys, in no particular order.
///
/// # Errors
/// When the store fails.
pub async fn of_user(store: &dyn Store, user: &UserName) -> Result<Vec<Passkey>, StoreError> {
    Ok(list_all::<Passkey>(store, Some(user.as_str())).await?.into_iter().map(|key| key.value).collect())
}

/// Registers a passkey for a user who proved that it is them (section 7.1).
///
/// # Errors
/// See [`PasskeyError`].
pub async fn register(
    ports: &Ports<'_>,
    site: &Site<'_>,
    challenge: &Challenge<'_>,
    user: &User,
    registration: &Registration<'_>,
) -> Result<Passkey, PasskeyError> {
    if user.issuer.is_some() {
        return Err(PasskeyError::NotLocal);
    }
    let client_data = ClientData::read(registration.client_data, "webauthn.create", site)?;
    let used = challenge.check(&client_data, ports.now)?;
    let attestation = ceremony::decode(registration.attestation)?;
    let data = ceremony::attested(&attestation)?;
    let data = authenticator_data(&data, site)?;
    let (id, key) = data.credential.ok_or(Bad::Missing("the new credential"))?;
    let key = PublicKey::from_cose(key)?;
    if of_user(ports.store, &user.name).await?.len() >= limits::PASSKEYS_PER_USER {
        return Err(PasskeyError::TooMany);
    }
    let passkey = Passkey {
        id: BASE64URL_NOPAD.encode(id),
        user: user.name.clone(),
        name: text::clean(registration.name, NAME_CHARS).unwrap_or_else(|| "Passkey".to_owned()),
        key: key.to_text(),
        counter: data.counter,
        synced: data.synced,
        created_at: ports.now,
        used_at: None,
    };
    let name = user.name.as_str();
    ports.record(name, "passkey.added", name, &[("name", &passkey.name)]).await?;
    let batch = Batch::new().insert(&passkey).insert(&used);
    match ports.store.commit(batch).await {
        Ok(_generation) => Ok(passkey),
        Err(StoreError::Conflict { kind }) if kind == UsedChallenge::KIND.as_str() => {
            Err(Bad::Challenge.into())
        }
        Err(StoreError::Conflict { .. }) => Err(PasskeyError::Exists),
        Err(error) => Err(error.into()),
    }
}

/// Signs somebody in (section 7.2).
///
/// # Errors
/// See [`PasskeyError`].
pub async fn sign_in(
    ports: &Ports<'_>,
    site: &Site<'_>,
    challenge: &Challenge<'_>,
    assertion: &Assertion<'_>,
) -> Result<Proven, PasskeyError> {
    match prove(ports, site, challenge, assertion).await {
        Err(error @ (PasskeyError::Bad(_) | PasskeyError::Unknown)) => {
            let why = error.to_string();
            let detail = [("method", METHOD), ("why", why.as_str())];
            ports.record("unknown", "user.sign_in_failed", "unknown", &detail).await?;
            Err(error)
        }
        outcome => outcome,
    }
}

async fn prove(
    ports: &Ports<'_>,
    site: &Site<'_>,
    challenge: &Challenge<'_>,
    assertion: &Assertion<'_>,
) -> Result<Proven, PasskeyError> {
    let client_data = ClientData::read(assertion.client_data, "webauthn.get", site)?;
    let used = challenge.check(&client_data, ports.now)?;
    // Its one canonical text, so that there is one id for one credential.
    let id = BASE64URL_NOPAD.encode(&ceremony::decode(assertion.id)?);
    if id.is_empty() || id.len() > limits::DOCUMENT_ID_BYTES {
        return Err(PasskeyError::Unknown);
    }
    let found = load::<Passkey>(ports.store, &id).await?.ok_or(PasskeyError::Unknown)?;
    let (mut passkey, version) = (found.value, found.version);
    let user = load::<User>(ports.store, passkey.user.as_str()).await?.ok_or(PasskeyError::Unknown)?.value;
    if user.disabled_at.is_some() || user.issuer.is_some() {
        return Err(PasskeyError::Unknown);
    }
    if !equal(&ceremony::decode(assertion.user_handle)?, &user_handle(&user)) {
        return Err(Bad::UserHandle.into());
    }
    let bytes = ceremony::decode(assertion.authenticator_data)?;
    let data = authenticator_data(&bytes, site)?;
    let key = PublicKey::from_text(&passkey.key)?;
    let signed = [bytes.as_slice(), &client_data.digest.0].concat();
    key.verify(&signed, &ceremony::decode(assertion.signature)?)?;
    // A counter that does not grow: there are two of this authenticator (section 6.1.1).
    if (data.counter > 0 || passkey.counter > 0) && data.counter <= passkey.counter {
        return Err(Bad::Counter.into());
    }
    passkey.counter = data.counter;
    passkey.used_at = Some(ports.now);
    let name = user.name.as_str();
    ports.record(name, "user.signed_in", name, &[("method", METHOD), ("passkey", &passkey.name)]).await?;
    match ports.store.commit(Batch::new().insert(&used).update(&passkey, version)).await {
        Ok(_generation) => {}
        // The challenge was answered before, or the passkey was used or removed in this very moment.
        Err(StoreError::Conflict { .. }) => return Err(Bad::Challenge.into()),
        Err(error) => return Err(error.into()),
    }
    let held = if data.synced { "swk" } else { "hwk" };
    let amr = vec![held.to_owned(), "mfa".to_owned()];
    Ok(Proven { user, sign_in: SignIn { amr, ..SignIn::new(METHOD, ports.now) } })
}

/// Removes one of a user's passkeys; `false` when it is not theirs.
///
/// # Errors
/// When the store or the ledger fails.
pub async fn remove(ports: &Ports<'_>, user: &UserName, id: &str) -> Result<bool, Trouble> {
    let found = load::<Passkey>(ports.store, id).await?;
    let Some(passkey) = found.filter(|passkey| passkey.value.user == *user) else { return Ok(false) };
    ports.record(user.as_str(), "passkey.removed", user.as_str(), &[("name", &passkey.value.name)]).await?;
    ports.store.commit(Batch::new().delete::<Passkey>(id, Expect::Any)).await?;
    Ok(true)
}

#[cfg(test)]
#[path = "passkey/passkey_tests.rs"]
mod tests;
