//! What nobody registered, seen in traffic: secrets in arguments, tools that are not in the lockfile, hosts that a server
//! points at. It is refused, noted in memory, and written to the store within seconds off the way of a request.

use crate::Edge;
use crate::decide::Case;
use portunus_core::document::{Credential, Observed, ObservedKind};
use portunus_core::id::{ServerName, UserName};
use portunus_core::limits;
use portunus_core::server::Upstream;
use portunus_core::store::{Batch, Document, Store, StoreError, Versioned, list_all};
use portunus_pins::Kind;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a message is refused that carries a secret of a known maker. What the registry holds is injected behind the edge: a
/// secret from the client is one that nobody governs, or that leaked. It is noted, and goes on only to a tool that takes
/// secrets.
pub fn secret_carried(edge: &Edge, case: &Case<'_>) -> Option<String> {
    let asked = case.asked;
    let arguments = asked.arguments().map(|raw| String::from_utf8_lossy(raw));
    let besides = asked.besides().map(Cow::from);
    let all = String::from_utf8_lossy(&asked.body);
    let refused = !asked.tool().is_some_and(|tool| case.published.takes_secrets.contains(tool));
    // What surrounds them has handles of the server's own, which may be signed tokens.
    let whole = unescaped(&all);
    let opaque = |secret: &str| secret.starts_with("eyJ");
    let mut found: BTreeSet<String> = secrets(&whole).filter(|secret| !opaque(secret)).collect();
    for text in [&arguments, &besides].into_iter().flatten() {
        found.extend(secrets(&unescaped(text)));
    }
    for secret in found.iter().take(limits::OBSERVED_IN_CALL) {
        note(edge, case, ObservedKind::Credential, edge.vault.fingerprint(secret.as_bytes()), refused);
    }
    (!found.is_empty() && refused).then(|| {
        String::from(
            "The message holds what looks like a secret key or token. Secrets do not belong in calls: register it with \
             `portunus cred add`, and the edge presents it; or have an administrator list the tool under the server's `secrets`.",
        )
    })
}

/// The secrets in a text, without what is written behind them in addresses and sentences.
fn secrets(text: &str) -> impl Iterator<Item = String> + use<'_> {
    let found = portunus_disclose::tokens(text).into_iter();
    found.filter_map(|range| {
        let before = text.get(..range.start).unwrap_or_default();
        let secret = text.get(range)?;
        // Keys that are meant to be seen, and the name of a key in a signed address.
        let public = ["AIza", "pk_live_"].iter().any(|start| secret.starts_with(start))
            || before.ends_with("Credential=");
        let dotted = ["eyJ", "SG.", "ya29.", "hvs.", "hvb.", "xoxe.", "-----"]
            .iter()
            .any(|start| secret.starts_with(start));
        let is_end = |byte: char| !(byte.is_ascii_alphanumeric() || matches!(byte, '_' | '-'));
        let end = if dotted { secret.len() } else { secret.find(is_end).unwrap_or(secret.len()) };
        (!public).then(|| secret.get(..end).unwrap_or_default().to_owned())
    })
}

/// Notes the call of a tool that is not in the lockfile.
pub fn tool(edge: &Edge, case: &Case<'_>) {
    let Some(name) = case.asked.tool() else { return };
    if case.published.pinned
        && edge.pins.lock().entry(&case.published.server.name, Kind::Tool, name).is_none()
    {
        let name = edge.redactor.text(name).chars().take(limits::OBSERVED_NAME_CHARS).collect();
        note(edge, case, ObservedKind::Tool, name, true);
    }
}

/// Notes where a server wanted to send its caller, other than elsewhere on its own host.
pub fn host(edge: &Edge, case: &Case<'_>, location: &str) {
    let Ok(url) = url::Url::parse(location) else { return };
    let Some(host) = authority(&url) else { return };
    let own = match &case.published.server.upstream {
        Upstream::Http(url) => authority(url),
        Upstream::Tunnel | Upstream::Program(_) => None,
    };
    if own.as_ref() != Some(&host) {
        note(edge, case, ObservedKind::Host, host, true);
    }
}

fn authority(url: &url::Url) -> Option<String> {
    let host: String = url.host_str()?.chars().take(limits::OBSERVED_NAME_CHARS).collect();
    Some(url.port_or_known_default().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

fn note(edge: &Edge, case: &Case<'_>, kind: ObservedKind, name: String, refused: bool) {
    let known =
        case.asked.tool().filter(|tool| case.snapshot.engine.knows_tool(&case.published.server.name, tool));
    edge.observed.note(Observed {
        kind,
        name,
        server: case.published.server.name.clone(),
        tool: known.unwrap_or_default().to_owned(),
        user: case.known.caller.user.clone(),
        client: case.known.caller.client.clone(),
        refused,
        count: 1,
        first_at: case.now,
        last_at: case.now,
    });
}

/// The text with its JSON escapes resolved, where there are some that could hide a secret.
fn unescaped(text: &str) -> Cow<'_, str> {
    fn gather(value: &Value, into: &mut String) {
        match value {
            Value::String(text) => {
                into.push_str(text);
                into.push('\n');
            }
            Value::Array(all) => all.iter().for_each(|value| gather(value, into)),
            Value::Object(all) => all.iter().for_each(|(key, value)| {
                into.push_str(key);
                into.push('\n');
                gather(value, into);
            }),
            _ => {}
        }
    }
    let parsed = text.contains("\\").then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    parsed.map_or(Cow::Borrowed(text), |value| {
        let mut all = String::with_capacity(text.len());
        gather(&value, &mut all);
        Cow::Owned(all)
    })
}

/// What was seen and is not in the store yet.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<HashMap<String, Observed>>);

impl Sightings {
    fn note(&self, seen: Observed) {
        let id = seen.id();
        let mut held = self.lock();
        if let Some(known) = held.get_mut(&id) {
            known.add(seen);
            return;
        }
        let of_user = held.values().filter(|known| known.user == seen.user).count();
        if held.len() < limits::OBSERVED_HELD && of_user < limits::OBSERVED_PER_USER {
            held.insert(id, seen);
        }
        // Else more new things are seen in a second than people will ever look at.
    }

    /// Adds what was seen to the store, up to [`limits::OBSERVED`] things, and [`limits::OBSERVED_PER_USER`] of one user's.
    ///
    /// # Errors
    /// When the store fails; it is tried again the next time.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let pending: Vec<Observed> = std::mem::take(&mut *self.lock()).into_values().collect();
        if pending.is_empty() {
            return Ok(());
        }
        let written = write(store, &pending).await;
        if written.is_err() {
            pending.into_iter().for_each(|seen| self.note(seen));
        }
        match written {
            // Another edge was quicker.
            Err(StoreError::Conflict { .. }) => Ok(()),
            written => written,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Observed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(store: &dyn Store, pending: &[Observed]) -> Result<(), StoreError> {
    let known = list_all::<Observed>(store, None).await?;
    let by_id: HashMap<String, &Versioned<Observed>> =
        known.iter().map(|entry| (entry.value.id(), entry)).collect();
    let mut taken: HashMap<Share, usize> = HashMap::new();
    known.iter().for_each(|entry| *taken.entry(Share::of(&entry.value)).or_default() += 1);
    let (mut batch, mut room) = (Batch::new(), limits::OBSERVED.saturating_sub(known.len()));
    let mut registered = None;
    for seen in pending {
        if let Some(entry) = by_id.get(&seen.id()) {
            let mut value = entry.value.clone();
            value.add(seen.clone());
            batch = batch.update(&value, entry.version);
            continue;
        }
        let share = Share::of(seen);
        let most = if matches!(share, Share::Server(_)) {
            limits::OBSERVED_HOSTS
        } else {
            limits::OBSERVED_PER_USER
        };
        let taken = taken.entry(share).or_default();
        if room > 0 && *taken < most {
            (room, *taken) = (room - 1, *taken + 1);
            batch = batch.insert(seen);
        } else if seen.kind == ObservedKind::Credential {
            // Nobody keeps the word of a secret of ours from being passed on by sending many others before.
            if registered.is_none() {
                registered = Some(fingerprints(store).await?);
            }
            if registered.as_ref().is_some_and(|all| all.contains(&seen.name)) {
                batch = batch.insert(seen);
            }
        }
    }
    store.commit(batch).await.map(drop)
}

/// Whose share of the list a thing takes. What was let through is not crowded out by what was refused.
#[derive(PartialEq, Eq, Hash)]
enum Share {
    Server(ServerName),
    Refused(UserName),
    LetThrough(UserName),
}

impl Share {
    fn of(seen: &Observed) -> Self {
        match (seen.kind, seen.refused) {
            (ObservedKind::Host, _) => Self::Server(seen.server.clone()),
            (_, true) => Self::Refused(seen.user.clone()),
            (_, false) => Self::LetThrough(seen.user.clone()),
        }
    }
}

/// Those of all versions that are registered.
async fn fingerprints(store: &dyn Store) -> Result<HashSet<String>, StoreError> {
    let all = list_all::<Credential>(store, None).await?.into_iter();
    Ok(all.flat_map(|found| found.value.versions).map(|version| version.fingerprint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_hide_no_secret_and_ordinary_arguments_stay_as_they_are() {
        assert!(matches!(unescaped(r#"{"q":"a"}"#), Cow::Borrowed(_)));
        let hidden = r#"{"q":{"\u0067hp_":["\u0067hp_0123456789abcdefghij0123456789abcdef"]}}"#;
        assert_eq!(portunus_disclose::tokens(&unescaped(hidden)).len(), 1);
    }
}
