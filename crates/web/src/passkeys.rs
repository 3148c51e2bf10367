//! Passkeys: the user's own page of them, and signing in with one. The one script of ours is served here; everything else
//! works without it.

use crate::answer::{self, Answer, asset, moment, page as render, see_other};
use crate::cookies;
use crate::headers;
use crate::input;
use crate::sign_in::{self, SignInForm, Visitor, Who, local_path};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::{StatusCode, header};
use portunus_core::document::Passkey;
use portunus_core::secret::Secret;
use portunus_oauth::form::Form;
use portunus_oauth::passkey::ceremony::{Challenge, Site};
use portunus_oauth::passkey::{self, Assertion, PasskeyError, Registration};
use portunus_oauth::password;
use portunus_oauth::throttle::Key;
use url::{Host, Url};

const HOME: &str = "/account/passkeys";
/// What the challenge of a sign-in is for.
pub(crate) const SIGN_IN: &str = "passkey sign in";
const REGISTER: &str = "passkey registration";

#[derive(Template)]
#[template(path = "passkeys.html")]
struct PasskeysPage<'a> {
    site: &'a str,
    who: Who,
    csrf: String,
    challenge: String,
    rp_id: &'a str,
    handle: String,
    display_name: &'a str,
    exclude: String,
    notice: Option<&'a str>,
    problem: Option<&'a str>,
    passkeys: Vec<PasskeyRow>,
}

struct PasskeyRow {
    id: String,
    name: String,
    since: String,
    used: Option<String>,
    synced: bool,
}

/// Where passkeys of this site belong; `None` for a site without a name, which has none.
pub(crate) fn rp_id(origin: &str) -> Option<String> {
    match Url::parse(origin).ok()?.host()? {
        Host::Domain(name) => Some(name.to_owned()),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/passkey.js"))
}

/// `GET /account/passkeys`
pub(crate) async fn page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    show(&state, &visitor, None, None, StatusCode::OK).await
}

/// `POST /account/passkeys`: adds one. The password is asked for: who finds an open browser must not be able to stay.
pub(crate) async fn add(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    visitor.check(&state, &form, "passkeys")?;
    let refuse = async |problem: &str, status| show(&state, &visitor, None, Some(problem), status).await;
    let keys = [Key::address(head.peer), Key::user(visitor.name())];
    if let Err(too_many) = sign_in::attempt(&state, &keys) {
        return refuse(&format!("There were {too_many}."), StatusCode::TOO_MANY_REQUESTS).await;
    }
    let known = visitor.signed_in.user.password_hash.clone();
    let typed = Secret::new(form.get("current_password").unwrap_or_default().to_owned());
    let right = state.hashing(move || password::verify(known.as_deref(), typed.expose())).await;
    if right != Some(true) {
        return refuse("Your password is not right.", StatusCode::FORBIDDEN).await;
    }
    sign_in::give_back(&state, &keys);
    let issuer = state.issuer();
    let Some(rp_id) = rp_id(issuer.as_str()) else {
        return refuse("This site has no name, so it can have no passkeys.", StatusCode::NOT_FOUND).await;
    };
    let site = Site { origin: issuer.as_str(), rp_id: &rp_id };
    let text = |name| form.get(name).unwrap_or_default();
    let registration = Registration {
        name: text("name"),
        client_data: text("client_data"),
        attestation: text("attestation"),
    };
    let challenge = Challenge { key: state.challenges(), cookie: visitor.cookie(), purpose: REGISTER };
    let user = &visitor.signed_in.user;
    match passkey::register(&state.ports(), &site, &challenge, user, &registration).await {
        Ok(added) => {
            let notice = format!("“{}” can sign you in from now on.", added.name);
            show(&state, &visitor, Some(&notice), None, StatusCode::OK).await
        }
        Err(PasskeyError::Trouble(trouble)) => Err(answer::trouble(&state, &trouble)),
        Err(error) => refuse(&sentence(&error), StatusCode::UNPROCESSABLE_ENTITY).await,
    }
}

/// `POST /account/passkeys/remove`
pub(crate) async fn remove(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    visitor.check(&state, &form, "passkeys")?;
    let id = form.get("passkey").unwrap_or("-");
    let removed = passkey::remove(&state.ports(), &visitor.signed_in.user.name, id).await;
    let notice = match removed.map_err(|trouble| answer::trouble(&state, &trouble))? {
        true => "Removed. It can sign nobody in any more.",
        false => "There is no such passkey.",
    };
    show(&state, &visitor, Some(notice), None, StatusCode::OK).await
}

/// `POST /login/passkey`
pub(crate) async fn sign_in(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    sign_in::check_tied(&state, &head.headers, &form)?;
    let next = local_path(form.get("next"));
    let refuse = |problem: &str, status| {
        let page = SignInForm { next, purpose: None, problem: Some(problem), username: "" };
        Ok(page.show(&state, &head.headers, status))
    };
    let issuer = state.issuer();
    let Some(rp_id) = rp_id(issuer.as_str()).filter(|_| state.login().local) else {
        return refuse("Passkeys cannot be used here.", StatusCode::FORBIDDEN);
    };
    let keys = [Key::address(head.peer)];
    if let Err(too_many) = sign_in::attempt(&state, &keys) {
        return refuse(&format!("There were {too_many}."), StatusCode::TOO_MANY_REQUESTS);
    }
    let cookie = cookies::find(&head.headers, cookies::FORM).unwrap_or_default();
    let site = Site { origin: issuer.as_str(), rp_id: &rp_id };
    let challenge = Challenge { key: state.challenges(), cookie, purpose: SIGN_IN };
    match passkey::sign_in(&state.ports(), &site, &challenge, &assertion(&form)).await {
        Ok(proven) => {
            sign_in::give_back(&state, &keys);
            sign_in::begin_session(&state, &head.headers, proven, None, see_other(next)).await
        }
        Err(PasskeyError::Trouble(trouble)) => Err(answer::trouble(&state, &trouble)),
        Err(error) => refuse(&sentence(&error), StatusCode::FORBIDDEN),
    }
}

fn assertion(form: &Form) -> Assertion<'_> {
    let text = |name| form.get(name).unwrap_or_default();
    Assertion {
        id: text("id"),
        client_data: text("client_data"),
        authenticator_data: text("authenticator_data"),
        signature: text("signature"),
        user_handle: text("user_handle"),
    }
}

fn sentence(error: &PasskeyError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

async fn show(
    state: &State,
    visitor: &Visitor,
    notice: Option<&str>,
    problem: Option<&str>,
    status: StatusCode,
) -> Answer {
    let issuer = state.issuer();
    let user = &visitor.signed_in.user;
    let Some(rp_id) = rp_id(issuer.as_str()).filter(|_| user.issuer.is_none()) else {
        let text = "Passkeys are for accounts of this site itself, on a site that has a name.";
        return Err(answer::message(
            state,
            StatusCode::NOT_FOUND,
            "You can have no passkeys here",
            text,
            None,
        ));
    };
    let mut passkeys =
        passkey::of_user(state.store(), &user.name).await.map_err(answer::store_trouble(state))?;
    passkeys.sort_by_key(|passkey| passkey.created_at);
    let ids: Vec<&str> = passkeys.iter().map(|passkey| passkey.id.as_str()).collect();
    let challenge = Challenge { key: state.challenges(), cookie: visitor.cookie(), purpose: REGISTER };
    let template = PasskeysPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        csrf: visitor.proof("passkeys"),
        challenge: challenge.make(state.now(), &*state.rng()),
        rp_id: &rp_id,
        handle: data_encoding::BASE64URL_NOPAD.encode(&passkey::user_handle(user)),
        display_name: &user.display_name,
        exclude: ids.join(" "),
        notice,
        problem,
        passkeys: passkeys.iter().map(row).collect(),
    };
    let mut response = render(status, &template);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, headers::policy_with_script());
    Ok(response)
}

fn row(passkey: &Passkey) -> PasskeyRow {
    PasskeyRow {
        id: passkey.id.clone(),
        name: passkey.name.clone(),
        since: moment(passkey.created_at),
        used: passkey.used_at.map(moment),
        synced: passkey.synced,
    }
}
