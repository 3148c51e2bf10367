//! The second look at a masked statement, at the program that SQLite compiled it to.
//!
//! The authorizer is asked about columns by name, and that is not all of it: `JOIN … USING (c)` and `NATURAL JOIN`
//! compare `c` without asking; an index on a hidden column, scanned because it is the smaller one, gives rows in the
//! order of what is hidden. The program (`EXPLAIN`) shows every cursor and every column it touches, so here a statement
//! is refused whose program would read a hidden column or walk an index that holds one.
//!
//! Not hidden is the order in which a table itself stores its rows (the rowid's).

use crate::catalog::{Catalog, Index, Kind, Relation};
use crate::failure::Failure;
use crate::mask::Mask;
use crate::statement;
use rusqlite::{Connection, types::Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a program would reveal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Leak {
    #[error(
        "`{0}` is hidden from you and cannot be compared or joined on, not by USING or NATURAL JOIN either; join on \
         columns that you may see"
    )]
    Column(String),
    #[error(
        "SQLite would go through the index `{index}`, which holds columns of `{table}` that are hidden from you and \
         would give away their order; write `{table} NOT INDEXED` (after its alias, if it has one) in the FROM clause"
    )]
    Index { index: String, table: String },
}

/// A B-tree that holds hidden columns.
struct Tree {
    table: String,
    /// `None`: the table itself.
    index: Option<String>,
    /// Position in the record → name, for hidden columns.
    hidden: BTreeMap<i64, String>,
    /// Its order tells of hidden columns: it may be counted, nothing else.
    ordered_by_hidden: bool,
    /// The rowid is hidden: its name, and how many columns come before it in an index.
    rowid: Option<(String, i64)>,
}

/// One instruction.
struct Step {
    address: i64,
    opcode: String,
    p1: i64,
    p2: i64,
    p3: i64,
    p4: String,
}

/// Compiles `sql` once more, as `EXPLAIN`, with the same parameters, and looks for leaks.
pub(crate) fn check(
    connection: &Connection,
    sql: &str,
    parameters: &[Value],
    catalog: &Catalog,
    mask: &Mask,
) -> Result<(), Failure> {
    let trees = trees(catalog, mask);
    if trees.is_empty() {
        return Ok(());
    }
    let steps = explain(connection, sql, parameters)?;
    let mut frames: Vec<Vec<&Step>> = Vec::new();
    for step in &steps {
        // Programs of triggers follow the main one; each counts from 0 and has its own cursors.
        if step.address == 0 {
            frames.push(Vec::new());
        }
        if let Some(frame) = frames.last_mut() {
            frame.push(step);
        }
    }
    frames.iter().try_for_each(|frame| check_frame(frame, &trees)).map_err(Failure::Leak)
}

fn check_frame(frame: &[&Step], trees: &BTreeMap<i64, Tree>) -> Result<(), Leak> {
    let mut cursors: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for step in frame {
        let opens = matches!(step.opcode.as_str(), "OpenRead" | "OpenWrite" | "ReopenIdx");
        if opens && step.p3 == 0 && trees.contains_key(&step.p2) {
            cursors.entry(step.p1).or_default().insert(step.p2);
        }
    }
    for (cursor, roots) in &cursors {
        for tree in roots.iter().filter_map(|root| trees.get(root)) {
            check_cursor(frame, *cursor, tree)?;
        }
    }
    Ok(())
}

fn check_cursor(frame: &[&Step], cursor: i64, tree: &Tree) -> Result<(), Leak> {
    let mine = || frame.iter().filter(|step| step.p1 == cursor);
    if tree.ordered_by_hidden {
        let only_counted =
            mine().any(|step| step.opcode == "Count") && !mine().any(|step| moves(&step.opcode));
        return if only_counted { Ok(()) } else { Err(tree.order_leak()) };
    }
    if frame.iter().any(|step| step.opcode == "RowCell" && step.p2 == cursor) {
        return Err(tree.whole_row_leak());
    }
    for step in mine() {
        match step.opcode.as_str() {
            "Column" => {
                if let Some(name) = tree.hidden.get(&step.p2) {
                    return Err(Leak::Column(name.clone()));
                }
            }
            "RowData" | "Offset" => return Err(tree.whole_row_leak()),
            opcode => tree.check_rowid(opcode, step)?,
        }
    }
    Ok(())
}

/// Whether an instruction brings a cursor to a row, without which nothing can be read through it.
fn moves(opcode: &str) -> bool {
    matches!(
        opcode,
        "Rewind"
            | "Last"
            | "Sort"
            | "SeekGE"
            | "SeekGT"
            | "SeekLE"
            | "SeekLT"
            | "Found"
            | "NotFound"
            | "NoConflict"
    )
}

impl Tree {
    fn check_rowid(&self, opcode: &str, step: &Step) -> Result<(), Leak> {
        let Some((name, before)) = &self.rowid else {
            return Ok(());
        };
        let leaks = match opcode {
            "Rowid" | "IdxRowid" | "SeekRowid" | "NotExists" => true,
            "SeekGE" | "SeekGT" | "SeekLE" | "SeekLT" | "IdxGE" | "IdxGT" | "IdxLE" | "IdxLT" | "Found"
            | "NotFound" | "NoConflict" => {
                self.index.is_none() || step.p4.parse::<i64>().map_or(true, |used| used > *before)
            }
            _ => false,
        };
        if leaks { Err(Leak::Column(name.clone())) } else { Ok(()) }
    }
    fn order_leak(&self) -> Leak {
        let index = self.index.clone().unwrap_or_else(|| "primary key".to_owned());
        Leak::Index { index, table: self.table.clone() }
    }
    fn whole_row_leak(&self) -> Leak {
        let name = self.hidden.values().next().or(self.rowid.as_ref().map(|(name, _)| name));
        Leak::Column(name.cloned().unwrap_or_else(|| self.table.clone()))
    }
}

fn explain(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<Vec<Step>, Failure> {
    let text = format!("EXPLAIN {sql}");
    let mut statement = statement::only(connection, &text)?;
    statement::bind(&mut statement, parameters)?;
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().map_err(Failure::Sqlite)? {
        let read = || -> rusqlite::Result<Step> {
            Ok(Step {
                address: row.get(0)?,
                opcode: row.get(1)?,
                p1: row.get(2)?,
                p2: row.get(3)?,
                p3: row.get(4)?,
                p4: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            })
        };
        steps.push(read().map_err(Failure::Sqlite)?);
    }
    Ok(steps)
}

/// The B-trees with something to hide, by root page.
fn trees(catalog: &Catalog, mask: &Mask) -> BTreeMap<i64, Tree> {
    let mut trees = BTreeMap::new();
    for table in
        catalog.relations().filter(|relation| relation.kind == Kind::Table && mask.hides_some(relation))
    {
        let primary = table.indexes.iter().find(|index| index.primary);
        let tree = match primary.filter(|_| table.without_rowid) {
            // Such a table is its own primary-key index.
            Some(index) => Tree { index: None, ..index_tree(table, index, mask) },
            None => table_tree(table, mask),
        };
        trees.extend(table.root.map(|root| (root, tree)));
        for index in &table.indexes {
            trees.extend(index.root.map(|root| (root, index_tree(table, index, mask))));
        }
    }
    trees
}

fn table_tree(table: &Relation, mask: &Mask) -> Tree {
    let hidden = (0_i64..).zip(table.stored()).filter(|(_, column)| mask.hides(table, &column.name));
    Tree {
        table: table.name.clone(),
        index: None,
        hidden: hidden.map(|(at, column)| (at, format!("{}.{}", table.name, column.name))).collect(),
        ordered_by_hidden: false,
        rowid: hidden_rowid(table, mask).map(|name| (name, 0)),
    }
}

fn index_tree(table: &Relation, index: &Index, mask: &Mask) -> Tree {
    let mut hidden = BTreeMap::new();
    // What a partial index leaves out, and what an expression yields, may come from a hidden column.
    let mut ordered_by_hidden = index.partial;
    let mut rowid = None;
    for (at, column) in (0_i64..).zip(&index.columns) {
        match &column.name {
            Some(name) if !mask.hides(table, name) => {}
            Some(name) => {
                hidden.insert(at, format!("{}.{name}", table.name));
                // Only of a table that is its own index are there columns that do not order it.
                ordered_by_hidden |= column.is_key || !table.without_rowid || !index.primary;
            }
            None if column.is_rowid => rowid = hidden_rowid(table, mask).map(|name| (name, at)),
            None => ordered_by_hidden = true,
        }
    }
    let index = Some(index.name.clone());
    Tree { table: table.name.clone(), index, hidden, ordered_by_hidden, rowid }
}

fn hidden_rowid(table: &Relation, mask: &Mask) -> Option<String> {
    let alias = table.rowid_alias()?;
    mask.hides(table, &alias.name).then(|| format!("{}.{}", table.name, alias.name))
}
