//! Changes of what a credential is bound to: its owner, purpose, server, hosts, end. The secret of every version that is still
//! good for something is sealed anew to the new binding, or it would not open there.

use crate::credential::{
    self, CredentialError, Summary, context, demand_future, event, existing, invalid, recorded, summarize,
};
use crate::ring::SealingKey;
use crate::{rules, sealing};
use portunus_core::document::{
    Credential, Disabled, RotationPlan, TestOutcome, Tested, VersionState, Waiver,
};
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::limits::WAIVER_LIFE;
use portunus_core::record::Ledger;
use portunus_core::store::{Batch, Store, Versioned};
use portunus_core::time::{Rng, Timestamp};
use std::collections::BTreeSet;

/// What is to be different; `None` and empty: as it was.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Where it belongs.
    pub environment: Option<String>,
    /// Who issued it.
    pub vendor: Option<String>,
    /// What it allows at its upstream.
    pub scopes: Option<Vec<String>>,
    /// The only server it is for.
    pub server: Option<ServerName>,
    /// The only hosts it may go to.
    pub hosts: Option<Vec<String>>,
    /// When it ends; in the future.
    pub expires_at: Option<Timestamp>,
    /// How its secret is changed; `Some(None)`: by hand.
    pub rotation: Option<Option<RotationPlan>>,
}

/// Changes a credential's binding; its secret stays.
///
/// # Errors
/// When there is no such credential, it is revoked, a field breaks its rule, a secret does not open, or the store or the
/// ledger fails.
pub async fn bind(
    store: &dyn Store,
    ledger: &dyn Ledger,
    key: &SealingKey,
    (name, binding, by): (&CredentialName, Binding, &str),
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Summary, CredentialError> {
    let Versioned { value: old, version } = existing(store, name).await?;
    if old.revoked_at.is_some() {
        return Err(CredentialError::Revoked(name.clone()));
    }
    let mut new = apply(&old, binding, now)?;
    let mut event = event("credential.bound", &new, by, now);
    event.detail.insert(String::from("changed"), changed(&old, &new).join(" "));
    if (&old.server, &old.hosts) != (&new.server, &new.hosts) {
        seal_anew(key, &old, &mut new, now, rng)?;
    }
    recorded(store, ledger, event, || Batch::new().update(&new, version)).await?;
    Ok(summarize(&new, now))
}

/// The credential with its new binding.
fn apply(old: &Credential, binding: Binding, now: Timestamp) -> Result<Credential, CredentialError> {
    let mut new = old.clone();
    if let Some(owner) = binding.owner {
        rules::text(&owner).map_err(invalid("owner"))?;
        new.owner = Some(owner.trim().to_owned());
    }
    if let Some(purpose) = binding.purpose {
        rules::text(&purpose).map_err(invalid("purpose"))?;
        new.purpose = purpose;
    }
    new.environment = binding.environment.or(new.environment);
    new.vendor = binding.vendor.or(new.vendor);
    new.scopes = binding.scopes.unwrap_or(new.scopes);
    new.server = binding.server.unwrap_or(new.server);
    if let Some(hosts) = binding.hosts {
        new.hosts = rules::hosts(&hosts).map_err(invalid("host"))?;
    }
    if let Some(end) = binding.expires_at {
        demand_future(end, now)?;
        new.expires_at = Some(end);
    }
    new.rotation = binding.rotation.unwrap_or(new.rotation);
    credential::check_labels(&new)?;
    Ok(new)
}

/// Every version that may still be sent or tried at the new place; the others lose their secret for good. Their numbers do not
/// come again, and those that were not seen dead stay to be told of.
fn seal_anew(
    key: &SealingKey,
    old: &Credential,
    new: &mut Credential,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<(), CredentialError> {
    new.numbered = old.next_number() - 1;
    let mut versions = std::mem::take(&mut new.versions);
    versions.retain(|version| version.state != VersionState::Retired || version.is_owed());
    for version in &mut versions {
        if version.state == VersionState::Retired {
            // A secret of the old place is never sent to the new one, not even to be tried.
            let (outcome, number) = (TestOutcome::Unverifiable, version.number);
            let detail = String::from("it was good at another place; end it there by hand");
            version.sealed.clear();
            version.seen = Some(Tested { at: now, version: number, outcome, detail });
            continue;
        }
        let secret = sealing::open(key, &context(old, version.number), &version.sealed)?;
        version.sealed = sealing::seal(key, &context(new, version.number), secret.expose(), rng)?;
    }
    new.versions = versions;
    Ok(())
}

/// Names of the fields that differ, for the record.
fn changed(old: &Credential, new: &Credential) -> Vec<&'static str> {
    let differ = [
        ("owner", old.owner != new.owner),
        ("purpose", old.purpose != new.purpose),
        ("environment", old.environment != new.environment),
        ("vendor", old.vendor != new.vendor),
        ("scopes", old.scopes.iter().collect::<BTreeSet<_>>() != new.scopes.iter().collect()),
        ("server", old.server != new.server),
        ("hosts", old.hosts != new.hosts),
        ("expiry", old.expires_at != new.expires_at),
        ("rotation", old.rotation != new.rotation),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What becomes of a credential besides its binding.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nobody may use it any more, for this reason.
    Disable(String),
    /// It may be used again.
    Enable,
    /// Its age is put up with until then, for this reason.
    Waive(Timestamp, String),
    /// Somebody had access to what it opens in an emergency until then: its secret is to be replaced.
    Expose(Timestamp, String),
}

/// Takes one step in a credential's life.
///
/// # Errors
/// When there is no such credential, it is revoked, the reason is empty or too long, or the store or the ledger fails.
pub async fn step(
    store: &dyn Store,
    ledger: &dyn Ledger,
    (name, step, by): (&CredentialName, Step, &str),
    now: Timestamp,
) -> Result<Summary, CredentialError> {
    let Versioned { value: mut credential, version } = existing(store, name).await?;
    if credential.revoked_at.is_some() {
        return Err(CredentialError::Revoked(name.clone()));
    }
    let reason = |why: &str| match why.trim() {
        "" => Err(CredentialError::Invalid { what: "reason", why: "say why, for whoever reads this later" }),
        _ => rules::text(why).map_err(invalid("reason")),
    };
    let (action, why) = match step {
        Step::Disable(why) => {
            reason(&why)?;
            credential.disabled = Some(Disabled { at: now, by: by.to_owned(), why: why.clone() });
            ("credential.disabled", why)
        }
        Step::Enable => {
            credential.disabled = None;
            ("credential.enabled", String::new())
        }
        Step::Waive(until, why) => {
            reason(&why)?;
            demand_future(until, now)?;
            if until.since(now) > WAIVER_LIFE {
                return Err(CredentialError::Invalid { what: "waiver", why: "it may last 90 days at most" });
            }
            credential.waiver = Some(Waiver { until, by: by.to_owned(), why: why.clone() });
            ("credential.waived", why)
        }
        Step::Expose(until, why) => {
            credential.exposed_at = credential.exposed_at.max(Some(until));
            ("credential.exposed", why)
        }
    };
    let mut event = event(action, &credential, by, now);
    event.detail.insert(String::from("why"), why);
    recorded(store, ledger, event, || Batch::new().update(&credential, version)).await?;
    Ok(summarize(&credential, now))
}
