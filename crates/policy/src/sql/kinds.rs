//! Words for the kinds of statements that are not looked into.

use sqlparser::ast::Statement;

/// The kind of a statement.
pub(super) fn kind_of(statement: &Statement) -> &'static str {
    match statement {
        Statement::AttachDatabase { .. } | Statement::AttachDuckDBDatabase { .. } => "attach",
        Statement::DetachDuckDBDatabase { .. } => "detach",
        Statement::Pragma { .. } => "pragma",
        Statement::Vacuum(_) => "vacuum",
        Statement::Analyze(_) => "analyze",
        Statement::Merge(_) => "merge",
        Statement::Copy { .. } => "copy",
        Statement::Call(_) => "call",
        Statement::Set(_) | Statement::Reset(_) => "set",
        Statement::Grant(_) => "grant",
        Statement::Revoke(_) => "revoke",
        Statement::Execute { .. } | Statement::Prepare { .. } | Statement::Deallocate { .. } => "prepare",
        Statement::Lock(_) | Statement::LockTables { .. } => "lock",
        Statement::LISTEN { .. } | Statement::UNLISTEN { .. } | Statement::NOTIFY { .. } => "notify",
        Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. } => "transaction",
        Statement::CreateVirtualTable { .. }
        | Statement::CreateTrigger(_)
        | Statement::CreateFunction(_)
        | Statement::CreateSchema { .. }
        | Statement::CreateExtension(_)
        | Statement::CreateRole(_)
        | Statement::CreateSequence { .. }
        | Statement::CreateType { .. } => "create",
        Statement::DropFunction(_) | Statement::DropTrigger(_) | Statement::DropExtension(_) => "drop",
        Statement::AlterIndex { .. } | Statement::AlterView { .. } | Statement::AlterRole { .. } => "alter",
        Statement::ExplainTable { .. } => "explain",
        _ => "other",
    }
}
