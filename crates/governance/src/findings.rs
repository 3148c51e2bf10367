//! What is wrong with identities, how bad it is and what to do about it (OWASP Non-Human Identities Top 10, 2025).

mod seen;

use crate::identity::{Identity, IdentityKind, Standing};
use crate::inventory::PublishedServer;
use crate::visibility::TESTED_WITHIN;
use portunus_core::document::{Observed, TestOutcome, User, VersionState};
use portunus_core::id::ServerName;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

const DAY: u64 = 86_400;
/// Identities that are named in one finding, and looked at for it.
const NAMED: usize = 5;
const MOST: usize = 1000;

/// From when on something is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A secret this old is warned of.
    pub warn_age: Duration,
    /// A secret this old is refused, unless there is a waiver; `None`: never.
    pub block_age: Option<Duration>,
    /// What was not used for so long is stale.
    pub stale: Duration,
    /// What ends within this time is warned of.
    pub ends_soon: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            warn_age: Duration::from_secs(90 * DAY),
            block_age: None,
            stale: Duration::from_secs(90 * DAY),
            ends_soon: Duration::from_secs(14 * DAY),
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The identity's id.
    pub identity: String,
    /// Which rule, as a word that does not change.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nobody answers for it.
    NoOwner,
    /// Its owner's account is gone or disabled.
    OwnerLeft,
    /// Nobody said what it is for.
    NoPurpose,
    /// It has no end.
    NoExpiry,
    /// Its end is near.
    EndsSoon,
    /// Nobody used it for long.
    Stale,
    /// Its secret is old.
    OverAge,
    /// The same secret is behind several identities.
    Reused,
    /// It may do more than what was ever asked of it, or everything.
    OverPrivileged,
    /// Nobody ever tried whether an ended secret of it is dead.
    NeverTested,
    /// An ended secret of it still works.
    NotDead,
    /// It belongs to another environment than its server.
    WrongEnvironment,
    /// A person used what is for machines.
    HumanUse,
    /// Its secret never changes by itself.
    StaticSecret,
    /// Its secret is in the query of a URL.
    SecretInQuery,
    /// Somebody had access to it in an emergency, and its secret was not changed since.
    OpenedInEmergency,
    /// It is registered nowhere.
    Unregistered,
    /// Its secret was seen where it does not belong.
    Exposed,
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// To be seen to.
    Medium,
    /// To be seen to soon.
    High,
    /// Now.
    Critical,
}

impl Rule {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoOwner => "no_owner",
            Self::OwnerLeft => "owner_left",
            Self::NoPurpose => "no_purpose",
            Self::NoExpiry => "no_expiry",
            Self::EndsSoon => "ends_soon",
            Self::Stale => "stale",
            Self::OverAge => "over_age",
            Self::Reused => "reused",
            Self::OverPrivileged => "over_privileged",
            Self::NeverTested => "never_tested",
            Self::NotDead => "not_dead",
            Self::WrongEnvironment => "wrong_environment",
            Self::HumanUse => "human_use",
            Self::StaticSecret => "static_secret",
            Self::SecretInQuery => "secret_in_query",
            Self::OpenedInEmergency => "opened_in_emergency",
            Self::Unregistered => "unregistered",
            Self::Exposed => "exposed",
        }
    }
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What the rules look at besides the identities.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// What is published.
    pub servers: &'a [PublishedServer],
    /// Accounts, to see whose owner left.
    pub users: &'a [User],
    /// Identities by id that people used although they are for machines.
    pub human_use: &'a BTreeSet<String>,
    /// What was seen in traffic.
    pub observed: &'a [Observed],
    /// Tools that servers offer and nobody accepted: server, tool.
    pub unaccepted: &'a [(ServerName, String)],
    /// From when on.
    pub thresholds: Thresholds,
}

/// Everything that is wrong at `now`: the worst first, then by identity.
#[must_use]
pub fn findings(identities: &[Identity], around: &Around<'_>, now: Timestamp) -> Vec<Finding> {
    let shared = shared_secrets(identities);
    let people = People {
        left: around
            .users
            .iter()
            .filter(|user| user.disabled_at.is_some())
            .map(|user| lower(user.name.as_str()))
            .collect(),
        servers: around.servers.iter().map(|server| (&server.name, server)).collect(),
    };
    let mut found = Vec::new();
    for identity in identities {
        let mut say = |rule, severity, detail: String, remedy: String| {
            found.push(Finding { identity: identity.id.clone(), rule, severity, detail, remedy });
        };
        about_the_undead(identity, &mut say);
        if !identity.standing.is_live() {
            continue;
        }
        if identity.kind == IdentityKind::Observed {
            // Told of with all else that was seen.
            continue;
        }
        about_people(identity, around, &people, &mut say);
        about_time(identity, around.thresholds, now, &mut say);
        about_secrets(identity, &shared, now, &mut say);
        about_place(identity, &people, &mut say);
    }
    found.extend(seen::findings(identities, around));
    found.sort_by(|a, b| (b.severity, &a.identity, a.rule).cmp(&(a.severity, &b.identity, b.rule)));
    found
}

/// What is looked up for each identity, sorted out once.
struct People<'a> {
    /// Names of disabled accounts, in lower case.
    left: HashSet<String>,
    servers: HashMap<&'a ServerName, &'a PublishedServer>,
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

type Say<'a> = dyn FnMut(Rule, Severity, String, String) + 'a;

fn about_people(identity: &Identity, around: &Around<'_>, people: &People<'_>, say: &mut Say<'_>) {
    let bind = |field: &str| format!("portunus cred bind {} --{field} …", name(identity));
    match &identity.owner {
        // Clients that registered themselves belong to whoever agreed to them.
        None if identity.kind == IdentityKind::Client => {}
        None => say(Rule::NoOwner, Severity::High, String::from("nobody answers for it"), bind("owner")),
        Some(owner) if people.left.contains(&lower(owner)) => {
            let detail = format!("its owner {owner} has no account that can sign in any more");
            say(Rule::OwnerLeft, Severity::High, detail, bind("owner"));
        }
        Some(_) => {}
    }
    if identity.purpose.is_empty() {
        say(Rule::NoPurpose, Severity::Medium, String::from("nobody said what it is for"), bind("purpose"));
    }
    if around.human_use.contains(&identity.id) {
        let detail = String::from("a person used it, although its server is for machines only");
        let remedy = String::from("find out who and why: `portunus cred show` names the last use");
        say(Rule::HumanUse, Severity::High, detail, remedy);
    }
}

/// Whether an owner is somebody whose account was disabled. Owners are often named by a mail address that is no account: of
/// those nothing is known.
#[must_use]
pub fn has_left(owner: &str, users: &[User]) -> bool {
    users.iter().any(|user| user.disabled_at.is_some() && user.name.as_str().eq_ignore_ascii_case(owner))
}

fn about_time(identity: &Identity, limits: Thresholds, now: Timestamp, say: &mut Say<'_>) {
    let own = matches!(identity.kind, IdentityKind::Key | IdentityKind::Certificate);
    match identity.expires_at {
        None if matches!(identity.kind, IdentityKind::Credential) => {
            let remedy = format!("portunus cred bind {} --expires 90d", name(identity));
            say(Rule::NoExpiry, Severity::High, String::from("it has no end"), remedy);
        }
        Some(end) if end.since(now) <= limits.ends_soon && identity.kind == IdentityKind::Credential => {
            let detail = format!("it ends at {end}");
            let remedy = format!("rotate it (`portunus cred rotate {}`), or let it end", name(identity));
            say(Rule::EndsSoon, Severity::Medium, detail, remedy);
        }
        _ => {}
    }
    let age = now.since(identity.changed_at);
    if identity.kind == IdentityKind::Credential && age >= limits.warn_age {
        let blocked = limits.block_age.is_some_and(|block| age > block) && identity.waived_until.is_none();
        let severity = if blocked { Severity::Critical } else { Severity::Medium };
        let calls = if blocked { "; calls with it are refused" } else { "" };
        let detail = format!("its secret is {} days old{calls}", age.as_secs() / DAY);
        say(Rule::OverAge, severity, detail, format!("portunus cred rotate {}", name(identity)));
    }
    let since = identity.last_used.as_ref().map_or(identity.created_at, |used| used.at);
    if !own && identity.kind != IdentityKind::JoinToken && now.since(since) >= limits.stale {
        let days = now.since(since).as_secs() / DAY;
        let detail = match &identity.last_used {
            Some(_) => format!("nobody used it for {days} days"),
            None => format!("nobody ever used it in {days} days"),
        };
        say(
            Rule::Stale,
            Severity::Medium,
            detail,
            format!("end it: portunus cred revoke {}", name(identity)),
        );
    }
}

fn about_secrets(
    identity: &Identity,
    shared: &BTreeMap<&str, BTreeSet<&str>>,
    now: Timestamp,
    say: &mut Say<'_>,
) {
    for version in identity.versions.iter().filter(|version| version.state != VersionState::Retired) {
        let others = shared.get(version.fingerprint.as_str()).filter(|all| all.len() > 1);
        let others: Vec<_> =
            others.into_iter().flatten().filter(|other| **other != identity.id).take(MOST).copied().collect();
        if !others.is_empty() {
            // As many as a person reads: with one secret behind all, the list of each would name all.
            let named: Vec<_> = others.iter().take(NAMED).copied().collect();
            let more = others.len() - named.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let detail = format!("the same secret is behind {}{more}", named.join(", "));
            let remedy =
                String::from("give each its own secret, so that one can be ended without the others");
            say(Rule::Reused, Severity::High, detail, remedy);
        }
    }
    if identity.kind != IdentityKind::Credential {
        return;
    }
    match &identity.tested {
        Some(tested) if tested.outcome == TestOutcome::Alive => {}
        Some(tested) if now.since(tested.at) <= TESTED_WITHIN => {}
        _ => {
            let detail = String::from("no ended secret of it was tried in the last 90 days");
            let remedy = format!("portunus cred rotate {}, which tries the old one", name(identity));
            say(Rule::NeverTested, Severity::Low, detail, remedy);
        }
    }
    if let Some(at) = identity.exposed_at {
        let detail = format!(
            "somebody had access to it in an emergency until {at}, and its secret was not changed since"
        );
        let remedy = match &identity.rotation {
            Some(_) => {
                format!("it is rotated by itself; see `portunus cred rotation show {}`", name(identity))
            }
            None => format!("replace its secret: portunus cred add {} --replace …", name(identity)),
        };
        say(Rule::OpenedInEmergency, Severity::Critical, detail, remedy);
    }
    if identity.rotation.is_none() {
        let detail = String::from("its secret changes by hand only");
        let remedy = format!("portunus cred bind {} --rotate METHOD --every 30d", name(identity));
        say(Rule::StaticSecret, Severity::Low, detail, remedy);
    }
    if identity.form == "query" {
        let detail = String::from("its secret is in the query of a URL, which logs on the way may keep");
        say(Rule::SecretInQuery, Severity::Medium, detail, String::from("use a header, if its upstream can"));
    }
}

/// What was ended, here or by a hand, and is not proven dead at its upstream. It is told until it is.
fn about_the_undead(identity: &Identity, say: &mut Say<'_>) {
    if !matches!(identity.kind, IdentityKind::Credential | IdentityKind::Connection) {
        return;
    }
    let mut undead = |what: String, outcome: Option<TestOutcome>, detail: &str| {
        let (severity, seen) = match outcome {
            Some(TestOutcome::Dead) => return,
            Some(TestOutcome::Alive) => (Severity::Critical, "its upstream still takes it"),
            Some(TestOutcome::Unverifiable) => {
                (Severity::Medium, "nobody can say whether its upstream still takes it")
            }
            None => (Severity::Medium, "it was not tried at its upstream yet"),
        };
        let again = match identity.standing {
            Standing::Revoked => format!("`portunus cred revoke {}` tries it again", called(identity)),
            _ => String::from("it is tried again by itself, within the hour at first"),
        };
        let remedy = format!("end it at its upstream by hand; {again}");
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        say(Rule::NotDead, severity, format!("{what}, and {seen}{detail}"), remedy);
    };
    if identity.standing == Standing::Revoked {
        let tested = identity.tested.as_ref();
        let detail = tested.map_or("", |tested| &tested.detail);
        return undead(String::from("it was revoked"), tested.map(|tested| tested.outcome), detail);
    }
    let owed: Vec<_> = identity.versions.iter().filter_map(|v| Some((v.number, v.owed.as_ref()?))).collect();
    for (number, owed) in &owed {
        undead(format!("version {number} was replaced by hand"), owed.outcome, &owed.detail);
    }
    if let Some(tested) = &identity.tested
        && tested.outcome == TestOutcome::Alive
        && !owed.iter().any(|(number, _)| *number == tested.version)
    {
        undead(format!("version {} was ended", tested.version), Some(tested.outcome), &tested.detail);
    }
}

/// What a command calls it.
fn called(identity: &Identity) -> &str {
    identity.id.strip_prefix("credential:").unwrap_or(&identity.id)
}

/// Words in a scope that mean everything.
const EVERYTHING: [&str; 8] = ["*", "admin", "root", "superuser", "all", "full", "owner", "full_access"];

fn about_place(identity: &Identity, people: &People<'_>, say: &mut Say<'_>) {
    let servers = identity.servers.iter().filter_map(|name| people.servers.get(name));
    if let Some(environment) = &identity.environment {
        for server in servers.filter(|server| server.environment != *environment) {
            let detail = format!("it is of {environment}, and {} is {}", server.name, server.environment);
            let remedy = format!("bind one of {} to {}", server.environment, server.name);
            say(Rule::WrongEnvironment, Severity::High, detail, remedy);
        }
    }
    let wide = identity.scopes.iter().find(|scope| {
        scope.split([':', '.', '/', '-']).any(|word| EVERYTHING.contains(&word.to_ascii_lowercase().as_str()))
    });
    if let Some(scope) = wide {
        let detail = format!("its scope {} means everything", scope.escape_debug());
        let remedy = String::from(
            "ask its upstream for one that allows what is used: `portunus cred reach` lists that",
        );
        say(Rule::OverPrivileged, Severity::High, detail, remedy);
    }
}

/// Fingerprints of secrets that are still good, with whom they belong to.
fn shared_secrets(identities: &[Identity]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut shared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let live = identities.iter().filter(|identity| !matches!(identity.standing, Standing::Revoked));
    for identity in live {
        let versions = identity.versions.iter().filter(|v| v.state != VersionState::Retired);
        for version in versions.filter(|version| !version.fingerprint.is_empty()) {
            shared.entry(&version.fingerprint).or_default().insert(&identity.id);
        }
    }
    shared
}

/// The id without its kind.
fn name(identity: &Identity) -> &str {
    identity.id.split_once(':').map_or(identity.id.as_str(), |(_, name)| name)
}
