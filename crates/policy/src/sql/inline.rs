//! Where SQLite looks for names in common table expressions. It puts their bodies in the place where they are used, so a
//! name that no table of the body has can be a column of what is around *that* place:
//! `WITH c AS (SELECT salary FROM lines) SELECT (SELECT salary FROM c) FROM staff` reads `staff.salary`. Other databases
//! look around the definition only.

use super::dialect::{Dialect, Name};
use super::resolve::Use;
use super::scope::Scope;
use super::walk::Walk;
use std::collections::BTreeSet;

/// Names in bodies that may mean something outside of them, and where the bodies are used.
#[derive(Debug, Default)]
pub(super) struct Inlined<'a> {
    /// For each common table expression: qualifier, column.
    free: Vec<BTreeSet<(Option<&'a str>, &'a str)>>,
    places: Vec<Place>,
}

/// Where a common table expression is used.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    cte: usize,
    /// The frame around the `FROM` that names it.
    frame: Option<usize>,
    /// Those in whose bodies that is.
    within: Vec<usize>,
}

/// A common table expression whose body is being walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) cte: usize,
    /// The frame around its definition.
    pub(super) around: Option<usize>,
}

impl<'a> Walk<'a> {
    /// Remembers a name that was not found until `frame` is looked at: those bodies that this frame is around do not have it.
    pub(super) fn leaves(&mut self, frame: Option<usize>, qualifier: Option<&'a str>, name: &'a str) {
        if self.dialect == Dialect::Sqlite {
            for at in 0..self.open.len() {
                if let Some(open) = self.open.get(at).filter(|open| open.around == frame).copied() {
                    self.free(open, qualifier, name);
                }
            }
        }
    }

    /// Remembers a name that no open body may have.
    pub(super) fn leaves_all(&mut self, qualifier: Option<&'a str>, name: &'a str) {
        if self.dialect == Dialect::Sqlite {
            for at in 0..self.open.len() {
                if let Some(open) = self.open.get(at).copied() {
                    self.free(open, qualifier, name);
                }
            }
        }
    }

    fn free(&mut self, open: Open, qualifier: Option<&'a str>, name: &'a str) {
        let free = &mut self.inlined.free;
        if free.len() <= open.cte {
            free.resize_with(open.cte + 1, BTreeSet::new);
        }
        if let Some(free) = free.get_mut(open.cte) {
            free.insert((qualifier, name));
        }
    }

    /// Remembers that a common table expression is used.
    pub(super) fn is_used(&mut self, cte: usize, around: Scope) {
        if self.dialect == Dialect::Sqlite && (around.frame.is_some() || !self.open.is_empty()) {
            let within = self.open.iter().map(|open| open.cte).collect();
            let place = Place { cte, frame: around.frame, within };
            // Many in one `FROM` are one.
            if self.inlined.places.last() != Some(&place) {
                self.inlined.places.push(place);
            }
        }
    }

    /// Looks for the free names of bodies where these are used.
    pub(super) fn inline(&mut self) {
        let Inlined { mut free, places } = std::mem::take(&mut self.inlined);
        if free.is_empty() {
            return;
        }
        free.resize_with(self.ctes.len(), BTreeSet::new);
        // A body that uses another has its names too. Bodies see those that are defined after them, so until none is new.
        let mut grows = true;
        while std::mem::take(&mut grows) {
            for Place { cte, within, .. } in &places {
                for user in within.iter().filter(|user| *user != cte) {
                    let (Some(names), Some(known)) = (free.get(*cte), free.get(*user)) else { continue };
                    if !self.may_step(names.len() + 1) {
                        return;
                    }
                    let new: Vec<_> = names.difference(known).copied().collect();
                    if let (false, Some(known)) = (new.is_empty(), free.get_mut(*user)) {
                        known.extend(new);
                        grows = true;
                    }
                }
            }
        }
        for Place { cte, frame, .. } in places.iter().filter(|place| place.frame.is_some()) {
            let scope = Scope { frame: *frame, cte: None };
            for (qualifier, name) in free.get(*cte).into_iter().flatten() {
                if !self.may_step(1) {
                    return;
                }
                match qualifier {
                    None => self.unqualified(quoted(name), scope, Use::Read),
                    Some(qualifier) => {
                        self.column_of_qualifier(quoted(qualifier), quoted(name), scope, Use::Read);
                    }
                }
            }
        }
    }
}

/// Whether a word is reserved was asked where it stands.
fn quoted(value: &str) -> Name<'_> {
    Name { value, quoted: true }
}
