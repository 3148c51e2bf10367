//! Widgets: what reading a `ui://` resource gives is pinned as well as its listed definition.

use super::memory::{self, Seen};
use super::{FIRST_SIGHT, News, PinState, Pins};
use bytes::Bytes;
use portunus_core::id::ServerName;
use portunus_core::time::Timestamp;
use portunus_mcp::json::{self, Bounds, Part, Raw};
use portunus_pins::{Definition, Kind, Lock, State, definition, flags};
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
        let memory = self.memory(server);
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = self.lock();
        let Ok(contents) = Definition::of_contents(uri, answer) else { return PinState::Changed };
        let state = lock.state(server, Kind::Widget, &contents);
        if state == State::Pinned {
            memory.keep(Kind::Widget, uri, Seen::pinned(&[], &contents, now), true);
            return listed;
        }
        let found = flags(server, Kind::Widget, &contents, &portunus_pins::Names::default());
        if state == State::New && listed == PinState::Pinned && !flags::any_serious(&found) {
            let mut accepted = Ok(());
            self.update(|lock| accepted = lock.accept(server, Kind::Widget, &contents, FIRST_SIGHT, now));
            if accepted.is_ok() {
                memory.keep(Kind::Widget, uri, Seen::pinned(&[], &contents, now), true);
                self.tell(News::FirstSeen { server: server.clone(), kind: Kind::Widget, accepted: 1 });
                return PinState::Pinned;
            }
        }
        let codes = memory::serious(&found);
        let known =
            memory.get(Kind::Widget, uri).is_some_and(|seen| seen.digest() == Some(contents.digest()));
        let kept =
            memory.keep(Kind::Widget, uri, Seen::waiting(&[], contents, found, now), state == State::Changed);
        if kept && !known {
            let (server, name) = (server.clone(), uri.to_owned());
            self.tell(News::Quarantined { server, kind: Kind::Widget, name, state, flags: codes });
        }
        if state == State::Changed { PinState::Changed } else { PinState::New }
    }

    /// The same where it is not known what was asked for, as on a stream that was resumed: by the URIs that the answer
    /// itself names.
    pub fn see_any_contents(&self, server: &ServerName, answer: &Bytes, now: Timestamp) -> PinState {
        let Ok(scan) = json::scan(answer, &Bounds::default()) else { return PinState::Changed };
        let contents = scan.get(Part::Result, "contents").into_iter().flat_map(Raw::elements);
        let uris = contents.filter_map(|content| content.get("uri")?.string());
        let widget = uris.into_iter().find(|uri| definition::is_widget(uri));
        widget.map_or(PinState::Pinned, |uri| self.see_contents(server, &uri, answer, now))
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

fn is_named(lock: &Lock, server: &ServerName, uri: &str) -> bool {
    if uri.contains(['"', '\\']) {
        return false;
    }
    let quoted = format!("\"{uri}\"");
    let mut tools = lock.entries(server).filter(|(kind, _)| *kind == Kind::Tool);
    tools.any(|(_, entry)| entry.definition.canonical().contains(&quoted))
}

fn is_error(answer: &Bytes) -> bool {
    let scan = json::scan(answer, &Bounds::default());
    scan.is_ok_and(|scan| scan.get(Part::Root, "result").is_none())
}
