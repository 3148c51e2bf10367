//! `/device`: where a person types in the code that a device shows, sees who asks for what, and decides (RFC 8628
//! section 3.3). A code in the address only fills in the field: the person still compares it and says yes.

use crate::answer::{self, Answer, page};
use crate::consent::identified;
use crate::input;
use crate::sign_in::{self, Visitor, Who, with_retry};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::StatusCode;
use portunus_oauth::device::{self, Asked};
use portunus_oauth::form::Form;

const WRONG: &str =
    "No device waits with this code. Compare it with what the device shows; it may have ended.";

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    site: &'a str,
    who: Who,
    csrf: String,
    code: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "device_consent.html")]
struct ConsentPage<'a> {
    site: &'a str,
    who: Who,
    csrf: String,
    code: &'a str,
    client: &'a str,
    identified: String,
    server: &'a str,
    environment: &'a str,
    purpose: &'a str,
    owner: &'a str,
    days: u64,
}

/// `GET /device`
pub(crate) async fn ask(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let query = Form::parse(head.query.as_bytes()).unwrap_or_default();
    let code = device::read_code(query.get("user_code").unwrap_or_default()).unwrap_or_default();
    let next = format!("/device?user_code={code}");
    let purpose = Some("to let a device in that shows you a code.");
    let visitor = sign_in::admit(&state, &head.headers, &next, purpose).await?;
    Ok(show_form(&state, &visitor, &code, None, StatusCode::OK))
}

/// `POST /device`: a code, and with it perhaps a decision.
pub(crate) async fn decide(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, "/device?user_code=", None).await?;
    let (user, typed) = (&visitor.signed_in.user, form.get("user_code").unwrap_or_default());
    let decision = form.get("decision");
    if decision.is_none() {
        visitor.check(&state, &form, "device code")?;
    }
    if let Err(too_many) = state.device_guesses().attempt(user, head.peer, state.now()) {
        let text = too_many.to_string();
        let page = show_form(&state, &visitor, "", Some(&text), StatusCode::TOO_MANY_REQUESTS);
        return Ok(with_retry(page, &too_many));
    }
    let found = device::look_up(&state.ports(), &state.issuer(), typed).await;
    let Some(asked) = found.map_err(answer::store_trouble(&state))? else {
        return Ok(show_form(&state, &visitor, "", Some(WRONG), StatusCode::NOT_FOUND));
    };
    state.device_guesses().give_back(user, head.peer);
    let allow = match decision {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Ok(show_consent(&state, &visitor, &asked)),
    };
    visitor.check(&state, &form, &purpose(&asked))?;
    let sign_in = &visitor.signed_in.session.sign_in;
    device::decide(&state.ports(), asked, user, sign_in, allow)
        .await
        .map_err(|error| answer::oauth_page(&state, &error))?;
    let (title, text) = if allow {
        ("The device is let in", "It goes on by itself in a moment. You can take this back on your own page.")
    } else {
        ("The device is not let in", "It was told so.")
    };
    Err(answer::message(&state, StatusCode::OK, title, text, None))
}

/// A form made for one device is good for no other one.
fn purpose(asked: &Asked) -> String {
    format!("device {}", asked.digest())
}

fn show_form(
    state: &State,
    visitor: &Visitor,
    code: &str,
    problem: Option<&str>,
    status: StatusCode,
) -> Response {
    let issuer = state.issuer();
    let (site, csrf) = (answer::site(issuer.as_str()), visitor.proof("device code"));
    page(status, &CodePage { site, who: visitor.who(), csrf, code, problem })
}

fn show_consent(state: &State, visitor: &Visitor, asked: &Asked) -> Response {
    let issuer = state.issuer();
    let template = ConsentPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        csrf: visitor.proof(&purpose(asked)),
        code: &asked.code,
        client: &asked.client.name,
        identified: identified(&asked.client),
        server: &asked.server.title,
        environment: &asked.server.environment,
        purpose: &asked.server.purpose,
        owner: &asked.server.owner,
        days: crate::consent::days(&issuer),
    };
    page(StatusCode::OK, &template)
}
