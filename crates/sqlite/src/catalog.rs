//! What the database is made of: tables, columns, keys, indexes, and the B-trees they are stored in.

use crate::reach::Reach;
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A snapshot of the schema.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// `PRAGMA schema_version` at the time.
    pub(crate) version: i64,
    /// By name in ASCII lower case.
    relations: BTreeMap<String, Relation>,
    /// Names of virtual-table modules, in ASCII lower case.
    modules: BTreeSet<String>,
    /// What views read, and what changing a table entails, by its name in ASCII lower case.
    pub(crate) reach: BTreeMap<String, Reach>,
}

/// A table, view or virtual table.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) without_rowid: bool,
    /// Page of the root of its B-tree; tables only.
    pub(crate) root: Option<i64>,
    pub(crate) columns: Vec<Column>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    View,
    /// A virtual table, such as a full-text index.
    Virtual,
    /// Where a virtual table keeps its data.
    Shadow,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    /// Position in the primary key from 1; 0 when not part of it.
    pub(crate) key: i64,
    /// As in `PRAGMA table_xinfo`: 1 hidden column of a virtual table, 2 virtual, 3 stored generated column.
    hidden: i64,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) partial: bool,
    pub(crate) primary: bool,
    pub(crate) root: Option<i64>,
    pub(crate) columns: Vec<IndexColumn>,
}

#[derive(Debug)]
pub(crate) struct IndexColumn {
    /// `None`: an expression, or the rowid.
    pub(crate) name: Option<String>,
    pub(crate) is_rowid: bool,
    /// Part of the key, not appended to find the row.
    pub(crate) is_key: bool,
}

#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) column: String,
    pub(crate) table: String,
    /// `None`: the primary key of that table.
    pub(crate) to: Option<String>,
}

impl Catalog {
    /// Reads the schema. Must run before an authorizer is set.
    pub(crate) fn load(connection: &Connection, version: i64) -> Result<Self> {
        let mut catalog = Self { version, ..Self::default() };
        let mut statement = connection.prepare("SELECT lower(name) FROM pragma_module_list")?;
        for name in statement.query_map([], |row| row.get::<_, String>(0))? {
            catalog.modules.insert(name?);
        }
        let roots = roots(connection)?;
        let mut statement = connection.prepare(
            "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let kind = match row.get::<_, String>(1)?.as_str() {
                "table" => Kind::Table,
                "view" => Kind::View,
                "shadow" => Kind::Shadow,
                _ => Kind::Virtual,
            };
            if kind == Kind::Virtual {
                // Connecting a virtual table prepares statements of its module, some of which write. Done here, before
                // an authorizer looks on; a table whose module is missing stays unusable.
                drop(connection.prepare(&format!("SELECT 1 FROM main.{} LIMIT 0", quote(&name))));
            }
            let relation = Relation {
                kind,
                without_rowid: row.get(2)?,
                root: roots.get(&name).copied(),
                columns: columns(connection, &name).unwrap_or_default(),
                indexes: indexes(connection, &name, &roots)?,
                foreign_keys: foreign_keys(connection, &name)?,
                name,
            };
            catalog.relations.insert(relation.name.to_ascii_lowercase(), relation);
        }
        Ok(catalog)
    }

    /// Finds a relation without regard to ASCII case.
    pub(crate) fn find(&self, name: &str) -> Option<&Relation> {
        self.relations.get(&name.to_ascii_lowercase())
    }
    /// What comes along with a view or with changing a table; nothing for others.
    pub(crate) fn reach(&self, name: &str) -> Option<&Reach> {
        self.reach.get(&name.to_ascii_lowercase())
    }
    /// All relations, in order of name.
    pub(crate) fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }
    /// Whether a name is that of a module whose table exists without having been created.
    pub(crate) fn is_module(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name.starts_with("pragma_") || self.modules.contains(&name)
    }
}

impl Relation {
    /// Finds a column without regard to ASCII case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
    /// The column that is another name of the rowid: the only key column, declared exactly `INTEGER`.
    pub(crate) fn rowid_alias(&self) -> Option<&Column> {
        let mut keys = self.columns.iter().filter(|column| column.key > 0);
        let first = keys.next().filter(|column| column.declared.eq_ignore_ascii_case("INTEGER"))?;
        (!self.without_rowid && keys.next().is_none()).then_some(first)
    }
    /// Its columns in the order of the stored record: virtual columns are not stored and come last.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Column> {
        let stored = self.columns.iter().filter(|column| column.hidden != 2);
        stored.chain(self.columns.iter().filter(|column| column.hidden == 2))
    }
}

impl Column {
    /// Computed from other columns of its row.
    pub(crate) fn is_generated(&self) -> bool {
        self.hidden >= 2
    }
    /// Left out of `SELECT *`.
    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden == 1
    }
}

/// An identifier in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn roots(connection: &Connection) -> Result<BTreeMap<String, i64>> {
    let mut statement = connection
        .prepare("SELECT name, rootpage FROM main.sqlite_schema WHERE coalesce(rootpage, 0) > 0")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<Column>> {
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            not_null: row.get(2)?,
            default: row.get(3)?,
            key: row.get(4)?,
            hidden: row.get(5)?,
        })
    };
    statement.query_map([table], read)?.collect()
}

fn indexes(connection: &Connection, table: &str, roots: &BTreeMap<String, i64>) -> Result<Vec<Index>> {
    let mut statement = connection.prepare(
        "SELECT name, \"unique\", partial, origin = 'pk' FROM pragma_index_list(?1, 'main') ORDER BY seq",
    )?;
    let mut columns = connection
        .prepare("SELECT name, cid = -1, \"key\" FROM pragma_index_xinfo(?1, 'main') ORDER BY seqno")?;
    let mut found = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(IndexColumn { name: row.get(0)?, is_rowid: row.get(1)?, is_key: row.get(2)? })
        };
        found.push(Index {
            unique: row.get(1)?,
            partial: row.get(2)?,
            primary: row.get(3)?,
            root: roots.get(&name).copied(),
            columns: columns.query_map([&name], read)?.collect::<Result<_>>()?,
            name,
        });
    }
    Ok(found)
}

fn foreign_keys(connection: &Connection, table: &str) -> Result<Vec<ForeignKey>> {
    let mut statement = connection.prepare(
        "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
    )?;
    let read =
        |row: &rusqlite::Row<'_>| Ok(ForeignKey { column: row.get(0)?, table: row.get(1)?, to: row.get(2)? });
    statement.query_map([table], read)?.collect()
}
