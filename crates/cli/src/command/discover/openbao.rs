//! What is in a KV engine of OpenBao or Vault, version 1 or 2: the paths and the names of their fields, with fingerprints.
//! Reads only, within bounds, and follows no redirect: the token goes to the given address alone.

use super::files;
use super::inventory::{Elsewhere, Inventory};
use crate::args::CredDiscover;
use crate::command::Failure;
use crate::doctor::fetch::{Ask, Fetcher};
use http::StatusCode;
use portunus_core::limits::{DISCOVER_KV_DEPTH, DISCOVER_KV_PATHS};
use portunus_core::secret::Secret;
use portunus_discover::recognise::Why;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use url::Url;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn look(asked: &CredDiscover, url: &str, inventory: &mut Inventory) -> Result<(), Failure> {
    let base = Url::parse(url).map_err(|error| Failure::Usage(format!("--openbao {url}: {error}")))?;
    let Some(token_file) = &asked.token_file else {
        return Err(Failure::Usage(String::from("--openbao needs --token-file")));
    };
    let token = files::text(token_file)
        .map_err(|problem| Failure::Usage(format!("--token-file {}: {problem}", token_file.display())))?;
    let token = Secret::new(token.expose().trim().to_owned());
    let mut fetcher = Fetcher::new(asked.ca.as_deref(), PATIENCE).map_err(Failure::Usage)?;
    fetcher.reach(&base).await.map_err(|error| Failure::refused(format!("--openbao: {error}")))?;
    let bao = Bao { fetcher, base, token };
    for path in &asked.path {
        bao.walk(path.trim_matches('/'), inventory).await?;
    }
    Ok(())
}

struct Bao {
    fetcher: Fetcher,
    base: Url,
    token: Secret<String>,
}

/// An answer: a value, nothing there, or not allowed.
enum Said {
    Value(Value),
    Nothing,
    Refused(String),
}

impl Bao {
    async fn walk(&self, path: &str, inventory: &mut Inventory) -> Result<(), Failure> {
        let (mount, below, versioned) = self.mount(path).await?;
        let (list, data) = if versioned { ("metadata/", "data/") } else { ("", "") };
        let mut waiting = VecDeque::from([(below, 0_usize)]);
        let mut looked = 0;
        while let Some((at, depth)) = waiting.pop_front() {
            looked += 1;
            if looked > DISCOVER_KV_PATHS || depth > DISCOVER_KV_DEPTH {
                let place = format!("openbao {mount}/{at}");
                inventory.problems.push((place, String::from("there is more than is looked at")));
                break;
            }
            if !at.is_empty() && !at.ends_with('/') {
                self.read(&format!("{mount}/{data}{at}"), &format!("{mount}/{at}"), versioned, inventory)
                    .await?;
            }
            // A path may be a secret and a folder at once.
            if at.is_empty() || at.ends_with('/') || depth == 0 {
                let folder = if at.is_empty() || at.ends_with('/') { at.clone() } else { format!("{at}/") };
                match self.get(&format!("{mount}/{list}{folder}"), true).await? {
                    Said::Value(value) => {
                        let keys = value["data"]["keys"].as_array().cloned().unwrap_or_default();
                        let names = keys.iter().filter_map(Value::as_str).filter(|name| is_name(name));
                        waiting.extend(names.map(|name| (format!("{folder}{name}"), depth + 1)));
                    }
                    Said::Nothing => {}
                    Said::Refused(why) => inventory.problems.push((format!("openbao {mount}/{folder}"), why)),
                }
            }
        }
        Ok(())
    }

    /// The mount that a path is in, what is below it, and whether it keeps versions (KV 2).
    async fn mount(&self, path: &str) -> Result<(String, String, bool), Failure> {
        let asked = self.get(&format!("sys/internal/ui/mounts/{path}"), false).await?;
        let Said::Value(value) = asked else {
            return Err(Failure::refused(format!(
                "--path {path}: there is no engine there, or the token may not see it"
            )));
        };
        let engine = &value["data"];
        let mount = engine["path"].as_str().unwrap_or_default().trim_matches('/').to_owned();
        let kind = engine["type"].as_str().unwrap_or_default();
        if mount.is_empty() || !matches!(kind, "kv" | "generic") {
            return Err(Failure::refused(format!("--path {path}: it is no KV engine")));
        }
        let below = path.strip_prefix(mount.as_str()).unwrap_or_default().trim_start_matches('/').to_owned();
        Ok((mount, below, engine["options"]["version"] == "2"))
    }

    async fn read(
        &self,
        path: &str,
        name: &str,
        versioned: bool,
        inventory: &mut Inventory,
    ) -> Result<(), Failure> {
        match self.get(path, false).await? {
            Said::Value(value) => {
                let data = if versioned { &value["data"]["data"] } else { &value["data"] };
                let mut secrets = Vec::new();
                fields(data, "", 0, &mut secrets);
                let name = name.to_owned();
                inventory.elsewhere.push(Elsewhere { source: "openbao", name, pid: None, secrets });
            }
            Said::Nothing => {}
            Said::Refused(why) => inventory.problems.push((format!("openbao {name}"), why)),
        }
        Ok(())
    }

    async fn get(&self, path: &str, list: bool) -> Result<Said, Failure> {
        let mut url = self.base.clone();
        let whole = format!("v1/{path}");
        match url.path_segments_mut() {
            // Each part by itself, so that a name cannot lead to another path.
            Ok(mut segments) => drop(segments.pop_if_empty().extend(whole.split('/'))),
            Err(()) => return Err(Failure::Usage(String::from("--openbao: it is not http:// or https://"))),
        }
        if list {
            url.set_query(Some("list=true"));
        }
        let headers = vec![
            ("x-vault-token", self.token.expose().clone()),
            ("accept", String::from("application/json")),
        ];
        let answer = self.fetcher.send(&url, Ask { headers, ..Ask::default() }).await;
        let answer = answer.map_err(|error| Failure::refused(format!("--openbao: {error}")))?;
        Ok(match answer.status {
            StatusCode::OK => Said::Value(answer.json().unwrap_or(Value::Null)),
            StatusCode::NOT_FOUND => Said::Nothing,
            status => Said::Refused(format!("it answered {status}")),
        })
    }
}

/// Whether a listed name is one part of a path, perhaps with a slash behind it.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('/').unwrap_or(name);
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// Everything in a store of secrets is one.
fn fields(value: &Value, at: &str, depth: usize, secrets: &mut Vec<(String, Why, Secret<String>)>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(members) if depth < DISCOVER_KV_DEPTH => {
            for (name, value) in members {
                fields(value, &below(name), depth + 1, secrets);
            }
        }
        Value::Array(elements) if depth < DISCOVER_KV_DEPTH => {
            for (index, value) in elements.iter().enumerate() {
                fields(value, &below(&index.to_string()), depth + 1, secrets);
            }
        }
        Value::Null | Value::Bool(_) => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => secrets.push((at.to_owned(), Why::Stored, Secret::new(text.clone()))),
        other => secrets.push((at.to_owned(), Why::Stored, Secret::new(other.to_string()))),
    }
}
