//! Expressions: the columns, functions and sub-queries in them. Kinds that are not looked into make facts incomplete.

use super::dialect::{Dialect, Name};
use super::resolve::Use;
use super::scope::{Scope, lower};
use super::walk::Walk;
use super::{harmless, names};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator,
    FunctionArgumentClause, FunctionArguments, Interval, OrderByExpr, Subscript, TypedString, Value,
    WindowFrameBound, WindowSpec, WindowType,
};

/// What may stand before a string in MySQL.
const CHARACTER_SETS: [&str; 7] = ["_ascii", "_binary", "_latin1", "_utf16", "_utf32", "_utf8", "_utf8mb4"];

impl<'a> Walk<'a> {
    /// Without recursion, as chains of operators make trees that are as deep as they are long. Sub-queries need
    /// parentheses, of which few may be open.
    pub(super) fn expression(&mut self, root: &'a Expr, scope: Scope) {
        let base = self.waiting.len();
        self.waiting.push(root);
        while self.waiting.len() > base {
            let Some(expression) = self.waiting.pop() else { break };
            self.one(expression, scope);
        }
    }

    pub(super) fn expressions(&mut self, all: impl IntoIterator<Item = &'a Expr>, scope: Scope) {
        all.into_iter().for_each(|expression| self.expression(expression, scope));
    }

    pub(super) fn order(&mut self, all: &'a [OrderByExpr], scope: Scope) {
        for by in all {
            self.facts.complete &= by.with_fill.is_none();
            self.expression(&by.expr, scope);
        }
    }

    fn one(&mut self, expression: &'a Expr, scope: Scope) {
        match expression {
            Expr::Identifier(name) => self.unqualified(name.into(), scope, Use::Read),
            Expr::CompoundIdentifier(parts) => self.qualified(parts, scope, Use::Read),
            Expr::Value(value) => self.value(&value.value, scope),
            Expr::BinaryOp { left, op, right } => {
                self.operator(op);
                self.waiting.extend([&**right, &**left]);
            }
            Expr::Function(function) => self.call(function, scope),
            Expr::Subquery(query) | Expr::Exists { subquery: query, .. } => self.query(query, scope),
            Expr::InSubquery { expr, subquery, .. } => {
                self.waiting.push(expr);
                self.query(subquery, scope);
            }
            Expr::QualifiedWildcard(name, _) => self.all_of(name, scope, Use::Read),
            Expr::Wildcard(_) => {}
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.waiting.push(root);
                access_chain.iter().for_each(|access| self.access(access));
            }
            Expr::TypedString(typed) => self.typed(typed),
            Expr::Interval(interval) => self.interval(interval),
            Expr::MatchAgainst { columns, .. } => {
                self.builtin("match");
                for name in columns {
                    match names::last(name).filter(|_| !names::is_qualified(name)) {
                        Some(only) => self.unqualified(only.into(), scope, Use::Read),
                        None => self.qualified(names::idents(name), scope, Use::Read),
                    }
                }
            }
            other => self.one_of_parts(other),
        }
    }

    /// Expressions that are no more than their parts.
    fn one_of_parts(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::IsNormalized { expr: inner, .. }
            | Expr::IsJson { expr: inner, .. }
            | Expr::Collate { expr: inner, .. } => self.waiting.push(inner),
            // Elsewhere that is a column with an alias.
            Expr::Prefixed { prefix, value } => {
                let known = |known: &&str| prefix.value.eq_ignore_ascii_case(known);
                self.facts.complete &= self.dialect == Dialect::MySql && CHARACTER_SETS.iter().any(known);
                self.waiting.push(value);
            }
            Expr::IsDistinctFrom(one, two)
            | Expr::IsNotDistinctFrom(one, two)
            | Expr::InUnnest { expr: one, array_expr: two, .. }
            | Expr::AnyOp { left: one, right: two, .. }
            | Expr::AllOp { left: one, right: two, .. }
            | Expr::RLike { expr: one, pattern: two, .. }
            | Expr::AtTimeZone { timestamp: one, time_zone: two } => self.waiting.extend([&**one, &**two]),
            Expr::Like { expr, pattern, escape_char, .. }
            | Expr::ILike { expr, pattern, escape_char, .. }
            | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.waiting.extend([&**expr, &**pattern]);
                self.waiting.extend(escape_char.as_deref());
            }
            Expr::Between { expr, low, high, .. } => self.waiting.extend([&**expr, &**low, &**high]),
            Expr::InList { expr, list, .. } => {
                self.waiting.push(expr);
                self.waiting.extend(list);
            }
            Expr::MemberOf(member) => self.waiting.extend([&*member.value, &*member.array]),
            Expr::Tuple(list) => self.waiting.extend(list),
            Expr::Array(array) => self.waiting.extend(&array.elem),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.waiting.extend(sets.iter().flatten());
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.waiting.extend(operand.as_deref());
                self.waiting.extend(conditions.iter().flat_map(|when| [&when.condition, &when.result]));
                self.waiting.extend(else_result.as_deref());
            }
            other => self.one_of_builtins(other),
        }
    }

    /// Functions with a syntax of their own.
    fn one_of_builtins(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Cast { expr, .. } => {
                self.builtin("cast");
                self.waiting.push(expr);
            }
            Expr::Extract { expr, .. } => {
                self.builtin("extract");
                self.waiting.push(expr);
            }
            Expr::Ceil { expr, .. } => {
                self.builtin("ceil");
                self.waiting.push(expr);
            }
            Expr::Floor { expr, .. } => {
                self.builtin("floor");
                self.waiting.push(expr);
            }
            Expr::Position { expr, r#in } => {
                self.builtin("position");
                self.waiting.extend([&**expr, &**r#in]);
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.builtin("substring");
                self.waiting.push(expr);
                self.waiting.extend(substring_from.as_deref().into_iter().chain(substring_for.as_deref()));
            }
            Expr::Trim { trim_what, expr, trim_characters, .. } => {
                self.builtin("trim");
                self.waiting.push(expr);
                self.waiting.extend(trim_what.as_deref());
                self.waiting.extend(trim_characters.iter().flatten());
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.builtin("overlay");
                self.waiting.extend([&**expr, &**overlay_what, &**overlay_from]);
                self.waiting.extend(overlay_for.as_deref());
            }
            // In SQLite what is here a type could be a column.
            Expr::Convert { expr, styles, .. } => {
                self.builtin("convert");
                self.facts.complete &= self.dialect != Dialect::Sqlite;
                self.waiting.push(expr);
                self.waiting.extend(styles);
            }
            _ => self.facts.complete = false,
        }
    }

    /// `"x"` is a string in MySQL, or with ANSI_QUOTES a name.
    fn value(&mut self, value: &'a Value, scope: Scope) {
        if let Value::DoubleQuotedString(text) = value {
            self.unqualified(Name { value: text, quoted: true }, scope, Use::Read);
        }
    }

    /// `date '2026-01-01'` is a column called `date` in SQLite, which is shown as `2026-01-01`.
    fn typed(&mut self, typed: &TypedString) {
        self.facts.complete &= match self.dialect {
            Dialect::Sqlite => false,
            Dialect::MySql => {
                matches!(typed.data_type, DataType::Date | DataType::Time(..) | DataType::Timestamp(..))
            }
            _ => true,
        };
    }

    fn interval(&mut self, interval: &'a Interval) {
        self.facts.complete &= self.dialect != Dialect::Sqlite;
        self.waiting.push(&interval.value);
    }

    /// An operator of the database's own could do anything; `:=` sets a variable in MySQL.
    fn operator(&mut self, operator: &BinaryOperator) {
        match operator {
            BinaryOperator::PGCustomBinaryOperator(_) | BinaryOperator::Custom(_) => {
                self.facts.complete = false
            }
            BinaryOperator::Assignment => self.pure = false,
            _ => {}
        }
    }

    fn access(&mut self, access: &'a AccessExpr) {
        match access {
            AccessExpr::Dot(field) => self.waiting.push(field),
            AccessExpr::Subscript(Subscript::Index { index }) => self.waiting.push(index),
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                self.waiting.extend([lower_bound, upper_bound, stride].into_iter().flatten());
            }
        }
    }

    fn call(&mut self, function: &'a Function, scope: Scope) {
        let Function { name, parameters, args, within_group, filter, over, uses_odbc_syntax, .. } = function;
        self.function(name);
        self.facts.complete &= matches!(parameters, FunctionArguments::None) && !uses_odbc_syntax;
        match args {
            // `localtime` is a column to SQLite, unlike `current_time`.
            FunctionArguments::None => {
                let name = names::last(name).filter(|name| {
                    self.dialect == Dialect::Sqlite && !lower(&name.value).starts_with("current_")
                });
                if let Some(name) = name {
                    self.unqualified(name.into(), scope, Use::Read);
                }
            }
            FunctionArguments::Subquery(query) => self.query(query, scope),
            FunctionArguments::List(list) => {
                self.pure &= harmless::is_small(name, &list.args);
                self.arguments(&list.args, scope);
                list.clauses.iter().for_each(|clause| self.clause(clause, scope));
            }
        }
        self.order(within_group, scope);
        self.waiting.extend(filter.as_deref());
        if let Some(WindowType::WindowSpec(window)) = over {
            self.window(window, scope);
        }
    }

    pub(super) fn arguments(&mut self, arguments: &'a [FunctionArg], scope: Scope) {
        for argument in arguments {
            let value = match argument {
                FunctionArg::Unnamed(arg) => arg,
                FunctionArg::Named { name, arg, operator } => {
                    // `json_object(a : b)`, where the name is a value.
                    if !matches!(operator, FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment)
                    {
                        self.unqualified(name.into(), scope, Use::Read);
                    }
                    arg
                }
                FunctionArg::ExprNamed { name, arg, .. } => {
                    self.expression(name, scope);
                    arg
                }
            };
            match value {
                FunctionArgExpr::Expr(expression) => self.expression(expression, scope),
                FunctionArgExpr::QualifiedWildcard(name) => self.all_of(name, scope, Use::Read),
                FunctionArgExpr::Wildcard => {}
                FunctionArgExpr::WildcardWithOptions(_) => self.facts.complete = false,
            }
        }
    }

    fn clause(&mut self, clause: &'a FunctionArgumentClause, scope: Scope) {
        match clause {
            FunctionArgumentClause::OrderBy(by) => self.order(by, scope),
            FunctionArgumentClause::Where(expression) | FunctionArgumentClause::Limit(expression) => {
                self.expression(expression, scope);
            }
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::JsonReturningClause(_)
            | FunctionArgumentClause::Separator(_) => {}
            FunctionArgumentClause::OnOverflow(_) | FunctionArgumentClause::Having(_) => {
                self.facts.complete = false;
            }
        }
    }

    pub(super) fn window(&mut self, window: &'a WindowSpec, scope: Scope) {
        self.expressions(&window.partition_by, scope);
        self.order(&window.order_by, scope);
        let Some(frame) = &window.window_frame else { return };
        for bound in [Some(&frame.start_bound), frame.end_bound.as_ref()].into_iter().flatten() {
            if let WindowFrameBound::Preceding(Some(by)) | WindowFrameBound::Following(Some(by)) = bound {
                self.expression(by, scope);
            }
        }
    }
}
