//! What of a result's data is shown: values of data classes treated as policies say, rows cut to what may be released; and
//! what was shown puts its labels on the session before it is released.

use crate::Edge;
use crate::counters::{Count, Counters, Whose};
use crate::decide::{self, Case};
use crate::labels::{Labels, Put};
use crate::screen::Barred;
use bytes::Bytes;
use portunus_core::caller::Caller;
use portunus_core::secret::Secret;
use portunus_core::store::StoreError;
use portunus_core::time::Clock;
use portunus_disclose::class::Class;
use portunus_disclose::rows;
use portunus_disclose::veil::{Classes, Rules, Veil};
use portunus_mcp::json;
use portunus_policy::Operation;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The data classes that are looked for, and the labels that their values put on sessions.
#[derive(Debug, Clone, Default)]
pub struct DataClasses {
    /// Compiled.
    pub classes: Classes,
    /// By name of the class.
    pub labels: BTreeMap<String, Put>,
}

/// What is done to the messages of one answer.
pub struct Shown {
    veil: Option<Veil>,
    /// Most rows of one result; `None`: as many as there are.
    rows: Option<usize>,
    counts_rows: bool,
    class_labels: BTreeMap<String, Put>,
    /// Found, and not yet on the session.
    waiting: Mutex<Put>,
    labels: Arc<Labels>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    caller: Caller,
    whose: Whose,
}

impl Shown {
    /// For the answer to a request.
    ///
    /// # Errors
    /// When what policies say of data classes cannot be kept: nothing may be shown then.
    pub fn new(edge: &Edge, case: &Case<'_>) -> Result<Self, Barred> {
        let engine = &case.snapshot.engine;
        let asked = case.asked.operation();
        let is_data = !matches!(asked, Operation::List(_) | Operation::Session(_)) || case.asked.may_rest();
        let veil = if is_data { veil(edge, case)? } else { None };
        // The built-in SQL server keeps to the number in its assertion, and goes on with a cursor.
        let rows = case.caps.rows.filter(|_| is_data && !case.published.built_in_sql);
        Ok(Self {
            veil,
            rows: rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX)),
            counts_rows: is_data && engine.uses_counters(),
            class_labels: if is_data { case.snapshot.data.labels.clone() } else { BTreeMap::new() },
            waiting: Mutex::default(),
            labels: edge.labels.clone(),
            counters: edge.counters.clone(),
            clock: edge.clock.clone(),
            caller: case.known.caller.clone(),
            whose: case.whose.clone(),
        })
    }

    /// Whether messages must be read whole to be shown at all.
    #[must_use]
    pub fn must_read(&self) -> bool {
        self.veil.is_some() || self.rows.is_some()
    }

    /// One message as the client may see it.
    ///
    /// # Errors
    /// When its rows cannot be told, or it cannot be read.
    pub fn message(&self, message: Bytes) -> Result<Bytes, Barred> {
        let mut message = message;
        if self.rows.is_some() && has_nested_result(&message) {
            return Err(Barred::Rows);
        }
        if let Some(most) = self.rows {
            let capped = rows::cap(&message, most).ok_or(Barred::Rows)?;
            if let Cow::Owned(cut) = capped.body {
                message = Bytes::from(cut);
            }
        }
        if self.counts_rows
            && let Some(rows) = rows::count(&message).filter(|rows| *rows > 0)
        {
            let count = Count { rows: rows as u64, ..Count::default() };
            self.counters.count(&self.whose, self.clock.now(), count);
        }
        let Some(veil) = &self.veil else { return Ok(message) };
        let screened = veil.screen(&message).map_err(|error| Barred::Data(error.to_string()))?;
        self.found(screened.found.keys());
        Ok(match screened.body {
            Cow::Borrowed(_) => message,
            Cow::Owned(treated) => Bytes::from(treated),
        })
    }

    /// What is no message, as the client may see it: some clients show it to the model when a call has failed.
    ///
    /// # Errors
    /// When it must be screened and cannot be read.
    pub fn text(&self, text: &Bytes) -> Result<Bytes, Barred> {
        let Some(veil) = &self.veil else { return Ok(text.clone()) };
        let plain = std::str::from_utf8(text).map_err(|error| Barred::Data(error.to_string()))?;
        let (treated, found) = veil.screen_text(plain);
        self.found(found.keys());
        Ok(match treated {
            Cow::Borrowed(_) => text.clone(),
            Cow::Owned(treated) => Bytes::from(treated),
        })
    }

    fn found<'c>(&self, classes: impl Iterator<Item = &'c Class>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for class in classes {
            for (label, life) in self.class_labels.get(class.name()).into_iter().flatten() {
                let longest = waiting.entry(label.clone()).or_insert(*life);
                *longest = (*longest).max(*life);
            }
        }
    }

    /// Puts the labels of what was found on the session. Nothing may be released before that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let put = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if put.is_empty() { Ok(()) } else { self.labels.put(&self.caller, &put, self.clock.now()).await }
    }
}

/// Whether a result stands within a task, where rows are not told.
fn has_nested_result(message: &[u8]) -> bool {
    let Some(root) = json::skim(message) else { return true };
    let outer = ["result", "params"].into_iter().filter_map(|name| root.get(name));
    outer.into_iter().any(|outer| {
        let inner = outer.get("task").into_iter().chain([outer]);
        inner.into_iter().any(|inner| inner.get("result").is_some())
    })
}

fn veil(edge: &Edge, case: &Case<'_>) -> Result<Option<Veil>, Barred> {
    let disclosure = case.known.disclosure(&case.snapshot.engine, &decide::context(case));
    let data = &case.snapshot.data;
    if disclosure.classes.is_empty() && data.labels.is_empty() {
        return Ok(None);
    }
    let unusable = |error: &dyn std::fmt::Display| Barred::Data(error.to_string());
    let mut treatments = BTreeMap::new();
    for (class, treatment) in &disclosure.classes {
        let class: Class = class.parse().map_err(|error| unusable(&error))?;
        treatments.insert(class, *treatment);
    }
    let key = edge.mask_keys.of(&case.known.caller.grant);
    let key = <[u8; 32]>::try_from(key.expose().as_slice()).map_err(|error| unusable(&error))?;
    let rules = Rules { treatments, count_all: !data.labels.is_empty(), key: Some(Secret::new(key)) };
    data.classes.veil(&rules).map(Some).map_err(|error| unusable(&error))
}

/// The names of the classes that policies can speak about.
#[must_use]
pub fn class_names(own: impl IntoIterator<Item = String>) -> Vec<String> {
    let built_in = portunus_disclose::class::BUILT_IN.iter().map(|class| class.name().to_owned());
    built_in.chain(own).collect::<BTreeSet<String>>().into_iter().collect()
}
