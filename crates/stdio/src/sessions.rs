//! Legacy sessions: to whom each belongs, and with which child.

use crate::children::Key;
use crate::table::SessionId;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_core::time::Rng;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) owner: Digest,
    pub(crate) key: Key,
    /// Its state is in the child that it began with, so it ends with that child.
    pub(crate) bound: bool,
    used: Instant,
}

/// All sessions of one server.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Session>>);

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session; gives those that made room for it as well.
    pub(crate) fn begin(
        &self,
        owner: Digest,
        key: Key,
        bound: bool,
        rng: &dyn Rng,
    ) -> (SessionId, Vec<Session>) {
        let mut random = [0_u8; 24];
        rng.fill(&mut random);
        let id: SessionId = BASE64URL_NOPAD.encode(&random).into();
        let mut all = self.all();
        let mut ended = Vec::new();
        let own = |session: &&Session| session.owner == owner;
        if all.values().filter(own).count() >= limits::CHILD_SESSIONS_PER_CALLER {
            let oldest = all.values().filter(own).min_by_key(|session| session.used).map(|s| s.id.clone());
            ended.extend(oldest.and_then(|id| all.remove(&id)));
        }
        if all.len() >= limits::CHILD_SESSIONS {
            let oldest = all.values().min_by_key(|session| session.used).map(|session| session.id.clone());
            ended.extend(oldest.and_then(|id| all.remove(&id)));
        }
        all.insert(id.clone(), Session { id: id.clone(), owner, key, bound, used: Instant::now() });
        (id, ended)
    }

    /// The session with this id, if it belongs to this caller.
    pub(crate) fn find(&self, id: &str, owner: &Digest) -> Option<Session> {
        let mut all = self.all();
        let session = all.get_mut(id).filter(|session| session.owner == *owner)?;
        session.used = Instant::now();
        Some(session.clone())
    }

    /// From now on its state is in the child of this key.
    pub(crate) fn bind(&self, id: &str, key: Key) {
        if let Some(session) = self.all().get_mut(id) {
            (session.key, session.bound) = (key, true);
        }
    }

    /// It is with the child of this key now, if its state is in none.
    pub(crate) fn follow(&self, id: &str, key: &Key) {
        if let Some(session) = self.all().get_mut(id).filter(|session| !session.bound && session.key != *key)
        {
            session.key = key.clone();
        }
    }

    /// Ends one.
    pub(crate) fn end(&self, id: &str) {
        self.all().remove(id);
    }

    /// Ends those that were not used for long.
    pub(crate) fn end_idle(&self) -> Vec<Session> {
        let mut all = self.all();
        let idle = |session: &Session| session.used.elapsed() >= limits::CHILD_SESSION_IDLE;
        let ended: Vec<Session> = all.values().filter(|session| idle(session)).cloned().collect();
        all.retain(|_, session| !idle(session));
        ended
    }

    /// Whether a session is with the child of this key.
    pub(crate) fn need(&self, key: &Key) -> bool {
        self.all().values().any(|session| session.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::digest::sha256;
    use portunus_mcp::message::Era;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Counting(AtomicU64);

    impl Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            bytes.iter_mut().zip(next.into_iter().cycle()).for_each(|(to, from)| *to = from);
        }
    }

    #[test]
    fn a_session_is_found_by_its_owner_only_and_one_caller_pushes_out_only_their_own() {
        let (sessions, rng) = (Sessions::default(), Counting::default());
        let key = Key { era: Era::Legacy, caller: None, client: None, credential: None };
        let (ana, bob) = (sha256(&[b"ana"]), sha256(&[b"bob"]));
        let (first, ended) = sessions.begin(ana, key.clone(), false, &rng);
        assert!(ended.is_empty());
        assert!(sessions.find(&first, &ana).is_some());
        assert!(sessions.find(&first, &bob).is_none());
        for _ in 0..limits::CHILD_SESSIONS_PER_CALLER {
            assert!(sessions.begin(bob, key.clone(), false, &rng).1.is_empty());
        }
        let (_, ended) = sessions.begin(bob, key.clone(), false, &rng);
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].owner, bob);
        assert!(sessions.find(&first, &ana).is_some());
        sessions.end(&first);
        assert!(sessions.find(&first, &ana).is_none());
    }
}
