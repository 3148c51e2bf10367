//! Commands that speak to the running edge: users, grants, tokens, join tokens, kill.

use super::{Failure, Outcome, printable, table};
use crate::admin::AdminClient;
use crate::args::{Admin, Grant, Join, Kill, Token, User};
use crate::config::duration;
use portunus_core::time::Timestamp;
use serde_json::{Value, json};

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
        User::Disable { name, admin } => done(&admin, &format!("/users/{name}/disable"), &json!({})).await,
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
    if let Some(credential) = &kill.credential {
        return revoke(credential, admin).await;
    }
    if let Some(vendor) = &kill.vendor {
        return kill_vendor(vendor, admin).await;
    }
    if let Some(tool) = &kill.tool {
        let (server, name) = tool
            .split_once('/')
            .ok_or_else(|| Failure::Usage(format!("--tool `{tool}`: write it as SERVER/TOOL")))?;
        let body = json!({ "server": server, "kind": "tool", "name": name });
        return done(admin, "/pins/reject", &body).await;
    }
    let body = json!({ "user": kill.user, "client": kill.client, "server": kill.server, "all": kill.all });
    let answer = post(admin, "/kill", &body).await?;
    show(admin, &answer, || format!("{} grants revoked", answer["revoked"]));
    Ok(())
}

/// Revokes a credential and says what was seen of its secret; one that still works is a failure.
pub(super) async fn revoke(name: &str, admin: &Admin) -> Outcome {
    if let Some(connector) = name.strip_prefix("connector:") {
        return done(admin, &format!("/connectors/{connector}/revoke"), &json!({})).await;
    }
    let answer = post(admin, &format!("/credentials/{name}/revoke"), &json!({})).await?;
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

async fn kill_vendor(vendor: &str, admin: &Admin) -> Outcome {
    let answer = post(admin, "/governance/kill", &json!({ "vendor": vendor })).await?;
    show(admin, &answer, || {
        let rows = answer["credentials"].as_array().into_iter().flatten().map(|row| {
            let revoked = if row["revoked"] == true { "revoked" } else { "NOT REVOKED" };
            let tested = &row["tested"];
            vec![
                text(row, "name"),
                revoked.to_owned(),
                text(tested, "outcome"),
                format!("{}{}", text(tested, "detail"), text(row, "why")),
            ]
        });
        table(&["CREDENTIAL", "HERE", "SECRET", "SEEN"], rows.collect())
    });
    let bad = |row: &Value| row["revoked"] != true || row["tested"]["outcome"] == "alive";
    if answer["credentials"].as_array().into_iter().flatten().any(bad) {
        return Err(Failure::Refused(String::from("not everything of this vendor is dead; see above")));
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
