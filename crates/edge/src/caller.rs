//! Token → caller. Warm callers cost one hash look-up; whatever changes a grant, user or token in the store drops them
//! before the change is acknowledged, so nothing revoked is admitted afterwards.

use crate::refusal::{Refusal, Unauthorized};
use http::{HeaderMap, Request, header};
use portunus_core::caller::Caller;
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::store::{Changed, Kind, Store};
use portunus_core::time::Timestamp;
use portunus_core::token::{self, TokenKind};
use portunus_policy::{Engine, Principal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// A caller as the edge holds it: with the policy's view of it, and a signal for its revocation.
pub struct Known {
    /// Who.
    pub caller: Caller,
    expires_at: Timestamp,
    loaded_at: Timestamp,
    principal: Mutex<Option<(usize, Arc<Principal>)>>,
    revoked: Arc<watch::Sender<bool>>,
}

impl Known {
    /// The policy's entities for this caller, built once per policy version.
    pub fn principal(&self, engine: &Arc<Engine>) -> Arc<Principal> {
        let version = Arc::as_ptr(engine) as usize;
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
#[derive(Default)]
pub struct Callers {
    warm: RwLock<Warm>,
}

#[derive(Default)]
struct Warm {
    by_token: HashMap<Digest, Arc<Known>>,
    /// Grows whenever something was dropped: a caller loaded before that may be stale and is not kept.
    epoch: u64,
}

impl Callers {
    /// An empty cache that follows the store's changes.
    pub fn new(store: &dyn Store) -> Arc<Self> {
        let callers = Arc::new(Self::default());
        let weak = Arc::downgrade(&callers);
        store.observe(Box::new(move |changes| {
            if let Some(callers) = weak.upgrade() {
                callers.forget(changes);
            }
        }));
        callers
    }

    /// Who holds this request's token, if it is good for this server.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for a token that proves nothing here, [`Refusal::Store`] when that cannot be found out.
    pub async fn identify<B>(
        &self,
        store: &dyn Store,
        server: &ServerName,
        request: &Request<B>,
        now: Timestamp,
    ) -> Result<Arc<Known>, Refusal> {
        if request.uri().query().is_some_and(|query| query.contains("access_token=")) {
            return Err(Refusal::Unauthorized(Unauthorized::InQuery));
        }
        let text = bearer(request.headers()).map_err(Refusal::Unauthorized)?;
        let invalid = || Refusal::Unauthorized(Unauthorized::Invalid);
        let digest = token::digest(TokenKind::Access, text).ok_or_else(invalid)?;
        let known = match self.warm(&digest, now) {
            Some(known) => known,
            None => self.load(store, text, digest, now).await?,
        };
        // A token is for one audience (law 4); for any other server it is simply not valid.
        if known.caller.server == *server { Ok(known) } else { Err(invalid()) }
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
            let known = Arc::new(Known {
                caller: resolved.caller,
                expires_at: resolved.expires_at,
                loaded_at: now,
                principal: Mutex::new(None),
                revoked: old_signal.unwrap_or_else(|| Arc::new(watch::Sender::new(false))),
            });
            warm.make_room(now);
            warm.by_token.insert(digest, known.clone());
            return Ok(known);
        }
    }

    fn forget(&self, changes: &[Changed]) {
        if !changes.iter().any(|c| matches!(c.kind, Kind::Grant | Kind::User | Kind::Access)) {
            return;
        }
        let mut warm = self.warm.write().unwrap_or_else(PoisonError::into_inner);
        let before = warm.by_token.len();
        for change in changes {
            match change.kind {
                Kind::Grant => warm.drop_where(|known| known.caller.grant.as_str() == change.id),
                Kind::User => warm.drop_where(|known| known.caller.user.as_str() == change.id),
                Kind::Access => warm.drop_token(&change.id),
                _ => {}
            }
        }
        let relevant = changes.iter().any(|c| matches!(c.kind, Kind::Grant | Kind::User));
        if relevant || warm.by_token.len() != before {
            warm.epoch += 1;
        }
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
    fn drop_token(&mut self, hex: &str) {
        let digest = Digest::try_from(hex.to_owned()).ok();
        if let Some(known) = digest.and_then(|digest| self.by_token.remove(&digest)) {
            known.revoked.send_replace(true);
        }
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

/// The one Bearer token of a request (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Unauthorized> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Unauthorized::Missing)?;
    if values.next().is_some() {
        return Err(Unauthorized::Malformed);
    }
    let text = value.to_str().map_err(|_| Unauthorized::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unauthorized::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token) } else { Err(Unauthorized::Malformed) }
}
