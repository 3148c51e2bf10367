//! What names of columns stand for: the tables, sub-queries and functions in scope, and which of them a name can belong
//! to. Where that is not certain, all that it could be count.

use super::dialect::{Dialect, Match, Name};
use super::names;
use super::tables::Relation;
use sqlparser::ast::{Expr, Ident, ObjectName, SelectItem, SetExpr, TableAliasColumnDef};
use std::ops::Range;

/// The names in scope at one place of a text: an innermost frame, and the innermost common table expression.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scope {
    pub(super) frame: Option<usize>,
    pub(super) cte: Option<usize>,
}

/// What one `FROM` brings into scope.
#[derive(Debug)]
pub(super) struct Frame {
    /// The frame around it, whose names are seen as well.
    pub(super) parent: Option<usize>,
    /// It is a part of the one around it: whether the rest of that is seen from here depends on the database, so nothing
    /// there hides what is further out.
    pub(super) part: bool,
    /// Which of all sources are its own.
    pub(super) sources: Range<usize>,
    /// `USING` and `NATURAL` let one name belong to several tables.
    pub(super) merges: bool,
    /// It is that of a change, in which `old`, `new` and `excluded` stand for its table.
    pub(super) changes: bool,
}

/// One table, sub-query or function in a `FROM`.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) alias: Option<&'a Ident>,
    /// The alias of parentheses around several.
    pub(super) group: Option<&'a Ident>,
    pub(super) columns: &'a [TableAliasColumnDef],
    pub(super) of: Of<'a>,
}

/// What a source is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    /// A table, or what is taken for one; its columns, if known.
    Table(&'a ObjectName, Option<&'a Relation>),
    /// What a sub-query or common table expression of this name selects. What it reads counts where it stands.
    Query(&'a [SelectItem], Option<&'a Ident>),
    /// A function that returns rows with these columns, perhaps among others.
    Function(&'a ObjectName),
    /// Something that reads no table.
    Other,
}

/// Functions that return rows, and columns that they certainly have.
const COLUMNS_OF_FUNCTIONS: [(&str, &[&str]); 10] = [
    ("json_each", &["key", "value"]),
    ("json_tree", &["key", "value"]),
    ("jsonb_each", &["key", "value"]),
    ("jsonb_tree", &["key", "value"]),
    ("json_each_text", &["key", "value"]),
    ("jsonb_each_text", &["key", "value"]),
    ("jsonb_array_elements", &["value"]),
    ("json_array_elements", &["value"]),
    ("jsonb_array_elements_text", &["value"]),
    ("json_array_elements_text", &["value"]),
];

/// Functions that return rows of one plain value, so that in PostgreSQL the alias of the call is the name of its column.
const PLAIN_VALUES: [&str; 7] = [
    "generate_series",
    "generate_subscripts",
    "unnest",
    "json_object_keys",
    "jsonb_object_keys",
    "string_to_table",
    "regexp_split_to_table",
];

impl Source<'_> {
    /// How many names are compared to find one in it.
    pub(super) fn steps(&self) -> usize {
        let Of::Query(outputs, _) = self.of else { return 1 };
        1 + self.columns.len() + outputs.len()
    }

    /// Whether a qualifier, as in `q.column`, means this.
    pub(super) fn is_called(&self, name: Name<'_>, dialect: Dialect) -> Match {
        let same = |ident: Option<&Ident>| ident.map_or(Match::No, |ident| dialect.same(name, ident.into()));
        let own = match self.of {
            Of::Table(table, _) | Of::Function(table) if self.alias.is_none() => names::last(table),
            Of::Query(_, cte) if self.alias.is_none() => cte,
            _ => self.alias,
        };
        // In PostgreSQL the alias of parentheses hides those within.
        let own = match same(own) {
            Match::Sure if self.group.is_some() && dialect != Dialect::Sqlite => Match::Maybe,
            own => own,
        };
        own.max(same(self.group))
    }

    /// Whether a name alone means all of it: its alias, or the column that a full-text table has by its own name.
    pub(super) fn is_whole(&self, name: Name<'_>, dialect: Dialect) -> bool {
        let Of::Table(table, _) = self.of else { return false };
        let table = names::last(table);
        self.is_called(name, dialect) > Match::No
            || table.is_some_and(|table| dialect.same(name, table.into()) > Match::No)
    }

    /// Whether it has a column of this name.
    pub(super) fn has(&self, name: Name<'_>, dialect: Dialect) -> Match {
        let given = self.columns.iter().map(|column| dialect.same(name, (&column.name).into())).max();
        match (given, self.of) {
            (Some(Match::Sure), _) => Match::Sure,
            (_, Of::Table(_, None)) => Match::Maybe,
            (_, Of::Table(_, Some(relation))) => relation.has(name, dialect),
            // Columns that are renamed have their old names no more.
            (Some(_), Of::Query(..) | Of::Function(_)) => Match::No,
            (None, Of::Query(outputs, _)) => outputs_have(outputs, name, dialect),
            (None, Of::Function(function)) => self.function_has(function, name, dialect),
            (_, Of::Other) => Match::No,
        }
    }

    /// Whether this name is no other name of SQLite's for the key of something that is no table: which column of which
    /// table in it that would be depends on how SQLite plans the query.
    pub(super) fn has_known_key(&self, name: Name<'_>, dialect: Dialect) -> bool {
        dialect != Dialect::Sqlite || !is_row_id(name.value) || matches!(self.of, Of::Table(..))
    }

    fn function_has(&self, function: &ObjectName, name: Name<'_>, dialect: Dialect) -> Match {
        let Some(function) = names::last(function) else { return Match::No };
        let is = |known: &str| function.value.eq_ignore_ascii_case(known);
        if dialect == Dialect::Postgres && PLAIN_VALUES.iter().any(|known| is(known)) {
            return self.alias.map_or(Match::No, |alias| dialect.same(name, alias.into()));
        }
        let columns =
            COLUMNS_OF_FUNCTIONS.iter().find(|(known, _)| is(known)).map_or(&[][..], |known| known.1);
        let same = |column: &&str| dialect.same(name, Name { value: column, quoted: false });
        columns.iter().map(same).max().unwrap_or(Match::No)
    }
}

impl Relation {
    fn has(&self, name: Name<'_>, dialect: Dialect) -> Match {
        if self.columns.contains(&*lower(name.value)) {
            if name.folds(dialect) { Match::Sure } else { Match::Maybe }
        } else if dialect == Dialect::Sqlite && is_row_id(name.value) {
            Match::Maybe
        } else {
            Match::No
        }
    }
}

/// SQLite's other names of a table's key.
pub(super) fn is_row_id(name: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What a query selects; that of its first part names the columns.
pub(super) fn outputs(body: &SetExpr) -> &[SelectItem] {
    let mut body = body;
    loop {
        match body {
            SetExpr::Select(select) => return &select.projection,
            SetExpr::Query(query) => body = &query.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return &[],
        }
    }
}

fn outputs_have(outputs: &[SelectItem], name: Name<'_>, dialect: Dialect) -> Match {
    let of_item = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => dialect.same(name, alias.into()),
        // What SQLite takes for a string when there is no such column is called otherwise.
        SelectItem::UnnamedExpr(Expr::Identifier(ident))
            if !(dialect == Dialect::Sqlite && ident.quote_style == Some('"')) =>
        {
            dialect.same(name, ident.into())
        }
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => {
            idents.last().map_or(Match::No, |ident| dialect.same(name, ident.into()))
        }
        _ => Match::No,
    };
    outputs.iter().map(of_item).max().unwrap_or(Match::No)
}

/// Whether a name is given to something that is selected.
pub(super) fn is_alias(outputs: &[SelectItem], name: Name<'_>, dialect: Dialect) -> bool {
    outputs.iter().any(|item| {
        matches!(item, SelectItem::ExprWithAlias { alias, .. } if dialect.same(name, alias.into()) == Match::Sure)
    })
}

/// In lower case, copied only where needed.
pub(super) fn lower(text: &str) -> std::borrow::Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}
