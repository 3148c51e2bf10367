//! Two changes of one lock brought together: what people wrote into the file, and what was accepted meanwhile.

use super::{Entry, Lock};
use crate::definition::Kind;
use portunus_core::id::ServerName;
use std::collections::BTreeMap;
use std::sync::Arc;

type Entries = BTreeMap<Arc<str>, Arc<Entry>>;

impl Lock {
    /// What the file says (`theirs`), with what changed here since the file said `base`. Where both changed the same, what
    /// people wrote stays: an entry of the same name, a kind that they made known themselves (its first sight is over), one
    /// that they removed (it is to have another). What does not fit any more is left out.
    #[must_use]
    pub fn merged(&self, base: &Self, theirs: &Self) -> Self {
        let mut merged = theirs.clone();
        for (server, pinned) in &self.servers {
            if base.servers.get(server).is_some_and(|before| Arc::ptr_eq(before, pinned)) {
                continue;
            }
            for (kind, entries) in pinned.iter() {
                match (base.of_kind(server, *kind), theirs.of_kind(server, *kind)) {
                    (None, Some(_)) | (Some(_), None) => {}
                    (None, None) => {
                        merged.open(server, *kind);
                        entries.values().for_each(|entry| merged.add(server, *kind, entry));
                    }
                    (Some(before), Some(there)) => {
                        merged.follow(server, *kind, entries, (before, there));
                    }
                }
            }
        }
        merged
    }

    /// Makes the changes of one kind that its entries made since `before`, where nobody else made any.
    fn follow(
        &mut self,
        server: &ServerName,
        kind: Kind,
        entries: &Entries,
        (before, there): (&Entries, &Entries),
    ) {
        let changed =
            |name: &Arc<str>| entries.get(name) != before.get(name) && before.get(name) == there.get(name);
        for name in before.keys().filter(|name| !entries.contains_key(*name) && changed(name)) {
            self.remove(server, kind, name);
        }
        for (_, entry) in entries.iter().filter(|(name, _)| changed(name)) {
            self.add(server, kind, entry);
        }
    }

    fn add(&mut self, server: &ServerName, kind: Kind, entry: &Entry) {
        // Of what does not fit, nothing is accepted: it waits like anything new.
        let _ = self.accept(server, kind, &entry.definition, &entry.accepted_by, entry.accepted_at);
    }

    fn of_kind(&self, server: &ServerName, kind: Kind) -> Option<&Entries> {
        self.servers.get(server)?.get(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;
    use portunus_core::time::Timestamp;

    fn server(name: &str) -> ServerName {
        ServerName::parse(name).unwrap()
    }

    /// `server/tool=text`, or `server` alone for one whose tools were none.
    fn lock(said: &[&str]) -> Lock {
        let mut lock = Lock::default();
        said.iter().for_each(|said| put(&mut lock, said));
        lock
    }

    fn put(lock: &mut Lock, said: &str) {
        let (name, rest) = said.split_once('/').unwrap_or((said, ""));
        lock.open(&server(name), Kind::Tool);
        if let Some((tool, text)) = rest.split_once('=') {
            let text = format!(r#"{{"name":"{tool}","description":"{text}"}}"#);
            let definition = Definition::read(tool, text.as_bytes()).unwrap();
            lock.accept(&server(name), Kind::Tool, &definition, "ana", Timestamp::from_secs(1)).unwrap();
        }
    }

    #[test]
    fn what_both_sides_changed_is_brought_together() {
        let base = lock(&["a/x=1", "a/y=1", "b/x=1"]);
        for (ours, theirs, merged) in [
            // Nothing here.
            (vec!["a/x=1", "a/y=1", "b/x=1"], vec!["a/x=2"], vec!["a/x=2"]),
            // A first sight here, an edit of another server there.
            (
                vec!["a/x=1", "a/y=1", "b/x=1", "c/x=1"],
                vec!["a/x=2", "b/x=1"],
                vec!["a/x=2", "b/x=1", "c/x=1"],
            ),
            (vec!["a/x=1", "a/y=1", "b/x=1", "c"], vec!["a/x=1", "a/y=1"], vec!["a/x=1", "a/y=1", "c"]),
            // Accepted and taken back here, edited there.
            (
                vec!["a/x=2", "b/x=1"],
                vec!["a/x=1", "a/y=1", "a/z=1", "b/x=1"],
                vec!["a/x=2", "a/z=1", "b/x=1"],
            ),
            // The same entry on both sides: the file's stays.
            (vec!["a/x=2", "b/x=1"], vec!["a/x=3", "a/y=3", "b/x=1"], vec!["a/x=3", "a/y=3", "b/x=1"]),
            // Made known on both sides: its first sight is what the file says.
            (
                vec!["a/x=1", "a/y=1", "b/x=1", "c/x=1", "c/y=1"],
                vec!["b/x=1", "c/x=2"],
                vec!["b/x=1", "c/x=2"],
            ),
            // Removed there: it is to have another first sight.
            (vec!["a/x=1", "a/y=1", "a/z=1", "b/x=1"], vec!["b/x=1"], vec!["b/x=1"]),
        ] {
            assert_eq!(lock(&ours).merged(&base, &lock(&theirs)), lock(&merged), "{ours:?} {theirs:?}");
        }
    }
}
