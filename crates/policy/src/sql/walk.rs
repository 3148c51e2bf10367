//! Collects facts from parsed statements.

use super::SqlFacts;
use super::kinds::kind_of;
use sqlparser::ast::{
    AssignmentTarget, Expr, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, TableObject,
    TableWithJoins, Visit, Visitor,
};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Common table expressions in one text; resolving more names than these would take too long.
const MOST_CTES: usize = 200;

/// Functions of PostgreSQL that run SQL given as text, or read files: what they read cannot be known.
const READS_ANYTHING: [&str; 9] = [
    "query_to_xml",
    "cursor_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "dblink",
    "crosstab",
    "pg_read",
    "ts_stat",
];

/// Table-valued functions that read nothing but their arguments.
const READS_ARGUMENTS: [&str; 6] = [
    "json_each",
    "json_tree",
    "jsonb_each",
    "jsonb_array_elements",
    "json_array_elements",
    "generate_series",
];

/// The facts about statements that were parsed as one text.
pub(super) fn facts(statements: &[Statement], postgres: bool) -> SqlFacts {
    let mut walk = Walk {
        facts: SqlFacts { complete: true, ..SqlFacts::default() },
        postgres,
        names: Vec::new(),
        scope: vec![None],
        bodies: HashMap::new(),
    };
    let _: ControlFlow<()> = statements.iter().try_for_each(|statement| statement.visit(&mut walk));
    walk.facts
}

/// A name of a common table expression, and the name that was in scope before it.
struct Name {
    name: String,
    outer: Scope,
}

/// The innermost name in scope.
type Scope = Option<usize>;

struct Walk {
    facts: SqlFacts,
    postgres: bool,
    names: Vec<Name>,
    /// Of each query being visited, outermost first.
    scope: Vec<Scope>,
    /// What the body of a common table expression sees, by the address of the body.
    bodies: HashMap<usize, Scope>,
}

impl Visitor for Walk {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let around = self.scope.last().copied().flatten();
        let outer = self.bodies.remove(&address(query)).unwrap_or(around);
        let inner = self.enter(query, outer);
        self.scope.push(inner);
        self.set_expression(&query.body);
        if !query.locks.is_empty() {
            self.kind("lock");
        }
        self.facts.complete &= query.pipe_operators.is_empty();
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.scope.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => self.column("*"),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.column(&format!("{}.*", full(name)));
                }
                _ => {}
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
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.read(name),
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.function(name);
                // SQLite lets virtual tables be called like functions.
                if !READS_ARGUMENTS.contains(&last(name).as_str()) {
                    self.read(name);
                }
            }
            TableFactor::Derived { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::NestedJoin { .. } => {}
            _ => self.facts.complete = false,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => self.column(&name.value),
            Expr::CompoundIdentifier(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
                self.column(&names.join("."));
            }
            Expr::Function(function) => self.function(&function.name),
            Expr::Cast { .. } => self.builtin("cast"),
            Expr::Extract { .. } => self.builtin("extract"),
            Expr::Ceil { .. } => self.builtin("ceil"),
            Expr::Floor { .. } => self.builtin("floor"),
            Expr::Position { .. } => self.builtin("position"),
            Expr::Substring { .. } => self.builtin("substring"),
            Expr::Trim { .. } => self.builtin("trim"),
            Expr::Overlay { .. } => self.builtin("overlay"),
            Expr::Convert { .. } => self.builtin("convert"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Query(query) => {
                if !is_change(&query.body) {
                    self.kind("select");
                }
            }
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => {
                self.kind("update");
                self.changed(&update.table);
                self.assigned(update.assignments.iter().map(|assignment| &assignment.target));
            }
            Statement::Delete(delete) => {
                self.kind("delete");
                let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
                tables.iter().for_each(|table| self.changed(table));
                delete.tables.iter().for_each(|table| self.write(table));
            }
            Statement::Explain { .. } => self.kind("explain"),
            other => self.definition(other),
        }
        ControlFlow::Continue(())
    }
}

impl Walk {
    /// Puts the names that a query's `WITH` makes in scope, and notes what each of their bodies sees.
    fn enter(&mut self, query: &Query, outer: Scope) -> Scope {
        let Some(with) = &query.with else { return outer };
        if self.names.len() + with.cte_tables.len() > MOST_CTES {
            self.facts.complete = false;
            return outer;
        }
        let mut inner = outer;
        let mut before = Vec::new();
        for cte in &with.cte_tables {
            before.push(inner);
            self.names.push(Name { name: cte.alias.name.value.to_ascii_lowercase(), outer: inner });
            inner = Some(self.names.len() - 1);
        }
        // In SQLite, and after RECURSIVE, every body sees every name; else only those before it, and the same name
        // further in is a real table.
        let all = with.recursive || !self.postgres;
        for (cte, before) in with.cte_tables.iter().zip(before) {
            self.bodies.insert(address(&cte.query), if all { inner } else { before });
        }
        inner
    }

    fn is_cte(&self, name: &ObjectName) -> bool {
        let [_] = name.0.as_slice() else { return false };
        let wanted = last(name);
        let mut scope = self.scope.last().copied().flatten();
        while let Some(known) = scope.and_then(|index| self.names.get(index)) {
            if known.name == wanted {
                return true;
            }
            scope = known.outer;
        }
        false
    }

    /// `TABLE staff` is a query that the visitor does not see.
    fn set_expression(&mut self, expression: &SetExpr) {
        let mut waiting = vec![expression];
        while let Some(expression) = waiting.pop() {
            match expression {
                SetExpr::SetOperation { left, right, .. } => waiting.extend([&**left, &**right]),
                SetExpr::Table(table) => match &table.table_name {
                    Some(name) => {
                        let names = table.schema_name.iter().chain([name]);
                        self.read(&ObjectName::from(names.map(|n| n.as_str().into()).collect::<Vec<_>>()));
                    }
                    None => self.facts.complete = false,
                },
                _ => {}
            }
        }
    }

    fn insert(&mut self, insert: &Insert) {
        self.kind("insert");
        match &insert.table {
            TableObject::TableName(name) => self.write(name),
            _ => self.facts.complete = false,
        }
        insert.columns.iter().for_each(|name| self.column(&full(name)));
        if insert.replace_into || insert.or.is_some() {
            self.kind("delete");
        }
        match &insert.on {
            None => {}
            Some(OnInsert::OnConflict(conflict)) => {
                if let OnConflictAction::DoUpdate(update) = &conflict.action {
                    self.kind("update");
                    self.assigned(update.assignments.iter().map(|assignment| &assignment.target));
                }
            }
            Some(_) => self.kind("update"),
        }
    }

    fn assigned<'a>(&mut self, targets: impl Iterator<Item = &'a AssignmentTarget>) {
        for target in targets {
            match target {
                AssignmentTarget::ColumnName(name) => self.column(&full(name)),
                AssignmentTarget::Tuple(names) => names.iter().for_each(|name| self.column(&full(name))),
            }
        }
    }

    fn changed(&mut self, table: &TableWithJoins) {
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::Table { name, .. } => self.write(name),
                _ => self.facts.complete = false,
            }
        }
    }

    /// Statements that are not about rows. Those that are not looked into are incomplete.
    fn definition(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateTable(create) => {
                self.kind("create");
                self.write(&create.name);
                self.facts.complete &= create.like.is_none() && create.clone.is_none();
            }
            Statement::CreateView(create) => {
                self.kind("create");
                self.write(&create.name);
            }
            Statement::CreateIndex(create) => {
                self.kind("create");
                self.write(&create.table_name);
            }
            Statement::AlterTable(alter) => {
                self.kind("alter");
                self.write(&alter.name);
            }
            Statement::Drop { names, table, .. } => {
                self.kind("drop");
                names.iter().chain(table).for_each(|name| self.write(name));
            }
            Statement::Truncate(truncate) => {
                self.kind("truncate");
                truncate.table_names.iter().for_each(|target| self.write(&target.name));
            }
            other => {
                self.kind(kind_of(other));
                self.facts.complete = false;
            }
        }
    }

    fn read(&mut self, name: &ObjectName) {
        if !self.is_cte(name) {
            self.facts.reads.extend([last(name), full(name)]);
            self.plain(name);
        }
    }

    fn write(&mut self, name: &ObjectName) {
        self.facts.writes.extend([last(name), full(name)]);
        self.plain(name);
    }

    fn function(&mut self, name: &ObjectName) {
        let own = last(name);
        self.facts.complete &= !READS_ANYTHING.iter().any(|prefix| own.starts_with(prefix));
        self.facts.functions.extend([own, full(name)]);
        self.plain(name);
    }

    fn builtin(&mut self, name: &str) {
        self.facts.functions.insert(name.to_owned());
    }

    fn column(&mut self, name: &str) {
        self.facts.columns.insert(name.to_ascii_lowercase());
    }

    fn kind(&mut self, kind: &str) {
        self.facts.kinds.insert(kind.to_owned());
    }

    /// A name that is computed could be any.
    fn plain(&mut self, name: &ObjectName) {
        self.facts.complete &= name.0.iter().all(|part| part.as_ident().is_some());
    }
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

fn is_change(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

/// The last part of a name, lower-case.
fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map_or_else(String::new, |ident| ident.value.to_ascii_lowercase())
}

/// A name as written, without quotes, lower-case.
fn full(name: &ObjectName) -> String {
    let parts: Vec<&str> =
        name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    parts.join(".").to_ascii_lowercase()
}
