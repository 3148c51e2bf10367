//! Facts about SQL text: what it does, which tables, columns and functions it names. From the text alone, so views,
//! triggers and functions of the database's own are not looked through. What is not understood with certainty makes the
//! facts incomplete, and policies that look at incomplete facts refuse. `docs/sql-facts.md` is the manual.

mod change;
mod dialect;
mod expression;
mod from;
mod functions;
mod guard;
mod harmless;
mod inline;
mod kinds;
mod limit;
mod names;
mod opaque;
mod reserved;
mod resolve;
mod scope;
mod tables;
mod walk;

pub use dialect::{Dialect, UnknownDialect};
pub use tables::Tables;

use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use std::collections::BTreeSet;
use walk::Reading;

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
    /// Columns read, lower-case, as `table.column`, or `table.*` for all of a table's; of a table that is written with
    /// its schema with and without it. A name that could belong to several tables counts for each of them.
    pub columns_read: BTreeSet<String>,
    /// Columns written, likewise; what removes or remakes rows writes all.
    pub columns_written: BTreeSet<String>,
    /// Functions called, lower-case, likewise with and without a schema.
    pub functions: BTreeSet<String>,
    /// How many statements the text has, nested ones not counted.
    pub statements: usize,
    /// How many joins, commas between tables among them, everywhere in the text.
    pub joins: usize,
    /// The most rows that any of the statements returns, where each has a constant `LIMIT` or `FETCH FIRST`.
    pub limited: Option<u64>,
    /// Complete, and every function called and every table read is known to read nothing but what it is given and named
    /// for. Statements that change rows can be that, too.
    pub harmless: bool,
    /// The first function or table that is why not, as written, lower-case.
    pub doubtful: Option<String>,
    /// One statement, a query, that was understood and does nothing but read: see `docs/sql-facts.md` for what that
    /// promises.
    pub read_only: bool,
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
        self.columns_read.extend(other.columns_read);
        self.columns_written.extend(other.columns_written);
        self.functions.extend(other.functions);
        self.statements = self.statements.max(other.statements);
        self.joins = self.joins.max(other.joins);
        self.limited = self.limited.zip(other.limited).map(|(one, two)| one.max(two));
        self.harmless &= other.harmless;
        self.doubtful = self.doubtful.or(other.doubtful);
        self.read_only &= other.read_only;
        self
    }
}

/// The facts about a text. Time and memory are bounded by [`portunus_core::limits::SQL_BYTES`],
/// [`portunus_core::limits::SQL_NESTING_TOKENS`], [`portunus_core::limits::SQL_DEPTH`] and
/// [`portunus_core::limits::SQL_STEPS`].
#[must_use]
pub fn facts(text: &str, dialect: Dialect) -> SqlFacts {
    facts_with(text, dialect, None)
}

/// The facts about a text for a database with these tables: `*` is told apart into columns, and a name without a table
/// counts only for the tables that have it. What reads a view is incomplete, unless views are taken for tables.
#[must_use]
pub fn facts_with(text: &str, dialect: Dialect, tables: Option<&Tables>) -> SqlFacts {
    if dialect != Dialect::Generic {
        return of_dialect(text, dialect, Reading { tables, of_any: false });
    }
    let reading = Reading { tables, of_any: true };
    let sqlite = of_dialect(text, Dialect::Sqlite, reading);
    let mut facts = sqlite.join(of_dialect(text, Dialect::Postgres, reading));
    facts.complete &= !guard::could_be_mysql(text);
    facts.harmless &= facts.complete;
    facts.read_only &= facts.complete;
    facts
}

fn of_dialect(text: &str, dialect: Dialect, reading: Reading<'_>) -> SqlFacts {
    let Some(tokens) = guard::tokens(text, dialect) else { return SqlFacts::unknown() };
    let mut parser = Parser::new(dialect.parser()).with_tokens_with_locations(tokens);
    match parser.parse_statements() {
        // The parser takes the word `END` for the end of a block and leaves unread what is behind it. To a database it is a
        // name: `SELECT 1 END; DELETE FROM staff` are two statements.
        Ok(statements) if !statements.is_empty() && parser.peek_token_ref().token == Token::EOF => {
            walk::facts(&statements, dialect, reading)
        }
        Ok(_) | Err(_) => SqlFacts::unknown(),
    }
}

#[cfg(test)]
mod tests;
