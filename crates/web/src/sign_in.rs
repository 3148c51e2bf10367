//! Signing in and out, changing the password, and the gate before every page.

mod form;

use crate::answer::{self, Answer, Refusal, page as render, see_other, with_cookie};
use crate::cookies;
use crate::federation;
use crate::input;
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
pub(crate) use form::SignInForm;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_oauth::csrf;
use portunus_oauth::form::Form;
use portunus_oauth::login::{self, Proven, SignInError};
use portunus_oauth::password::{self, PasswordError};
use portunus_oauth::ports::Trouble;
use portunus_oauth::session::{self, SignedIn};
use portunus_oauth::throttle::{Key, TooMany};
use portunus_oauth::users::{self, UserError};

const HOME: &str = "/console/";

/// A browser that is signed in.
pub(crate) struct Visitor {
    pub(crate) signed_in: SignedIn,
    cookie: Secret<String>,
}

/// What every page of a signed-in visitor shows.
pub(crate) struct Who {
    pub(crate) user: String,
    pub(crate) logout: String,
}

impl Visitor {
    /// The proof for one of this visitor's forms.
    pub(crate) fn proof(&self, purpose: &str) -> String {
        csrf::proof(self.cookie.expose(), purpose)
    }
    /// Checks the proof of a form.
    pub(crate) fn check(&self, state: &State, form: &Form, purpose: &str) -> Result<(), Refusal> {
        let proven = csrf::is_proven(self.cookie.expose(), purpose, form.get("csrf").unwrap_or_default());
        if proven { Ok(()) } else { Err(answer::stale_form(state)) }
    }
    /// What challenges to this browser are made from.
    pub(crate) fn cookie(&self) -> &str {
        self.cookie.expose()
    }
    pub(crate) fn who(&self) -> Who {
        Who { user: self.signed_in.user.name.to_string(), logout: self.proof("logout") }
    }
    pub(crate) fn name(&self) -> &str {
        self.signed_in.user.name.as_str()
    }
}

/// The visitor of this request, if the browser is signed in.
pub(crate) async fn visitor(state: &State, headers: &HeaderMap) -> Result<Option<Visitor>, Refusal> {
    let Some(cookie) = cookies::find(headers, cookies::SESSION) else { return Ok(None) };
    let resolved = session::resolve(state.store(), state.now(), cookie).await;
    let signed_in = resolved.map_err(answer::store_trouble(state))?;
    // Who may no longer sign in that way, at a provider that is gone or with a password, is no longer signed in either.
    let login = state.login();
    let signed_in = signed_in.filter(|signed_in| match &signed_in.session.sign_in.issuer {
        Some(issuer) => login.with_issuer(issuer).is_some(),
        None => login.local,
    });
    Ok(signed_in.map(|signed_in| Visitor { signed_in, cookie: Secret::new(cookie.to_owned()) }))
}

/// The visitor of this request, fully signed in. Otherwise the answer is the page to pass first, which leads on to
/// `next`; `purpose` says there what signing in is for.
pub(crate) async fn admit(
    state: &State,
    headers: &HeaderMap,
    next: &str,
    purpose: Option<&str>,
) -> Result<Visitor, Refusal> {
    match visitor(state, headers).await? {
        None => {
            let form = SignInForm { next, purpose, problem: None, username: "" };
            Err(Refusal::new(form.show(state, headers, StatusCode::OK)))
        }
        Some(visitor) if visitor.signed_in.must_change_password() => {
            Err(Refusal::new(password_form(state, &visitor, next, None, StatusCode::OK)))
        }
        Some(visitor) => Ok(visitor),
    }
}

/// The page to sign in at once more, for somebody whose sign-in is too old or too weak for what is asked.
pub(crate) fn again(state: &State, headers: &HeaderMap, next: &str, purpose: &str) -> Response {
    let form = SignInForm { next, purpose: Some(purpose), problem: None, username: "" };
    form.show(state, headers, StatusCode::OK)
}

/// `GET /login`
pub(crate) async fn page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    admit(&state, &head.headers, HOME, None).await?;
    Ok(see_other(HOME))
}

/// `POST /login`
pub(crate) async fn sign_in(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    check_tied(&state, &head.headers, &form)?;
    if !state.login().local {
        return Err(no_local_accounts(&state));
    }
    let next = local_path(form.get("next"));
    let (name, password) =
        (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
    let refuse = |problem: &str, status| {
        let form = SignInForm { next, purpose: None, problem: Some(problem), username: name };
        form.show(&state, &head.headers, status)
    };
    let keys = [Key::address(head.peer), Key::user(name)];
    if let Err(too_many) = attempt(&state, &keys) {
        return Ok(with_retry(refuse(&too_many.to_string(), StatusCode::TOO_MANY_REQUESTS), &too_many));
    }
    let proven = match prove(&state, name, password).await {
        Ok(proven) => proven,
        Err(SignInError::Wrong) => return Ok(refuse(&SignInError::Wrong.to_string(), StatusCode::FORBIDDEN)),
        Err(SignInError::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
    };
    give_back(&state, &keys);
    begin_session(&state, &head.headers, proven, None, see_other(next)).await
}

/// The sign-in form came from this browser.
pub(crate) fn check_tied(state: &State, headers: &HeaderMap, form: &Form) -> Result<(), Refusal> {
    let tied = cookies::find(headers, cookies::FORM)
        .is_some_and(|cookie| csrf::is_proven(cookie, "sign in", form.get("csrf").unwrap_or_default()));
    if tied { Ok(()) } else { Err(answer::stale_form(state)) }
}

/// Signs the browser in: whatever session it had ends; the new one was never known to anybody else.
pub(crate) async fn begin_session(
    state: &State,
    headers: &HeaderMap,
    proven: Proven,
    sid: Option<String>,
    response: Response,
) -> Answer {
    let trouble = |trouble| answer::trouble(state, &trouble);
    if let Some(old) = cookies::find(headers, cookies::SESSION) {
        session::end(&state.ports(), old).await.map_err(trouble)?;
    }
    let started = session::start(&state.ports(), &proven.user.name, proven.sign_in, sid).await;
    let cookie = started.map_err(trouble)?;
    let response = with_cookie(response, cookies::session(cookie.expose()));
    Ok(with_cookie(response, cookies::forget(cookies::FORM)))
}

fn no_local_accounts(state: &State) -> Refusal {
    let text = "Accounts of this site itself cannot sign in here; sign in with your organisation.";
    answer::message(state, StatusCode::FORBIDDEN, "This is not possible here", text, None)
}

/// `POST /logout`
pub(crate) async fn sign_out(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let mut response = see_other("/login");
    if let Some(visitor) = visitor(&state, &head.headers).await? {
        visitor.check(&state, &form, "logout")?;
        session::end(&state.ports(), visitor.cookie.expose())
            .await
            .map_err(|trouble| answer::trouble(&state, &trouble))?;
        let sign_in = &visitor.signed_in.session.sign_in;
        response = federation::logout::elsewhere_too(&state, sign_in).await.unwrap_or(response);
    }
    Ok(with_cookie(response, cookies::forget(cookies::SESSION)))
}

/// `GET /account/password`
pub(crate) async fn password_page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = admit(&state, &head.headers, "/account/password", None).await?;
    if visitor.signed_in.user.issuer.is_some() {
        return Err(no_password(&state));
    }
    Ok(password_form(&state, &visitor, HOME, None, StatusCode::OK))
}

/// `POST /account/password`
pub(crate) async fn change_password(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let next = local_path(form.get("next"));
    let Some(visitor) = visitor(&state, &head.headers).await? else { return Ok(see_other("/login")) };
    visitor.check(&state, &form, "password")?;
    if visitor.signed_in.user.issuer.is_some() {
        return Err(no_password(&state));
    }
    let refuse = |problem: &str, status| password_form(&state, &visitor, next, Some(problem), status);
    let text = |name| form.get(name).unwrap_or_default().to_owned();
    let (current, chosen) = (text("current_password"), text("new_password"));
    if let Err(problem) = acceptable(&visitor, &current, &chosen, &text("repeat_password")) {
        return Ok(refuse(&problem, StatusCode::UNPROCESSABLE_ENTITY));
    }
    let keys = [Key::address(head.peer), Key::user(visitor.name())];
    if let Err(too_many) = attempt(&state, &keys) {
        return Ok(with_retry(refuse(&too_many.to_string(), StatusCode::TOO_MANY_REQUESTS), &too_many));
    }
    let known = visitor.signed_in.user.password_hash.clone();
    let rng = state.rng();
    let hashed = state
        .hashing(move || {
            let right = password::verify(known.as_deref(), &current);
            right.then(|| password::hash(&chosen, &*rng))
        })
        .await;
    let hash = match hashed {
        Some(Some(Ok(hash))) => hash,
        Some(None) => return Ok(refuse("Your present password is not right.", StatusCode::FORBIDDEN)),
        Some(Some(Err(_))) | None => return Err(answer::trouble(&state, &Trouble::Busy)),
    };
    give_back(&state, &keys);
    // Every session ends, this one too: what somebody else may have opened with the old password is closed.
    let name = &visitor.signed_in.user.name;
    users::set_password(&state.ports(), name, hash).await.map_err(|error| match error {
        UserError::Trouble(trouble) => answer::trouble(&state, &trouble),
        _ => answer::stale_form(&state),
    })?;
    let sign_in = visitor.signed_in.session.sign_in.clone();
    let cookie = session::start(&state.ports(), name, sign_in, visitor.signed_in.session.sid.clone())
        .await
        .map_err(|trouble| answer::trouble(&state, &trouble))?;
    Ok(with_cookie(see_other(next), cookies::session(cookie.expose())))
}

/// Nobody can give a password to an account that an identity provider vouches for.
fn no_password(state: &State) -> Refusal {
    let text = "You sign in with your organisation; your password is kept, and changed, there.";
    answer::message(state, StatusCode::NOT_FOUND, "You have no password here", text, None)
}

async fn prove(state: &State, name: &str, password: &str) -> Result<Proven, SignInError> {
    let candidate = login::begin(state.store(), name).await.map_err(Trouble::from)?;
    let password = Secret::new(password.to_owned());
    let verified = state.hashing(move || candidate.verify(password.expose())).await.ok_or(Trouble::Busy)?;
    login::finish(&state.ports(), verified).await
}

fn acceptable(visitor: &Visitor, current: &str, chosen: &str, repeated: &str) -> Result<(), String> {
    if chosen != repeated {
        return Err("The two new passwords are not the same.".to_owned());
    }
    if chosen == current {
        return Err(sentence(&PasswordError::Unchanged));
    }
    password::check(chosen, visitor.name()).map_err(|error| sentence(&error))
}

fn sentence(error: &PasswordError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

pub(crate) fn attempt(state: &State, keys: &[Key]) -> Result<(), TooMany> {
    let now = state.now();
    let mut throttle = state.sign_ins();
    keys.iter().try_for_each(|key| throttle.attempt(*key, now))
}

pub(crate) fn give_back(state: &State, keys: &[Key]) {
    let mut throttle = state.sign_ins();
    keys.iter().for_each(|key| throttle.give_back(*key));
}

pub(crate) fn with_retry(mut response: Response, too_many: &TooMany) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_many.0.as_secs().max(1)));
    response
}

/// Where to go on: only our own pages that need a sign-in; anything else leads home.
pub(crate) fn local_path(next: Option<&str>) -> &str {
    let known = |path: &&str| {
        let visible =
            path.len() <= limits::TARGET_BYTES && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let asking = path.starts_with("/oauth/authorize?") || path.starts_with("/device?user_code=");
        let ours = [
            HOME,
            "/console/clients",
            "/account/password",
            "/account/passkeys",
            "/approvals",
            "/connections",
        ];
        let call = path.strip_prefix("/approvals/").is_some_and(|id| Id::parse(id).is_ok());
        let server = path.strip_prefix("/connections/").is_some_and(|name| ServerName::parse(name).is_ok());
        visible && (asking || ours.contains(path) || call || server)
    };
    next.filter(known).unwrap_or(HOME)
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    site: &'a str,
    who: Who,
    csrf: String,
    next: &'a str,
    forced: bool,
    problem: Option<&'a str>,
    fewest: usize,
}

fn password_form(
    state: &State,
    visitor: &Visitor,
    next: &str,
    problem: Option<&str>,
    status: StatusCode,
) -> Response {
    let issuer = state.issuer();
    let template = PasswordPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        csrf: visitor.proof("password"),
        next,
        forced: visitor.signed_in.must_change_password(),
        problem,
        fewest: limits::PASSWORD_BYTES.0,
    };
    render(status, &template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_our_own_pages_only() {
        for good in [
            "/oauth/authorize?client_id=x&y=%2F",
            "/console/",
            "/account/password",
            "/device?user_code=B",
            "/approvals",
            "/approvals/apr_00000000000000000000000000",
            "/connections",
            "/connections/notes",
        ] {
            assert_eq!(local_path(Some(good)), good);
        }
        for bad in [
            "//evil.test/",
            "https://evil.test/oauth/authorize?",
            "/\\evil.test",
            "/oauth/authorize/../x?",
            "/oauth/authorize",
            "/oauth/authorize?\\evil",
            "/oauth/authorize?a b",
            "/oauth/authorize?\r\nSet-Cookie:x",
            "/console/../logout",
            "/console/?x",
            "javascript:alert(1)",
            "/logout",
            "/device/../logout",
            "/device?next=/x",
            "/approvals/",
            "/approvals/../logout",
            "/connections/",
            "/connections/../logout",
            "/connections/notes/x",
            "/approvals/apr_00000000000000000000000000/decision",
        ] {
            assert_eq!(local_path(Some(bad)), HOME, "{bad}");
        }
        assert_eq!(local_path(None), HOME);
    }
}
