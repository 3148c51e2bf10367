//! Token → caller. Warm callers cost one hash look-up; whatever changes a grant, user or token in the store drops them
//! before the change is acknowledged, so nothing revoked is admitted afterwards.

use crate::Published;
use crate::refusal::{Refusal, Unauthorized};
use crate::sender::Scheme;
use http::{HeaderMap, Request, header};
use portunus_core::caller::{Caller, Usage};
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{Changed, Kind, Store};
use portunus_core::time::{Clock, Timestamp};
use portunus_core::token::{self, TokenKind};
use portunus_policy::{Context, Disclosure, DisclosureKey, Engine, Principal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A caller as the edge holds it: with the policy's view of it, and a signal for its revocation.
pub struct Known {
    /// Who.
    pub caller: Caller,
    digest: Digest,
    expires_at: Timestamp,
    loaded_at: Timestamp,
    principal: Mutex<Option<(Digest, Arc<Principal>)>>,
    revoked: Arc<watch::Sender<bool>>,
    disclosure: Mutex<Option<(DisclosureKey, Arc<Disclosure>)>>,
    /// The user's room for calls, shared by all of their tokens.
    room: Arc<Semaphore>,
}

/// A place among the calls in flight, of the server and of the user.
pub struct Room {
    _of_server: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
}

impl Room {
    /// Takes a place, if there is one.
    #[must_use]
    pub fn take(published: &Published, known: &Known) -> Option<Self> {
        let of_user = known.room.clone().try_acquire_owned().ok()?;
        let of_server = published.room.clone().try_acquire_owned().ok()?;
        Some(Self { _of_server: of_server, _of_user: of_user })
    }
}

impl Known {
    /// The policy's entities for this caller, built once per policy version.
    pub fn principal(&self, engine: &Arc<Engine>) -> Arc<Principal> {
        let version = *engine.version();
        let mut slot = self.principal.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some((built_for, principal)) if *built_for == version => principal.clone(),
            _ => {
                let principal = Arc::new(engine.principal(&self.caller));
                *slot = Some((version, principal.clone()));
                principal
            }
        }
    }
    /// Which columns may be shown to this caller; looked at anew when something else has changed that the policies look at.
    pub fn disclosure(&self, engine: &Arc<Engine>, context: &Context<'_>) -> Arc<Disclosure> {
        let principal = self.principal(engine);
        let key = engine.disclosure_key(&principal, &self.caller.server, context);
        let mut slot = self.disclosure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some((made_for, disclosure)) if *made_for == key => disclosure.clone(),
            _ => {
                let disclosure = Arc::new(engine.disclosure(&principal, &self.caller.server, context));
                *slot = Some((key, disclosure.clone()));
                disclosure
            }
        }
    }
    /// The same for all tokens of one grant, and for nothing else.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
    /// Whether it has been revoked since it was loaded.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        *self.revoked.borrow()
    }
    /// Resolves when it is revoked.
    pub fn revocation(&self) -> watch::Receiver<bool> {
        self.revoked.subscribe()
    }
    fn is_fresh(&self, now: Timestamp) -> bool {
        !self.expires_at.is_past(now) && now.since(self.loaded_at) < limits::CALLER_TTL
    }
}

/// The warm callers.
pub struct Callers {
    warm: RwLock<Warm>,
    clock: Arc<dyn Clock>,
    usage: OnceLock<Arc<dyn Usage>>,
}

#[derive(Default)]
struct Warm {
    by_token: HashMap<Digest, Arc<Known>>,
    rooms: HashMap<UserName, Arc<Semaphore>>,
    /// Grows whenever something was dropped: a caller loaded before that may be stale and is not kept.
    epoch: u64,
}

impl Callers {
    /// An empty cache that follows the store's changes.
    pub fn new(store: &dyn Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        let callers = Arc::new(Self { warm: RwLock::default(), clock, usage: OnceLock::new() });
        let weak = Arc::downgrade(&callers);
        store.observe(Box::new(move |changes| {
            if let Some(callers) = weak.upgrade() {
                callers.forget(changes);
            }
        }));
        callers
    }

    /// From now on `usage` is told which grants are in use; the first one to be named stays.
    pub fn report_to(&self, usage: Arc<dyn Usage>) {
        let _ = self.usage.set(usage);
    }

    /// Whose token this request bears, if it is good for this server. Whether it may be borne by whoever sent it,
    /// [`crate::sender::check`] must say.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for a token that proves nothing here, [`Refusal::Store`] when that cannot be found out.
    pub async fn identify<'r, B>(
        &self,
        store: &dyn Store,
        server: &ServerName,
        request: &'r Request<B>,
        now: Timestamp,
    ) -> Result<Borne<'r>, Refusal> {
        if request.uri().query().is_some_and(|query| query.contains("access_token=")) {
            return Err(Refusal::Unauthorized(Unauthorized::InQuery));
        }
        let (scheme, text) = presented(request.headers()).map_err(Refusal::Unauthorized)?;
        let invalid = || Refusal::Unauthorized(Unauthorized::Invalid);
        let digest = token::digest(TokenKind::Access, text).ok_or_else(invalid)?;
        let known = match self.warm(&digest, now) {
            Some(known) => known,
            None => self.load(store, text, digest, now).await?,
        };
        // A token is for one audience (law 4); for any other server it is simply not valid.
        if known.caller.server != *server {
            return Err(invalid());
        }
        Ok(Borne { known, scheme, token: text })
    }

    fn warm(&self, digest: &Digest, now: Timestamp) -> Option<Arc<Known>> {
        let warm = self.warm.read().unwrap_or_else(PoisonError::into_inner);
        warm.by_token.get(digest).filter(|known| known.is_fresh(now)).cloned()
    }

    async fn load(
        &self,
        store: &dyn Store,
        text: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Arc<Known>, Refusal> {
        loop {
            let epoch = self.warm.read().unwrap_or_else(PoisonError::into_inner).epoch;
            let resolved = portunus_oauth::resolve::resolve(store, now, text).await.map_err(|e| match e {
                portunus_oauth::resolve::ResolveError::Store(error) => Refusal::Store(error),
                _ => Refusal::Unauthorized(Unauthorized::Invalid),
            })?;
            let mut warm = self.warm.write().unwrap_or_else(PoisonError::into_inner);
            if warm.epoch != epoch {
                continue; // something was revoked while we read: read again
            }
            // Live streams may still listen to the entry that this one replaces: they share its signal.
            let old_signal = warm.by_token.get(&digest).map(|old| old.revoked.clone());
            let room = warm.room(&resolved.caller.user);
            let known = Arc::new(Known {
                room,
                digest: digest_of(&resolved.caller),
                caller: resolved.caller,
                expires_at: resolved.expires_at,
                loaded_at: now,
                principal: Mutex::new(None),
                disclosure: Mutex::new(None),
                revoked: old_signal.unwrap_or_else(|| Arc::new(watch::Sender::new(false))),
            });
            warm.make_room(now);
            warm.by_token.insert(digest, known.clone());
            drop(warm);
            if let Some(usage) = self.usage.get() {
                usage.used(&known.caller.grant, now);
            }
            return Ok(known);
        }
    }

    fn forget(&self, changes: &[Changed]) {
        if !changes.iter().any(|c| matches!(c.kind, Kind::Grant | Kind::User | Kind::Access)) {
            return;
        }
        let mut warm = self.warm.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change.kind {
                Kind::Grant => warm.drop_where(|known| known.caller.grant.as_str() == change.id),
                Kind::User => warm.drop_where(|known| known.caller.user.as_str() == change.id),
                Kind::Access => warm.drop_token(&change.id, self.clock.now()),
                _ => {}
            }
        }
        // Also when nothing was dropped: a look-up under way may hold what has just been revoked.
        warm.epoch += 1;
    }
}

impl Warm {
    fn drop_where(&mut self, matches: impl Fn(&Known) -> bool) {
        self.by_token.retain(|_, known| {
            let dropped = matches(known);
            if dropped {
                known.revoked.send_replace(true);
            }
            !dropped
        });
    }
    /// A token that was removed before its end was revoked; one that is purged after it only ends: calls that it started
    /// may finish, and its entry stays while they do, so that a revocation of the grant or user still reaches them.
    fn drop_token(&mut self, hex: &str, now: Timestamp) {
        let Ok(digest) = Digest::try_from(hex.to_owned()) else { return };
        let Some(known) = self.by_token.get(&digest) else { return };
        let ended = known.expires_at.is_past(now);
        if ended && known.revoked.receiver_count() > 0 {
            return;
        }
        if !ended {
            known.revoked.send_replace(true);
        }
        self.by_token.remove(&digest);
    }
    fn room(&mut self, user: &UserName) -> Arc<Semaphore> {
        if self.rooms.len() >= limits::CACHED_CALLERS {
            self.rooms.retain(|_, room| Arc::strong_count(room) > 1);
        }
        let fresh = || Arc::new(Semaphore::new(limits::CALLS_PER_USER));
        self.rooms.entry(user.clone()).or_insert_with(fresh).clone()
    }
    fn make_room(&mut self, now: Timestamp) {
        if self.by_token.len() >= limits::CACHED_CALLERS {
            self.by_token.retain(|_, known| known.is_fresh(now) || known.revoked.receiver_count() > 0);
        }
        if self.by_token.len() >= limits::CACHED_CALLERS {
            self.by_token.retain(|_, known| known.revoked.receiver_count() > 0);
        }
    }
}

/// Over server, user, client and grant.
fn digest_of(caller: &Caller) -> Digest {
    let parts = [caller.server.as_str(), caller.user.as_str(), caller.client.as_str(), caller.grant.as_str()];
    let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
    let [server, user, client, grant] = parts.map(str::as_bytes);
    sha256(&[lengths.as_flattened(), server, user, client, grant])
}

/// A good token as it was presented; not yet proven to be in the right hands.
pub struct Borne<'r> {
    pub(crate) known: Arc<Known>,
    pub(crate) scheme: Scheme,
    pub(crate) token: &'r str,
}

/// The one token of a request (RFC 6750 section 2.1, RFC 9449 section 7.1).
fn presented(headers: &HeaderMap) -> Result<(Scheme, &str), Unauthorized> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Unauthorized::Missing)?;
    if values.next().is_some() {
        return Err(Unauthorized::Malformed);
    }
    let text = value.to_str().map_err(|_| Unauthorized::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unauthorized::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok((Scheme::Bearer, token))
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Ok((Scheme::Dpop, token))
    } else {
        Err(Unauthorized::Malformed)
    }
}
