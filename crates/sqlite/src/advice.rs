//! From SQLite's error to a sentence that helps a model to correct its statement. The text of the statement is looked
//! at here for hints only; nothing is ever allowed or denied by it.

use crate::catalog::{Catalog, Kind, Relation};
use crate::failure::Failure;
use crate::mask::Mask;
use std::collections::BTreeSet;

/// What went wrong, and what to do.
pub(crate) fn explain(error: &rusqlite::Error, sql: &str, catalog: &Catalog, mask: Option<&Mask>) -> Failure {
    if let Some(failure) = Failure::from_code(error) {
        return failure;
    }
    let (message, offset) = match error {
        rusqlite::Error::SqlInputError { msg, offset, .. } => (msg.clone(), usize::try_from(*offset).ok()),
        rusqlite::Error::SqliteFailure(_, Some(message)) => (message.clone(), None),
        other => (other.to_string(), None),
    };
    let advisor = Advisor { sql, catalog, mask };
    let text = if let Some(name) = message.strip_prefix("no such column: ") {
        advisor.column(name)
    } else if let Some(name) = message.strip_prefix("no such table: ") {
        advisor.table(name)
    } else if let Some(name) = message.strip_prefix("no such function: ") {
        advisor.function(name)
    } else if let Some(name) = message.strip_prefix("ambiguous column name: ") {
        format!("the column `{name}` is in more than one of the tables; write it as table.{name}")
    } else if message.contains("syntax error") || message.starts_with("incomplete input") {
        syntax(&message, sql, offset)
    } else {
        message
    };
    Failure::Sql(text)
}

/// The known name nearest to a wrong one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    let score = |name: &str| strsim::normalized_damerau_levenshtein(&wrong, &name.to_ascii_lowercase());
    let scored = known.into_iter().map(|name| (score(name), name)).filter(|(score, _)| *score >= 0.6);
    scored.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, name)| name)
}

/// Names of the tables and views that the caller may know of.
pub(crate) fn visible<'a>(catalog: &'a Catalog, mask: Option<&Mask>) -> impl Iterator<Item = &'a Relation> {
    let hidden = move |relation: &Relation| match (relation.kind, mask) {
        (Kind::Shadow, _) => true,
        (_, None) => false,
        (Kind::Virtual, Some(_)) => true,
        (_, Some(mask)) => mask.hides_whole(relation),
    };
    let mut relations: Vec<&Relation> = catalog.relations().filter(|relation| !hidden(relation)).collect();
    relations.sort_by(|left, right| left.name.cmp(&right.name));
    relations.into_iter()
}

struct Advisor<'a> {
    sql: &'a str,
    catalog: &'a Catalog,
    mask: Option<&'a Mask>,
}

impl Advisor<'_> {
    fn column(&self, wrong: &str) -> String {
        let (wrong, is_quoted) = match wrong.split_once(" - should this be a string literal") {
            Some((name, _)) => (name, true),
            None => (wrong, false),
        };
        let name = wrong.trim_matches('"').rsplit('.').next().unwrap_or(wrong);
        let tables = self.mentioned();
        let place = match tables.as_slice() {
            [] => String::new(),
            tables => format!(" in {}", list(tables.iter().map(|table| table.name.as_str()))),
        };
        let mut text = format!("no column `{name}`{place}");
        let columns =
            || tables.iter().flat_map(|table| table.columns.iter().map(|column| column.name.as_str()));
        match nearest(name, columns()) {
            Some(near) => text.push_str(&format!("; did you mean `{near}`?")),
            None => text.push_str(&self.columns_of(&tables)),
        }
        if is_quoted {
            text.push_str(" (Double quotes mean a name; write text in single quotes.)");
        }
        match tables.first() {
            Some(table) => text.push_str(&format!(" describe_table(\"{}\") shows its columns.", table.name)),
            None => text.push_str("; call list_tables and describe_table to see what there is."),
        }
        text
    }

    fn columns_of(&self, tables: &[&Relation]) -> String {
        match tables {
            [table] => format!("; it has {}.", list(table.columns.iter().take(30).map(|c| c.name.as_str()))),
            _ => String::from("."),
        }
    }

    fn table(&self, wrong: &str) -> String {
        let name = wrong.strip_prefix("main.").unwrap_or(wrong);
        format!("there is no table or view `{name}`{}", table_hint(name, self.catalog, self.mask))
    }

    fn function(&self, wrong: &str) -> String {
        let hint = match wrong.to_ascii_lowercase().as_str() {
            "now" | "getdate" | "sysdate" => "; use datetime('now')",
            "year" | "month" | "day" | "date_trunc" | "date_part" | "extract" | "to_char" | "date_format" => {
                "; use strftime, for example strftime('%Y-%m', column)"
            }
            "dateadd" | "date_add" | "date_sub" => "; use date(column, '+1 month')",
            "datediff" => "; use julianday(a) - julianday(b)",
            "left" | "right" | "mid" => "; use substr(text, start, length)",
            "isnull" | "nvl" => "; use coalesce(a, b)",
            "array_agg" | "listagg" => "; use group_concat(x, ', ') or json_group_array(x)",
            "len" | "char_length" => "; use length(text)",
            "stddev" | "stddev_pop" | "variance" => "; use avg(x * x) - avg(x) * avg(x) for the variance",
            _ => "",
        };
        format!("there is no function `{wrong}` in SQLite{hint}")
    }

    /// The tables whose names stand as words in the statement.
    fn mentioned(&self) -> Vec<&Relation> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let words: BTreeSet<String> = self
            .sql
            .split(|c| !is_word(c))
            .map(str::to_ascii_lowercase)
            .filter(|word| !word.is_empty())
            .collect();
        visible(self.catalog, self.mask)
            .filter(|table| words.contains(&table.name.to_ascii_lowercase()))
            .collect()
    }
}

/// What to say after the name of a table that does not exist.
pub(crate) fn table_hint(wrong: &str, catalog: &Catalog, mask: Option<&Mask>) -> String {
    let names: Vec<&str> = visible(catalog, mask).map(|table| table.name.as_str()).collect();
    match nearest(wrong, names.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`? list_tables names them all."),
        None if names.is_empty() => String::from("; the database has no tables that you may read."),
        None => format!("; there are {}.", list(names.into_iter().take(30))),
    }
}

fn syntax(message: &str, sql: &str, offset: Option<usize>) -> String {
    let before = offset.and_then(|at| sql.get(..at)).unwrap_or_default();
    let place = match offset {
        Some(_) => {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!(" (line {line}, character {column})")
        }
        None => String::new(),
    };
    format!(
        "{message}{place}; this is SQLite's dialect: LIMIT instead of TOP, || joins text, names in double quotes"
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
