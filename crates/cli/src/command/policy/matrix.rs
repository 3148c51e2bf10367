//! `portunus policy matrix`: who may do what, in several forms, and compared with what was agreed on.

use super::{load, page, yaml};
use crate::args::{MatrixFormat, PolicyMatrix};
use crate::command::{Failure, Outcome, printable, table};
use crate::system::SystemClock;
use portunus_core::time::Clock;
use portunus_policy::explain::Outcome as Decided;
use portunus_policy::matrix::{Cell, Change, Matrix, Who, matrix, principals};
use std::path::Path;

pub(crate) fn run(asked: &PolicyMatrix) -> Outcome {
    let (_, engine) = load(&asked.files)?;
    let who: Vec<Who> = match &asked.principals {
        Some(path) => yaml(path)?,
        None => principals(&engine),
    };
    if let Some(odd) = who.iter().find(|who| who.user.is_some() && who.workload.is_some()) {
        return Err(Failure::Usage(format!("{:?} is both a user and a workload", odd.name)));
    }
    let made = matrix(&engine, &who, SystemClock.now());
    match &asked.golden {
        Some(path) => compare(&made, path, asked.update, asked.files.json),
        None => {
            let format = if asked.files.json { MatrixFormat::Json } else { asked.format };
            print!("{}", shown(&made, format)?);
            Ok(())
        }
    }
}

fn compare(matrix: &Matrix, path: &Path, update: bool, json: bool) -> Outcome {
    let wrong = |error: std::io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    if update {
        std::fs::write(path, matrix.golden()).map_err(wrong)?;
        println!("wrote {}", path.display());
        return Ok(());
    }
    let changes = matrix.changes(&std::fs::read_to_string(path).map_err(wrong)?);
    if json {
        println!("{}", serde_json::json!({ "changes": changes }));
    } else if changes.is_empty() {
        println!("as in {}", path.display());
    } else {
        println!("{}", table(&["PRINCIPAL", "WHAT", "WAS", "IS"], changes.iter().map(row).collect()));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let count = changes.len();
    Err(Failure::Refused(format!("{count} cells differ from {}; --update writes it anew", path.display())))
}

fn row(change: &Change) -> Vec<String> {
    let words = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "(not there)".to_owned());
    vec![change.principal.clone(), change.column.clone(), words(&change.was), words(&change.is)]
}

fn shown(matrix: &Matrix, format: MatrixFormat) -> Result<String, Failure> {
    Ok(match format {
        MatrixFormat::Table => terminal(matrix),
        MatrixFormat::Text => matrix.golden(),
        MatrixFormat::Markdown => markdown(matrix),
        MatrixFormat::Csv => csv(matrix),
        MatrixFormat::Json => format!("{}\n", serde_json::to_string(matrix).map_err(Failure::refused)?),
        MatrixFormat::Html => page::matrix(matrix),
    })
}

/// Tools down, principals across: there are usually more tools. Many principals go into several tables.
fn terminal(matrix: &Matrix) -> String {
    const ACROSS: usize = 6;
    let mut text = String::new();
    for rows in matrix.rows.chunks(ACROSS) {
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        let header: Vec<&str> = std::iter::once("WHAT").chain(names.iter().map(String::as_str)).collect();
        let lines = matrix.columns.iter().enumerate().map(|(index, column)| {
            let cells = rows.iter().map(|row| row.cells.get(index).map_or_else(String::new, symbol));
            std::iter::once(column.words()).chain(cells).collect::<Vec<String>>()
        });
        text.push_str(&table(&header, lines.collect()));
        text.push('\n');
    }
    text.push_str("✓ permit   ✗ refuse   ◐ needs approval   ? depends on what is named\n");
    text
}

fn symbol(cell: &Cell) -> String {
    let sign = |outcome: Decided| match outcome {
        Decided::Permit => "✓",
        Decided::Refuse => "✗",
        Decided::Approval => "◐",
    };
    let by = match cell.approvers() {
        nobody if nobody.is_empty() => nobody,
        approvers => format!(" {approvers}"),
    };
    if cell.is_settled() {
        return format!("{}{by}", sign(cell.best));
    }
    let depends: Vec<&str> = cell.depends.iter().map(String::as_str).collect();
    let on = if by.is_empty() { "" } else { ":" };
    format!("? {}/{}{by}{on} {}", sign(cell.best), sign(cell.worst), depends.join(" "))
}

fn markdown(matrix: &Matrix) -> String {
    let escape = |text: &str| printable(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let names = matrix.rows.iter().map(|row| escape(&row.name));
    let mut text = line(std::iter::once(String::new()).chain(names).collect());
    text.push_str(&line(vec!["---".to_owned(); matrix.rows.len() + 1]));
    for (index, column) in matrix.columns.iter().enumerate() {
        let cells = matrix.rows.iter().map(|row| row.cells.get(index).map_or_else(String::new, Cell::words));
        text.push_str(&line(std::iter::once(escape(&column.words())).chain(cells).collect()));
    }
    text
}

fn csv(matrix: &Matrix) -> String {
    let mut text = String::from("principal,server,action,target,best,worst,depends,approvers\n");
    for row in &matrix.rows {
        for (column, cell) in matrix.columns.iter().zip(&row.cells) {
            let depends: Vec<&str> = cell.depends.iter().map(String::as_str).collect();
            let (best, worst) = (cell.best.as_str(), cell.worst.as_str());
            let depends = depends.join(" ");
            let (name, server, target) = (row.name.as_str(), column.server.as_str(), column.target.as_str());
            let approvers = cell.approvers();
            let fields =
                [name, server, column.action, target, best, worst, depends.as_str(), approvers.as_str()];
            text.push_str(&fields.map(field).join(","));
            text.push('\n');
        }
    }
    text
}

/// A field of CSV (RFC 4180) that a spreadsheet does not take for a formula.
fn field(text: &str) -> String {
    let text = printable(text);
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    let special = text.contains([',', '"', '\n', '\r']) || !guard.is_empty();
    if special { format!("\"{guard}{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_name_is_no_formula_in_a_spreadsheet() {
        assert_eq!(field("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("sales"), "sales");
    }
}
