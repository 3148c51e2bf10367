//! Ending much at once: first nothing of it is taken here any more, then each is ended at its upstream and tried. One that
//! cannot be ended does not keep the others: what became of each is told. It goes on when whoever asked has gone.

use crate::desk::{ADMIN, Answer, Refused, refused};
use crate::node::Parts;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use portunus_connections::sweep::{Denied, Ended};
use portunus_core::document::{Connection, Credential, CredentialKind};
use portunus_core::id::{ClientId, ServerName, UserName};
use portunus_core::limits::ENDINGS_AT_ONCE;
use portunus_core::store::list_all;
use portunus_oauth::grants::{self, Selection};
use portunus_vault::credential;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

const WHY: &str = "killed by an administrator";

/// The routes.
pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new().route("/kill", post(kill)).route("/identities/{id}/revoke", post(revoke)).with_state(parts)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    user: Option<UserName>,
    client: Option<ClientId>,
    server: Option<ServerName>,
    vendor: Option<String>,
    #[serde(default)]
    all: bool,
}

/// What is to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    /// Grants, but for a vendor: its issue are secrets and tokens.
    Granted(Selection),
    Vendor(String),
}

impl Kill {
    fn of(self) -> Result<Of, Refused> {
        let Self { user, client, server, vendor, all } = self;
        let chosen = [
            user.map(|user| Of::Granted(Selection::User(user))),
            client.map(|client| Of::Granted(Selection::Client(client))),
            server.map(|server| Of::Granted(Selection::Server(server))),
            vendor.map(Of::Vendor),
            all.then_some(Of::Granted(Selection::All)),
        ];
        let mut chosen = chosen.into_iter().flatten();
        match (chosen.next(), chosen.next()) {
            (Some(of), None) => Ok(of),
            _ => Err(refused("say what to revoke: exactly one of user, client, server, vendor, all")),
        }
    }
}

impl Of {
    /// Tokens at an upstream belong to a user and a server, never to a client. What everybody shares is not one user's.
    fn covers(&self, connection: &Connection) -> bool {
        match self {
            Self::Granted(Selection::User(user)) => connection.user.as_ref() == Some(user),
            Self::Granted(Selection::Server(server)) => connection.server == *server,
            Self::Granted(Selection::Client(_)) => false,
            Self::Granted(Selection::All) => true,
            Self::Vendor(vendor) => {
                let host =
                    Url::parse(&connection.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
                connection.issuer == *vendor || host.as_deref() == Some(vendor)
            }
        }
    }

    fn takes(&self, credential: &Credential) -> bool {
        match self {
            Self::Granted(selection) => *selection == Selection::All,
            Self::Vendor(vendor) => credential.vendor.as_deref() == Some(vendor.as_str()),
        }
    }
}

async fn kill(State(parts): State<Arc<Parts>>, Json(kill): Json<Kill>) -> Answer {
    let of = kill.of()?;
    tokio::spawn(async move { end(&parts, &of).await }).await.map_err(refused)?
}

async fn end(parts: &Parts, of: &Of) -> Answer {
    let all = list_all::<Credential>(&*parts.store, None).await.map_err(refused)?;
    let credentials: Vec<_> =
        all.into_iter().map(|found| found.value).filter(|credential| of.takes(credential)).collect();
    // Calls never carry what rotators work with, and the others are ended with it: it goes last.
    let (tools, carried): (Vec<_>, Vec<_>) =
        credentials.into_iter().partition(|credential| matches!(credential.kind, CredentialKind::Rotator(_)));
    // First nothing is taken any more: neither from clients, nor to upstreams.
    let grants = revoke_grants(parts, of).await;
    let connections = &parts.edge.connections;
    let covered = |connection: &Connection| of.covers(connection).then(|| WHY.to_owned());
    let denied: Result<Vec<Denied>, _> = connections.deny_all(ADMIN, covered).await;
    if let (Of::Vendor(vendor), Ok([])) = (of, denied.as_deref())
        && tools.is_empty()
        && carried.is_empty()
    {
        let words = format!("there is nothing of vendor `{vendor}`; see `portunus cred list`");
        return Err(refused(words));
    }
    let carried = deny_credentials(parts, carried).await;
    // Then each is ended and tried.
    let (ended, mut told) = tokio::join!(
        async {
            match denied {
                Ok(denied) => connections.settle_all(denied).await.iter().map(Ended::shown).collect(),
                Err(error) => {
                    vec![json!({ "name": "connections", "revoked": false, "why": error.to_string() })]
                }
            }
        },
        prove(parts, carried)
    );
    let tools = deny_credentials(parts, tools).await;
    told.extend(prove(parts, tools).await);
    let (revoked, left) = (grants.as_ref().ok(), grants.as_ref().err());
    Ok(Json(json!({ "revoked": revoked, "grants_left": left, "connections": ended, "credentials": told })))
}

/// How many grants ended; or why not all of them did.
async fn revoke_grants(parts: &Parts, of: &Of) -> Result<usize, String> {
    let Of::Granted(selection) = of else { return Ok(0) };
    grants::revoke_all(&parts.ports(), selection, ADMIN, WHY).await.map_err(|error| error.to_string())
}

/// Each is revoked here, or the row that says why not.
async fn deny_credentials(
    parts: &Parts,
    credentials: Vec<Credential>,
) -> Vec<Result<credential::Summary, Value>> {
    let mut denied = Vec::new();
    for Credential { name, .. } in credentials {
        let revoked =
            credential::revoke(&*parts.store, &*parts.ledger, &name, ADMIN, parts.clock.now()).await;
        denied.push(
            revoked.map_err(|error| json!({ "name": name, "revoked": false, "why": error.to_string() })),
        );
    }
    denied
}

async fn prove(parts: &Parts, revoked: Vec<Result<credential::Summary, Value>>) -> Vec<Value> {
    let each = revoked.into_iter().map(|revoked| async move {
        let summary = match revoked {
            Ok(summary) => summary,
            Err(row) => return row,
        };
        let tested = super::revoke::tested(parts, &summary, ADMIN).await;
        json!({ "name": summary.name, "revoked": true, "tested": tested })
    });
    stream::iter(each).buffered(ENDINGS_AT_ONCE).collect().await
}

/// Ends one identity that is no credential.
async fn revoke(State(parts): State<Arc<Parts>>, Path(id): Path<String>) -> Answer {
    if !id.starts_with("connection:") {
        let words = format!(
            "`{id}` is not ended like this: see `portunus cred revoke NAME`, `client block`, `kill --user`"
        );
        return Err(refused(words));
    }
    let connections = &parts.edge.connections;
    let named = |connection: &Connection| (connection.identity() == id).then(String::new);
    let denied = connections.deny_all(ADMIN, named).await.map_err(refused)?;
    let ended = connections.settle_all(denied).await;
    let Some(ended) = ended.first() else {
        let words =
            format!("there is no connection `{id}` that is not dead; `portunus cred list` names them");
        return Err(refused(words));
    };
    match &ended.seen {
        Ok(_) => Ok(Json(ended.shown())),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kill: Value) -> Option<Of> {
        serde_json::from_value::<Kill>(kill).ok()?.of().ok()
    }

    #[test]
    fn exactly_one_thing_is_said() {
        for vague in [
            json!({}),
            json!({ "all": false }),
            json!({ "user": "ana", "all": true }),
            json!({ "user": "ana", "server": "sales" }),
            json!({ "vendor": "acme", "client": "c" }),
            json!({ "everything": true }),
        ] {
            assert_eq!(of(vague.clone()), None, "{vague}");
        }
        let none = json!({ "user": null, "client": null, "server": null, "vendor": null, "all": true });
        assert_eq!(of(none), Some(Of::Granted(Selection::All)));
        assert_eq!(of(json!({ "vendor": "acme" })), Some(Of::Vendor("acme".to_owned())));
    }
}
