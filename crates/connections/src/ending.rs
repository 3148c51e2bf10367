//! Disconnecting: denied here at once, then revoked at the authorization server (RFC 7009), then tried: what was revoked
//! must be dead. Each step is recorded before it is taken; one that a crash cut off can be taken again.

use crate::consent::Visitor;
use crate::ports::{Answered, NoAnswer};
use crate::settings::Settings;
use crate::tokens::{self, TokenError, Tokens};
use crate::{ConnectError, Connections};
use portunus_core::document::{Connection, ConnectionState};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::store::{Batch, StoreError, Versioned, load};

/// What became of the tokens at the authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// They were tried and are not accepted any more.
    Dead,
    /// They are still accepted.
    Alive,
    /// Nobody knows; why.
    Unverifiable(String),
}

impl Revoked {
    /// The word of the record.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Alive => "alive",
            Self::Unverifiable(_) => "unverifiable",
        }
    }
}

impl Connections {
    /// Ends a connection of the visitor's, or everybody's; `None` when there was none.
    ///
    /// # Errors
    /// When it is not the visitor's to end, or the store or the ledger fails.
    pub async fn disconnect(
        &self,
        server: &ServerName,
        visitor: &Visitor<'_>,
    ) -> Result<Option<Revoked>, ConnectError> {
        let settings = self.of(server).ok_or(ConnectError::Unknown)?;
        let user = visitor.owner(&settings)?;
        let id = Connection::id_of(server, user.as_ref());
        let by = visitor.user.as_str();
        let Some(ending) = self.begin_ending(&id, by).await? else { return Ok(None) };
        let revoked = self.revoke(&settings, &ending).await;
        let mut detail = vec![("tokens", revoked.word())];
        if let Revoked::Unverifiable(why) = &revoked {
            detail.push(("why", why));
        }
        self.record(by, "connection.disconnected", &ending.identity(), &detail).await?;
        self.end(&id).await?;
        Ok(Some(revoked))
    }

    /// From here on nothing uses it.
    async fn begin_ending(&self, id: &str, by: &str) -> Result<Option<Connection>, ConnectError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = load::<Connection>(self.store(), id).await? else {
                return Ok(None);
            };
            if matches!(value.state, ConnectionState::Disconnected { .. }) {
                return Ok(None);
            }
            self.record(by, "connection.disconnecting", &value.identity(), &[("issuer", &value.issuer)])
                .await?;
            let ending = Connection { state: ConnectionState::Disconnecting, ..value };
            match self.store().commit(Batch::new().update(&ending, version)).await {
                Ok(_) => return Ok(Some(ending)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectError::Busy)
    }

    async fn end(&self, id: &str) -> Result<(), ConnectError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = load::<Connection>(self.store(), id).await? else {
                return Ok(());
            };
            if value.state != ConnectionState::Disconnecting {
                return Ok(());
            }
            let state = ConnectionState::Disconnected { at: self.now() };
            let over = Connection { state, sealed: None, wanted: Vec::new(), ..value };
            match self.store().commit(Batch::new().update(&over, version)).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectError::Busy)
    }

    async fn revoke(&self, settings: &Settings, connection: &Connection) -> Revoked {
        let unknown = |why: &dyn std::fmt::Display| Revoked::Unverifiable(why.to_string());
        let tokens = match self.unseal(connection) {
            Ok(Some(tokens)) => tokens,
            Ok(None) => return unknown(&"there were no tokens any more"),
            Err(error) => return unknown(&error),
        };
        if let Err(why) = self.revoke_tokens(settings, connection, &tokens).await {
            return Revoked::Unverifiable(why);
        }
        let Some(refresh) = &tokens.refresh else {
            return unknown(&"it was revoked, and there is nothing to try it with");
        };
        let asker = match self.asker(settings, &connection.issuer, &connection.client) {
            Ok(asker) => asker,
            Err(error) => return unknown(&error),
        };
        let Some(endpoint) = settings.usable(&connection.token_endpoint) else {
            return unknown(&"its token endpoint may not be used any more");
        };
        let attempt = tokens::refreshing(settings, endpoint, &asker, refresh, &connection.resource);
        match settings.carrier.send(attempt).await {
            Err(error) => unknown(&error),
            Ok(answered) => match tokens::read(&answered) {
                Ok(granted) => {
                    // It gave new ones: these must not live on unknown to everybody.
                    let _ = self.revoke_tokens(settings, connection, &granted.tokens).await;
                    Revoked::Alive
                }
                Err(TokenError::Refused { error, .. }) if error == "invalid_grant" => Revoked::Dead,
                Err(error) => unknown(&error),
            },
        }
    }

    /// Revokes what came too late: the connection is to be none.
    pub(crate) async fn revoke_quietly(&self, settings: &Settings, connection: &Connection, tokens: &Tokens) {
        if let Err(why) = self.revoke_tokens(settings, connection, tokens).await {
            tracing::warn!(server = %settings.server, why, "tokens that came too late could not be revoked");
        }
    }

    async fn revoke_tokens(
        &self,
        settings: &Settings,
        connection: &Connection,
        tokens: &Tokens,
    ) -> Result<(), String> {
        let Some(endpoint) = &connection.revocation_endpoint else {
            return Err("its authorization server has no way to revoke; end the access there".to_owned());
        };
        let endpoint =
            settings.usable(endpoint).ok_or("its revocation endpoint may not be used any more".to_owned())?;
        let asker = self
            .asker(settings, &connection.issuer, &connection.client)
            .map_err(|error| error.to_string())?;
        // The refresh token first: with it the whole grant ends (RFC 7009 section 2.1).
        let each = tokens.refresh.iter().map(|token| (token.as_str(), "refresh_token"));
        for (token, hint) in each.chain([(tokens.access.as_str(), "access_token")]) {
            let request = tokens::revocation(settings, endpoint.clone(), &asker, token, hint);
            accepted(settings.carrier.send(request).await)?;
        }
        Ok(())
    }
}

fn accepted(answer: Result<Answered, NoAnswer>) -> Result<(), String> {
    match answer {
        Ok(answered) if answered.status == 200 => Ok(()),
        Ok(answered) => Err(format!("its revocation endpoint answered {}", answered.status)),
        Err(error) => Err(error.to_string()),
    }
}
