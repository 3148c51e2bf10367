//! Facts about SQL text: what it does, which tables and functions it names. From the text alone, so views, triggers and
//! functions of the database's own are not looked through. What is not understood with certainty makes the facts
//! incomplete, and policies that look at incomplete facts refuse.

mod guard;
mod kinds;
mod walk;

use sqlparser::dialect::{PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;
use std::collections::BTreeSet;

/// Which SQL a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
    /// Not known: the facts are those of both, and complete only if they are in both.
    Generic,
}

/// What a text of SQL does, as far as the text itself can tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlFacts {
    /// Everything in the text was understood.
    pub complete: bool,
    /// Kinds of all statements, nested ones too: `select`, `insert`, `update`, `delete`, `create`, `drop`, `alter`,
    /// `truncate`, `explain`, `lock`, `attach`, `pragma` …, `other`; and `unknown` for what could not be parsed.
    pub kinds: BTreeSet<String>,
    /// Tables read, lower-case; one that is written with its schema is there with and without it.
    pub reads: BTreeSet<String>,
    /// Tables written or changed, likewise.
    pub writes: BTreeSet<String>,
    /// Columns as written in expressions and lists, lower-case: `email`, `c.email`, `*`, `c.*`.
    pub columns: BTreeSet<String>,
    /// Columns read.
    pub columns_read: BTreeSet<String>,
    /// Columns written.
    pub columns_written: BTreeSet<String>,
    /// Functions called, lower-case, likewise with and without a schema.
    pub functions: BTreeSet<String>,
}

impl SqlFacts {
    /// Nothing is known, so everything must be assumed.
    #[must_use]
    pub fn unknown() -> Self {
        Self { kinds: BTreeSet::from(["unknown".to_owned()]), ..Self::default() }
    }

    fn join(mut self, other: Self) -> Self {
        self.complete &= other.complete;
        self.kinds.extend(other.kinds);
        self.reads.extend(other.reads);
        self.writes.extend(other.writes);
        self.columns.extend(other.columns);
        self.functions.extend(other.functions);
        self
    }
}

/// The facts about a text. Time and memory are bounded by [`portunus_core::limits::SQL_BYTES`],
/// [`portunus_core::limits::SQL_NESTING_TOKENS`] and [`portunus_core::limits::SQL_DEPTH`].
#[must_use]
pub fn facts(text: &str, dialect: Dialect) -> SqlFacts {
    match dialect {
        Dialect::Sqlite => of_dialect(text, false),
        Dialect::Postgres => of_dialect(text, true),
        Dialect::Generic => {
            let mut facts = of_dialect(text, false).join(of_dialect(text, true));
            facts.complete &= !guard::could_be_mysql(text);
            facts
        }
    }
}

fn of_dialect(text: &str, postgres: bool) -> SqlFacts {
    let dialect: &dyn sqlparser::dialect::Dialect =
        if postgres { &PostgreSqlDialect {} } else { &SQLiteDialect {} };
    let Some(tokens) = guard::tokens(text, dialect) else { return SqlFacts::unknown() };
    match Parser::new(dialect).with_tokens(tokens).parse_statements() {
        Ok(statements) if !statements.is_empty() => walk::facts(&statements, postgres),
        Ok(_) | Err(_) => SqlFacts::unknown(),
    }
}

#[cfg(test)]
mod tests;
