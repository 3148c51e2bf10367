//! What an upstream must be able to do for its secrets to be changed: the port that drivers implement.
//!
//! Everything may be asked more than once: a process can end after the upstream did it and before we noted it. A driver
//! bounds its own time ([`limits::ROTATION_REQUEST_TIMEOUT`](portunus_core::limits::ROTATION_REQUEST_TIMEOUT) for one
//! request), checks that the administrator's credential may go to where it sends it, and names no secret in an error.

use async_trait::async_trait;
use portunus_core::document::{Credential, TestOutcome};
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};

/// One kind of upstream.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// Reads the plan's settings and says what the next version will be. Asks nobody.
    ///
    /// # Errors
    /// When the settings are wrong: what, and how they should be.
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String>;

    /// Makes the new version's secret good at the upstream, beside the old one. With [`Origin::Ours`] the secret is given
    /// and was stored; asked again, it is the same one. With [`Origin::Theirs`] the upstream makes it; whatever the upstream
    /// has made for this credential that is not [`known`](Case::known) was lost with an earlier attempt, and is removed.
    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError>;

    /// Uses the new secret as a call would.
    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError>;

    /// Has the upstream refuse the old secret, and ends what was begun with it.
    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError>;

    /// Tries the old secret. An error means that it could not be tried now; [`TestOutcome::Unverifiable`], that it never can.
    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError>;

    /// Removes what is left of the old version.
    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError>;

    /// Takes back a new version that does not work, whether or not it was made. Gives the old version's account when that is
    /// another one now.
    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        _old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        self.disable(case, new).await?;
        self.delete(case, new).await?;
        Ok(None)
    }
}

/// Who makes a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// We do: 256 random bits as 43 letters, digits, `-` and `_`.
    Ours,
    /// The upstream does.
    Theirs,
}

/// What the next version will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who makes its secret.
    pub origin: Origin,
    /// Whom it belongs to at the upstream, when that is known before.
    pub account: Option<String>,
}

/// The circumstances of a rotation.
#[derive(Debug)]
pub struct Case<'a> {
    /// The credential; its secrets are sealed.
    pub credential: &'a Credential,
    /// Of its plan.
    pub settings: &'a Map<String, Value>,
    /// With what the upstream is administered, if the settings name it.
    pub administrator: Option<&'a Administrator>,
    /// The versions that were not given up, with what the upstream calls them.
    pub known: &'a [Known],
    /// The secret of the version that calls carry now; `None` while a plan is only read.
    pub in_use: Option<&'a Secret<Vec<u8>>>,
    /// Names this rotation and no other: `NAME/VERSION`.
    pub id: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl Case<'_> {
    /// A text among the settings.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_str()
    }
}

/// The credential that a rotator works with, opened.
#[derive(Debug)]
pub struct Administrator {
    account: String,
    hosts: Vec<String>,
    secret: Secret<Vec<u8>>,
}

impl Administrator {
    pub(super) fn new(account: String, hosts: Vec<String>, secret: Secret<Vec<u8>>) -> Self {
        Self { account, hosts, secret }
    }
    /// Account and secret, for this host (`name[:port]`) only.
    ///
    /// # Errors
    /// When the credential is for other hosts.
    pub fn for_host(&self, host: &str) -> Result<(&str, &Secret<Vec<u8>>), RotatorError> {
        if self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Ok((&self.account, &self.secret));
        }
        let hosts = self.hosts.join(", ");
        Err(RotatorError::Wrong(format!(
            "the administrator's credential may go to {hosts} and not to {host}"
        )))
    }
    pub(super) fn secret(&self) -> &Secret<Vec<u8>> {
        &self.secret
    }
}

/// A version as its upstream knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub version: u32,
    /// Whom it belongs to.
    pub account: Option<String>,
    /// What the upstream calls what it gave out with it.
    pub handle: Option<String>,
}

/// One version, opened.
#[derive(Debug)]
pub struct Version<'a> {
    /// Its number.
    pub number: u32,
    /// Whom it belongs to at the upstream.
    pub account: Option<&'a str>,
    /// What the upstream calls what it gave out with it.
    pub handle: Option<&'a str>,
    /// The secret; `None`: the upstream has yet to make it, or it was lost.
    pub secret: Option<&'a Secret<Vec<u8>>>,
}

/// What making a version gave.
#[derive(Debug, Default)]
pub struct Created {
    /// The secret, when the upstream made it.
    pub secret: Option<Secret<Vec<u8>>>,
    /// Whom it belongs to, when that was not planned.
    pub account: Option<String>,
    /// What the upstream calls it, such as a lease; no secret.
    pub handle: Option<String>,
    /// When the upstream lets it die by itself.
    pub lapses_at: Option<Timestamp>,
}

/// What trying an old secret gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was seen.
    pub outcome: TestOutcome,
    /// In words; no secrets.
    pub detail: String,
}

/// Why an upstream did not do it. No secrets: what may be one is taken out of the text all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotatorError {
    /// It may succeed later.
    #[error("{0}")]
    Later(String),
    /// It cannot succeed as things are: before the switch the rotation is given up.
    #[error("{0}")]
    Wrong(String),
}
