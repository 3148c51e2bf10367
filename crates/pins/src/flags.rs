//! What looks wrong about a definition. A serious flag keeps a definition from being accepted at first sight; a notable one is
//! shown to whoever reviews it. Flags are hints for people: a definition without any may still be hostile.

mod blobs;
mod hidden;
mod names;
mod phrases;
mod schema;

pub use names::Names;

use crate::definition::{Definition, Kind};
use crate::text;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_mcp::json::{Kind as Json, Raw};
use serde::Serialize;
use std::fmt;

/// Bytes of a text that no tool needs to explain itself.
const LONG: usize = 4096;
/// Characters of an excerpt.
const EXCERPT: usize = 200;
/// Members whose strings are addresses or pictures by their nature.
const ADDRESSES: [&str; 10] = [
    "$schema",
    "$id",
    "$ref",
    "src",
    "uri",
    "url",
    "websiteUrl",
    "resourceUri",
    "openai/outputTemplate",
    "pattern",
];

/// How much a flag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look; honest definitions have it too.
    Notable,
    /// Honest definitions hardly ever have it.
    Serious,
}

/// One thing that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// What it is, for programs: `hidden-characters`, `secrecy` …; see `docs/pins.md`.
    pub code: &'static str,
    /// How much it says.
    pub severity: Severity,
    /// Where: a JSON pointer (RFC 6901) into the definition.
    pub place: String,
    /// What it is, for people.
    pub what: String,
    /// The text in question, safe for terminals.
    pub excerpt: String,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {}: {}", self.what, self.code, self.place, self.excerpt)
    }
}

/// The flags of one definition, serious ones first, at most [`limits::FLAGS`]. Takes time linear in its length. English
/// phrases only.
#[must_use]
pub fn flags(server: &ServerName, kind: Kind, definition: &Definition, names: &Names) -> Vec<Flag> {
    let mut found = Found(Vec::new());
    let Some(value) = definition.value() else { return found.0 };
    let subject = Subject { server, kind, name: definition.name(), names, about: schema::about(value) };
    hidden::check_name(&mut found, definition.name());
    walk(&subject, &mut found, &mut String::new(), "", value);
    if kind == Kind::Tool {
        names::check_likeness(&subject, &mut found);
        schema::check_annotations(&subject, &mut found, value);
    }
    found.0.sort_by_key(|flag| std::cmp::Reverse(flag.severity));
    found.0.truncate(limits::FLAGS);
    found.0
}

/// Whether any flag is serious.
#[must_use]
pub fn any_serious(flags: &[Flag]) -> bool {
    flags.iter().any(|flag| flag.severity == Severity::Serious)
}

/// What is looked at.
struct Subject<'a> {
    server: &'a ServerName,
    kind: Kind,
    name: &'a str,
    names: &'a Names,
    about: schema::About,
}

/// Flags so far; one per code and place.
struct Found(Vec<Flag>);

impl Found {
    fn push(
        &mut self,
        code: &'static str,
        severity: Severity,
        place: &str,
        what: impl Into<String>,
        excerpt: String,
    ) {
        let full = self.0.len() >= limits::FLAGS.saturating_mul(4);
        if full
            || self.0.iter().any(|flag| flag.code == code && flag.place == place && flag.severity >= severity)
        {
            return;
        }
        let place = text::shown(if place.is_empty() { "/" } else { place }, EXCERPT);
        self.0.push(Flag { code, severity, place, what: what.into(), excerpt });
    }
}

// The scan has bounded how deep this goes.
fn walk(subject: &Subject<'_>, found: &mut Found, place: &mut String, key: &str, value: Raw<'_>) {
    let length = place.len();
    match value.kind() {
        Json::Object => {
            for (key, member) in value.members() {
                place.push('/');
                place.push_str(&key.replace('~', "~0").replace('/', "~1"));
                check_text(subject, found, place, "", &key);
                if subject.kind == Kind::Tool && schema::is_parameter(place) {
                    schema::check_parameter(subject, found, place, &key);
                }
                walk(subject, found, place, &key, member);
                place.truncate(length);
            }
        }
        Json::Array => {
            for (index, element) in value.elements().enumerate() {
                place.push_str(&format!("/{index}"));
                walk(subject, found, place, key, element);
                place.truncate(length);
            }
        }
        Json::String => check_text(subject, found, place, key, &value.string().unwrap_or_default()),
        Json::Null | Json::Bool | Json::Number => {}
    }
}

/// One string of the definition, or the key of a member: models read both.
fn check_text(subject: &Subject<'_>, found: &mut Found, place: &str, key: &str, content: &str) {
    hidden::check(found, place, content);
    if content.len() < 4 || content.starts_with("data:image/") {
        return;
    }
    if !ADDRESSES.contains(&key) {
        blobs::check(found, place, content);
    }
    let plain = text::Plain::of(content);
    let text =
        phrases::Text { place, original: content, plain: &plain, is_address: ADDRESSES.contains(&key) };
    phrases::check(found, &text);
    names::check_mentions(subject, found, &text);
    if content.len() > LONG {
        let what = format!("a text of {} bytes, in which much can be hidden", content.len());
        found.push("long-text", Severity::Notable, place, what, text::shown(content, 60));
    }
    blobs::check_padding(found, place, content);
}
