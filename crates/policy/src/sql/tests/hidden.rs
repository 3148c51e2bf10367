//! Texts that read or change something in a way that hid it once.

use super::super::*;

/// Dialects whose facts can be complete.
const KNOWN: [Dialect; 4] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::Generic];

#[test]
fn an_alias_hides_no_column_of_the_same_name_further_out() {
    let tables = Tables::new().table("staff", ["id", "salary"]).table("t", ["id"]);
    for text in [
        "SELECT (SELECT salary AS salary) FROM staff",
        "SELECT (SELECT salary AS salary FROM (SELECT 1 AS z) q) FROM staff",
        "SELECT (SELECT 1 AS salary WHERE salary > 0) FROM staff",
        "SELECT (SELECT max(salary) AS salary) FROM staff",
        "SELECT 1 FROM staff WHERE EXISTS (SELECT salary AS salary FROM (SELECT 1 AS z) q)",
        "SELECT (SELECT (SELECT salary AS salary) AS salary) FROM staff",
        "SELECT (SELECT salary AS x, 1 AS salary FROM (SELECT 1 AS z) q) FROM staff",
        "SELECT (SELECT 1 AS salary FROM (SELECT 1 AS z) q GROUP BY salary) FROM staff",
        "SELECT (SELECT 1 AS salary FROM (SELECT 1 AS z) q HAVING salary > 1) FROM staff",
        "SELECT (SELECT id AS salary FROM t ORDER BY salary + 1) FROM staff",
        "SELECT (SELECT salary AS salary FROM t) FROM staff",
        "WITH q AS (SELECT 1 AS z) SELECT (SELECT salary AS salary FROM q) FROM staff",
        "SELECT (SELECT z FROM (SELECT 1 AS z) q UNION SELECT salary AS salary ORDER BY 1) FROM staff",
    ] {
        for dialect in KNOWN {
            for tables in [None, Some(&tables)] {
                let facts = facts_with(text, dialect, tables);
                let seen = facts.columns_read.contains("staff.salary");
                assert!(facts.complete && seen, "{dialect}: {text}: {facts:?}");
            }
        }
    }
}

#[test]
fn a_qualifier_that_has_no_such_column_hides_none_further_out() {
    for text in [
        "SELECT (SELECT staff.salary FROM (SELECT 1 AS z) staff) FROM staff",
        "SELECT (SELECT s.salary FROM t s) FROM staff s",
        "WITH staff(k) AS (SELECT 1) SELECT (SELECT staff.salary FROM staff) FROM main.staff",
    ] {
        for dialect in [Dialect::Sqlite, Dialect::MySql, Dialect::Generic] {
            let facts = facts(text, dialect);
            assert!(facts.columns_read.contains("staff.salary"), "{dialect}: {text}: {facts:?}");
        }
    }
}

#[test]
fn a_common_table_expression_sees_what_is_around_its_use_in_sqlite() {
    let tables = Tables::new().table("staff", ["id", "salary"]).table("t", ["id"]);
    for text in [
        "WITH c AS (SELECT salary FROM t) SELECT (SELECT salary FROM c) FROM staff",
        "WITH c(x) AS (SELECT salary FROM t) SELECT (SELECT x FROM c) FROM staff",
        "WITH c AS (SELECT 1 FROM t WHERE salary > 9) SELECT 1 FROM staff WHERE EXISTS (SELECT 1 FROM c)",
        "WITH c AS (SELECT s.salary FROM t AS s) SELECT (SELECT salary FROM c) FROM staff AS s",
        "WITH c AS (SELECT salary FROM t), d AS (SELECT * FROM c) SELECT (SELECT * FROM d) FROM staff",
        "WITH d AS (SELECT * FROM c), c AS (SELECT salary FROM t) SELECT (SELECT * FROM d) FROM staff",
        "WITH d AS (WITH c AS (SELECT salary FROM t) SELECT * FROM c) SELECT (SELECT * FROM d) FROM staff",
        "WITH c AS (SELECT (SELECT salary) FROM t) SELECT (SELECT * FROM c) FROM staff",
        "WITH c AS (SELECT salary FROM t) SELECT (SELECT z FROM (SELECT salary AS z FROM c) q) FROM staff",
        "WITH c AS (SELECT salary FROM t) SELECT 1 FROM staff ORDER BY (SELECT salary FROM c)",
        "WITH c AS (SELECT salary FROM t) DELETE FROM staff WHERE 9 IN (SELECT salary FROM c)",
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Generic] {
            for tables in [None, Some(&tables)] {
                let facts = facts_with(text, dialect, tables);
                let seen = facts.columns_read.contains("staff.salary");
                assert!(facts.complete && seen, "{dialect}: {text}: {facts:?}");
            }
        }
        // PostgreSQL looks around the definition.
        let facts = facts_with(text, Dialect::Postgres, Some(&tables));
        let alias = text.contains("AS s");
        assert!(alias || !facts.columns_read.contains("staff.salary"), "{text}: {facts:?}");
    }
}

/// Names that a column of the same name beside them does not hide, without a schema: read in the databases named.
#[test]
fn what_stands_beside_a_name_hides_nothing_that_the_database_looks_for_further_out() {
    const SQLITE: &[Dialect] = &[Dialect::Sqlite, Dialect::Generic];
    const POSTGRES: &[Dialect] = &[Dialect::Postgres, Dialect::Generic];
    const BOTH: &[Dialect] = &[Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::Generic];
    for (text, dialects) in [
        (
            "SELECT (WITH c AS (SELECT salary FROM t) SELECT (SELECT salary FROM c) FROM staff) FROM (SELECT 1 AS salary) q",
            SQLITE,
        ),
        (
            "SELECT (WITH c AS (SELECT salary FROM t) SELECT z FROM (SELECT (SELECT salary FROM c) AS z FROM staff) w) FROM (SELECT 1 AS salary) q",
            SQLITE,
        ),
        ("SELECT (SELECT count(*) FROM (SELECT 1 AS salary) q, (t JOIN u ON salary > 3)) FROM staff", BOTH),
        (
            "SELECT (SELECT count(*) FROM (SELECT 1 AS salary) staff, (t JOIN u ON staff.salary > 3)) FROM staff",
            BOTH,
        ),
        (
            "SELECT (SELECT value FROM (SELECT 1 AS salary) q, (t JOIN json_each(json_array(salary)))) FROM staff",
            SQLITE,
        ),
        (
            "SELECT (SELECT count(*) FROM t JOIN u ON salary > 3 JOIN (SELECT 1 AS salary) q ON 1 = 1) FROM staff",
            BOTH,
        ),
        (
            "SELECT (SELECT z FROM LATERAL (SELECT salary AS z) l, (SELECT 1 AS salary) q) FROM staff",
            POSTGRES,
        ),
        (
            "SELECT (SELECT t.salary FROM ((SELECT 1 AS salary) t JOIN u ON true) AS g) FROM staff AS t",
            POSTGRES,
        ),
        ("SELECT count(*) FROM ((SELECT 1000 AS salary) AS q JOIN staff USING (salary))", BOTH),
        ("SELECT count(*) FROM (t AS q JOIN (staff NATURAL JOIN u) ON q.a = salary)", BOTH),
        ("SELECT (SELECT salary FROM generate_series(1, 1) AS salary) FROM staff", SQLITE),
    ] {
        for dialect in dialects {
            let facts = facts(text, *dialect);
            let seen = ["staff.salary", "staff.*"].iter().any(|column| facts.columns_read.contains(*column));
            assert!(seen || !facts.complete, "{dialect}: {text}: {facts:?}");
        }
    }
}

/// Names and places that multiply end with incomplete facts, not with a call that is never decided.
#[test]
fn a_body_with_many_names_that_is_used_many_times_takes_no_long_time() {
    let names: Vec<String> = (0..6000).map(|n| format!("n{n}")).collect();
    for place in ["c", "(SELECT (SELECT 1 FROM c))"] {
        let places = vec![place; 12_000 / place.len()].join(",");
        let text = format!(
            "WITH c AS (SELECT {} FROM t) SELECT (SELECT 1 FROM {places}) FROM staff",
            names.join(",")
        );
        assert!(text.len() < portunus_core::limits::SQL_BYTES);
        let start = std::time::Instant::now();
        let found = facts(&text, Dialect::Sqlite);
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{place}");
        assert!(!found.complete || found.columns_read.contains("staff.n5999"), "{place}");
    }
}

#[test]
fn a_recursion_within_parentheses_is_seen() {
    let text =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM (c CROSS JOIN t)) SELECT x FROM c";
    assert!(!facts(text, Dialect::Sqlite).read_only);
}

#[test]
fn names_of_the_key_of_what_is_no_table_are_not_understood() {
    for text in [
        "SELECT rowid FROM (SELECT name FROM staff) AS q",
        "SELECT q._rowid_ FROM (SELECT name FROM staff) AS q",
        "WITH c AS (SELECT name FROM staff) SELECT OID FROM c",
        "SELECT rowid FROM json_each('[1]')",
        "SELECT (SELECT rowid FROM t) FROM (SELECT name FROM staff) AS q",
    ] {
        assert!(!facts(text, Dialect::Sqlite).complete, "{text}");
        assert!(!facts(text, Dialect::Generic).complete, "{text}");
    }
    for text in [
        "SELECT rowid FROM (SELECT rowid, name FROM staff) AS q",
        "SELECT f.rowid FROM docs JOIN (SELECT rowid FROM notes WHERE notes MATCH 'x') AS f ON f.rowid = docs.rowid",
        "SELECT name FROM docs WHERE rowid IN (SELECT rowid FROM notes WHERE notes MATCH 'x')",
    ] {
        assert!(facts(text, Dialect::Sqlite).complete, "{text}");
    }
    // A table without that name for its key sends SQLite outwards.
    let facts = facts(
        "WITH c AS (SELECT rowid AS z FROM lines) SELECT (SELECT z FROM c) FROM staff",
        Dialect::Sqlite,
    );
    assert!(facts.complete && facts.columns_read.contains("staff.*"), "{facts:?}");
}

#[test]
fn a_table_that_is_changed_is_a_table_whatever_with_names() {
    for (text, written) in [
        ("WITH staff AS (SELECT 1 AS x) UPDATE staff SET name = name RETURNING salary", "staff.name"),
        ("WITH staff AS (SELECT 1 AS x) UPDATE staff AS s SET name = name RETURNING s.salary", "staff.name"),
        ("WITH staff AS (SELECT 1 AS salary) UPDATE staff SET name = salary", "staff.name"),
        ("WITH staff AS (SELECT 1 AS x) DELETE FROM staff WHERE salary > 1", "staff.*"),
        ("WITH staff AS (SELECT 1 AS x) DELETE FROM staff RETURNING salary", "staff.*"),
        ("WITH staff AS (SELECT 1 AS x) INSERT INTO staff (name) VALUES (1) RETURNING salary", "staff.name"),
        (
            "WITH RECURSIVE staff AS (SELECT 1 AS x) UPDATE staff SET name = name RETURNING salary",
            "staff.name",
        ),
        ("WITH RECURSIVE staff AS (SELECT 1 AS x) DELETE FROM staff RETURNING salary", "staff.*"),
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Generic] {
            let facts = facts(text, dialect);
            assert!(facts.complete, "{dialect}: {text}: {facts:?}");
            let all = facts.reads.contains("staff")
                && facts.writes.contains("staff")
                && facts.columns_read.contains("staff.salary")
                && facts.columns_written.contains(written);
            assert!(all, "{dialect}: {text}: {facts:?}");
        }
    }
    let text = "WITH RECURSIVE staff AS (SELECT 1 AS x), y AS (UPDATE staff SET name = name RETURNING salary) SELECT * FROM y";
    let of = facts(text, Dialect::Postgres);
    assert!(of.columns_read.contains("staff.salary") && of.columns_written.contains("staff.name"), "{of:?}");
    // Beside it, the name is that of the common table expression.
    let text = "WITH q AS (SELECT a FROM t) UPDATE u SET b = q.a FROM q WHERE q.a = u.c";
    let of = facts(text, Dialect::Sqlite);
    assert!(of.complete && !of.reads.contains("q"), "{of:?}");
}

#[test]
fn what_could_read_any_column_is_never_complete() {
    for text in [
        "SELECT ts_rewrite('a'::tsquery, 'SELECT salary, salary FROM staff')",
        "SELECT * FROM ts_stat('SELECT v FROM staff')",
        "SELECT * FROM connectby('staff', 'salary', 'manager', '1', 0) AS t(a int)",
        "SELECT * FROM crosstab4('SELECT name, name, salary FROM staff')",
        "SELECT * FROM xpath_table('id', 'salary', 'staff', '/a', 'true') AS t(a int)",
        "SELECT lo_get(17)",
        "SELECT loread(1, 100)",
        "SELECT get_raw_page('staff', 0)",
        "SELECT bt_page_items('staff_salary', 1)",
        "SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)",
        "SELECT pg_catalog.pg_read_binary_file('base/1/2')",
        "SELECT pg_ls_dir('/')",
        "SELECT * FROM dblink_fetch('c', 1) AS t(a int)",
        "SELECT query_to_xmlschema('SELECT 1', true, true, '')",
        "SELECT DATABASE_TO_XML(true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "SELECT table_to_xml_and_xmlschema('staff', true, true, '')",
        "SELECT cursor_to_xml('c', 1, true, true, '')",
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'staff'",
        "SELECT stavalues1 FROM pg_catalog.pg_statistic",
        "SELECT * FROM pg_stats_ext_exprs",
        "SELECT query FROM pg_stat_activity",
        "SELECT data FROM pg_largeobject",
    ] {
        for dialect in [Dialect::Postgres, Dialect::Generic] {
            let facts = facts(text, dialect);
            assert!(!facts.complete && !facts.harmless, "{dialect}: {text}: {facts:?}");
        }
    }
    for text in [
        "SELECT sample FROM sqlite_stat4",
        "SELECT stat FROM main.sqlite_stat1",
        "SELECT data FROM sqlite_dbpage",
        "SELECT * FROM sqlite_dbpage('main')",
        "SELECT * FROM dbstat",
        "SELECT c0 FROM notes_content",
        "SELECT c1body FROM notes_content",
        "SELECT * FROM notes_content",
        "SELECT sz FROM notes_docsize",
        "SELECT block FROM notes_data",
        "SELECT * FROM notes_data",
        "SELECT term FROM notes_idx",
        "SELECT root FROM notes_segdir",
        "SELECT eval('SELECT salary FROM staff')",
        "SELECT readfile('shop.db')",
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Generic] {
            let facts = facts(text, dialect);
            assert!(!facts.complete && !facts.harmless, "{dialect}: {text}: {facts:?}");
        }
    }
    for text in [
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT HISTOGRAM FROM information_schema.column_statistics",
        "SELECT authentication_string FROM mysql.user",
        "SELECT sql_text FROM performance_schema.events_statements_history",
        "SELECT info FROM information_schema.processlist",
    ] {
        assert!(!facts(text, Dialect::MySql).complete, "{text}");
    }
    for text in ["SELECT region, sum(amount) FROM sales_data GROUP BY region", "SELECT id FROM web_content"] {
        assert!(facts(text, Dialect::Sqlite).complete, "{text}");
    }
}

#[test]
fn what_is_not_known_to_be_harmless_is_named() {
    for (text, dialect, doubtful) in [
        ("SELECT upper(a) FROM t", Dialect::Sqlite, None),
        ("UPDATE t SET a = lower(b)", Dialect::Sqlite, None),
        ("INSERT INTO t (a) SELECT b FROM u RETURNING a", Dialect::Postgres, None),
        ("SELECT 1; SELECT a FROM t", Dialect::Sqlite, None),
        // That it may take long is another matter.
        ("SELECT lpad(a, 100000) FROM t", Dialect::Postgres, None),
        ("UPDATE t SET a = hr.Report(1)", Dialect::Postgres, Some("hr.report")),
        ("SELECT a FROM t WHERE report(a) > 1 AND other(a)", Dialect::Sqlite, Some("report")),
        ("SELECT relname FROM pg_class", Dialect::Postgres, Some("pg_class")),
        ("DELETE FROM t WHERE pg_sleep(1) IS NULL", Dialect::Postgres, Some("pg_sleep")),
        ("SELECT report(a) FROM t", Dialect::Generic, Some("report")),
    ] {
        let facts = facts(text, dialect);
        assert!(facts.complete, "{text}: {facts:?}");
        assert_eq!((facts.harmless, facts.doubtful.as_deref()), (doubtful.is_none(), doubtful), "{text}");
    }
    let tables = Tables::new().table("staff", ["name"]);
    let facts = facts_with("SELECT s.report FROM staff s", Dialect::Postgres, Some(&tables));
    assert_eq!((facts.complete, facts.doubtful.as_deref()), (true, Some("report")));
    assert!(!facts.read_only);
    assert!(!SqlFacts::unknown().harmless);
}
