//! What is known of a database's tables, so that `*` and names without a table can be told apart.

use super::dialect::{Dialect, Name};
use super::names;
use sqlparser::ast::ObjectName;
use std::collections::{BTreeMap, BTreeSet};

/// Tables and views with their columns, by name. Names are compared without case; a name with a schema is written
/// `schema.table`. What is not named is not known, and could have any column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    relations: BTreeMap<String, Relation>,
    views_as_tables: bool,
}

/// A table or view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) columns: BTreeSet<String>,
    pub(super) view: bool,
    /// The column that `rowid` is another name of.
    pub(super) key: Option<String>,
}

impl Tables {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more table.
    #[must_use]
    pub fn table<'c>(self, name: &str, columns: impl IntoIterator<Item = &'c str>) -> Self {
        self.with(name, columns, None, false)
    }

    /// With one more table of SQLite, whose `INTEGER PRIMARY KEY` is `key`: there `rowid` means that column. Of a table
    /// whose key is not told, `rowid` counts for all columns.
    #[must_use]
    pub fn table_with_key<'c>(
        self,
        name: &str,
        columns: impl IntoIterator<Item = &'c str>,
        key: &str,
    ) -> Self {
        self.with(name, columns, Some(key.to_ascii_lowercase()), false)
    }

    /// With one more view. What it reads is not known, so facts about text that reads it are incomplete.
    #[must_use]
    pub fn view<'c>(self, name: &str, columns: impl IntoIterator<Item = &'c str>) -> Self {
        self.with(name, columns, None, true)
    }

    /// Views are taken for tables: who may read the view may see what it shows.
    #[must_use]
    pub fn views_as_tables(mut self) -> Self {
        self.views_as_tables = true;
        self
    }

    fn with<'c>(
        mut self,
        name: &str,
        columns: impl IntoIterator<Item = &'c str>,
        key: Option<String>,
        view: bool,
    ) -> Self {
        let columns = columns.into_iter().map(str::to_ascii_lowercase).collect();
        self.relations.insert(name.to_ascii_lowercase(), Relation { columns, view, key });
        self
    }

    /// Whether reading it reads something else that is not known.
    pub(super) fn is_opaque(&self, relation: &Relation) -> bool {
        relation.view && !self.views_as_tables
    }

    /// The relation that a statement names, if it certainly is one that is known.
    pub(super) fn find(&self, name: &ObjectName, dialect: Dialect) -> Option<&Relation> {
        if !names::idents(name).all(|ident| Name::from(ident).folds(dialect)) {
            return None;
        }
        let mut full = String::new();
        names::write_full(&mut full, name);
        let plain = || full.strip_prefix(if dialect == Dialect::Sqlite { "main." } else { "public." });
        self.relations.get(&full).or_else(|| self.relations.get(plain()?))
    }
}
