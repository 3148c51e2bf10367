//! How many rows a text returns at most.

use super::change::is_change;
use sqlparser::ast::{Expr, LimitClause, Query, SetExpr, Statement, Value};

/// The largest constant limit of the statements that return rows; `None` when one of them has none, or none returns
/// rows.
pub(super) fn of(statements: &[Statement]) -> Option<u64> {
    let mut most = None;
    for statement in statements {
        let limit = match statement {
            Statement::Query(query) if !is_change(&query.body) => of_query(query),
            Statement::Query(_) | Statement::Explain { .. } => None,
            Statement::Insert(insert) if insert.returning.is_none() => continue,
            Statement::Update(update) if update.returning.is_none() => continue,
            Statement::Delete(delete) if delete.returning.is_none() => continue,
            Statement::CreateTable(_) | Statement::CreateView(_) | Statement::CreateIndex(_) => continue,
            Statement::AlterTable(_) | Statement::Drop { .. } | Statement::Truncate(_) => continue,
            _ => None,
        };
        most = most.max(Some(limit?));
    }
    most
}

fn of_query(query: &Query) -> Option<u64> {
    let mut query = query;
    loop {
        let limit = match &query.limit_clause {
            Some(
                LimitClause::LimitOffset { limit: Some(limit), .. }
                | LimitClause::OffsetCommaLimit { limit, .. },
            ) => constant(limit),
            _ => None,
        };
        let fetch = query.fetch.as_ref().filter(|fetch| !fetch.with_ties && !fetch.percent);
        // `FETCH FIRST ROW ONLY` is one.
        let fetch = fetch.and_then(|fetch| fetch.quantity.as_ref().map_or(Some(1), constant));
        match (limit, fetch, &*query.body) {
            (Some(limit), None, _) | (None, Some(limit), _) => return Some(limit),
            (Some(limit), Some(fetch), _) => return Some(limit.max(fetch)),
            (None, None, SetExpr::Query(inner)) => query = inner,
            (None, None, _) => return None,
        }
    }
}

fn constant(expression: &Expr) -> Option<u64> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
