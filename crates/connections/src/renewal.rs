//! Refreshing. A refresh token is sent by one process at a time, and once: whoever wants to send it first claims the
//! connection by compare-and-swap; everybody else waits until the generation moves. However the exchange ends, the
//! connection says what became of the token:
//!
//! | what happened | what it is then |
//! |---|---|
//! | new tokens | the next generation |
//! | nothing was sent, or the authorization server said that it did nothing (429, 503, an error of ours) | connected, as before |
//! | `invalid_grant` | needs consent |
//! | nobody knows: no whole answer, another error, the process died | needs consent, unless the token is known to be good more than once: then it is simply sent again |
//!
//! Within a process all who need the same generation share one flight, which goes on when they stop waiting: a client that
//! hangs up must not lose tokens that are on their way.

use crate::error::NOT_CONNECTED;
use crate::settings::Settings;
use crate::tokens::{self, Granted, TokenError};
use crate::warm::Held;
use crate::{ConnectionError, Connections, NoAnswer};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use portunus_core::document::{Connection, ConnectionState};
use portunus_core::id::{self, Id, UserName};
use portunus_core::limits;
use portunus_core::store::{Batch, StoreError, Versioned, load};
use portunus_core::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

/// A renewal under way in this process, for everybody who needs it.
pub(crate) type Flight = Shared<BoxFuture<'static, Result<Arc<Held>, ConnectionError>>>;

/// Why, for people.
const INTERRUPTED: &str =
    "renewing it was interrupted, so that nobody knows whether the access is still good";

impl Connections {
    /// A generation of the connection later than this one, by renewing it unless somebody else does.
    pub(crate) async fn renewed(
        &self,
        settings: &Arc<Settings>,
        id: &str,
        generation: u64,
    ) -> Result<Arc<Held>, ConnectionError> {
        let key = (id.to_owned(), generation);
        let flight = {
            let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // One that has landed says nothing about now.
            match flights.get(&key).filter(|flight| flight.peek().is_none()) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.begin_flight(settings.clone(), key.clone());
                    flights.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    fn begin_flight(&self, settings: Arc<Settings>, key: (String, u64)) -> Flight {
        let own = self.clone();
        let (id, generation) = key.clone();
        let flight: Flight = async move { own.renew(&settings, &id, generation).await }.boxed().shared();
        let (own, driven) = (self.clone(), flight.clone());
        self.0.parts.runtime.spawn(
            async move {
                let _ = driven.clone().await;
                let mut flights = own.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
                if flights.get(&key).is_some_and(|flight| flight.ptr_eq(&driven)) {
                    flights.remove(&key);
                }
            }
            .boxed(),
        );
        flight
    }

    async fn renew(
        &self,
        settings: &Settings,
        id: &str,
        generation: u64,
    ) -> Result<Arc<Held>, ConnectionError> {
        loop {
            let epoch = self.0.warm.epoch();
            let Some(found) = load::<Connection>(self.store(), id).await? else {
                return Err(settings.need(owner_of(id), NOT_CONNECTED));
            };
            let Versioned { value: connection, version } = found;
            let usable =
                matches!(connection.state, ConnectionState::Connected | ConnectionState::Refreshing { .. });
            if connection.generation > generation && usable && connection.sealed.is_some() {
                let held = held(connection, self.now());
                self.0.warm.keep(id, &held, epoch);
                return Ok(held);
            }
            match &connection.state {
                ConnectionState::Refreshing { until, .. } if !until.is_past(self.now()) => {
                    self.0.parts.runtime.pause(limits::REFRESH_LOOK).await;
                }
                ConnectionState::Refreshing { .. } if connection.one_time => {
                    self.give_up(&connection, version, INTERRUPTED).await?;
                }
                // A turn that is over with a token that is good more than once: whoever had it is gone, the token is not.
                ConnectionState::Refreshing { .. } | ConnectionState::Connected => {
                    self.unpaused(settings, id)?;
                    if let Some(claim) = self.claim(&connection, version).await? {
                        return self.exchange(settings, claim).await;
                    }
                }
                state => return Err(settings.need(connection.user.clone(), &why(state))),
            }
        }
    }

    /// Takes the turn; `None` when somebody else was first.
    async fn claim(&self, connection: &Connection, version: u64) -> Result<Option<Claim>, ConnectionError> {
        let now = self.now();
        let holder = id::mint("ref", now, &*self.0.parts.rng);
        let until = now.plus(limits::REFRESH_TURN);
        let state = ConnectionState::Refreshing { holder: holder.clone(), until };
        let claimed = Connection { state, ..connection.clone() };
        match self.store().commit(Batch::new().update(&claimed, version)).await {
            Ok(_) => Ok(Some(Claim { connection: claimed, holder })),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One exchange with the authorization server, by whoever has the turn.
    async fn exchange(&self, settings: &Settings, claim: Claim) -> Result<Arc<Held>, ConnectionError> {
        let Claim { connection, .. } = &claim;
        let request = match self.request(settings, connection).await {
            Ok(Some(request)) => request,
            Ok(None) => {
                let why = "the access has ended, and the authorization server gave nothing to renew it with";
                return self.ended(settings, &claim, why).await;
            }
            // Nothing was sent: the turn goes back.
            Err(error) => return self.unsent(settings, &claim, error).await,
        };
        let unavailable = |why: String| ConnectionError::Unavailable { server: settings.server.clone(), why };
        // Recording took its time: nothing is sent that could not be answered within the turn.
        let ends = match &connection.state {
            ConnectionState::Refreshing { until, .. } => *until,
            _ => self.now(),
        };
        if ends.is_past(self.now().plus(limits::CONNECTION_TIMEOUT)) {
            return self.unsent(settings, &claim, unavailable("it took too long here".to_owned())).await;
        }
        match settings.carrier.send(request).await {
            Err(error @ NoAnswer::Unsent { .. }) => {
                self.unsent(settings, &claim, unavailable(error.to_string())).await
            }
            Err(error @ NoAnswer::Lost { .. }) => self.unknown(settings, &claim, &error.to_string()).await,
            Ok(answered) => match tokens::read(&answered) {
                Ok(granted) => self.take(settings, &claim, granted).await,
                Err(TokenError::Refused { error, description }) if error == "invalid_grant" => {
                    tracing::warn!(server = %settings.server, description, "a connection was ended at its authorization server");
                    let why = "the authorization server no longer accepts what it gave";
                    self.ended(settings, &claim, why).await
                }
                Err(error @ TokenError::Refused { .. }) => {
                    self.unsent(settings, &claim, unavailable(error.to_string())).await
                }
                Err(error @ TokenError::NoTokens(429 | 503)) => {
                    self.unsent(settings, &claim, unavailable(error.to_string())).await
                }
                Err(error) => self.unknown(settings, &claim, &error.to_string()).await,
            },
        }
    }

    /// The request, recorded before it is sent; `None` when there is no refresh token.
    async fn request(
        &self,
        settings: &Settings,
        connection: &Connection,
    ) -> Result<Option<crate::Outgoing>, ConnectionError> {
        let Some(tokens) = self.unseal(connection)? else { return Ok(None) };
        let Some(refresh) = &tokens.refresh else { return Ok(None) };
        let failed = |why| ConnectionError::Sealed { server: settings.server.clone(), why };
        let asker = self.asker(settings, &connection.issuer, &connection.client).map_err(failed)?;
        let endpoint = tokens::stored(settings, &connection.server, &connection.token_endpoint)?;
        let generation = connection.generation.to_string();
        let detail = [("issuer", connection.issuer.as_str()), ("generation", &generation)];
        self.record("portunus", "connection.refreshing", &connection.identity(), &detail).await?;
        Ok(Some(tokens::refreshing(settings, endpoint, &asker, refresh, &connection.resource)))
    }

    /// New tokens: they are stored, whatever else was changed about the connection meanwhile, unless it is another one by
    /// now or is to be none.
    async fn take(
        &self,
        settings: &Settings,
        claim: &Claim,
        granted: Granted,
    ) -> Result<Arc<Held>, ConnectionError> {
        let mut base = claim.connection.clone();
        let same =
            |old: &tokens::Tokens| granted.tokens.refresh.is_none() || granted.tokens.refresh == old.refresh;
        let old = self.unseal(&base)?;
        let one_time = !old.as_ref().is_some_and(same);
        let Granted { mut tokens, expires_in, scopes } = granted;
        let refresh = tokens.refresh.take().or_else(|| old.as_ref().and_then(|old| old.refresh.clone()));
        tokens.refresh = refresh;
        let ends = expires_in.map(|secs| self.now().plus(std::time::Duration::from_secs(secs)));
        let mut failure = None;
        for _ in 0..limits::REFRESH_COMMITS {
            let found = match load::<Connection>(self.store(), &base.identity_id()).await {
                Ok(found) => found,
                Err(error) => {
                    failure = Some(error);
                    self.0.parts.runtime.pause(limits::REFRESH_LOOK).await;
                    continue;
                }
            };
            let Some(Versioned { value: current, version }) =
                found.filter(|f| f.value.generation == base.generation)
            else {
                // A newer consent. Its tokens stand; ours are dropped and not revoked, which could end that one too.
                return self.winner(settings, &base).await;
            };
            base = current;
            // To be none by now: these are the next that are to be ended, and nothing uses them.
            let state = match base.state.is_ended() {
                true => ConnectionState::Disconnecting { by: "portunus".to_owned(), since: self.now() },
                false => ConnectionState::Connected,
            };
            let mut next = Connection {
                generation: base.generation + 1,
                scopes: scopes.clone().unwrap_or_else(|| base.scopes.clone()),
                access_expires_at: ends,
                one_time,
                state,
                refreshed_at: self.now(),
                tested: None,
                ..base.clone()
            };
            let failed = |why| ConnectionError::Sealed { server: settings.server.clone(), why };
            next.sealed = Some(self.seal(&next, &tokens).map_err(failed)?);
            match self.store().commit(Batch::new().update(&next, version)).await {
                Ok(_) if next.state.is_ended() => {
                    let (own, id) = (self.clone(), base.identity_id());
                    self.0.parts.runtime.spawn(async move { drop(own.settle(&id).await) }.boxed());
                    return Err(settings.need(base.user.clone(), NOT_CONNECTED));
                }
                Ok(_) => {
                    let generation = next.generation.to_string();
                    let detail = [("generation", generation.as_str())];
                    self.record("portunus", "connection.refreshed", &next.identity(), &detail).await?;
                    return Ok(held(next, self.now()));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => {
                    failure = Some(error);
                    self.0.parts.runtime.pause(limits::REFRESH_LOOK).await;
                }
            }
        }
        // They are lost: the claim stays, and whoever finds it past its turn says so.
        Err(failure.unwrap_or(StoreError::Conflict { kind: "connection" }).into())
    }

    /// What somebody else stored while we had our turn.
    async fn winner(&self, settings: &Settings, ours: &Connection) -> Result<Arc<Held>, ConnectionError> {
        let found = load::<Connection>(self.store(), &ours.identity_id()).await?;
        match found.filter(|found| found.value.sealed.is_some() && !found.value.state.is_ended()) {
            Some(found) => Ok(held(found.value, self.now())),
            None => Err(settings.need(ours.user.clone(), NOT_CONNECTED)),
        }
    }

    /// Nothing became of it: connected as before, and a pause before the next attempt.
    async fn unsent(
        &self,
        settings: &Settings,
        claim: &Claim,
        error: ConnectionError,
    ) -> Result<Arc<Held>, ConnectionError> {
        tracing::warn!(server = %settings.server, %error, "a connection could not be renewed");
        self.release(claim).await?;
        let mut paused = self.paused();
        if paused.len() >= limits::CACHED_CONNECTIONS {
            paused.clear();
        }
        paused.insert(claim.connection.identity_id(), (self.now(), error.to_string()));
        drop(paused);
        Err(error)
    }

    /// Nobody knows what became of it.
    async fn unknown(
        &self,
        settings: &Settings,
        claim: &Claim,
        why: &str,
    ) -> Result<Arc<Held>, ConnectionError> {
        if claim.connection.one_time {
            tracing::warn!(server = %settings.server, why, "nobody knows what became of a refresh token");
            return self.ended(settings, claim, INTERRUPTED).await;
        }
        let why = why.to_owned();
        let error = ConnectionError::Unavailable { server: settings.server.clone(), why };
        self.unsent(settings, claim, error).await
    }

    async fn ended(
        &self,
        settings: &Settings,
        claim: &Claim,
        why: &str,
    ) -> Result<Arc<Held>, ConnectionError> {
        let found = self.own(claim).await?;
        if let Some(Versioned { value, version }) = found {
            self.give_up(&value, version, why).await?;
        }
        Err(settings.need(claim.connection.user.clone(), why))
    }

    /// The connection stays, and says that its user must come.
    pub(crate) async fn give_up(
        &self,
        connection: &Connection,
        version: u64,
        why: &str,
    ) -> Result<(), ConnectionError> {
        let generation = connection.generation.to_string();
        let detail = [("why", why), ("generation", generation.as_str())];
        self.record("portunus", "connection.needs_consent", &connection.identity(), &detail).await?;
        let state = ConnectionState::NeedsConsent { why: why.to_owned() };
        let ended = Connection { state, ..connection.clone() };
        match self.store().commit(Batch::new().update(&ended, version)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The claim is given back, if it is still ours.
    async fn release(&self, claim: &Claim) -> Result<(), ConnectionError> {
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = self.own(claim).await? else { return Ok(()) };
            let released = Connection { state: ConnectionState::Connected, ..value };
            match self.store().commit(Batch::new().update(&released, version)).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The connection, while it is claimed by us.
    async fn own(&self, claim: &Claim) -> Result<Option<Versioned<Connection>>, StoreError> {
        let found = load::<Connection>(self.store(), &claim.connection.identity_id()).await?;
        let is_ours = |found: &Versioned<Connection>| matches!(&found.value.state, ConnectionState::Refreshing { holder, .. } if *holder == claim.holder);
        Ok(found.filter(is_ours))
    }

    fn unpaused(&self, settings: &Settings, id: &str) -> Result<(), ConnectionError> {
        match self.paused().get(id) {
            Some((at, why)) if self.now().since(*at) < limits::REFRESH_PAUSE => {
                Err(ConnectionError::Unavailable { server: settings.server.clone(), why: why.clone() })
            }
            _ => Ok(()),
        }
    }

    fn paused(&self) -> MutexGuard<'_, HashMap<String, (Timestamp, String)>> {
        self.0.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn.
struct Claim {
    /// As it was claimed.
    connection: Connection,
    holder: Id,
}

trait IdentityId {
    fn identity_id(&self) -> String;
}

impl IdentityId for Connection {
    fn identity_id(&self) -> String {
        Self::id_of(&self.server, self.user.as_ref())
    }
}

pub(crate) fn held(connection: Connection, read_at: Timestamp) -> Arc<Held> {
    Arc::new(Held { connection, read_at })
}

/// Why a connection in this state is of no use.
pub(crate) fn why(state: &ConnectionState) -> String {
    match state {
        ConnectionState::NeedsConsent { why } => why.clone(),
        _ => NOT_CONNECTED.to_owned(),
    }
}

/// Whose connection has this id.
fn owner_of(id: &str) -> Option<UserName> {
    id.split_once('/').and_then(|(_, user)| user.parse().ok())
}
