//! Sending a browser to an identity provider.

use super::Login;
use super::party::Party;
use crate::answer::{Answer, see_other, with_cookie};
use crate::cookies;
use crate::input;
use crate::sign_in::{self, SignInForm};
use crate::state::State;
use axum::extract::{Request, State as Shared};
use http::{HeaderMap, HeaderValue, StatusCode};
use portunus_core::limits;
use portunus_oauth::federation::attempt::Attempt;
use portunus_oauth::form::Form;
use std::sync::Arc;

/// `POST /login/oidc/start`
pub(crate) async fn start(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    sign_in::check_tied(&state, &head.headers, &form)?;
    let next = sign_in::local_path(form.get("next"));
    let login = state.login();
    let refuse = |problem: &str, status| {
        let page = SignInForm { next, purpose: None, problem: Some(problem), username: "" };
        Ok(page.show(&state, &head.headers, status))
    };
    let Some(party) = chosen(&login, &form) else {
        let problem =
            "There is no sign-in for this e-mail address here. Check its spelling, or ask an administrator.";
        return refuse(problem, StatusCode::UNPROCESSABLE_ENTITY);
    };
    let provider = party.provider();
    let metadata = match party.metadata(state.now(), limits::PROVIDER_UP).await {
        Ok(metadata) => metadata,
        Err(_logged) => {
            return refuse(&is_down(&provider.name, login.local), StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let Some(attempt) = Attempt::begin(provider, next, state.now(), &*state.rng()) else {
        return refuse("The request you came with is too long to sign in with.", StatusCode::URI_TOO_LONG);
    };
    let callback = state.issuer().endpoint(&provider.callback);
    let location = attempt.location(provider, &metadata, &callback, form.get("email"));
    let mut response =
        with_cookie(see_other(&location), cookies::attempt(attempt.label(), &attempt.to_cookie()));
    for superfluous in superfluous(&head.headers) {
        response = with_cookie(response, superfluous);
    }
    Ok(response)
}

/// The provider whose button was pressed, or that speaks for the address that was typed.
fn chosen<'a>(login: &'a Login, form: &Form) -> Option<&'a Arc<Party>> {
    match form.get("provider") {
        Some(id) => login.with_id(id),
        None => login.for_email(form.get("email")?.trim()),
    }
}

/// What people read when a provider cannot be used.
pub(crate) fn is_down(name: &str, local: bool) -> String {
    let else_way = if local { " Accounts of this site itself still work." } else { "" };
    format!(
        "{name} cannot be reached just now. Try again in a moment; what is connected stays connected.{else_way}"
    )
}

/// Cookies of earlier attempts that make way for a new one.
fn superfluous(headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    let open = cookies::names_with_prefix(headers, cookies::ATTEMPT);
    if open.len() < limits::ATTEMPTS_PER_BROWSER {
        return Vec::new();
    }
    open.iter().map(|name| cookies::forget(name)).collect()
}
