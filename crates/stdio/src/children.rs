//! The children of one server: for whom there is which, started when they are first needed, again with growing pauses,
//! ended when they are idle.

use crate::child::{Child, Unsent};
use crate::command::Guard;
use crate::pause::{Down, Starts};
use crate::start::{self, Failed};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use portunus_core::dialer::{DialError, Presented};
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::record::CredentialUse;
use portunus_core::server::{Per, Program};
use portunus_core::time::Rng;
use portunus_mcp::message::Era;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whom a child serves. A child speaks the era of the first request it gets and no other, so the eras never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) era: Era,
    /// One caller, for a program of which each has its own.
    pub(crate) caller: Option<Digest>,
    /// What that caller's client said in its handshake: two that say different things need two children.
    pub(crate) client: Option<Digest>,
    /// The credential that it was started with: requests under another version go to another child.
    pub(crate) credential: Option<CredentialUse>,
}

impl Key {
    /// Whether nothing but the credential is different.
    fn is_version_of(&self, other: &Self) -> bool {
        (self.era, self.caller, self.client) == (other.era, other.caller, other.client)
    }
}

/// What is there for one key.
enum Slot {
    Starting(Shared<BoxFuture<'static, Result<Arc<Child>, Failed>>>, u32),
    Running(Arc<Child>, u32),
    Down(Down),
}

/// See the module.
pub(crate) struct Children {
    name: ServerName,
    program: Arc<Program>,
    guard: Guard,
    rng: Arc<dyn Rng>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: HashMap<Key, Slot>,
    starts: Starts,
    closed: bool,
}

/// Why there is no child to speak to.
#[derive(Debug, Clone)]
pub(crate) enum NoChild {
    /// There is none now.
    Dial(DialError),
    /// It refused the handshake with this error.
    Refused(Bytes),
}

impl From<Unsent> for NoChild {
    fn from(unsent: Unsent) -> Self {
        Self::Dial(unsent.into())
    }
}

impl From<Unsent> for DialError {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Full => Self::Busy,
            Unsent::Ended(why) => Self::Unreachable(format!("its process is gone: {why}")),
        }
    }
}

impl Children {
    pub(crate) fn new(name: ServerName, program: Program, guard: Guard, rng: Arc<dyn Rng>) -> Self {
        Self { name, program: Arc::new(program), guard, rng, state: Mutex::default() }
    }

    pub(crate) fn per(&self) -> Per {
        self.program.per
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        &*self.rng
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child for this key if it runs.
    pub(crate) fn running(&self, key: &Key) -> Option<Arc<Child>> {
        let mut state = self.state();
        self.settle(&mut state);
        match state.slots.get(key) {
            Some(Slot::Running(child, _)) if child.end().is_none() => Some(child.clone()),
            _ => None,
        }
    }

    /// The children that run for this key and any version of the credential.
    pub(crate) fn versions(&self, key: &Key) -> Vec<Arc<Child>> {
        let state = self.state();
        let running = state.slots.iter().filter_map(|(other, slot)| match slot {
            Slot::Running(child, _) if other.is_version_of(key) => Some(child.clone()),
            _ => None,
        });
        running.collect()
    }

    /// The child for this key, started if need be. `handshake` are the `params` of its `initialize`, legacy only;
    /// `credential` is the one of the key. The start goes on when the caller that caused it goes away.
    pub(crate) async fn get(
        &self,
        key: &Key,
        handshake: Option<Bytes>,
        credential: Option<&Presented>,
    ) -> Result<Arc<Child>, NoChild> {
        let starting = match self.look(key, handshake, credential)? {
            Found::Child(child) => return Ok(child),
            Found::Starting(starting) => starting,
        };
        match starting.await {
            Ok(child) => Ok(child),
            Err(Failed::Refused(error)) => Err(NoChild::Refused(error)),
            Err(Failed::Start(why)) => Err(NoChild::Dial(DialError::Unreachable(why))),
            Err(Failed::Credential(error)) => Err(NoChild::Dial(error)),
        }
    }

    fn look(
        &self,
        key: &Key,
        handshake: Option<Bytes>,
        credential: Option<&Presented>,
    ) -> Result<Found, NoChild> {
        let unreachable = |why: String| Err(NoChild::Dial(DialError::Unreachable(why)));
        let now = Instant::now();
        let mut state = self.state();
        if state.closed {
            return unreachable(String::from("the server is being stopped"));
        }
        self.settle(&mut state);
        let failures = match state.slots.get(key) {
            Some(Slot::Running(child, _)) => return Ok(Found::Child(child.clone())),
            Some(Slot::Starting(starting, _)) => return Ok(Found::Starting(starting.clone())),
            Some(Slot::Down(down)) if down.until > now => {
                let wait = down.until.saturating_duration_since(now).as_secs_f64();
                return unreachable(format!("{}; it is started again in {wait:.1} s", down.why));
            }
            Some(Slot::Down(down)) => down.failures,
            None => 0,
        };
        state.make_room(key).map_err(NoChild::Dial)?;
        if !state.starts.admit(now) {
            let most = limits::CHILD_STARTS_PER_MINUTE;
            return unreachable(format!("its processes were started {most} times within a minute"));
        }
        let (guard, name, program) = (self.guard.clone(), self.name.clone(), self.program.clone());
        let (era, credential, rng) = (key.era, credential.cloned(), self.rng.clone());
        let task = tokio::spawn(async move {
            start::start(guard, name, program, era, handshake, (credential, &*rng)).await
        });
        let starting = async move {
            task.await.unwrap_or_else(|_| Err(Failed::Start(String::from("its start was broken off"))))
        };
        let starting = starting.boxed().shared();
        state.slots.insert(key.clone(), Slot::Starting(starting.clone(), failures));
        Ok(Found::Starting(starting))
    }

    /// Brings every slot up to what has happened.
    fn settle(&self, state: &mut State) {
        let down = |failures: u32, at: Instant, why: String| {
            let down = Down::new(failures, at, why, &*self.rng);
            let pause_ms =
                u64::try_from(down.until.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
            let (failures, why) = (down.failures, &down.why);
            let server = self.name.as_str();
            tracing::warn!(
                server,
                failures,
                pause_ms,
                why,
                "child is started again at the next call after a pause"
            );
            Slot::Down(down)
        };
        for slot in state.slots.values_mut() {
            if let Slot::Starting(starting, failures) = slot {
                let failures = *failures;
                match starting.peek().cloned() {
                    None => continue,
                    Some(Ok(child)) => *slot = Slot::Running(child, failures),
                    // What the client itself caused, or no process, is no reason to make anybody wait.
                    Some(Err(Failed::Refused(_) | Failed::Credential(_))) => {
                        *slot = Slot::Down(Down { failures: 0, until: Instant::now(), why: String::new() });
                    }
                    Some(Err(Failed::Start(why))) => *slot = down(failures, Instant::now(), why),
                }
            }
            if let Slot::Running(child, failures) = slot
                && let Some(end) = child.end()
            {
                let before = if child.age() >= limits::CHILD_STEADY || end.meant { 0 } else { *failures };
                *slot = down(before, end.at, format!("its process is gone: {}", end.why));
            }
        }
    }

    /// Ends children that nobody needs; `needed` are those that a session is bound to.
    pub(crate) fn tidy(&self, needed: &dyn Fn(&Key) -> bool) {
        let mut state = self.state();
        self.settle(&mut state);
        let now = Instant::now();
        let superseded = state.superseded();
        state.slots.retain(|key, slot| match slot {
            Slot::Running(child, _) => {
                for number in child.table().overdue() {
                    drop(child.say(crate::exchange::cancelled(number)));
                }
                if superseded.contains(key) {
                    return !drained(child);
                }
                let idle = child.idle() >= limits::CHILD_IDLE && !needed(key);
                !(idle && child.stop_if(|table| !table.is_busy()))
            }
            // A caller that stays away is forgotten together with its failures.
            Slot::Down(down) => now.saturating_duration_since(down.until) < limits::CHILD_STEADY,
            Slot::Starting(..) => true,
        });
    }

    /// Ends all of them and starts no more; resolves when they are gone.
    pub(crate) async fn stop(&self) {
        let slots = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.slots)
        };
        let mut gone = Vec::new();
        for slot in slots.into_values() {
            let child = match slot {
                Slot::Running(child, _) => Some(child),
                Slot::Starting(starting, _) => starting.peek().cloned().and_then(Result::ok),
                Slot::Down(_) => None,
            };
            if let Some(child) = child {
                child.stop();
                gone.push(child.gone());
            }
        }
        futures_util::future::join_all(gone).await;
    }
}

/// Ends a child whose credential was replaced: as soon as nobody waits for an answer, or at its bound.
fn drained(child: &Child) -> bool {
    let quiet = child.quiet();
    if quiet >= limits::CHILD_DRAIN {
        child.stop();
        return true;
    }
    quiet >= limits::CHILD_SUPERSEDED && child.stop_if(|table| !table.is_asked())
}

enum Found {
    Child(Arc<Child>),
    Starting(Shared<BoxFuture<'static, Result<Arc<Child>, Failed>>>),
}

impl State {
    /// Room for one more child: one that is idle makes room, first of the same caller.
    fn make_room(&mut self, wanted: &Key) -> Result<(), DialError> {
        let lives = |slot: &Slot| !matches!(slot, Slot::Down(_));
        let own = |key: &Key| key.caller.is_some() && key.caller == wanted.caller;
        let own_full = self.slots.iter().filter(|(key, slot)| own(key) && lives(slot)).count()
            >= limits::CHILDREN_PER_CALLER;
        let full = self.slots.values().filter(|slot| lives(slot)).count() >= limits::CHILDREN;
        if !own_full && !full {
            return Ok(());
        }
        let idle = |(key, slot): (&Key, &Slot)| match slot {
            Slot::Running(child, _) if !own_full || own(key) => {
                Some((child.idle(), key.clone())).filter(|(idle, _)| !idle.is_zero())
            }
            _ => None,
        };
        let longest = self.slots.iter().filter_map(idle).max_by_key(|(idle, _)| *idle);
        let (_, key) = longest.ok_or(DialError::Busy)?;
        if let Some(Slot::Running(child, _)) = self.slots.get(&key)
            && !child.stop_if(|table| !table.is_busy())
        {
            return Err(DialError::Busy);
        }
        self.slots.remove(&key);
        Ok(())
    }

    /// Those that were started with one version of a credential, where one with another version was asked later.
    fn superseded(&self) -> HashSet<Key> {
        let running = |(key, slot): (&Key, &Slot)| match slot {
            Slot::Running(child, _) => Some((key.clone(), child.quiet())),
            _ => None,
        };
        let running: Vec<(Key, Duration)> = self.slots.iter().filter_map(running).collect();
        let later = |key: &Key, quiet: Duration| {
            running.iter().any(|(other, its)| {
                other.credential != key.credential && other.is_version_of(key) && *its < quiet
            })
        };
        running.iter().filter(|(key, quiet)| later(key, *quiet)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
impl Children {
    /// Ends every child that nobody waits for, at once.
    pub(crate) fn end_what_rests(&self) -> usize {
        let mut state = self.state();
        self.settle(&mut state);
        let before = state.slots.len();
        let rests =
            |slot: &Slot| matches!(slot, Slot::Running(child, _) if child.stop_if(|table| !table.is_asked()));
        state.slots.retain(|_, slot| !rests(slot));
        before - state.slots.len()
    }
}
