//! What a search for unregistered secrets asks the edge over the administrator's socket: whether it knows a secret, and
//! which servers it publishes. The paths are not below `/credentials/`, where a credential could have their names.

use super::{Answer, refused};
use crate::node::Parts;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use portunus_core::limits::FINGERPRINTS;
use portunus_core::secret::Secret;
use portunus_core::server::Upstream;
use portunus_vault::credential;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<Parts>> {
    Router::new().route("/fingerprints", post(fingerprints)).route("/servers", get(servers))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Base64.
    secrets: Vec<Secret64>,
}

/// A secret on its way in.
struct Secret64(Secret<Vec<u8>>);

impl<'de> Deserialize<'de> for Secret64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Secret::new(String::deserialize(deserializer)?);
        let bytes = data_encoding::BASE64.decode(text.expose().as_bytes());
        bytes
            .map(|bytes| Self(Secret::new(bytes)))
            .map_err(|_| serde::de::Error::custom("a secret is not base64"))
    }
}

/// The fingerprints of these secrets, as the registry has them, and the credentials that hold them.
async fn fingerprints(State(parts): State<Arc<Parts>>, Json(asked): Json<Asked>) -> Answer {
    if asked.secrets.len() > FINGERPRINTS {
        return Err(refused(format!("more than {FINGERPRINTS} secrets at once")));
    }
    let all = credential::list(&*parts.store, parts.clock.now()).await.map_err(refused)?;
    let mut known: HashMap<&str, Vec<&str>> = HashMap::new();
    for credential in &all {
        for version in credential.versions.iter().filter(|version| !version.fingerprint.is_empty()) {
            let names = known.entry(version.fingerprint.as_str()).or_default();
            if !names.contains(&credential.name.as_str()) {
                names.push(credential.name.as_str());
            }
        }
    }
    let answers = asked.secrets.iter().map(|secret| {
        let fingerprint = parts.key.fingerprint(secret.0.expose());
        let credentials = known.get(fingerprint.as_str()).cloned().unwrap_or_default();
        json!({ "fingerprint": fingerprint, "credentials": credentials })
    });
    Ok(Json(json!({ "fingerprints": answers.collect::<Vec<Value>>() })))
}

/// What is published, and what each server is bound to.
async fn servers(State(parts): State<Arc<Parts>>) -> Answer {
    let snapshot = parts.edge.snapshot.load();
    let mut rows: Vec<Value> = Vec::with_capacity(snapshot.servers.len());
    for published in snapshot.servers.values() {
        let server = &published.server;
        let (kind, host) = match &server.upstream {
            Upstream::Tunnel => ("tunnel", None),
            Upstream::Program(_) => ("program", None),
            Upstream::Http(url) => {
                let host = url.host_str().unwrap_or_default();
                ("url", Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))))
            }
        };
        rows.push(json!({
            "name": server.name,
            "url": format!("{}/{}/mcp", snapshot.public_url, server.name),
            "owner": server.owner,
            "upstream": kind,
            "host": host,
            "credential": server.credential,
        }));
    }
    rows.sort_by(|left, right| {
        left.get("name").map(Value::to_string).cmp(&right.get("name").map(Value::to_string))
    });
    Ok(Json(json!({ "servers": rows })))
}
