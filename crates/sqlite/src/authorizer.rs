//! What SQLite may do on a caller's behalf: an allow-list of actions, asked for by SQLite itself while it compiles a
//! statement (`sqlite3_set_authorizer`), so that nothing hangs on how the text looks.

use crate::catalog::{Catalog, Kind, Relation};
use crate::decision::Decision;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Why an action was denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("{0} is not allowed here: this tool runs a single SELECT (or WITH … SELECT) and nothing else{1}")]
    Action(&'static str, &'static str),
    #[error("{0} is not allowed here: this tool runs a single INSERT, UPDATE or DELETE on an ordinary table")]
    WriteAction(&'static str),
    #[error(
        "the function `{0}` is not available; use SQLite's core, date, aggregate, window and JSON functions instead"
    )]
    Function(String),
    #[error("`{0}` may not be read; list_tables names the tables and views that may")]
    Table(String),
    #[error("`{0}` may not be changed: only ordinary tables may")]
    NotWritable(String),
    #[error("you may not see any column of `{0}`, nor count its rows; list_tables names what you may read")]
    Undisclosed(String),
    #[error("`{0}` is a virtual table: it cannot be read while some columns are hidden from you")]
    Virtual(String),
    #[error("`{0}` is hidden from you, and a statement that changes data may not read it")]
    HiddenInWrite(String),
    #[error("`{0}` has columns that are hidden from you, so its rows may not be changed")]
    HiddenTable(String),
    #[error("rows of `{0}` may not be changed by you, not by triggers or foreign keys either")]
    Locked(String),
    #[error(
        "the gateway decided about other tables than this statement uses: `{0}` was not among them; write the statement \
         plainly, with each table under its own name"
    )]
    Undecided(String),
}

/// What the authorizer saw while a statement was compiled.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The statement selects.
    pub(crate) selects: bool,
    /// The statement inserts, updates or deletes.
    pub(crate) writes: bool,
    /// Hidden columns that were asked for, as `table.column`.
    pub(crate) masked: BTreeSet<String>,
    /// Treated columns that were asked for where they may be shown, as `table.column`.
    pub(crate) treated: BTreeSet<String>,
    /// Treated columns whose values may be read now: what becomes of them is checked in the program.
    pub(crate) shown: BTreeSet<String>,
    /// Tables that were not decided about and may be named only: a common table expression can have the same name.
    pub(crate) unread: BTreeSet<String>,
    /// The table that the statement changes, in ASCII lower case.
    target: Option<String>,
    /// In a trial, how many rows of each table were changed; as SQLite spells its name.
    changed: BTreeMap<String, u64>,
    /// The statement is compiled; what is asked from now on comes from inside SQLite.
    compiled: bool,
    /// The first denial.
    pub(crate) denial: Option<Denial>,
}

/// Shared between the authorizer, which SQLite owns, and the code that runs the statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Seen>>);

impl Witness {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Before another statement is compiled in the same frame.
    pub(crate) fn forget_shape(&self) {
        let mut seen = self.seen();
        seen.selects = false;
        seen.writes = false;
        seen.compiled = false;
        seen.target = None;
        seen.unread.clear();
    }
    /// The statement is compiled. Virtual tables compile statements of their own while it runs.
    pub(crate) fn compiled(&self) {
        self.seen().compiled = true;
    }
    /// A row of a table was changed.
    pub(crate) fn count(&self, table: &str) {
        let mut seen = self.seen();
        match seen.changed.get_mut(table) {
            Some(count) => *count += 1,
            None => {
                seen.changed.insert(table.to_owned(), 1);
            }
        }
    }
    /// The table that the statement names, and how many rows of which tables were changed.
    pub(crate) fn changed(&self) -> (Option<String>, BTreeMap<String, u64>) {
        let seen = self.seen();
        (seen.target.clone(), seen.changed.clone())
    }
    /// Which columns were hidden or treated so far.
    pub(crate) fn columns(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let seen = self.seen();
        (seen.masked.clone(), seen.treated.clone())
    }
    /// Starts another attempt at a statement, in which these treated columns may be read.
    pub(crate) fn attempt(
        &self,
        before: &(BTreeSet<String>, BTreeSet<String>),
        shown: impl Iterator<Item = String>,
    ) {
        let mut seen = self.seen();
        seen.masked.clone_from(&before.0);
        seen.treated.clone_from(&before.1);
        seen.shown = shown.collect();
        seen.denial = None;
    }
}

/// Decides each action of a statement.
pub(crate) struct Authorizer {
    pub(crate) access: Access,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) decision: Arc<Decision>,
    pub(crate) witness: Witness,
}

impl Authorizer {
    /// The answer to SQLite.
    pub(crate) fn decide(&self, context: AuthContext<'_>) -> Authorization {
        match self.judge(context) {
            Ok(authorization) => authorization,
            Err(denial) => {
                self.witness.seen().denial.get_or_insert(denial);
                Authorization::Deny
            }
        }
    }

    fn judge(&self, context: AuthContext<'_>) -> Result<Authorization, Denial> {
        use AuthAction as A;
        match context.action {
            A::Select => {
                self.witness.seen().selects = true;
                Ok(Authorization::Allow)
            }
            A::Recursive => Ok(Authorization::Allow),
            A::Function { function_name } if is_allowed_function(function_name) => Ok(Authorization::Allow),
            A::Function { function_name } => Err(Denial::Function(function_name.to_owned())),
            A::Read { table_name, column_name } => {
                self.decided(table_name, column_name, context.accessor)?;
                self.read(context.database_name, table_name, column_name)
            }
            A::Insert { table_name } | A::Update { table_name, .. } => {
                self.write(context.database_name, table_name)
            }
            A::Delete { table_name } => {
                let authorization = self.write(context.database_name, table_name)?;
                // The rows are deleted all the same, but one by one, so that they can be counted.
                Ok(if self.decision.trial { Authorization::Ignore } else { authorization })
            }
            // Full-text tables ask for these two of themselves.
            A::Pragma { pragma_name: "data_version" | "page_size", pragma_value: None } => {
                Ok(Authorization::Allow)
            }
            other => Err(self.refuse(other)),
        }
    }

    /// Whether the gateway decided about a table that the statement reads: itself, or a view or a change that it comes
    /// along with.
    fn decided(&self, table: &str, column: &str, accessor: Option<&str>) -> Result<(), Denial> {
        let Some(sql) = &self.decision.sql else { return Ok(()) };
        if self.witness.seen().compiled || sql.name(table) {
            return Ok(());
        }
        let Some(relation) = self.catalog.find(table) else {
            let is_schema = |name: &str| name == "sqlite_master" || name == "sqlite_schema";
            let lower = table.to_ascii_lowercase();
            // What is neither in the schema nor SQLite's own is a common table expression or a table-valued function.
            let known = !lower.starts_with("sqlite_") || is_schema(&lower) && sql.all().any(is_schema);
            return if known { Ok(()) } else { Err(Denial::Undecided(table.to_owned())) };
        };
        let lower = relation.name.to_ascii_lowercase();
        let reads = |name: &str| self.catalog.reach(name).is_some_and(|reach| reach.reads.contains(&lower));
        let in_view =
            accessor.and_then(|name| self.catalog.find(name)).is_some_and(|found| found.kind == Kind::View);
        let by_view = in_view && sql.all().any(reads);
        let by_change = self.access == Access::Write && sql.writes.iter().any(|name| reads(name));
        let is_shadow = relation.kind == Kind::Shadow
            && sql.all().any(|name| lower.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')));
        if by_view || by_change || is_shadow {
            return Ok(());
        }
        if column.is_empty() {
            self.witness.seen().unread.insert(lower);
            return Ok(());
        }
        Err(Denial::Undecided(relation.name.clone()))
    }

    fn read(&self, database: Option<&str>, table: &str, column: &str) -> Result<Authorization, Denial> {
        let forbidden = || Denial::Table(table.to_owned());
        if database.is_some_and(|name| name != "main") {
            return Err(forbidden());
        }
        let Some(relation) = self.catalog.find(table) else {
            return self.read_other(table, column);
        };
        let Some(mask) = self.decision.mask.as_ref() else {
            return Ok(Authorization::Allow);
        };
        if matches!(relation.kind, Kind::Virtual | Kind::Shadow) {
            return Err(Denial::Virtual(relation.name.clone()));
        }
        if mask.hides_whole(relation) {
            return Err(Denial::Undisclosed(relation.name.clone()));
        }
        // An empty column stands for the table as such: its rows are counted or joined, no value is read.
        if column.is_empty() || !mask.hides(relation, column) {
            return Ok(Authorization::Allow);
        }
        let spelt = relation.column(column).map_or(column, |found| found.name.as_str());
        let name = format!("{}.{spelt}", relation.name);
        if self.access == Access::Write {
            return Err(Denial::HiddenInWrite(name));
        }
        let mut seen = self.witness.seen();
        if seen.shown.contains(&name) {
            seen.treated.insert(name);
            return Ok(Authorization::Allow);
        }
        seen.masked.insert(name);
        Ok(Authorization::Ignore)
    }

    /// What is read but not in the schema: SQLite's own tables, table-valued functions, and common table expressions,
    /// which show here without a column.
    fn read_other(&self, table: &str, column: &str) -> Result<Authorization, Denial> {
        let lower = table.to_ascii_lowercase();
        // SQLite's own tables name every table, and the last rowid of some.
        let hides_by_default = self.decision.mask.as_ref().is_some_and(|mask| {
            mask.hides_by_default() || self.catalog.relations().any(|relation| mask.hides_whole(relation))
        });
        match lower.as_str() {
            "json_each" | "json_tree" | "jsonb_each" | "jsonb_tree" => Ok(Authorization::Allow),
            "sqlite_master" | "sqlite_schema" | "sqlite_sequence" if !hides_by_default => {
                Ok(Authorization::Allow)
            }
            name if column.is_empty() && !name.starts_with("sqlite_") && !self.catalog.is_module(name) => {
                Ok(Authorization::Allow)
            }
            _ => Err(Denial::Table(table.to_owned())),
        }
    }

    fn write(&self, database: Option<&str>, table: &str) -> Result<Authorization, Denial> {
        if self.access == Access::Read {
            return Err(Denial::Action("changing data", ""));
        }
        let relation = self.catalog.find(table).filter(|relation| relation.kind == Kind::Table);
        let Some(relation) = relation.filter(|_| database == Some("main")) else {
            return Err(Denial::NotWritable(table.to_owned()));
        };
        // A constraint that fails says something about values that are there: of a table with hidden columns, no row
        // may be changed at all.
        if self.decision.mask.as_ref().is_some_and(|mask| mask.hides_some(relation)) {
            return Err(Denial::HiddenTable(relation.name.clone()));
        }
        if !self.decision.changes.allow(&relation.name) {
            return Err(Denial::Locked(relation.name.clone()));
        }
        self.decided_change(relation)?;
        self.witness.seen().writes = true;
        Ok(Authorization::Allow)
    }

    /// Whether the gateway decided about a table that the statement changes. What SQLite asks about first is the table
    /// that the statement itself names; others are changed by triggers and foreign keys.
    fn decided_change(&self, relation: &Relation) -> Result<(), Denial> {
        let lower = relation.name.to_ascii_lowercase();
        let mut seen = self.witness.seen();
        let target = seen.target.get_or_insert_with(|| lower.clone());
        let Some(sql) = &self.decision.sql else { return Ok(()) };
        let is_known = if *target == lower {
            sql.writes.contains(&lower)
        } else {
            self.catalog.reach(target).is_some_and(|reach| reach.writes.contains(&lower))
        };
        if is_known { Ok(()) } else { Err(Denial::Undecided(relation.name.clone())) }
    }

    fn refuse(&self, action: AuthAction<'_>) -> Denial {
        use AuthAction as A;
        let (what, hint) = match action {
            A::Pragma { .. } => ("PRAGMA", "; list_tables and describe_table tell the schema"),
            A::Attach { .. } | A::Detach { .. } => ("ATTACH or DETACH", ""),
            A::Transaction { .. } | A::Savepoint { .. } => ("transaction control", ""),
            A::Analyze { .. } | A::Reindex { .. } => ("maintenance of the database", ""),
            A::Unknown { .. } => ("an unknown action", ""),
            _ => ("changing the schema", ""),
        };
        match self.access {
            Access::Read => Denial::Action(what, hint),
            Access::Write => Denial::WriteAction(what),
        }
    }
}

/// Every other function is denied: those that reach files, load code, make values of any size without reading any, or
/// take time or memory that no time-out can cut (`json_patch` of two wide objects, `json_pretty` with a long indent).
fn is_allowed_function(name: &str) -> bool {
    ALLOWED_FUNCTIONS.binary_search(&name.to_ascii_lowercase().as_str()).is_ok()
}

/// In ASCII order.
const ALLOWED_FUNCTIONS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bm25",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_each",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_each",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "jsonb_tree",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "match",
    "matchinfo",
    "max",
    "median",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "offsets",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "random",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "snippet",
    "soundex",
    "sqlite_version",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unixepoch",
    "unlikely",
    "upper",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_functions_is_sorted_so_that_it_can_be_searched() {
        assert!(ALLOWED_FUNCTIONS.is_sorted());
        assert!(is_allowed_function("JSON_EXTRACT") && is_allowed_function("->>"));
        for name in [
            "load_extension",
            "randomblob",
            "zeroblob",
            "readfile",
            "writefile",
            "edit",
            "fts3_tokenizer",
            "json_patch",
            "json_pretty",
        ] {
            assert!(!is_allowed_function(name), "{name}");
        }
    }
}
