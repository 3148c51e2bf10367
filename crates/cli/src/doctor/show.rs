//! The report for people: a tree, in colour on a terminal.

use super::report::{Level, Report, Step};
use std::fmt::Write;
use std::io::IsTerminal;

/// How to write for this output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
    width: usize,
}

impl Style {
    /// For standard output.
    pub(crate) fn of_output() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = comfy_table::Table::new().width().map_or(100, usize::from);
        Self { colour: terminal && std::env::var_os("NO_COLOR").is_none(), width: width.clamp(40, 120) }
    }

    fn paint(self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Ok => "32",
            Level::Skipped => "2",
            Level::Warning => "33",
            Level::Failed => "31;1",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// One step with its findings.
pub(crate) fn step(step: &Step, style: Style) -> String {
    let mut text = format!("{} {}", style.paint(step.level, mark(step.level)), step.name);
    let _ = writeln!(text, "  {} ms", step.milliseconds);
    for finding in &step.findings {
        wrapped(
            &mut text,
            style,
            &format!("   {} ", style.paint(finding.level, mark(finding.level))),
            5,
            &finding.what,
        );
        if let Some(why) = &finding.why {
            wrapped(&mut text, style, "     why:  ", 11, why);
        }
        if let Some(mend) = &finding.mend {
            wrapped(&mut text, style, "     mend: ", 11, mend);
        }
    }
    text
}

/// The last lines.
pub(crate) fn verdict(report: &Report, title: &str, style: Style) -> String {
    let level = report.steps.iter().map(|step| step.level).max().unwrap_or(Level::Ok);
    let said = match (report.stopped_at, report.verdict) {
        (Some(at), _) => format!("{title} does not get past “{at}”."),
        (None, "fails") => format!("{title} gets through, but something is wrong."),
        (None, "works") => format!("Everything that was looked at is as {title} wants it."),
        (None, _) => format!("{title} gets through, with warnings."),
    };
    let mut letters = said.chars();
    let said = letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()));
    format!("\n{}", style.paint(level, &said))
}

const fn mark(level: Level) -> &'static str {
    match level {
        Level::Ok => "✓",
        Level::Skipped => "–",
        Level::Warning => "!",
        Level::Failed => "✗",
    }
}

/// `start`, then the text, broken at spaces; further lines are indented.
fn wrapped(out: &mut String, style: Style, start: &str, indent: usize, text: &str) {
    out.push_str(start);
    let mut column = indent;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > style.width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}
