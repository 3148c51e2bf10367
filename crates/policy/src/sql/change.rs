//! Statements: changes of rows, definitions, and what is only named.

use super::dialect::Dialect;
use super::from::factors;
use super::kinds::kind_of;
use super::names;
use super::resolve::Use;
use super::scope::{Frame, Of, Scope, Source};
use super::walk::Walk;
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, CreateIndex, Delete, FromTable, Ident, Insert, ObjectName,
    OnConflict, OnConflictAction, OnInsert, SetExpr, Statement, TableFactor, TableObject, TableWithJoins,
    Update, UpdateTableFromKind,
};

impl<'a> Walk<'a> {
    pub(super) fn statement(&mut self, statement: &'a Statement, scope: Scope) {
        let mut statement = statement;
        while let Statement::Explain { statement: inner, .. } = statement {
            self.kind("explain");
            statement = inner;
        }
        match statement {
            Statement::Query(query) => {
                if !is_change(&query.body) {
                    self.kind("select");
                }
                self.query(query, scope);
            }
            Statement::Insert(insert) => self.insert(insert, scope),
            Statement::Update(update) => self.update(update, scope),
            Statement::Delete(delete) => self.delete(delete, scope),
            other => self.definition(other, scope),
        }
    }

    fn insert(&mut self, insert: &'a Insert, scope: Scope) {
        self.kind("insert");
        let TableObject::TableName(table) = &insert.table else {
            self.facts.complete = false;
            return;
        };
        self.write(table);
        self.facts.complete &= is_common(insert);
        let alias = insert.table_alias.as_ref().map(|alias| &alias.alias);
        let own = self.target(table, alias, scope);
        self.written(table, insert.columns.iter().filter_map(names::last));
        if insert.columns.is_empty() && insert.assignments.is_empty() {
            self.all(own, Use::Write);
        }
        if insert.replace_into || insert.or.is_some() {
            self.kind("delete");
            self.all(own, Use::Write);
        }
        if let Some(source) = &insert.source {
            self.query(source, scope);
        }
        self.assign(&insert.assignments, own);
        match &insert.on {
            None => {}
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => {
                self.kind("update");
                self.assign(assignments, own);
            }
            Some(OnInsert::OnConflict(conflict)) => self.conflict(conflict, own),
            Some(_) => self.facts.complete = false,
        }
        self.items(insert.returning.as_deref().unwrap_or_default(), own);
        // What is returned, and rows that are there already, are read.
        if insert.returning.is_some() || insert.on.is_some() {
            self.read(table);
        }
    }

    fn conflict(&mut self, conflict: &'a OnConflict, own: Scope) {
        // Whether there is a row with these values is seen by what becomes of the new one.
        if let Some(ConflictTarget::Columns(columns)) = &conflict.conflict_target {
            columns.iter().for_each(|column| self.unqualified(column.into(), own, Use::Read));
        }
        if let OnConflictAction::DoUpdate(update) = &conflict.action {
            self.kind("update");
            self.assign(&update.assignments, own);
            self.expressions(&update.selection, own);
        }
    }

    fn update(&mut self, update: &'a Update, scope: Scope) {
        self.kind("update");
        self.changed(&update.table);
        self.facts.complete &= update.output.is_none() && update.optimizer_hints.is_empty();
        let from = match &update.from {
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
                from.as_slice()
            }
            None => &[],
        };
        let own = self.frame_of_change(std::slice::from_ref(&update.table), from, scope);
        self.assign(&update.assignments, own);
        if update.or.is_some() {
            self.kind("delete");
            self.all(own, Use::Write);
        }
        self.expressions(&update.selection, own);
        self.items(update.returning.as_deref().unwrap_or_default(), own);
        self.order(&update.order_by, own);
        self.expressions(&update.limit, own);
    }

    fn delete(&mut self, delete: &'a Delete, scope: Scope) {
        self.kind("delete");
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        self.facts.complete &= delete.output.is_none() && delete.optimizer_hints.is_empty();
        for table in tables {
            self.changed(table);
        }
        delete.tables.iter().for_each(|table| self.write(table));
        let own = self.frame_of_change(tables, delete.using.as_deref().unwrap_or_default(), scope);
        self.all(own, Use::Write);
        self.expressions(&delete.selection, own);
        self.items(delete.returning.as_deref().unwrap_or_default(), own);
        self.order(&delete.order_by, own);
        self.expressions(&delete.limit, own);
    }

    /// A frame with the one table that rows go into.
    fn target(&mut self, table: &'a ObjectName, alias: Option<&'a Ident>, scope: Scope) -> Scope {
        let of = Of::Table(table, self.relation(table));
        self.sources.push(Source { alias, group: None, columns: &[], of });
        let sources = self.sources.len() - 1..self.sources.len();
        self.frames.push(Frame { parent: scope.frame, part: false, sources, merges: false, changes: true });
        Scope { frame: Some(self.frames.len() - 1), ..scope }
    }

    /// A frame with the tables that are changed and those beside them.
    fn frame_of_change(
        &mut self,
        changed: &'a [TableWithJoins],
        beside: &'a [TableWithJoins],
        scope: Scope,
    ) -> Scope {
        let frame = self.frame_of_tables(changed, scope);
        beside.iter().for_each(|table| self.gather(table, scope));
        let end = self.sources.len();
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.sources.end = end;
        }
        let own = Scope { frame: Some(frame), ..scope };
        let start = self.frames.get(frame).map_or(0, |frame| frame.sources.start);
        let end = self.from(changed, own, scope, start);
        self.from(beside, own, scope, end);
        self.facts.joins += usize::from(!changed.is_empty() && !beside.is_empty());
        own
    }

    fn assign(&mut self, assignments: &'a [Assignment], own: Scope) {
        for assignment in assignments {
            let targets = match &assignment.target {
                AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
                AssignmentTarget::Tuple(names) => names.as_slice(),
            };
            for target in targets {
                self.assigned(target, own);
            }
            self.expression(&assignment.value, own);
        }
    }

    /// `column`, `table.column`, or in PostgreSQL `column.field`.
    fn assigned(&mut self, target: &'a ObjectName, own: Scope) {
        let seen = self.identifiers;
        for part in
            names::idents(target).skip(usize::from(self.dialect != Dialect::Postgres && target.0.len() > 1))
        {
            self.unqualified(part.into(), own, Use::Write);
        }
        self.identifiers = seen;
        self.facts.complete &= names::is_plain(target) && target.0.len() < 3;
    }

    fn written(&mut self, table: &ObjectName, columns: impl Iterator<Item = &'a Ident>) {
        columns.for_each(|column| self.add_column(table, &column.value, Use::Write));
    }

    /// Its rows are found before they are changed, so they are read as well. Whatever a common table expression is called,
    /// databases change the table.
    fn changed(&mut self, table: &'a TableWithJoins) {
        for factor in factors(table) {
            match factor {
                TableFactor::Table { name, .. } => {
                    self.write(name);
                    self.read(name);
                }
                _ => self.facts.complete = false,
            }
        }
    }

    /// Statements that are not about rows. Those that are not looked into are incomplete.
    fn definition(&mut self, statement: &'a Statement, scope: Scope) {
        match statement {
            Statement::CreateTable(create) => {
                self.kind("create");
                self.redefined(&create.name);
                self.facts.complete &=
                    create.like.is_none() && create.clone.is_none() && create.inherits.is_none();
                if let Some(query) = &create.query {
                    self.query(query, scope);
                }
            }
            Statement::CreateView(create) => {
                self.kind("create");
                self.redefined(&create.name);
                self.query(&create.query, scope);
            }
            Statement::CreateIndex(create) => self.index(create, scope),
            Statement::AlterTable(alter) => {
                self.kind("alter");
                self.redefined(&alter.name);
            }
            Statement::Drop { names, table, .. } => {
                self.kind("drop");
                names.iter().chain(table).for_each(|name| self.redefined(name));
            }
            Statement::Truncate(truncate) => {
                self.kind("truncate");
                truncate.table_names.iter().for_each(|target| self.redefined(&target.name));
            }
            other => {
                self.kind(kind_of(other));
                self.facts.complete = false;
            }
        }
    }

    fn index(&mut self, create: &'a CreateIndex, scope: Scope) {
        self.kind("create");
        self.redefined(&create.table_name);
        let own = self.target(&create.table_name, None, scope);
        create.columns.iter().for_each(|column| self.order(std::slice::from_ref(&column.column), own));
        self.expressions(&create.predicate, own);
        for column in &create.include {
            self.unqualified(column.into(), own, Use::Read);
        }
    }

    fn redefined(&mut self, name: &ObjectName) {
        self.write(name);
        self.add_column(name, "*", Use::Write);
    }
}

pub(super) fn is_change(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

/// Nothing in it that only dialects have whose facts are never complete.
fn is_common(insert: &Insert) -> bool {
    insert.partitioned.is_none()
        && insert.after_columns.is_empty()
        && !insert.overwrite
        && insert.output.is_none()
        && insert.insert_alias.is_none()
        && insert.settings.is_none()
        && insert.format_clause.is_none()
        && insert.optimizer_hints.is_empty()
        && insert.multi_table_insert_type.is_none()
}
