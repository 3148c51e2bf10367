//! A proposed policy together with what it would have decided about the calls that are recorded: it is never shown without.

use crate::config::Config;
use crate::desk::{Refused, refused};
use crate::node::Parts;
use crate::policies;
use crate::replay::replayed;
use portunus_core::time::Timestamp;
use portunus_governance::propose::least_privilege;
use portunus_pins::Lock;
use portunus_policy::replay::Report;
use portunus_policy::{Engine, Source};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Flips that are listed in the policy's comment; all that were kept are in the answer.
const LISTED: usize = 40;

/// The policy for what was used within this time, and its replay over the records of the same time.
pub(super) async fn propose(parts: &Arc<Parts>, within: Duration) -> Result<Value, Refused> {
    // What was counted in this second belongs to it.
    parts.edge.uses.write(&*parts.store).await.map_err(refused)?;
    let documents = parts.mirror.documents().await.map_err(refused)?;
    let now = parts.clock.now();
    let policy = least_privilege(documents.uses.all(), within, now);
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let since = Timestamp::from_millis(now.as_millis().saturating_sub(millis));
    let (config, lock) = (parts.config.load_full(), parts.edge.pins.lock());
    let (dir, text) = (parts.file_ledger.dir().to_owned(), policy.clone());
    // Compiling policies and reading a ledger take a while.
    let tried = tokio::task::spawn_blocking(move || try_out(&config, &lock, text, &dir, since)).await;
    let tried = tried.map_err(refused)?;
    let passes =
        tried.as_ref().is_ok_and(|report| report.calls > 0 && report.flipped == 0 && report.unknown == 0);
    let verdict = match &tried {
        Ok(report) => verdict(report, passes),
        Err(why) => format!("// DOES NOT PASS: it cannot be loaded.\n{}", comment(why)),
    };
    let replay = tried.as_ref().ok();
    Ok(
        json!({ "policy": format!("{verdict}{policy}"), "passes": passes, "replay": replay, "problem": tried.as_ref().err() }),
    )
}

/// The policies that are there and the proposed ones, over what is recorded.
fn try_out(
    config: &Config,
    lock: &Lock,
    text: String,
    ledger: &Path,
    since: Timestamp,
) -> Result<Report, String> {
    let mut sources = policies::sources(&config.policies).map_err(|error| error.to_string())?;
    sources.push(Source { path: String::from("proposal.cedar"), text });
    let engine = Engine::load(&sources, &policies::servers(config, lock));
    let engine =
        engine.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    replayed(&engine, HashMap::new(), ledger, since, config).map_err(|error| error.to_string())
}

fn verdict(report: &Report, passes: bool) -> String {
    let Report { calls, flipped, unknown, .. } = report;
    let word = if passes { "" } else { "DOES NOT PASS. " };
    let mut text = format!(
        "// {word}Replayed {calls} recorded calls: {flipped} flips, {unknown} that cannot be told.\n"
    );
    for flip in report.flips.iter().take(LISTED) {
        let line = format!(
            "{} × {} through {}: {} {}: was {:?}, would be {:?} by {}",
            flip.count,
            flip.user,
            flip.client,
            flip.server,
            flip.tool,
            flip.was,
            flip.now,
            flip.policies.join(", ")
        );
        text.push_str(&comment(&line));
    }
    for (what, count) in &report.missing {
        text.push_str(&comment(&format!("{count} depend on {what}, which is not recorded")));
    }
    text
}

/// Lines of a comment, whatever the text holds.
fn comment(text: &str) -> String {
    text.lines().map(|line| format!("//   {}\n", line.escape_debug())).collect()
}
