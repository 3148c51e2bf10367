//! `cred rotate` and `cred rotation`: secrets changed now, or by a plan.

use super::admin::{client, done, listing, post, show, text};
use super::{Failure, Outcome, printable};
use crate::args::{Admin, RotationCommand};
use portunus_core::time::Timestamp;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Interval of looks at a rotation that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// The steps as people read them.
const STEPS: [(&str, &str); 7] = [
    ("create", "the new secret is made good at the upstream"),
    ("verify", "the new secret is tried"),
    ("switch", "new calls carry the new version"),
    ("drain", "calls that carry the old version end"),
    ("disable", "the upstream is told to refuse the old secret"),
    ("verify_dead", "the old secret is tried: it must be refused"),
    ("delete", "what is left of the old version is removed"),
];

pub(crate) async fn run(command: RotationCommand) -> Outcome {
    match command {
        RotationCommand::Show { name, admin } => {
            let answer = look(&name, &admin).await?;
            show(&admin, &answer, || describe(&answer));
            Ok(())
        }
        RotationCommand::List(admin) => {
            let columns = [
                ("credential", "CREDENTIAL"),
                ("step", "STEP"),
                ("from", "FROM"),
                ("to", "TO"),
                ("attempts", "ATTEMPTS"),
                ("started_at", "STARTED"),
                ("ended_at", "ENDED"),
                ("last_error", "LAST ERROR"),
            ];
            listing(&admin, "/rotations", "rotations", &columns).await
        }
        RotationCommand::Pause(admin) => done(&admin, "/rotations/pause", &json!({})).await,
        RotationCommand::Resume(admin) => done(&admin, "/rotations/resume", &json!({})).await,
    }
}

async fn look(name: &str, admin: &Admin) -> Result<Value, Failure> {
    client(admin).get(&format!("/credentials/{name}/rotation")).await.map_err(Failure::refused)
}

/// Begins a rotation, and follows it if that is wanted.
pub(crate) async fn rotate(name: &str, wait: bool, admin: &Admin) -> Outcome {
    let begun = post(admin, &format!("/credentials/{name}/rotate"), &json!({})).await?;
    if !wait {
        show(admin, &begun, || {
            format!(
                "the rotation of {name} to version {} is under way; `portunus cred rotation show {name}` says how far",
                begun["to"]
            )
        });
        return Ok(());
    }
    let live = !admin.json && std::io::stderr().is_terminal();
    let mut told = String::new();
    loop {
        let answer = look(name, admin).await?;
        let rotation = &answer["rotation"];
        let step = text(rotation, "step");
        // Another one may have begun since: this one is over then.
        let over = rotation["to"] != begun["to"] || step == "done" || step == "failed";
        if over {
            return end(name, &begun, &answer, admin);
        }
        let line = progress(name, rotation);
        if live {
            eprint!("\r\u{1b}[K{line}");
            let _ = std::io::stderr().flush();
        } else if !admin.json && line != told {
            eprintln!("{line}");
        }
        told = line;
        tokio::time::sleep(LOOK).await;
    }
}

fn progress(name: &str, rotation: &Value) -> String {
    let step = text(rotation, "step");
    let place = STEPS.iter().position(|(word, _)| *word == step);
    let (number, words) = place.map_or((STEPS.len(), "the new version is taken back"), |place| {
        (place + 1, STEPS.get(place).map_or("", |(_, words)| words))
    });
    let bar: String = (1..=STEPS.len()).map(|one| if one <= number { '█' } else { '░' }).collect();
    let mut line = format!("{name} {bar} {number}/{} {words}", STEPS.len());
    if let Some(why) = rotation["last_error"].as_str() {
        line.push_str(&format!(" (attempt {}: {})", rotation["attempts"], printable(why)));
    }
    line
}

fn end(name: &str, begun: &Value, answer: &Value, admin: &Admin) -> Outcome {
    let rotation = &answer["rotation"];
    if !admin.json && std::io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
    let same = rotation["to"] == begun["to"];
    if same && rotation["step"] == "failed" {
        let why = text(rotation, "last_error");
        return Err(Failure::Refused(format!(
            "the rotation of {name} was given up, and the old secret stays in use: {why}"
        )));
    }
    show(admin, answer, || {
        let tested = &answer["tested"];
        let (outcome, detail) = (text(tested, "outcome"), text(tested, "detail"));
        format!("{name} is at version {}; version {} is {outcome}: {detail}", begun["to"], begun["from"])
    });
    Ok(())
}

fn describe(answer: &Value) -> String {
    let mut lines = Vec::new();
    let plan = &answer["plan"];
    match plan["method"].as_str() {
        None => lines.push(String::from("its secret is changed by hand")),
        Some(method) => {
            let every = plan["every_seconds"].as_u64();
            let every = every.map_or_else(|| String::from("on demand"), |s| format!("every {}", span(s)));
            lines.push(format!("{} {every}, settings {}", printable(method), plan["settings"]));
        }
    }
    if let Some(problem) = answer["problem"].as_str() {
        lines.push(format!("the plan lacks something: {}", printable(problem)));
    }
    if let Some(due) = answer["due_at"].as_u64() {
        lines.push(format!("due at {}", Timestamp::from_millis(due)));
    }
    let rotation = &answer["rotation"];
    if rotation.is_object() {
        let at = rotation["ended_at"].as_u64().or_else(|| rotation["step_at"].as_u64()).unwrap_or_default();
        let step = text(rotation, "step");
        let mut line = format!(
            "version {} to {}: {step} at {}",
            rotation["from"],
            rotation["to"],
            Timestamp::from_millis(at)
        );
        if let Some(why) = rotation["last_error"].as_str() {
            line.push_str(&format!(" ({})", printable(why)));
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn span(seconds: u64) -> String {
    match seconds {
        days if days % 86_400 == 0 => format!("{}d", days / 86_400),
        hours if hours % 3600 == 0 => format!("{}h", hours / 3600),
        other => format!("{other}s"),
    }
}
