//! What stands in a `FROM`: its sources, and the expressions and queries in it.

use super::dialect::{Dialect, Match};
use super::resolve::Use;
use super::scope::{Frame, Of, Scope, Source, outputs};
use super::walk::Walk;
use super::{harmless, names};
use sqlparser::ast::{
    FunctionArg, Ident, Join, JoinConstraint, JoinOperator, ObjectName, SetExpr, TableAlias, TableFactor,
    TableWithJoins,
};
use std::ops::Range;

/// Table-valued functions that read nothing but their arguments.
const READS_ARGUMENTS: [&str; 8] = [
    "json_each",
    "json_tree",
    "jsonb_each",
    "jsonb_tree",
    "jsonb_array_elements",
    "json_array_elements",
    "generate_series",
    "unnest",
];

impl<'a> Walk<'a> {
    /// A frame with what a `FROM` brings into scope.
    pub(super) fn frame(&mut self, from: &'a [TableWithJoins], scope: Scope) -> usize {
        let start = self.sources.len();
        from.iter().for_each(|table| self.gather(table, scope));
        let merges = from.iter().any(merges);
        let sources = start..self.sources.len();
        self.frames.push(Frame { parent: scope.frame, part: false, sources, merges, changes: false });
        self.frames.len() - 1
    }

    /// What the `ORDER BY` after several queries sees: all that any of them does.
    pub(super) fn frame_of_all(&mut self, body: &'a SetExpr, scope: Scope) -> usize {
        let start = self.sources.len();
        let mut waiting = vec![body];
        while let Some(body) = waiting.pop() {
            match body {
                SetExpr::Select(select) => select.from.iter().for_each(|table| self.gather(table, scope)),
                SetExpr::Query(query) => waiting.push(&query.body),
                SetExpr::SetOperation { left, right, .. } => waiting.extend([&**right, &**left]),
                _ => {}
            }
        }
        let sources = start..self.sources.len();
        self.frames.push(Frame { parent: scope.frame, part: false, sources, merges: true, changes: false });
        self.frames.len() - 1
    }

    /// A frame with the tables that are changed: each is a table, even where a common table expression has its name.
    pub(super) fn frame_of_tables(&mut self, changed: &'a [TableWithJoins], scope: Scope) -> usize {
        let start = self.sources.len();
        for factor in changed.iter().flat_map(factors) {
            match factor {
                TableFactor::Table { name, alias, args: None, .. } => {
                    self.push_source(Of::Table(name, self.relation(name)), alias.as_ref());
                }
                other => self.gather_one(other, scope),
            }
        }
        let sources = start..self.sources.len();
        // A name may belong to a changed table and to one of the same name beside it.
        self.frames.push(Frame { parent: scope.frame, part: false, sources, merges: true, changes: true });
        self.frames.len() - 1
    }

    pub(super) fn gather(&mut self, table: &'a TableWithJoins, scope: Scope) {
        factors(table).for_each(|factor| self.gather_one(factor, scope));
    }

    fn gather_one(&mut self, factor: &'a TableFactor, scope: Scope) {
        let (of, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                // Where it may be either, the table is what counts.
                if let Some((index, Match::Sure)) = self.cte(name, scope) {
                    self.is_used(index, scope);
                    return self.push_cte(index, alias.as_ref());
                }
                (Of::Table(name, self.relation(name)), alias)
            }
            TableFactor::Table { name, alias, args: Some(_), .. }
            | TableFactor::Function { name, alias, .. } => {
                (if self.is_table(name) { Of::Table(name, None) } else { Of::Function(name) }, alias)
            }
            TableFactor::Derived { subquery, alias, .. } => (Of::Query(outputs(&subquery.body), None), alias),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let start = self.sources.len();
                self.gather(table_with_joins, scope);
                if let Some(alias) = alias {
                    self.sources.iter_mut().skip(start).for_each(|source| source.group = Some(&alias.name));
                }
                return;
            }
            TableFactor::UNNEST { alias, .. }
            | TableFactor::JsonTable { alias, .. }
            | TableFactor::TableFunction { alias, .. } => (Of::Other, alias),
            _ => return,
        };
        self.push_source(of, alias.as_ref());
    }

    fn push_source(&mut self, of: Of<'a>, alias: Option<&'a TableAlias>) {
        let columns = alias.map_or(&[][..], |alias| &alias.columns);
        self.sources.push(Source { alias: alias.map(|alias| &alias.name), group: None, columns, of });
        if let (Of::Table(name, _), false) = (of, columns.is_empty()) {
            self.add_column(name, "*", Use::Read);
        }
    }

    fn push_cte(&mut self, index: usize, alias: Option<&'a TableAlias>) {
        let Some(cte) = self.ctes.get(index) else { return };
        let given = alias.filter(|alias| !alias.columns.is_empty()).unwrap_or(cte.alias);
        let of = Of::Query(outputs(&cte.body.body), Some(&cte.alias.name));
        let alias = alias.map(|alias| &alias.name);
        self.sources.push(Source { alias, group: None, columns: &given.columns, of });
    }

    /// Looks at a `FROM`: `own` is what it brings into scope, with its sources from `at` on, `outer` what was there before.
    /// Returns where the sources of what follows begin.
    pub(super) fn from(&mut self, from: &'a [TableWithJoins], own: Scope, outer: Scope, at: usize) -> usize {
        self.facts.joins += from.len().saturating_sub(1);
        from.iter().fold(at, |at, table| self.joined(table, own, outer, at))
    }

    fn joined(&mut self, table: &'a TableWithJoins, own: Scope, outer: Scope, start: usize) -> usize {
        let mut at = self.factor(&table.relation, own, outer, start);
        self.facts.joins += table.joins.len();
        for join in &table.joins {
            at = self.factor(&join.relation, own, outer, at);
            match constraint(join) {
                Some(JoinConstraint::On(condition)) => {
                    let sides = self.part(own, start..at);
                    self.expression(condition, sides);
                }
                Some(JoinConstraint::Using(columns)) => {
                    let sides = self.part(own, start..at);
                    for column in columns.iter().filter_map(names::last) {
                        self.unqualified(column.into(), sides, Use::Read);
                    }
                }
                Some(JoinConstraint::Natural) => self.all(own, Use::Read),
                Some(JoinConstraint::None) | None => {}
            }
            if let JoinOperator::AsOf { .. } = join.join_operator {
                self.facts.complete = false;
            }
        }
        at
    }

    /// What certainly is in scope at a place within a `FROM`: some of its sources. SQLite sees the others too, PostgreSQL
    /// does not.
    fn part(&mut self, own: Scope, sources: Range<usize>) -> Scope {
        self.frames.push(Frame { parent: own.frame, part: true, sources, merges: true, changes: false });
        Scope { frame: Some(self.frames.len() - 1), ..own }
    }

    /// What stands to the left of a place within a `FROM`.
    fn left(&mut self, own: Scope, at: usize) -> Scope {
        let start =
            own.frame.and_then(|frame| self.frames.get(frame)).map_or(at, |frame| frame.sources.start);
        self.part(own, start.min(at)..at)
    }

    /// Returns where the sources of what follows begin.
    fn factor(&mut self, factor: &'a TableFactor, own: Scope, outer: Scope, at: usize) -> usize {
        let end = at + width(factor);
        match factor {
            TableFactor::Table {
                name,
                args: None,
                with_hints,
                version,
                partitions,
                json_path,
                sample,
                ..
            } => {
                self.facts.complete &= with_hints.is_empty()
                    && version.is_none()
                    && partitions.is_empty()
                    && json_path.is_none()
                    && sample.is_none();
                if self.cte(name, outer).is_none_or(|(_, same)| same != Match::Sure) {
                    self.read(name);
                }
            }
            TableFactor::Table { name, args: Some(called), .. } => {
                self.facts.complete &= called.settings.is_none();
                let left = self.left(own, at);
                self.table_function(name, &called.args, left);
            }
            TableFactor::Function { name, args, .. } => {
                let left = self.left(own, at);
                self.table_function(name, args, left);
            }
            TableFactor::Derived { lateral, subquery, sample, .. } => {
                self.facts.complete &= sample.is_none();
                // Some databases let all see what stands beside them.
                let sees_all = *lateral || !self.dialect.is_known();
                let scope = if sees_all { self.left(own, at) } else { outer };
                self.query(subquery, scope);
            }
            TableFactor::UNNEST { array_exprs, .. } => {
                self.builtin("unnest");
                let left = self.left(own, at);
                self.expressions(array_exprs, left);
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let inside = self.part(own, at..end);
                self.joined(table_with_joins, inside, outer, at);
            }
            TableFactor::JsonTable { json_expr, .. } => {
                self.builtin("json_table");
                let left = self.left(own, at);
                self.expression(json_expr, left);
            }
            TableFactor::TableFunction { expr, .. } => {
                self.facts.complete = false;
                self.expression(expr, own);
            }
            _ => self.facts.complete = false,
        }
        end
    }

    fn table_function(&mut self, name: &'a ObjectName, arguments: &'a [FunctionArg], own: Scope) {
        self.function(name);
        self.pure &= harmless::is_small(name, arguments);
        self.arguments(arguments, own);
        if self.is_table(name) {
            self.read(name);
            self.add_column(name, "*", Use::Read);
        }
    }

    /// SQLite lets virtual tables be called like functions.
    fn is_table(&self, name: &ObjectName) -> bool {
        let known = |name: &Ident| READS_ARGUMENTS.iter().any(|known| name.value.eq_ignore_ascii_case(known));
        self.dialect == Dialect::Sqlite && !names::last(name).is_some_and(known)
    }
}

pub(super) fn factors(table: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
}

/// The same with those within parentheses, of which few may be open.
pub(super) fn flat(table: &TableWithJoins) -> Vec<&TableFactor> {
    let mut all = Vec::new();
    for factor in factors(table) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => all.extend(flat(table_with_joins)),
            factor => all.push(factor),
        }
    }
    all
}

/// How many sources [`Walk::gather`] makes of it.
fn width(factor: &TableFactor) -> usize {
    let known = |factor: &&TableFactor| {
        matches!(
            factor,
            TableFactor::Table { .. }
                | TableFactor::Function { .. }
                | TableFactor::Derived { .. }
                | TableFactor::UNNEST { .. }
                | TableFactor::JsonTable { .. }
                | TableFactor::TableFunction { .. }
        )
    };
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => {
            flat(table_with_joins).iter().filter(|f| known(f)).count()
        }
        factor => usize::from(known(&factor)),
    }
}

/// Whether one name can belong to several tables in it.
fn merges(table: &TableWithJoins) -> bool {
    let by =
        |join: &Join| matches!(constraint(join), Some(JoinConstraint::Using(_) | JoinConstraint::Natural));
    let inside = |factor: &TableFactor| matches!(factor, TableFactor::NestedJoin { table_with_joins, .. } if merges(table_with_joins));
    table.joins.iter().any(by) || factors(table).any(inside)
}

pub(super) fn constraint(join: &Join) -> Option<&JoinConstraint> {
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint)
        | JoinOperator::AsOf { constraint, .. } => constraint,
        _ => return None,
    };
    (!matches!(constraint, JoinConstraint::None)).then_some(constraint)
}
