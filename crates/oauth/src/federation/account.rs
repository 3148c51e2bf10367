//! Who somebody at a provider is here. A subject is bound to a user at first sight, and for good; a user name belongs to
//! one subject of one provider, or to a built-in account, and never changes hands.

use super::id_token::{IdToken, is_plain};
use super::provider::{Provider, Providers};
use crate::jwt::Claims;
use crate::login::Proven;
use crate::ports::{ATTEMPTS, Ports, Trouble};
use crate::text;
use crate::users::{self, UserError};
use portunus_core::caller::SignIn;
use portunus_core::document::{Identity, User};
use portunus_core::id::{GroupName, UserName};
use portunus_core::limits;
use portunus_core::record::LedgerError;
use portunus_core::store::{StoreError, load};
use portunus_core::time::Timestamp;
use serde_json::Value;

/// How people sign in who are vouched for by a provider.
pub const METHOD: &str = "oidc";
/// Characters of a display name.
const DISPLAY_CHARS: usize = 80;

/// What a provider says of somebody, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user name they would get.
    pub name: UserName,
    /// What people see.
    pub display_name: String,
    /// Their groups.
    pub groups: Vec<GroupName>,
    /// What is wrong with the groups claim, for the record and the log.
    pub groups_problem: Option<String>,
}

/// Why somebody with a good ID token is not signed in. The texts are for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The claim that becomes the user name is missing.
    #[error("the identity provider does not say your `{0}`, which is needed as your user name here")]
    NoName(String),
    /// The e-mail address was not verified by the provider.
    #[error("the identity provider has not verified your e-mail address")]
    Unverified,
    /// Not a user name.
    #[error("`{0}` cannot be a user name here: letters, digits and @ . _ + - only")]
    BadName(String),
    /// The provider may not speak for that name.
    #[error("this identity provider may not sign in `{0}`: the domain is not one of its own")]
    NotItsOwn(String),
    /// The name is somebody else's.
    #[error(
        "the user name `{0}` belongs to another account here, which does not sign in this way; ask an administrator"
    )]
    Taken(UserName),
    /// Disabled here.
    #[error("your account is disabled here; ask an administrator")]
    Disabled,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<LedgerError> for AccountError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

/// Whether the ID token leaves out something that a userinfo endpoint may say.
#[must_use]
pub fn lacks(provider: &Provider, token: &IdToken) -> bool {
    let named = match &provider.user_claim {
        Some(claim) => token.claims.text(claim).is_some(),
        None => verified_email(&token.claims).is_some(),
    };
    let grouped = provider.groups_claim.as_ref().is_none_or(|claim| token.claims.get(claim).is_some());
    !named || !grouped
}

/// What a provider says of somebody; the ID token counts before the user information.
///
/// # Errors
/// See [`AccountError`].
pub fn person(
    providers: &Providers,
    provider: &Provider,
    token: &IdToken,
    userinfo: Option<&Claims>,
) -> Result<Person, AccountError> {
    let sources = || std::iter::once(&token.claims).chain(userinfo);
    let name = match &provider.user_claim {
        Some(claim) => sources().find_map(|claims| claims.text(claim)),
        None => sources().find_map(verified_email),
    };
    let name = name.ok_or_else(|| match &provider.user_claim {
        None if sources().any(|claims| claims.get("email").is_some()) => AccountError::Unverified,
        claim => AccountError::NoName(claim.clone().unwrap_or_else(|| "email".to_owned())),
    })?;
    // One spelling: two that differ in case alone would be told apart by policies, but not by people.
    let name = name.to_ascii_lowercase();
    let shown = || text::clean(&name, DISPLAY_CHARS).unwrap_or_default();
    let parsed = UserName::parse(&name).map_err(|_| AccountError::BadName(shown()))?;
    if !is_its_own(providers, provider, &parsed) {
        return Err(AccountError::NotItsOwn(shown()));
    }
    let display_name = sources().find_map(|claims| text::clean(claims.text("name")?, DISPLAY_CHARS));
    let claim = provider.groups_claim.as_deref();
    let (groups, groups_problem) = match claim {
        None => (Vec::new(), None),
        Some(claim) => groups(claim, sources().find_map(|claims| claims.get(claim))),
    };
    let counts = |group: &GroupName| provider.groups.as_ref().is_none_or(|listed| listed.contains(group));
    let groups = groups.into_iter().filter(counts).collect();
    Ok(Person { display_name: display_name.unwrap_or(name), name: parsed, groups, groups_problem })
}

/// Names with a domain belong to whoever speaks for it; names without one to a provider that speaks for all the rest.
pub(crate) fn is_its_own(providers: &Providers, provider: &Provider, name: &UserName) -> bool {
    if name.as_str().contains('@') {
        providers.may_speak_for(provider, name.as_str())
    } else {
        provider.domains.is_empty()
    }
}

/// An address that the same answer calls verified.
fn verified_email(claims: &Claims) -> Option<&str> {
    claims.text("email").filter(|_| claims.get("email_verified") == Some(&Value::Bool(true)))
}

/// The groups of a claim, and what is wrong with it: a list of names, the first [`limits::PROVIDER_GROUPS`] of them.
fn groups(claim: &str, value: Option<&Value>) -> (Vec<GroupName>, Option<String>) {
    let names = match value {
        None => return (Vec::new(), Some(format!("there is no claim `{claim}`"))),
        Some(Value::Array(names)) => names,
        Some(_) => return (Vec::new(), Some(format!("the claim `{claim}` is not a list"))),
    };
    let parsed = |name: &Value| GroupName::parse(name.as_str()?).ok();
    let mut groups: Vec<GroupName> = names.iter().take(limits::PROVIDER_GROUPS).filter_map(parsed).collect();
    let left_out = names.len() - groups.len();
    groups.sort();
    groups.dedup();
    (groups, (left_out > 0).then(|| format!("{left_out} of {} groups are no group names", names.len())))
}

/// Signs somebody in: finds or makes their user, and takes over their groups.
///
/// # Errors
/// See [`AccountError`].
pub async fn sign_in(
    ports: &Ports<'_>,
    providers: &Providers,
    provider: &Provider,
    token: &IdToken,
    person: &Person,
) -> Result<Proven, AccountError> {
    let user = match user(ports, providers, provider, &token.subject, person).await {
        Ok(user) if user.disabled_at.is_none() => user,
        refused => {
            let error = refused.err().unwrap_or(AccountError::Disabled);
            record_refusal(ports, provider, person.name.as_str(), &error.to_string()).await?;
            return Err(error);
        }
    };
    let mut detail = vec![("method", METHOD), ("provider", provider.id.as_str())];
    detail.extend(person.groups_problem.as_deref().map(|problem| ("groups_problem", problem)));
    ports.record(user.name.as_str(), "user.signed_in", user.name.as_str(), &detail).await?;
    let sign_in = SignIn {
        amr: token.amr.clone(),
        acr: token.acr.clone(),
        issuer: Some(provider.issuer.clone()),
        // A provider may answer from a session of its own that is days old: without its word nothing counts as fresh.
        ..SignIn::new(METHOD, token.auth_time.unwrap_or(Timestamp::from_secs(0)).min(ports.now))
    };
    Ok(Proven { user, sign_in })
}

/// Records that somebody was not signed in, and why.
///
/// # Errors
/// When it could not be recorded.
pub async fn record_refusal(
    ports: &Ports<'_>,
    provider: &Provider,
    subject: &str,
    why: &str,
) -> Result<(), Trouble> {
    let detail = [("method", METHOD), ("provider", provider.id.as_str()), ("why", why)];
    Ok(ports.record("unknown", "user.sign_in_failed", subject, &detail).await?)
}

/// The user of a subject, made if there is none yet.
async fn user(
    ports: &Ports<'_>,
    providers: &Providers,
    provider: &Provider,
    subject: &str,
    person: &Person,
) -> Result<User, AccountError> {
    for _ in 0..ATTEMPTS {
        let id = Identity::id_of(&provider.issuer, subject);
        if let Some(identity) = load::<Identity>(ports.store, &id).await? {
            return known(ports, providers, provider, &identity.value, person).await;
        }
        if users::alike(ports.store, &person.name).await?.is_some() {
            return Err(AccountError::Taken(person.name.clone()));
        }
        match make(ports, provider, subject, person).await {
            Err(AccountError::Trouble(Trouble::Store(StoreError::Conflict { .. }))) => {} // made in this very moment
            made => return made,
        }
    }
    Err(Trouble::Busy.into())
}

async fn make(
    ports: &Ports<'_>,
    provider: &Provider,
    subject: &str,
    person: &Person,
) -> Result<User, AccountError> {
    let user = User {
        name: person.name.clone(),
        display_name: person.display_name.clone(),
        groups: person.groups.clone(),
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at: None,
        created_at: ports.now,
        issuer: Some(provider.issuer.clone()),
    };
    let identity = Identity {
        issuer: provider.issuer.clone(),
        subject: subject.to_owned(),
        user: user.name.clone(),
        bound_at: ports.now,
    };
    let groups = joined(&user.groups);
    let shown = if is_plain(subject, 128) { subject } else { "" };
    let detail = [("issuer", provider.issuer.as_str()), ("subject", shown), ("groups", groups.as_str())];
    ports.record(&format!("provider {}", provider.id), "user.added", user.name.as_str(), &detail).await?;
    ports.store.commit(users::with_spelling(&user).insert(&identity)).await?;
    Ok(user)
}

/// A user who was here before: the name stays, the rest is as the provider says now.
async fn known(
    ports: &Ports<'_>,
    providers: &Providers,
    provider: &Provider,
    identity: &Identity,
    person: &Person,
) -> Result<User, AccountError> {
    let name = &identity.user;
    if !is_its_own(providers, provider, name) {
        return Err(AccountError::NotItsOwn(name.to_string()));
    }
    let found = load::<User>(ports.store, name.as_str()).await?.map(|user| user.value);
    let is_theirs = |user: &User| user.issuer.as_ref() == Some(&provider.issuer);
    let user = found.filter(is_theirs).ok_or_else(|| AccountError::Taken(name.clone()))?;
    let same = user.groups == person.groups && user.display_name == person.display_name;
    if same || user.disabled_at.is_some() {
        return Ok(user);
    }
    if user.groups != person.groups {
        let (before, after) = (joined(&user.groups), joined(&person.groups));
        let detail = [("before", before.as_str()), ("after", after.as_str())];
        let by = format!("provider {}", provider.id);
        ports.record(&by, "user.groups_changed", name.as_str(), &detail).await?;
    }
    let refreshed = users::change(ports, name, |user| {
        user.groups.clone_from(&person.groups);
        user.display_name.clone_from(&person.display_name);
        true
    });
    refreshed.await.map_err(|error| match error {
        UserError::Trouble(trouble) => trouble.into(),
        _ => AccountError::Taken(name.clone()),
    })?;
    let user = load::<User>(ports.store, name.as_str()).await?.map(|user| user.value);
    user.filter(is_theirs).ok_or_else(|| AccountError::Taken(name.clone()))
}

fn joined(groups: &[GroupName]) -> String {
    groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
