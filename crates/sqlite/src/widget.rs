//! The result widget (MCP Apps): one HTML page without any external load, that shows a query's rows as a table that can
//! be sorted, and as a chart where there is a number to draw.

use rmcp::model::{MetaObject, Resource, ResourceContents};
use serde_json::json;

/// Its address.
pub(crate) const URI: &str = "ui://portunus/result";
/// The type that hosts know a widget by.
pub(crate) const MIME_TYPE: &str = "text/html;profile=mcp-app";

const HTML: &str = include_str!("widget.html");

/// As it is listed.
pub(crate) fn resource() -> Resource {
    Resource::new(URI, "result")
        .with_title("Query result")
        .with_description("Shows the rows of a query as a table that can be sorted, and as a chart.")
        .with_mime_type(MIME_TYPE)
        .with_size(HTML.len() as u64)
        .with_meta(meta())
}

/// What reading it gives.
pub(crate) fn contents() -> ResourceContents {
    ResourceContents::text(HTML, URI).with_mime_type(MIME_TYPE).with_meta(meta())
}

/// It loads nothing from anywhere.
fn meta() -> MetaObject {
    let mut meta = MetaObject::new();
    let csp = json!({ "connectDomains": [], "resourceDomains": [] });
    meta.0.insert("ui".to_owned(), json!({ "csp": csp, "prefersBorder": true }));
    meta.0.insert("openai/widgetCSP".to_owned(), json!({ "connect_domains": [], "resource_domains": [] }));
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widget_loads_nothing_and_writes_no_markup_from_data() {
        for forbidden in [
            " src=",
            "href=",
            "@import",
            "url(",
            "fetch(",
            "innerHTML",
            "eval(",
            "document.write",
            "XMLHttpRequest",
            "import(",
        ] {
            assert!(!HTML.contains(forbidden), "{forbidden}");
        }
        assert!(HTML.starts_with("<!doctype html>"));
        for needed in
            ["ui/initialize", "ui/notifications/initialized", "ui/notifications/tool-result", "toolOutput"]
        {
            assert!(HTML.contains(needed), "{needed}");
        }
    }
}
