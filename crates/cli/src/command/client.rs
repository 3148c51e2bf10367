//! `portunus client`: OAuth clients, over the admin socket.

use super::admin::{done, listing, post, show, text};
use super::{Failure, Outcome};
use crate::args::{Client, ClientAdd, ClientNamed};
use serde_json::{Value, json};

pub(crate) async fn run(command: Client) -> Outcome {
    match command {
        Client::Add(add) => enter(add).await,
        Client::List { pending, admin } => {
            let columns = [
                ("client_id", "ID"),
                ("name", "NAME"),
                ("source", "SOURCE"),
                ("auth_method", "PROOF"),
                ("redirect_uris", "REDIRECTS TO"),
                ("servers", "SERVERS"),
                ("admission", "ADMISSION"),
                ("decided_by", "BY"),
                ("created_at", "SINCE"),
            ];
            let path = if pending { "/clients?pending=1" } else { "/clients" };
            listing(&admin, path, "clients", &columns).await
        }
        Client::Approve(named) => decide(named, "approved").await,
        Client::Block(named) => decide(named, "blocked").await,
        Client::Remove(ClientNamed { id, admin }) => {
            done(&admin, "/clients/remove", &json!({ "client_id": id })).await
        }
    }
}

async fn decide(named: ClientNamed, standing: &str) -> Outcome {
    let body = json!({ "client_id": named.id, "standing": standing });
    done(&named.admin, "/clients/decide", &body).await
}

async fn enter(add: ClientAdd) -> Outcome {
    let jwks: Option<Value> = match &add.jwks_file {
        None => None,
        Some(path) => {
            let place = path.display();
            let bytes = std::fs::read(path).map_err(|error| Failure::Usage(format!("{place}: {error}")))?;
            Some(
                serde_json::from_slice(&bytes)
                    .map_err(|error| Failure::Usage(format!("{place}: {error}")))?,
            )
        }
    };
    let body = json!({
        "client_id": add.id, "name": add.name, "redirect_uris": add.redirect_uri, "servers": add.server,
        "jwks": jwks, "jwks_uri": add.jwks_uri, "secret": add.secret,
        "device_grant": add.device_grant,
    });
    let answer = post(&add.admin, "/clients", &body).await?;
    show(&add.admin, &answer, || {
        if add.secret { text(&answer, "client_secret") } else { text(&answer, "client_id") }
    });
    Ok(())
}
