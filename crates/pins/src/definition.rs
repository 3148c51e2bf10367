//! One definition: its name, its canonical form (in the manner of RFC 8785) and the digest of that.

use crate::text;
use portunus_core::digest::{self, Digest};
use portunus_core::limits;
use portunus_mcp::json::{self, Bounds, JsonError, Kind as Json, Part, Raw};
use portunus_mcp::message::List;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// The scheme of widgets' URIs; all other resources are data, whose content changes by nature.
const WIDGET_SCHEME: &str = "ui:";
/// Media types that clients draw as widgets whatever the URI says. Plain HTML is data.
const WIDGET_TYPES: [&str; 1] = ["text/html+skybridge"];
/// Of the parameters of `text/html`, the one that says so.
const WIDGET_PROFILE: &str = "profile=mcp-app";
/// Media types of scripts that draw on the client's page begin so.
const WIDGET_SCRIPT: &str = "application/vnd.mcp-ui.";
/// Most levels of a definition: in the lockfile it stands a few levels deeper than in a list.
const DEPTH: usize = limits::JSON_DEPTH;

/// The canonical form of no definition.
const NOTHING: &str = "null";

/// What is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A prompt, by its name.
    Prompt,
    /// The listed definition of a widget (`ui://…`), by its URI.
    Resource,
    /// A tool, by its name.
    Tool,
    /// What reading a widget gives, by its URI.
    Widget,
}

impl Kind {
    /// All of them, in the order of the lockfile.
    pub const ALL: [Self; 4] = [Self::Prompt, Self::Resource, Self::Tool, Self::Widget];

    /// What the lockfile calls all definitions of this kind.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Tool => "tools",
            Self::Widget => "widgets",
        }
    }
    /// What people call one.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Tool => "tool",
            Self::Widget => "widget",
        }
    }
    /// The kind of a list's entries; `None` for templates, which nobody can read as they stand.
    #[must_use]
    pub const fn of_list(list: List) -> Option<Self> {
        match list {
            List::Tools => Some(Self::Tool),
            List::Prompts => Some(Self::Prompt),
            List::Resources => Some(Self::Resource),
            List::ResourceTemplates => None,
        }
    }
    /// Whether a definition of this kind and name is pinned at all: listed resources are only when they are widgets.
    #[must_use]
    pub fn is_pinned(self, name: &str) -> bool {
        match self {
            // A widget may be one by its media type.
            Self::Tool | Self::Prompt | Self::Widget => true,
            Self::Resource => is_widget(name),
        }
    }
}

/// Whether a URI is that of a widget, however its scheme is written: case does not count (RFC 3986 section 3.1), nor do
/// spaces and controls, which browsers leave out.
#[must_use]
pub fn is_widget(uri: &str) -> bool {
    let mut letters = uri.chars().filter(|letter| !letter.is_control() && *letter != ' ');
    WIDGET_SCHEME.chars().all(|due| letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&due)))
}

/// Whether a media type is one that only widgets have.
#[must_use]
pub fn is_widget_type(media: &str) -> bool {
    let media: String = media.chars().filter(|letter| !letter.is_whitespace() && *letter != '"').collect();
    let media = media.to_ascii_lowercase();
    let (essence, parameters) = media.split_once(';').unwrap_or((&media, ""));
    WIDGET_TYPES.contains(&essence)
        || essence.starts_with(WIDGET_SCRIPT)
        || (essence == "text/html" && parameters.split(';').any(|parameter| parameter == WIDGET_PROFILE))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a definition cannot be pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not unambiguous JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Longer than [`limits::DEFINITION_BYTES`].
    #[error("the definition is longer than {max} bytes", max = limits::DEFINITION_BYTES)]
    TooLong,
    /// Not what it must be.
    #[error("the answer has no list of contents")]
    NoContents,
}

/// A definition in its canonical form. Two definitions have the same digest exactly if all their fields, known or not, say
/// the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    name: Arc<str>,
    canonical: Arc<str>,
    digest: Digest,
}

impl Definition {
    /// Reads one definition as it was sent.
    ///
    /// # Errors
    /// When it is not one unambiguous JSON value, or too long.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, DefinitionError> {
        if bytes.len() > limits::DEFINITION_BYTES.saturating_mul(2) {
            return Err(DefinitionError::TooLong);
        }
        let bounds = Bounds { bytes: bytes.len(), depth: DEPTH, members: limits::JSON_MEMBERS };
        Self::of(name, json::scan(bytes, &bounds)?.root())
    }

    /// Of a value that was scanned.
    ///
    /// # Errors
    /// When its canonical form is too long.
    pub fn of(name: &str, value: Raw<'_>) -> Result<Self, DefinitionError> {
        Self::canonical_of(name, canonical(value))
    }

    /// What reading a widget gave: the answer to `resources/read`, with each text and blob in place of itself by digest
    /// and length, and all else (media type, `_meta` with its content security policy) as it is.
    ///
    /// # Errors
    /// When the answer cannot be read, has no contents, or too much beside them.
    pub fn of_contents(uri: &str, answer: &[u8]) -> Result<Self, DefinitionError> {
        let scan = json::scan(answer, &Bounds::default())?;
        let contents = scan.get(Part::Result, "contents").filter(|contents| contents.kind() == Json::Array);
        let mut out = String::from("[");
        for (index, content) in contents.ok_or(DefinitionError::NoContents)?.elements().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            write_content(&mut out, content);
        }
        out.push(']');
        Self::canonical_of(uri, out)
    }

    /// One resource that is embedded in another answer, as it was sent. It has the digest of what reading the widget gives,
    /// when that is the same and all of it.
    ///
    /// # Errors
    /// When it cannot be read without doubt, or has too much beside its contents.
    pub fn of_embedded(uri: &str, resource: &[u8]) -> Result<Self, DefinitionError> {
        let scan = json::scan(resource, &Bounds::default())?;
        let mut out = String::from("[");
        write_content(&mut out, scan.root());
        out.push(']');
        Self::canonical_of(uri, out)
    }

    /// A definition that nothing has: whatever is listed under its name has changed.
    #[must_use]
    pub fn nothing(name: &str) -> Self {
        Self { name: name.into(), canonical: NOTHING.into(), digest: digest::sha256(&[NOTHING.as_bytes()]) }
    }
    /// Whether it is [`Definition::nothing`].
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        &*self.canonical == NOTHING
    }

    /// Whether these are contents of a widget, by their URI or their media type; nothing may take the place of any.
    #[must_use]
    pub fn is_of_widget(&self) -> bool {
        let members = self.value().into_iter().flat_map(Raw::elements).flat_map(Raw::members);
        let types = members.filter(|(key, _)| json::fold(key) == "mimetype");
        let mut types = types.filter_map(|(_, media)| media.string());
        is_widget(&self.name) || self.is_nothing() || types.any(|media| is_widget_type(&media))
    }

    fn canonical_of(name: &str, canonical: String) -> Result<Self, DefinitionError> {
        if canonical.len() > limits::DEFINITION_BYTES {
            return Err(DefinitionError::TooLong);
        }
        let digest = digest::sha256(&[canonical.as_bytes()]);
        Ok(Self { name: name.into(), canonical: canonical.into(), digest })
    }

    /// The tool's or prompt's name, or the resource's URI.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The canonical form: keys sorted, no space.
    #[must_use]
    pub const fn canonical(&self) -> &Arc<str> {
        &self.canonical
    }
    /// SHA-256 of the canonical form.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
    /// The value, to look into.
    #[must_use]
    pub fn value(&self) -> Option<Raw<'_>> {
        json::skim(self.canonical.as_bytes())
    }
}

/// The canonical form: members sorted by their keys' UTF-16 units, strings in their shortest spelling, no space; numbers
/// keep the sender's spelling, so that `1` turned into `1.0` is a change.
#[must_use]
pub fn canonical(value: Raw<'_>) -> String {
    let mut out = String::with_capacity(value.text().len());
    write_canonical(&mut out, value);
    out
}

/// For people and git: two spaces per level, a line for each member, and what cannot be seen written as `\u200b`.
#[must_use]
pub fn pretty(value: Raw<'_>, level: usize) -> String {
    let mut out = String::with_capacity(value.text().len().saturating_mul(2));
    write_pretty(&mut out, value, level);
    out
}

/// The members of an object, sorted as in the canonical form.
pub(crate) fn sorted(value: Raw<'_>) -> Vec<(String, Raw<'_>)> {
    let mut members: Vec<_> = value.members().map(|(key, value)| (key.into_owned(), value)).collect();
    members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    members
}

// The scan has bounded how deep this goes.
fn write_canonical(out: &mut String, value: Raw<'_>) {
    match value.kind() {
        Json::Object => {
            out.push('{');
            for (index, (key, value)) in sorted(value).into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_string(out, &key, |_| false);
                out.push(':');
                write_canonical(out, value);
            }
            out.push('}');
        }
        Json::Array => {
            out.push('[');
            for (index, value) in value.elements().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_canonical(out, value);
            }
            out.push(']');
        }
        Json::String => write_string(out, &value.string().unwrap_or_default(), |_| false),
        Json::Null | Json::Bool | Json::Number => out.push_str(value.text()),
    }
}

fn write_content(out: &mut String, content: Raw<'_>) {
    if content.kind() != Json::Object {
        return write_canonical(out, content);
    }
    out.push('{');
    for (index, (key, value)) in sorted(content).into_iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        write_string(out, &key, |_| false);
        out.push(':');
        match value.string().filter(|_| key == "text" || key == "blob") {
            Some(text) => {
                let (bytes, digest) = (text.len(), digest::sha256(&[text.as_bytes()]));
                let _ = write!(out, "{{\"bytes\":{bytes},\"sha256\":\"{digest}\"}}");
            }
            None => write_canonical(out, value),
        }
    }
    out.push('}');
}

fn write_pretty(out: &mut String, value: Raw<'_>, level: usize) {
    let line = |out: &mut String, level: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    };
    match value.kind() {
        Json::Object => {
            let members = sorted(value);
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                line(out, level + 1);
                write_string(out, key, text::is_hidden);
                out.push_str(": ");
                write_pretty(out, *value, level + 1);
            }
            if !members.is_empty() {
                line(out, level);
            }
            out.push('}');
        }
        Json::Array => {
            let mut any = false;
            out.push('[');
            for value in value.elements() {
                out.push_str(if any { "," } else { "" });
                any = true;
                line(out, level + 1);
                write_pretty(out, value, level + 1);
            }
            if any {
                line(out, level);
            }
            out.push(']');
        }
        Json::String => write_string(out, &value.string().unwrap_or_default(), text::is_hidden),
        Json::Null | Json::Bool | Json::Number => out.push_str(value.text()),
    }
}

/// A JSON string (RFC 8785 section 3.2.2.2); characters that `escape` chooses are escaped besides those that must be.
pub(crate) fn write_string(out: &mut String, text: &str, escape: impl Fn(char) -> bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || escape(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Definition {
        Definition::read("x", text.as_bytes()).unwrap()
    }

    #[test]
    fn the_canonical_form_sorts_by_utf_16_and_keeps_the_sender_s_numbers() {
        let text = "{ \"b\" : [ 1.0 , 1e2, true,null ],\n\"\u{10000}\":1, \"\u{ff5e}\":2, \"a\":\"\\u00e9\\/\\u200b\\u001f\" }";
        assert_eq!(
            &**read(text).canonical(),
            "{\"a\":\"é/\u{200b}\\u001f\",\"b\":[1.0,1e2,true,null],\"\u{10000}\":1,\"\u{ff5e}\":2}"
        );
    }

    #[test]
    fn any_field_known_or_not_changes_the_digest_and_spelling_does_not() {
        let base = read(r#"{"name":"a","description":"b","_meta":{"x":[1,2]},"icons":[]}"#);
        let same =
            read("{\"icons\": [],\n \"_meta\":{\"x\":[1,2]}, \"name\":\"\\u0061\", \"description\":\"b\"}");
        assert_eq!(base, same);
        for other in [
            r#"{"name":"a","description":"b","_meta":{"x":[2,1]},"icons":[]}"#,
            r#"{"name":"a","description":"b","_meta":{"x":[1,2]},"icons":[{}]}"#,
            r#"{"name":"a","description":"b","_meta":{"x":[1,2]},"icons":[],"title":""}"#,
            r#"{"name":"a","description":"b ","_meta":{"x":[1,2]},"icons":[]}"#,
            r#"{"name":"a","description":"b","_meta":{"x":[1,2.0]},"icons":[]}"#,
        ] {
            assert_ne!(base.digest(), read(other).digest(), "{other}");
        }
    }

    #[test]
    fn the_pretty_form_means_the_same_and_shows_what_is_hidden() {
        let definition = read("{\"b\":{\"c\":[],\"d\":[1,{}]},\"a\":\"x\\u200b\\udb40\\udc41\"}");
        let pretty = pretty(definition.value().unwrap(), 0);
        assert_eq!(
            pretty,
            "{\n  \"a\": \"x\\u200b\\udb40\\udc41\",\n  \"b\": {\n    \"c\": [],\n    \"d\": [\n      1,\n      {}\n    ]\n  }\n}"
        );
        assert_eq!(read(&pretty).digest(), definition.digest());
    }

    #[test]
    fn a_widget_is_known_by_all_that_reading_it_gives() {
        let read = |text: &str, csp: &str| {
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"contents":[{{"uri":"ui://a","mimeType":"text/html","text":"{text}","_meta":{{"csp":"{csp}"}}}}]}}}}"#
            );
            Definition::of_contents("ui://a", answer.as_bytes()).unwrap()
        };
        assert_eq!(read("<p>", "x").digest(), read("\\u003cp>", "x").digest());
        assert_ne!(read("<p>", "x").digest(), read("<b>", "x").digest());
        assert_ne!(read("<p>", "x").digest(), read("<p>", "y").digest());
        assert!(!read("<p>", "x").canonical().contains("<p>"));
        assert_eq!(Definition::of_contents("ui://a", br#"{"result":{}}"#), Err(DefinitionError::NoContents));
        let embedded = br#"{"_meta":{"csp":"x"},"text":"<p>","mimeType":"text/html","uri":"ui://a"}"#;
        let embedded = Definition::of_embedded("ui://a", embedded).unwrap();
        assert_eq!(embedded.digest(), read("<p>", "x").digest());
    }

    #[test]
    fn a_definition_over_the_bound_is_refused() {
        let text = |length: usize| format!("\"{}\"", "a".repeat(length));
        assert!(Definition::read("x", text(limits::DEFINITION_BYTES - 2).as_bytes()).is_ok());
        let long = Definition::read("x", text(limits::DEFINITION_BYTES - 1).as_bytes());
        assert_eq!(long, Err(DefinitionError::TooLong));
    }

    #[test]
    fn only_widgets_among_resources_are_pinned() {
        assert!(Kind::Resource.is_pinned("ui://w/a.html") && Kind::Resource.is_pinned("UI://w"));
        assert!(!Kind::Resource.is_pinned("file:///a") && !Kind::Resource.is_pinned("uix:/"));
        assert!(Kind::Resource.is_pinned("ui:w") && Kind::Widget.is_pinned("https://x.test/w"));
        assert!(Kind::Tool.is_pinned("anything"));
    }
}
