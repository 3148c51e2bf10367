//! Facts about SQL text.

use std::collections::BTreeSet;

/// Which SQL a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
    /// Not known: the facts are a best effort and never complete.
    Generic,
}

/// What a text of SQL does, as far as the text itself can tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlFacts {
    /// Everything in the text was understood. Views and triggers are not looked through.
    pub complete: bool,
    /// Kinds of all statements, nested ones too: `select`, `insert`, `update`, `delete`, `create`, `drop`, `alter`,
    /// `attach`, `pragma` … and `unknown` for what was not understood.
    pub kinds: BTreeSet<String>,
    /// Tables read, lower-case; one that is written with its schema is there with and without it.
    pub reads: BTreeSet<String>,
    /// Tables written or changed, likewise.
    pub writes: BTreeSet<String>,
    /// Columns as written, lower-case: `email`, `c.email`, `*`, `c.*`.
    pub columns: BTreeSet<String>,
    /// Functions called, lower-case.
    pub functions: BTreeSet<String>,
}

/// The facts about a text.
#[must_use]
pub fn facts(_text: &str, _dialect: Dialect) -> SqlFacts {
    let kinds = BTreeSet::from(["unknown".to_owned()]);
    SqlFacts { kinds, ..SqlFacts::default() }
}
