//! The way of a call: `bound` before the decision, renewed when its end is near; `open` only with a permit for the same
//! server; `inject` only towards the host of the server's own URL, as the last thing.

use crate::error::{NOT_CONNECTED, Need};
use crate::renewal::{held, why};
use crate::settings::Settings;
use crate::warm::Held;
use crate::{ConnectionError, Connections};
use http::{HeaderMap, HeaderValue, header};
use portunus_core::document::{Connection, ConnectionState};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::record::ConnectionUse;
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, StoreError, Versioned, load};
use portunus_core::time::Timestamp;
use portunus_policy::Permit;
use std::fmt;
use std::sync::Arc;

/// A connection that may be used for a call, not yet opened.
#[derive(Clone)]
pub struct Bound {
    settings: Arc<Settings>,
    held: Arc<Held>,
    used: ConnectionUse,
}

/// An opened access token on its way into one request.
pub struct Opened {
    server: ServerName,
    host: Option<String>,
    value: HeaderValue,
}

impl Connections {
    /// The connection for a call of this user to this server, good for a while yet; `None`: the server is not connected to
    /// by OAuth. Looks into the store only when it was not used lately.
    ///
    /// # Errors
    /// When the user must act first, it cannot be renewed now, or the store fails.
    pub async fn bound(
        &self,
        server: &ServerName,
        user: &UserName,
    ) -> Result<Option<Bound>, ConnectionError> {
        let Some(settings) = self.of(server) else { return Ok(None) };
        let id = Connection::id_of(server, settings.owner(user));
        let held = self.held(&settings, &id, settings.owner(user)).await?;
        let (connection, now) = (&held.connection, self.now());
        let usable =
            matches!(connection.state, ConnectionState::Connected | ConnectionState::Refreshing { .. });
        if !usable || connection.sealed.is_none() {
            return Err(settings.need(connection.user.clone(), &why(&connection.state)));
        }
        self.still_fits(&settings, connection)?;
        if !ends_soon(connection, now) {
            return Ok(Some(Bound::new(settings, held)));
        }
        match self.renewed(&settings, &id, connection.generation).await {
            Ok(renewed) => Ok(Some(Bound::new(settings, renewed))),
            // It was renewed ahead of its end, so it is good for a moment yet.
            Err(ConnectionError::Unavailable { .. }) if !has_ended(connection, now) => {
                Ok(Some(Bound::new(settings, held)))
            }
            Err(error) => Err(error),
        }
    }

    /// The connection after the server did not accept this one's token: renewed once. `None`: it was renewed just now, so
    /// that another token would fare no better.
    ///
    /// # Errors
    /// See [`Connections::bound`].
    pub async fn after_refusal(&self, bound: &Bound) -> Result<Option<Bound>, ConnectionError> {
        let connection = &bound.held.connection;
        let id = Connection::id_of(&connection.server, connection.user.as_ref());
        self.0.warm.doubt(&id);
        let current = load::<Connection>(self.store(), &id).await?;
        let newer = current.is_some_and(|current| current.value.generation > connection.generation);
        if !newer && self.now().since(connection.refreshed_at) < limits::REFRESH_PAUSE {
            return Ok(None);
        }
        let renewed = self.renewed(&bound.settings, &id, connection.generation).await?;
        self.still_fits(&bound.settings, &renewed.connection)?;
        Ok(Some(Bound::new(bound.settings.clone(), renewed)))
    }

    /// The server wants more scopes: what the user must do. The connection stays as it is for everything else.
    ///
    /// # Errors
    /// Always: [`ConnectionError::Needed`], or why it cannot be.
    pub async fn want(&self, bound: &Bound, scopes: &[String]) -> Result<(), ConnectionError> {
        let settings = &bound.settings;
        let lacking: Vec<&String> =
            scopes.iter().filter(|scope| !bound.held.connection.scopes.contains(scope)).collect();
        let allowed =
            |scope: &str| settings.scopes.iter().chain(&settings.more_scopes).any(|allowed| allowed == scope);
        if let Some(scope) = lacking.iter().find(|scope| !allowed(scope)) {
            let (server, scope) = (settings.server.clone(), crate::discovery::shown(scope));
            return Err(ConnectionError::ScopeNotAllowed { server, scope });
        }
        self.note_wanted(&bound.held.connection, &lacking).await?;
        let scopes: Vec<String> = lacking.into_iter().cloned().collect();
        Err(ConnectionError::Needed(Box::new(Need {
            server: settings.server.clone(),
            title: settings.title.clone(),
            user: bound.held.connection.user.clone(),
            why: "it asks for more than was agreed to".to_owned(),
            scopes,
        })))
    }

    /// Why the call was refused by the server although its connection is fresh.
    #[must_use]
    pub fn refused(&self, bound: &Bound) -> ConnectionError {
        bound
            .settings
            .need(bound.held.connection.user.clone(), "the server does not accept the access that it has")
    }

    async fn note_wanted(&self, connection: &Connection, wanted: &[&String]) -> Result<(), ConnectionError> {
        let id = Connection::id_of(&connection.server, connection.user.as_ref());
        for _ in 0..limits::REFRESH_COMMITS {
            let Some(Versioned { value, version }) = load::<Connection>(self.store(), &id).await? else {
                return Ok(());
            };
            let new: Vec<String> =
                wanted.iter().filter(|scope| !value.wanted.contains(scope)).map(|s| (*s).clone()).collect();
            if new.is_empty() {
                return Ok(());
            }
            let detail = [("scopes", new.join(" "))];
            let detail: Vec<_> = detail.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.record("portunus", "connection.wants_more", &value.identity(), &detail).await?;
            let next = Connection { wanted: value.wanted.iter().cloned().chain(new).collect(), ..value };
            match self.store().commit(Batch::new().update(&next, version)).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Opens the access token for a permitted call. It looks into the store only when the connection changed after it was
    /// bound: one that was ended meanwhile is refused, one renewed meanwhile still goes out as it was recorded.
    ///
    /// # Errors
    /// When the permit is for another server, the connection has ended, or its sealed form does not open.
    pub async fn open(&self, permit: &Permit, bound: &Bound) -> Result<Opened, ConnectionError> {
        let connection = &bound.held.connection;
        if permit.server() != &connection.server {
            return Err(ConnectionError::Foreign(permit.server().clone()));
        }
        let id = Connection::id_of(&connection.server, connection.user.as_ref());
        if self.0.warm.fresh(&id, self.now()).is_none_or(|held| !Arc::ptr_eq(&held, &bound.held)) {
            let found = load::<Connection>(self.store(), &id).await?;
            if found.is_none_or(|found| found.value.state.is_ended()) {
                return Err(bound.settings.need(connection.user.clone(), NOT_CONNECTED));
            }
        }
        let tokens = self.unseal(connection)?;
        let changed = || ConnectionError::Changed(connection.server.clone());
        let tokens = tokens.ok_or_else(changed)?;
        let plain = Secret::new([b"Bearer ".as_slice(), tokens.access.as_bytes()].concat());
        let mut value = HeaderValue::from_bytes(plain.expose()).map_err(|_| changed())?;
        value.set_sensitive(true);
        Ok(Opened { server: connection.server.clone(), host: bound.settings.host(), value })
    }

    async fn held(
        &self,
        settings: &Settings,
        id: &str,
        user: Option<&UserName>,
    ) -> Result<Arc<Held>, ConnectionError> {
        if let Some(held) = self.0.warm.fresh(id, self.now()) {
            return Ok(held);
        }
        let epoch = self.0.warm.epoch();
        let Some(found) = load::<Connection>(self.store(), id).await? else {
            return Err(settings.need(user.cloned(), NOT_CONNECTED));
        };
        let held = held(found.value, self.now());
        self.0.warm.keep(id, &held, epoch);
        Ok(held)
    }

    /// What was connected is what the configuration still names: tokens for one server never go to another that took its
    /// name.
    fn still_fits(&self, settings: &Settings, connection: &Connection) -> Result<(), ConnectionError> {
        let same_issuer = settings.issuer.as_ref().is_none_or(|issuer| *issuer == connection.issuer);
        if same_issuer && settings.is_resource(&connection.resource) {
            return Ok(());
        }
        Err(settings
            .need(connection.user.clone(), "the server is at another place than when it was connected"))
    }
}

impl Bound {
    fn new(settings: Arc<Settings>, held: Arc<Held>) -> Self {
        let (identity, generation) = (held.connection.identity(), held.connection.generation);
        Self { settings, held, used: ConnectionUse { identity, generation } }
    }
    /// Which connection and set of tokens, for the record.
    #[must_use]
    pub const fn used(&self) -> &ConnectionUse {
        &self.used
    }
    /// When this set of tokens came.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.held.connection.refreshed_at
    }
}

impl Opened {
    /// Puts the token into the headers of a request to `host` (`name[:port]` as in its URL), in place of whatever was
    /// there, marked as sensitive so that it is neither printed nor indexed by HPACK.
    ///
    /// # Errors
    /// When the host is not that of the server's own URL, or that is neither `https` nor this machine; the headers stay
    /// as they were.
    pub fn inject(self, headers: &mut HeaderMap, host: &str) -> Result<(), ConnectionError> {
        if !self.host.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
            return Err(ConnectionError::Foreign(self.server));
        }
        headers.insert(header::AUTHORIZATION, self.value);
        Ok(())
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("used", &self.used).finish_non_exhaustive()
    }
}
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Whether it is renewed before it is used: ahead of its end by [`limits::REFRESH_AHEAD`], or by a quarter of its life where
/// that is shorter.
fn ends_soon(connection: &Connection, now: Timestamp) -> bool {
    connection.access_expires_at.is_some_and(|end| {
        let ahead = limits::REFRESH_AHEAD.min(end.since(connection.refreshed_at) / 4);
        end.is_past(now.plus(ahead))
    })
}

fn has_ended(connection: &Connection, now: Timestamp) -> bool {
    connection.access_expires_at.is_some_and(|end| end.is_past(now))
}
