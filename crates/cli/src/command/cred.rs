//! `portunus cred …`: identities that are no people.

use super::admin::{cell, client, done, post, show, text};
use super::{Failure, Outcome, printable, table};
use crate::args::{
    Admin, Cred, CredAdd, CredBind, EmergencyCommand, ReachFrom, ReportFormat, Review, Rotation, Way,
};
use crate::config::duration;
use portunus_core::document::CredentialKind;
use portunus_core::secret::Secret;
use portunus_core::time::{Clock, Timestamp};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

/// Longest secret read.
const SECRET_BYTES: u64 = 64 * 1024;

pub(crate) async fn run(command: Cred) -> Outcome {
    match command {
        Cred::Add(add) => cred_add(add).await,
        Cred::List { kind, admin } => list(kind.as_deref(), &admin).await,
        Cred::Show { name, admin } => show_one(&name, &admin).await,
        Cred::Discover(asked) => super::discover::run(*asked).await,
        Cred::Bind(change) => bind(change).await,
        Cred::Disable { name, why, admin } => {
            done(&admin, &format!("/credentials/{name}/disable"), &json!({ "why": why })).await
        }
        Cred::Enable { name, admin } => {
            done(&admin, &format!("/credentials/{name}/enable"), &json!({})).await
        }
        Cred::Waive { name, until, why, admin } => {
            let body = json!({ "until": moment("until", &until)?, "why": why });
            done(&admin, &format!("/credentials/{name}/waive"), &body).await
        }
        Cred::Report { format, admin } => report(format, &admin).await,
        Cred::Reach { from, admin } => reach(&from, &admin).await,
        Cred::Propose { days, admin } => {
            let answer = get(&admin, &format!("/governance/proposal?days={days}")).await?;
            show(&admin, &answer, || answer["policy"].as_str().unwrap_or_default().trim_end().to_owned());
            if answer["passes"] == true {
                return Ok(());
            }
            Err(Failure::Refused(String::from(
                "the proposed policy does not pass a replay of what is recorded; its first lines say why",
            )))
        }
        Cred::Review(command) => review(command).await,
        Cred::Emergency(command) => emergency(command).await,
        Cred::Rewrap(rewrap) => super::rewrap::run(rewrap).await,
        Cred::Rotate { name, wait, admin } => super::rotate::rotate(&name, wait, &admin).await,
        Cred::Rotation(command) => super::rotate::run(command).await,
        Cred::Revoke { name, admin } => super::admin::revoke(&name, &admin).await,
    }
}

async fn get(admin: &Admin, path: &str) -> Result<Value, Failure> {
    client(admin).get(path).await.map_err(Failure::refused)
}

async fn cred_add(add: CredAdd) -> Outcome {
    let kind = kind(&add.way);
    let rotation = rotation(&add.rotation)?;
    let expires = moment("expires", &add.expires)?;
    let secret = read_secret(add.from_file.as_deref())?;
    let body = json!({
        "name": add.name, "kind": kind, "server": add.server, "hosts": add.hosts, "owner": add.owner,
        "purpose": add.purpose, "environment": add.environment, "vendor": add.vendor, "scopes": add.scopes,
        "rotation": rotation, "expires_at": expires, "replace": add.replace,
        "secret": data_encoding::BASE64.encode(secret.expose()),
    });
    let answer = post(&add.admin, "/credentials", &body).await?;
    show(&add.admin, &answer, || {
        let old = &answer["replaced"];
        let seen = match old["outcome"].as_str() {
            None => String::new(),
            Some(outcome) => format!(
                "\nthe secret that it replaces is {outcome} at its upstream: {}{}",
                text(old, "detail"),
                if outcome == "dead" { "" } else { "; end it there" }
            ),
        };
        format!("{} is at version {}{seen}", text(&answer, "name"), answer["version"])
    });
    if answer["kind"]["query"].is_string() {
        eprintln!(
            "warning: it goes into the URL's query, where logs on its way may keep it; prefer a header"
        );
    }
    Ok(())
}

fn kind(way: &Way) -> CredentialKind {
    let named = [
        way.header.clone().map(CredentialKind::Header),
        way.basic.clone().map(CredentialKind::Basic),
        way.query.clone().map(CredentialKind::Query),
        way.client_certificate.then_some(CredentialKind::ClientCertificate),
        way.env.clone().map(CredentialKind::Environment),
        way.postgres.clone().map(CredentialKind::Postgres),
        way.ssh.clone().map(CredentialKind::Ssh),
        way.rotator.clone().map(CredentialKind::Rotator),
    ];
    named.into_iter().flatten().next().unwrap_or(CredentialKind::Bearer)
}

fn rotation(given: &Rotation) -> Result<Value, Failure> {
    let Some(method) = &given.method else { return Ok(Value::Null) };
    let every = given.every.as_deref().map(duration).transpose().map_err(Failure::Usage)?;
    let mut settings = Map::new();
    for setting in &given.settings {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--set `{setting}`: write it as NAME=VALUE")))?;
        settings.insert(name.to_owned(), value.into());
    }
    Ok(json!({ "method": method, "every_seconds": every.map(|every| every.as_secs()), "settings": settings }))
}

/// A span from now, or a date.
pub(super) fn moment(option: &str, given: &str) -> Result<Timestamp, Failure> {
    if let Ok(span) = duration(given) {
        return Ok(crate::system::SystemClock.now().plus(span));
    }
    Timestamp::parse(given).ok_or_else(|| {
        Failure::Usage(format!("--{option} `{given}`: give a time such as 90d or a date such as 2027-01-31"))
    })
}

fn read_secret(from: Option<&Path>) -> Result<Secret<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let read = match from {
        Some(path) => {
            std::fs::File::open(path).and_then(|file| file.take(SECRET_BYTES + 1).read_to_end(&mut bytes))
        }
        None => std::io::stdin().lock().take(SECRET_BYTES + 1).read_to_end(&mut bytes),
    };
    let secret = Secret::new(bytes);
    read.map_err(|error| Failure::Usage(format!("the secret could not be read: {error}")))?;
    if secret.expose().len() as u64 > SECRET_BYTES {
        return Err(Failure::Usage(format!("the secret is longer than {SECRET_BYTES} bytes")));
    }
    Ok(secret)
}

async fn bind(change: CredBind) -> Outcome {
    let expires = change.expires.as_deref().map(|given| moment("expires", given)).transpose()?;
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let body = json!({
        "owner": change.owner, "purpose": change.purpose, "environment": change.environment,
        "vendor": change.vendor, "scopes": some(&change.scopes), "server": change.server,
        "hosts": some(&change.hosts), "expires_at": expires, "rotation": rotation(&change.rotation)?,
        "by_hand": change.by_hand,
    });
    done(&change.admin, &format!("/credentials/{}/bind", change.name), &body).await
}

async fn list(kind: Option<&str>, admin: &Admin) -> Outcome {
    let mut answer = get(admin, "/identities").await?;
    if let (Some(kind), Some(rows)) = (kind, answer["identities"].as_array_mut()) {
        rows.retain(|row| row["kind"] == kind);
    }
    show(admin, &answer, || {
        let rows = answer["identities"].as_array().into_iter().flatten().map(row).collect();
        table(&["IDENTITY", "FORM", "STATUS", "OWNER", "SERVERS", "EXPIRES", "ROTATION", "LAST USED"], rows)
    });
    Ok(())
}

fn row(identity: &Value) -> Vec<String> {
    let used = match &identity["last_used"] {
        Value::Null => String::from("never"),
        used => format!("{} by {}", day(&used["at"]), cell("user", &used["user"])),
    };
    vec![
        cell("id", &identity["id"]),
        cell("form", &identity["form"]),
        cell("standing", &identity["standing"]),
        cell("owner", &identity["owner"]),
        cell("servers", &identity["servers"]),
        day(&identity["expires_at"]),
        cell("method", &identity["rotation"]["method"]),
        used,
    ]
}

/// The date of a moment in milliseconds; empty for none.
fn day(millis: &Value) -> String {
    let at = millis.as_u64().map(|ms| Timestamp::from_millis(ms).to_string());
    at.map_or_else(String::new, |at| at.chars().take(10).collect())
}

async fn show_one(name: &str, admin: &Admin) -> Outcome {
    let id = name.strip_prefix("credential:").unwrap_or(name);
    let about = get(admin, &format!("/identities/{}", escaped(id))).await?;
    let mut answer = if id.contains(':') {
        about["identity"].clone()
    } else {
        get(admin, &format!("/credentials/{}", escaped(id))).await?
    };
    for part in ["last_used", "uses", "standing"] {
        answer[part] = about["identity"][part].clone();
    }
    for part in ["missing", "findings", "breaks", "uses_by"] {
        answer[part] = about[part].clone();
    }
    show(admin, &answer, || sheet(&about));
    Ok(())
}

/// A path segment.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

/// One identity for people.
fn sheet(about: &Value) -> String {
    let identity = &about["identity"];
    let fields = [
        ("status", cell("", &identity["standing"])),
        ("form", cell("", &identity["form"])),
        ("owner", cell("", &identity["owner"])),
        ("purpose", cell("", &identity["purpose"])),
        ("environment", cell("", &identity["environment"])),
        ("vendor", cell("", &identity["vendor"])),
        ("servers", cell("", &identity["servers"])),
        ("hosts", cell("", &identity["upstreams"])),
        ("scopes", cell("", &identity["scopes"])),
        ("created", day(&identity["created_at"])),
        ("secret since", day(&identity["changed_at"])),
        ("expires", day(&identity["expires_at"])),
        ("rotation", cell("", &identity["rotation"]["method"])),
        ("tested", tested(&identity["tested"])),
        ("uses", cell("", &identity["uses"])),
    ];
    let mut out = format!("{}\n", printable(&cell("", &identity["id"])));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!("  {name:13} {}\n", printable(value)));
    }
    for version in identity["versions"].as_array().into_iter().flatten() {
        let (number, state) = (cell("", &version["number"]), cell("", &version["state"]));
        let fingerprint = cell("", &version["fingerprint"]);
        out.push_str(&format!(
            "  version {number:5} {state:9} {} {fingerprint}\n",
            day(&version["created_at"])
        ));
    }
    let breaks = &about["breaks"];
    let names = |list: &Value| printable(&cell("", list));
    out.push_str(&format!(
        "\nWithout it these stop: servers [{}], tools [{}], users [{}], clients [{}]\n",
        names(&breaks["servers"]),
        names(&breaks["tools"]),
        names(&breaks["users"]),
        names(&breaks["clients"]),
    ));
    let missing = names(&about["missing"]);
    if !missing.is_empty() {
        out.push_str(&format!("Not known: {missing}\n"));
    }
    let findings: Vec<_> = about["findings"].as_array().into_iter().flatten().map(finding).collect();
    if !findings.is_empty() {
        out.push_str(&table(&["SEVERITY", "RULE", "IDENTITY", "WHAT", "WHAT TO DO"], findings));
    }
    out.trim_end().to_owned()
}

fn tested(tested: &Value) -> String {
    if tested.is_null() {
        return String::new();
    }
    format!("version {} was {} at {}", tested["version"], cell("", &tested["outcome"]), day(&tested["at"]))
}

fn finding(finding: &Value) -> Vec<String> {
    ["severity", "rule", "identity", "detail", "remedy"].map(|name| cell(name, &finding[name])).to_vec()
}

async fn report(format: ReportFormat, admin: &Admin) -> Outcome {
    let document = match format {
        ReportFormat::Text => None,
        ReportFormat::Csv => Some("csv"),
        ReportFormat::Findings => Some("findings"),
        ReportFormat::Ocsf => Some("ocsf"),
        ReportFormat::Cyclonedx => Some("cyclonedx"),
    };
    if let Some(document) = document {
        let path = format!("/governance/evidence/{document}");
        let text = client(admin).get_text(&path).await.map_err(Failure::refused)?;
        print!("{text}");
        return Ok(());
    }
    let answer = get(admin, "/governance/report").await?;
    show(admin, &answer, || summary(&answer));
    Ok(())
}

/// The report for people.
fn summary(report: &Value) -> String {
    let share = &report["visibility"];
    let per_mille = share["per_mille"].as_u64().unwrap_or(0);
    let mut out = format!(
        "Visibility {}.{} %: of {} identities {} are known in full\n",
        per_mille / 10,
        per_mille % 10,
        share["all"],
        share["known"],
    );
    let rows = share["have"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|have| vec![cell("", &have["field"]), cell("", &have["have"]), cell("", &have["lack"])]);
    out.push_str(&table(&["KNOWN", "HAVE", "LACK"], rows.collect()));
    let kinds = report["identities"].as_object().into_iter().flatten();
    let kinds: Vec<_> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
    out.push_str(&format!("\nIdentities: {}\n", kinds.join(", ")));
    for spot in share["blind_spots"].as_array().into_iter().flatten() {
        out.push_str(&format!("Not seen: {}\n", printable(&cell("", spot))));
    }
    for one in report["emergencies"].as_array().into_iter().flatten() {
        let part = |name: &str| printable(&cell(name, &one[name]));
        let (user, server, standing) = (part("user"), part("server"), part("standing"));
        out.push_str(&format!("Emergency: {user} at {server}, {standing}: {}\n", part("reason")));
    }
    let findings: Vec<_> = report["findings"].as_array().into_iter().flatten().map(finding).collect();
    if findings.is_empty() {
        out.push_str("Nothing is wrong.");
    } else {
        out.push_str(&table(&["SEVERITY", "RULE", "IDENTITY", "WHAT", "WHAT TO DO"], findings));
    }
    out
}

async fn emergency(command: EmergencyCommand) -> Outcome {
    match command {
        EmergencyCommand::List(admin) => {
            let columns = [
                ("id", "ID"),
                ("user", "WHO"),
                ("server", "SERVER"),
                ("standing", "IS"),
                ("reason", "WHY"),
                ("asked_at", "ASKED"),
            ];
            super::admin::listing(&admin, "/emergencies", "emergencies", &columns).await
        }
        EmergencyCommand::End { id, why, admin } => {
            done(&admin, &format!("/emergencies/{}/end", escaped(&id)), &json!({ "why": why })).await
        }
    }
}

async fn review(command: Review) -> Outcome {
    let columns = ["IDENTITY", "OWNER", "REVIEWER", "UNTIL", "SAID", "WHY"];
    match command {
        Review::Open { campaign, reviewers, within, admin } => {
            let seconds = duration(&within).map_err(Failure::Usage)?.as_secs();
            let body = json!({ "campaign": campaign, "reviewers": reviewers, "seconds": seconds });
            let answer = post(&admin, "/reviews", &body).await?;
            show(&admin, &answer, || {
                let rows = answer["reviews"].as_array().into_iter().flatten().map(reviewed).collect();
                format!("{}\nThe reviewers sign in and answer at /reviews.", table(&columns, rows))
            });
        }
        Review::List { campaign, admin } => {
            let mut answer = get(&admin, "/reviews").await?;
            if let (Some(campaign), Some(rows)) = (campaign, answer["reviews"].as_array_mut()) {
                rows.retain(|row| row["campaign"] == campaign);
            }
            show(&admin, &answer, || {
                let rows = answer["reviews"].as_array().into_iter().flatten().map(reviewed).collect();
                table(&columns, rows)
            });
        }
    }
    Ok(())
}

fn reviewed(review: &Value) -> Vec<String> {
    let verdict = &review["verdict"];
    let said = match (&verdict["keep"], &review["closed_at"]) {
        (Value::Bool(true), _) => "keep",
        (Value::Bool(false), _) => "end",
        (_, Value::Null) => "",
        _ => "nothing: ended",
    };
    vec![
        cell("", &review["identity"]),
        cell("", &review["owner"]),
        cell("", &review["reviewer"]),
        day(&review["due_at"]),
        said.to_owned(),
        cell("", &verdict["why"]),
    ]
}

async fn reach(from: &ReachFrom, admin: &Admin) -> Outcome {
    let given = [
        ("user", &from.user),
        ("client", &from.client),
        ("server", &from.server),
        ("credential", &from.credential),
    ];
    let query =
        given.into_iter().find_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_ref()?))));
    let answer = get(admin, &format!("/governance/reach?{}", query.unwrap_or_default())).await?;
    show(admin, &answer, || {
        let parts = ["servers", "tools", "used", "credentials", "hosts"];
        let rows = parts.iter().map(|part| vec![(*part).to_owned(), cell("", &answer[*part])]).collect();
        table(&["REACHES", ""], rows)
    });
    Ok(())
}
