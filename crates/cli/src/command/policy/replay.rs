//! `portunus policy replay`: recorded calls under other policies.

use super::shadow::by_whom;
use super::{Paint, engine, page, yaml};
use crate::args::PolicyReplay;
use crate::command::{Failure, Outcome, printable, table};
use crate::config::{self, Config, duration};
use crate::replay::replayed;
use crate::system::SystemClock;
use portunus_core::id::{GroupName, UserName};
use portunus_core::time::{Clock, Timestamp};
use portunus_policy::replay::{Day, Flip, Report};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Rows of the table; all are in `--json` and the page.
const SHOWN: usize = 40;

/// Groups of a user whose records do not hold them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    user: UserName,
    #[serde(default)]
    groups: Vec<GroupName>,
}

pub(crate) fn run(asked: &PolicyReplay) -> Outcome {
    let mut config = config::load(&asked.files.config).map_err(Failure::usage)?;
    if let Some(directory) = &asked.policies {
        config.policies.clone_from(directory);
    }
    let engine = engine(&config)?;
    let members: Vec<Member> = asked.principals.as_deref().map(yaml).transpose()?.unwrap_or_default();
    let groups: HashMap<_, _> = members.into_iter().map(|member| (member.user, member.groups)).collect();
    let span = duration(&asked.since).map_err(|error| Failure::Usage(format!("--since: {error}")))?;
    let now = SystemClock.now();
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let since = Timestamp::from_millis(now.as_millis().saturating_sub(millis));
    let directory = ledger(asked, &config);
    let broken = |error: std::io::Error| Failure::Usage(format!("{}: {error}", directory.display()));
    if !directory.is_dir() {
        return Err(Failure::Usage(format!("there is no ledger at {}; give --ledger", directory.display())));
    }
    let report = replayed(&engine, groups, &directory, since, &config).map_err(broken)?;
    if let Some(path) = &asked.html {
        write_page(path, &report)?;
    }
    if asked.files.json {
        println!("{}", serde_json::to_string(&report).map_err(Failure::refused)?);
    } else {
        print(&report, since);
    }
    Ok(())
}

fn ledger(asked: &PolicyReplay, config: &Config) -> PathBuf {
    asked.ledger.clone().unwrap_or_else(|| config.ledger.clone())
}

fn write_page(path: &Path, report: &Report) -> Outcome {
    std::fs::write(path, page::replay(report))
        .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn print(report: &Report, since: Timestamp) {
    let paint = Paint::new(false);
    println!("{} recorded calls since {since}", report.calls);
    let lines = [
        (report.same, "decided as before", paint.green("■")),
        (report.flipped, "decided otherwise", paint.red("■")),
        (report.unknown, "cannot be told from their records", paint.yellow("■")),
        (report.not_by_policy, "refused by something else than a policy", paint.dim("■")),
    ];
    for (count, words, mark) in lines {
        println!("  {mark} {count:>8} {words}");
    }
    for (name, count) in &report.missing {
        println!("      {count:>8} depend on: {}", printable(name));
    }
    picture(report, paint);
    if !report.flips.is_empty() {
        let header = ["COUNT", "USER", "CLIENT", "SERVER", "TOOL", "WAS", "WOULD BE", "BY", "EXAMPLE"];
        println!("\n{}", table(&header, report.flips.iter().take(SHOWN).map(row).collect()));
        let more = report.flips.len().saturating_sub(SHOWN);
        if more > 0 {
            println!("{more} more kinds of change: see --json or --html");
        }
    }
    if report.uncounted > 0 {
        println!("{} changes of further kinds are not listed", report.uncounted);
    }
}

/// A bar for each day: as before, less, more, by another approver, unknown. What no policy refused is in none.
fn picture(report: &Report, paint: Paint) {
    const WIDTH: u64 = 50;
    let total = |day: &Day| day.same + day.narrower + day.wider + day.approver + day.unknown;
    let most = report.days.values().map(total).max().unwrap_or(0).max(1);
    if report.days.is_empty() {
        return;
    }
    println!(
        "\nby day   {} as before  {} refused more  {} permitted more  {} another approver  {} unknown",
        paint.dim("░"),
        paint.red("█"),
        paint.green("▓"),
        paint.yellow("▓"),
        paint.yellow("▒")
    );
    for (date, day) in &report.days {
        // Whatever happened is seen, however seldom.
        let cells = |count: u64| {
            let cells = (count * WIDTH / most).max(u64::from(count > 0));
            usize::try_from(cells).unwrap_or(0)
        };
        println!(
            "{date}  {}{}{}{}{} {}",
            paint.red(&"█".repeat(cells(day.narrower))),
            paint.green(&"▓".repeat(cells(day.wider))),
            paint.yellow(&"▓".repeat(cells(day.approver))),
            paint.yellow(&"▒".repeat(cells(day.unknown))),
            paint.dim(&"░".repeat(cells(day.same))),
            total(day)
        );
    }
}

fn row(flip: &Flip) -> Vec<String> {
    let by =
        if flip.policies.is_empty() { "(nothing permits it)".to_owned() } else { flip.policies.join(", ") };
    let arguments: String = flip.example.arguments.iter().flat_map(|text| text.chars()).take(60).collect();
    vec![
        flip.count.to_string(),
        flip.user.clone(),
        flip.client.clone(),
        flip.server.clone(),
        flip.tool.clone(),
        by_whom(flip.was, flip.approvers.as_ref().map(|approvers| &approvers.0)),
        by_whom(flip.now, flip.approvers.as_ref().map(|approvers| &approvers.1)),
        by,
        format!("{} {arguments}", flip.example.decision),
    ]
}
