//! Collects facts from parsed statements: queries and what they select.

use super::dialect::{Dialect, Match};
use super::from::{constraint, flat};
use super::inline::{Inlined, Open};
use super::resolve::Use;
use super::scope::{Frame, Scope, Source, is_alias, outputs};
use super::tables::Tables;
use super::{SqlFacts, harmless, limit, names, opaque, reserved};
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, GroupByWithModifier, Ident, LimitClause, NamedWindowExpr, ObjectName,
    OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, Table,
    TableAlias, TableFactor, WildcardAdditionalOptions,
};

/// Common table expressions in one text; resolving more names than these would take too long.
const MOST_CTES: usize = 200;

/// The facts about statements that were parsed as one text.
pub(super) fn facts(statements: &[Statement], dialect: Dialect, reading: Reading<'_>) -> SqlFacts {
    let Reading { tables, of_any } = reading;
    let mut walk = Walk {
        facts: SqlFacts { complete: true, statements: statements.len(), ..SqlFacts::default() },
        pure: true,
        dialect,
        tables,
        of_any,
        ctes: Vec::new(),
        open: Vec::new(),
        frames: Vec::new(),
        sources: Vec::new(),
        inlined: Inlined::default(),
        waiting: Vec::new(),
        buffer: String::new(),
        identifiers: 0,
        steps: 0,
    };
    statements.iter().for_each(|statement| walk.statement(statement, Scope::default()));
    walk.inline();
    let Walk { mut facts, pure, .. } = walk;
    facts.complete &=
        dialect.is_known() && !opaque::reads_shadows(&facts.columns_read, (!of_any).then_some(dialect));
    facts.harmless = facts.complete && facts.doubtful.is_none();
    facts.limited = limit::of(statements);
    let select = facts.kinds.len() == 1 && facts.kinds.contains("select");
    facts.read_only = facts.harmless && pure && select && statements.len() == 1 && facts.writes.is_empty();
    facts
}

/// How a text is looked at besides its dialect.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) tables: Option<&'a Tables>,
    /// Which database it is for is not known: what only reads in one of them is harmless, what is the system's in one of
    /// them is not.
    pub(super) of_any: bool,
}

/// A common table expression.
pub(super) struct Cte<'a> {
    pub(super) alias: &'a TableAlias,
    pub(super) body: &'a Query,
    /// The one that was in scope before it.
    outer: Option<usize>,
}

pub(super) struct Walk<'a> {
    pub(super) facts: SqlFacts,
    /// Nothing was found, besides functions and tables, that may do more than read and end soon.
    pub(super) pure: bool,
    pub(super) dialect: Dialect,
    pub(super) tables: Option<&'a Tables>,
    of_any: bool,
    pub(super) ctes: Vec<Cte<'a>>,
    /// Those whose bodies are being walked.
    pub(super) open: Vec<Open>,
    pub(super) inlined: Inlined<'a>,
    pub(super) frames: Vec<Frame>,
    pub(super) sources: Vec<Source<'a>>,
    /// Expressions that are still to be looked at.
    pub(super) waiting: Vec<&'a Expr>,
    pub(super) buffer: String,
    /// Names of columns seen so far.
    pub(super) identifiers: usize,
    /// Names compared so far.
    pub(super) steps: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn query(&mut self, query: &'a Query, around: Scope) {
        let scope = self.with(query, around);
        if !query.locks.is_empty() {
            self.kind("lock");
        }
        self.facts.complete &= query.pipe_operators.is_empty()
            && query.for_clause.is_none()
            && query.settings.is_none()
            && query.format_clause.is_none();
        let frame = match &*query.body {
            SetExpr::Select(select) => Some(self.select(select, scope)),
            body => {
                self.set(body, scope);
                query.order_by.is_some().then(|| self.frame_of_all(body, scope))
            }
        };
        self.tail(query, Scope { frame: frame.or(scope.frame), ..scope });
    }

    /// `ORDER BY`, `LIMIT` and `FETCH`. A name alone there is first of all one that is given with `AS`.
    fn tail(&mut self, query: &'a Query, scope: Scope) {
        if let Some(order_by) = &query.order_by {
            self.facts.complete &= order_by.interpolate.is_none();
            match &order_by.kind {
                OrderByKind::Expressions(all) => {
                    for by in all {
                        if !self.is_output(&by.expr, &query.body) {
                            self.order(std::slice::from_ref(by), scope);
                        }
                    }
                }
                OrderByKind::All(_) => self.facts.complete = false,
            }
        }
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                self.facts.complete &= limit_by.is_empty();
                self.expressions(limit.iter().chain(offset.iter().map(|offset| &offset.value)), scope);
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => self.expressions([offset, limit], scope),
            None => {}
        }
        self.expressions(query.fetch.iter().flat_map(|fetch| &fetch.quantity), scope);
    }

    fn is_output(&self, by: &Expr, body: &SetExpr) -> bool {
        matches!(by, Expr::Identifier(name) if is_alias(outputs(body), name.into(), self.dialect))
    }

    /// Puts the names that a query's `WITH` makes in scope, and walks their bodies.
    fn with(&mut self, query: &'a Query, around: Scope) -> Scope {
        let Some(with) = &query.with else { return around };
        if self.ctes.len() + with.cte_tables.len() > MOST_CTES {
            self.facts.complete = false;
            return around;
        }
        let first = self.ctes.len();
        let mut inner = around;
        for cte in &with.cte_tables {
            self.facts.complete &= cte.from.is_none();
            self.ctes.push(Cte { alias: &cte.alias, body: &cte.query, outer: inner.cte });
            inner.cte = Some(self.ctes.len() - 1);
        }
        // In SQLite, and after RECURSIVE, every body sees every name; else only those before it, and the same name
        // further in is a real table.
        let all = with.recursive || self.dialect == Dialect::Sqlite;
        for (index, cte) in (first..).zip(&with.cte_tables) {
            let before = self.ctes.get(index).and_then(|cte| cte.outer);
            self.open.push(Open { cte: index, around: around.frame });
            self.query(&cte.query, Scope { cte: if all { inner.cte } else { before }, ..around });
            self.open.pop();
        }
        inner
    }

    /// The common table expression that a name means, if it may mean one.
    pub(super) fn cte(&mut self, name: &ObjectName, scope: Scope) -> Option<(usize, Match)> {
        let ([_], Some(name)) = (name.0.as_slice(), names::last(name)) else { return None };
        let mut next = scope.cte;
        while let Some((index, cte)) = next.and_then(|index| Some((index, self.ctes.get(index)?))) {
            self.steps += 1;
            let same = self.dialect.same(name.into(), (&cte.alias.name).into());
            if same > Match::No {
                return Some((index, same));
            }
            next = cte.outer;
        }
        None
    }

    /// Everything but a single `SELECT`, which its query looks at itself.
    fn set(&mut self, body: &'a SetExpr, scope: Scope) {
        let mut waiting = vec![body];
        while let Some(body) = waiting.pop() {
            match body {
                SetExpr::Select(select) => {
                    self.select(select, scope);
                }
                SetExpr::Query(query) => self.query(query, scope),
                SetExpr::SetOperation { left, right, .. } => waiting.extend([&**right, &**left]),
                SetExpr::Values(values) => {
                    self.expressions(values.rows.iter().flat_map(|row| row.content.iter()), scope);
                }
                SetExpr::Insert(statement)
                | SetExpr::Update(statement)
                | SetExpr::Delete(statement)
                | SetExpr::Merge(statement) => self.statement(statement, scope),
                SetExpr::Table(table) => self.table(table, scope),
            }
        }
    }

    /// `TABLE staff`.
    fn table(&mut self, table: &Table, scope: Scope) {
        let Some(name) = &table.table_name else {
            self.facts.complete = false;
            return;
        };
        let names = table.schema_name.iter().chain([name]);
        let name = ObjectName::from(names.map(|n| n.as_str().into()).collect::<Vec<Ident>>());
        // Whether it was quoted is not told.
        if self
            .cte(&name, scope)
            .is_none_or(|(_, same)| same != Match::Sure || self.dialect != Dialect::Sqlite)
        {
            self.read(&name);
            self.add_column(&name, "*", Use::Read);
        }
    }

    /// Looks at a `SELECT`; its frame is for what comes after it.
    fn select(&mut self, select: &'a Select, scope: Scope) -> usize {
        let frame = self.frame(&select.from, scope);
        let own = Scope { frame: Some(frame), ..scope };
        self.facts.complete &= is_common(select);
        let start = self.frames.get(frame).map_or(0, |frame| frame.sources.start);
        self.from(&select.from, own, scope, start);
        if let Some(Distinct::On(all)) = &select.distinct {
            self.expressions(all, own);
        }
        self.items(&select.projection, own);
        let before = self.identifiers;
        self.expressions(&select.selection, own);
        let filters = self.identifiers > before;
        match &select.group_by {
            GroupByExpr::Expressions(all, modifiers) => {
                self.expressions(all, own);
                for modifier in modifiers {
                    if let GroupByWithModifier::GroupingSets(sets) = modifier {
                        self.expression(sets, own);
                    }
                }
            }
            GroupByExpr::All(_) => self.facts.complete = false,
        }
        self.expressions(&select.having, own);
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &window.1 {
                self.window(window, own);
            }
        }
        if let Some(into) = &select.into {
            self.kind("create");
            for target in &into.targets {
                match target {
                    Expr::Identifier(name) => self.write(&ObjectName::from(vec![name.clone()])),
                    Expr::CompoundIdentifier(names) => self.write(&ObjectName::from(names.clone())),
                    _ => self.facts.complete = false,
                }
            }
        }
        self.pure &= filters || !self.is_endless(select, scope);
        frame
    }

    /// Whether it is the recursive part of a common table expression that nothing is seen to end.
    fn is_endless(&mut self, select: &'a Select, scope: Scope) -> bool {
        let joins = select.from.iter().any(|table| table.joins.iter().any(|join| constraint(join).is_some()));
        if joins || self.open.is_empty() {
            return false;
        }
        let own = select.from.iter().flat_map(flat).any(|factor| {
            let TableFactor::Table { name, .. } = factor else { return false };
            self.cte(name, scope).is_some_and(|(index, _)| self.open.iter().any(|open| open.cte == index))
        });
        let limited =
            |open: &Open| self.ctes.get(open.cte).is_some_and(|cte| cte.body.limit_clause.is_some());
        own && !self.open.last().is_some_and(limited)
    }

    pub(super) fn items(&mut self, items: &'a [SelectItem], scope: Scope) {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
                    self.expression(expression, scope);
                }
                SelectItem::Wildcard(options) => {
                    self.facts.complete &= is_plain(options);
                    self.all(scope, Use::Read);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    self.facts.complete &= is_plain(options);
                    self.all_of(name, scope, Use::Read);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expression), options) => {
                    self.facts.complete &= is_plain(options);
                    self.expression(expression, scope);
                }
                SelectItem::ExprWithAliases { .. } => self.facts.complete = false,
            }
        }
    }

    pub(super) fn relation(&self, name: &ObjectName) -> Option<&'a super::tables::Relation> {
        self.tables.and_then(|tables| tables.find(name, self.dialect))
    }

    pub(super) fn read(&mut self, name: &ObjectName) {
        if let (Some(tables), Some(relation)) = (self.tables, self.relation(name)) {
            self.facts.complete &= !tables.is_opaque(relation);
        }
        let dialect = self.database();
        self.facts.complete &= !opaque::is_table(name, dialect);
        if !harmless::is_table(name, dialect) {
            self.doubt(name);
        }
        add(&mut self.facts.reads, &mut self.buffer, name);
        self.table_name(name);
    }

    pub(super) fn write(&mut self, name: &ObjectName) {
        add(&mut self.facts.writes, &mut self.buffer, name);
        self.table_name(name);
    }

    pub(super) fn function(&mut self, name: &ObjectName) {
        if !harmless::is_function(name, self.database()) {
            self.doubt(name);
        }
        self.facts.complete &= !opaque::is_function(name);
        add(&mut self.facts.functions, &mut self.buffer, name);
        self.plain(name);
    }

    /// The database that the text is for, if that is known.
    fn database(&self) -> Option<Dialect> {
        (!self.of_any).then_some(self.dialect)
    }

    /// A function or table of which it is not known what it reads or does.
    pub(super) fn doubt(&mut self, name: &ObjectName) {
        if self.facts.doubtful.is_none() {
            let mut full = String::new();
            names::write_full(&mut full, name);
            self.facts.doubtful = Some(full);
        }
    }

    pub(super) fn builtin(&mut self, name: &str) {
        if !self.facts.functions.contains(name) {
            self.facts.functions.insert(name.to_owned());
        }
    }

    pub(super) fn kind(&mut self, kind: &str) {
        if !self.facts.kinds.contains(kind) {
            self.facts.kinds.insert(kind.to_owned());
        }
    }

    /// A name that is computed could be any.
    fn plain(&mut self, name: &ObjectName) {
        self.facts.complete &= names::is_plain(name);
    }

    /// `ONLY staff` is read as a table with an alias.
    fn table_name(&mut self, name: &ObjectName) {
        let reserved = |name: &Ident| reserved::is_reserved(name.into(), self.dialect);
        self.facts.complete &= names::is_plain(name) && !names::last(name).is_some_and(reserved);
    }
}

/// Adds a name with and without its schema.
fn add(set: &mut std::collections::BTreeSet<String>, buffer: &mut String, name: &ObjectName) {
    buffer.clear();
    names::write_last(buffer, name);
    if !set.contains(buffer.as_str()) {
        set.insert(buffer.clone());
    }
    if names::is_qualified(name) {
        buffer.clear();
        names::write_full(buffer, name);
        if !set.contains(buffer.as_str()) {
            set.insert(buffer.clone());
        }
    }
}

/// Nothing in it that only other dialects have.
fn is_common(select: &Select) -> bool {
    select.top.is_none()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none()
        && select.optimizer_hints.is_empty()
        && matches!(select.flavor, sqlparser::ast::SelectFlavor::Standard)
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}
