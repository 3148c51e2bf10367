//! What the gateway's facts claim about SQL text, held against what SQLite's authorizer says while it compiles the same
//! text: random statements over a fixed schema. `PORTUNUS_SQL_CASES` sets how many (2,000). And the statements of
//! `tests/sql`, put to the built-in server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use portunus_policy::sql::{Dialect, SqlFacts, Tables, facts, facts_with};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::Shop;

const SCHEMA: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, status TEXT, total REAL);
CREATE TABLE lines (order_id INTEGER, product TEXT, quantity INTEGER, price REAL, PRIMARY KEY (order_id, product)) WITHOUT ROWID;
CREATE TABLE staff (id INTEGER, name TEXT UNIQUE, salary INTEGER, manager INTEGER);
";

const TABLES: [(&str, &[&str]); 4] = [
    ("customers", &["id", "name", "email", "city"]),
    ("orders", &["id", "customer_id", "status", "total"]),
    ("lines", &["order_id", "product", "quantity", "price"]),
    ("staff", &["id", "name", "salary", "manager"]),
];

fn tables() -> Tables {
    TABLES.iter().fold(Tables::new(), |tables, (name, columns)| match *name {
        "customers" | "orders" => tables.table_with_key(name, columns.iter().copied(), "id"),
        _ => tables.table(name, columns.iter().copied()),
    })
}

/// What SQLite asked for, lower-case: a use, a table and a column.
type Seen = BTreeSet<(&'static str, String, String)>;

#[test]
#[expect(clippy::nonminimal_bool, reason = "each part by itself")]
fn facts_claim_no_less_than_sqlite_says() {
    let cases = std::env::var("PORTUNUS_SQL_CASES").map_or(2_000, |cases| cases.parse().unwrap());
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let seen = Arc::new(Mutex::new(Seen::new()));
    let witness = Arc::clone(&seen);
    connection
        .authorizer(Some(move |context: AuthContext<'_>| {
            let mut seen = witness.lock().unwrap();
            let mut add = |what, table: &str, column: &str| {
                seen.insert((what, table.to_ascii_lowercase(), column.to_ascii_lowercase()));
            };
            match context.action {
                AuthAction::Read { table_name, column_name } => add("read", table_name, column_name),
                AuthAction::Insert { table_name } => add("insert", table_name, ""),
                AuthAction::Delete { table_name } => add("delete", table_name, ""),
                AuthAction::Update { table_name, column_name } => add("update", table_name, column_name),
                AuthAction::Function { function_name } => add("function", function_name, ""),
                _ => {}
            }
            Authorization::Allow
        }))
        .unwrap();
    let tables = tables();
    let (mut compiled, mut complete) = (0_u32, 0_u32);
    let mut wrong = Vec::new();
    for case in 0..cases {
        let mut writer = Writer::new(case);
        let text = writer.statement();
        seen.lock().unwrap().clear();
        if connection.prepare(&text).is_err() {
            continue;
        }
        compiled += 1;
        let seen = seen.lock().unwrap().clone();
        let blind = facts(&text, Dialect::Sqlite);
        complete += u32::from(blind.complete);
        for facts in [blind, facts_with(&text, Dialect::Sqlite, Some(&tables))] {
            // SQLite names a common table expression too, without a column, as if it were the table of that name.
            let is_cte = |table: &str| {
                let text = text.to_ascii_lowercase();
                [" as (", "(", "] as (", "\" as (", "` as (", "](", "\"(", "`("]
                    .iter()
                    .any(|tail| text.contains(&format!("{table}{tail}")))
            };
            // It makes `SELECT *` of several tables beside one that is updated, and asks for all columns of them.
            let is_wrapped = |seen: &(&'static str, String, String)| {
                writer.wraps && seen.0 == "read" && facts.reads.contains(&seen.1)
            };
            let missing = |seen: &&(&'static str, String, String)| {
                facts.complete
                    && !claims(&facts, seen)
                    && !(seen.2.is_empty() && is_cte(&seen.1))
                    && !is_wrapped(seen)
            };
            if let Some(missing) = seen.iter().find(missing) {
                wrong.push(format!("case {case}: {missing:?} is not claimed\n{text}\n{facts:?}"));
            }
        }
    }
    println!("{cases} cases, {compiled} compiled, {complete} of them complete");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(9)].join("\n"));
    assert!(compiled * 2 > cases, "only {compiled} of {cases} compile");
    assert!(complete * 10 > compiled * 9, "only {complete} of {compiled} are understood");
}

fn claims(facts: &SqlFacts, (what, table, column): &(&'static str, String, String)) -> bool {
    let row = ["rowid", "oid", "_rowid_"];
    let has = |set: &BTreeSet<String>| {
        if column == "rowid" && row.iter().any(|name| set.contains(&format!("{table}.{name}"))) {
            return true;
        }
        set.contains(&format!("{table}.*")) || set.contains(&format!("{table}.{column}"))
    };
    let any = |set: &BTreeSet<String>| set.iter().any(|name| name.starts_with(&format!("{table}.")));
    match *what {
        "read" => facts.reads.contains(table) && (column.is_empty() || has(&facts.columns_read)),
        "insert" => facts.writes.contains(table) && any(&facts.columns_written),
        "delete" => {
            let all = TABLES.iter().find(|(name, _)| name == table).unwrap().1;
            let each = all.iter().all(|column| facts.columns_written.contains(&format!("{table}.{column}")));
            facts.writes.contains(table) && (each || facts.columns_written.contains(&format!("{table}.*")))
        }
        "update" => facts.writes.contains(table) && has(&facts.columns_written),
        // Operators are functions to SQLite.
        "function" => {
            ["like", "glob", "->", "->>"].contains(&table.as_str()) || facts.functions.contains(table)
        }
        _ => false,
    }
}

/// The schema of a file in `tests/sql`, and its statements.
fn corpus(file: &str) -> (String, Vec<String>) {
    let path = format!("{}/../../tests/sql/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let mut entries = text.split("\n--- ").map(str::to_owned);
    let schema = entries.next().unwrap();
    (schema, entries.map(|entry| characters(entry.split_once('\n').map_or("", |entry| entry.1))).collect())
}

/// `{U+200B}` is that character.
fn characters(text: &str) -> String {
    let mut parts = text.split("{U+");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        whole.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        whole.push_str(rest);
    }
    whole
}

#[tokio::test]
async fn the_built_in_server_answers_every_analytical_query() {
    let (schema, queries) = corpus("sqlite-analytical.sql");
    let shop = Shop::of(&schema);
    let caller = shop.open();
    let mut refused = Vec::new();
    for sql in &queries {
        let result = caller.call("read_query", json!({ "sql": sql })).await;
        if result["isError"] != false {
            refused.push(format!("{sql}\n  {}", result["content"][0]["text"]));
        }
    }
    assert!(queries.len() >= 100 && refused.is_empty(), "{}", refused.join("\n"));
}

#[tokio::test]
async fn no_hostile_statement_changes_the_built_in_servers_file() {
    let (schema, _) = corpus("sqlite-analytical.sql");
    let shop = Shop::of(&schema);
    let mut options = shop.options();
    options.timeout = Duration::from_millis(300);
    let caller = shop.serve(options);
    let before = shop.files();
    let (_, statements) = corpus("sqlite-hostile.sql");
    assert!(statements.len() >= 200);
    for sql in statements {
        let start = Instant::now();
        caller.call("read_query", json!({ "sql": sql })).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{sql}");
        assert!(shop.files() == before, "{sql}");
    }
}

/// Something in a `FROM`: what its columns are called with, and the columns.
#[derive(Clone)]
struct Source {
    name: String,
    columns: Vec<String>,
}

/// Writes one random statement; most of them mean something.
struct Writer {
    state: u64,
    /// Frames, innermost last.
    scope: Vec<Vec<Source>>,
    ctes: Vec<Source>,
    names: u32,
    /// It wrote an `UPDATE` with several tables beside the one that is updated.
    wraps: bool,
}

impl Writer {
    fn new(case: u32) -> Self {
        let state = u64::from(case).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed_0fac_7500_0001;
        Self { state, scope: Vec::new(), ctes: Vec::new(), names: 0, wraps: false }
    }

    /// SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn statement(&mut self) -> String {
        match self.below(10) {
            0 => self.update(),
            1 => self.delete(),
            2 | 3 => self.insert(),
            _ => self.query(3, None).0,
        }
    }

    /// A query, with so many columns if that matters, and what they are called.
    fn query(&mut self, depth: usize, width: Option<usize>) -> (String, Vec<String>) {
        let known = self.ctes.len();
        let with = if depth > 0 && self.chance(25) { self.with(depth - 1) } else { String::new() };
        let (mut text, columns) = self.select(depth, width);
        if depth > 0 && self.chance(15) {
            let operator = self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            let other = self.select(depth - 1, Some(columns.len())).0;
            text = format!("{text} {operator} {other}");
            if !columns.is_empty() && self.chance(40) {
                text = format!("{text} ORDER BY {}", self.pick(&columns));
            }
        } else if self.chance(20) {
            text = format!("{text} LIMIT {}", 1 + self.below(9));
        }
        self.ctes.truncate(known);
        (format!("{with}{text}"), columns)
    }

    fn with(&mut self, depth: usize) -> String {
        let mut parts = Vec::new();
        for _ in 0..=self.below(2) {
            let (body, columns) = self.query(depth, None);
            // Sometimes the name of a table, which it then hides.
            let name = self.pick(&["a", "b", "staff", "Orders", "\"x y\"", "[c]"]).to_owned();
            let given = self.chance(40);
            let columns = if given { (0..columns.len()).map(|n| format!("k{n}")).collect() } else { columns };
            let list = if given { format!("({})", columns.join(", ")) } else { String::new() };
            parts.push(format!("{name}{list} AS ({body})"));
            self.ctes.push(Source { name, columns });
        }
        format!("WITH {} ", parts.join(", "))
    }

    fn select(&mut self, depth: usize, width: Option<usize>) -> (String, Vec<String>) {
        let (from, frame) = self.from(depth);
        self.scope.push(frame);
        let (mut items, mut columns) = (Vec::new(), Vec::new());
        for n in 0..width.unwrap_or(1 + self.below(3)) {
            let frame = self.scope.last().unwrap().clone();
            if width.is_none() && self.chance(10) && !frame.is_empty() {
                let source = self.pick(&frame);
                items.push(format!("{}.*", source.name));
                columns.extend(source.columns);
                continue;
            }
            let (text, name) = self.item(depth, n);
            items.push(text);
            columns.push(name);
        }
        if width.is_none() && self.chance(8) {
            items = vec!["*".to_owned()];
            columns = self.scope.last().unwrap().iter().flat_map(|source| source.columns.clone()).collect();
        }
        let mut text = format!("SELECT {}{}", self.pick(&["", "", "DISTINCT "]), items.join(", "));
        text.push_str(&from);
        if self.chance(50) {
            text.push_str(&format!(" WHERE {}", self.expression(depth)));
        }
        if self.chance(15) {
            text.push_str(&format!(" GROUP BY {}", self.column()));
            if self.chance(40) {
                text.push_str(&format!(" HAVING count({}) > 1", self.column()));
            }
        }
        self.scope.pop();
        // An order belongs to the whole, so only where nothing follows: in parentheses of its own.
        if depth < 3 && width.is_none() && self.chance(15) && !columns.is_empty() {
            let by = self.pick(&columns);
            return (format!("SELECT * FROM ({text} ORDER BY {by})"), columns);
        }
        (text, columns)
    }

    /// Something selected, and what it is called.
    fn item(&mut self, depth: usize, n: usize) -> (String, String) {
        if self.chance(50) {
            let column = self.column();
            let name = column.rsplit('.').next().unwrap().trim_matches(['"', '[', ']', '`']).to_owned();
            if self.chance(60) {
                return (column, name);
            }
            // An alias that is the column's own name hides nothing.
            let alias = if self.chance(50) { name } else { format!("z{n}") };
            return (format!("{column} AS {alias}"), alias);
        }
        let alias = format!("e{n}");
        let text = if self.chance(15) {
            let (function, by) = (self.pick(&["sum", "max", "lag", "count", "first_value"]), self.column());
            format!("{function}({}) OVER (PARTITION BY {by} ORDER BY {})", self.column(), self.column())
        } else if self.chance(15) {
            format!("count(*) FILTER (WHERE {} > 1)", self.column())
        } else {
            self.expression(depth)
        };
        (format!("{text} AS {alias}"), alias)
    }

    /// ` FROM …`, and what it brings into scope.
    fn from(&mut self, depth: usize) -> (String, Vec<Source>) {
        if self.chance(4) {
            return (String::new(), Vec::new());
        }
        let (mut text, first) = self.source(depth);
        let mut frame = vec![first];
        while frame.len() < 3 && self.chance(35) {
            let (other, source) = self.source(depth);
            let shared: Vec<String> =
                frame[0].columns.iter().filter(|column| source.columns.contains(column)).cloned().collect();
            match self.below(6) {
                0 => text = format!("{text}, {other}"),
                1 if !shared.is_empty() => {
                    text = format!("{text} JOIN {other} USING ({})", self.pick(&shared));
                }
                2 => text = format!("{text} NATURAL JOIN {other}"),
                n => {
                    let join = ["JOIN", "LEFT JOIN", "CROSS JOIN", "FULL OUTER JOIN"][n % 4];
                    let (one, two) = (self.pick(&frame), source.clone());
                    if one.columns.is_empty() || two.columns.is_empty() {
                        text = format!("{text} {join} {other}");
                    } else {
                        let (a, b) = (self.pick(&one.columns), self.pick(&two.columns));
                        text = format!("{text} {join} {other} ON {}.{a} = {}.{b}", one.name, two.name);
                        // A name that may be of what is around.
                        if self.chance(20) {
                            text = format!("{text} AND {} > 1", self.column());
                        }
                    }
                }
            }
            frame.push(source);
            if self.chance(12) {
                text = format!("({text})");
            }
        }
        (format!(" FROM {text}"), frame)
    }

    fn source(&mut self, depth: usize) -> (String, Source) {
        self.names += 1;
        let alias = format!("{}{}", self.pick(&["s", "T", "q"]), self.names);
        if depth > 0 && self.chance(20) {
            // What is around is not in scope of a sub-query in FROM, but in SQLite's eyes what is around *that* is.
            let (body, columns) = self.query(depth - 1, None);
            return (format!("({body}) AS {alias}"), Source { name: alias, columns });
        }
        if !self.ctes.is_empty() && self.chance(45) {
            let known = self.ctes.clone();
            let cte = self.pick(&known);
            if self.chance(50) {
                return (cte.name.clone(), cte);
            }
            return (format!("{} {alias}", cte.name), Source { name: alias, columns: cte.columns });
        }
        let (table, columns) = self.pick(&TABLES);
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let written = match self.below(6) {
            0 => format!("main.{table}"),
            1 => table.to_ascii_uppercase(),
            2 => format!("\"{table}\""),
            3 => format!("[{table}]"),
            _ => table.to_owned(),
        };
        if self.chance(55) {
            return (format!("{written} AS {alias}"), Source { name: alias, columns });
        }
        (written, Source { name: table.to_owned(), columns })
    }

    /// A column that is in scope, most often.
    fn column(&mut self) -> String {
        let frames: Vec<Vec<Source>> = self.scope.iter().filter(|frame| !frame.is_empty()).cloned().collect();
        let frame = match frames.last() {
            None => return "1".to_owned(),
            Some(last) if self.chance(75) => last.clone(),
            Some(_) => self.pick(&frames),
        };
        let source = self.pick(&frame);
        let column = match source.columns.is_empty() {
            true => return "1".to_owned(),
            false => self.pick(&source.columns),
        };
        let column = match self.below(12) {
            0 => column.to_ascii_uppercase(),
            1 => format!("\"{column}\""),
            2 => format!("[{column}]"),
            3 => format!("`{column}`"),
            4 if self.chance(30) => self.pick(&["rowid", "oid", "_rowid_"]).to_owned(),
            // Of another table, which SQLite may find where a common table expression is used.
            5 if self.chance(30) => {
                return self.pick(&["salary", "manager", "email", "total", "staff.name", "a.x"]).to_owned();
            }
            _ => column,
        };
        if self.chance(70) { format!("{}.{column}", source.name) } else { column }
    }

    fn expression(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        match self.below(if depth == 0 { 8 } else { 15 }) {
            0..=2 => self.column(),
            3 => self.pick(&["1", "'x'", "NULL", "2.5"]).to_owned(),
            4 => {
                let operator = self.pick(&["+", "=", "<", "AND", "OR", "||", "LIKE", "IS NOT"]);
                let right = if operator == "IS NOT" { "NULL".to_owned() } else { self.expression(depth) };
                format!("({} {operator} {right})", self.expression(depth))
            }
            5 => format!(
                "{}({})",
                self.pick(&["abs", "lower", "length", "typeof", "hex"]),
                self.expression(depth)
            ),
            6 => format!("coalesce({}, {})", self.expression(depth), self.column()),
            7 => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.expression(depth),
                self.column(),
                self.expression(depth)
            ),
            8 => format!(
                "(SELECT {} FROM {})",
                self.pick(&["count(*)", "max(id)", "min(1)"]),
                self.pick(&["staff", "orders", "customers"])
            ),
            9 => format!("EXISTS ({})", self.query(depth, None).0),
            10 => format!("{} IN ({})", self.column(), self.query(depth, Some(1)).0),
            11 => format!("{} BETWEEN {} AND {}", self.column(), self.expression(depth), self.column()),
            12 => self.correlated(),
            _ => format!("({})", self.query(depth, Some(1)).0),
        }
    }

    /// A sub-query that has columns of what is around it only, with their own names as aliases.
    fn correlated(&mut self) -> String {
        let column = self.column();
        let name = column.rsplit('.').next().unwrap().trim_matches(['"', '[', ']', '`']);
        let alias = if name == "1" { "one" } else { name };
        let from = self.pick(&["", " FROM (SELECT 1 AS z) q", " FROM (SELECT 1 AS z UNION SELECT 2) AS q"]);
        let item = self.pick(&["{}", "{}", "max({})", "1"]).replace("{}", &column);
        let tail = match self.below(5) {
            0 => format!(" WHERE {column} > 1"),
            1 if !from.is_empty() => format!(" GROUP BY {column}"),
            2 if !from.is_empty() => format!(" ORDER BY {column} || ''"),
            _ => String::new(),
        };
        format!("(SELECT {item} AS {alias}{from}{tail})")
    }

    fn target(&mut self) -> Source {
        let (table, columns) = self.pick(&TABLES);
        Source { name: table.to_owned(), columns: columns.iter().map(|&column| column.to_owned()).collect() }
    }

    fn returning(&mut self) -> String {
        match self.below(4) {
            0 => " RETURNING *".to_owned(),
            1 => format!(" RETURNING {}", self.column()),
            _ => String::new(),
        }
    }

    fn update(&mut self) -> String {
        let known = self.ctes.len();
        let with = if self.chance(25) { self.with(1) } else { String::new() };
        let target = self.target();
        let (from, mut frame) = if self.chance(30) { self.from(1) } else { (String::new(), Vec::new()) };
        self.wraps = frame.len() > 1;
        frame.push(target.clone());
        self.scope.push(frame);
        let sets: Vec<String> = (0..=self.below(2))
            .map(|_| format!("{} = {}", self.pick(&target.columns), self.expression(2)))
            .collect();
        let condition = self.expression(2);
        self.scope.pop();
        self.scope.push(vec![target.clone()]);
        let returning = self.returning();
        self.scope.pop();
        self.ctes.truncate(known);
        let or = self.pick(&["", "", "", "OR REPLACE ", "OR IGNORE "]);
        format!("{with}UPDATE {or}{} SET {}{from} WHERE {condition}{returning}", target.name, sets.join(", "))
    }

    fn delete(&mut self) -> String {
        let known = self.ctes.len();
        let with = if self.chance(25) { self.with(1) } else { String::new() };
        let target = self.target();
        self.scope.push(vec![target.clone()]);
        let (condition, returning) = (self.expression(3), self.returning());
        self.scope.pop();
        self.ctes.truncate(known);
        format!("{with}DELETE FROM {} WHERE {condition}{returning}", target.name)
    }

    fn insert(&mut self) -> String {
        let known = self.ctes.len();
        let with = if self.chance(25) { self.with(1) } else { String::new() };
        let target = self.target();
        let count = 1 + self.below(target.columns.len());
        let source = if self.chance(50) {
            self.query(2, Some(count)).0
        } else {
            format!("VALUES ({})", (0..count).map(|_| self.expression(2)).collect::<Vec<_>>().join(", "))
        };
        let list = if count == target.columns.len() && self.chance(50) {
            String::new()
        } else {
            format!(" ({})", target.columns[..count].join(", "))
        };
        self.scope.push(vec![target.clone()]);
        let key = match target.name.as_str() {
            "lines" => "order_id, product",
            "staff" => "name",
            _ => "id",
        };
        let upsert = if source.starts_with("VALUES") && self.chance(40) {
            let column = self.pick(&target.columns);
            let value = if self.chance(50) { format!("excluded.{column}") } else { self.expression(2) };
            format!(" ON CONFLICT ({key}) DO UPDATE SET {column} = {value} WHERE {}", self.expression(1))
        } else {
            String::new()
        };
        let returning = self.returning();
        self.scope.pop();
        self.ctes.truncate(known);
        let verb = self.pick(&["INSERT", "INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"]);
        let verb = if upsert.is_empty() { verb } else { "INSERT" };
        format!("{with}{verb} INTO {}{list} {source}{upsert}{returning}", target.name)
    }
}
