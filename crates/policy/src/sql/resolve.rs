//! From names to columns of tables.

use super::dialect::{Dialect, Match, Name};
use super::scope::{Of, Scope, Source, is_row_id, lower};
use super::walk::Walk;
use super::{harmless, names, reserved};
use sqlparser::ast::{Ident, ObjectName};

/// Whether columns are read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

impl<'a> Walk<'a> {
    /// `column`, wherever it can be found from the inside out.
    pub(super) fn unqualified(&mut self, name: Name<'a>, scope: Scope, to: Use) {
        self.identifiers += 1;
        self.facts.complete &= !reserved::is_reserved(name, self.dialect);
        let (mut next, mut found, mut hides) = (scope.frame, false, true);
        while let Some(frame) = next {
            self.leaves(next, None, name.value);
            let Some(known) = self.frames.get(frame) else { return };
            let (sources, merges, part) = (known.sources.clone(), known.merges, known.part);
            next = known.parent;
            if !self.may_step(sources.len() + 1) {
                return;
            }
            let own = self.sources.get(sources.clone()).unwrap_or_default();
            let steps: usize = own.iter().map(Source::steps).sum();
            let sure = own.iter().any(|source| source.has(name, self.dialect) == Match::Sure);
            let keyed = sure || own.iter().all(|source| source.has_known_key(name, self.dialect));
            if !self.may_step(steps) {
                return;
            }
            self.facts.complete &= keyed;
            for index in sources {
                let Some(source) = self.sources.get(index) else { break };
                let has = source.has(name, self.dialect);
                if source.is_whole(name, self.dialect) {
                    self.whole(index, to);
                    found = true;
                }
                if has == Match::Sure || (has == Match::Maybe && (!sure || merges || !hides)) {
                    self.column_of(index, name.value, to);
                    found = true;
                }
            }
            // What the name may be an alias of ends nothing: an item that is selected does not see its own alias, nor
            // those beside it.
            if sure && hides {
                return;
            }
            hides = !part;
        }
        self.leaves(None, None, name.value);
        if !found {
            self.anywhere(name, scope, to);
        }
    }

    /// A name that no known table has may still be a hidden column or one of the system's.
    fn anywhere(&mut self, name: Name<'_>, scope: Scope, to: Use) {
        let mut next = scope.frame;
        while let Some(known) = next.and_then(|frame| self.frames.get(frame)) {
            let sources = known.sources.clone();
            next = known.parent;
            if !self.may_step(sources.len() + 1) {
                return;
            }
            sources.for_each(|source| self.column_of(source, name.value, to));
        }
    }

    /// `q.column`, `schema.table.column`, `q.column.field` …: each part that is the name of something in scope, with the
    /// part after it.
    pub(super) fn qualified(&mut self, parts: impl IntoIterator<Item = &'a Ident>, scope: Scope, to: Use) {
        self.identifiers += 1;
        let mut found = Match::No;
        let mut parts = parts.into_iter();
        let Some(mut qualifier) = parts.next() else { return };
        for column in parts {
            found = found.max(self.column_of_qualifier(qualifier.into(), column.into(), scope, to));
            self.leaves_all(Some(&qualifier.value), &column.value);
            qualifier = column;
        }
        self.facts.complete &= found > Match::No;
    }

    /// `q.column`, whatever `q` can be.
    pub(super) fn column_of_qualifier(
        &mut self,
        qualifier: Name<'_>,
        column: Name<'_>,
        scope: Scope,
        to: Use,
    ) -> Match {
        self.of_qualifier(qualifier, Some(column), scope, |walk, source| walk.field(source, column, to))
    }

    /// `q.*`.
    pub(super) fn all_of(&mut self, name: &ObjectName, scope: Scope, to: Use) {
        let qualifier = names::last(name);
        let found = qualifier.map_or(Match::No, |qualifier| {
            self.of_qualifier(qualifier.into(), None, scope, |walk, source| walk.whole(source, to))
        });
        self.facts.complete &= found > Match::No;
    }

    /// `*`: all that the innermost frame has.
    pub(super) fn all(&mut self, scope: Scope, to: Use) {
        let Some(frame) = scope.frame.and_then(|frame| self.frames.get(frame)) else { return };
        let sources = frame.sources.clone();
        if self.may_step(sources.len()) {
            sources.for_each(|source| self.whole(source, to));
        }
    }

    /// Does something with everything that a qualifier can mean before this column. But for PostgreSQL, databases go on
    /// outwards from what is called so and has no such column.
    fn of_qualifier(
        &mut self,
        qualifier: Name<'_>,
        column: Option<Name<'_>>,
        scope: Scope,
        mut each: impl FnMut(&mut Self, usize),
    ) -> Match {
        let (mut next, mut best, mut hides) = (scope.frame, Match::No, true);
        while let Some(known) = next.and_then(|frame| self.frames.get(frame)) {
            let (sources, changes, part) = (known.sources.clone(), known.changes, known.part);
            next = known.parent;
            if !self.may_step(sources.len() + 1) {
                return Match::No;
            }
            let mut ends = false;
            // The row that an insertion proposes is no row of the table.
            if changes && qualifier.value.eq_ignore_ascii_case("excluded") {
                (best, ends) = (Match::Sure, true);
            }
            let row = changes && ["old", "new"].iter().any(|row| qualifier.value.eq_ignore_ascii_case(row));
            for index in sources {
                let Some(source) = self.sources.get(index) else { break };
                let called =
                    source.is_called(qualifier, self.dialect).max(if row { Match::Maybe } else { Match::No });
                if called > Match::No {
                    best = best.max(called);
                    let has = |column| source.has(column, self.dialect) == Match::Sure;
                    ends |= called == Match::Sure
                        && (self.dialect == Dialect::Postgres || column.is_none_or(has));
                    each(self, index);
                }
            }
            if ends && hides {
                break;
            }
            hides = !part;
        }
        best
    }

    /// `source.column`. In PostgreSQL that can be a function of the whole row: `staff.to_json`.
    fn field(&mut self, source: usize, name: Name<'_>, to: Use) {
        let Some(known) = self.sources.get(source) else { return };
        let unknown = known.has(name, self.dialect) < Match::Sure;
        let keyed = !unknown || known.has_known_key(name, self.dialect);
        let hidden = match known.of {
            Of::Table(table, relation) => {
                let own = names::last(table);
                own.is_some_and(|own| self.dialect.same(name, own.into()) > Match::No)
                    || (self.dialect != Dialect::Sqlite
                        && unknown
                        && (relation.is_some() || harmless::takes_rows(&lower(name.value))))
            }
            _ => false,
        };
        // What a known table has not as a column is a function of the database's own.
        let call = self.dialect == Dialect::Postgres
            && unknown
            && matches!(known.of, Of::Table(_, Some(relation)) if !relation.columns.contains(&*lower(name.value)));
        self.facts.complete &= keyed;
        if hidden {
            self.whole(source, to);
        }
        if call {
            self.doubt(&ObjectName::from(vec![Ident::new(name.value)]));
        }
        self.column_of(source, name.value, to);
    }

    /// All columns of a source, if it is a table.
    pub(super) fn whole(&mut self, source: usize, to: Use) {
        let Some(Of::Table(table, relation)) = self.sources.get(source).map(|source| source.of) else {
            return;
        };
        match relation {
            None => self.add_column(table, "*", to),
            Some(relation) => {
                if self.may_step(relation.columns.len()) {
                    relation.columns.iter().for_each(|column| self.add_column(table, column, to));
                }
            }
        }
    }

    fn column_of(&mut self, source: usize, column: &str, to: Use) {
        let Some(Of::Table(table, relation)) = self.sources.get(source).map(|source| source.of) else {
            return;
        };
        self.add_column(table, column, to);
        if self.dialect == Dialect::Sqlite && is_row_id(column) {
            match relation
                .map(|relation| (relation.key.as_deref(), relation.columns.contains(&*lower(column))))
            {
                Some((_, true)) => {}
                Some((Some(key), false)) => self.add_column(table, key, to),
                Some((None, false)) | None => self.whole(source, to),
            }
        }
    }

    /// Adds `table.column`, and with the schema if that is written.
    pub(super) fn add_column(&mut self, table: &ObjectName, column: &str, to: Use) {
        let set = match to {
            Use::Read => &mut self.facts.columns_read,
            Use::Write => &mut self.facts.columns_written,
        };
        let buffer = &mut self.buffer;
        for qualified in [false, true] {
            if qualified && !names::is_qualified(table) {
                break;
            }
            buffer.clear();
            if qualified {
                names::write_full(buffer, table)
            } else {
                names::write_last(buffer, table)
            }
            buffer.push('.');
            names::write_lower(buffer, column);
            if !set.contains(buffer.as_str()) {
                set.insert(buffer.clone());
            }
        }
    }

    /// Whether there is time left for so many steps; else the facts are incomplete.
    pub(super) fn may_step(&mut self, count: usize) -> bool {
        self.steps += count;
        let may = self.steps <= portunus_core::limits::SQL_STEPS;
        self.facts.complete &= may;
        may
    }
}
