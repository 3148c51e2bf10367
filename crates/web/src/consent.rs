//! The authorization endpoint: the request is checked, the user signs in, sees who asks for what, and decides. Consent
//! is asked for every time: a grant from before never answers for the user.

use crate::answer::{self, Answer, Refusal, page, see_other};
use crate::endpoints::Counted;
use crate::headers;
use crate::input;
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use http::{StatusCode, header};
use portunus_core::document::{Client, ClientSource};
use portunus_oauth::authorize::{self, Rejected};
use portunus_oauth::config::Issuer;
use portunus_oauth::redirect;
use std::net::IpAddr;

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    site: &'a str,
    who: Who,
    client: &'a str,
    identified: String,
    destination: String,
    local: bool,
    server: &'a str,
    environment: &'a str,
    purpose: &'a str,
    more: Vec<&'a str>,
    owner: &'a str,
    days: u64,
    csrf: String,
    request: &'a str,
}

/// `GET /oauth/authorize`
pub(crate) async fn ask(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let asked = read(&state, head.peer, &head.query).await?;
    let purpose = format!("to decide whether “{}” may use {}.", asked.client.name, asked.server.title);
    let next = format!("/oauth/authorize?{}", head.query);
    let visitor = sign_in::admit(&state, &head.headers, &next, Some(&purpose)).await?;
    if !asked.fresh.accepts(&visitor.signed_in.session, state.now()) {
        return Ok(sign_in::again(&state, &head.headers, &next, &purpose));
    }
    Ok(show(&state, &visitor, &asked, &head.query))
}

/// `POST /oauth/authorize`
pub(crate) async fn decide(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let query = form.get("request").unwrap_or_default();
    // Read anew, not remembered: nothing can change between what is checked and what is granted.
    let asked = read(&state, head.peer, query).await?;
    let next = format!("/oauth/authorize?{query}");
    let visitor = sign_in::admit(&state, &head.headers, &next, None).await?;
    visitor.check(&state, &form, &purpose(&asked))?;
    let (ports, issuer) = (state.ports(), state.issuer());
    let signed_in = &visitor.signed_in;
    let location = match form.get("decision") {
        Some("allow") => {
            authorize::approve(&ports, &issuer, &asked, &signed_in.user, &signed_in.session.sign_in).await
        }
        Some("deny") => authorize::deny(&ports, &issuer, &asked, &signed_in.user).await,
        _ => return Ok(show(&state, &visitor, &asked, query)),
    };
    let mut response = see_other(&location.map_err(|error| answer::oauth_page(&state, &error))?);
    // It holds the code: no log and no compression table may keep it.
    if let Some(location) = response.headers_mut().get_mut(header::LOCATION) {
        location.set_sensitive(true);
    }
    let source = redirect::form_action_source(&asked.redirect_uri);
    if let Some(policy) = headers::policy_with_destination(source.as_deref()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

fn show(
    state: &State,
    visitor: &Visitor,
    asked: &authorize::Request,
    query: &str,
) -> axum::response::Response {
    let issuer = state.issuer();
    let template = ConsentPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        client: &asked.client.name,
        identified: identified(&asked.client),
        destination: asked.destination(),
        local: redirect::is_local(&asked.redirect_uri),
        server: &asked.server.title,
        environment: &asked.server.environment,
        purpose: &asked.server.purpose,
        more: asked
            .scopes
            .iter()
            .filter_map(|scope| asked.server.scopes.get(scope))
            .map(String::as_str)
            .collect(),
        owner: &asked.server.owner,
        days: days(&issuer),
        csrf: visitor.proof(&purpose(asked)),
        request: query,
    };
    let mut response = page(StatusCode::OK, &template);
    let source = redirect::form_action_source(&asked.redirect_uri);
    if let Some(policy) = headers::policy_with_destination(source.as_deref()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Days for which a connection that is not used stays; at least one is said.
pub(crate) fn days(issuer: &Issuer) -> u64 {
    (issuer.lives().refresh.as_secs() / 86_400).max(1)
}

/// A form made for one request is good for no other one.
fn purpose(asked: &authorize::Request) -> String {
    format!("consent {}", asked.digest())
}

/// How far the client's name can be believed.
pub(crate) fn identified(client: &Client) -> String {
    match client.source {
        ClientSource::Dynamic => "It chose this name itself; nobody has checked it.".to_owned(),
        ClientSource::Document => format!("It is known by its address, {}.", client.client_id),
        ClientSource::Administrator | ClientSource::Configuration => {
            "It was entered by an administrator of this site.".to_owned()
        }
    }
}

/// The page for a client that is in order but new.
fn waiting(state: &State, client: &Client) -> Refusal {
    let text = format!(
        "“{}” ({}) is new here. An administrator of this site must approve it before anyone can use it.",
        client.name,
        identified(client)
    );
    let hint = "Ask them to look at “Clients” in the console, or at `portunus client list --pending`; then connect again.";
    answer::message(
        state,
        StatusCode::FORBIDDEN,
        "This client is waiting for an administrator",
        &text,
        Some(hint),
    )
}

async fn read(state: &State, peer: IpAddr, query: &str) -> Result<authorize::Request, Refusal> {
    let fetcher = Counted { state, peer };
    authorize::read(&state.ports(), &state.issuer(), &fetcher, query).await.map_err(|rejected| match rejected
    {
        Rejected::Page(error) => answer::oauth_page(state, &error),
        Rejected::Waiting(client) => waiting(state, &client),
        Rejected::Redirect { location, .. } => Refusal::new(see_other(&location)),
    })
}
