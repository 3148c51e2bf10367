//! Sending a user to an authorization server, and their return. What comes back counts only in the browser session that
//! began it, once, at the redirect URI of that very server, and when it names the authorization server that was asked.

use crate::discovery::{Found, discover, shown};
use crate::settings::{Settings, Whose};
use crate::tokens::{self, Granted};
use crate::{ConnectError, Connections};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{AnsweredConsent, Connection, ConnectionState, PendingConsent};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Expect, StoreError, Versioned, list_all, load};
use portunus_core::time::Rng;
use portunus_oauth::form::Form;
use portunus_vault::Belongs;
use std::sync::Arc;
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
            issuer_named: settings.issuer.is_some(),
            expires_at: self.now().plus(limits::CONSENT_TTL),
            answered: None,
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
        open.retain(|entry| entry.value.answered.is_none());
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
        let earlier = known.map(|known| known.value).filter(|known| !known.state.is_ended());
        for scope in earlier.iter().flat_map(|known| known.scopes.iter().chain(&known.wanted)) {
            if settings.more_scopes.contains(scope) && !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        Ok(scopes)
    }

    /// Takes the browser's return; the connection that there is now. From the moment that the answer is used up it goes on when
    /// the browser has gone.
    ///
    /// # Errors
    /// See [`ConnectError`]; nothing that was connected before is lost by any of them.
    pub async fn finish(
        &self,
        server: &ServerName,
        answer: &Form,
        visitor: &Visitor<'_>,
    ) -> Result<Connection, ConnectError> {
        let Versioned { value: mut pending, version } = self.pending(server, answer, visitor).await?;
        let settings = self.of(server).ok_or(ConnectError::Unknown)?;
        // Who may do so can have changed since.
        if visitor.owner(&settings)? != pending.user {
            return Err(ConnectError::NotBegun);
        }
        let code = code(&pending, answer);
        let belongs = Belongs::Code { state: &pending.state, session: &pending.session };
        let sealed_code = code
            .as_ref()
            .map(|code| self.0.parts.key.seal_belonging(&belongs, code.as_bytes(), &*self.0.parts.rng));
        let sealed_code = sealed_code.unwrap_or(Ok(String::new()))?;
        pending.answered = Some(AnsweredConsent { sealed_code, at: self.now() });
        let (own, refused) = (self.clone(), code.err());
        let work = async move {
            // It is used up before anything is done with it.
            match own.store().commit(Batch::new().update(&pending, version)).await {
                Ok(_) => {}
                Err(StoreError::Conflict { .. }) => return Err(ConnectError::NotBegun),
                Err(error) => return Err(error.into()),
            }
            match refused {
                None => own.redeem(settings, pending).await,
                Some(error) => {
                    own.refuse(&pending, &error.to_string()).await?;
                    Err(error)
                }
            }
        };
        self.outliving(work).await
    }

    /// The consent that this return belongs to.
    async fn pending(
        &self,
        server: &ServerName,
        answer: &Form,
        visitor: &Visitor<'_>,
    ) -> Result<Versioned<PendingConsent>, ConnectError> {
        let state = answer.get("state").unwrap_or_default();
        let id = sha256(&[state.as_bytes()]).hex();
        let found = load::<PendingConsent>(self.store(), &id).await?.ok_or(ConnectError::NotBegun)?;
        let pending = &found.value;
        let own = pending.session == *visitor.session && pending.by == *visitor.user;
        let over = pending.answered.is_some() || pending.expires_at.is_past(self.now());
        // Somebody else's stays as it is: whoever was lured here cannot spoil it either.
        if !own || pending.server != *server || over {
            return Err(ConnectError::NotBegun);
        }
        Ok(found)
    }

    /// Redeems the code of an answer and stores what it gave. A consent whose code may have been redeemed without anybody
    /// knowing is left for [`sweep`](crate::sweep).
    pub(crate) async fn redeem(
        &self,
        settings: Arc<Settings>,
        pending: PendingConsent,
    ) -> Result<Connection, ConnectError> {
        let done = self.redeemed(&settings, &pending).await;
        if let Err(error) = &done
            && !error.is_to_be_resumed()
        {
            self.refuse(&pending, &error.to_string()).await?;
        }
        done
    }

    async fn redeemed(
        &self,
        settings: &Settings,
        pending: &PendingConsent,
    ) -> Result<Connection, ConnectError> {
        let identity = Connection::identity_of(&pending.server, pending.user.as_ref());
        let by = pending.by.as_str();
        self.record(by, "connection.connecting", &identity, &[("issuer", &pending.issuer)]).await?;
        let open = |belongs: &Belongs<'_>, sealed: &str| {
            let plain = self.0.parts.key.open_belonging(belongs, sealed)?;
            let text = String::from_utf8(plain.expose().clone()).map_err(|_| ConnectError::NotBegun)?;
            Ok::<_, ConnectError>(Secret::new(text))
        };
        let PendingConsent { state, session, redirect_uri, resource, .. } = pending;
        let sealed_code = pending.answered.as_ref().map_or("", |answered| &answered.sealed_code);
        let code = open(&Belongs::Code { state, session }, sealed_code)?;
        let verifier = open(&Belongs::Verifier { state, session }, &pending.sealed_verifier)?;
        let asker = self.asker(settings, &pending.issuer, &pending.client)?;
        let endpoint = settings.usable(&pending.token_endpoint).ok_or(ConnectError::NotBegun)?;
        let (code, verifier) = (code.expose(), verifier.expose());
        let request = tokens::redemption(settings, endpoint, &asker, code, verifier, redirect_uri, resource);
        let granted = tokens::read(&settings.carrier.send(request).await?)?;
        let connection = match self.keep(pending, &granted).await {
            Ok(connection) => connection,
            Err((lost, error)) => {
                // Nobody will ever know of them.
                self.revoke_quietly(settings, &lost, &granted.tokens).await;
                return Err(error);
            }
        };
        let generation = connection.generation.to_string();
        let detail = [
            ("issuer", connection.issuer.as_str()),
            ("scopes", &connection.scopes.join(" ")),
            ("generation", &generation),
        ];
        self.record(by, "connection.connected", &identity, &detail).await?;
        Ok(connection)
    }

    /// Stores what was granted as the next generation of the connection, and forgets the consent with it. Whatever was there
    /// makes way, but is revoked nowhere: with authorization servers that keep one grant for a user and client, that would end
    /// the new tokens too.
    async fn keep(
        &self,
        pending: &PendingConsent,
        granted: &Granted,
    ) -> Result<Connection, (Box<Connection>, ConnectError)> {
        let now = self.now();
        let mut next = Connection {
            server: pending.server.clone(),
            user: pending.user.clone(),
            connected_by: pending.by.clone(),
            issuer: pending.issuer.clone(),
            token_endpoint: pending.token_endpoint.clone(),
            revocation_endpoint: pending.revocation_endpoint.clone(),
            resource: pending.resource.clone(),
            client: pending.client.clone(),
            scopes: granted.scopes.clone().unwrap_or_else(|| pending.scopes.clone()),
            wanted: Vec::new(),
            generation: 1,
            sealed: None,
            access_expires_at: tokens::end(granted, now),
            one_time: true,
            state: ConnectionState::Connected,
            connected_at: now,
            refreshed_at: now,
            issuer_named: pending.issuer_named,
            tested: None,
        };
        for _ in 0..limits::REFRESH_COMMITS {
            match self.try_to_keep(&mut next, pending, granted).await {
                Ok(()) => return Ok(next),
                Err(ConnectError::Store(StoreError::Conflict { .. })) => {}
                Err(error) => return Err((Box::new(next), error)),
            }
        }
        Err((Box::new(next), ConnectError::Busy))
    }

    async fn try_to_keep(
        &self,
        next: &mut Connection,
        pending: &PendingConsent,
        granted: &Granted,
    ) -> Result<(), ConnectError> {
        let id = Connection::id_of(&pending.server, pending.user.as_ref());
        let known = load::<Connection>(self.store(), &id).await?;
        next.generation = known.as_ref().map_or(1, |known| known.value.generation + 1);
        next.sealed = Some(self.seal(next, &granted.tokens)?);
        let batch = match &known {
            None => Batch::new().insert(next),
            Some(known) => Batch::new().update(next, known.version),
        };
        let batch = batch.delete::<PendingConsent>(&pending.state.hex(), Expect::Any);
        self.store().commit(batch).await?;
        Ok(())
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

pub(crate) fn random(rng: &dyn Rng) -> String {
    let mut bytes = [0_u8; 32];
    rng.fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}
