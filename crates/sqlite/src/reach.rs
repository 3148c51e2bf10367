//! What comes along with a table or view that a statement names: the tables behind a view, and what triggers and
//! foreign keys read and change when a table's rows are. SQLite itself says so, when statements that use them are
//! compiled; nothing is run.

use crate::authorizer::Access;
use crate::catalog::{Catalog, Kind, Relation, quote};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Tables, in ASCII lower case.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reach {
    pub(crate) reads: BTreeSet<String>,
    pub(crate) writes: BTreeSet<String>,
}

/// Compiles statements that use each view and, where changes are possible, change each table that others hang on.
pub(crate) fn load(
    connection: &mut Connection,
    catalog: &Catalog,
    access: Access,
) -> Result<BTreeMap<String, Reach>> {
    let seen = Arc::new(Mutex::new(Reach::default()));
    let recorder = Arc::clone(&seen);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        note(&mut recorder.lock().unwrap_or_else(PoisonError::into_inner), context.action)
    }))?;
    let mut found = BTreeMap::new();
    for relation in catalog.relations() {
        let statements = match relation.kind {
            Kind::View => vec![format!("SELECT * FROM main.{}", quote(&relation.name))],
            Kind::Table if access == Access::Write => changes(relation),
            _ => continue,
        };
        for sql in statements {
            // One that does not compile, such as a view of a table that is gone, reaches nothing.
            drop(connection.prepare(&sql));
        }
        let reach = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        found.insert(relation.name.to_ascii_lowercase(), reach);
    }
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    Ok(found)
}

fn note(reach: &mut Reach, action: AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Read { table_name, .. } => {
            reach.reads.insert(table_name.to_ascii_lowercase());
        }
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => {
            reach.writes.insert(table_name.to_ascii_lowercase());
        }
        _ => {}
    }
    Authorization::Allow
}

fn changes(table: &Relation) -> Vec<String> {
    let name = quote(&table.name);
    let plain = table.columns.iter().filter(|column| !column.is_generated());
    let set: Vec<String> = plain.map(|column| format!("{0} = {0}", quote(&column.name))).collect();
    vec![
        format!("INSERT OR REPLACE INTO main.{name} DEFAULT VALUES"),
        format!("UPDATE OR REPLACE main.{name} SET {}", set.join(", ")),
        format!("DELETE FROM main.{name}"),
    ]
}
