//! `portunus approve`: what waits for a person's yes, and deciding as the local administrator.

use super::admin::{client, listing, post, show, text};
use super::{Failure, Outcome, printable};
use crate::args::{Admin, Approve};
use portunus_core::time::Timestamp;
use portunus_oauth::text::reveal;
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(crate) async fn approve(command: Approve) -> Outcome {
    match command {
        Approve::List(admin) => {
            let columns = [
                ("id", "ID"),
                ("user", "USER"),
                ("client_id", "CLIENT"),
                ("server", "SERVER"),
                ("tool", "TOOL"),
                ("arguments", "ARGUMENTS"),
                ("approver", "APPROVER"),
                ("expires_at", "UNTIL"),
            ];
            listing(&admin, "/approvals", "approvals", &columns).await
        }
        Approve::Show { id, admin } => {
            let answer = client(&admin).get(&format!("/approvals/{id}")).await.map_err(Failure::refused)?;
            show(&admin, &answer, || whole(&answer));
            Ok(())
        }
        Approve::Allow { id, reason, admin } => decide(&admin, &id, "allow", reason.as_deref()).await,
        Approve::Deny { id, reason, admin } => decide(&admin, &id, "deny", reason.as_deref()).await,
    }
}

async fn decide(admin: &Admin, id: &str, word: &str, reason: Option<&str>) -> Outcome {
    let answer = post(admin, &format!("/approvals/{id}/{word}"), &json!({ "reason": reason })).await?;
    show(admin, &answer, || match answer["state"].as_str() {
        Some("pending") => format!("noted; still missing: {}", names(&answer["missing"])),
        _ => text(&answer, "state"),
    });
    Ok(())
}

/// One approval for people. What cannot be seen is written out, so that what is judged is what is there.
fn whole(answer: &Value) -> String {
    let approval = &answer["approval"];
    let words = |key: &str| printable(&reveal(approval[key].as_str().unwrap_or_default()));
    let moment = |key: &str| {
        approval[key].as_u64().map_or_else(String::new, |ms| Timestamp::from_millis(ms).to_string())
    };
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a `String` cannot fail.
            let label = format!("{name}:");
            let _ = writeln!(out, "{label:<18}{value}");
        }
    };
    line("id", &words("id"));
    line("state", &words("state"));
    line("user", &words("user"));
    line("client", &words("client_id"));
    line("server", &words("server"));
    line("tool", &words("tool"));
    line("reason", &words("reason"));
    line("approver", &words("approver"));
    line("still missing", &names(&answer["missing"]));
    for ruling in approval["rulings"].as_array().into_iter().flatten() {
        let said = if ruling["allow"] == true { "yes" } else { "no" };
        let role = if ruling["as_administrator"] == true { ", as an administrator" } else { "" };
        let why = ruling["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let (by, through) = (text(ruling, "by"), text(ruling, "through"));
        line("said", &printable(&format!("{by}: {said}{role} ({through}){why}")));
    }
    line("asked", &moment("created_at"));
    line("until", &moment("expires_at"));
    let sql = &approval["sql"];
    if sql.is_object() {
        let complete =
            if sql["complete"] == true { "understood" } else { "not understood: it may do anything" };
        line("sql", complete);
        for (key, name) in [("kinds", "statements"), ("writes", "changes tables"), ("reads", "reads tables")]
        {
            line(name, &names(&sql[key]));
        }
        for (key, name) in [("columns", "names columns"), ("functions", "calls functions")] {
            line(name, &names(&sql[key]));
        }
    }
    match &approval["estimate"] {
        Value::Object(estimate) if estimate.contains_key("rows_changed") => {
            line("would change", &format!("{} rows (tried out and rolled back)", estimate["rows_changed"]));
        }
        Value::Object(estimate) => {
            let why = estimate.get("unknown").and_then(Value::as_str).unwrap_or_default();
            line("would change", &printable(&format!("not known: {why}")));
        }
        _ => {}
    }
    let _ = write!(out, "arguments:\n{}", words("arguments"));
    if approval["besides"].is_string() {
        let _ = write!(out, "\nwith them goes:\n{}", words("besides"));
    }
    out
}

fn names(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    printable(&reveal(&names.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_there() {
        let shown = whole(&json!({
            "approval": {
                "id": "apr_1", "tool": "write\u{1b}[2J", "arguments": "{\"sql\":\"DELETE\u{202e}\"}", "created_at": 0,
                "besides": "{\"task\":{}}",
                "sql": { "complete": false, "kinds": ["delete"], "writes": ["orders"] },
                "estimate": { "rows_changed": 3 },
                "rulings": [{ "by": "bo", "allow": true, "through": "page", "as_administrator": true }],
            },
            "missing": ["group dba"],
        }));
        for words in [
            "DELETE\\u{202e}",
            "{\"task\":{}}",
            "it may do anything",
            "still missing:    group dba",
            "3 rows (tried out and rolled back)",
            "bo: yes, as an administrator (page)",
        ] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    }
}
