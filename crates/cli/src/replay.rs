//! Recorded calls under other policies, read from a ledger's directory.

use crate::config::{Config, Tools};
use portunus_core::id::{GroupName, UserName};
use portunus_core::record::{Intent, Record};
use portunus_core::time::Timestamp;
use portunus_ledger::read::{self, Filter};
use portunus_ledger::redact::MARK;
use portunus_policy::Engine;
use portunus_policy::replay::{Recorded, Replay, Report};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Decides everything again that was recorded since then. `groups` are those of users whose records do not hold them.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) fn replayed(
    engine: &Engine,
    groups: HashMap<UserName, Vec<GroupName>>,
    directory: &Path,
    since: Timestamp,
    config: &Config,
) -> io::Result<Report> {
    let mut replay = Replay::new(engine, groups);
    // Who must approve is in the record of the question, which comes before those of the calls.
    let mut approvers: HashMap<String, String> = HashMap::new();
    let filter = Filter { since: Some(since), ..Filter::default() };
    for entry in read::search(directory, filter)? {
        match entry?.record {
            Record::Intent(intent) => {
                let approver = intent.approval.as_ref().and_then(|id| approvers.get(id.as_str()));
                add(&mut replay, &intent, approver.map(String::as_str), config);
            }
            Record::Event(event) if event.action == "approval.asked" => {
                if let Some(approver) = event.detail.get("approver") {
                    approvers.insert(event.subject.clone(), approver.clone());
                }
            }
            Record::Event(_) | Record::Outcome(_) => {}
        }
    }
    Ok(replay.finish())
}

/// The facts about SQL are made anew from the recorded arguments, as the edge made them.
fn add(replay: &mut Replay<'_>, intent: &Intent, approver: Option<&str>, config: &Config) {
    let entry = config.servers.iter().find(|entry| entry.server.name == intent.server);
    let arguments = intent.arguments.as_deref();
    let whole = arguments.map_or(intent.arguments_digest.is_none(), |text| !text.contains(MARK));
    let is_call = intent.method == "tools/call";
    let tool = intent.target.as_deref().filter(|_| whole && is_call);
    let sql = tool.and_then(|tool| {
        let declared = entry.and_then(|entry| entry.sql.get(tool));
        portunus_edge::facts::of_tool(arguments.map(str::as_bytes), declared)
    });
    replay.add(&Recorded {
        intent,
        arguments_whole: whole,
        sql: sql.as_ref(),
        sql_known: whole,
        hides_itself: entry.is_some_and(|entry| entry.tools == Tools::Sql),
        approver,
    });
}
