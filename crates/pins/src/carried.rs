//! What a server's answer carries with it for a client to draw, beside what `resources/read` is asked for: widgets that are
//! embedded in it, and members that point to one.

use crate::definition;
use portunus_core::limits;
use portunus_mcp::json::{self, Kind as Json, Raw};
use std::collections::BTreeSet;

/// Levels that are looked into: a resource in a block in a result in a task stands on the seventh.
const DEPTH: usize = 12;
/// Members that no client looks for resources in: data, and lists, whose entries are pinned themselves.
const DATA: [&str; 5] = ["structuredContent", "tools", "resources", "resourceTemplates", "prompts"];
/// Members of `_meta` whose value is a widget's URI, without regard to case. The first is ChatGPT's, the second what MCP
/// Apps had at first.
const POINTERS: [&str; 2] = ["openai/outputtemplate", "ui/resourceuri"];
/// No name of a member that makes a resource is longer.
const NAME_BYTES: usize = 16;

/// What one message carries.
#[derive(Debug, Clone, Default)]
pub struct Carried<'a> {
    /// Embedded widgets: each with its URI (empty when it has none) and the whole resource.
    pub widgets: Vec<(String, Raw<'a>)>,
    /// The URIs of widgets that some `_meta` points to.
    pub pointers: BTreeSet<String>,
}

/// More than [`limits::WIDGETS_PER_ANSWER`] of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has more widgets than {max}", max = limits::WIDGETS_PER_ANSWER)]
pub struct TooMany;

impl<'a> Carried<'a> {
    /// Looks through a message, which may be skimmed only. A resource counts wherever it stands but in the data of a tool's
    /// result; names of members without regard to case, and all of those that are there twice, as some clients read them.
    ///
    /// # Errors
    /// When there are too many.
    pub fn of(message: Raw<'a>) -> Result<Self, TooMany> {
        let mut carried = Self::default();
        carried.look(message, DEPTH)?;
        Ok(carried)
    }

    // As deep as `DEPTH`.
    fn look(&mut self, value: Raw<'a>, depth: usize) -> Result<(), TooMany> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        for element in value.elements() {
            self.look(element, depth)?;
        }
        let mut resource = Resource::default();
        for (key, member) in value.members() {
            resource.take(&key, member);
            let nested = matches!(member.kind(), Json::Object | Json::Array);
            if nested && json::fold(&key) == "_meta" {
                self.pointers.extend(pointers(member));
            }
            if nested && !DATA.contains(&&*key) {
                self.look(member, depth)?;
            }
        }
        if resource.is_widget() {
            self.widgets.push((resource.uri.unwrap_or_default(), value));
        }
        let many = self.widgets.len().max(self.pointers.len()) > limits::WIDGETS_PER_ANSWER;
        if many { Err(TooMany) } else { Ok(()) }
    }
}

/// The members that make an object a resource with its contents.
#[derive(Default)]
struct Resource {
    uri: Option<String>,
    is_of_widget_type: bool,
    has_contents: bool,
}

impl Resource {
    fn take(&mut self, key: &str, member: Raw<'_>) {
        if member.kind() != Json::String || key.len() > NAME_BYTES {
            return;
        }
        match &*json::fold(key) {
            "uri" if !self.uri.as_deref().is_some_and(definition::is_widget) => {
                self.uri = member.string().map(Into::into);
            }
            "mimetype" => {
                self.is_of_widget_type |=
                    member.string().is_some_and(|media| definition::is_widget_type(&media));
            }
            "text" | "blob" => self.has_contents = true,
            _ => {}
        }
    }
    fn is_widget(&self) -> bool {
        self.has_contents
            && (self.is_of_widget_type || self.uri.as_deref().is_some_and(definition::is_widget))
    }
}

/// The URIs of the widgets that a `_meta` points to: a tool's definition says by them what draws its results.
#[must_use]
pub fn pointers(meta: Raw<'_>) -> BTreeSet<String> {
    let flat = meta.members().filter(|(key, _)| POINTERS.contains(&&*json::fold(key)));
    let ui = meta.members().filter(|(key, _)| json::fold(key) == "ui").flat_map(|(_, ui)| ui.members());
    let nested = ui.filter(|(key, _)| json::fold(key) == "resourceuri");
    flat.chain(nested).filter_map(|(_, uri)| uri.string().map(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn widgets(message: &Value) -> Vec<String> {
        let text = message.to_string();
        let carried = Carried::of(json::skim(text.as_bytes()).unwrap()).unwrap();
        carried.widgets.into_iter().map(|(uri, _)| uri).collect()
    }

    fn block(uri: &str, media: &str) -> Value {
        json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media, "text": "<p>" } })
    }

    #[test]
    fn a_widget_is_found_wherever_a_client_may_look_for_one() {
        let one = block("ui://w", "text/html");
        for message in [
            json!({ "result": { "content": [{ "type": "text", "text": "x" }, one] } }),
            json!({ "result": { "messages": [{ "role": "user", "content": one }] } }),
            json!({ "result": { "task": { "result": { "content": [one] } } } }),
            json!({ "params": { "task": { "result": { "content": [one] } } } }),
            json!({ "result": { "contents": [one["resource"]] } }),
            json!({ "result": { "_meta": { "openai.com/widget": one } } }),
            json!({ "result": { "Content": [{ "Resource": { "URI": "ui://w", "Blob": "PHA+" } }] } }),
        ] {
            assert_eq!(widgets(&message), ["ui://w"], "{message}");
        }
        for twice in [
            r#"{"uri":"ui://w","uri":"file:///a","text":""}"#,
            r#"{"uri":"file:///a","text":"","uri":"ui://w"}"#,
        ] {
            let carried = Carried::of(json::skim(twice.as_bytes()).unwrap()).unwrap();
            assert_eq!(carried.widgets[0].0, "ui://w");
        }
    }

    #[test]
    fn scheme_and_media_type_make_a_widget_however_they_are_written() {
        let found = |uri: &str, media: &str| !widgets(&json!([block(uri, media)])).is_empty();
        for uri in ["UI://w", " ui://w", "u\ti://w", "ui:w"] {
            assert!(found(uri, "text/plain"), "{uri}");
        }
        for media in [
            "text/html;profile=mcp-app",
            "Text/HTML ; charset=utf-8; profile=\"mcp-app\"",
            "text/html+skybridge",
            "application/vnd.mcp-ui.remote-dom+javascript; framework=react",
        ] {
            assert!(found("https://x.test/w", media), "{media}");
        }
        for (uri, media) in
            [("file:///a.html", "text/html"), ("https://ui.test/", "text/uri-list"), ("uix://w", "")]
        {
            assert!(!found(uri, media), "{uri} {media}");
        }
    }

    #[test]
    fn data_links_and_lists_are_no_widgets() {
        let one = block("ui://w", "text/html");
        for message in [
            json!({ "result": { "structuredContent": { "rows": [one["resource"]] } } }),
            json!({ "result": { "content": [{ "type": "resource_link", "uri": "ui://w", "name": "w" }] } }),
            json!({ "result": { "tools": [{ "name": "a", "_meta": { "openai/outputTemplate": "ui://w" } }] } }),
        ] {
            assert!(widgets(&message).is_empty(), "{message}");
            let text = message.to_string();
            assert!(Carried::of(json::skim(text.as_bytes()).unwrap()).unwrap().pointers.is_empty());
        }
    }

    #[test]
    fn pointers_are_found_in_any_meta() {
        let text = json!({ "result": {
            "_meta": { "openai/outputTemplate": "ui://a", "ui": { "resourceUri": "ui://b", "csp": {} } },
            "content": [{ "type": "text", "text": "x", "_meta": { "ui/resourceUri": "ui://c" } }],
        } })
        .to_string();
        let carried = Carried::of(json::skim(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            carried.pointers.iter().map(String::as_str).collect::<Vec<_>>(),
            ["ui://a", "ui://b", "ui://c"]
        );
    }

    #[test]
    fn more_widgets_than_anyone_draws_are_an_error() {
        let blocks = |count| json!(vec![block("ui://w", "text/html"); count]).to_string();
        let of =
            |text: &str| Carried::of(json::skim(text.as_bytes()).unwrap()).map(|found| found.widgets.len());
        assert_eq!(of(&blocks(limits::WIDGETS_PER_ANSWER)), Ok(limits::WIDGETS_PER_ANSWER));
        assert_eq!(of(&blocks(limits::WIDGETS_PER_ANSWER + 1)), Err(TooMany));
    }
}
