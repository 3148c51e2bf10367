//! The end of a connection: denied here at once, then revoked at the authorization server (RFC 7009), then tried: what was
//! revoked must be dead. It goes on when whoever asked has gone, and each step is recorded before it is taken: what a crash cut
//! off, or an authorization server that did not answer, is taken up again by [`sweep`](crate::sweep).

use crate::consent::Visitor;
use crate::ports::NoAnswer;
use crate::settings::Settings;
use crate::tokens::{self, TokenError, Tokens};
use crate::{ConnectError, Connections};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use portunus_core::document::{Connection, ConnectionState, TestOutcome, Tested};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::store::{Batch, StoreError, Versioned, load};
use std::sync::PoisonError;

/// An end under way in this process, for everybody who waits for it.
pub(crate) type Ending = Shared<BoxFuture<'static, Result<Option<Tested>, ConnectError>>>;

/// What an attempt to end tokens came to, in words for people.
enum Attempt {
    /// It is known, or can never be.
    Over(TestOutcome, String),
    /// The authorization server did not do it now.
    Later(String),
}

fn unknown(why: impl ToString) -> Attempt {
    Attempt::Over(TestOutcome::Unverifiable, why.to_string())
}

impl Connections {
    /// Ends a connection of the visitor's, or everybody's; what was seen of its tokens then. `None`: there was none.
    ///
    /// # Errors
    /// When it is not the visitor's to end, or the store or the ledger fails.
    pub async fn disconnect(
        &self,
        server: &ServerName,
        visitor: &Visitor<'_>,
    ) -> Result<Option<Tested>, ConnectError> {
        let settings = self.of(server).ok_or(ConnectError::Unknown)?;
        let user = visitor.owner(&settings)?;
        let id = Connection::id_of(server, user.as_ref());
        let found = load::<Connection>(self.store(), &id).await?.map(|found| found.value);
        match found {
            None => return Ok(None),
            Some(Connection { state: ConnectionState::Disconnected { .. }, .. }) => return Ok(None),
            // Asked just now: whoever clicks again and again does not make us ask again and again.
            Some(Connection {
                state: ConnectionState::Disconnecting { .. }, tested: Some(tested), ..
            }) if self.now().since(tested.at) < limits::REFRESH_PAUSE => {
                return Ok(Some(tested));
            }
            Some(_) => {}
        }
        self.end(&id, visitor.user.as_str(), "").await
    }

    /// Ends the connection of this id and sees to its tokens, whoever stops waiting for it; what was seen of them. `None`: there
    /// was none, or none that is not proven dead.
    ///
    /// # Errors
    /// When the store or the ledger fails. That the authorization server does not answer is no error: it is asked again later.
    pub async fn end(&self, id: &str, by: &str, why: &str) -> Result<Option<Tested>, ConnectError> {
        let (own, id, by, why) = (self.clone(), id.to_owned(), by.to_owned(), why.to_owned());
        let work = async move {
            match own.deny(&id, &by, &why).await? {
                true => own.settle(&id).await,
                false => Ok(None),
            }
        };
        self.outliving(work).await
    }

    /// The first half of [`Connections::end`]: when this returns, nothing here uses the connection any more. False: there is
    /// nothing to end.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn deny(&self, id: &str, by: &str, why: &str) -> Result<bool, ConnectError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = load::<Connection>(self.store(), id).await? else {
                return Ok(false);
            };
            match &value.state {
                ConnectionState::Disconnecting { .. } => return Ok(true),
                ConnectionState::Disconnected { .. } if value.sealed.is_none() => return Ok(false),
                _ => {}
            }
            let mut detail = vec![("issuer", value.issuer.as_str())];
            if !why.is_empty() {
                detail.push(("why", why));
            }
            self.record(by, "connection.disconnecting", &value.identity(), &detail).await?;
            let state = ConnectionState::Disconnecting { by: by.to_owned(), since: self.now() };
            let ending = Connection { state, tested: None, ..value };
            match self.store().commit(Batch::new().update(&ending, version)).await {
                Ok(_) => return Ok(true),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectError::Busy)
    }

    /// The second half: the tokens of a connection that was denied are revoked and tried. Within a process all who want the
    /// same share one attempt; two processes at once do no harm, since what is asked may be asked twice.
    ///
    /// # Errors
    /// See [`Connections::end`].
    pub async fn settle(&self, id: &str) -> Result<Option<Tested>, ConnectError> {
        let ending = {
            let mut endings = self.0.endings.lock().unwrap_or_else(PoisonError::into_inner);
            endings.retain(|_, ending| ending.peek().is_none());
            match endings.get(id) {
                Some(ending) => ending.clone(),
                None => {
                    let (own, key) = (self.clone(), id.to_owned());
                    let ending: Ending = async move { own.attempt(&key).await }.boxed().shared();
                    endings.insert(id.to_owned(), ending.clone());
                    self.0.parts.runtime.spawn(ending.clone().map(drop).boxed());
                    ending
                }
            }
        };
        ending.await
    }

    /// Once more when other tokens came meanwhile, from a renewal that was under way.
    async fn attempt(&self, id: &str) -> Result<Option<Tested>, ConnectError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(found) = load::<Connection>(self.store(), id).await? else { return Ok(None) };
            let ConnectionState::Disconnecting { by, since } = &found.value.state else {
                return Ok(found.value.tested);
            };
            let attempt = match self.as_made(&found.value) {
                Some(settings) => self.revoke(&settings, &found.value).await,
                None => unknown("what it was for is no URL"),
            };
            let (outcome, detail, over) = match attempt {
                Attempt::Over(outcome, detail) => (outcome, detail, true),
                Attempt::Later(why) => {
                    let over = self.now().since(*since) >= limits::ENDING_TRIED;
                    let rest = if over { "it was tried for a day" } else { "it is tried again every minute" };
                    (TestOutcome::Unverifiable, format!("{why}; {rest}"), over)
                }
            };
            let version = u32::try_from(found.value.generation).unwrap_or(u32::MAX);
            let tested = Tested { at: self.now(), version, outcome, detail };
            if over {
                let detail = [("tokens", outcome.word()), ("why", &tested.detail)];
                self.record(by, "connection.disconnected", &found.value.identity(), &detail).await?;
            }
            if self.note(id, found.value.generation, &tested, over).await? {
                return Ok(Some(tested));
            }
        }
        Err(ConnectError::Busy)
    }

    /// False: there are other tokens by now, which are to be ended too.
    async fn note(
        &self,
        id: &str,
        generation: u64,
        tested: &Tested,
        over: bool,
    ) -> Result<bool, ConnectError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = load::<Connection>(self.store(), id).await? else {
                return Ok(true);
            };
            if !matches!(value.state, ConnectionState::Disconnecting { .. }) {
                return Ok(true);
            }
            if value.generation != generation {
                return Ok(false);
            }
            let mut next = Connection { tested: Some(tested.clone()), ..value };
            if over {
                next.state = ConnectionState::Disconnected { at: self.now() };
                next.wanted = Vec::new();
            }
            if next.is_proven_dead() {
                next.sealed = None;
            }
            match self.store().commit(Batch::new().update(&next, version)).await {
                Ok(_) => return Ok(true),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectError::Busy)
    }

    async fn revoke(&self, settings: &Settings, connection: &Connection) -> Attempt {
        let tokens = match self.unseal(connection) {
            Ok(Some(tokens)) => tokens,
            Ok(None) => return unknown("there were no tokens any more"),
            Err(error) => return unknown(error),
        };
        if let Err(attempt) = self.revoke_tokens(settings, connection, &tokens).await {
            return attempt;
        }
        let Some(refresh) = &tokens.refresh else {
            return unknown("it was revoked, and there is nothing to try it with");
        };
        let asker = match self.asker(settings, &connection.issuer, &connection.client) {
            Ok(asker) => asker,
            Err(error) => return unknown(error),
        };
        let Some(endpoint) = settings.usable(&connection.token_endpoint) else {
            return unknown("its token endpoint may not be used any more");
        };
        let trial = tokens::refreshing(settings, endpoint, &asker, refresh, &connection.resource);
        let answered = match settings.carrier.send(trial).await {
            Err(error) => return Attempt::Later(error.to_string()),
            Ok(answered) => answered,
        };
        match tokens::read(&answered) {
            Ok(granted) => {
                // It gave new ones: these must not live on unknown to everybody.
                let _ = self.revoke_tokens(settings, connection, &granted.tokens).await;
                let detail = "its authorization server still accepts what it revoked; end the access there";
                Attempt::Over(TestOutcome::Alive, detail.to_owned())
            }
            Err(TokenError::Refused { error, .. }) if error == "invalid_grant" => {
                let detail = "its authorization server no longer accepts it".to_owned();
                Attempt::Over(TestOutcome::Dead, detail)
            }
            Err(error @ TokenError::Refused { .. }) => unknown(error),
            Err(error) if is_passing(answered.status) => Attempt::Later(error.to_string()),
            Err(error) => unknown(error),
        }
    }

    /// Revokes what nobody will know of.
    pub(crate) async fn revoke_quietly(&self, settings: &Settings, connection: &Connection, tokens: &Tokens) {
        if let Err(Attempt::Over(_, why) | Attempt::Later(why)) =
            self.revoke_tokens(settings, connection, tokens).await
        {
            tracing::warn!(server = %settings.server, why, "tokens that could not be stored could not be revoked either");
        }
    }

    async fn revoke_tokens(
        &self,
        settings: &Settings,
        connection: &Connection,
        tokens: &Tokens,
    ) -> Result<(), Attempt> {
        let Some(endpoint) = &connection.revocation_endpoint else {
            return Err(unknown("its authorization server has no way to revoke; end the access there"));
        };
        let endpoint = settings
            .usable(endpoint)
            .ok_or_else(|| unknown("its revocation endpoint may not be used any more"))?;
        // The refresh token first: with it the whole grant ends (RFC 7009 section 2.1).
        let each = tokens.refresh.iter().map(|token| (token.as_str(), "refresh_token"));
        for (token, hint) in each.chain([(tokens.access.as_str(), "access_token")]) {
            let asker = self.asker(settings, &connection.issuer, &connection.client).map_err(unknown)?;
            let request = tokens::revocation(settings, endpoint.clone(), &asker, token, hint);
            let answered = settings.carrier.send(request).await;
            let answered = answered.map_err(|error: NoAnswer| Attempt::Later(error.to_string()))?;
            let why = || format!("its revocation endpoint answered {}", answered.status);
            match answered.status {
                200 => {}
                status if is_passing(status) => return Err(Attempt::Later(why())),
                _ => return Err(unknown(why())),
            }
        }
        Ok(())
    }
}

/// Whether another answer may come later.
const fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}
