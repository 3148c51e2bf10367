//! Workloads that prove who they are with a token of the platform they run on (Kubernetes, a CI service): which tokens
//! are taken for which workload, as the configuration says. Pure.

use crate::foreign::{Assertion, Expected};
use crate::keys::KeySet;
use portunus_core::id::{ServerName, WorkloadName};
use portunus_core::limits;
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// A workload, and the tokens that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name in policies, records and commands.
    pub name: WorkloadName,
    /// The platform's issuer.
    pub issuer: String,
    /// The platform's keys.
    pub keys: KeySource,
    /// The one audience of its tokens.
    pub audience: String,
    /// Whom they are about.
    pub subject: Subject,
    /// What else they must say, exactly.
    pub claims: BTreeMap<String, Value>,
    /// The servers it may use.
    pub servers: Vec<ServerName>,
    /// What kind of actor it is.
    pub actor: Actor,
    /// The life of its access tokens.
    pub ttl: Duration,
    /// Whether one token of the platform gives one token of ours only.
    pub single_use: bool,
}

/// Where an issuer's public keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// From its discovery document (OpenID Connect Discovery 1.0 section 4).
    Discovery,
    /// From this address.
    At(Url),
    /// From the configuration.
    Given(KeySet),
}

/// Which subjects are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// This one.
    Exact(String),
    /// All that begin so. It ends with a separator, so that no longer name begins like a shorter one.
    Beginning(String),
}

/// A pattern that would take in more than it shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`*` may stand only at the end, behind `:` or `/`: `repo:acme/app*` would also mean `repo:acme/app-of-others`"
)]
pub struct LoosePattern;

impl Subject {
    /// Reads `system:serviceaccount:build:runner` or `repo:acme/app:*`.
    ///
    /// # Errors
    /// When a `*` stands anywhere but at the end behind a separator.
    pub fn parse(text: &str) -> Result<Self, LoosePattern> {
        let (before, pattern) = text.strip_suffix('*').map_or((text, false), |before| (before, true));
        if before.is_empty() || before.contains('*') || (pattern && !before.ends_with([':', '/'])) {
            return Err(LoosePattern);
        }
        let before = before.to_owned();
        Ok(if pattern { Self::Beginning(before) } else { Self::Exact(before) })
    }
    fn covers(&self, subject: &str) -> bool {
        match self {
            Self::Exact(only) => subject == only,
            Self::Beginning(beginning) => subject.len() > beginning.len() && subject.starts_with(beginning),
        }
    }
}

impl Workload {
    /// What a token of this workload must be.
    #[must_use]
    pub fn expected<'a>(&'a self, audiences: &'a [&'a str], now: Timestamp) -> Expected<'a> {
        let longest = limits::WORKLOAD_TOKEN_LIFE;
        Expected { issuer: &self.issuer, audiences, types: &["", "jwt"], longest, now }
    }
    fn is(&self, token: &Assertion) -> bool {
        self.subject.covers(&token.subject)
            && self.claims.iter().all(|(name, value)| token.claims.get(name) == Some(value))
    }
}

/// Why a good token of a configured issuer is no workload's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWorkload {
    /// Subject or claims fit none.
    #[error("no workload is configured for the subject and claims of this assertion")]
    Unknown,
    /// The workload is another server's.
    #[error("the workload of this assertion may not use this server")]
    OtherServer,
    /// Several fit.
    #[error(
        "several workloads are configured for this assertion and server; make their subjects or claims differ"
    )]
    Ambiguous,
}

/// The one workload that this token proves for this server, among those of its issuer and audience.
///
/// # Errors
/// See [`NoWorkload`].
pub fn choose<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
    token: &Assertion,
    server: &ServerName,
) -> Result<&'a Workload, NoWorkload> {
    let fitting: Vec<&Workload> = workloads.into_iter().filter(|workload| workload.is(token)).collect();
    if fitting.is_empty() {
        return Err(NoWorkload::Unknown);
    }
    let mut here = fitting.into_iter().filter(|workload| workload.servers.contains(server));
    match (here.next(), here.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(NoWorkload::OtherServer),
        (Some(_), Some(_)) => Err(NoWorkload::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(name: &str, subject: &str, claims: &Value) -> Workload {
        Workload {
            name: WorkloadName::parse(name).unwrap(),
            issuer: "https://ci.example".to_owned(),
            keys: KeySource::Discovery,
            audience: "https://tools.example.com".to_owned(),
            subject: Subject::parse(subject).unwrap(),
            claims: claims.as_object().unwrap().clone().into_iter().collect(),
            servers: vec![ServerName::parse("sales").unwrap()],
            actor: Actor::Ci,
            ttl: Duration::from_secs(600),
            single_use: true,
        }
    }

    fn token(subject: &str, claims: &Value) -> Assertion {
        let claims = claims.as_object().unwrap().clone();
        Assertion { subject: subject.to_owned(), id: None, refused_from: Timestamp::default(), claims }
    }

    #[test]
    fn a_subject_is_one_name_or_everything_below_a_separator() {
        for (pattern, yes, no) in [
            ("repo:acme/app:ref:main", "repo:acme/app:ref:main", "repo:acme/app:ref:main2"),
            ("repo:acme/app:*", "repo:acme/app:ref:refs/heads/x", "repo:acme/app-evil:ref"),
            ("repo:acme/app:*", "repo:acme/app:x", "repo:acme/app:"),
            ("repo:acme/*", "repo:acme/app", "repo:acme-evil/app"),
            ("repo:acme/*", "repo:acme/x", "REPO:acme/x"),
            ("repo:acme/*", "repo:acme/x", " repo:acme/x"),
        ] {
            let pattern = Subject::parse(pattern).unwrap();
            assert!(pattern.covers(yes), "{pattern:?} {yes}");
            assert!(!pattern.covers(no), "{pattern:?} {no}");
        }
        for loose in ["", "*", "repo:acme/app*", "repo:*:main", "repo:acme*/", "**", "a:**"] {
            assert_eq!(Subject::parse(loose), Err(LoosePattern), "{loose}");
        }
    }

    #[test]
    fn claims_must_be_equal_in_value_and_type() {
        let only =
            workload("build", "repo:acme/*", &json!({ "repository": "acme/app", "run": 7, "fork": false }));
        let all = [only];
        let sales = ServerName::parse("sales").unwrap();
        let good = json!({ "repository": "acme/app", "run": 7, "fork": false, "more": "x" });
        assert!(choose(&all, &token("repo:acme/app", &good), &sales).is_ok());
        for (name, value) in [
            ("repository", json!("acme/app2")),
            ("repository", json!("ACME/app")),
            ("repository", json!(["acme/app"])),
            ("run", json!("7")),
            ("run", json!(7.5)),
            ("fork", json!("false")),
            ("fork", Value::Null),
        ] {
            let mut other = good.clone();
            other[name] = value;
            let refused = choose(&all, &token("repo:acme/app", &other), &sales);
            assert_eq!(refused, Err(NoWorkload::Unknown), "{name} {other}");
        }
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove("fork");
        assert_eq!(choose(&all, &token("repo:acme/app", &missing), &sales), Err(NoWorkload::Unknown));
        let hr = ServerName::parse("hr").unwrap();
        assert_eq!(choose(&all, &token("repo:acme/app", &good), &hr), Err(NoWorkload::OtherServer));
    }

    #[test]
    fn a_token_that_fits_two_workloads_is_nobodys() {
        let two = [workload("one", "repo:acme/*", &json!({})), workload("two", "repo:acme/app", &json!({}))];
        let sales = ServerName::parse("sales").unwrap();
        let both = choose(&two, &token("repo:acme/app", &json!({})), &sales);
        assert_eq!(both, Err(NoWorkload::Ambiguous));
        let one = choose(&two, &token("repo:acme/other", &json!({})), &sales).unwrap();
        assert_eq!(one.name.as_str(), "one");
    }
}
