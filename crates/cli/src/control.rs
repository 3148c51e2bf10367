//! The control plane as the edge sees it: enrolment of connectors, then everything of `web`; and the administrator's
//! Unix socket.

mod discover;

use crate::desk::{ADMIN, Answer, refused};
use crate::governance;
use crate::node::Parts;
use crate::pins::{self, Book};
use crate::sealing;
use async_trait::async_trait;
use axum::Json;
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use portunus_core::dialer::Body;
use portunus_core::document::{CredentialKind, RotationPlan};
use portunus_core::id::{CredentialName, Id, ServerName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::{Clock, Timestamp};
use portunus_edge::ports::ControlPlane;
use portunus_tunnel::enrol::{self, Desk};
use portunus_tunnel::wire::{ENROL_PATH, RENEW_PATH};
use portunus_vault::credential;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Answers whatever is not an MCP server.
pub(crate) struct Control {
    desk: Desk,
    clock: Arc<dyn Clock>,
    web: Router,
}

impl Control {
    pub(crate) fn new(web: Router, desk: Desk, clock: &Arc<dyn Clock>) -> Self {
        Self { desk, clock: clock.clone(), web }
    }

    async fn enrolment(&self, path: &str, request: http::Request<Body>) -> http::Response<Body> {
        let body = portunus_edge::body::read(request.into_body(), limits::ENROL_BYTES).await;
        let answer = match body {
            Ok(body) => self.desk.answer(path, &body, self.clock.now()).await,
            Err(_) => None,
        };
        match answer {
            Some(answer) => answer.map(portunus_core::dialer::full),
            None => {
                let mut answer = http::Response::new(portunus_core::dialer::empty());
                *answer.status_mut() = StatusCode::BAD_REQUEST;
                answer
            }
        }
    }
}

#[async_trait]
impl ControlPlane for Control {
    async fn serve(&self, request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        if request.method() == http::Method::POST && (path == ENROL_PATH || path == RENEW_PATH) {
            return self.enrolment(&path, request).await;
        }
        portunus_web::serve(&self.web, request, peer).await
    }
}

/// Binds the administrator's socket for its owner only; a socket left by a dead process is replaced.
pub(crate) fn bind_admin(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // The store's lock is held by now: no living process of this state directory can own the old socket.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the administrator until stopped.
pub(crate) async fn serve_admin(
    listener: UnixListener,
    web: Router,
    book: Arc<Book>,
    parts: Arc<Parts>,
    mut stopped: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/credentials", get(credentials).post(add_credential))
        .route("/credentials/{name}", get(show_credential))
        .route("/credentials/{name}/revoke", post(revoke_credential))
        .route("/join-tokens", post(join_token))
        .route("/connectors/{id}/revoke", post(revoke_connector))
        .route("/links", get(links))
        .route("/shadow", get(shadow))
        .merge(discover::router())
        .with_state(parts.clone())
        .merge(crate::rotation::router(parts.clone()))
        .merge(governance::desk::router(parts.clone()))
        .merge(governance::emergency::router(parts.clone()))
        .merge(crate::evidence::compose::router(parts.clone()))
        .merge(governance::kill::router(parts.clone()))
        .merge(sealing::desk::router(parts, stopped.clone()))
        .merge(pins::desk::router(book))
        .merge(web);
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the admin socket ended");
    }
}

async fn shadow(State(parts): State<Arc<Parts>>) -> Json<portunus_policy::shadow::Report> {
    Json(portunus_edge::shadow::report(&parts.edge))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCredential {
    name: CredentialName,
    kind: CredentialKind,
    server: ServerName,
    hosts: Vec<String>,
    owner: String,
    purpose: String,
    environment: Option<String>,
    vendor: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    rotation: Option<RotationPlan>,
    expires_at: Timestamp,
    replace: bool,
    /// Base64.
    secret: String,
}

async fn add_credential(State(parts): State<Arc<Parts>>, Json(new): Json<NewCredential>) -> Answer {
    let secret = data_encoding::BASE64.decode(new.secret.as_bytes()).map(Secret::new);
    let secret = secret.map_err(|_| refused("the secret is not base64"))?;
    let (store, ledger, by) = (&*parts.store, &*parts.ledger, ADMIN.to_owned());
    let (now, rng) = (parts.clock.now(), &*parts.rng);
    let summary = if new.replace {
        let known = credential::show(store, &new.name, now).await.map_err(refused)?;
        if (&known.server, &known.hosts, known.owner.as_ref()) != (&new.server, &new.hosts, Some(&new.owner))
        {
            let text =
                "a new version keeps its server, host and owner; change those with `portunus cred bind`";
            return Err(refused(text));
        }
        let NewCredential { name, expires_at, .. } = new;
        let replacement = credential::Replacement { name: name.clone(), secret, expires_at, by };
        let added = credential::add_version(store, ledger, &parts.key, replacement, now, rng).await;
        let mut answer = json!(added.map_err(refused)?);
        // Nothing ended the old secret: whether it lives is said at once.
        let old = governance::revoke::replaced(&parts, &name, ADMIN).await;
        if let Some(members) = answer.as_object_mut() {
            members.insert(String::from("replaced"), json!(old));
        }
        return Ok(Json(answer));
    } else {
        let NewCredential { name, kind, server, hosts, owner, purpose, .. } = new;
        let NewCredential { environment, vendor, scopes, rotation, expires_at, .. } = new;
        let new = credential::New {
            name,
            kind,
            owner,
            purpose,
            environment,
            vendor,
            scopes,
            hosts,
            server,
            expires_at,
            rotation,
            secret,
            by,
        };
        credential::add(store, ledger, &parts.key, new, now, rng).await
    };
    Ok(Json(json!(summary.map_err(refused)?)))
}

async fn credentials(State(parts): State<Arc<Parts>>) -> Answer {
    let all = credential::list(&*parts.store, parts.clock.now()).await.map_err(refused)?;
    Ok(Json(json!({ "credentials": all })))
}

async fn show_credential(State(parts): State<Arc<Parts>>, UrlPath(name): UrlPath<CredentialName>) -> Answer {
    let found = credential::show(&*parts.store, &name, parts.clock.now()).await.map_err(refused)?;
    Ok(Json(json!(found)))
}

async fn revoke_credential(
    State(parts): State<Arc<Parts>>,
    UrlPath(name): UrlPath<CredentialName>,
) -> Answer {
    let revoked = governance::revoke::revoke(&parts, &name, ADMIN).await;
    Ok(Json(json!(revoked.map_err(refused)?)))
}

/// Ends its links as well.
async fn revoke_connector(State(parts): State<Arc<Parts>>, UrlPath(id): UrlPath<Id>) -> Answer {
    let revoked = enrol::revoke(&*parts.store, &*parts.ledger, &id, ADMIN, parts.clock.now()).await;
    revoked.map_err(|e| refused(&e))?;
    Ok(Json(json!({ "connector": id, "revoked": true })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJoinToken {
    server: ServerName,
}

async fn join_token(State(parts): State<Arc<Parts>>, Json(new): Json<NewJoinToken>) -> Answer {
    if parts.issuer.load().server(&new.server).is_none() {
        return Err(refused(format!(
            "no server `{}` is published; see `servers:` in portunus.yaml",
            new.server
        )));
    }
    let (now, rng) = (parts.clock.now(), &*parts.rng);
    let token =
        enrol::join_token(&*parts.store, &*parts.ledger, &new.server, ADMIN, limits::JOIN_TTL, now, rng)
            .await;
    let token = token.map_err(refused)?;
    Ok(Json(json!({ "join_token": token.expose(), "server": new.server })))
}

async fn links(State(parts): State<Arc<Parts>>) -> Answer {
    let links = parts.registry.links();
    let rows: Vec<Value> = links
        .iter()
        .map(|link| json!({ "connector": link.connector, "server": link.server, "since": link.since, "calls": link.calls }))
        .collect();
    Ok(Json(json!({ "links": rows })))
}
