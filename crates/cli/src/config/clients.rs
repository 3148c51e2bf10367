//! `client_registration:` and `clients:` of `portunus.yaml`: which OAuth clients may be used.

use portunus_core::digest::sha256;
use portunus_core::document::{ClientKeys, ClientSource};
use portunus_core::id::{ClientId, ServerName};
use portunus_core::server::Server;
use portunus_oauth::client_admin::{NewClient, Proof};
use portunus_oauth::keys::KeySet;
use portunus_oauth::registration::{Allowed, Documents, Dynamic, InternalHost, Registration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use url::Url;

/// Fewest characters of a client's secret.
const SECRET_CHARS: usize = 32;

/// Which clients may register.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientRegistration {
    /// Clients that are known by the URL of their document: `open` (default), `listed` (only those of `allow`) or
    /// `approval` (others wait for an administrator).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cimd: Option<String>,
    /// Clients that register themselves: `open` (default), `off`, or `approval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<String>,
    /// Clients that need no approval: the URL of a document, `https://HOST[:PORT]`, `HOST`, or `*.HOST`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Hosts of your own, as `HOST` or `HOST:PORT`, whose documents and key sets may be fetched although their addresses
    /// are private.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub internal_hosts: Vec<String>,
}

/// A client that need not register.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientEntry {
    /// Its `client_id`.
    pub id: String,
    /// What people see; default: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where users may be sent back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The servers that it may use in its own name (client credentials).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Whether it may use the device grant; default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_grant: bool,
    /// It signs with a key of this JSON Web Key Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// It signs with a key of the set at this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// It shows the secret in this file, of at least 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// The rules, or what is wrong with them.
pub(super) fn registration(file: Option<&ClientRegistration>) -> Result<Registration, String> {
    let Some(file) = file else { return Ok(Registration::default()) };
    let documents = match file.cimd.as_deref() {
        None | Some("open") => Documents::Open,
        Some("listed") => Documents::Listed,
        Some("approval") => Documents::Approval,
        Some(other) => return Err(format!("cimd `{other}` must be open, listed or approval")),
    };
    let dynamic = match file.dynamic.as_deref() {
        None | Some("open") => Dynamic::Open,
        Some("off") => Dynamic::Off,
        Some("approval") => Dynamic::Approval,
        Some(other) => return Err(format!("dynamic `{other}` must be open, off or approval")),
    };
    let allow = file.allow.iter().map(|entry| Allowed::parse(entry).map_err(|e| format!("allow: {e}")));
    let internal_hosts = file
        .internal_hosts
        .iter()
        .map(|host| InternalHost::parse(host).map_err(|e| format!("internal_hosts: {e}")));
    Ok(Registration {
        documents,
        dynamic,
        allow: allow.collect::<Result<_, _>>()?,
        internal_hosts: internal_hosts.collect::<Result<_, _>>()?,
    })
}

/// A client, with its key set or secret read.
pub(super) fn client(file: &ClientEntry, base: &Path, servers: &[&Server]) -> Result<NewClient, String> {
    let proof = match (&file.jwks_file, &file.jwks_uri, &file.secret_file) {
        (None, None, None) => Proof::None,
        (Some(path), None, None) => {
            let keys = KeySet::parse(read(&base.join(path))?.as_bytes())
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Proof::Keys(ClientKeys::Inline(keys.to_json()))
        }
        (None, Some(uri), None) => match Url::parse(uri) {
            Ok(url) if url.scheme() == "https" => Proof::Keys(ClientKeys::At(url.to_string())),
            _ => return Err(format!("jwks_uri `{uri}` must begin with https://")),
        },
        (None, None, Some(path)) => {
            let text = read(&base.join(path))?;
            let secret = text.trim();
            if secret.len() < SECRET_CHARS || !secret.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!(
                    "{}: a secret has at least {SECRET_CHARS} visible characters",
                    path.display()
                ));
            }
            Proof::Secret(sha256(&[secret.as_bytes()]))
        }
        _ => return Err(String::from("give one of jwks_file, jwks_uri and secret_file")),
    };
    let server = |name: &String| {
        let name = ServerName::parse(name).map_err(|error| error.to_string())?;
        let known = servers.iter().any(|server| server.name == name);
        if known { Ok(name) } else { Err(format!("no server `{name}` is in `servers:`")) }
    };
    let new = NewClient {
        client_id: ClientId::parse(&file.id).map_err(|error| error.to_string())?,
        name: file.name.clone().unwrap_or_else(|| file.id.clone()),
        redirect_uris: file.redirect_uris.clone(),
        servers: file.servers.iter().map(server).collect::<Result<_, _>>()?,
        device_grant: file.device_grant,
        proof,
    };
    let checked = new.clone().into_client(ClientSource::Configuration, Default::default());
    checked.map(|_client| new).map_err(|error| error.description)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
