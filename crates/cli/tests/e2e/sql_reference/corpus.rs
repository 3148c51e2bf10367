//! The statements of `tests/sql`: after each line that begins with three dashes and says what is tried, one text;
//! `{U+200B}` is that character. What stands before the first is SQL that fills a database.

use std::path::Path;

/// One text that is sent as one statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) name: String,
    pub(super) sql: String,
}

/// A file of `tests/sql`, read.
pub(super) struct Corpus {
    /// Statements that make and fill the tables.
    pub(super) setup: String,
    pub(super) statements: Vec<Statement>,
}

/// The file of this name, without `.sql`, with at least so many statements.
pub(super) fn read(name: &str, least: usize) -> Corpus {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql").join(name).with_extension("sql");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut parts = text.split("\n--- ");
    let head = parts.next().unwrap_or_default();
    let setup = head.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    let statements: Vec<Statement> = parts
        .map(|part| {
            let (name, sql) = part.split_once('\n').unwrap_or((part, ""));
            Statement { name: name.to_owned(), sql: characters(sql.strip_suffix('\n').unwrap_or(sql)) }
        })
        .collect();
    assert!(statements.len() >= least, "{} has only {} statements", path.display(), statements.len());
    Corpus { setup, statements }
}

/// The text with its `{U+…}` put in.
fn characters(text: &str) -> String {
    let mut parts = text.split("{U+");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        out.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
        out.push_str(rest);
    }
    out
}
