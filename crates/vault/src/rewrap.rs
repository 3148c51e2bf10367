//! Everything sealed in the store: counted by the key that seals it, or wrapped anew by the key that seals now. Only wrapped
//! data keys change, never a content.
//!
//! Values of format 2 are found by their text in documents of every kind, so that no kind can be forgotten; those of format 1
//! only ever stood in credentials and settings. What was done stands in the values themselves: a pass that ends in the middle
//! is simply followed by another.

use crate::credential;
use crate::key::KeyId;
use crate::ring::SealingKey;
use crate::sealing::{Context, Envelope, WORD};
use memchr::memmem;
use portunus_core::document::{Credential, Setting};
use portunus_core::limits::REWRAP_BATCH;
use portunus_core::store::{Batch, Change, Entry, Expect, Kind, Query, Store, StoreError, Write};
use portunus_core::time::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Documents read at once.
const PAGE: usize = 500;
/// How often one document is tried anew when it changes at the same moment; the next pass meets it again.
const ATTEMPTS: usize = 16;
/// Damaged values that are named; further ones are only counted.
const NAMED: usize = 100;

/// What is sealed with which key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Documents looked at.
    pub documents: u64,
    /// Sealed values by the key whose wrapping was opened to know it; for keys that are not known here, by what the value says.
    pub sealed: BTreeMap<KeyId, u64>,
    /// Texts that look like sealed values and open with no known key: how many.
    pub damaged: u64,
    /// Where the first of these are: `kind/id`.
    pub damaged_at: Vec<String>,
}

/// How far a pass has come; read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Documents in the store when the pass began.
    pub documents: AtomicU64,
    /// Documents looked at in this pass.
    pub seen: AtomicU64,
    /// Values wrapped anew by this process.
    pub rewrapped: AtomicU64,
}

/// Counts everything sealed in the store, each wrapping opened with the key that it is counted for.
///
/// # Errors
/// When the store fails.
pub async fn census(store: &dyn Store, key: &SealingKey) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for kind in Kind::ALL {
        let mut after = None;
        while let Some(page) = page(store, kind, after.as_deref()).await? {
            for entry in &page {
                census.documents += 1;
                for found in sealed_in(kind, &entry.value) {
                    census.count(key, &found, || format!("{}/{}", kind.as_str(), entry.id));
                }
            }
            after = page.into_iter().last().map(|entry| entry.id);
        }
    }
    Ok(census)
}

/// Wraps everything anew that another known key wraps; returns how many values that were. A pass that returns 0 has proven
/// that there is nothing left, but for what was committed behind its back.
///
/// # Errors
/// When the store fails. What was done is done.
pub async fn pass(
    store: &dyn Store,
    key: &SealingKey,
    progress: &Progress,
    rng: &dyn Rng,
) -> Result<u64, StoreError> {
    let mut documents = 0;
    for kind in Kind::ALL {
        documents += store.count(kind).await?;
    }
    progress.documents.store(documents, Ordering::Relaxed);
    progress.seen.store(0, Ordering::Relaxed);
    let mut rewrapped = 0;
    for kind in Kind::ALL {
        let mut after = None;
        while let Some(page) = page(store, kind, after.as_deref()).await? {
            for some in page.chunks(REWRAP_BATCH) {
                let done = together(store, key, kind, some, rng).await?;
                rewrapped += done;
                progress.rewrapped.fetch_add(done, Ordering::Relaxed);
                progress.seen.fetch_add(some.len() as u64, Ordering::Relaxed);
            }
            after = page.into_iter().last().map(|entry| entry.id);
        }
    }
    Ok(rewrapped)
}

async fn page(store: &dyn Store, kind: Kind, after: Option<&str>) -> Result<Option<Vec<Entry>>, StoreError> {
    let query = Query { after, limit: PAGE, ..Query::default() };
    let page = store.list(kind, query).await?;
    Ok(if page.is_empty() { None } else { Some(page) })
}

/// Some documents in one commit, or one by one when any of them has changed meanwhile.
async fn together(
    store: &dyn Store,
    key: &SealingKey,
    kind: Kind,
    entries: &[Entry],
    rng: &dyn Rng,
) -> Result<u64, StoreError> {
    let mut batch = Batch::new();
    let mut values = 0;
    for entry in entries {
        if let Some((write, count)) = rewritten(key, kind, entry, rng) {
            batch.writes.push(write);
            values += count;
        }
    }
    if batch.writes.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = batch.writes.iter().map(|write| write.id.clone()).collect();
    match store.commit(batch).await {
        Ok(_) => return Ok(values),
        Err(StoreError::Conflict { .. }) => values = 0,
        Err(error) => return Err(error),
    }
    for id in ids {
        values += alone(store, key, kind, &id, rng).await?;
    }
    Ok(values)
}

async fn alone(
    store: &dyn Store,
    key: &SealingKey,
    kind: Kind,
    id: &str,
    rng: &dyn Rng,
) -> Result<u64, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some(entry) = store.get(kind, id).await? else { return Ok(0) };
        let Some((write, count)) = rewritten(key, kind, &entry, rng) else { return Ok(0) };
        match store.commit(Batch { writes: vec![write] }).await {
            Ok(_) => return Ok(count),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // Not counted as nothing: there has to be another pass.
    Ok(1)
}

/// The document with its data keys wrapped anew, and how many those are; `None` when there is nothing to do.
fn rewritten(key: &SealingKey, kind: Kind, entry: &Entry, rng: &dyn Rng) -> Option<(Write, u64)> {
    let (mut value, mut count) = (entry.value.clone(), 0);
    let current = key.current().id();
    for found in sealed_in(kind, &entry.value) {
        if found.envelope.key() == current || key.of_id(found.envelope.key()).is_none() {
            continue;
        }
        // What does not open is nobody's: it stays, and the census names it.
        let Ok(text) = found.envelope.rewrap(key, found.context.as_ref(), rng) else { continue };
        let Some(place) = value.get_mut(found.place).filter(|place| place.len() == text.len()) else {
            continue;
        };
        place.copy_from_slice(text.as_bytes());
        count += 1;
    }
    let Entry { id, version, parent, expires_at, .. } = entry;
    let change = Change::Put { parent: parent.clone(), expires_at: *expires_at, value };
    let write = Write { kind, id: id.clone(), expect: Expect::Version(*version), change };
    (count > 0).then_some((write, count))
}

/// A sealed value in a document.
struct Found {
    /// Its text, in the document's bytes.
    place: Range<usize>,
    envelope: Envelope,
    /// For format 1.
    context: Option<Context>,
}

fn sealed_in(kind: Kind, document: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = memmem::find_iter(document, WORD.as_bytes())
        .filter_map(|start| {
            let text = document.get(start..)?;
            let rest = text.get(WORD.len()..)?.iter().take_while(|byte| is_base64(**byte)).count();
            let place = start..start + WORD.len() + rest;
            let text = std::str::from_utf8(document.get(place.clone())?).ok()?;
            Some(Found { place, envelope: Envelope::parse(text).ok()?, context: None })
        })
        .collect();
    found.extend(first_format(kind, document));
    found
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Values of format 1: base64 and nothing else, where credentials and settings have them.
fn first_format(kind: Kind, document: &[u8]) -> Vec<Found> {
    let texts: Vec<(String, Context)> = match kind {
        Kind::Credential => serde_json::from_slice::<Credential>(document).map_or_else(
            |_| Vec::new(),
            |mut read| {
                let versions = std::mem::take(&mut read.versions);
                let texts =
                    versions.into_iter().map(|one| (one.sealed, credential::context(&read, one.number)));
                texts.collect()
            },
        ),
        Kind::Setting => serde_json::from_slice::<Setting>(document)
            .map_or_else(|_| Vec::new(), |setting| vec![(setting.value, Context::setting(&setting.name))]),
        _ => Vec::new(),
    };
    let found = texts.into_iter().filter_map(|(text, context)| {
        let envelope = Envelope::parse(&text).ok().filter(Envelope::needs_context)?;
        let start = memmem::find(document, text.as_bytes())?;
        Some(Found { place: start..start + text.len(), envelope, context: Some(context) })
    });
    found.collect()
}

impl Census {
    fn count(&mut self, key: &SealingKey, found: &Found, place: impl FnOnce() -> String) {
        let id = found.envelope.key();
        let known = key.of_id(id).is_some();
        if known && found.envelope.unwrap(key, found.context.as_ref()).is_err() {
            self.damaged += 1;
            if self.damaged_at.len() < NAMED {
                self.damaged_at.push(place());
            }
        } else {
            *self.sealed.entry(id).or_default() += 1;
        }
    }
}
