//! Commands that speak to the running edge: users, grants, tokens, join tokens, kill.

use super::cred::escaped;
use super::{Failure, Outcome, printable, table};
use crate::admin::AdminClient;
use crate::args::{Admin, Grant, Join, Kill, Token, User};
use crate::config::duration;
use portunus_core::time::Timestamp;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Read};

pub(crate) async fn user(command: User) -> Outcome {
    match command {
        User::Add { name, display_name, group, administrator, admin } => {
            let display_name = display_name.unwrap_or_else(|| name.clone());
            let body = json!({ "name": name, "display_name": display_name, "groups": group, "administrator": administrator });
            let answer = post(&admin, "/users", &body).await?;
            show(&admin, &answer, || {
                format!(
                    "{}\nThey must change this one-time password when they sign in.",
                    text(&answer, "password")
                )
            });
            Ok(())
        }
        User::List(admin) => {
            let columns = [
                ("name", "NAME"),
                ("display_name", "SHOWN AS"),
                ("groups", "GROUPS"),
                ("administrator", "ADMIN"),
                ("issuer", "SIGNS IN AT"),
                ("passkeys", "PASSKEYS"),
                ("disabled_at", "DISABLED"),
            ];
            listing(&admin, "/users", "users", &columns).await
        }
        User::Disable { name, admin } => {
            let answer = post(&admin, &format!("/users/{name}/disable"), &json!({})).await?;
            show(&admin, &answer, || format!("done\n{}", ended(&answer)).trim_end().to_owned());
            proven_dead(&answer)
        }
    }
}

pub(crate) async fn grant(command: Grant) -> Outcome {
    match command {
        Grant::List { user, admin } => {
            let path = user.map_or_else(|| String::from("/grants"), |user| format!("/grants?user={user}"));
            let columns = [
                ("id", "ID"),
                ("user", "USER"),
                ("client_name", "CLIENT"),
                ("server", "SERVER"),
                ("created_at", "SINCE"),
                ("revoked_at", "REVOKED"),
                ("revoked_why", "WHY"),
            ];
            listing(&admin, &path, "grants", &columns).await
        }
        Grant::Revoke { id, admin } => done(&admin, &format!("/grants/{id}/revoke"), &json!({})).await,
    }
}

pub(crate) async fn token(command: Token) -> Outcome {
    let Token::Issue { server, user, client, ttl, admin } = command;
    let ttl_seconds = duration(&ttl).map_err(Failure::Usage)?.as_secs();
    let body = json!({ "server": server, "user": user, "client": client, "ttl_seconds": ttl_seconds });
    let answer = post(&admin, "/tokens", &body).await?;
    show(&admin, &answer, || text(&answer, "access_token"));
    Ok(())
}

pub(crate) async fn join(command: Join) -> Outcome {
    let Join::Issue { server, admin } = command;
    let answer = post(&admin, "/join-tokens", &json!({ "server": server })).await?;
    show(&admin, &answer, || text(&answer, "join_token"));
    Ok(())
}

pub(crate) async fn kill(kill: Kill) -> Outcome {
    let chosen = [&kill.user, &kill.client, &kill.server, &kill.tool, &kill.credential, &kill.vendor];
    if chosen.into_iter().flatten().count() + usize::from(kill.all) != 1 {
        return Err(Failure::Usage(String::from(
            "say what to revoke: exactly one of --user, --client, --server, --tool, --credential, --vendor, --all",
        )));
    }
    let admin = &kill.admin;
    if kill.all && !kill.yes {
        confirm("This ends every grant, every connection and every credential there is.")?;
    }
    if let Some(credential) = &kill.credential {
        return revoke(credential, admin).await;
    }
    if let Some(tool) = &kill.tool {
        let (server, name) = tool
            .split_once('/')
            .ok_or_else(|| Failure::Usage(format!("--tool `{tool}`: write it as SERVER/TOOL")))?;
        let body = json!({ "server": server, "kind": "tool", "name": name });
        return done(admin, "/pins/reject", &body).await;
    }
    let body = json!({
        "user": kill.user, "client": kill.client, "server": kill.server, "vendor": kill.vendor,
        "all": kill.all,
    });
    let answer = post(admin, "/kill", &body).await?;
    show(admin, &answer, || {
        let grants = match answer["grants_left"].as_str() {
            None => format!("{} grants revoked", answer["revoked"]),
            Some(why) => format!("NOT ALL GRANTS REVOKED: {}", printable(why)),
        };
        format!("{grants}\n{}", ended(&answer)).trim_end().to_owned()
    });
    proven_dead(&answer)
}

/// Asks whoever sits at the terminal. Where nobody does, the command line is the word: it must work when it is needed.
fn confirm(what: &str) -> Outcome {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("{what} Type `yes` to go on: ");
    let mut said = String::new();
    match std::io::stdin().lock().take(16).read_line(&mut said) {
        Ok(_) if said.trim() == "yes" => Ok(()),
        _ => Err(Failure::Usage(String::from("nothing was done"))),
    }
}

/// Revokes a credential or a connection and says what was seen of its secret; one that still works is a failure.
pub(super) async fn revoke(name: &str, admin: &Admin) -> Outcome {
    if let Some(connector) = name.strip_prefix("connector:") {
        return done(admin, &format!("/connectors/{connector}/revoke"), &json!({})).await;
    }
    let name = name.strip_prefix("credential:").unwrap_or(name);
    let kind = if name.contains(':') { "identities" } else { "credentials" };
    let answer = post(admin, &format!("/{kind}/{}/revoke", escaped(name)), &json!({})).await?;
    let (outcome, detail) = (text(&answer["tested"], "outcome"), text(&answer["tested"], "detail"));
    show(admin, &answer, || {
        format!("{name} is revoked here; its secret is {outcome} at its upstream: {detail}")
    });
    if outcome == "alive" {
        return Err(Failure::Refused(format!(
            "the secret of {name} still works at its upstream; end it there"
        )));
    }
    Ok(())
}

/// What became of connections and credentials, one row each; empty for none.
fn ended(answer: &Value) -> String {
    let rows: Vec<_> = ended_rows(answer)
        .map(|row| {
            let revoked = if row["revoked"] == true { "revoked" } else { "NOT REVOKED" };
            let tested = &row["tested"];
            vec![
                text(row, "name"),
                revoked.to_owned(),
                text(tested, "outcome"),
                format!("{}{}", text(tested, "detail"), text(row, "why")),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["IDENTITY", "HERE", "SECRET", "SEEN"], rows) }
}

fn ended_rows(answer: &Value) -> impl Iterator<Item = &Value> {
    let rows = [&answer["connections"], &answer["credentials"]];
    rows.into_iter().filter_map(Value::as_array).flatten()
}

/// A failure when anything is left that works.
fn proven_dead(answer: &Value) -> Outcome {
    let bad = |row: &Value| row["revoked"] != true || row["tested"]["outcome"] == "alive";
    if answer["grants_left"].is_string() || ended_rows(answer).any(bad) {
        return Err(Failure::Refused(String::from("not everything of this is dead; see above")));
    }
    Ok(())
}

pub(super) fn client(admin: &Admin) -> AdminClient {
    AdminClient::new(&admin.state)
}

pub(super) async fn post(admin: &Admin, path: &str, body: &Value) -> Result<Value, Failure> {
    client(admin).post(path, body).await.map_err(Failure::refused)
}

pub(super) async fn done(admin: &Admin, path: &str, body: &Value) -> Outcome {
    let answer = post(admin, path, body).await?;
    show(admin, &answer, || String::from("done"));
    Ok(())
}

pub(super) async fn listing(admin: &Admin, path: &str, key: &str, columns: &[(&str, &str)]) -> Outcome {
    let answer = client(admin).get(path).await.map_err(Failure::refused)?;
    show(admin, &answer, || {
        let rows = answer[key].as_array().into_iter().flatten();
        let rows =
            rows.map(|row| columns.iter().map(|(name, _)| cell(name, &row[*name])).collect()).collect();
        let header: Vec<&str> = columns.iter().map(|(_, title)| *title).collect();
        table(&header, rows)
    });
    Ok(())
}

pub(super) fn show(admin: &Admin, answer: &Value, people: impl FnOnce() -> String) {
    if admin.json { println!("{answer}") } else { println!("{}", people()) }
}

pub(super) fn text(answer: &Value, key: &str) -> String {
    printable(answer[key].as_str().unwrap_or_default())
}

pub(super) fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(millis) if name.ends_with("_at") => {
            millis.as_u64().map_or_else(String::new, |ms| Timestamp::from_millis(ms).to_string())
        }
        Value::Array(items) => items.iter().map(|item| cell(name, item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
