//! What nobody registered, seen in traffic: secrets in arguments, tools that are not in the lockfile, hosts that a server
//! points at. It is refused, noted in memory, and written to the store within seconds off the way of a request.

use crate::Edge;
use crate::decide::Case;
use portunus_core::document::{Observed, ObservedKind};
use portunus_core::limits;
use portunus_core::store::{Batch, Document, Store, StoreError, list_all};
use portunus_pins::Kind;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a call is refused that carries a secret of a known maker. What the registry holds is injected behind the edge: a secret
/// in arguments is one that nobody governs, or that leaked. It is noted, and goes on only to a tool that takes secrets.
pub fn secret_in_arguments(edge: &Edge, case: &Case<'_>) -> Option<String> {
    let texts =
        [case.asked.arguments().map(|raw| String::from_utf8_lossy(raw)), case.asked.besides().map(Cow::from)];
    let refused = !case.asked.tool().is_some_and(|tool| case.published.takes_secrets.contains(tool));
    let mut seen = 0;
    for text in texts.iter().flatten().map(|text| unescaped(text)) {
        for range in portunus_disclose::tokens(&text).into_iter().take(limits::OBSERVED_IN_CALL) {
            let secret = text.get(range).unwrap_or_default();
            note(edge, case, ObservedKind::Credential, edge.vault.fingerprint(secret.as_bytes()), refused);
            seen += 1;
        }
    }
    (seen > 0 && refused).then(|| {
        String::from(
            "The arguments hold what looks like a secret key or token. Secrets do not belong in calls: register it with \
             `portunus cred add`, and the edge presents it; or have an administrator mark the tool with `secrets: true`.",
        )
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

/// Notes where a server wanted to send its caller.
pub fn host(edge: &Edge, case: &Case<'_>, location: &str) {
    let Ok(url) = url::Url::parse(location) else { return };
    let Some(host) = url.host_str() else { return };
    let host: String = host.chars().take(limits::OBSERVED_NAME_CHARS).collect();
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    note(edge, case, ObservedKind::Host, format!("{host}{port}"), true);
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
        } else if held.len() < limits::OBSERVED_HELD {
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
    let mut of_user: HashMap<_, usize> = HashMap::new();
    for entry in &known {
        *of_user.entry(entry.value.user.clone()).or_default() += 1;
    }
    let (mut batch, mut room) = (Batch::new(), limits::OBSERVED.saturating_sub(known.len()));
    for seen in pending {
        let id = seen.id();
        if let Some(entry) = known.iter().find(|entry| entry.value.id() == id) {
            let mut value = entry.value.clone();
            value.add(seen.clone());
            batch = batch.update(&value, entry.version);
            continue;
        }
        let of_user = of_user.entry(seen.user.clone()).or_default();
        if room > 0 && *of_user < limits::OBSERVED_PER_USER {
            (room, *of_user) = (room - 1, *of_user + 1);
            batch = batch.insert(seen);
        }
    }
    store.commit(batch).await.map(drop)
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
