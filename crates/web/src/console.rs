//! The signed-in user's own page: what they allowed, what they can connect to, how many calls wait for their yes; for
//! administrators also everyone's latest grants.

use crate::answer::{self, Answer, moment, page as render, see_other};
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use crate::{approvals, connections, input};
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::StatusCode;
use portunus_core::document::{Grant, GrantUse, Session};
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::store::load;
use portunus_core::time::Timestamp;
use portunus_oauth::config::Issuer;
use portunus_oauth::{grants, session};

/// Grants of everyone that an administrator sees.
const RECENT: usize = 20;
const HOME: &str = "/console/";

#[derive(Template)]
#[template(path = "console.html")]
struct ConsolePage<'a> {
    site: &'a str,
    who: Who,
    display_name: &'a str,
    notice: Option<&'a str>,
    administrator: bool,
    csrf: String,
    grants: Vec<GrantRow>,
    servers: Vec<ServerRow<'a>>,
    /// Servers that are connected to by OAuth, and those of them that the user must connect.
    connections: usize,
    /// See above.
    disconnected: usize,
    /// Calls of others that wait for this user's yes.
    waiting: usize,
    /// The user's own calls that wait for somebody's.
    own: usize,
    recent: Vec<GrantRow>,
    sessions: Vec<SessionRow>,
    /// Whether they sign in with a password of their own here.
    local: bool,
}

struct SessionRow {
    how: String,
    since: String,
    here: bool,
}

struct GrantRow {
    id: String,
    user: String,
    client: String,
    server: String,
    scopes: String,
    since: String,
    used: Option<String>,
    end: Option<String>,
}

struct ServerRow<'a> {
    title: &'a str,
    environment: &'a str,
    purpose: &'a str,
    owner: &'a str,
    url: String,
}

pub(crate) async fn elsewhere() -> Response {
    see_other(HOME)
}

/// `GET /console/`
pub(crate) async fn page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    show(&state, &visitor, None).await
}

/// `POST /console/grants`: revokes one of the visitor's grants; an administrator may revoke anyone's.
pub(crate) async fn revoke_grant(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    visitor.check(&state, &form, "console")?;
    let id = form.get("grant").and_then(|id| Id::parse(id).ok());
    let user = &visitor.signed_in.user;
    let found = match &id {
        Some(id) => load::<Grant>(state.store(), id.as_str()).await.map_err(answer::store_trouble(&state))?,
        None => None,
    };
    // Somebody else's grant looks like none at all.
    let allowed = found.filter(|grant| user.administrator || grant.value.user == user.name);
    let notice = match allowed {
        None => "There is no such grant.",
        Some(grant) => {
            let why = format!("by {}", user.name);
            let revoked = grants::revoke(&state.ports(), &grant.value.id, user.name.as_str(), &why).await;
            match revoked.map_err(|trouble| answer::trouble(&state, &trouble))? {
                true => "Revoked. Nothing can use it any more.",
                false => "It was revoked already.",
            }
        }
    };
    show(&state, &visitor, Some(notice)).await
}

/// `POST /console/sessions`: signs the visitor out everywhere else.
pub(crate) async fn end_other_sessions(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    visitor.check(&state, &form, "console")?;
    let ended = session::end_others(&state.ports(), &visitor.signed_in.session).await;
    let notice = match ended.map_err(|trouble| answer::trouble(&state, &trouble))? {
        0 => "You were signed in nowhere else.".to_owned(),
        ended => format!("Signed out of {ended} other browser{}.", if ended == 1 { "" } else { "s" }),
    };
    show(&state, &visitor, Some(&notice)).await
}

async fn show(state: &State, visitor: &Visitor, notice: Option<&str>) -> Answer {
    let issuer = state.issuer();
    let user = &visitor.signed_in.user;
    let mut own = grants::of_user(state.store(), &user.name).await.map_err(answer::store_trouble(state))?;
    own.retain(|grant| grant.revoked_at.is_none());
    let mut rows = Vec::new();
    for grant in &own {
        let used = load::<GrantUse>(state.store(), grant.id.as_str()).await;
        let used = used.map_err(answer::store_trouble(state))?.map(|used| used.value.at);
        rows.push(grant_row(&issuer, grant, used));
    }
    let sessions = session::of_user(state.store(), state.now(), &user.name).await;
    let sessions = sessions.map_err(answer::store_trouble(state))?;
    let asked = approvals::pending(state.store(), state.now()).await.map_err(answer::store_trouble(state))?;
    let person = approvals::person(user);
    let mut recent = Vec::new();
    if user.administrator {
        recent = grants::latest(state.store(), RECENT).await.map_err(answer::store_trouble(state))?;
    }
    let (connections, disconnected) =
        connections::counts(state, &user.name).await.map_err(answer::store_trouble(state))?;
    let template = ConsolePage {
        connections,
        disconnected,
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        display_name: &user.display_name,
        notice,
        administrator: user.administrator,
        csrf: visitor.proof("console"),
        grants: rows,
        servers: servers(&issuer),
        waiting: asked.iter().filter(|approval| approvals::awaits(approval, &issuer, &person)).count(),
        own: asked.iter().filter(|approval| approvals::asked_by(approval, &person)).count(),
        recent: recent.iter().map(|grant| grant_row(&issuer, grant, None)).collect(),
        sessions: sessions.iter().map(|session| session_row(state, visitor, session)).collect(),
        local: user.issuer.is_none(),
    };
    Ok(render(StatusCode::OK, &template))
}

fn servers(issuer: &Issuer) -> Vec<ServerRow<'_>> {
    let row = |server: &'_ portunus_core::server::Server| issuer.resource(&server.name);
    let servers = issuer.servers().iter();
    servers
        .map(|server| ServerRow {
            title: &server.title,
            environment: &server.environment,
            purpose: &server.purpose,
            owner: &server.owner,
            url: row(server),
        })
        .collect()
}

fn session_row(state: &State, visitor: &Visitor, session: &Session) -> SessionRow {
    let login = state.login();
    let provider = session.sign_in.issuer.as_deref().map(|issuer| {
        login.with_issuer(issuer).map_or_else(|| issuer.to_owned(), |party| party.provider().name.clone())
    });
    let began = session.expires_at.as_millis().saturating_sub(limits::SESSION_TTL.as_millis() as u64);
    SessionRow {
        how: provider.unwrap_or_else(|| session.sign_in.method.replace("pwd", "password")),
        since: moment(Timestamp::from_millis(began)),
        here: session.digest == visitor.signed_in.session.digest,
    }
}

fn grant_row(issuer: &Issuer, grant: &Grant, used: Option<Timestamp>) -> GrantRow {
    GrantRow {
        id: grant.id.to_string(),
        user: grant.user.to_string(),
        client: grant.client_name.clone(),
        server: title(issuer, &grant.server),
        scopes: grant.scopes.join(", "),
        since: moment(grant.created_at),
        used: used.map(moment),
        end: grant.revoked_at.map(moment),
    }
}

fn title(issuer: &Issuer, server: &ServerName) -> String {
    issuer.server(server).map_or_else(|| server.to_string(), |server| server.title.clone())
}
