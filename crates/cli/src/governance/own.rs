//! The edge's own keys and certificates, as identities: what they are for, since when, until when, never what they are.

use crate::config::Config;
use crate::node::Parts;
use crate::rotation::authorities::Authorities;
use crate::sealing::Sealing;
use portunus_core::digest::sha256;
use portunus_core::document::RotationPlan;
use portunus_core::time::Timestamp;
use portunus_governance::OwnKey;
use std::path::Path;
use std::time::UNIX_EPOCH;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What does not change while the edge runs.
pub(crate) fn at_start(
    config: &Config,
    sealing: &Sealing,
    assertion_key: &[u8],
    link_ca: &[u8],
    authorities: &Authorities,
) -> Vec<OwnKey> {
    let ledger = portunus_ledger::keys::verifier(&config.ledger).map(|key| key.to_string());
    let mut keys = vec![
        // Made together with the first sealing key, at the first start.
        key("assertion-signing", "ed25519", "signs who calls, for upstreams", assertion_key, sealing.since),
        key(
            "ledger-signing",
            "ed25519",
            "signs checkpoints of the ledger",
            ledger.unwrap_or_default().as_bytes(),
            made(&config.ledger),
        ),
    ];
    // Made with the first sealing key, or later at the first start of a version that has it.
    let ssh = authorities.ssh.public_line();
    keys.push(key("ssh-ca", "ed25519", "issues SSH user certificates", ssh.as_bytes(), sealing.since));
    keys.extend(authority("link-ca", "issues the certificates of connectors", link_ca));
    let client_ca = authorities.client.root();
    keys.extend(authority("client-ca", "issues client certificates for upstream servers", client_ca));
    keys
}

fn authority(name: &str, purpose: &str, der: &[u8]) -> Option<OwnKey> {
    let (start, end) = life(der)?;
    Some(OwnKey { certificate: true, expires_at: Some(end), ..key(name, "x509", purpose, der, start) })
}

/// All of them as of now.
pub(crate) fn keys(parts: &Parts) -> Vec<OwnKey> {
    let mut keys = parts.own_keys.clone();
    let epoch = parts.sealing.current();
    let purpose = "wraps the keys of all sealed secrets";
    keys.push(OwnKey {
        fingerprint: epoch.key_id,
        ..key("sealing", "aes-256", purpose, &[], epoch.created_at)
    });
    if let Some(served) = parts.certificates.slot.get() {
        let life = &served.leaf.life;
        keys.push(OwnKey {
            name: String::from("https"),
            certificate: true,
            form: String::from("x509"),
            purpose: String::from("proves the edge to clients"),
            fingerprint: fingerprint(&served.leaf.public_key),
            created_at: life.not_before,
            expires_at: Some(life.not_after),
            renewal: Some(by(parts.certificates.renewal())),
        });
    }
    keys
}

fn key(name: &str, form: &str, purpose: &str, public: &[u8], created_at: Timestamp) -> OwnKey {
    OwnKey {
        name: name.to_owned(),
        certificate: false,
        form: form.to_owned(),
        purpose: purpose.to_owned(),
        fingerprint: if public.is_empty() { String::new() } else { fingerprint(public) },
        created_at,
        expires_at: None,
        renewal: None,
    }
}

fn by(method: &str) -> RotationPlan {
    RotationPlan { method: method.to_owned(), every_seconds: None, settings: serde_json::Map::new() }
}

fn fingerprint(public: &[u8]) -> String {
    sha256(&[public]).hex().chars().take(32).collect()
}

/// When a file was last written.
fn made(path: &Path) -> Timestamp {
    let modified = std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let since = modified.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
    since.map_or_else(Timestamp::default, |since| Timestamp::from_secs(since.as_secs()))
}

fn life(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let at = |moment: i64| Timestamp::from_secs(u64::try_from(moment).unwrap_or(0));
    let validity = certificate.validity();
    Some((at(validity.not_before.timestamp()), at(validity.not_after.timestamp())))
}
