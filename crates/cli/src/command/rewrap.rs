//! `portunus cred rewrap`: changes the sealing key of the running edge, and shows how far that is.

use super::admin::{client, post, show, text};
use super::{Failure, Outcome, table};
use crate::args::CredRewrap;
use portunus_core::time::Timestamp;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn run(command: CredRewrap) -> Outcome {
    if !command.status {
        change(&command).await?;
    }
    let answer = client(&command.admin).get("/sealing-key").await.map_err(Failure::refused)?;
    show(&command.admin, &answer, || words(&answer));
    Ok(())
}

/// Begins and waits; interrupting it stops the waiting and nothing else.
async fn change(command: &CredRewrap) -> Outcome {
    let file = command.new_key_file.as_ref();
    let file = file.map(std::path::absolute).transpose().map_err(Failure::usage)?;
    let begun = post(&command.admin, "/sealing-key/rewrap", &json!({ "new_key_file": file })).await?;
    let epoch = &begun["epoch"];
    if begun["resumed"] == true {
        eprintln!("going on with the last change of the sealing key");
    } else {
        eprintln!("{} is the sealing key now (epoch {})", text(epoch, "source"), epoch["number"]);
    }
    let client = client(&command.admin);
    let mut shown = String::new();
    loop {
        let progress = client.get("/sealing-key/progress").await.map_err(Failure::refused)?;
        let line = format!(
            "{} of {} documents seen, {} values rewrapped",
            progress["seen"], progress["documents"], progress["rewrapped"]
        );
        if progress["running"] == true && std::io::stderr().is_terminal() && line != shown {
            eprint!("\r{line}");
            let _ = std::io::stderr().flush();
        }
        shown = line;
        if let Some(error) = progress["error"].as_str() {
            return Err(Failure::Refused(format!("{error}\nNothing is lost: run this again to go on")));
        }
        if progress["unfinished"] != true {
            let turn = if std::io::stderr().is_terminal() { "\r" } else { "" };
            eprintln!("{turn}{shown}");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn words(status: &Value) -> String {
    let moment =
        |value: &Value| value.as_u64().map_or_else(String::new, |ms| Timestamp::from_millis(ms).to_string());
    let epochs = status["epochs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = epochs.iter().map(|epoch| {
        vec![
            epoch["number"].to_string(),
            text(epoch, "key_id"),
            text(epoch, "source"),
            moment(&epoch["created_at"]),
            epoch["values"].to_string(),
            moment(&epoch["retired_at"]),
        ]
    });
    let mut said = table(&["EPOCH", "KEY", "FROM", "SINCE", "SEALED VALUES", "RETIRED"], rows.collect());
    let former = |epoch: &&Value| epoch["current"] != true;
    let left: u64 = epochs.iter().filter(former).filter_map(|epoch| epoch["values"].as_u64()).sum();
    let current = epochs.iter().find(|epoch| !former(epoch)).map(|epoch| text(epoch, "source"));
    let documents = &status["documents"];
    said.push_str(&match (left, epochs.len()) {
        (0, 0 | 1) => format!("\n{documents} documents were looked at."),
        (0, _) if status["progress"]["unfinished"] != true => format!(
            "\n{documents} documents were looked at: nothing is sealed with a former key. It is needed for backups of the \
             store from before, and for nothing else. Portunus.yaml should name {}.",
            current.unwrap_or_default()
        ),
        _ => format!("\n{left} values are still sealed with former keys: keep these."),
    });
    if status["unknown"] != 0 {
        said.push_str(&format!(
            "\n{} values are sealed with keys that are not known here.",
            status["unknown"]
        ));
    }
    if status["damaged"] != 0 {
        said.push_str(&format!(
            "\n{} texts look sealed and do not open: {}",
            status["damaged"], status["damaged_at"]
        ));
    }
    said
}
