//! The identity providers of the configuration, and which of them may speak for whom.

use portunus_core::id::GroupName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::collections::HashSet;
use std::sync::Arc;
use url::{Host, Url};

/// One identity provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its short name in addresses and records.
    pub id: String,
    /// What people see.
    pub name: String,
    /// Its issuer identifier, byte for byte as its tokens have it.
    pub issuer: String,
    /// What it knows us as.
    pub client_id: String,
    /// What we prove that with; `None`: PKCE alone.
    pub client_secret: Option<Secret<String>>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that lists groups; `None`: its users are in no group.
    pub groups_claim: Option<String>,
    /// The groups that count of those; `None`: all, which only a provider alone may have.
    pub groups: Option<Vec<GroupName>>,
    /// The claim that becomes the user name; `None`: the verified e-mail address.
    pub user_claim: Option<String>,
    /// The e-mail domains it may speak for, in lower case; none: all that no other provider lists.
    pub domains: Vec<String>,
    /// What a back-channel logout ends.
    pub backchannel_logout: Ends,
    /// The path that it sends browsers back to.
    pub callback: String,
}

/// What a back-channel logout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ends {
    /// The browser sessions that came of it.
    #[default]
    Sessions,
    /// These, and every grant that the user gave while signed in with that provider.
    Grants,
}

/// Why providers cannot be used as they are configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// Not an issuer.
    #[error(
        "issuer `{0}` must be an https URL without query, fragment or user name (http:// is for loopback only)"
    )]
    Issuer(String),
    /// Two with one short name or issuer.
    #[error("two providers have the id or issuer `{0}`")]
    Twice(String),
    /// An e-mail domain of two.
    #[error("two providers list the domain `{0}`")]
    Domain(String),
    /// Not a domain.
    #[error("`{0}` is not an e-mail domain such as example.com, in lower case")]
    NotADomain(String),
    /// More than one that may speak for any domain.
    #[error("`{0}` and another provider have no `domains`: at most one may speak for all the rest")]
    Undivided(String),
    /// Groups of several are one name space for policies.
    #[error(
        "`{0}` has a groups_claim and is not alone: list its `groups:`, or it could put its users in any group"
    )]
    AnyGroup(String),
    /// More than [`limits::PROVIDERS`].
    #[error("there are more than {} providers", limits::PROVIDERS)]
    TooMany,
}

/// The providers, each with a part of the people to speak for.
#[derive(Debug, Clone, Default)]
pub struct Providers(Arc<[Provider]>);

impl Providers {
    /// Checks that no two of them speak for the same people.
    ///
    /// # Errors
    /// See [`InvalidProvider`].
    pub fn new(providers: Vec<Provider>) -> Result<Self, InvalidProvider> {
        if providers.len() > limits::PROVIDERS {
            return Err(InvalidProvider::TooMany);
        }
        let (mut names, mut domains, mut undivided) = (HashSet::new(), HashSet::new(), false);
        let any_group = |provider: &&Provider| provider.groups_claim.is_some() && provider.groups.is_none();
        if let Some(provider) = providers.iter().find(any_group).filter(|_| providers.len() > 1) {
            return Err(InvalidProvider::AnyGroup(provider.id.clone()));
        }
        for provider in &providers {
            issuer_url(&provider.issuer)?;
            for name in [&provider.id, &provider.issuer] {
                if !names.insert(name.clone()) {
                    return Err(InvalidProvider::Twice(name.clone()));
                }
            }
            for domain in &provider.domains {
                if !is_domain(domain) {
                    return Err(InvalidProvider::NotADomain(domain.clone()));
                }
                if !domains.insert(domain.clone()) {
                    return Err(InvalidProvider::Domain(domain.clone()));
                }
            }
            if provider.domains.is_empty() && std::mem::replace(&mut undivided, true) {
                return Err(InvalidProvider::Undivided(provider.id.clone()));
            }
        }
        Ok(Self(providers.into()))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Provider] {
        &self.0
    }

    /// The one with this short name.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.id == id)
    }

    /// The one with this issuer.
    #[must_use]
    pub fn with_issuer(&self, issuer: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.issuer == issuer)
    }

    /// The one that speaks for an e-mail address, if any does.
    #[must_use]
    pub fn for_email(&self, email: &str) -> Option<&Provider> {
        let domain = domain_of(email)?;
        let lists = |provider: &&Provider| provider.domains.contains(&domain);
        self.0.iter().find(lists).or_else(|| self.0.iter().find(|provider| provider.domains.is_empty()))
    }

    /// Whether a provider may speak for an e-mail address.
    #[must_use]
    pub fn may_speak_for(&self, provider: &Provider, email: &str) -> bool {
        self.for_email(email).is_some_and(|speaker| speaker.id == provider.id)
    }
}

/// The part after the one `@`, in lower case.
fn domain_of(email: &str) -> Option<String> {
    let (name, domain) = email.split_once('@')?;
    let domain = domain.to_ascii_lowercase();
    (!name.is_empty() && is_domain(&domain)).then_some(domain)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

/// An issuer identifier as a URL (OpenID Connect Discovery section 4.1).
pub(crate) fn issuer_url(issuer: &str) -> Result<Url, InvalidProvider> {
    let bad = || InvalidProvider::Issuer(issuer.to_owned());
    let url = Url::parse(issuer).map_err(|_| bad())?;
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let allowed = url.scheme() == "https" || is_loopback_http(&url);
    if plain && allowed && issuer.bytes().all(|b| b.is_ascii_graphic()) { Ok(url) } else { Err(bad()) }
}

/// `http` to this machine itself: for tests and for providers behind a proxy beside us.
pub(crate) fn is_loopback_http(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && loopback
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::testing::provider;

    #[test]
    fn people_are_divided_between_providers_by_domain() {
        let mut one = provider("one", "https://one.example");
        one.domains = vec!["one.example".to_owned(), "both.example".to_owned()];
        let mut rest = provider("rest", "https://rest.example");
        (one.groups, rest.groups) = (Some(vec![]), Some(vec![]));
        let providers = Providers::new(vec![rest.clone(), one.clone()]).unwrap();
        let speaker = |email: &str| providers.for_email(email).map(|provider| provider.id.as_str());
        assert_eq!(speaker("ana@one.example"), Some("one"));
        assert_eq!(speaker("ANA@One.Example"), Some("one"));
        assert_eq!(speaker("ana@elsewhere.example"), Some("rest"));
        assert_eq!(speaker("ana@sub.one.example"), Some("rest"));
        for nobody in [
            "ana",
            "ana@",
            "@one.example",
            "ana@one.example@rest.example",
            "ana@one..example",
            "ana@ one.example",
        ] {
            assert_eq!(speaker(nobody), None, "{nobody}");
        }
        assert!(!providers.may_speak_for(&rest, "ana@one.example"), "listed by another");
        assert!(!providers.may_speak_for(&one, "ana@rest.example"), "not listed");
        let alone = Providers::new(vec![one]).unwrap();
        assert!(alone.for_email("ana@elsewhere.example").is_none());
    }

    #[test]
    fn providers_that_could_be_taken_for_each_other_are_refused() {
        let listing = |id: &str, issuer: &str, domain: &str| {
            let mut provider = provider(id, issuer);
            provider.domains = vec![domain.to_owned()];
            provider.groups = Some(vec![]);
            provider
        };
        let refused = |providers: Vec<Provider>| Providers::new(providers).unwrap_err().to_string();
        let a = || listing("a", "https://a.example", "a.example");
        assert!(refused(vec![a(), listing("a", "https://b.example", "b.example")]).contains("two providers"));
        assert!(refused(vec![a(), listing("b", "https://a.example", "b.example")]).contains("two providers"));
        assert!(refused(vec![a(), listing("b", "https://b.example", "a.example")]).contains("the domain"));
        assert!(
            refused(vec![listing("a", "https://a.example", "A.example")]).contains("not an e-mail domain")
        );
        let any_group = Provider { groups: None, ..listing("b", "https://b.example", "b.example") };
        assert!(refused(vec![a(), any_group.clone()]).contains("`b` has a groups_claim"));
        let no_groups = Provider { groups_claim: None, ..any_group.clone() };
        assert!(Providers::new(vec![a(), no_groups]).is_ok() && Providers::new(vec![any_group]).is_ok());
        let rest =
            |id: &str| Provider { domains: vec![], ..listing(id, &format!("https://{id}.example"), "") };
        let undivided = vec![rest("a"), rest("b")];
        assert!(refused(undivided).contains("at most one"));
        for issuer in [
            "http://a.example",
            "https://a.example/?q",
            "https://a.example#f",
            "https://u@a.example",
            "a.example",
            "ftp://a.example",
        ] {
            assert!(refused(vec![provider("a", issuer)]).contains("must be an https URL"), "{issuer}");
        }
        assert!(Providers::new(vec![provider("a", "http://127.0.0.1:4000/realms/x")]).is_ok());
    }
}
