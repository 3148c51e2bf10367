mod columns;
mod corpora;
mod hidden;

use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A text, and its kinds, reads, writes and functions, each as names with a space between.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

fn words(set: &BTreeSet<String>) -> String {
    set.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn check(dialect: Dialect, rows: &[Row]) {
    for (text, kinds, reads, writes, functions) in rows {
        let facts = facts(text, dialect);
        let found = (words(&facts.kinds), words(&facts.reads), words(&facts.writes), words(&facts.functions));
        let expected =
            ((*kinds).to_owned(), (*reads).to_owned(), (*writes).to_owned(), (*functions).to_owned());
        assert_eq!(found, expected, "{text}");
        assert!(facts.complete, "{text} should be understood");
    }
}

const SQLITE: &[Row] = &[
    ("SELECT 1", "select", "", "", ""),
    (
        "SELECT a.x, count(*) FROM Orders a JOIN main.customers c ON c.id = a.id",
        "select",
        "customers main.customers orders",
        "",
        "count",
    ),
    ("SELECT * FROM \"Staff\", [t 2], `t3`, 'T4'", "select", "staff t 2 t3 t4", "", ""),
    ("SELECT x FROM t WHERE y IN (SELECT z FROM u) AND EXISTS (SELECT 1 FROM v)", "select", "t u v", "", ""),
    ("SELECT (SELECT max(a) FROM t), upper(lower('x'))", "select", "t", "", "lower max upper"),
    ("SELECT a FROM t UNION SELECT b FROM u EXCEPT SELECT c FROM v", "select", "t u v", "", ""),
    ("VALUES (1), (2)", "select", "", "", ""),
    ("WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a) SELECT * FROM b", "select", "t", "", ""),
    (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 9) SELECT n FROM c",
        "select",
        "",
        "",
        "",
    ),
    ("WITH c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 9) SELECT n FROM c", "select", "", "", ""),
    ("WITH staff AS (SELECT * FROM main.staff) SELECT * FROM staff", "select", "main.staff staff", "", ""),
    ("SELECT * FROM (WITH staff AS (SELECT 7) SELECT 1), staff", "select", "staff", "", ""),
    ("INSERT INTO t (a, b) SELECT x, y FROM u", "insert", "u", "t", ""),
    ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "insert update", "t", "t", ""),
    ("INSERT OR REPLACE INTO t VALUES (abs(1))", "delete insert", "", "t", "abs"),
    ("REPLACE INTO t VALUES (1)", "delete insert", "", "t", ""),
    ("UPDATE t SET a = (SELECT max(b) FROM u) WHERE c = 1", "update", "t u", "t", "max"),
    ("DELETE FROM main.t WHERE a IN (SELECT b FROM u)", "delete", "main.t t u", "main.t t", ""),
    ("WITH x AS (SELECT 1 AS a) DELETE FROM t WHERE a IN (SELECT a FROM x)", "delete", "t", "t", ""),
    ("EXPLAIN DELETE FROM t", "delete explain", "t", "t", ""),
    ("EXPLAIN QUERY PLAN SELECT * FROM t", "explain select", "t", "", ""),
    ("SELECT 1; DROP TABLE t; SELECT 2", "drop select", "", "t", ""),
    ("CREATE TABLE t AS SELECT * FROM u", "create", "u", "t", ""),
    ("CREATE VIEW v AS SELECT * FROM u", "create", "u", "v", ""),
    ("ALTER TABLE t ADD COLUMN x INT", "alter", "", "t", ""),
    ("SELECT /* DROP TABLE t; */ 'DELETE FROM u' AS \"UPDATE\" -- FROM w\n FROM v", "select", "v", "", ""),
    ("SELECT value FROM t, json_each(t.list)", "select", "t", "", "json_each"),
    ("SELECT * FROM pragma_table_info('staff')", "select", "pragma_table_info", "", "pragma_table_info"),
    ("SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t", "select", "t", "", "rank"),
    (
        "SELECT CAST(a AS TEXT), strftime('%Y', d) FROM t GROUP BY 1 HAVING sum(c) > 1",
        "select",
        "t",
        "",
        "cast strftime sum",
    ),
];

#[test]
fn facts_name_what_statements_do() {
    check(Dialect::Sqlite, SQLITE);
}

const POSTGRES: &[Row] = &[
    ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "delete select", "t", "t", ""),
    (
        "WITH x AS (INSERT INTO t SELECT * FROM u RETURNING id), y AS (UPDATE v SET a = 1 RETURNING a) SELECT * FROM x, y",
        "insert select update",
        "t u v",
        "t v",
        "",
    ),
    ("WITH staff AS (SELECT * FROM staff) SELECT * FROM staff", "select", "staff", "", ""),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", "select", "b", "", ""),
    ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "select", "", "", ""),
    ("SELECT * FROM t UNION (TABLE hr.staff)", "select", "hr.staff staff t", "", ""),
    ("SELECT * INTO backup FROM staff", "create select", "staff", "backup", ""),
    ("SELECT * FROM t FOR UPDATE", "lock select", "t", "", ""),
    ("EXPLAIN ANALYZE UPDATE t SET a = 1", "explain update", "t", "t", ""),
    ("TRUNCATE t, u", "truncate", "", "t u", ""),
    ("SELECT pg_catalog.pg_sleep(1), E'it\\n'", "select", "", "", "pg_catalog.pg_sleep pg_sleep"),
    ("SELECT a::text, extract(year FROM d) FROM t", "select", "t", "", "cast extract"),
];

#[test]
fn facts_name_what_statements_do_in_postgresql() {
    check(Dialect::Postgres, POSTGRES);
}

#[test]
fn what_is_not_understood_is_never_complete() {
    for (text, kind) in [
        ("", "unknown"),
        ("-- nothing", "unknown"),
        ("ATTACH DATABASE 'x.db' AS x", "attach"),
        ("PRAGMA query_only = 0", "pragma"),
        ("VACUUM INTO 'copy.db'", "unknown"),
        ("DETACH x", "unknown"),
        ("REINDEX t", "unknown"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; END", "create"),
        ("BEGIN", "transaction"),
        ("SELEC 1", "unknown"),
        ("SELECT 'open", "unknown"),
        ("SELECT 1 /* open", "unknown"),
        ("SELECT 1 \0 ; DROP TABLE t", "unknown"),
        ("SELECT 1 -- \r /* \n , salary FROM staff -- */", "unknown"),
        ("SELECT 1\u{a0}FROM t", "unknown"),
        ("SELECT 1\u{2028}FROM t", "unknown"),
        ("\u{feff}SELECT 1", "unknown"),
        ("SELECT n'x' FROM staff", "unknown"),
        ("SELECT _salary 'x' FROM staff", "select"),
        ("SELECT date 'x' FROM staff", "select"),
    ] {
        let facts = facts(text, Dialect::Sqlite);
        assert!(!facts.complete && facts.kinds.contains(kind), "{text}: {facts:?}");
    }
    for text in [
        "DO $$ BEGIN DELETE FROM t; END $$",
        "SELECT $$ x $$ FROM t",
        "SELECT 1 -- \r , salary FROM staff",
        "COPY staff TO PROGRAM 'sh'",
        "TABLE staff",
        "CALL p()",
        "SELECT U&'\\0061' FROM t",
        "SELECT u&\"\\0073alary\" FROM t",
        "SELECT 'a\\', salary FROM staff -- '",
        "SELECT query_to_xml('SELECT * FROM staff', true, true, '')",
        "SELECT * FROM dblink('', 'SELECT 1') AS t(a int)",
        "SELECT pg_read_file('/etc/passwd')",
        "GRANT ALL ON t TO u",
        "SET ROLE admin",
        "SELECT salary FROM ONLY staff",
        "UPDATE ONLY staff SET salary = 1",
        "DELETE FROM ONLY staff",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
    ] {
        assert!(!facts(text, Dialect::Postgres).complete, "{text}");
    }
}

#[test]
fn text_of_an_unknown_dialect_is_complete_only_if_all_read_it_alike() {
    for text in ["SELECT a FROM t WHERE b = 'x'", "-- all of them\nSELECT a -- and b\nFROM t"] {
        assert!(facts(text, Dialect::Generic).complete, "{text}");
    }
    for text in [
        "SELECT 1 /*! , salary FROM staff */",
        "SELECT 1 # \n FROM t",
        "SELECT 'a\\' FROM t",
        "SELECT `a` FROM t",
        "SELECT 1 --1\n FROM t",
        "SELECT 1 --",
        "SELECT $$, salary FROM staff -- $$",
        "SELECT * FROM [staff]",
    ] {
        assert!(!facts(text, Dialect::Generic).complete, "{text}");
    }
    // Each reading counts: in PostgreSQL the inner name is a real table.
    let facts = facts("WITH staff AS (SELECT * FROM staff) SELECT * FROM staff", Dialect::Generic);
    assert_eq!(words(&facts.reads), "staff");
}

#[test]
fn comments_nest_in_postgresql_only() {
    let text = "SELECT 1 /* /* */ , (SELECT salary FROM staff) -- */";
    assert_eq!(words(&facts(text, Dialect::Sqlite).reads), "staff");
    assert_eq!(words(&facts(text, Dialect::Postgres).reads), "");
    assert_eq!(words(&facts(text, Dialect::Generic).reads), "staff");
    let text = "SELECT 1 /* /* */ , (SELECT a FROM t) */ FROM u";
    assert_eq!(words(&facts(text, Dialect::Postgres).reads), "u");
    assert!(!facts(text, Dialect::Sqlite).complete);
}

#[test]
fn a_bomb_neither_overflows_nor_takes_long() {
    let bombs = [
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT * FROM {}t{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT * FROM {}t{}", "(".repeat(24), ")".repeat(24)),
        format!("SELECT {}1{}", "(".repeat(24), ")".repeat(24)),
        format!("SELECT {}1", "NOT ".repeat(10_000)),
        format!("SELECT {}1", "- ".repeat(10_000)),
        format!("SELECT 1{}", "+1".repeat(1_990)),
        format!("SELECT 1{}", "+1".repeat(30_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(900)),
        format!("SELECT {}", "CASE WHEN ".repeat(5_000)),
        format!("{}SELECT 1{}", "WITH a AS (".repeat(1_000), ") SELECT 1".repeat(1_000)),
        format!("WITH a AS (SELECT 1){} SELECT 1", ",a AS (SELECT 1)".repeat(3_000)),
        format!("SELECT * FROM t{}", ",t".repeat(30_000)),
        format!("SELECT x IN ({}1)", "1,".repeat(30_000)),
        format!("SELECT a{}", "::int".repeat(10_000)),
        format!("SELECT f{}", "(f".repeat(10_000)),
        format!("SELECT '{}'", "x".repeat(1_000_000)),
        format!("SELECT {} FROM t", "a,".repeat(20_000) + "a"),
        format!("SELECT {0} a FROM (SELECT {0} a FROM t) d,u", "a,".repeat(15_000)),
        format!("SELECT {}a FROM t{}", "a,".repeat(10_000), ",t".repeat(10_000)),
        format!(
            "{}SELECT {}a FROM t{}",
            "SELECT a FROM t WHERE a IN (".repeat(20),
            "a,".repeat(10_000),
            ")".repeat(20)
        ),
        format!("SELECT 1 FROM {} 1", "a NATURAL JOIN ".repeat(1_900)),
        format!("SELECT {}1 FROM t", "CASE a WHEN b THEN c ELSE ".repeat(20)),
        "EXPLAIN ".repeat(5_000),
        ";".repeat(60_000),
    ];
    for bomb in bombs {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Generic] {
            let start = Instant::now();
            let text = bomb.clone();
            // Half of what the smallest thread of the program has.
            let thread = std::thread::Builder::new().stack_size(1024 * 1024);
            thread.spawn(move || facts(&text, dialect)).unwrap().join().unwrap();
            let head: String = bomb.chars().take(30).collect();
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "{head} {dialect:?} took {:?}",
                start.elapsed()
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text_has_facts(text in "\\PC{0,60}", words in proptest::collection::vec("(SELECT|FROM|WITH|AS|\\(|\\)|,|t|\\*|'|\"|--|;|1|DELETE|IN|\\.|\\$\\$)", 0..20)) {
        for text in [text, words.join(" ")] {
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Generic] {
                let facts = facts(&text, dialect);
                prop_assert!(!facts.kinds.is_empty());
                prop_assert!(!(facts.complete && facts.kinds.contains("unknown")));
            }
        }
    }
}
