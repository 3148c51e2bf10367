//! Pins at work: what servers list is compared with the lock, what is new or has changed is hidden and refused, and waits
//! for an administrator.
//!
//! *First sight.* A server of which the lock knows nothing is taken as it is: each definition is accepted once, unless it
//! has a serious flag. This ends with the first page that has no next one, at the latest [`limits::FIRST_SIGHT`] after the
//! first page, so that a server that always promises another page gains nothing; after a restart it does not go on. It is
//! made for tools, prompts and widgets apart. An empty list of tools is no first sight: a server may still be starting.
//!
//! *Lists that depend on the caller* are no removals: what one caller does not see stays pinned. What another caller sees
//! beyond it is new.

mod memory;
mod state;
mod widget;

pub use memory::{Reason, Waiting};
pub use state::{News, PinState, Sight, reason};

use crate::pin::memory::{Memory, Seen};
use arc_swap::ArcSwap;
use bytes::Bytes;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_mcp::list;
use portunus_mcp::message::List;
use portunus_pins::lock::FIRST_SIGHT;
use portunus_pins::{Definition, Kind, Lock, Names, State, flags};
use portunus_policy::Operation;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Occasions that are kept until they are recorded.
const NEWS: usize = 4096;

/// What an edge knows of the definitions of its servers.
pub struct Pins {
    lock: ArcSwap<Lock>,
    servers: Mutex<HashMap<ServerName, Arc<Mutex<Memory>>>>,
    news: Mutex<Vec<News>>,
    changes: watch::Sender<u64>,
}

impl Pins {
    /// With these accepted.
    #[must_use]
    pub fn new(lock: impl Into<Arc<Lock>>) -> Self {
        Self {
            lock: ArcSwap::new(lock.into()),
            servers: Mutex::default(),
            news: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// What is accepted.
    #[must_use]
    pub fn lock(&self) -> Arc<Lock> {
        self.lock.load_full()
    }
    /// From now on this is accepted: the lockfile was edited.
    pub fn replace(&self, lock: Arc<Lock>) {
        self.lock.store(lock);
        self.changes.send_modify(|count| *count += 1);
    }
    /// From now on what people wrote counts, with what was accepted here since the file held `base`.
    pub fn merge(&self, base: &Lock, written: &Arc<Lock>) {
        self.lock.rcu(|lock| {
            let merged = lock.merged(base, written);
            if merged == **written { written.clone() } else { Arc::new(merged) }
        });
        self.changes.send_modify(|count| *count += 1);
    }
    /// Tells whenever the lock changed by itself, or news came up.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    /// What happened since the last time this was asked.
    #[must_use]
    pub fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Learns from a server's answer to a list, as the server sent it, and says what of it may be shown. Messages that
    /// are no such list change nothing.
    ///
    /// `asked`: it answers a request for that very list; what comes unasked is never taken as accepted.
    pub fn see_list(
        &self,
        server: &ServerName,
        list: List,
        answer: &Bytes,
        asked: bool,
        now: Timestamp,
    ) -> Sight {
        let Some(kind) = Kind::of_list(list) else { return Sight::AllBut(HashSet::new()) };
        let entries = match list::definitions(list, answer) {
            Ok(Some(entries)) => entries,
            Ok(None) => return Sight::AllBut(HashSet::new()),
            Err(_) => return Sight::Nothing,
        };
        let pinned: Vec<_> = entries.into_iter().filter(|(name, _)| kind.is_pinned(name)).collect();
        let memory = self.memory(server);
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let last = list::next_cursor(answer).is_none();
        let adopts = asked && self.adopts(&mut memory, server, kind, &pinned, last, now);
        self.judge(&mut memory, (server, kind), &pinned, adopts, now)
    }

    /// How something stands that a client wants to use.
    #[must_use]
    pub fn state(&self, server: &ServerName, kind: Kind, name: &str) -> PinState {
        if !kind.is_pinned(name) {
            return PinState::Pinned;
        }
        let lock = self.lock.load();
        let Some(entry) = lock.entry(server, kind, name) else {
            return if lock.knows(server, kind) { PinState::New } else { PinState::Unseen };
        };
        if entry.definition.is_nothing() {
            return PinState::New;
        }
        let memory = self.memory(server);
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.get(kind, name) {
            Some(seen) if seen.digest() != Some(entry.definition.digest()) => PinState::Changed,
            _ => PinState::Pinned,
        }
    }

    /// The same for an operation. Whatever is not a tool, a prompt or a widget counts as pinned.
    #[must_use]
    pub fn state_of(&self, server: &ServerName, operation: &Operation<'_>) -> PinState {
        match operation {
            Operation::CallTool(name) | Operation::Estimate(name) => self.state(server, Kind::Tool, name),
            Operation::GetPrompt(name) => self.state(server, Kind::Prompt, name),
            Operation::ReadResource(uri) | Operation::Subscribe(uri) => self.widget_state(server, uri),
            Operation::Complete(_)
            | Operation::List(_)
            | Operation::Session(_)
            | Operation::Task(_)
            | Operation::Answer
            | Operation::Ask(_) => PinState::Pinned,
        }
    }

    /// Why an operation is refused, in words for the client; `None` when its target is pinned.
    #[must_use]
    pub fn refusal(&self, server: &ServerName, operation: &Operation<'_>) -> Option<String> {
        let state = self.state_of(server, operation);
        (state != PinState::Pinned).then(|| reason(server, operation, state))
    }

    /// What waits to be accepted at all servers, or at one; in order of name.
    #[must_use]
    pub fn waiting(&self, of: Option<&ServerName>) -> Vec<Waiting> {
        let lock = self.lock();
        let servers: Vec<_> = {
            let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = servers.iter().filter(|(server, _)| of.is_none_or(|of| of == *server));
            asked.map(|(server, memory)| (server.clone(), memory.clone())).collect()
        };
        let mut waiting = Vec::new();
        for (server, memory) in servers {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend(memory.waiting(&server, &lock));
        }
        waiting.sort_by(|a, b| (&a.server, a.kind, &a.name).cmp(&(&b.server, b.kind, &b.name)));
        waiting
    }

    /// What a server listed last under this name, when it is remembered.
    #[must_use]
    pub fn listed(&self, server: &ServerName, kind: Kind, name: &str) -> Option<Definition> {
        let memory = self.memory(server);
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(kind, name)?.definition().cloned()
    }

    /// Accepts what waits under this name, if its digest starts so. The caller writes the lockfile.
    ///
    /// # Errors
    /// In words for the administrator.
    pub fn accept(
        &self,
        server: &ServerName,
        kind: Kind,
        name: &str,
        digest: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<Definition, Reason> {
        let memory = self.memory(server);
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let definition = memory.acceptable(kind, name, digest)?;
        let mut accepted = Ok(());
        self.update(|lock| accepted = lock.accept(server, kind, definition, by, now));
        accepted.map_err(Reason::Full)?;
        Ok(definition.clone())
    }

    /// Whether [`Pins::accept`] would find what the administrator looked at.
    ///
    /// # Errors
    /// In words for the administrator.
    pub fn check(&self, server: &ServerName, kind: Kind, name: &str, digest: &str) -> Result<(), Reason> {
        let memory = self.memory(server);
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.acceptable(kind, name, digest).map(drop)
    }

    /// Takes a pin back: what it was for is hidden and refused from now on. False when there was none. A widget is pinned
    /// to nothing instead, so that its next contents are not taken for its first.
    pub fn reject(&self, server: &ServerName, kind: Kind, name: &str, by: &str, now: Timestamp) -> bool {
        let mut removed = false;
        let nothing = Definition::nothing(name);
        self.update(|lock| {
            removed = lock.remove(server, kind, name);
            if removed && matches!(kind, Kind::Resource | Kind::Widget) {
                removed = lock.accept(server, kind, &nothing, by, now).is_ok();
            }
        });
        removed
    }

    fn memory(&self, server: &ServerName) -> Arc<Mutex<Memory>> {
        let mut servers: MutexGuard<'_, _> = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.entry(server.clone()).or_default().clone()
    }

    fn update(&self, mut change: impl FnMut(&mut Lock)) {
        self.lock.rcu(|lock| {
            let mut lock = Lock::clone(lock);
            change(&mut lock);
            lock
        });
        self.changes.send_modify(|count| *count += 1);
    }

    fn tell(&self, news: News) {
        let mut all = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < NEWS {
            all.push(news);
        }
        drop(all);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whether new definitions on this page are taken as accepted; see the rule at the top.
    fn adopts(
        &self,
        memory: &mut Memory,
        server: &ServerName,
        kind: Kind,
        page: &[(String, Bytes)],
        last: bool,
        now: Timestamp,
    ) -> bool {
        if !self.lock.load().knows(server, kind) {
            if kind == Kind::Tool && page.is_empty() {
                return false;
            }
            self.update(|lock| lock.open(server, kind));
            memory.open_until(kind, now.plus(limits::FIRST_SIGHT));
        }
        let adopts = memory.is_open(kind, now);
        if last {
            memory.close(kind);
        }
        adopts
    }

    fn judge(
        &self,
        memory: &mut Memory,
        (server, kind): (&ServerName, Kind),
        page: &[(String, Bytes)],
        adopts: bool,
        now: Timestamp,
    ) -> Sight {
        let lock = self.lock();
        let mut names = None;
        let mut hidden = HashSet::new();
        let mut accepted = Vec::new();
        for (name, raw) in page {
            let entry = lock.entry(server, kind, name);
            if memory.is_unchanged(kind, name, raw, entry.map(|entry| entry.definition.digest()), now) {
                continue;
            }
            let Ok(definition) = Definition::read(name, raw) else {
                memory.keep(kind, name, Seen::unreadable(now), entry.is_some());
                hidden.insert(name.clone());
                continue;
            };
            let state = lock.state(server, kind, &definition);
            if state == State::Pinned {
                memory.keep(kind, name, Seen::pinned(raw, &definition, now), true);
                continue;
            }
            let known = memory.get(kind, name).is_some_and(|seen| seen.digest() == Some(definition.digest()));
            let names = names.get_or_insert_with(|| names_of(&lock, server, kind, page));
            let found = flags(server, kind, &definition, names);
            if adopts && state == State::New && !portunus_pins::flags::any_serious(&found) {
                memory.keep(kind, name, Seen::pinned(raw, &definition, now), true);
                accepted.push(definition);
                continue;
            }
            hidden.insert(name.clone());
            let codes = memory::serious(&found);
            let kept = memory.keep(kind, name, Seen::waiting(raw, definition, found, now), entry.is_some());
            if kept && !known {
                let (server, name) = (server.clone(), name.clone());
                self.tell(News::Quarantined { server, kind, name, state, flags: codes });
            }
        }
        self.adopt(memory, server, kind, &accepted, &mut hidden, now);
        Sight::AllBut(hidden)
    }

    fn adopt(
        &self,
        memory: &mut Memory,
        server: &ServerName,
        kind: Kind,
        definitions: &[Definition],
        hidden: &mut HashSet<String>,
        now: Timestamp,
    ) {
        if definitions.is_empty() {
            return;
        }
        let mut full = Vec::new();
        self.update(|lock| {
            full.clear();
            for definition in definitions {
                if lock.accept(server, kind, definition, FIRST_SIGHT, now).is_err() {
                    full.push(definition.name().to_owned());
                }
            }
        });
        for name in &full {
            memory.drop_one(kind, name);
        }
        let accepted = definitions.len() - full.len();
        hidden.extend(full);
        self.tell(News::FirstSeen { server: server.clone(), kind, accepted });
    }
}

/// All tools' names: those in the lock, and those on this page.
fn names_of(lock: &Lock, server: &ServerName, kind: Kind, page: &[(String, Bytes)]) -> Names {
    let pinned = lock.servers().flat_map(|server| lock.tools(server).map(move |tool| (server, tool.name)));
    let here = page.iter().filter(|_| kind == Kind::Tool).map(|(name, _)| (server, name.as_str()));
    let known: HashSet<(&ServerName, &str)> = pinned.chain(here).collect();
    Names::new(known)
}

#[cfg(test)]
mod tests;
