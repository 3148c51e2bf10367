//! Pages of their own for a matrix and a replay: no script, nothing fetched, readable without colours.

use portunus_policy::explain::Outcome;
use portunus_policy::matrix::{Cell, Matrix};
use portunus_policy::replay::{Day, Report};
use std::fmt::Write;

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--line:#c9d1d9;--permit:#c8ebd0;--refuse:#f6cfcb;--approval:#fbe6b3;--depends:#d5e3fb}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#3d444d;--permit:#15462a;--refuse:#5c1f1c;--approval:#594308;--depends:#1f3a66}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:2rem}
h1{font-size:1.3rem}.scroll{overflow:auto}
table{border-collapse:collapse}th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
thead th{position:sticky;top:0;background:var(--bg)}td small{display:block}
.permit{background:var(--permit)}.refuse{background:var(--refuse)}.approval{background:var(--approval)}.depends{background:var(--depends)}
text{fill:var(--fg);font:12px system-ui,sans-serif}
";

/// The matrix as a heat map: a table in which every cell has its word beside its colour.
pub(super) fn matrix(matrix: &Matrix) -> String {
    let mut body = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Who may do what\"><table>\n<caption>Principals across, what they could do down. A cell that depends says on what.</caption>\n<thead><tr><th scope=\"col\">What</th>",
    );
    for row in &matrix.rows {
        add(&mut body, format_args!("<th scope=\"col\">{}</th>", escape(&row.name)));
    }
    body.push_str("</tr></thead>\n<tbody>\n");
    for (index, column) in matrix.columns.iter().enumerate() {
        add(&mut body, format_args!("<tr><th scope=\"row\">{}</th>", escape(&column.words())));
        for row in &matrix.rows {
            body.push_str(&row.cells.get(index).map_or_else(|| "<td></td>".to_owned(), cell));
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</tbody></table></div>\n");
    whole("Who may do what", &body)
}

fn cell(cell: &Cell) -> String {
    let by = match cell.approvers() {
        nobody if nobody.is_empty() => nobody,
        approvers => format!("<small>approval by {}</small>", escape(&approvers)),
    };
    if cell.is_settled() {
        let word = cell.best.as_str();
        return format!("<td class=\"{word}\">{word}{by}</td>");
    }
    let depends: Vec<String> = cell.depends.iter().map(|name| escape(name)).collect();
    let (best, worst) = (cell.best.as_str(), cell.worst.as_str());
    format!("<td class=\"depends\">{best} or {worst}<small>by {}</small>{by}</td>", depends.join(", "))
}

/// A replay: figures, a bar for each day, and the changes.
pub(super) fn replay(report: &Report) -> String {
    let mut body = format!(
        "<p>{} recorded calls: {} decided as before, {} otherwise, {} cannot be told from their records, {} refused by something else than a policy.</p>\n",
        report.calls, report.same, report.flipped, report.unknown, report.not_by_policy
    );
    if !report.missing.is_empty() {
        let missing = report.missing.iter().map(|(name, count)| format!("{} ({count})", escape(name)));
        let missing: Vec<String> = missing.collect();
        add(&mut body, format_args!("<p>What is missing from records: {}.</p>\n", missing.join(", ")));
    }
    body.push_str(&picture(report));
    body.push_str("<h2>What changes</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"What changes\"><table><thead><tr>");
    for title in ["Count", "User", "Client", "Server", "Tool", "Was", "Would be", "By", "Last example"] {
        add(&mut body, format_args!("<th scope=\"col\">{title}</th>"));
    }
    body.push_str("</tr></thead>\n<tbody>\n");
    for flip in &report.flips {
        let by = if flip.policies.is_empty() {
            "(nothing permits it)".to_owned()
        } else {
            flip.policies.join(", ")
        };
        let example = flip.example.arguments.as_deref().unwrap_or_default();
        add(
            &mut body,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}{}<td>{}</td><td>{} {}<small>{}</small></td></tr>\n",
                flip.count,
                escape(&flip.user),
                escape(&flip.client),
                escape(&flip.server),
                escape(&flip.tool),
                outcome(flip.was, flip.approvers.as_ref().map(|approvers| &approvers.0)),
                outcome(flip.now, flip.approvers.as_ref().map(|approvers| &approvers.1)),
                escape(&by),
                flip.example.at,
                escape(&flip.example.decision),
                escape(example),
            ),
        );
    }
    body.push_str("</tbody></table></div>\n");
    whole("Recorded calls under other policies", &body)
}

fn outcome(outcome: Outcome, approver: Option<&String>) -> String {
    let word = outcome.as_str();
    let by = approver.map_or_else(String::new, |by| format!("<small>by {}</small>", escape(by)));
    format!("<td class=\"{word}\">{word}{by}</td>")
}

/// Stacked bars, one a day; the figures are in each bar's title and beside it.
fn picture(report: &Report) -> String {
    const WIDTH: f64 = 600.0;
    const LINE: usize = 22;
    let parts = |day: &Day| {
        [
            (day.narrower, "var(--refuse)", "refused more"),
            (day.wider, "var(--permit)", "permitted more"),
            (day.approver, "var(--depends)", "another approver"),
            (day.unknown, "var(--approval)", "unknown"),
            (day.same, "var(--line)", "as before"),
        ]
    };
    let total = |day: &Day| parts(day).iter().map(|part| part.0).sum::<u64>();
    let most = report.days.values().map(total).max().unwrap_or(0).max(1);
    let height = report.days.len() * LINE + 4;
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"Recorded calls by day\" viewBox=\"0 0 900 {height}\" width=\"100%\" style=\"max-width:900px\">\n"
    );
    for (index, (date, day)) in report.days.iter().enumerate() {
        let top = index * LINE;
        add(&mut svg, format_args!("<text x=\"0\" y=\"{}\">{}</text>", top + 15, escape(date)));
        let mut left = 90.0;
        for (count, colour, words) in parts(day).into_iter().filter(|part| part.0 > 0) {
            // A bar needs no more than the 53 bits of a float.
            let width = (count as f64 * WIDTH / most as f64).max(2.0);
            add(
                &mut svg,
                format_args!(
                    "<rect x=\"{left:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"16\" style=\"fill:{colour};stroke:var(--fg);stroke-width:.3\"><title>{count} {words}</title></rect>",
                    top + 3
                ),
            );
            left += width;
        }
        let figures: Vec<String> = parts(day)
            .iter()
            .filter(|part| part.0 > 0)
            .map(|part| format!("{} {}", part.0, part.2))
            .collect();
        add(
            &mut svg,
            format_args!("<text x=\"{:.1}\" y=\"{}\">{}</text>\n", left + 6.0, top + 15, figures.join(", ")),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{body}</main></body></html>\n"
    )
}

/// Text that others chose, as text.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in super::super::printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Writing to a `String` cannot fail.
fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_policy::matrix::{Column, Row};

    #[test]
    fn what_others_chose_is_text_on_a_page() {
        let evil = "\"><script>alert(1)</script>";
        let column = Column { server: "sales".into(), action: "read", target: evil.into() };
        let depends = [evil.to_owned()].into();
        let cell = Cell { worst: Outcome::Refuse, depends, ..Cell::settled(Outcome::Permit) };
        let page = matrix(&Matrix {
            columns: vec![column],
            rows: vec![Row { name: evil.into(), cells: vec![cell] }],
        });
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 3);
        assert!(page.contains("permit or refuse"));
    }
}
