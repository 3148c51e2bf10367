//! Which columns a text reads and writes.

use super::super::*;
use super::words;

/// A text, and the columns that it reads and writes.
type Row = (&'static str, &'static str, &'static str);

fn check(dialect: Dialect, tables: Option<&Tables>, rows: &[Row]) {
    for (text, read, written) in rows {
        let facts = facts_with(text, dialect, tables);
        assert!(facts.complete, "{text} should be understood: {facts:?}");
        let found = (words(&facts.columns_read), words(&facts.columns_written));
        assert_eq!(found, ((*read).to_owned(), (*written).to_owned()), "{text}");
    }
}

#[test]
fn columns_are_found_without_a_schema() {
    check(
        Dialect::Sqlite,
        None,
        &[
            ("SELECT Email FROM Customers", "customers.email", ""),
            ("SELECT c.Email, o.* FROM customers c, orders AS o", "customers.email orders.*", ""),
            ("SELECT * FROM t", "t.*", ""),
            ("SELECT count(*) FROM t", "", ""),
            ("SELECT x FROM t, u", "t.x u.x", ""),
            ("SELECT main.t.x FROM main.t", "main.t.x t.x", ""),
            ("SELECT a.x FROM (SELECT y AS x FROM t) a", "t.y", ""),
            ("SELECT x FROM (SELECT y AS x FROM t) a, u", "t.y", ""),
            ("SELECT z FROM (SELECT y AS x FROM t) a, u", "t.y u.z", ""),
            ("SELECT x FROM (SELECT * FROM t) a", "t.*", ""),
            ("WITH a(x) AS (SELECT y FROM t) SELECT x FROM a", "t.y", ""),
            ("WITH a AS (SELECT y AS x FROM t), b AS (SELECT x FROM a) SELECT b.x FROM b", "t.y", ""),
            ("SELECT y FROM t UNION SELECT z FROM u ORDER BY y", "t.y u.y u.z", ""),
            ("SELECT y AS a FROM t ORDER BY a", "t.y", ""),
            ("SELECT y FROM t JOIN u USING (k)", "t.k t.y u.k u.y", ""),
            ("SELECT 1 FROM t NATURAL JOIN u", "t.* u.*", ""),
            ("SELECT (SELECT max(u.a) FROM u WHERE u.b = t.c) FROM t", "t.c u.a u.b", ""),
            ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u WHERE z = 1)", "t.z u.z", ""),
            (
                "SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM t GROUP BY d HAVING e > 1",
                "t.a t.b t.c t.d t.e",
                "",
            ),
            ("SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b)", "t.a t.b", ""),
            ("SELECT count(*) FILTER (WHERE a = 1) FROM t LIMIT (SELECT max(b) FROM u)", "t.a t.b u.b", ""),
            ("SELECT rowid FROM t", "t.* t.rowid", ""),
            ("SELECT bm25(notes) FROM notes WHERE notes MATCH 'x'", "notes.* notes.notes", ""),
            ("SELECT j.value FROM t, json_each(t.list) j", "t.list", ""),
            ("SELECT value FROM t, json_each(t.list)", "t.list", ""),
            ("SELECT \"x\" FROM t", "t.x", ""),
            ("SELECT e'x' FROM t", "t.e", ""),
            ("WITH a AS NOT MATERIALIZED (SELECT b FROM t) SELECT b FROM a", "t.b", ""),
            ("SELECT localtime, current_date FROM t", "t.localtime", ""),
            // What SQLite may take for a string is no column that hides another.
            ("SELECT x FROM (SELECT \"x\" FROM t) a, u", "t.x u.x", ""),
            ("SELECT g.x FROM (t JOIN u ON t.a = u.b) g", "t.a t.x u.b u.x", ""),
            ("SELECT s.a FROM staff AS s(a, b)", "staff.* staff.a", ""),
            ("UPDATE t SET a = b WHERE c = 1", "t.b t.c", "t.a"),
            ("UPDATE t SET (a, b) = (SELECT x, y FROM u) RETURNING d", "t.d t.x t.y u.x u.y", "t.a t.b"),
            ("UPDATE t SET a = u.b FROM u WHERE u.c = t.c", "t.c u.b u.c", "t.a u.a"),
            ("INSERT INTO t (a, b) SELECT x, y FROM u", "u.x u.y", "t.a t.b"),
            ("INSERT INTO t SELECT * FROM u", "u.*", "t.*"),
            ("INSERT INTO t (a) VALUES (1) RETURNING *", "t.*", "t.a"),
            (
                "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b + c WHERE d = 1",
                "t.a t.c t.d",
                "t.a t.b",
            ),
            ("REPLACE INTO t (a) VALUES (1)", "", "t.* t.a"),
            ("DELETE FROM t WHERE a = 1", "t.a", "t.*"),
            ("DROP TABLE t", "", "t.*"),
        ],
    );
}

#[test]
fn a_known_schema_tells_columns_apart() {
    let tables = Tables::new()
        .table_with_key("t", ["id", "a", "b"], "id")
        .table("u", ["b", "c"])
        .table("hr.staff", ["name", "Salary"])
        .view("v", ["a"]);
    check(
        Dialect::Sqlite,
        Some(&tables),
        &[
            ("SELECT * FROM t", "t.a t.b t.id", ""),
            ("SELECT a, c FROM t, u", "t.a u.c", ""),
            ("SELECT b FROM t JOIN u USING (b)", "t.b u.b", ""),
            ("SELECT * FROM hr.staff", "hr.staff.name hr.staff.salary staff.name staff.salary", ""),
            ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE a = c)", "t.a u.c", ""),
            ("SELECT c FROM t WHERE EXISTS (SELECT 1 FROM u WHERE b = 1)", "t.c u.b", ""),
            // The alias could be a column that is not told of.
            ("SELECT a AS z FROM t GROUP BY z", "t.a t.z", ""),
            ("SELECT a AS z FROM t ORDER BY z", "t.a", ""),
            ("SELECT rowid FROM t", "t.id t.rowid", ""),
            ("SELECT * FROM unknown, t", "t.a t.b t.id unknown.*", ""),
            ("SELECT a FROM unknown, t", "t.a", ""),
            ("INSERT INTO t VALUES (1, 2, 3)", "", "t.a t.b t.id"),
            ("DELETE FROM u", "", "u.b u.c"),
        ],
    );
    assert!(!facts_with("SELECT a FROM v", Dialect::Sqlite, Some(&tables)).complete);
    assert!(!facts_with("SELECT a FROM main.v", Dialect::Sqlite, Some(&tables)).complete);
    let tables = tables.views_as_tables();
    assert_eq!(words(&facts_with("SELECT * FROM v", Dialect::Sqlite, Some(&tables)).columns_read), "v.a");
}

#[test]
fn whole_rows_of_postgresql_count_for_all_columns() {
    check(
        Dialect::Postgres,
        None,
        &[
            ("SELECT s FROM staff s", "staff.* staff.s", ""),
            ("SELECT row_to_json(s) FROM staff s", "staff.* staff.s", ""),
            ("SELECT (s).salary FROM staff s", "staff.* staff.s staff.salary", ""),
            ("SELECT s.to_jsonb FROM staff s", "staff.* staff.to_jsonb", ""),
            ("SELECT count(s.*) FROM staff s", "staff.*", ""),
            ("SELECT x.a FROM t, LATERAL (SELECT u.a FROM u WHERE u.b = t.c) x", "t.c u.a u.b", ""),
            ("SELECT DISTINCT ON (a) b FROM t ORDER BY a, c DESC", "t.a t.b t.c", ""),
            ("SELECT d FROM generate_series(1, 9) AS d", "", ""),
            ("SELECT d.n FROM generate_series(1, 9) AS d(n)", "", ""),
        ],
    );
    let tables = Tables::new().table("staff", ["name", "salary"]);
    check(
        Dialect::Postgres,
        Some(&tables),
        // A function of the database's own that takes the row.
        &[("SELECT s.report FROM staff s", "staff.name staff.report staff.salary", "")],
    );
}

#[test]
fn names_that_differ_in_case_hide_no_table() {
    for (text, dialect) in [
        ("WITH \"STAFF\" AS (SELECT 1 AS salary) SELECT salary FROM staff", Dialect::Postgres),
        ("WITH \"Staff\" AS (SELECT 1 AS salary) SELECT staff.salary FROM STAFF", Dialect::Postgres),
        ("WITH STAFF AS (SELECT 1 AS salary) SELECT salary FROM staff", Dialect::MySql),
        ("SELECT s.salary FROM (SELECT 1 AS salary) \"S\", staff s", Dialect::Postgres),
        ("SELECT salary FROM (SELECT 1 AS \"SALARY\") x, staff", Dialect::Postgres),
        ("SELECT (SELECT s.salary FROM (SELECT 1 AS salary) \"S\") FROM staff s", Dialect::Postgres),
    ] {
        let facts = facts(text, dialect);
        assert!(facts.reads.contains("staff"), "{text}: {facts:?}");
        assert!(facts.columns_read.contains("staff.salary"), "{text}: {facts:?}");
    }
}

#[test]
fn qualifiers_of_nothing_in_scope_are_not_understood() {
    for text in ["SELECT x.a FROM t", "SELECT x.* FROM t", "UPDATE t SET a = x.b", "SELECT t.a FROM t AS u"] {
        assert!(!facts(text, Dialect::Sqlite).complete, "{text}");
    }
}

#[test]
fn what_mysql_reads_in_its_own_way_is_seen() {
    let facts = facts("SELECT \"salary\" FROM staff", Dialect::MySql);
    assert!(facts.complete);
    assert_eq!(words(&facts.columns_read), "staff.salary");
    for text in [
        "SELECT 'a\\' FROM t",
        "SELECT 1 /*!, salary FROM staff */",
        "SELECT 1 /*M! + 1 */",
        "UPDATE LOW_PRIORITY staff SET salary = 1",
        "UPDATE IGNORE staff SET salary = 1",
        "SELECT _salary 'x' FROM staff",
        "SELECT text 'x' FROM staff",
    ] {
        assert!(!super::facts(text, Dialect::MySql).complete, "{text}");
    }
    let binary = super::facts("SELECT BINARY salary FROM staff", Dialect::MySql);
    assert!(!binary.complete || words(&binary.columns_read) == "staff.salary", "{binary:?}");
}

#[test]
fn limits_are_constants_of_the_outermost_statement() {
    for (text, limit) in [
        ("SELECT a FROM t LIMIT 5", Some(5)),
        ("SELECT a FROM t LIMIT 5 OFFSET 10", Some(5)),
        ("SELECT a FROM t LIMIT 10, 5", Some(5)),
        ("(SELECT a FROM t LIMIT 7)", Some(7)),
        ("SELECT a FROM t UNION SELECT b FROM u LIMIT 3", Some(3)),
        ("SELECT 1 LIMIT 2; SELECT 2 LIMIT 9", Some(9)),
        ("SELECT 1 LIMIT 2; DELETE FROM t", Some(2)),
        ("SELECT 1 LIMIT 2; SELECT 2", None),
        ("SELECT a FROM t", None),
        ("SELECT a FROM t LIMIT -1", None),
        ("SELECT a FROM t LIMIT 1 + 1", None),
        ("SELECT a FROM t LIMIT (SELECT 5)", None),
        ("SELECT a FROM (SELECT a FROM t LIMIT 5)", None),
        ("DELETE FROM t RETURNING a", None),
        ("DELETE FROM t", None),
    ] {
        assert_eq!(facts(text, Dialect::Sqlite).limited, limit, "{text}");
    }
    for (text, limit) in [
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", Some(5)),
        ("SELECT a FROM t FETCH FIRST ROW ONLY", Some(1)),
        ("SELECT a FROM t FETCH FIRST 5 ROWS WITH TIES", None),
        ("SELECT a FROM t LIMIT ALL", None),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x LIMIT 4", Some(4)),
    ] {
        assert_eq!(facts(text, Dialect::Postgres).limited, limit, "{text}");
    }
}

#[test]
fn joins_and_statements_are_counted() {
    for (text, joins, statements) in [
        ("SELECT 1", 0, 1),
        ("SELECT 1 FROM a, b, c", 2, 1),
        ("SELECT 1 FROM a JOIN b ON 1 LEFT JOIN c ON 1; SELECT 2", 2, 2),
        ("SELECT 1 FROM a WHERE x IN (SELECT y FROM b, c)", 1, 1),
        ("SELECT 1 FROM a JOIN (b JOIN c ON 1) ON 1", 2, 1),
        ("UPDATE a SET x = 1 FROM b", 1, 1),
    ] {
        let facts = facts(text, Dialect::Sqlite);
        assert_eq!((facts.joins, facts.statements), (joins, statements), "{text}");
    }
}

#[test]
fn dialects_have_words() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::MsSql, Dialect::Generic] {
        assert_eq!(dialect.as_str().parse(), Ok(dialect));
    }
    let why = "oracle".parse::<Dialect>().unwrap_err().to_string();
    assert!(why.contains("sqlite") && why.contains("clickhouse"), "{why}");
}

#[test]
fn dialects_that_nobody_checked_are_never_complete() {
    for dialect in
        [Dialect::MsSql, Dialect::BigQuery, Dialect::Snowflake, Dialect::DuckDb, Dialect::ClickHouse]
    {
        let facts = facts("SELECT a FROM t", dialect);
        assert!(!facts.complete && !facts.read_only, "{dialect}");
        assert_eq!((words(&facts.kinds), words(&facts.reads)), ("select".to_owned(), "t".to_owned()));
    }
}
