//! One finding is brought under the edge. First everything is checked, then the backup is kept, then the credential is
//! added, and last the file is replaced: whatever fails on the way leaves the client working as it did.

use super::backup::{Backups, What};
use super::inventory::{File, Inventory, Veil, target};
use super::replace;
use crate::args::{CredDiscover, Into};
use crate::command::admin::{client, post, show};
use crate::command::cred::moment;
use crate::command::{Failure, Outcome};
use data_encoding::BASE64;
use portunus_core::document::CredentialKind;
use portunus_core::id::{CredentialName, ServerName};
use portunus_core::secret::Secret;
use portunus_discover::{Binding, Found, Server, Transport, rewrite};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What is to be imported.
enum Chosen<'a> {
    /// A whole entry.
    Entry(&'a File, &'a Server, usize),
    /// A value alone.
    Value(&'a File, &'a Found),
}

/// What an import does, checked.
struct Plan<'a> {
    file: &'a File,
    edited: String,
    published: Value,
    /// What becomes a credential, and under which name; `None`: the entry has no secret.
    credential: Option<(String, &'a Binding, CredentialKind, String)>,
}

pub(super) async fn run(
    inventory: &Inventory,
    asked: &CredDiscover,
    name: &str,
    home: &Path,
    backups: &Backups,
) -> Outcome {
    let veil = inventory.veil();
    let chosen = choose(inventory, name, &veil)?;
    let answer = client(&asked.admin).get("/servers").await.map_err(Failure::refused)?;
    let plan = plan(&chosen, &asked.into, &answer)?;
    let roots: Vec<PathBuf> = match plan.file.scope {
        "user" => vec![home.to_owned()],
        // A project's file stays in its project, a named one where it is.
        "project" => asked.project.iter().cloned().chain([home.to_owned()]).collect(),
        _ => plan
            .file
            .path
            .parent()
            .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
            .map(Path::to_owned)
            .into_iter()
            .collect(),
    };
    let target = replace::check(&plan.file.path, &roots).map_err(Failure::Refused)?;
    let server = plan.published["name"].as_str().unwrap_or_default().to_owned();
    let credential = plan.credential.as_ref().map(|(name, ..)| name.clone());
    let what = What {
        file: target.path.clone(),
        import: veil.over(name),
        server: server.clone(),
        credential: credential.clone(),
        before: String::new(),
        after: String::new(),
    };
    let before = plan.file.text.expose();
    let backup = backups.keep(what, before, &plan.edited).map_err(Failure::Refused)?;
    if let Some((name, binding, kind, host)) = &plan.credential {
        let added = add(asked, &server, name, binding, kind, host).await;
        if let Err(error) = added {
            // Nothing was changed, so there is nothing to go back to.
            let _ = backups.forget(&backup, &quiet(asked));
            return Err(error);
        }
    }
    replace::replace(&target, before.as_bytes(), plan.edited.as_bytes()).map_err(|problem| {
        Failure::Refused(format!(
            "{problem} (but the edge has the credential now: importing again goes on from there)"
        ))
    })?;
    let url = plan.published["url"].as_str().unwrap_or_default();
    let file = veil.over(&plan.file.path.display().to_string());
    let shown = json!({
        "imported": veil.over(name), "file": file, "server": server, "url": url, "credential": credential, "backup": backup,
    });
    show(&asked.admin, &shown, || {
        let held = credential
            .as_ref()
            .map_or_else(String::new, |name| format!("The edge holds the secret as credential {name}.\n"));
        format!(
            "{held}{file} goes to {url} now; restart the client.\n\
             Undo:    portunus cred discover --undo {backup}\n\
             When it works, delete the backup, which has the plain secret in it, and change the secret at its issuer:\n\
             \x20        portunus cred discover --forget {backup}"
        )
    });
    Ok(())
}

fn choose<'a>(inventory: &'a Inventory, name: &str, veil: &Veil) -> Result<Chosen<'a>, Failure> {
    let servers = inventory.servers();
    let of_name = |row: &&super::inventory::ServerRow| {
        row.id == name || inventory.files[row.file].reading.servers[row.index].name == name
    };
    let exact = servers.iter().filter(|row| row.id == name).collect::<Vec<_>>();
    let fitting = if exact.is_empty() { servers.iter().filter(of_name).collect() } else { exact };
    if let [row] = fitting.as_slice() {
        let file = &inventory.files[row.file];
        return Ok(Chosen::Entry(file, &file.reading.servers[row.index], row.index));
    }
    if fitting.len() > 1 {
        let ids: Vec<String> = fitting.iter().map(|row| veil.over(&row.id)).collect();
        return Err(Failure::Usage(format!(
            "{} servers have this name: say one of {}",
            ids.len(),
            ids.join(", ")
        )));
    }
    let rows = inventory.secrets();
    let row = rows.iter().find(|row| row.id == name);
    match row.and_then(|row| Some((row.file?, row.server.as_ref()))) {
        Some(((file, index), None)) => {
            let file = &inventory.files[file];
            Ok(Chosen::Value(file, &file.reading.found[index]))
        }
        Some((_, Some(server))) => {
            Err(Failure::Usage(format!("import the whole entry: {}", veil.over(server))))
        }
        None if row.is_some() => Err(Failure::Usage(String::from(
            "only what is in a file can be imported; use `portunus cred add`",
        ))),
        None => Err(Failure::Usage(format!(
            "nothing of the name {} was found; search without --import",
            veil.over(name)
        ))),
    }
}

fn plan<'a>(chosen: &Chosen<'a>, into: &Into, answer: &Value) -> Result<Plan<'a>, Failure> {
    let (file, bindings, transport, given) = match chosen {
        Chosen::Entry(file, server, index) => {
            let own = file.reading.found.iter().filter(|found| found.server == Some(*index));
            (*file, bindings(own)?, Some(&server.transport), server.name.as_str())
        }
        Chosen::Value(file, found) => (*file, bindings([*found].into_iter())?, None, ""),
    };
    let name = into.server.clone().unwrap_or_else(|| slug(given));
    let name = ServerName::parse(&name).map_err(|error| {
        Failure::Usage(format!("{error}: say which of the edge's servers it is with --server"))
    })?;
    let published =
        answer["servers"].as_array().into_iter().flatten().find(|row| row["name"] == name.as_str());
    let Some(published) = published.cloned() else {
        return Err(Failure::Refused(unpublished(&name, transport)));
    };
    let credential = match bindings.as_slice() {
        [] => None,
        [binding] => Some(credential(into, &name, binding, transport, &published)?),
        several => {
            let kinds: Vec<String> =
                several.iter().map(|b| format!("{} {}", b.kind.word(), b.kind.name())).collect();
            return Err(Failure::Refused(format!(
                "the entry has {} different secrets ({}), and an import takes one: add them with `portunus cred add` and rewrite the entry by hand",
                several.len(),
                kinds.join(", ")
            )));
        }
    };
    let url = published["url"].as_str().unwrap_or_default();
    let text = file.text.expose();
    let edited = match chosen {
        Chosen::Entry(file, server, _) => {
            rewrite::entry(file.client, file.format, text, server, &file.reading.found, url)
        }
        Chosen::Value(file, found) => rewrite::without(file.format, text, found),
    };
    let edited = edited.map_err(|error| Failure::Refused(format!("{}: {error}", file.path.display())))?;
    Ok(Plan { file, edited, published, credential })
}

/// The different ways in which the edge would give these secrets to the server.
fn bindings<'a>(found: impl Iterator<Item = &'a Found>) -> Result<Vec<&'a Binding>, Failure> {
    let found: Vec<&Found> = found.collect();
    let mut bindings: Vec<&Binding> = Vec::new();
    for binding in found.iter().filter_map(|found| found.binding.as_ref()) {
        if !bindings
            .iter()
            .any(|known| known.kind == binding.kind && known.secret.expose() == binding.secret.expose())
        {
            bindings.push(binding);
        }
    }
    let lost = found.iter().find(|found| {
        found.binding.is_none()
            && !bindings.iter().any(|known| known.secret.expose().contains(found.secret.expose().as_str()))
    });
    match lost {
        None => Ok(bindings),
        Some(found) => Err(Failure::Refused(format!(
            "the edge cannot give the secret at {} (line {}) to the server: it gives headers, parameters and variables. Give it to \
             the program as a variable if it takes one, and search again; nothing was changed",
            super::super::printable(&found.at),
            found.line
        ))),
    }
}

fn credential<'a>(
    into: &Into,
    server: &ServerName,
    binding: &'a Binding,
    transport: Option<&Transport>,
    published: &Value,
) -> Result<(String, &'a Binding, CredentialKind, String), Failure> {
    let kind = match &into.kind {
        None => binding.kind.clone(),
        Some(given) => kind(given)?,
    };
    let bound = published["credential"].as_str();
    let name = into.credential.as_deref().or(bound).map_or_else(|| format!("{server}-secret"), str::to_owned);
    let name = CredentialName::parse(&name).map_err(Failure::usage)?;
    match bound {
        Some(bound) if bound != name.as_str() => {
            return Err(Failure::Refused(format!(
                "the edge's server {server} is bound to the credential {bound}, not to {name}"
            )));
        }
        None => {
            return Err(Failure::Refused(format!(
                "the edge's server {server} is bound to no credential, and would get none: write `credential: {name}` into its entry in portunus.yaml, then import again; nothing was changed"
            )));
        }
        Some(_) => {}
    }
    let own = match transport {
        Some(Transport::Url { host, .. }) => Some(host.as_str()),
        _ => None,
    };
    let theirs = published["host"].as_str();
    let host = into.host.as_deref().or(own).or(theirs).ok_or_else(|| {
        Failure::Usage(String::from(
            "say with --host which host the secret is good for: the entry does not tell",
        ))
    })?;
    // What was given to one host is not sent to another because a name fits.
    if let Some(theirs) = theirs.filter(|theirs| !theirs.eq_ignore_ascii_case(host)) {
        return Err(Failure::Refused(format!(
            "the secret is for {host}, but the edge's server {server} is at {theirs}; nothing was changed. Is it another server? \
             Say --host {theirs} if the secret is good for it"
        )));
    }
    Ok((name.to_string(), binding, kind, host.to_owned()))
}

async fn add(
    asked: &CredDiscover,
    server: &str,
    name: &str,
    binding: &Binding,
    kind: &CredentialKind,
    host: &str,
) -> Result<(), Failure> {
    let encoded = Secret::new(BASE64.encode(binding.secret.expose().as_bytes()));
    let known = post(&asked.admin, "/fingerprints", &json!({ "secrets": [encoded.expose()] })).await?;
    let known =
        known["fingerprints"][0]["credentials"].as_array().into_iter().flatten().any(|known| known == name);
    let expires = moment("expires", asked.into.expires.as_deref().unwrap_or_default())?;
    if known {
        // An import that was cut short goes on from here.
        let there =
            client(&asked.admin).get(&format!("/credentials/{name}")).await.map_err(Failure::refused)?;
        if there["server"] == server && there["revoked_at"].is_null() {
            return Ok(());
        }
    }
    let purpose = asked
        .into
        .purpose
        .clone()
        .unwrap_or_else(|| format!("found in a client's configuration, for {server}"));
    let body = json!({
        "name": name, "kind": kind, "server": server, "hosts": [host], "owner": asked.into.owner, "purpose": purpose,
        "expires_at": expires, "replace": false, "secret": encoded.expose(),
    });
    post(&asked.admin, "/credentials", &body).await.map(drop)
}

/// `bearer`, `header=NAME` and so on.
fn kind(given: &str) -> Result<CredentialKind, Failure> {
    let name = |name: &str| name.to_owned();
    Ok(match given.split_once('=') {
        None if given == "bearer" => CredentialKind::Bearer,
        Some(("header", header)) => CredentialKind::Header(name(header)),
        Some(("basic", user)) => CredentialKind::Basic(name(user)),
        Some(("query", parameter)) => CredentialKind::Query(name(parameter)),
        Some(("env", variable)) => CredentialKind::Environment(name(variable)),
        _ => {
            let words = "it must be `bearer`, `header=NAME`, `basic=USER`, `query=NAME` or `env=NAME`";
            return Err(Failure::Usage(format!("--as {given}: {words}")));
        }
    })
}

/// What to write into `portunus.yaml` first. An entry that goes to a server which is not there would only break the client.
fn unpublished(name: &ServerName, transport: Option<&Transport>) -> String {
    let upstream = match transport {
        Some(Transport::Url { .. }) => "{ url: THE_URL_OF_THE_ENTRY }".to_owned(),
        Some(Transport::Program(_)) => "{ command: [THE_COMMAND_OF_THE_ENTRY] }".to_owned(),
        None => "…".to_owned(),
    };
    let place = transport.map_or_else(String::new, |transport| {
        format!("   # {}", super::super::printable(&target(transport)))
    });
    format!(
        "the edge publishes no server `{name}`; nothing was changed. Write it into portunus.yaml (--server names another), then \
         import again:\n\nservers:\n  - name: {name}\n    owner: …\n    purpose: …\n    upstream: {upstream}{place}\n    credential: {name}-secret"
    )
}

/// A name as servers of the edge have it.
fn slug(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").chars().take(63).collect()
}

fn quiet(asked: &CredDiscover) -> crate::args::Admin {
    asked.admin.clone()
}
