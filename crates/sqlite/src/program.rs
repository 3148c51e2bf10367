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
use crate::mask::{Mask, Treated};
use crate::session::Frame;
use crate::statement;
use rusqlite::types::Value;
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

impl Leak {
    /// The table that it is about.
    pub(crate) fn table(&self) -> &str {
        match self {
            Self::Column(name) => name.rsplit_once('.').map_or(name, |(table, _)| table),
            Self::Index { table, .. } => table,
        }
    }
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
#[derive(Debug)]
pub(crate) struct Step {
    address: i64,
    pub(crate) opcode: String,
    pub(crate) p1: i64,
    pub(crate) p2: i64,
    pub(crate) p3: i64,
    pub(crate) p4: String,
    pub(crate) p5: i64,
}

impl Step {
    /// P1, P2 or P3.
    pub(crate) fn operand(&self, number: u8) -> i64 {
        match number {
            1 => self.p1,
            2 => self.p2,
            _ => self.p3,
        }
    }
    /// The root page of the B-tree of the database that it opens.
    pub(crate) fn opens(&self) -> Option<i64> {
        let opens = matches!(self.opcode.as_str(), "OpenRead" | "OpenWrite" | "ReopenIdx");
        (opens && self.p3 == 0).then_some(self.p2)
    }
}

/// What SQLite compiled a statement to.
#[derive(Debug)]
pub(crate) struct Program {
    /// The main program and those of triggers; each counts from 0 and has its own cursors.
    pub(crate) frames: Vec<Vec<Step>>,
}

impl Program {
    /// Compiles `sql` once more, as `EXPLAIN`, with the same parameters.
    pub(crate) fn of(frame: &Frame<'_>, sql: &str, parameters: &[Value]) -> Result<Self, Failure> {
        let text = format!("EXPLAIN {sql}");
        let mut statement = statement::only(frame.connection, &text)?;
        statement::bind(&mut statement, parameters)?;
        let mut rows = statement.raw_query();
        let mut frames: Vec<Vec<Step>> = Vec::new();
        while let Some(row) = rows.next().map_err(Failure::Sqlite)? {
            let read = || -> rusqlite::Result<Step> {
                Ok(Step {
                    address: row.get(0)?,
                    opcode: row.get(1)?,
                    p1: row.get(2)?,
                    p2: row.get(3)?,
                    p3: row.get(4)?,
                    p4: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                    p5: row.get(6)?,
                })
            };
            let step = read().map_err(Failure::Sqlite)?;
            // Programs of triggers follow the main one.
            match frames.last_mut().filter(|_| step.address != 0) {
                Some(frame) => frame.push(step),
                None => frames.push(vec![step]),
            }
        }
        Ok(Self { frames })
    }

    /// Looks for leaks of what is hidden. Columns that are `shown` are read, but not through an index that holds them.
    pub(crate) fn check(&self, catalog: &Catalog, mask: &Mask, shown: &[Treated]) -> Result<(), Leak> {
        let trees = trees(catalog, mask, shown);
        if trees.is_empty() {
            return Ok(());
        }
        self.frames.iter().try_for_each(|frame| check_frame(frame, &trees))
    }

    /// Whether it reads a table itself, or one of its indexes.
    pub(crate) fn reads(&self, relation: &Relation) -> bool {
        let indexes = relation.indexes.iter().filter_map(|index| index.root);
        let roots: BTreeSet<i64> = indexes.chain(relation.root).collect();
        self.frames.iter().flatten().filter_map(Step::opens).any(|root| roots.contains(&root))
    }
}

fn check_frame(frame: &[Step], trees: &BTreeMap<i64, Tree>) -> Result<(), Leak> {
    let mut cursors: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for step in frame {
        if let Some(root) = step.opens().filter(|root| trees.contains_key(root)) {
            cursors.entry(step.p1).or_default().insert(root);
        }
    }
    for (cursor, roots) in &cursors {
        for tree in roots.iter().filter_map(|root| trees.get(root)) {
            check_cursor(frame, *cursor, tree)?;
        }
    }
    Ok(())
}

fn check_cursor(frame: &[Step], cursor: i64, tree: &Tree) -> Result<(), Leak> {
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

/// The B-trees with something to hide, by root page.
fn trees(catalog: &Catalog, mask: &Mask, shown: &[Treated]) -> BTreeMap<i64, Tree> {
    let mut trees = BTreeMap::new();
    for table in
        catalog.relations().filter(|relation| relation.kind == Kind::Table && mask.hides_some(relation))
    {
        let primary = table.indexes.iter().find(|index| index.primary);
        let tree = match primary.filter(|_| table.without_rowid) {
            // Such a table is its own primary-key index.
            Some(index) => Tree { index: None, ..index_tree(table, index, mask) },
            None => table_tree(table, mask, shown),
        };
        trees.extend(table.root.map(|root| (root, tree)));
        for index in &table.indexes {
            trees.extend(index.root.map(|root| (root, index_tree(table, index, mask))));
        }
    }
    trees
}

fn table_tree(table: &Relation, mask: &Mask, shown: &[Treated]) -> Tree {
    let is_shown = |name: &str| shown.iter().any(|one| one.table == table.name && one.column == name);
    let is_hidden = |name: &str| mask.hides(table, name) && !is_shown(name);
    let hidden = (0_i64..).zip(table.stored()).filter(|(_, column)| is_hidden(&column.name));
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
