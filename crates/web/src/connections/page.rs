//! The pages. Everybody sees their own connections, and those that everybody shares; an administrator makes and ends the
//! latter.

use crate::answer::{self, Answer, Refusal, json, moment, page as render, see_other};
use crate::sign_in::{self, Visitor as Browser, Who};
use crate::state::State;
use crate::{headers, input};
use askama::Template;
use axum::extract::{Path, Request, State as Shared};
use http::{StatusCode, header};
use portunus_connections::consent::Visitor;
use portunus_connections::{ConnectError, Settings, Whose};
use portunus_core::document::{Connection, ConnectionState, TestOutcome, Tested};
use portunus_core::id::{ServerName, UserName};
use portunus_core::store::{StoreError, load};
use portunus_oauth::form::Form;
use portunus_oauth::throttle::Key;
use portunus_oauth::{ports::Trouble, text};
use url::Url;

const LIST: &str = "/connections";
const PURPOSE: &str = "to connect an account of yours elsewhere.";

#[derive(Template)]
#[template(path = "connections.html")]
struct ListPage<'a> {
    site: &'a str,
    who: Who,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct OnePage<'a> {
    site: &'a str,
    who: Who,
    notice: Option<Notice>,
    csrf: String,
    row: Row,
    /// Whether this visitor may connect and disconnect it.
    may: bool,
    /// Whether there is anything to disconnect.
    connected: bool,
}

struct Notice {
    text: String,
    bad: bool,
}

/// One connection, or the lack of one.
struct Row {
    server: String,
    title: String,
    shared: bool,
    state: &'static str,
    good: bool,
    why: Option<String>,
    issuer: Option<String>,
    scopes: String,
    wanted: String,
    since: Option<String>,
    renewed: Option<String>,
    ends: Option<String>,
}

/// `GET /connections`
pub(crate) async fn list(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let browser = sign_in::admit(&state, &head.headers, LIST, Some(PURPOSE)).await?;
    let mut rows = Vec::new();
    for settings in state.connections().servers() {
        let user = &browser.signed_in.user.name;
        let found = connection(&state, &settings, user).await.map_err(answer::store_trouble(&state))?;
        rows.push(row(&settings, found.as_ref()));
    }
    let issuer = state.issuer();
    let template = ListPage { site: answer::site(issuer.as_str()), who: browser.who(), rows };
    Ok(render(StatusCode::OK, &template))
}

/// How many servers are connected to by OAuth, and how many of them this user must still connect.
pub(crate) async fn counts(state: &State, user: &UserName) -> Result<(usize, usize), StoreError> {
    let servers = state.connections().servers();
    let mut lacking = 0;
    for settings in servers.iter().filter(|settings| settings.whose == Whose::User) {
        let found = connection(state, settings, user).await?;
        lacking += usize::from(!row(settings, found.as_ref()).good);
    }
    Ok((servers.len(), lacking))
}

/// `GET /connections/{server}`
pub(crate) async fn show(
    Shared(state): Shared<State>,
    Path(server): Path<String>,
    request: Request,
) -> Answer {
    let head = input::head(request);
    let name = ServerName::parse(&server).map_err(|_| nothing(&state))?;
    let browser = sign_in::admit(&state, &head.headers, &address(&name), Some(PURPOSE)).await?;
    let settings = state.connections().of(&name).ok_or_else(|| nothing(&state))?;
    show_one(&state, &browser, &settings, None, StatusCode::OK).await
}

/// `POST /connections/{server}`: connects or disconnects.
pub(crate) async fn act(
    Shared(state): Shared<State>,
    Path(server): Path<String>,
    request: Request,
) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let name = ServerName::parse(&server).map_err(|_| nothing(&state))?;
    let browser = sign_in::admit(&state, &head.headers, &address(&name), Some(PURPOSE)).await?;
    browser.check(&state, &form, &purpose(&name))?;
    let settings = state.connections().of(&name).ok_or_else(|| nothing(&state))?;
    match form.get("do") {
        Some("connect") => {
            // It makes us ask elsewhere: one person cannot make us ask without end.
            let attempted = state.registrations().attempt(Key::user(browser.name()), state.now());
            if let Err(too_many) = attempted {
                let text = format!("There were {too_many}.");
                return Err(answer::message(&state, StatusCode::TOO_MANY_REQUESTS, NOT_DONE, &text, None));
            }
            match state.connections().begin(&name, &visitor(&browser)).await {
                Ok(location) => Ok(see_other(location.as_str())),
                Err(error) => failed(&state, &browser, &settings, &error).await,
            }
        }
        // Always: there is one end to each connection that was made.
        Some("disconnect") => match state.connections().disconnect(&name, &visitor(&browser)).await {
            Ok(seen) => {
                let notice = Notice { bad: alarming(seen.as_ref()), text: said(seen.as_ref()) };
                show_one(&state, &browser, &settings, Some(notice), StatusCode::OK).await
            }
            Err(error) => failed(&state, &browser, &settings, &error).await,
        },
        _ => Err(answer::stale_form(&state)),
    }
}

/// `GET /oauth/callback/{server}`: a browser comes back from an authorization server.
pub(crate) async fn come_back(
    Shared(state): Shared<State>,
    Path(server): Path<String>,
    request: Request,
) -> Answer {
    let head = input::head(request);
    let name = ServerName::parse(&server).map_err(|_| nothing(&state))?;
    let browser = sign_in::visitor(&state, &head.headers).await?;
    let settings = state.connections().of(&name);
    let answer = Form::parse(head.query.as_bytes()).unwrap_or_default();
    let Some((browser, settings)) = browser.zip(settings) else { return Err(not_begun(&state)) };
    match state.connections().finish(&name, &answer, &visitor(&browser)).await {
        // The page itself says what is connected now; the code is out of the address.
        Ok(_connection) => Ok(see_other(&address(&name))),
        Err(error) => failed(&state, &browser, &settings, &error).await,
    }
}

/// `GET /oauth/clients/{server}`
pub(crate) async fn client_document(Shared(state): Shared<State>, Path(server): Path<String>) -> Answer {
    let document =
        ServerName::parse(&server).ok().and_then(|name| state.connections().client_document(&name));
    let document = document.ok_or_else(|| nothing(&state))?;
    let mut response = json(StatusCode::OK, document);
    let fresh = http::HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, fresh);
    Ok(response)
}

fn visitor(browser: &Browser) -> Visitor<'_> {
    let signed_in = &browser.signed_in;
    Visitor {
        user: &signed_in.user.name,
        session: &signed_in.session.digest,
        administrator: signed_in.user.administrator,
    }
}

async fn connection(
    state: &State,
    settings: &Settings,
    user: &UserName,
) -> Result<Option<Connection>, StoreError> {
    let id = Connection::id_of(&settings.server, settings.owner(user));
    Ok(load::<Connection>(state.store(), &id).await?.map(|found| found.value))
}

async fn show_one(
    state: &State,
    browser: &Browser,
    settings: &Settings,
    notice: Option<Notice>,
    status: StatusCode,
) -> Answer {
    let issuer = state.issuer();
    let user = &browser.signed_in.user;
    let found = connection(state, settings, &user.name).await.map_err(answer::store_trouble(state))?;
    let connected =
        found.as_ref().is_some_and(|found| !matches!(found.state, ConnectionState::Disconnected { .. }));
    let template = OnePage {
        site: answer::site(issuer.as_str()),
        who: browser.who(),
        notice,
        csrf: browser.proof(&purpose(&settings.server)),
        row: row(settings, found.as_ref()),
        may: settings.whose == Whose::User || user.administrator,
        connected,
    };
    let mut response = render(status, &template);
    // The form leads on to the authorization server.
    let there = settings.issuer.as_deref().and_then(|issuer| Url::parse(issuer).ok());
    let there = there.map(|url| url.origin().ascii_serialization());
    if let Some(policy) = headers::policy_with_destination(there.as_deref()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

fn row(settings: &Settings, found: Option<&Connection>) -> Row {
    let found = found.filter(|found| !matches!(found.state, ConnectionState::Disconnected { .. }));
    let (state, good, why) = match found.map(|found| &found.state) {
        None | Some(ConnectionState::Disconnected { .. }) => ("not connected", false, None),
        Some(ConnectionState::Connected | ConnectionState::Refreshing { .. }) => ("connected", true, None),
        Some(ConnectionState::NeedsConsent { why }) => ("must be connected again", false, Some(why.clone())),
        Some(ConnectionState::Disconnecting { .. }) => {
            let why = "its tokens are being ended at its authorization server";
            ("not connected", false, Some(why.to_owned()))
        }
    };
    let shown = |scopes: &[String]| text::reveal(&scopes.join(", "));
    Row {
        server: settings.server.to_string(),
        title: settings.title.clone(),
        shared: settings.whose == Whose::Shared,
        state,
        good,
        why,
        issuer: found.map(|found| text::reveal(&found.issuer)),
        scopes: found.map_or_else(|| shown(&settings.scopes), |found| shown(&found.scopes)),
        wanted: found.map_or_else(String::new, |found| shown(&found.wanted)),
        since: found.map(|found| format!("{} by {}", moment(found.connected_at), found.connected_by)),
        renewed: found.map(|found| moment(found.refreshed_at)),
        ends: found.and_then(|found| found.access_expires_at).map(moment),
    }
}

const NOT_DONE: &str = "This was not done";

/// The page that says what went wrong. Where others are at fault, the details are for whoever can act on them.
async fn failed(state: &State, browser: &Browser, settings: &Settings, error: &ConnectError) -> Answer {
    let title = &settings.title;
    let (status, text) = match error {
        ConnectError::Unknown => return Err(nothing(state)),
        ConnectError::NotBegun | ConnectError::NoCode => return Err(not_begun(state)),
        ConnectError::Store(error) => return Err(answer::trouble(state, &Trouble::Store(error.clone()))),
        ConnectError::Ledger(error) => return Err(answer::trouble(state, &Trouble::Ledger(error.clone()))),
        ConnectError::NotAdministrator | ConnectError::Refused(_) => {
            (StatusCode::FORBIDDEN, error.to_string())
        }
        ConnectError::Foreign => (StatusCode::BAD_REQUEST, error.to_string()),
        ConnectError::Busy => (StatusCode::CONFLICT, error.to_string()),
        ConnectError::Discovery(_)
        | ConnectError::Identity(_)
        | ConnectError::NoAnswer(_)
        | ConnectError::Tokens(_)
        | ConnectError::Sealing(_) => {
            let details = if browser.signed_in.user.administrator {
                error.to_string()
            } else {
                "tell whoever runs this site".to_owned()
            };
            (StatusCode::BAD_GATEWAY, format!("{title} cannot be connected just now: {details}"))
        }
    };
    tracing::warn!(server = %settings.server, %error, "a server was not connected");
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let text = first.chain(letters).collect::<String>() + ". What was connected before stays as it was.";
    show_one(state, browser, settings, Some(Notice { text, bad: true }), status).await
}

fn said(seen: Option<&Tested>) -> String {
    let Some(Tested { outcome, detail, .. }) = seen else { return "It was not connected.".to_owned() };
    match outcome {
        TestOutcome::Dead => {
            "Disconnected. The access was revoked at the authorization server, tried, and is dead.".to_owned()
        }
        TestOutcome::Alive => {
            "Disconnected here; but the authorization server still accepts the access. End it there too."
                .to_owned()
        }
        TestOutcome::Unverifiable => format!(
            "Disconnected here. Whether the access has ended at the authorization server too is not known: {detail}."
        ),
    }
}

fn alarming(seen: Option<&Tested>) -> bool {
    seen.is_some_and(|seen| seen.outcome != TestOutcome::Dead)
}

/// A form made for one server is good for no other one.
fn purpose(server: &ServerName) -> String {
    format!("connection {server}")
}

fn address(server: &ServerName) -> String {
    format!("{LIST}/{server}")
}

fn nothing(state: &State) -> Refusal {
    let text = "No server of this name is connected to with an account elsewhere.";
    let hint = Some("All that are: /connections.");
    answer::message(state, StatusCode::NOT_FOUND, "There is nothing to connect here", text, hint)
}

fn not_begun(state: &State) -> Refusal {
    answer::message(
        state,
        StatusCode::BAD_REQUEST,
        "Nothing was connected",
        "No consent that this would be the answer to was begun in this browser, or it took too long, or it was used.",
        Some(
            "Begin again at /connections, in one browser, and stay signed in. Cookies must be allowed for this site.",
        ),
    )
}
