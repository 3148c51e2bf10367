//! The sign-in page: with an identity provider, with a password, or either.

use crate::answer::{self, page, with_cookie};
use crate::cookies;
use crate::federation::Login;
use crate::federation::start::is_down;
use crate::headers;
use crate::passkeys;
use crate::state::State;
use askama::Template;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portunus_oauth::csrf;
use portunus_oauth::passkey::ceremony::Challenge;
use url::Url;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    site: &'a str,
    csrf: String,
    next: &'a str,
    purpose: Option<&'a str>,
    problem: Option<&'a str>,
    username: &'a str,
    local: bool,
    /// The only provider: short name and name.
    provider: Option<(&'a str, &'a str)>,
    /// There are several, told apart by e-mail address.
    by_email: bool,
    down: Vec<String>,
    /// Where passkeys belong, and a challenge for them; `None`: they cannot be used.
    passkey: Option<(String, String)>,
}

pub(crate) struct SignInForm<'a> {
    pub(crate) next: &'a str,
    pub(crate) purpose: Option<&'a str>,
    pub(crate) problem: Option<&'a str>,
    pub(crate) username: &'a str,
}

impl SignInForm<'_> {
    pub(crate) fn show(&self, state: &State, headers: &HeaderMap, status: StatusCode) -> Response {
        let (cookie, set) = cookies::form_cookie(headers, &*state.rng());
        let (issuer, login) = (state.issuer(), state.login());
        let only = match login.parties() {
            [party] => Some(party.provider()),
            _ => None,
        };
        let troubled = login.parties().iter().filter(|party| party.problem().is_some());
        let down = troubled.map(|party| is_down(&party.provider().name, login.local)).collect();
        let challenge = Challenge { key: state.challenges(), cookie: &cookie, purpose: passkeys::SIGN_IN };
        let rp_id = passkeys::rp_id(issuer.as_str()).filter(|_| login.local);
        let template = SignInPage {
            passkey: rp_id.map(|rp_id| (rp_id, challenge.make(state.now(), &*state.rng()))),
            site: answer::site(issuer.as_str()),
            csrf: csrf::proof(&cookie, "sign in"),
            next: self.next,
            purpose: self.purpose,
            problem: self.problem,
            username: self.username,
            local: login.local,
            provider: only.map(|provider| (provider.id.as_str(), provider.name.as_str())),
            by_email: login.parties().len() > 1,
            down: if self.problem.is_some() { Vec::new() } else { down },
        };
        let mut policy = policy(&login);
        if template.passkey.is_some() {
            policy = match policy {
                Some(policy) => headers::with_script(&policy),
                None => Some(headers::policy_with_script()),
            };
        }
        let mut response = with_cookie(page(status, &template), set);
        if let Some(policy) = policy {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// The page's form leads to the providers.
fn policy(login: &Login) -> Option<HeaderValue> {
    let origin = |issuer: &str| Some(Url::parse(issuer).ok()?.origin().ascii_serialization());
    let plain = login.parties().iter().filter_map(|party| origin(&party.provider().issuer));
    let sources: Vec<String> = plain.filter(|origin| origin.starts_with("http:")).collect();
    if login.parties().is_empty() { None } else { headers::policy_with_destination(Some(&sources.join(" "))) }
}
