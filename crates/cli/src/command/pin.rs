//! `portunus pin list | diff | accept | reject`.

use super::admin::{post, show, text};
use super::{Failure, Outcome, printable, table};
use crate::admin::AdminClient;
use crate::args::{Admin, Pin, Pinned};
use crate::pins;
use portunus_core::id::ServerName;
use portunus_core::time::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;
use url::form_urlencoded::Serializer;

/// Digits of a digest in a table; enough for `--digest`.
const DIGITS: usize = 12;

pub(crate) async fn run(command: Pin) -> Outcome {
    match command {
        Pin::List { server, file: Some(file), admin } => list_file(server.as_deref(), &file, &admin),
        Pin::List { server, file: None, admin } => list(server.as_deref(), &admin).await,
        Pin::Diff { what, admin } => diff(&what, &admin).await,
        Pin::Accept { what, digest: Some(digest), admin, .. } => accept(&what, &digest, &admin).await,
        Pin::Accept { what, digest: None, admin, .. } => accept_all(&what, &admin).await,
        Pin::Reject { what, admin } => {
            let (server, name) = split(&what)?;
            let answer = post(&admin, "/pins/reject", &named(server, name, &what)).await?;
            show(&admin, &answer, || format!("{} is hidden and refused from now on", printable(&what.name)));
            Ok(())
        }
    }
}

fn list_file(server: Option<&str>, file: &Path, admin: &Admin) -> Outcome {
    if !file.exists() {
        return Err(Failure::Usage(format!("there is no lockfile at {}", file.display())));
    }
    let server = server.map(ServerName::parse).transpose().map_err(Failure::usage)?;
    let lock = pins::load(file).map_err(Failure::refused)?;
    let answer = json!({ "pins": pins::desk::rows(&lock, &[], server.as_ref()) });
    show(admin, &answer, || listed(&answer));
    Ok(())
}

async fn list(server: Option<&str>, admin: &Admin) -> Outcome {
    let answer = listing(server, admin).await?;
    show(admin, &answer, || listed(&answer));
    Ok(())
}

async fn listing(server: Option<&str>, admin: &Admin) -> Result<Value, Failure> {
    let query = query(server.map(|server| ("server", server)));
    AdminClient::new(&admin.state).get(&format!("/pins{query}")).await.map_err(Failure::refused)
}

fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encoded = Serializer::new(String::new()).extend_pairs(pairs).finish();
    if encoded.is_empty() { encoded } else { format!("?{encoded}") }
}

fn listed(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = answer["pins"].as_array().into_iter().flatten().map(row).collect();
    let waiting = rows.iter().filter(|row| row.get(3).is_some_and(|state| state != "pinned")).count();
    let header = ["SERVER", "KIND", "NAME", "STATE", "DIGEST", "ACCEPTED BY", "SINCE", "FLAGS"];
    let mut out = table(&header, rows);
    if waiting > 0 {
        let _ = write!(
            out,
            "\n{waiting} hidden until accepted: portunus pin diff SERVER/NAME, then portunus pin accept"
        );
    }
    out
}

fn row(pin: &Value) -> Vec<String> {
    let when = pin["accepted_at"].as_u64().map(|at| Timestamp::from_millis(at).to_string());
    let flags = pin["flags"].as_array().into_iter().flatten();
    let mut codes: Vec<String> = flags.map(|flag| mark(flag) + &text(flag, "code")).collect();
    codes.dedup();
    vec![
        text(pin, "server"),
        text(pin, "kind"),
        portunus_pins::text::shown(pin["name"].as_str().unwrap_or_default(), 80),
        text(pin, "state"),
        text(pin, "digest").chars().take(DIGITS).collect(),
        text(pin, "accepted_by"),
        when.unwrap_or_default(),
        codes.join(" "),
    ]
}

fn mark(flag: &Value) -> String {
    String::from(if flag["severity"] == "serious" { "!" } else { "" })
}

async fn diff(what: &Pinned, admin: &Admin) -> Outcome {
    let (server, name) = split(what)?;
    let kind = what.kind.as_deref().map(|kind| ("kind", kind));
    let query = query([("server", server), ("name", name)].into_iter().chain(kind));
    let path = format!("/pins/diff{query}");
    let answer = AdminClient::new(&admin.state).get(&path).await.map_err(Failure::refused)?;
    show(admin, &answer, || shown(what, &answer));
    Ok(())
}

fn shown(what: &Pinned, answer: &Value) -> String {
    let state = text(answer, "state");
    let name = portunus_pins::text::shown(&what.name, 200);
    let mut out = format!("{} {name} is {state}\n", text(answer, "kind"));
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for line in answer["text"].as_str().unwrap_or_default().lines() {
        let line = portunus_pins::text::visible(line);
        let code = match line.as_bytes().first() {
            Some(b'-') => "31",
            Some(b'+') => "32",
            Some(b'@') => "36",
            _ => "",
        };
        let _ = if colour && !code.is_empty() {
            writeln!(out, "\x1b[{code}m{line}\x1b[0m")
        } else {
            writeln!(out, "{line}")
        };
    }
    for flag in answer["flags"].as_array().into_iter().flatten() {
        let serious = if flag["severity"] == "serious" { "SERIOUS" } else { "notable" };
        let (what, code) = (text(flag, "what"), text(flag, "code"));
        let _ = writeln!(
            out,
            "{serious}: {what} ({code}) at {}\n    {}",
            text(flag, "place"),
            text(flag, "excerpt")
        );
    }
    if state == "pinned" {
        out.push_str("nothing waits\n");
    } else if answer["digest"].is_null() {
        out.push_str("its definition cannot be read or is too long, so it cannot be accepted\n");
    } else {
        let _ = writeln!(out, "to accept it: portunus pin accept {name} --digest {}", text(answer, "digest"));
    }
    out.trim_end().to_owned()
}

async fn accept(what: &Pinned, digest: &str, admin: &Admin) -> Outcome {
    let (server, name) = split(what)?;
    let item = json!({ "kind": what.kind, "name": name, "digest": digest.to_ascii_lowercase() });
    let answer = post(admin, "/pins/accept", &json!({ "server": server, "items": [item] })).await?;
    show(admin, &answer, || format!("{} is accepted; commit portunus.lock", printable(&what.name)));
    Ok(())
}

/// Accepts exactly what waits now, by digest, so that nothing slips in between.
async fn accept_all(what: &Pinned, admin: &Admin) -> Outcome {
    let server = what.name.as_str();
    let answer = listing(Some(server), admin).await?;
    let waiting: Vec<&Value> = answer["pins"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pin| pin["state"] == "new" || pin["state"] == "changed")
        .collect();
    let flagged =
        |pin: &Value| pin["flags"].as_array().into_iter().flatten().any(|flag| flag["severity"] == "serious");
    let (held, clean): (Vec<&Value>, Vec<&Value>) =
        waiting.into_iter().partition(|pin| flagged(pin) || pin["digest"].is_null());
    let items: Vec<Value> = clean
        .iter()
        .map(|pin| json!({ "kind": pin["kind"], "name": pin["name"], "digest": pin["digest"] }))
        .collect();
    let mut answer = json!({ "server": server, "accepted": [] });
    if !items.is_empty() {
        answer = post(admin, "/pins/accept", &json!({ "server": server, "items": items })).await?;
    }
    let held: Vec<String> = held.iter().map(|pin| text(pin, "name")).collect();
    answer["held"] = json!(held);
    show(admin, &answer, || {
        let mut out = format!("{} accepted; commit portunus.lock", items.len());
        if !held.is_empty() {
            let _ = write!(
                out,
                "\nnot accepted, look at each of them with portunus pin diff: {}",
                held.join(", ")
            );
        }
        out
    });
    if held.is_empty() { Ok(()) } else { Err(Failure::Refused(format!("{} not accepted", held.len()))) }
}

fn named(server: &str, name: &str, what: &Pinned) -> Value {
    json!({ "server": server, "kind": what.kind, "name": name })
}

fn split(what: &Pinned) -> Result<(&str, &str), Failure> {
    what.name.split_once('/').ok_or_else(|| {
        Failure::Usage(format!("`{}`: say SERVER/NAME, as portunus pin list shows them", what.name))
    })
}
