//! The dialects of SQL, and what each of them reads differently from the others.

use sqlparser::ast::Ident;
use sqlparser::dialect as parser;
use std::fmt;
use std::str::FromStr;

/// Which SQL a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
    /// That of MySQL and MariaDB.
    MySql,
    /// Microsoft SQL Server's. The facts of this and of all that follow name kinds, tables and functions, but are never
    /// complete: nobody has checked what their parser and ours read differently.
    MsSql,
    /// BigQuery's.
    BigQuery,
    /// Snowflake's.
    Snowflake,
    /// DuckDB's.
    DuckDb,
    /// ClickHouse's.
    ClickHouse,
    /// Not known: the facts are those of SQLite and PostgreSQL together, and complete only if MySQL would read the text
    /// alike too.
    Generic,
}

/// All dialects, with their words in configuration.
const WORDS: [(Dialect, &str); 9] = [
    (Dialect::Sqlite, "sqlite"),
    (Dialect::Postgres, "postgres"),
    (Dialect::MySql, "mysql"),
    (Dialect::MsSql, "mssql"),
    (Dialect::BigQuery, "bigquery"),
    (Dialect::Snowflake, "snowflake"),
    (Dialect::DuckDb, "duckdb"),
    (Dialect::ClickHouse, "clickhouse"),
    (Dialect::Generic, "generic"),
];

/// A word that names no dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = WORDS.iter().map(|(_, word)| *word).collect();
        write!(f, "a dialect of SQL is one of {}", words.join(", "))
    }
}

impl std::error::Error for UnknownDialect {}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(word: &str) -> Result<Self, UnknownDialect> {
        WORDS.iter().find(|(_, known)| *known == word).map(|(dialect, _)| *dialect).ok_or(UnknownDialect)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether two names are the same to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    /// They are not.
    No,
    /// It depends on the database's settings, or they differ only in case.
    Maybe,
    /// They are.
    Sure,
}

impl Dialect {
    /// The word that configuration uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(dialect, _)| *dialect == self).map_or("generic", |(_, word)| word)
    }

    /// Whether facts in it can be complete.
    pub(super) fn is_known(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgres | Self::MySql)
    }

    /// How the parser reads it.
    pub(super) fn parser(self) -> &'static dyn parser::Dialect {
        match self {
            Self::Sqlite => &parser::SQLiteDialect {},
            Self::Postgres => &parser::PostgreSqlDialect {},
            Self::MySql => &parser::MySqlDialect {},
            Self::MsSql => &parser::MsSqlDialect {},
            Self::BigQuery => &parser::BigQueryDialect {},
            Self::Snowflake => &parser::SnowflakeDialect,
            Self::DuckDb => &parser::DuckDbDialect {},
            Self::ClickHouse => &parser::ClickHouseDialect {},
            Self::Generic => &parser::GenericDialect {},
        }
    }

    /// SQLite never minds case. PostgreSQL folds what is not quoted; whether MySQL minds the case of tables and aliases
    /// depends on the system that it runs on.
    pub(super) fn same(self, one: Name<'_>, other: Name<'_>) -> Match {
        if !one.value.eq_ignore_ascii_case(other.value) {
            return Match::No;
        }
        let sure = match self {
            Self::Sqlite => true,
            Self::Postgres => match (one.quoted, other.quoted) {
                (false, false) => true,
                (true, true) => one.value == other.value,
                (true, false) => is_lower(one.value),
                (false, true) => is_lower(other.value),
            },
            _ => one.value == other.value && one.quoted == other.quoted,
        };
        if sure { Match::Sure } else { Match::Maybe }
    }
}

/// A name as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) value: &'a str,
    pub(super) quoted: bool,
}

impl<'a> From<&'a Ident> for Name<'a> {
    fn from(ident: &'a Ident) -> Self {
        Self { value: &ident.value, quoted: ident.quote_style.is_some() }
    }
}

impl Name<'_> {
    /// Whether it is certainly the same name when it is folded to lower case.
    pub(super) fn folds(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Sqlite => true,
            Dialect::Postgres if !self.quoted => true,
            _ => is_lower(self.value),
        }
    }
}

fn is_lower(value: &str) -> bool {
    !value.bytes().any(|byte| byte.is_ascii_uppercase())
}
