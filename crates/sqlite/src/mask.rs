//! Which columns the caller may see. A hidden column reads as NULL wherever SQLite would have read it.

use crate::catalog::{Kind, Relation};
use serde::Deserialize;
use std::collections::BTreeSet;

/// A column mask, as the `mask` claim of an assertion states it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub(crate) struct Mask {
    default: bool,
    /// `table.column`, in ASCII lower case: SQLite compares names without regard to ASCII case.
    exceptions: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    default: bool,
    #[serde(default)]
    exceptions: Vec<String>,
}

impl From<Wire> for Mask {
    fn from(wire: Wire) -> Self {
        Self::new(wire.default, wire.exceptions)
    }
}

impl Mask {
    /// `default` true: every column is disclosed but the exceptions; false: none but the exceptions. An exception is
    /// `table.column`.
    pub(crate) fn new(default: bool, exceptions: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let exceptions = exceptions.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect();
        Self { default, exceptions }
    }
    /// Hides everything.
    pub(crate) fn nothing() -> Self {
        Self { default: false, exceptions: BTreeSet::new() }
    }
    /// Whether this mask hides nothing at all.
    pub(crate) fn is_open(&self) -> bool {
        self.default && self.exceptions.is_empty()
    }
    /// Whether what is not named in the mask is hidden.
    pub(crate) fn hides_by_default(&self) -> bool {
        !self.default
    }
    /// Whether a column is hidden. A generated column is hidden as soon as any column of its table is: its value is
    /// made of others, and SQLite does not say of which. A view's column is judged by the table columns it reads, and
    /// hidden besides when it is named.
    pub(crate) fn hides(&self, relation: &Relation, column: &str) -> bool {
        if relation.kind == Kind::View {
            return self.default && self.named(relation, column);
        }
        let generated = relation.column(column).is_some_and(|c| c.is_generated());
        self.hides_plainly(relation, column)
            || generated && relation.columns.iter().any(|c| self.hides_plainly(relation, &c.name))
    }
    /// Whether any column of a table is hidden.
    pub(crate) fn hides_some(&self, relation: &Relation) -> bool {
        relation.columns.iter().any(|column| self.hides(relation, &column.name))
    }
    /// Whether every column of a table is hidden, so that not even its rows may be counted.
    pub(crate) fn hides_whole(&self, relation: &Relation) -> bool {
        relation.kind != Kind::View
            && relation.columns.iter().all(|column| self.hides(relation, &column.name))
    }

    fn hides_plainly(&self, relation: &Relation, column: &str) -> bool {
        self.named(relation, column) == self.default
    }
    fn named(&self, relation: &Relation, column: &str) -> bool {
        self.exceptions.contains(&format!("{}.{column}", relation.name).to_ascii_lowercase())
    }
}
