//! Sending a user to an authorization server, and their return. What comes back counts only in the browser session that
//! began it, once, at the redirect URI of that very server, and when it names the authorization server that was asked.

use crate::discovery::{Found, discover, shown};
use crate::settings::{Settings, Whose};
use crate::tokens::{self, Granted};
use crate::{ConnectError, Connections};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Connection, ConnectionState, PendingConsent};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{Batch, Expect, StoreError, Versioned, list_all, load};
use portunus_core::time::Rng;
use portunus_oauth::form::Form;
use portunus_vault::Belongs;
use url::Url;

/// Whoever sits at the browser.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// Their name.
    pub user: &'a UserName,
    /// Digest of their session.
    pub session: &'a Digest,
    /// May connect what everybody shares.
    pub administrator: bool,
}

impl Visitor<'_> {
    /// Whose connection they may make or end.
    pub(crate) fn owner(&self, settings: &Settings) -> Result<Option<UserName>, ConnectError> {
        match settings.whose {
            Whose::User => Ok(Some(self.user.clone())),
            Whose::Shared if self.administrator => Ok(None),
            Whose::Shared => Err(ConnectError::NotAdministrator),
        }
    }
}

impl Connections {
    /// Begins a consent; where the browser is to be sent (RFC 6749 section 4.1.1, RFC 7636 section 4.3, RFC 8707 section 2).
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn begin(&self, server: &ServerName, visitor: &Visitor<'_>) -> Result<Url, ConnectError> {
        let settings = self.of(server).ok_or(ConnectError::Unknown)?;
        let user = visitor.owner(&settings)?;
        let found = discover(&settings).await?;
        let client = self.identity(&settings, &found).await?;
        let scopes = self.scopes_to_ask(&settings, user.as_ref()).await?;
        let (state, verifier) = (random(&*self.0.parts.rng), random(&*self.0.parts.rng));
        let digest = sha256(&[state.as_bytes()]);
        let belongs = Belongs::Verifier { state: &digest, session: visitor.session };
        let (key, rng) = (&self.0.parts.key, &*self.0.parts.rng);
        let pending = PendingConsent {
            state: digest,
            session: *visitor.session,
            by: visitor.user.clone(),
            server: server.clone(),
            user: user.clone(),
            issuer: found.issuer.clone(),
            names_issuer: found.names_issuer,
            token_endpoint: found.token.to_string(),
            revocation_endpoint: found.revocation.as_ref().map(Url::to_string),
            resource: found.resource.clone(),
            client,
            redirect_uri: self.redirect_uri(server),
            sealed_verifier: key.seal_belonging(&belongs, verifier.as_bytes(), rng)?,
            scopes,
            expires_at: self.now().plus(limits::CONSENT_TTL),
        };
        let identity = Connection::identity_of(server, user.as_ref());
        let detail = [("issuer", pending.issuer.as_str()), ("scopes", &pending.scopes.join(" "))];
        self.record(visitor.user.as_str(), "connection.asked", &identity, &detail).await?;
        self.keep_pending(&pending).await?;
        Ok(location(&found, &pending, &state, &verifier))
    }

    /// Stores a consent under way; the user's oldest makes way for it when there are too many.
    async fn keep_pending(&self, pending: &PendingConsent) -> Result<(), StoreError> {
        let mut open = list_all::<PendingConsent>(self.store(), Some(pending.by.as_str())).await?;
        open.sort_by_key(|entry| entry.value.expires_at);
        let mut batch = Batch::new().insert(pending);
        let superfluous = (open.len() + 1).saturating_sub(limits::CONSENTS_PER_USER);
        for old in open.iter().take(superfluous) {
            batch = batch.delete::<PendingConsent>(&old.value.state.hex(), Expect::Any);
        }
        self.store().commit(batch).await.map(|_| ())
    }

    /// What the configuration says, and what was agreed to or wished for on top, as far as the configuration allows that.
    async fn scopes_to_ask(
        &self,
        settings: &Settings,
        user: Option<&UserName>,
    ) -> Result<Vec<String>, StoreError> {
        let known = load::<Connection>(self.store(), &Connection::id_of(&settings.server, user)).await?;
        let mut scopes = settings.scopes.clone();
        let earlier =
            known.map(|known| known.value).filter(|known| known.sealed.is_some() || !known.wanted.is_empty());
        for scope in earlier.iter().flat_map(|known| known.scopes.iter().chain(&known.wanted)) {
            if settings.more_scopes.contains(scope) && !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        Ok(scopes)
    }

    /// Takes the browser's return; the server that is connected now.
    ///
    /// # Errors
    /// See [`ConnectError`]; nothing that was connected before is lost by any of them.
    pub async fn finish(
        &self,
        server: &ServerName,
        answer: &Form,
        visitor: &Visitor<'_>,
    ) -> Result<Connection, ConnectError> {
        let pending = self.take_pending(server, answer, visitor).await?;
        let settings = self.of(server).ok_or(ConnectError::Unknown)?;
        // Who may do so can have changed since.
        if visitor.owner(&settings)? != pending.user {
            return Err(ConnectError::NotBegun);
        }
        let identity = Connection::identity_of(server, pending.user.as_ref());
        let by = visitor.user.as_str();
        let code = match code(&pending, answer) {
            Ok(code) => code,
            Err(error) => {
                let why = error.to_string();
                self.record(by, "connection.refused", &identity, &[("why", &why)]).await?;
                return Err(error);
            }
        };
        self.record(by, "connection.connecting", &identity, &[("issuer", &pending.issuer)]).await?;
        let belongs = Belongs::Verifier { state: &pending.state, session: &pending.session };
        let verifier = self.0.parts.key.open_belonging(&belongs, &pending.sealed_verifier)?;
        let verifier = std::str::from_utf8(verifier.expose()).map_err(|_| ConnectError::NotBegun)?;
        let asker = self.asker(&settings, &pending.issuer, &pending.client)?;
        let endpoint = settings.usable(&pending.token_endpoint).ok_or(ConnectError::NotBegun)?;
        let (redirect, resource) = (&pending.redirect_uri, &pending.resource);
        let request = tokens::redemption(&settings, endpoint, &asker, code, verifier, redirect, resource);
        let granted = tokens::read(&settings.carrier.send(request).await?)?;
        let connection = self.keep(&pending, &granted).await?;
        let generation = connection.generation.to_string();
        let detail = [
            ("issuer", connection.issuer.as_str()),
            ("scopes", &connection.scopes.join(" ")),
            ("generation", &generation),
        ];
        self.record(by, "connection.connected", &identity, &detail).await?;
        Ok(connection)
    }

    /// The consent that this return belongs to. It is used up before anything is done with it.
    async fn take_pending(
        &self,
        server: &ServerName,
        answer: &Form,
        visitor: &Visitor<'_>,
    ) -> Result<PendingConsent, ConnectError> {
        let state = answer.get("state").unwrap_or_default();
        let id = sha256(&[state.as_bytes()]).hex();
        let found = load::<PendingConsent>(self.store(), &id).await?.ok_or(ConnectError::NotBegun)?;
        let Versioned { value: pending, version } = found;
        let own = pending.session == *visitor.session && pending.by == *visitor.user;
        // Somebody else's stays as it is: whoever was lured here cannot spoil it either.
        if !own || pending.server != *server || pending.expires_at.is_past(self.now()) {
            return Err(ConnectError::NotBegun);
        }
        let used_up = Batch::new().delete::<PendingConsent>(&id, Expect::Version(version));
        match self.store().commit(used_up).await {
            Ok(_) => Ok(pending),
            Err(StoreError::Conflict { .. }) => Err(ConnectError::NotBegun),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores what was granted as the next generation of the connection. Whatever was there makes way, but is revoked
    /// nowhere: with authorization servers that keep one grant for a user and client, that would end the new tokens too.
    async fn keep(&self, pending: &PendingConsent, granted: &Granted) -> Result<Connection, ConnectError> {
        let id = Connection::id_of(&pending.server, pending.user.as_ref());
        for _ in 0..limits::REFRESH_COMMITS {
            let known = load::<Connection>(self.store(), &id).await?;
            let now = self.now();
            let scopes = granted.scopes.clone().unwrap_or_else(|| pending.scopes.clone());
            let mut next = Connection {
                server: pending.server.clone(),
                user: pending.user.clone(),
                connected_by: pending.by.clone(),
                issuer: pending.issuer.clone(),
                token_endpoint: pending.token_endpoint.clone(),
                revocation_endpoint: pending.revocation_endpoint.clone(),
                resource: pending.resource.clone(),
                client: pending.client.clone(),
                scopes,
                wanted: Vec::new(),
                generation: known.as_ref().map_or(1, |known| known.value.generation + 1),
                sealed: None,
                access_expires_at: tokens::end(granted, now),
                one_time: true,
                state: ConnectionState::Connected,
                connected_at: now,
                refreshed_at: now,
            };
            next.sealed = Some(self.seal(&next, &granted.tokens)?);
            let batch = match &known {
                None => Batch::new().insert(&next),
                Some(known) => Batch::new().update(&next, known.version),
            };
            match self.store().commit(batch).await {
                Ok(_) => return Ok(next),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectError::Busy)
    }
}

/// The code of an answer (RFC 6749 section 4.1.2, RFC 9207 section 2.4).
fn code<'a>(pending: &PendingConsent, answer: &'a Form) -> Result<&'a str, ConnectError> {
    let of_issuer = match answer.get("iss") {
        Some(issuer) => issuer == pending.issuer,
        None => !pending.names_issuer,
    };
    if !of_issuer {
        return Err(ConnectError::Foreign);
    }
    if let Some(error) = answer.get("error") {
        return Err(ConnectError::Refused(shown(answer.get("error_description").unwrap_or(error))));
    }
    answer.get("code").ok_or(ConnectError::NoCode)
}

fn location(found: &Found, pending: &PendingConsent, state: &str, verifier: &str) -> Url {
    let challenge = BASE64URL_NOPAD.encode(&sha256(&[verifier.as_bytes()]).0);
    let mut url = found.authorization.clone();
    let mut scopes = pending.scopes.clone();
    // Without it an OpenID provider gives no refresh token, and only if it asks the user (OpenID Connect Core section 11).
    let offline = found.knows_offline && !scopes.iter().any(|scope| scope == OFFLINE);
    if offline && !scopes.is_empty() {
        scopes.push(OFFLINE.to_owned());
    }
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &pending.client.id)
        .append_pair("redirect_uri", &pending.redirect_uri)
        .append_pair("state", state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .append_pair("resource", &pending.resource);
    if !scopes.is_empty() {
        query.append_pair("scope", &scopes.join(" "));
    }
    if scopes.iter().any(|scope| scope == OFFLINE) {
        query.append_pair("prompt", "consent");
    }
    drop(query);
    url
}

const OFFLINE: &str = "offline_access";

fn random(rng: &dyn Rng) -> String {
    let mut bytes = [0_u8; 32];
    rng.fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}
