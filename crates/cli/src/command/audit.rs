//! `portunus audit tail | export | verify`: reads the ledger's files, or evidence packs; only `export` needs a running edge.

use super::admin::{client, show};
use super::{Failure, Outcome, printable};
use crate::args::{Admin, Audit, LedgerFiles};
use crate::config::duration;
use crate::evidence::verify::verify as verify_pack;
use crate::evidence::write::write;
use crate::evidence::{Pack, Period};
use crate::system::SystemClock;
use portunus_core::record::{Record, Verdict};
use portunus_core::time::{Clock, Timestamp};
use portunus_ledger::checkpoint::VerifierKey;
use portunus_ledger::entry::Entry;
use portunus_ledger::read::{self, Filter, Follow};
use portunus_ledger::verify;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Interval of looks at the ledger while following it.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn run(command: Audit) -> Outcome {
    match command {
        Audit::Tail { n, follow, files } => tail(n, follow, &files),
        Audit::Export { dir, since, before, admin } => export(&dir, &since, before.as_deref(), &admin).await,
        Audit::Verify { pack: Some(pack), files } => check_pack(&pack, &files),
        Audit::Verify { pack: None, files } => check(&files),
    }
}

/// Fetches a pack, and checks what was written before it says that it is there.
async fn export(dir: &Path, since: &str, before: Option<&str>, admin: &Admin) -> Outcome {
    let now = SystemClock.now();
    let period = Period {
        since: past("since", since, now)?,
        before: before.map_or(Ok(now), |before| past("before", before, now))?,
    };
    if dir.exists() {
        return Err(Failure::Usage(format!("{} is there already; name a new directory", dir.display())));
    }
    let client = client(admin);
    let pack = client.post("/evidence", &serde_json::json!(period)).await.map_err(Failure::refused)?;
    let pack: Pack = serde_json::from_value(pack).map_err(Failure::refused)?;
    write(&client, &pack, dir).await.map_err(Failure::Refused)?;
    let report = verify_pack(dir, None).map_err(|found| Failure::Refused(found.join("\n")))?;
    show(admin, &serde_json::json!(report), || {
        format!(
            "{}: {} records, {} signed verdicts\nThe ledger's key, which auditors should have from elsewhere:\n  {}",
            dir.display(),
            report.records,
            report.verdicts,
            report.vkey
        )
    });
    Ok(())
}

/// A span before now, or a date.
fn past(option: &str, given: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(span) = duration(given) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp::from_millis(now.as_millis().saturating_sub(millis)));
    }
    Timestamp::parse(given).ok_or_else(|| {
        Failure::Usage(format!(
            "--{option} `{given}`: give a time ago such as 90d, or a date such as 2027-01-31"
        ))
    })
}

fn check_pack(dir: &Path, files: &LedgerFiles) -> Outcome {
    let key = trusted(files)?;
    match verify_pack(dir, key.as_ref()) {
        Ok(report) if files.json => println!("{}", serde_json::json!({ "ok": true, "report": report })),
        Ok(report) => {
            println!("the pack is whole: {} records of {}", report.records, printable(&report.edge));
            println!(
                "  from {} until {}, made at {}",
                printable(&report.since),
                printable(&report.before),
                printable(&report.made_at)
            );
            println!("  {} verdicts of reviews with good signatures", report.verdicts);
            println!("  root {} over {} records", report.root, report.checkpoint_size);
            println!("  signed by {}", printable(&report.vkey));
            if report.own_key {
                println!("  this key came with the pack: compare it with one from elsewhere, or give --vkey");
            }
        }
        Err(found) => {
            if files.json {
                println!("{}", serde_json::json!({ "ok": false, "findings": found }));
            } else {
                found.iter().for_each(|finding| println!("✗ {}", printable(finding)));
            }
            return Err(refused(&format!("the pack was tampered with or damaged: {} findings", found.len())));
        }
    }
    Ok(())
}

fn trusted(files: &LedgerFiles) -> Result<Option<VerifierKey>, Failure> {
    let key = files.vkey.as_deref().map(|text| VerifierKey::parse(text.trim())).transpose();
    key.map_err(|error| Failure::Usage(format!("--vkey: {error}")))
}

fn directory(files: &LedgerFiles) -> Result<PathBuf, Failure> {
    let dir = files.ledger.clone().unwrap_or_else(|| files.state.join("ledger"));
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(Failure::Usage(format!("there is no ledger at {}; give --state or --ledger", dir.display())))
    }
}

fn tail(n: usize, follow: bool, files: &LedgerFiles) -> Outcome {
    let dir = directory(files)?;
    let broken = |error: std::io::Error| Failure::Refused(format!("{}: {error}", dir.display()));
    let latest = read::tail(&dir, n, &Filter::default()).map_err(broken)?;
    let next = latest.last().map_or(0, |entry| entry.seq + 1);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = std::io::stdout().lock();
    let mut print = |entries: Vec<Entry>| -> std::io::Result<()> {
        for entry in entries {
            let line = if files.json { serde_json::to_string(&entry.record)? } else { line(&entry, colour) };
            writeln!(out, "{line}")?;
        }
        out.flush()
    };
    print(latest).map_err(broken)?;
    let mut following = Follow::new(&dir, next);
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOK);
        print(following.poll().map_err(broken)?).map_err(broken)?;
    }
}

/// One record as one line for people.
fn line(entry: &Entry, colour: bool) -> String {
    let paint =
        |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let seq = entry.seq;
    match &entry.record {
        Record::Intent(intent) => {
            let verdict = match intent.verdict {
                Verdict::Permit => paint("32", "permit  "),
                Verdict::Refuse => paint("31", "refuse  "),
                Verdict::ApprovalNeeded => paint("33", "approval"),
            };
            let target = intent.target.as_deref().unwrap_or_default();
            let more = intent.reason.as_deref().or(intent.arguments.as_deref()).unwrap_or_default();
            let more: String = printable(more).chars().take(100).collect();
            let target = printable(target);
            format!(
                "{seq:>8} {} {verdict} {} {}:{} {target}  {more}",
                intent.at, intent.user, intent.server, intent.method
            )
        }
        Record::Outcome(outcome) => {
            let end = format!("{:?}", outcome.end).to_lowercase();
            let millis = outcome.micros as f64 / 1000.0;
            format!(
                "{seq:>8} {} {} {} {} bytes, {millis:.1} ms",
                outcome.at,
                paint("2", "outcome "),
                end,
                outcome.bytes
            )
        }
        Record::Event(event) => {
            let detail: Vec<String> =
                event.detail.iter().map(|(k, v)| format!("{k}={}", printable(v))).collect();
            let subject = printable(&event.subject);
            format!(
                "{seq:>8} {} {} {} {subject} by {} {}",
                event.at,
                paint("36", "event   "),
                event.action,
                event.by,
                detail.join(" ")
            )
        }
    }
}

fn check(files: &LedgerFiles) -> Outcome {
    let dir = directory(files)?;
    let key = trusted(files)?;
    match verify(&dir, key.as_ref(), &[]) {
        Ok(report) => {
            if files.json {
                println!("{}", serde_json::json!({ "ok": true, "report": report }));
            } else {
                let when = |at: Option<portunus_core::time::Timestamp>| {
                    at.map_or_else(|| String::from("-"), |t| t.to_string())
                };
                println!(
                    "the ledger is whole: {} records, {} signed checkpoints",
                    report.records, report.checkpoints
                );
                println!("  from {} to {}", when(report.first_at), when(report.last_at));
                println!("  root {}", report.root.map_or_else(|| String::from("-"), |root| root.to_string()));
                println!(
                    "  {} records after the last checkpoint; {} calls without an outcome",
                    report.unsigned, report.intents_without_outcome
                );
            }
            Ok(())
        }
        Err(findings) => {
            let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
            if files.json {
                println!("{}", serde_json::json!({ "ok": false, "findings": text }));
            } else {
                text.iter().for_each(|finding| println!("✗ {finding}"));
            }
            Err(refused(&format!("the ledger was tampered with or damaged: {} findings", findings.len())))
        }
    }
}

fn refused(text: &dyn Display) -> Failure {
    Failure::refused(text)
}
