//! A certificate from an ACME authority: adopted from the store, replaced in time, by whichever node comes first.

use super::{LOOK, Served, settle};
use crate::config::tls::Acme;
use crate::node::{Parts, StartError};
use portunus_acme::authority::{AcmeError, Authority, ExternalAccount, Plan, Stored};
use portunus_acme::challenge;
pub(super) use portunus_acme::challenge::Kind;
use portunus_acme::schedule::{self, Life, Window};
use portunus_core::digest::sha256;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Timestamp};
use portunus_edge::ports::Challenges;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// What is ordered from whom.
pub(super) fn plan(acme: &Acme, host: &str) -> Result<Plan, StartError> {
    let external_account = match &acme.external_account {
        None => None,
        Some(bound) => {
            Some(ExternalAccount { key_id: bound.key_id.clone(), key: external_key(&bound.key_file)? })
        }
    };
    Ok(Plan {
        directory: acme.directory.clone(),
        email: acme.email.clone(),
        challenge: acme.challenge,
        profile: acme.profile.clone(),
        external_account,
        host: host.trim_matches(['[', ']']).to_owned(),
        tls: match &acme.ca {
            Some(file) => trusting(file)?,
            None => super::upstream_client()?,
        },
    })
}

fn external_key(file: &Path) -> Result<Secret<Vec<u8>>, StartError> {
    let text = std::fs::read_to_string(file).map(Secret::new);
    let text = text.map_err(|e| StartError(format!("{}: {e}", file.display())))?;
    let key = data_encoding::BASE64URL_NOPAD.decode(text.expose().trim().trim_end_matches('=').as_bytes());
    let why = "must hold the key that the authority gave for external account binding, in base64url";
    key.map(Secret::new).map_err(|_| StartError(format!("{}: {why}", file.display())))
}

/// Trusts the certificates of a file and nothing else.
fn trusting(file: &Path) -> Result<Arc<rustls::ClientConfig>, StartError> {
    let refuse = |why: &dyn std::fmt::Display| StartError(format!("{}: {why}", file.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| refuse(&e))? {
        roots.add(certificate.map_err(|e| refuse(&e))?).map_err(|e| refuse(&e))?;
    }
    if roots.is_empty() {
        return Err(refuse(&"holds no certificate in PEM form"));
    }
    Ok(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// What is known of the certificate in use, and of the attempts to replace it.
#[derive(Default)]
struct State {
    current: Option<Current>,
    failures: u32,
    /// No order before that.
    rest_until: Timestamp,
    suggested: Option<Window>,
    /// When to ask the authority for its suggestion again.
    ask_at: Timestamp,
}

struct Current {
    leaf: CertificateDer<'static>,
    life: Life,
    version: u64,
    /// The part of a renewal window that is this certificate's.
    chance: u64,
}

impl State {
    fn is_due(&self, now: Timestamp) -> bool {
        let due = |current: &Current| {
            schedule::renewal_at(current.life, self.suggested, current.chance).is_past(now)
        };
        self.rest_until.is_past(now) && self.current.as_ref().is_none_or(due)
    }
    fn life(&self) -> Option<Life> {
        self.current.as_ref().map(|current| current.life)
    }
}

/// Keeps the certificate fresh until stopped.
pub(super) async fn keep(parts: &Arc<Parts>, authority: &Arc<Authority>, mut stopped: watch::Receiver<bool>) {
    let mut state = State::default();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            () = look(parts, authority, &mut state) => {}
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    authority.give_back().await;
}

async fn look(parts: &Arc<Parts>, authority: &Arc<Authority>, state: &mut State) {
    match authority.stored().await {
        Ok(Some(stored)) => adopt(parts, state, stored).await,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, "the stored certificate could not be read");
            return;
        }
    }
    if let Some(current) = &state.current
        && state.ask_at.is_past(parts.clock.now())
    {
        let asked = authority.suggestion(&current.leaf).await;
        suggested(state, asked, parts.clock.now());
    }
    if !state.is_due(parts.clock.now()) {
        return;
    }
    let known = state.current.as_ref().map(|current| current.version);
    match authority.order(known).await {
        Ok(stored) => adopt(parts, state, stored).await,
        Err(AcmeError::Busy) => tracing::debug!("another node is ordering the certificate"),
        Err(error) => failed(parts, state, &error).await,
    }
}

/// Puts a certificate from the store into use, if it is another one than before.
async fn adopt(parts: &Parts, state: &mut State, stored: Stored) {
    if state.current.as_ref().is_some_and(|current| current.version == stored.version) {
        return;
    }
    let Some(leaf) = stored.chain.first().cloned() else { return };
    let (issued_at, version) = (stored.issued_at, stored.version);
    let served = Served::new(stored.chain, stored.key);
    let life = served.as_ref().ok().map(|served| served.leaf.life);
    // What could not be recorded is tried again at the next look.
    if !settle(parts, served).await {
        return;
    }
    let Some(life) = life else { return };
    let digest = sha256(&[&leaf]).0;
    let chance = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // Whatever an authority suggests, orders have a distance.
    let rest_until = issued_at.plus(schedule::pause(u32::MAX, Some(life), 0));
    *state = State { current: Some(Current { leaf, life, version, chance }), rest_until, ..State::default() };
}

fn suggested(
    state: &mut State,
    asked: Result<Option<(Window, std::time::Duration)>, AcmeError>,
    now: Timestamp,
) {
    let (soonest, latest) = limits::ACME_SUGGESTION;
    let again = match asked {
        Ok(Some((window, again))) => {
            state.suggested = Some(window);
            again
        }
        Ok(None) => latest,
        Err(error) => {
            tracing::debug!(%error, "the authority did not say when to renew");
            schedule::pause(u32::MAX, state.life(), 0)
        }
    };
    state.ask_at = now.plus(again.clamp(soonest, latest));
}

async fn failed(parts: &Parts, state: &mut State, error: &AcmeError) {
    state.failures = state.failures.saturating_add(1);
    let mut chance = [0; 8];
    parts.rng.fill(&mut chance);
    let mut pause = schedule::pause(state.failures, state.life(), u64::from_be_bytes(chance));
    if error.is_rate_limit() {
        pause = pause.max(limits::ACME_PAUSE.1);
    }
    state.rest_until = parts.clock.now().plus(pause);
    parts.certificates.failures.inc();
    let (host, why) = (parts.certificates.host.as_str(), error.to_string());
    tracing::error!(error = why, retry_in_ms = pause.as_millis(), "no new certificate");
    if let Err(error) = parts.note("certificate.renewal_failed", host, &[("why", &why)]).await {
        tracing::warn!(%error, "the failure was not recorded");
    }
}

/// Answers challenges out of the store.
pub(super) struct Answers {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait::async_trait]
impl Challenges for Answers {
    async fn tls(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let answer = challenge::tls_answer(&*self.store, name, self.clock.now()).await;
        answer.inspect_err(|error| tracing::warn!(%error, "a challenge was not answered")).ok().flatten()
    }
    async fn http(&self, token: &str) -> Option<String> {
        let answer = challenge::http_answer(&*self.store, token, self.clock.now()).await;
        answer.inspect_err(|error| tracing::warn!(%error, "a challenge was not answered")).ok().flatten()
    }
}
