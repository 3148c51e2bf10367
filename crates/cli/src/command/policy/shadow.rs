//! `portunus policy shadow`: what the running edge counted for its candidate policies.

use super::Paint;
use crate::admin::AdminClient;
use crate::args::Admin;
use crate::command::{Failure, Outcome, printable, table};
use portunus_policy::explain::Outcome as Decided;
use portunus_policy::shadow::{Report, Row};

/// Where the edge gives its report.
const ROUTE: &str = "/shadow";

pub(crate) fn run(admin: &Admin) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = AdminClient::new(&admin.state);
    let answer = runtime.map_err(Failure::usage)?.block_on(client.get(ROUTE)).map_err(Failure::refused)?;
    if admin.json {
        println!("{answer}");
        return Ok(());
    }
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| Failure::Refused(format!("the edge's report cannot be read: {error}")))?;
    if !report.running {
        println!("no candidate policies run beside those in force");
        return Ok(());
    }
    let since = report.since.map_or_else(|| "now".to_owned(), |since| since.to_string());
    println!("candidate {} since {since}", printable(&report.candidate));
    let words = format!("{} of {} decisions differ", report.differences, report.decisions);
    let paint = Paint::new(admin.json);
    println!("{}", if report.differences == 0 { paint.green(&words) } else { paint.yellow(&words) });
    if !report.rows.is_empty() {
        let header = ["COUNT", "SERVER", "TOOL", "NOW", "WOULD BE", "BY", "LAST"];
        println!("{}", table(&header, report.rows.iter().map(row).collect()));
    }
    if report.uncounted > 0 {
        println!("{} differences of further kinds are not listed", report.uncounted);
    }
    Ok(())
}

/// The decision, with who must approve where that is what differs.
pub(super) fn by_whom(outcome: Decided, approver: Option<&String>) -> String {
    approver.map_or_else(|| outcome.as_str().to_owned(), |by| format!("{} by {by}", outcome.as_str()))
}

fn row(row: &Row) -> Vec<String> {
    let by = if row.policy.is_empty() { "(nothing permits it)".to_owned() } else { row.policy.clone() };
    vec![
        row.count.to_string(),
        row.server.clone(),
        row.tool.clone(),
        by_whom(row.current, row.approvers.as_ref().map(|approvers| &approvers.0)),
        by_whom(row.candidate, row.approvers.as_ref().map(|approvers| &approvers.1)),
        by,
        format!("{} {} {}", row.example.at, row.example.user, row.example.decision),
    ]
}
