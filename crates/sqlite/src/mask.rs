//! Which columns the caller may see. A hidden column reads as NULL wherever SQLite would have read it; a treated one
//! too, but where it is only shown.

use crate::catalog::{Catalog, Kind, Relation};
use crate::treat::Treatment;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A column mask, as the `mask` claim of an assertion states it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub(crate) struct Mask {
    default: bool,
    /// `table.column`, in ASCII lower case: SQLite compares names without regard to ASCII case.
    exceptions: BTreeSet<String>,
    /// Tables of which every column is an exception, in ASCII lower case.
    whole: BTreeSet<String>,
    /// `table.column` in ASCII lower case → how its values are shown.
    treat: BTreeMap<String, Treatment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    default: bool,
    #[serde(default)]
    exceptions: Vec<String>,
    #[serde(default)]
    treat: BTreeMap<String, Treatment>,
}

impl From<Wire> for Mask {
    fn from(wire: Wire) -> Self {
        let mut mask = Self { treat: BTreeMap::new(), ..Self::new(wire.default, wire.exceptions) };
        for (name, treatment) in wire.treat {
            // Two spellings of one name: the one that shows less, which is the later in the order of treatments.
            let kept = mask.treat.entry(name.to_ascii_lowercase()).or_insert(treatment);
            *kept = treatment.max(*kept);
        }
        mask
    }
}

/// A column whose values are shown treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Treated {
    pub(crate) table: String,
    pub(crate) column: String,
    /// `table.column`, as the schema spells it.
    pub(crate) name: String,
    pub(crate) treatment: Treatment,
}

impl Mask {
    /// `default` true: every column is disclosed but the exceptions; false: none but the exceptions. An exception is
    /// `table.column`, or `table.*` for every column that the table has or will have.
    pub(crate) fn new(default: bool, exceptions: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut mask =
            Self { default, exceptions: BTreeSet::new(), whole: BTreeSet::new(), treat: BTreeMap::new() };
        for name in exceptions {
            let name = name.as_ref().to_ascii_lowercase();
            match name.strip_suffix(".*") {
                Some(table) => mask.whole.insert(table.to_owned()),
                None => mask.exceptions.insert(name),
            };
        }
        mask
    }
    /// Hides everything.
    pub(crate) fn nothing() -> Self {
        Self::new(false, [] as [&str; 0])
    }
    /// Whether this mask hides nothing at all.
    pub(crate) fn is_open(&self) -> bool {
        self.default && self.exceptions.is_empty() && self.whole.is_empty() && self.treat.is_empty()
    }
    /// Whether what is not named in the mask is hidden.
    pub(crate) fn hides_by_default(&self) -> bool {
        !self.default
    }
    /// Whether any treatment needs a key.
    pub(crate) fn needs_key(&self) -> bool {
        self.treat.values().any(|treatment| treatment.needs_key())
    }
    /// Whether a column is hidden, or shown treated only. A generated column is hidden as soon as any column of its
    /// table is: its value is made of others, and SQLite does not say of which. A view's column is judged by the table
    /// columns it reads, and hidden besides when it is named.
    pub(crate) fn hides(&self, relation: &Relation, column: &str) -> bool {
        if relation.kind == Kind::View {
            return self.treat.contains_key(&key(relation, column))
                || self.default && self.named(relation, column);
        }
        let generated = relation.column(column).is_some_and(|c| c.is_generated());
        self.hides_plainly(relation, column)
            || generated && relation.columns.iter().any(|c| self.hides_plainly(relation, &c.name))
    }
    /// Whether any column of a table is hidden or treated.
    pub(crate) fn hides_some(&self, relation: &Relation) -> bool {
        relation.columns.iter().any(|column| self.hides(relation, &column.name))
    }
    /// Whether a table is as if it were not there, so that not even its rows may be counted: every column is hidden
    /// and none is treated; of a view, that it is named as a whole.
    pub(crate) fn hides_whole(&self, relation: &Relation) -> bool {
        if relation.kind == Kind::View {
            return self.default && self.whole.contains(&relation.name.to_ascii_lowercase());
        }
        let is_hidden = |column: &crate::catalog::Column| {
            self.hides(relation, &column.name) && self.treatment(relation, &column.name).is_none()
        };
        relation.columns.iter().all(is_hidden)
    }
    /// How a column is shown that is neither disclosed nor hidden. Only a plain stored column of an ordinary table can
    /// be: what is computed, what is the rowid and what is the key of its table stays hidden, and so does a column of
    /// a table that is hidden as a whole.
    pub(crate) fn treatment(&self, relation: &Relation, column: &str) -> Option<Treatment> {
        let treatment = *self.treat.get(&key(relation, column))?;
        let is_plain = relation.kind == Kind::Table && !relation.without_rowid && relation.root.is_some();
        let found = relation.column(column).filter(|found| is_plain && !found.is_generated())?;
        let is_rowid = relation.rowid_alias().is_some_and(|alias| alias.name == found.name);
        let whole_is_hidden = self.default && self.whole.contains(&relation.name.to_ascii_lowercase());
        (!is_rowid && !whole_is_hidden).then_some(treatment)
    }
    /// The same for a `table.column`.
    pub(crate) fn treatment_of(&self, catalog: &Catalog, name: &str) -> Option<Treatment> {
        // A dot can be part of either name.
        let dots = name.match_indices('.').map(|(at, _)| at);
        let split = dots.filter_map(|at| Some((name.get(..at)?, name.get(at + 1..)?)));
        split.into_iter().find_map(|(table, column)| self.treatment(catalog.find(table)?, column))
    }
    /// Every column with a treatment, as far as they can be told apart ([`MOST_TREATED`]).
    pub(crate) fn treated(&self, catalog: &Catalog) -> Vec<Treated> {
        if self.treat.is_empty() {
            return Vec::new();
        }
        let columns = catalog.relations().flat_map(|relation| {
            relation.columns.iter().filter_map(|column| {
                self.treatment(relation, &column.name).map(|treatment| Treated {
                    table: relation.name.clone(),
                    column: column.name.clone(),
                    name: format!("{}.{}", relation.name, column.name),
                    treatment,
                })
            })
        });
        columns.take(MOST_TREATED).collect()
    }

    fn hides_plainly(&self, relation: &Relation, column: &str) -> bool {
        self.named(relation, column) == self.default || self.treat.contains_key(&key(relation, column))
    }
    fn named(&self, relation: &Relation, column: &str) -> bool {
        self.exceptions.contains(&key(relation, column))
            || self.whole.contains(&relation.name.to_ascii_lowercase())
    }
}

/// Treated columns of one database; those beyond stay hidden.
pub(crate) const MOST_TREATED: usize = 128;

fn key(relation: &Relation, column: &str) -> String {
    format!("{}.{column}", relation.name).to_ascii_lowercase()
}
