//! What authorization servers know us as, in the order of MCP 2025-11-25: the client that was made for us there; our own
//! client metadata document; a dynamic registration (RFC 7591). One per server, each with a redirect URI of its own, so
//! that no authorization server's answer can be taken for another's (RFC 9700 section 4.4).

use crate::discovery::{Found, shown};
use crate::ports::{NoAnswer, Outgoing, Sends};
use crate::settings::{Settings, is_loopback};
use crate::{ConnectError, Connections};
use portunus_core::document::{ClientAuth, ClientIdentity, Registered};
use portunus_core::id::ServerName;
use portunus_core::store::{Batch, StoreError, load};
use portunus_core::time::Timestamp;
use portunus_vault::Belongs;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// Why we are nobody at an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No way is left.
    #[error(
        "the authorization server takes neither client metadata documents of this address nor registrations; make a client there, with the redirect URI {redirect_uri}, and name it with `client_id:`"
    )]
    NoWay {
        /// What such a client needs.
        redirect_uri: String,
    },
    /// It does not let us prove a secret in a way that we know.
    #[error("the authorization server supports neither client_secret_basic nor client_secret_post")]
    NoProof,
    /// It does not take what the configuration says.
    #[error(
        "the authorization server does not say that it takes `private_key_jwt` with EdDSA (Ed25519), which `client_auth` wants"
    )]
    NoKeys,
    /// It did not register us; its words, cleaned.
    #[error("the authorization server did not register this client ({status}): {why}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        why: String,
    },
    /// No answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl Connections {
    /// Where an authorization server sends users back to.
    #[must_use]
    pub fn redirect_uri(&self, server: &ServerName) -> String {
        format!("{}/oauth/callback/{server}", self.0.parts.public_url)
    }

    /// The client metadata document of a server (draft-ietf-oauth-client-id-metadata-document), served at its own
    /// `client_id`; `None`: no such server.
    #[must_use]
    pub fn client_document(&self, server: &ServerName) -> Option<String> {
        let settings = self.of(server)?;
        let mut document = self.metadata(&settings, if settings.signs { "private_key_jwt" } else { "none" });
        if let Some(members) = document.as_object_mut() {
            members.insert("client_id".to_owned(), json!(self.document_url(server)));
            if settings.signs {
                let keys = format!("{}/oauth/jwks", self.0.parts.public_url);
                members.insert("jwks_uri".to_owned(), json!(keys));
                members.insert("token_endpoint_auth_signing_alg".to_owned(), json!("EdDSA"));
            }
        }
        Some(document.to_string())
    }

    fn document_url(&self, server: &ServerName) -> String {
        format!("{}/oauth/clients/{server}", self.0.parts.public_url)
    }

    fn metadata(&self, settings: &Settings, auth: &str) -> Value {
        let public_url = &self.0.parts.public_url;
        let site = public_url.split_once("://").map_or(public_url.as_str(), |(_, rest)| rest);
        json!({
            "client_name": format!("Portunus at {site}"),
            "client_uri": public_url,
            "redirect_uris": [self.redirect_uri(&settings.server)],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": auth,
        })
    }

    /// Who we are at this authorization server.
    pub(crate) async fn identity(
        &self,
        settings: &Settings,
        found: &Found,
    ) -> Result<ClientIdentity, ConnectError> {
        if settings.signs && !takes_keys(found) {
            return Err(IdentityError::NoKeys.into());
        }
        if let Some(configured) = &settings.client {
            let auth = match settings.signs {
                true => ClientAuth::PrivateKeyJwt,
                false => auth(configured.secret.is_some(), found)?,
            };
            return Ok(ClientIdentity { id: configured.id.clone(), auth, sealed_secret: None });
        }
        if found.knows_documents && self.is_seen_by(&found.issuer) {
            let id = self.document_url(&settings.server);
            let auth = if settings.signs { ClientAuth::PrivateKeyJwt } else { ClientAuth::None };
            return Ok(ClientIdentity { id, auth, sealed_secret: None });
        }
        let Some(endpoint) = found.registration.as_ref().filter(|_| !settings.signs) else {
            let redirect_uri = self.redirect_uri(&settings.server);
            return Err(IdentityError::NoWay { redirect_uri }.into());
        };
        let redirect_uri = self.redirect_uri(&settings.server);
        let id = Registered::id_of(&settings.server, &found.issuer, &redirect_uri);
        let known = load::<Registered>(self.store(), &id).await?.map(|known| known.value);
        let good = |known: &Registered| {
            use portunus_core::store::Document;
            known.issuer == found.issuer && known.expires_at().is_none_or(|end| !end.is_past(self.now()))
        };
        if let Some(known) = known.filter(good) {
            return Ok(known.client);
        }
        self.register(settings, found, endpoint).await
    }

    /// Whether this authorization server can fetch a document of ours: one that is elsewhere could not from this very machine.
    fn is_seen_by(&self, issuer: &str) -> bool {
        let is_local = |text: &str| Url::parse(text).is_ok_and(|url| is_loopback(&url));
        !is_local(&self.0.parts.public_url) || is_local(issuer)
    }

    async fn register(
        &self,
        settings: &Settings,
        found: &Found,
        endpoint: &Url,
    ) -> Result<ClientIdentity, ConnectError> {
        let knows = |method: &str| {
            found.auth_methods.as_ref().is_some_and(|methods| methods.iter().any(|known| known == method))
        };
        // Without a list it is client_secret_basic (RFC 8414 section 2).
        let method = ["none", "client_secret_basic", "client_secret_post"].into_iter().find(|m| knows(m));
        let body = self.metadata(settings, method.unwrap_or("client_secret_basic")).to_string();
        let subject = settings.server.as_str();
        self.record("portunus", "connection.registering", subject, &[("issuer", &found.issuer)]).await?;
        let (url, named) = (endpoint.clone(), settings.names(endpoint));
        let request = Outgoing { url, named, authorization: None, sends: Sends::Json(body) };
        let answered = settings.carrier.send(request).await.map_err(IdentityError::from)?;
        let given = read(answered.status, &answered.body)?;
        let auth = given.auth(method)?;
        let sealed_secret = match given.client_secret.filter(|_| auth != ClientAuth::None) {
            None => None,
            Some(secret) => {
                let secret = zeroize::Zeroizing::new(secret);
                let belongs = Belongs::ClientSecret {
                    server: &settings.server,
                    issuer: &found.issuer,
                    client_id: &given.client_id,
                };
                Some(self.0.parts.key.seal_belonging(&belongs, secret.as_bytes(), &*self.0.parts.rng)?)
            }
        };
        let expires = given.client_secret_expires_at.filter(|secs| *secs > 0 && sealed_secret.is_some());
        let registered = Registered {
            server: settings.server.clone(),
            issuer: found.issuer.clone(),
            redirect_uri: self.redirect_uri(&settings.server),
            client: ClientIdentity { id: given.client_id, auth, sealed_secret },
            registered_at: self.now(),
            expires_at: expires.map(Timestamp::from_secs),
        };
        // Of two at once either will do: each user keeps the one that they were sent there with.
        match self.store().commit(Batch::new().upsert(&registered)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let detail = [("issuer", found.issuer.as_str()), ("client_id", &registered.client.id)];
        self.record("portunus", "connection.registered", subject, &detail).await?;
        Ok(registered.client)
    }
}

/// Whether the edge's key proves a client there. An authorization server that takes `private_key_jwt` must say with which
/// algorithms (RFC 8414 section 2); one that does not is asked all the same.
fn takes_keys(found: &Found) -> bool {
    let lists = |list: &Option<Vec<String>>, wanted: &[&str]| {
        list.as_ref().map(|list| list.iter().any(|one| wanted.contains(&one.as_str())))
    };
    lists(&found.auth_methods, &["private_key_jwt"]) == Some(true)
        && lists(&found.auth_algorithms, &["EdDSA"]) != Some(false)
}

/// How a secret is proven, if there is one (RFC 8414 section 2).
fn auth(has_secret: bool, found: &Found) -> Result<ClientAuth, IdentityError> {
    let knows = |method: &str| {
        found.auth_methods.as_ref().is_some_and(|methods| methods.iter().any(|known| known == method))
    };
    match has_secret {
        false => Ok(ClientAuth::None),
        true if found.auth_methods.is_none() || knows("client_secret_basic") => Ok(ClientAuth::Basic),
        true if knows("client_secret_post") => Ok(ClientAuth::Post),
        true => Err(IdentityError::NoProof),
    }
}

#[derive(Deserialize)]
struct Given {
    client_id: String,
    client_secret: Option<String>,
    client_secret_expires_at: Option<u64>,
    token_endpoint_auth_method: Option<String>,
}

impl Given {
    /// What it decided, which need not be what was asked for (RFC 7591 section 3.2.1).
    fn auth(&self, asked: Option<&str>) -> Result<ClientAuth, IdentityError> {
        match self.token_endpoint_auth_method.as_deref().or(asked) {
            Some("none") => Ok(ClientAuth::None),
            Some("client_secret_post") if self.client_secret.is_some() => Ok(ClientAuth::Post),
            Some("client_secret_basic") | None if self.client_secret.is_some() => Ok(ClientAuth::Basic),
            _ => Err(IdentityError::NoProof),
        }
    }
}

fn read(status: u16, body: &[u8]) -> Result<Given, IdentityError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Problem {
        error: String,
        error_description: String,
    }
    if status == 201 || status == 200 {
        let given: Result<Given, _> = serde_json::from_slice(body);
        let visible = |id: &str| (1..=2048).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        return match given {
            Ok(given) if visible(&given.client_id) => Ok(given),
            Ok(_) => Err(IdentityError::Refused { status, why: "its client_id cannot be used".to_owned() }),
            Err(_) => Err(IdentityError::Refused { status, why: "its answer cannot be read".to_owned() }),
        };
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let why = shown(&format!("{} {}", problem.error, problem.error_description));
    Err(IdentityError::Refused { status, why })
}
