use super::*;

const URI: &str = "ui://w/chart.html";

fn contents(html: &str) -> Bytes {
    let content = json!({ "uri": URI, "mimeType": "text/html+skybridge", "text": html });
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "contents": [content] } }).to_string().into()
}

fn list(pins: &Pins, entries: &[Value]) -> Sight {
    pins.see_list(&sales(), List::Resources, &page("resources", entries, None), true, NOW)
}

fn read(pins: &Pins, html: &str) -> PinState {
    pins.see_contents(&sales(), URI, &contents(html), NOW)
}

fn widget() -> Value {
    json!({ "uri": URI, "name": "chart", "mimeType": "text/html+skybridge" })
}

#[test]
fn a_listed_widget_is_pinned_with_its_first_contents() {
    let pins = Pins::new(Lock::default());
    assert_eq!(list(&pins, &[widget(), json!({ "uri": "file:///a", "name": "a" })]), hidden([]));
    assert_eq!(read(&pins, "<p>1</p>"), PinState::Pinned);
    assert_eq!(read(&pins, "<p>1</p>"), PinState::Pinned);
    assert_eq!(read(&pins, "<script>evil()</script>"), PinState::Changed);
    assert_eq!(read(&pins, "<p>1</p>"), PinState::Pinned);
    assert!(pins.lock().entry(&sales(), Kind::Resource, "file:///a").is_none(), "data is not pinned");
    // What changed can be accepted, by digest.
    assert_eq!(read(&pins, "<p>2</p>"), PinState::Changed);
    let waiting = pins.waiting(None);
    assert_eq!((waiting.len(), waiting[0].kind, &*waiting[0].name), (1, Kind::Widget, URI));
    let digest = waiting[0].digest.unwrap().hex();
    pins.accept(&sales(), Kind::Widget, URI, &digest, "admin", NOW).unwrap();
    assert_eq!((read(&pins, "<p>2</p>"), read(&pins, "<p>1</p>")), (PinState::Pinned, PinState::Changed));
}

#[test]
fn a_new_or_changed_listing_of_a_widget_refuses_reading_it() {
    let pins = Pins::new(Lock::default());
    list(&pins, &[]);
    let state = |pins: &Pins| pins.state_of(&sales(), &Operation::ReadResource(URI));
    assert_eq!(state(&pins), PinState::New);
    assert_eq!(read(&pins, "<p>1</p>"), PinState::New);
    assert_eq!(list(&pins, &[widget()]), hidden([URI]));
    assert_eq!(pins.state_of(&sales(), &Operation::ReadResource("UI://w/chart.html")), PinState::New);

    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    assert_eq!(state(&pins), PinState::Pinned);
    let mut other = widget();
    other["_meta"] = json!({ "openai/widgetCSP": { "connect_domains": ["https://evil.example"] } });
    assert_eq!(list(&pins, &[other]), hidden([URI]));
    assert_eq!(state(&pins), PinState::Changed);
}

#[test]
fn a_widget_that_is_not_listed_may_be_read_when_a_pinned_tool_names_it() {
    let pins = Pins::new(Lock::default());
    assert_eq!(pins.widget_state(&sales(), URI), PinState::Unseen);
    let mut chart = tool("chart", "Draws.");
    chart["_meta"] = json!({ "openai/outputTemplate": URI });
    see(&pins, &[chart]);
    assert_eq!(pins.widget_state(&sales(), URI), PinState::Pinned);
    assert_eq!(read(&pins, "<p>1</p>"), PinState::Pinned);
    assert_eq!(read(&pins, "<p>2</p>"), PinState::Changed);
    assert_eq!(pins.widget_state(&sales(), "ui://w/other.html"), PinState::Unseen);
    assert_eq!(pins.widget_state(&sales(), "ui://w/chart.html\",\"x"), PinState::Unseen);
}

#[test]
fn rejected_contents_are_not_taken_for_first_ones() {
    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    read(&pins, "<p>1</p>");
    assert!(pins.reject(&sales(), Kind::Widget, URI, "admin", NOW));
    assert_eq!(read(&pins, "<p>1</p>"), PinState::Changed);
    let restarted = Pins::new(Lock::parse(&pins.lock().print()).unwrap());
    assert_eq!(read(&restarted, "<p>1</p>"), PinState::Changed);
    assert!(restarted.reject(&sales(), Kind::Resource, URI, "admin", NOW));
    assert_eq!(restarted.widget_state(&sales(), URI), PinState::New);
}

#[test]
fn a_widget_on_a_resumed_stream_is_known_by_its_own_uri() {
    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    assert_eq!(pins.see_carried(&sales(), None, &contents("<p>1</p>"), NOW), PinState::Pinned);
    assert_eq!(pins.see_carried(&sales(), None, &contents("<p>2</p>"), NOW), PinState::Changed);
    let other =
        Bytes::from(r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":"file:///a","text":"x"}]}}"#);
    assert_eq!(pins.see_carried(&sales(), None, &other, NOW), PinState::Pinned);
}

#[test]
fn errors_and_data_pass_and_contents_in_doubt_do_not() {
    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    let see = |uri: &str, text: &str| pins.see_contents(&sales(), uri, &Bytes::from(text.to_owned()), NOW);
    assert_eq!(see(URI, r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#), PinState::Pinned);
    assert_eq!(see("file:///a", r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[]}}"#), PinState::Pinned);
    assert_eq!(see(URI, r#"{"jsonrpc":"2.0","id":1,"result":{"contents":{}}}"#), PinState::Changed);
    assert_eq!(
        see(URI, r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[],"contents":[]}}"#),
        PinState::Changed
    );
}

/// The result of a tool with this content.
fn result(content: &Value, meta: &Value) -> Bytes {
    let result = json!({ "content": [{ "type": "text", "text": "x" }, content], "_meta": meta });
    json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string().into()
}

fn embedded(uri: &str, media: &str, html: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media, "text": html } })
}

fn carried(pins: &Pins, content: &Value) -> PinState {
    pins.see_carried(&sales(), Some("chart"), &result(content, &json!({})), NOW)
}

#[test]
fn a_widget_embedded_in_a_result_must_be_the_accepted_one() {
    let media = "text/html+skybridge";
    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    read(&pins, "<p>1</p>");
    drop(pins.take_news());
    assert_eq!(carried(&pins, &embedded(URI, media, "<p>1</p>")), PinState::Pinned);
    assert_eq!(carried(&pins, &embedded(URI, media, "<script>evil()</script>")), PinState::Changed);
    assert!(matches!(pins.take_news().as_slice(), [News::Quarantined { kind: Kind::Widget, .. }]));
    assert_eq!(carried(&pins, &embedded(URI, "text/html", "<p>1</p>")), PinState::Changed);
    // Others, by scheme and by media type, until an administrator accepts them.
    for (uri, media) in [("ui://w/other", "text/plain"), ("https://x.test/w", "text/html;profile=mcp-app")] {
        let other = embedded(uri, media, "<p>2</p>");
        assert_eq!(carried(&pins, &other), PinState::New, "{uri}");
        let waiting = pins.waiting(None).into_iter().find(|waiting| waiting.name == uri).unwrap();
        let digest = waiting.digest.unwrap().hex();
        pins.accept(&sales(), Kind::Widget, uri, &digest, "admin", NOW).unwrap();
        assert_eq!(carried(&pins, &other), PinState::Pinned, "{uri}");
        assert!(pins.reject(&sales(), Kind::Widget, uri, "admin", NOW));
        assert_eq!(carried(&pins, &other), PinState::Changed, "{uri}");
        assert_eq!(Lock::parse(&pins.lock().print()).as_ref(), Ok(&*pins.lock()));
    }
    // Data is nobody's widget.
    for data in [
        embedded("file:///report.html", "text/html", "<p>3</p>"),
        json!({ "type": "resource_link", "uri": URI, "name": "chart", "mimeType": media }),
    ] {
        assert_eq!(carried(&pins, &data), PinState::Pinned);
    }
    assert_eq!(carried(&pins, &json!({ "resource": { "mimeType": media, "text": "" } })), PinState::New);
}

#[test]
fn the_first_contents_of_an_accepted_widget_may_come_embedded() {
    let pins = Pins::new(Lock::default());
    list(&pins, &[widget()]);
    assert_eq!(carried(&pins, &embedded(URI, "text/html+skybridge", "<p>1</p>")), PinState::Pinned);
    assert_eq!((read(&pins, "<p>1</p>"), read(&pins, "<p>2</p>")), (PinState::Pinned, PinState::Changed));
}

#[test]
fn a_widget_under_an_ordinary_word_is_not_known() {
    let pins = Pins::new(Lock::default());
    // Every definition of a tool has these words in it.
    see(&pins, &[tool("chart", "Draws.")]);
    for word in ["object", "name", "chart", "inputSchema", "Draws."] {
        let widget = embedded(word, "text/html;profile=mcp-app", "<script>evil()</script>");
        assert_eq!(carried(&pins, &widget), PinState::New, "{word}");
    }
}

#[test]
fn a_result_points_to_no_other_widget_than_its_tools_definition() {
    let pins = Pins::new(Lock::default());
    let drawn = |name: &str, meta: Value| {
        let mut drawn = tool(name, "Draws.");
        drawn["_meta"] = meta;
        drawn
    };
    see(
        &pins,
        &[
            drawn("chart", json!({ "openai/outputTemplate": URI, "ui": { "resourceUri": URI } })),
            drawn("map", json!({ "ui": { "resourceUri": "ui://w/map" } })),
        ],
    );
    let points = |tool: Option<&str>, meta: Value| {
        pins.see_carried(&sales(), tool, &result(&json!({ "type": "text", "text": "" }), &meta), NOW)
    };
    assert_eq!(points(Some("chart"), json!({ "openai/outputTemplate": URI })), PinState::Pinned);
    assert_eq!(points(Some("chart"), json!({ "ui/resourceUri": URI })), PinState::Pinned);
    assert_eq!(points(Some("chart"), json!({ "ui": { "resourceUri": "ui://w/map" } })), PinState::Changed);
    assert_eq!(points(Some("map"), json!({ "openai/outputTemplate": "https://x.test" })), PinState::Changed);
    // Of a task or a resumed stream it is not known whose result it is.
    assert_eq!(points(None, json!({ "ui": { "resourceUri": "ui://w/map" } })), PinState::Pinned);
    assert_eq!(points(None, json!({ "ui": { "resourceUri": "ui://w/none" } })), PinState::Changed);
}
