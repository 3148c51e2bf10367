//! The signed-in user's own page: what they allowed, what they can connect to; for administrators also what waits for a
//! yes, and everyone's latest grants.

use crate::answer::{self, Answer, moment, page as render, see_other};
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use crate::{approvals, input};
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::StatusCode;
use portunus_core::document::{Approval, Grant};
use portunus_core::id::{Id, ServerName};
use portunus_core::store::load;
use portunus_oauth::config::Issuer;
use portunus_oauth::{grants, text};

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
    approvals: Vec<ApprovalRow>,
    recent: Vec<GrantRow>,
}

struct GrantRow {
    id: String,
    user: String,
    client: String,
    server: String,
    since: String,
    end: Option<String>,
}

struct ServerRow<'a> {
    title: &'a str,
    environment: &'a str,
    purpose: &'a str,
    owner: &'a str,
    url: String,
}

struct ApprovalRow {
    id: String,
    user: String,
    client: String,
    server: String,
    tool: String,
    arguments: String,
    reason: String,
    until: String,
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

/// `POST /console/approvals`: an administrator decides.
pub(crate) async fn decide_approval(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HOME, None).await?;
    visitor.check(&state, &form, "console")?;
    if !visitor.signed_in.user.administrator {
        let text = "Only administrators can decide about waiting calls.";
        return Err(answer::message(&state, StatusCode::FORBIDDEN, "This is not for you", text, None));
    }
    let allow = form.get("decision") == Some("allow");
    let notice = match form.get("approval").and_then(|id| Id::parse(id).ok()) {
        None => approvals::ApprovalError::Unknown.to_string(),
        Some(id) => match approvals::decide(&state.ports(), &id, visitor.name(), allow).await {
            Ok(_approval) if allow => "Allowed, once.".to_owned(),
            Ok(_approval) => "Denied.".to_owned(),
            Err(approvals::ApprovalError::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
            Err(error) => error.to_string(),
        },
    };
    show(&state, &visitor, Some(&notice)).await
}

async fn show(state: &State, visitor: &Visitor, notice: Option<&str>) -> Answer {
    let issuer = state.issuer();
    let user = &visitor.signed_in.user;
    let mut own = grants::of_user(state.store(), &user.name).await.map_err(answer::store_trouble(state))?;
    own.retain(|grant| grant.revoked_at.is_none());
    let (mut waiting, mut recent) = (Vec::new(), Vec::new());
    if user.administrator {
        waiting =
            approvals::pending(state.store(), state.now()).await.map_err(answer::store_trouble(state))?;
        recent = grants::latest(state.store(), RECENT).await.map_err(answer::store_trouble(state))?;
    }
    let template = ConsolePage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        display_name: &user.display_name,
        notice,
        administrator: user.administrator,
        csrf: visitor.proof("console"),
        grants: own.iter().map(|grant| grant_row(&issuer, grant)).collect(),
        servers: servers(&issuer),
        approvals: waiting.iter().map(|approval| approval_row(&issuer, approval)).collect(),
        recent: recent.iter().map(|grant| grant_row(&issuer, grant)).collect(),
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

fn grant_row(issuer: &Issuer, grant: &Grant) -> GrantRow {
    GrantRow {
        id: grant.id.to_string(),
        user: grant.user.to_string(),
        client: grant.client_name.clone(),
        server: title(issuer, &grant.server),
        since: moment(grant.created_at),
        end: grant.revoked_at.map(moment),
    }
}

fn approval_row(issuer: &Issuer, approval: &Approval) -> ApprovalRow {
    ApprovalRow {
        id: approval.id.to_string(),
        user: approval.user.to_string(),
        client: approval.client_id.to_string(),
        server: title(issuer, &approval.server),
        tool: text::reveal(&approval.tool),
        // What is approved must be what is seen: invisible and reordering characters are written out.
        arguments: text::reveal(&approval.arguments),
        reason: approval.reason.clone(),
        until: moment(approval.expires_at),
    }
}

fn title(issuer: &Issuer, server: &ServerName) -> String {
    issuer.server(server).map_or_else(|| server.to_string(), |server| server.title.clone())
}
