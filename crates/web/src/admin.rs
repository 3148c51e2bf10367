//! The administrators' API: JSON over the Unix socket in the state directory. Whoever can open that socket is the
//! administrator; every change is recorded as done by `admin`.

use crate::approvals::Said;
use crate::state::State;
use crate::{answer, approvals, clients, input};
use axum::Router;
use axum::extract::{Path, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use portunus_connections::sweep::Ended;
use portunus_core::document::{Approval, ApprovalState, Client, Connection, Grant, Through, User};
use portunus_core::id::{ClientId, GroupName, Id, InvalidName, ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{Document, StoreError, load};
use portunus_oauth::form::Form;
use portunus_oauth::grants;
use portunus_oauth::issue::{self, IssueError, Order};
use portunus_oauth::passkey;
use portunus_oauth::ports::Trouble;
use portunus_oauth::text;
use portunus_oauth::users::{self, NewUser, UserError};
use portunus_oauth::{password, password::PasswordError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// In whose name changes are recorded.
pub(crate) const ADMIN: &str = "admin";

pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/users", get(list_users).post(add_user))
        .route("/users/{name}/disable", post(disable_user))
        .route("/grants", get(list_grants))
        .route("/grants/{id}/revoke", post(revoke_grant))
        .route("/tokens", post(issue_token))
        .route("/approvals", get(list_approvals))
        .route("/approvals/{id}", get(show_approval))
        .route("/approvals/{id}/allow", post(allow))
        .route("/approvals/{id}/deny", post(deny))
        .route("/clients", get(clients::list).post(clients::add))
        .route("/clients/decide", post(clients::decide))
        .route("/clients/remove", post(clients::remove))
        .fallback(unknown)
        .with_state(state)
}

/// An answer, or a status with a sentence.
pub(crate) type Told = Result<Value, Problem>;

pub(crate) struct Problem(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        answer::json(self.0, json!({ "message": self.1 }).to_string())
    }
}

pub(crate) fn told(answered: Told) -> Response {
    match answered {
        Ok(value) => answer::json(StatusCode::OK, value.to_string()),
        Err(problem) => problem.into_response(),
    }
}

async fn unknown() -> Response {
    Problem(StatusCode::NOT_FOUND, "the edge does not know this command; is it an older version?".to_owned())
        .into_response()
}

async fn status(Shared(state): Shared<State>) -> Response {
    told(read_status(&state).await)
}

async fn read_status(state: &State) -> Told {
    let issuer = state.issuer();
    let live = grants::all(state.store()).await?.iter().filter(|grant| grant.revoked_at.is_none()).count();
    Ok(json!({
        "issuer": issuer.as_str(),
        "servers": issuer.servers().iter().map(|server| server.name.as_str()).collect::<Vec<_>>(),
        "users": state.store().count(User::KIND).await?,
        "clients": state.store().count(Client::KIND).await?,
        "grants": live,
        "approvals": approvals::pending(state.store(), state.now()).await?.len(),
        "generation": state.store().generation().await?,
    }))
}

async fn list_users(Shared(state): Shared<State>) -> Response {
    told(read_users(&state).await)
}

async fn read_users(state: &State) -> Told {
    let mut listed = Vec::new();
    for user in users::list(state.store()).await? {
        let mut shown = user_json(&user);
        let passkeys = passkey::of_user(state.store(), &user.name).await?.len();
        if let Some(members) = shown.as_object_mut() {
            members.insert("passkeys".to_owned(), passkeys.into());
        }
        listed.push(shown);
    }
    Ok(json!({ "users": listed }))
}

fn user_json(user: &User) -> Value {
    json!({
        "name": user.name,
        "display_name": user.display_name,
        "groups": user.groups,
        "administrator": user.administrator,
        "one_time_password": user.one_time_password,
        "issuer": user.issuer,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddUser {
    name: UserName,
    display_name: Option<String>,
    #[serde(default)]
    groups: Vec<GroupName>,
    #[serde(default)]
    administrator: bool,
}

async fn add_user(Shared(state): Shared<State>, request: Request) -> Response {
    told(add(&state, request).await)
}

async fn add(state: &State, request: Request) -> Told {
    let AddUser { name, display_name, groups, administrator } = body(request).await?;
    let rng = state.rng();
    let hashed = state.hashing(move || {
        let password = password::one_time(&*rng);
        password::hash(password.expose(), &*rng).map(|hash| (password, hash))
    });
    let (password, hash) = hashed.await.ok_or(Problem::from(Trouble::Busy))??;
    let display_name = display_name.unwrap_or_else(|| name.to_string());
    let new = NewUser { name, display_name, groups, administrator };
    let user = users::add(&state.ports(), new, hash, ADMIN).await?;
    let mut told = user_json(&user);
    if let Some(members) = told.as_object_mut() {
        members.insert("password".to_owned(), password.expose().as_str().into());
    }
    Ok(told)
}

async fn disable_user(Shared(state): Shared<State>, Path(name): Path<String>) -> Response {
    told(disable(&state, &name).await)
}

async fn disable(state: &State, name: &str) -> Told {
    let name = UserName::parse(name)?;
    let changed = users::disable(&state.ports(), &name, ADMIN).await?;
    let theirs = |connection: &Connection| {
        let own = connection.user.as_ref() == Some(&name) && !connection.state.is_ended();
        own.then(|| format!("the account of {name} was disabled"))
    };
    let denied = state.connections().deny_all(ADMIN, theirs).await?;
    let ended = state.connections().settle_all(denied).await;
    let ended: Vec<_> = ended.iter().map(Ended::shown).collect();
    Ok(json!({ "name": name, "changed": changed, "connections": ended }))
}

async fn list_grants(Shared(state): Shared<State>, request: Request) -> Response {
    told(read_grants(&state, request).await)
}

async fn read_grants(state: &State, request: Request) -> Told {
    let query = Form::parse(input::head(request).query.as_bytes())
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, error.to_string()))?;
    let grants: Vec<Grant> = match query.get("user") {
        Some(user) => grants::of_user(state.store(), &UserName::parse(user)?).await?,
        None => grants::all(state.store()).await?,
    };
    Ok(json!({ "grants": grants }))
}

async fn revoke_grant(Shared(state): Shared<State>, Path(id): Path<String>) -> Response {
    told(revoke(&state, &id).await)
}

async fn revoke(state: &State, id: &str) -> Told {
    let id = Id::parse(id)?;
    if grants::revoke(&state.ports(), &id, ADMIN, "by an administrator").await? {
        return Ok(json!({ "id": id, "revoked": true }));
    }
    let words = format!("there is no grant `{id}` in force; see `portunus grant list`");
    Err(Problem(StatusCode::NOT_FOUND, words))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueToken {
    server: ServerName,
    user: UserName,
    client: Option<ClientId>,
    ttl_seconds: u64,
}

async fn issue_token(Shared(state): Shared<State>, request: Request) -> Response {
    told(issue(&state, request).await)
}

async fn issue(state: &State, request: Request) -> Told {
    let IssueToken { server, user, client, ttl_seconds } = body(request).await?;
    let order = Order { user, server, client, ttl: Duration::from_secs(ttl_seconds) };
    let issued = issue::token(&state.ports(), &state.issuer(), &order, ADMIN).await?;
    Ok(json!({
        "access_token": issued.access_token.expose(),
        "expires_in": issued.expires_in.as_secs(),
        "server": order.server,
        "user": order.user,
        "grant": issued.grant,
    }))
}

async fn list_approvals(Shared(state): Shared<State>) -> Response {
    let listed = approvals::pending(state.store(), state.now()).await.map_err(Problem::from);
    told(listed.map(|approvals| json!({ "approvals": approvals })))
}

async fn show_approval(Shared(state): Shared<State>, Path(id): Path<String>) -> Response {
    told(read_approval(&state, &id).await)
}

async fn read_approval(state: &State, id: &str) -> Told {
    let found = load::<Approval>(state.store(), Id::parse(id)?.as_str()).await?;
    let approval = found.ok_or(approvals::ApprovalError::Unknown)?.value;
    let missing = approvals::missing(state.store(), &state.issuer(), &approval).await?;
    Ok(json!({ "approval": approval, "missing": missing }))
}

async fn allow(Shared(state): Shared<State>, Path(id): Path<String>, request: Request) -> Response {
    told(decide(&state, &id, true, request).await)
}

async fn deny(Shared(state): Shared<State>, Path(id): Path<String>, request: Request) -> Response {
    told(decide(&state, &id, false, request).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: Option<String>,
}

async fn decide(state: &State, id: &str, allow: bool, request: Request) -> Told {
    let id = Id::parse(id)?;
    let Why { reason } = body(request).await?;
    let reason = reason.and_then(|reason| text::clean(&reason, limits::APPROVAL_REASON_CHARS));
    let said = Said { allow, reason: reason.as_deref(), through: Through::Socket };
    let approval = approvals::decide(&state.ports(), &state.issuer(), &id, &approvals::LOCAL, &said).await?;
    let missing = match approval.state {
        ApprovalState::Pending => approvals::missing(state.store(), &state.issuer(), &approval).await?,
        _ => Vec::new(),
    };
    Ok(json!({ "id": approval.id, "state": approval.state, "missing": missing }))
}

pub(crate) async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let bad = |words: String| Problem(StatusCode::BAD_REQUEST, words);
    let (_head, bytes) = input::whole(request).await.map_err(|error| bad(error.description))?;
    serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}
impl From<Trouble> for Problem {
    fn from(error: Trouble) -> Self {
        // The administrator is told what failed.
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let status = match &error {
            UserError::Exists(_) => StatusCode::CONFLICT,
            UserError::Unknown(_) => StatusCode::NOT_FOUND,
            UserError::Workload(_) => StatusCode::UNPROCESSABLE_ENTITY,
            UserError::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}
impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let status = match &error {
            IssueError::Ttl => StatusCode::BAD_REQUEST,
            IssueError::UnknownServer(_) | IssueError::UnknownUser(_) => StatusCode::NOT_FOUND,
            IssueError::Trouble(_) | IssueError::Token(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}
impl From<approvals::ApprovalError> for Problem {
    fn from(error: approvals::ApprovalError) -> Self {
        let status = match &error {
            approvals::ApprovalError::Unknown => StatusCode::NOT_FOUND,
            approvals::ApprovalError::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}
