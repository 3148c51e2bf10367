//! What was found, for people and for programs; never a secret.

use super::inventory::{Inventory, SecretRow, Veil, target};
use crate::command::table;
use portunus_discover::Transport;
use serde_json::{Value, json};

/// Raised when a member changes its meaning or goes; new members may come at any time.
const SCHEMA: u32 = 1;

pub(super) fn print(inventory: &Inventory, fingerprints: &str, as_json: bool) {
    let veil = inventory.veil();
    if as_json {
        println!("{}", json(inventory, fingerprints, &veil));
        return;
    }
    people(inventory, fingerprints, &veil);
}

fn json(inventory: &Inventory, fingerprints: &str, veil: &Veil) -> Value {
    let rows = inventory.secrets();
    let servers = inventory.servers().into_iter().map(|row| {
        let (file, server) = (&inventory.files[row.file], &inventory.files[row.file].reading.servers[row.index]);
        let secrets = rows.iter().filter(|secret| secret.server.as_ref() == Some(&row.id)).count();
        json!({
            "id": veil.over(&row.id),
            "name": veil.over(&server.name),
            "client": file.client,
            "scope": file.scope,
            "file": veil.over(&file.path.display().to_string()),
            "transport": match server.transport { Transport::Program(_) => "program", Transport::Url { .. } => "url" },
            "target": veil.over(&target(&server.transport)),
            "secrets": secrets,
        })
    });
    let processes = inventory.elsewhere.iter().filter(|place| place.source == "process").map(|process| {
        json!({ "pid": process.pid, "program": veil.over(&process.name), "secrets": process.secrets.len() })
    });
    json!({
        "schema": SCHEMA,
        "fingerprints": fingerprints,
        "files": inventory.files.iter().map(|file| json!({
            "file": veil.over(&file.path.display().to_string()),
            "client": file.client,
            "scope": file.scope,
        })).collect::<Vec<_>>(),
        "servers": servers.collect::<Vec<_>>(),
        "processes": processes.collect::<Vec<_>>(),
        "secrets": rows.iter().map(|row| secret(inventory, row, veil)).collect::<Vec<_>>(),
        "problems": inventory.problems.iter().map(|(place, problem)| json!({
            "place": veil.over(place), "problem": veil.over(problem),
        })).collect::<Vec<_>>(),
    })
}

fn secret(inventory: &Inventory, row: &SecretRow<'_>, veil: &Veil) -> Value {
    json!({
        "id": veil.over(&row.id),
        "source": row.elsewhere.map_or("file", |elsewhere| elsewhere.source),
        "file": row.file.map(|(file, _)| veil.over(&inventory.files[file].path.display().to_string())),
        "place": row.elsewhere.map(|elsewhere| veil.over(&elsewhere.name)),
        "line": row.line,
        "server": row.server.as_ref().map(|server| veil.over(server)),
        "at": veil.over(row.at),
        "recognised_by": row.why,
        "presented": row.binding.map(|binding| binding.kind.word()),
        "fingerprint": row.named.fingerprint,
        "credentials": row.named.credentials,
    })
}

fn people(inventory: &Inventory, fingerprints: &str, veil: &Veil) {
    let rows = inventory.secrets();
    let servers: Vec<Vec<String>> = inventory
        .servers()
        .into_iter()
        .map(|row| {
            let file = &inventory.files[row.file];
            let server = &file.reading.servers[row.index];
            let secrets = rows.iter().filter(|secret| secret.server.as_ref() == Some(&row.id)).count();
            let path = veil.over(&file.path.display().to_string());
            vec![veil.over(&row.id), veil.over(&target(&server.transport)), secrets.to_string(), path]
        })
        .collect();
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let place = match (row.file, row.elsewhere) {
                (Some((file, _)), _) => {
                    format!("{}:{}", inventory.files[file].path.display(), row.line.unwrap_or_default())
                }
                (None, Some(elsewhere)) => format!("{} {}", elsewhere.source, elsewhere.name),
                (None, None) => String::new(),
            };
            let fingerprint = row.named.fingerprint.chars().take(12).collect();
            vec![
                veil.over(&row.id),
                veil.over(&place),
                row.why.word().to_owned(),
                fingerprint,
                row.named.credentials.join(", "),
            ]
        })
        .collect();
    let distinct: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.named.fingerprint).collect();
    println!(
        "{} files read, {} servers, {} secrets in plain text ({} different)",
        inventory.files.len(),
        servers.len(),
        shown.len(),
        distinct.len()
    );
    if !servers.is_empty() {
        println!("\n{}", table(&["SERVER", "WHERE", "SECRETS", "FILE"], servers));
    }
    if !shown.is_empty() {
        println!("\n{}", table(&["SECRET", "PLACE", "KNOWN BY", "FINGERPRINT", "CREDENTIAL"], shown));
        println!(
            "{}",
            match fingerprints {
                "edge" => "Fingerprints are the edge's: compare them with `portunus cred show`.",
                _ =>
                    "No edge answers, so fingerprints are of this run alone: equal ones are the same secret.",
            }
        );
    }
    for (place, problem) in &inventory.problems {
        eprintln!("{}: {}", veil.over(place), veil.over(problem));
    }
}
