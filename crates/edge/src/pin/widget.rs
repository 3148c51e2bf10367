//! Widgets: what reading a `ui://` resource gives is pinned as well as its listed definition, and so is what other answers
//! carry with them.

use super::memory::{self, Seen};
use super::{FIRST_SIGHT, News, PinState, Pins};
use bytes::Bytes;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use portunus_mcp::json::{self, Bounds, Part, Raw};
use portunus_pins::{Carried, Definition, Kind, Lock, State, carried, definition, flags};
use std::collections::BTreeSet;
use std::sync::PoisonError;

impl Pins {
    /// Whether a resource may be read. Data may; a widget when its listed definition is pinned or, where its server does
    /// not list it, a pinned tool names it.
    #[must_use]
    pub fn widget_state(&self, server: &ServerName, uri: &str) -> PinState {
        if !definition::is_widget(uri) {
            return PinState::Pinned;
        }
        match self.state(server, Kind::Resource, uri) {
            PinState::New | PinState::Unseen if self.is_listed_otherwise(server, uri) => PinState::Pinned,
            state => state,
        }
    }

    /// Learns from a server's answer to `resources/read`, and says whether it may be shown. The first contents of a widget
    /// that may be read are taken as accepted. Data and errors may always be shown.
    pub fn see_contents(&self, server: &ServerName, uri: &str, answer: &Bytes, now: Timestamp) -> PinState {
        if !definition::is_widget(uri) || is_error(answer) {
            return PinState::Pinned;
        }
        let listed = self.widget_state(server, uri);
        let Ok(contents) = Definition::of_contents(uri, answer) else { return PinState::Changed };
        match self.see_widget(server, contents, listed == PinState::Pinned, now) {
            PinState::Pinned => listed,
            state => state,
        }
    }

    /// The contents of a widget, compared with those that are accepted; where there are none, these are, if it `may_be_first`.
    fn see_widget(
        &self,
        server: &ServerName,
        contents: Definition,
        may_be_first: bool,
        now: Timestamp,
    ) -> PinState {
        let memory = self.memory(server);
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let name = contents.name().to_owned();
        let state = self.lock().state(server, Kind::Widget, &contents);
        if state == State::Pinned {
            memory.keep(Kind::Widget, &name, Seen::pinned(&[], &contents, now), true);
            return PinState::Pinned;
        }
        let found = flags(server, Kind::Widget, &contents, &portunus_pins::Names::default());
        if state == State::New && may_be_first && !flags::any_serious(&found) {
            let mut accepted = Ok(());
            self.update(|lock| accepted = lock.accept(server, Kind::Widget, &contents, FIRST_SIGHT, now));
            if accepted.is_ok() {
                memory.keep(Kind::Widget, &name, Seen::pinned(&[], &contents, now), true);
                self.tell(News::FirstSeen { server: server.clone(), kind: Kind::Widget, accepted: 1 });
                return PinState::Pinned;
            }
        }
        let codes = memory::serious(&found);
        let known =
            memory.get(Kind::Widget, &name).is_some_and(|seen| seen.digest() == Some(contents.digest()));
        let seen = Seen::waiting(&[], contents, found, now);
        if memory.keep(Kind::Widget, &name, seen, state == State::Changed) && !known {
            self.tell(News::Quarantined {
                server: server.clone(),
                kind: Kind::Widget,
                name,
                state,
                flags: codes,
            });
        }
        if state == State::Changed { PinState::Changed } else { PinState::New }
    }

    /// Whether an answer may be shown for what it carries beside what it was asked for: embedded widgets must be those that
    /// are accepted, and its `_meta` may point to no other widget than the definition of its `tool` does, or that of any tool
    /// where it is not known whose result it is.
    pub fn see_carried(
        &self,
        server: &ServerName,
        tool: Option<&str>,
        answer: &Bytes,
        now: Timestamp,
    ) -> PinState {
        let Some(carried) = json::skim(answer).and_then(|message| Carried::of(message).ok()) else {
            return PinState::Changed;
        };
        if !carried.pointers.is_empty()
            && !carried.pointers.is_subset(&pointers_of(&self.lock(), server, tool))
        {
            return PinState::Changed;
        }
        let states =
            carried.widgets.into_iter().map(|(uri, widget)| self.see_embedded(server, &uri, widget, now));
        states.into_iter().find(|state| *state != PinState::Pinned).unwrap_or(PinState::Pinned)
    }

    /// One widget within another answer. Where nothing is said of its listing, it is enough that its contents are accepted.
    fn see_embedded(&self, server: &ServerName, uri: &str, widget: Raw<'_>, now: Timestamp) -> PinState {
        let Ok(contents) = Definition::of_embedded(uri, widget.text().as_bytes()) else {
            return PinState::Changed;
        };
        if uri.is_empty() || uri.len() > limits::URI_BYTES || !contents.is_of_widget() {
            // Nobody could accept it.
            return PinState::New;
        }
        let lock = self.lock();
        // A URI that is no widget's own may be any word: then only a pinned tool's pointer makes it a known one.
        let known = is_named(&lock, server, uri)
            || (definition::is_widget(uri) && lock.entry(server, Kind::Resource, uri).is_some());
        let listed = known.then(|| self.widget_state(server, uri));
        match self.see_widget(server, contents, listed == Some(PinState::Pinned), now) {
            PinState::Pinned => listed.unwrap_or(PinState::Pinned),
            state => state,
        }
    }

    /// Whether the server's lists leave the widget out, and a pinned tool names it.
    fn is_listed_otherwise(&self, server: &ServerName, uri: &str) -> bool {
        let lock = self.lock();
        if lock.entry(server, Kind::Resource, uri).is_some() {
            return false;
        }
        let memory = self.memory(server);
        let listed = memory.lock().unwrap_or_else(PoisonError::into_inner).get(Kind::Resource, uri).is_some();
        !listed && is_named(&lock, server, uri)
    }
}

/// Whether a pinned tool points to the widget; that its words are in a definition is not enough.
fn is_named(lock: &Lock, server: &ServerName, uri: &str) -> bool {
    pointers_of(lock, server, None).contains(uri)
}

/// Where the pinned definitions of this tool, or of all, point to.
fn pointers_of(lock: &Lock, server: &ServerName, tool: Option<&str>) -> BTreeSet<String> {
    let tools = lock.entries(server).filter(|(kind, entry)| {
        *kind == Kind::Tool && tool.is_none_or(|tool| tool == entry.definition.name())
    });
    let meta = tools.filter_map(|(_, entry)| entry.definition.value()?.get("_meta"));
    meta.flat_map(carried::pointers).collect()
}

fn is_error(answer: &Bytes) -> bool {
    let scan = json::scan(answer, &Bounds::default());
    scan.is_ok_and(|scan| scan.get(Part::Root, "result").is_none())
}
