//! The sessions with one legacy upstream: one for each caller and what its client can be asked, made on demand.

use super::era::Legacy;
use super::session::{self, Failure, Key, Session, Start, lock};
use super::wire::Behalf;
use super::{Inner, Origin};
use http::StatusCode;
use portunus_core::dialer::DialError;
use portunus_core::digest::sha256;
use portunus_core::limits;
use portunus_mcp::message::Call;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// A session, or the place for one that is being made.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Session>>>>;

/// The sessions of one upstream.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Key, Slot>>);

impl Sessions {
    /// The place for a session; `None` when there is no room for another one.
    fn place(&self, key: Key) -> Option<Place<'_>> {
        let place = |slot: Slot| Place { sessions: self, key, slot };
        let mut slots = lock(&self.0);
        if let Some(slot) = slots.get(&key) {
            return Some(place(slot.clone()));
        }
        let own = slots.keys().filter(|other| other.caller == key.caller).count();
        if own >= limits::BRIDGED_SESSIONS.1 {
            evict(&mut slots, |other| other.caller == key.caller)?;
        }
        if slots.len() >= limits::BRIDGED_SESSIONS.0 {
            evict(&mut slots, |_| true)?;
        }
        Some(place(slots.entry(key).or_default().clone()))
    }

    /// Forgets a session, unless another one has taken its place.
    fn remove(&self, session: &Arc<Session>) {
        let mut slots = lock(&self.0);
        let same = |slot: &Slot| {
            slot.try_lock().is_ok_and(|held| held.as_ref().is_none_or(|other| Arc::ptr_eq(other, session)))
        };
        if slots.get(&session.key).is_some_and(same) {
            slots.remove(&session.key);
        }
    }

    /// Ends all that are not in use; the others end when they are idle.
    pub(super) fn end_idle(&self) {
        for slot in lock(&self.0).values() {
            if let Ok(held) = slot.try_lock()
                && let Some(session) = held.as_ref().filter(|session| session.idle_since().is_some())
            {
                session.end();
            }
        }
    }
}

/// Somebody's interest in a slot. The last one to lose it gives up a slot without a session, whatever became of the
/// handshake: a request may be dropped at any time.
struct Place<'a> {
    sessions: &'a Sessions,
    key: Key,
    slot: Slot,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut slots = lock(&self.sessions.0);
        // Under the lock, so that of two who leave at the same time one sees that nobody is left.
        drop(std::mem::take(&mut self.slot));
        if let Some(slot) = slots.get_mut(&self.key).and_then(Arc::get_mut)
            && slot.get_mut().as_ref().is_none_or(|session| session.is_over())
        {
            slots.remove(&self.key);
        }
    }
}

/// Makes room by ending the session that was idle longest.
fn evict(slots: &mut HashMap<Key, Slot>, among: impl Fn(&Key) -> bool) -> Option<()> {
    let idle = |slot: &Slot| -> Option<Instant> { slot.try_lock().ok()?.as_ref()?.idle_since() };
    let candidates = slots.iter().filter(|(key, _)| among(key));
    let (_, key) =
        candidates.filter_map(|(key, slot)| Some((idle(slot)?, *key))).min_by_key(|(since, _)| *since)?;
    let slot = slots.remove(&key)?;
    if let Ok(held) = slot.try_lock()
        && let Some(session) = held.as_ref()
    {
        session.end();
    }
    Some(())
}

/// The caller's session for this call, and whether it was made just now.
pub(super) async fn session(
    bridge: &Arc<Inner>,
    origin: &Origin,
    behalf: &Behalf,
    call: &Call,
) -> Result<(Arc<Session>, bool), Failure> {
    let capabilities = sha256(&[call.client_capabilities.as_deref().unwrap_or_default()]);
    let key = Key { caller: origin.caller, capabilities };
    let place = bridge.sessions.place(key).ok_or(DialError::Busy)?;
    let mut held = place.slot.lock().await;
    if let Some(session) = held.as_ref().filter(|session| !session.is_over()) {
        session.touch(behalf, origin.revocation.clone());
        return Ok((session.clone(), false));
    }
    let start = || Start { dialer: &bridge.dialer, key, behalf, revocation: origin.revocation.clone(), call };
    let made = match bridge.eras.known().legacy {
        Some(Legacy::Sse) => Session::sse(start(), bridge.base.as_ref()).await,
        Some(_) => Session::streamable(start()).await,
        None => match Session::streamable(start()).await {
            Ok(session) => {
                bridge.eras.found(None, Some(Legacy::Streamable));
                Ok(session)
            }
            // 2026-07-28, Transports, HTTP+SSE: so a server of 2024-11-05 refuses a message at the URL of its stream.
            Err(Failure::Foreign(status)) if refuses_messages(status) => {
                let made = Session::sse(start(), bridge.base.as_ref()).await;
                made.inspect(|_| bridge.eras.found(None, Some(Legacy::Sse)))
            }
            Err(failure) => Err(failure),
        },
    };
    let session = made.inspect_err(|_| bridge.eras.doubt())?;
    *held = Some(session.clone());
    tokio::spawn(keep(Arc::downgrade(bridge), session.clone()));
    Ok((session, true))
}

/// Keeps a session until its end, and forgets it then.
async fn keep(bridge: std::sync::Weak<Inner>, session: Arc<Session>) {
    session::keep(session.clone()).await;
    if let Some(bridge) = bridge.upgrade() {
        bridge.sessions.remove(&session);
        bridge.parked.forget(&session);
    }
}

fn refuses_messages(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
}
