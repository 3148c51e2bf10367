//! Clients, for administrators: over the admin socket, and on a page of the console.

use crate::admin::{ADMIN, Problem, Told, body, told};
use crate::answer::{self, Answer, Refusal, moment, page as render};
use crate::input;
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::StatusCode;
use portunus_core::document::{Client, ClientKeys, ClientSource, Standing};
use portunus_core::id::{ClientId, ServerName};
use portunus_core::limits;
use portunus_oauth::client_admin::{self, ClientError, NewClient, Proof};
use portunus_oauth::keys::KeySet;
use portunus_oauth::redirect;
use portunus_oauth::registration::{Admission, Registration};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

const HERE: &str = "/console/clients";

/// `GET /clients`, `GET /clients?pending=1`
pub(crate) async fn list(Shared(state): Shared<State>, request: Request) -> Response {
    let pending = input::head(request).query == "pending=1";
    told(listed(&state, pending).await)
}

async fn listed(state: &State, pending: bool) -> Told {
    let issuer = state.issuer();
    let rules = issuer.registration();
    let mut clients = client_admin::list(state.store()).await?;
    clients.retain(|client| !pending || rules.admission(client) == Admission::Waits);
    Ok(json!({ "clients": clients.iter().map(|client| row(rules, client)).collect::<Vec<_>>() }))
}

fn row(rules: &Registration, client: &Client) -> Value {
    json!({
        "client_id": client.client_id,
        "name": client.name,
        "source": client.source,
        "auth_method": client.auth_method,
        "redirect_uris": client.redirect_uris,
        "servers": client.servers,
        "device_grant": client.device_grant,
        "admission": admission(rules, client),
        "standing": client.standing,
        "decided_by": client.decided_by,
        "created_at": client.created_at,
    })
}

fn admission(rules: &Registration, client: &Client) -> &'static str {
    match rules.admission(client) {
        Admission::Admitted => "admitted",
        Admission::Waits => "waits",
        Admission::Refused => "refused",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    client_id: ClientId,
    name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    servers: Vec<ServerName>,
    #[serde(default)]
    device_grant: bool,
    /// A JSON Web Key Set.
    jwks: Option<Value>,
    jwks_uri: Option<Url>,
    #[serde(default)]
    secret: bool,
}

/// `POST /clients`
pub(crate) async fn add(Shared(state): Shared<State>, request: Request) -> Response {
    told(enter(&state, request).await)
}

async fn enter(state: &State, request: Request) -> Told {
    let Add { client_id, name, redirect_uris, servers, device_grant, jwks, jwks_uri, secret } =
        body(request).await?;
    let bad = |words: &str| Problem(StatusCode::BAD_REQUEST, words.to_owned());
    let issuer = state.issuer();
    if let Some(unknown) = servers.iter().find(|server| issuer.server(server).is_none()) {
        return Err(bad(&format!("no server `{unknown}` is published; see `servers:` in portunus.yaml")));
    }
    let proof = match (jwks, jwks_uri, secret) {
        (None, None, _) => Proof::None,
        (Some(set), None, false) => {
            let keys = KeySet::parse(set.to_string().as_bytes()).map_err(|error| bad(&error.to_string()))?;
            Proof::Keys(ClientKeys::Inline(keys.to_json()))
        }
        (None, Some(uri), false) if uri.scheme() == "https" => Proof::Keys(ClientKeys::At(uri.to_string())),
        (None, Some(_), false) => return Err(bad("the URL of a key set must begin with https://")),
        _ => return Err(bad("give one of a key set, the URL of a key set, or a secret")),
    };
    let name = name.unwrap_or_else(|| client_id.to_string());
    let new = NewClient { client_id, name, redirect_uris, servers, device_grant, proof };
    let (client, secret) = client_admin::add(&state.ports(), new, secret, ADMIN).await?;
    let mut told = row(issuer.registration(), &client);
    if let (Some(members), Some(secret)) = (told.as_object_mut(), secret) {
        members.insert("client_secret".to_owned(), secret.expose().as_str().into());
    }
    Ok(told)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    client_id: ClientId,
    standing: Standing,
}

/// `POST /clients/decide`
pub(crate) async fn decide(Shared(state): Shared<State>, request: Request) -> Response {
    told(decided(&state, request).await)
}

async fn decided(state: &State, request: Request) -> Told {
    let Decide { client_id, standing } = body(request).await?;
    let client = client_admin::decide(&state.ports(), &client_id, standing, ADMIN).await?;
    Ok(row(state.issuer().registration(), &client))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    client_id: ClientId,
}

/// `POST /clients/remove`
pub(crate) async fn remove(Shared(state): Shared<State>, request: Request) -> Response {
    told(removed(&state, request).await)
}

async fn removed(state: &State, request: Request) -> Told {
    let Remove { client_id } = body(request).await?;
    client_admin::remove(&state.ports(), &client_id, ADMIN).await?;
    Ok(json!({ "client_id": client_id, "removed": true }))
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::Exists(_) | ClientError::Configured(_) => StatusCode::CONFLICT,
            ClientError::Unknown(_) => StatusCode::NOT_FOUND,
            ClientError::Invalid(_) => StatusCode::BAD_REQUEST,
            ClientError::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage<'a> {
    site: &'a str,
    who: Who,
    notice: Option<&'a str>,
    csrf: String,
    waiting: Vec<ClientRow>,
    others: Vec<ClientRow>,
    more: usize,
}

struct ClientRow {
    id: String,
    name: String,
    from: &'static str,
    redirects: String,
    since: String,
    admission: &'static str,
}

/// `GET /console/clients`
pub(crate) async fn page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = administrator(&state, sign_in::admit(&state, &head.headers, HERE, None).await?)?;
    show(&state, &visitor, None).await
}

/// `POST /console/clients`
pub(crate) async fn decide_on_page(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = administrator(&state, sign_in::admit(&state, &head.headers, HERE, None).await?)?;
    visitor.check(&state, &form, "clients")?;
    let standing = match form.get("decision") {
        Some("approve") => Standing::Approved,
        Some("block") => Standing::Blocked,
        _ => return show(&state, &visitor, None).await,
    };
    let notice = match form.get("client").and_then(|id| ClientId::parse(id).ok()) {
        None => "There is no such client.".to_owned(),
        Some(id) => match client_admin::decide(&state.ports(), &id, standing, visitor.name()).await {
            Ok(_client) if standing == Standing::Approved => {
                "Approved. It can be used from now on.".to_owned()
            }
            Ok(_client) => "Blocked. Nothing of it is admitted any more.".to_owned(),
            Err(ClientError::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
            Err(error) => error.to_string(),
        },
    };
    show(&state, &visitor, Some(&notice)).await
}

fn administrator(state: &State, visitor: Visitor) -> Result<Visitor, Refusal> {
    if visitor.signed_in.user.administrator {
        return Ok(visitor);
    }
    let text = "Only administrators can decide about clients.";
    Err(answer::message(state, StatusCode::FORBIDDEN, "This is not for you", text, None))
}

async fn show(state: &State, visitor: &Visitor, notice: Option<&str>) -> Answer {
    let issuer = state.issuer();
    let rules = issuer.registration();
    let mut clients = client_admin::list(state.store()).await.map_err(answer::store_trouble(state))?;
    clients.sort_by_key(|client| std::cmp::Reverse(client.created_at));
    let (waiting, others): (Vec<_>, Vec<_>) =
        clients.iter().partition(|client| rules.admission(client) == Admission::Waits);
    let rows = |clients: &[&Client]| {
        clients.iter().take(limits::CLIENTS_SHOWN).map(|client| client_row(rules, client)).collect()
    };
    let beyond = |clients: &[&Client]| clients.len().saturating_sub(limits::CLIENTS_SHOWN);
    let template = ClientsPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        notice,
        csrf: visitor.proof("clients"),
        waiting: rows(&waiting),
        others: rows(&others),
        more: beyond(&waiting) + beyond(&others),
    };
    Ok(render(StatusCode::OK, &template))
}

fn client_row(rules: &Registration, client: &Client) -> ClientRow {
    let redirects = client.redirect_uris.iter().map(|uri| redirect::destination(uri));
    ClientRow {
        id: client.client_id.to_string(),
        name: client.name.clone(),
        from: match client.source {
            ClientSource::Dynamic => "registered itself",
            ClientSource::Document => "known by its address",
            ClientSource::Administrator => "entered by an administrator",
            ClientSource::Configuration => "from portunus.yaml",
        },
        redirects: redirects.collect::<Vec<_>>().join(", "),
        since: moment(client.created_at),
        admission: admission(rules, client),
    }
}
