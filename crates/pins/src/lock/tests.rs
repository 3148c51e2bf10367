use super::*;
use proptest::prelude::*;

fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

fn definition(name: &str, text: &str) -> Definition {
    Definition::read(name, text.as_bytes()).unwrap()
}

fn sample() -> Lock {
    let mut lock = Lock::default();
    let tool = definition(
        "find",
        r#"{"name":"find","description":"Finds\nrows\u200b.","inputSchema":{"type":"object","properties":{"q":{"type":"string"}}},"annotations":{"readOnlyHint":true,"openWorldHint":"x"}}"#,
    );
    let at = Timestamp::parse("2026-11-23T15:04:05.123Z").unwrap();
    lock.accept(&server("sales"), Kind::Tool, &tool, "ana", at).unwrap();
    lock.accept(&server("sales"), Kind::Tool, &definition("b", r#"{"name":"b"}"#), FIRST_SIGHT, at).unwrap();
    lock.open(&server("sales"), Kind::Prompt);
    let widget = definition("ui://w", r#"[{"uri":"ui://w","text":{"bytes":1,"sha256":"00"}}]"#);
    lock.accept(&server("hr"), Kind::Widget, &widget, "ben", at).unwrap();
    lock
}

#[test]
fn a_lockfile_reads_well_and_survives_being_read() {
    let text = sample().print();
    assert_eq!(Lock::parse(&text).unwrap(), sample());
    assert_eq!(Lock::parse(&text).unwrap().print(), text);
    assert!(
        text.contains(
            r#"      "tools": {
        "b": {
          "accepted_at": "2026-11-23T15:04:05.123Z",
          "accepted_by": "first sight",
          "definition": {
            "name": "b"
          },
          "digest": ""#
        ),
        "{text}"
    );
    assert!(text.contains(r"Finds\nrows\u200b."), "what is hidden is written out: {text}");
    assert!(text.contains("      \"prompts\": {},\n"), "{text}");
    assert_eq!(Lock::parse(&Lock::default().print()).unwrap(), Lock::default());
}

#[test]
fn a_lockfile_that_says_anything_in_doubt_is_refused_with_the_line() {
    let text = sample().print();
    let digest = definition("b", r#"{"name":"b"}"#).digest().hex();
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Lock::parse(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    for (from, to, reason) in [
        ("\"portunus_lock\": 1", "\"portunus_lock\": 2", "line 2: this version"),
        ("\"portunus_lock\": 1,", "", "line 1: \"portunus_lock\" is missing"),
        ("\"name\": \"b\"", "\"name\": \"b\", \"title\": \"x\"", "the digest is not that of the definition"),
        (&*digest, "00", "a SHA-256 digest is 32 bytes"),
        ("2026-11-23T15:04:05.123Z", "soon", "a time such as"),
        ("\"ben\"", "\"\"", "whoever accepts is named"),
        ("\"ben\"", "\"b\\u202een\"", "whoever accepts is named"),
        ("\"ben\"", "7", "a string is due here"),
        ("\"tools\"", "\"toolz\"", "\"toolz\" is not known here"),
        ("\"sales\"", "\"Sales\"", "server name"),
        ("\"ui://w\"", "\"file://w\"", "is no name of a widget that is pinned"),
        ("\"accepted_by\"", "\"accepted_bye\"", "\"accepted_bye\" is not known here"),
        ("\"b\": {", "\"c\": {", "the definition is not of \"c\""),
        ("\"sales\": {", "\"sales\": [", "expected"),
        ("\"prompts\": {}", "\"prompts\": []", "an object is due here"),
        ("\"prompts\": {}", "\"prompts\": {}, \"prompts\": {}", "duplicate key"),
        ("\"prompts\"", "<<<<<<< ours\n\"prompts\"", "a merge conflict"),
    ] {
        let said = wrong(from, to);
        let line = said.strip_prefix("line ").and_then(|rest| rest.split_once(':')).unwrap().0;
        assert!(line.parse::<usize>().unwrap() >= 1);
        // A marker must stand at the start of a line.
        if !to.starts_with("<<<<<<<") {
            assert!(said.contains(reason), "{from} → {to}: {said}");
        }
    }
    assert_eq!(Lock::parse("{}\n<<<<<<< HEAD\n").unwrap_err().line, 2);
    assert_eq!(wrong("\"digest\": \"", "\"digest\": \"x").split(':').next(), Some("line 18"));
}

#[test]
fn a_definition_is_pinned_new_or_changed() {
    let lock = sample();
    let state = |server_name: &str, name: &str, text: &str| {
        lock.state(&server(server_name), Kind::Tool, &definition(name, text))
    };
    assert_eq!(state("sales", "b", "{ \"name\" : \"b\" }"), State::Pinned);
    assert_eq!(state("sales", "b", r#"{"name":"b","title":"B"}"#), State::Changed);
    assert_eq!(state("sales", "c", r#"{"name":"c"}"#), State::New);
    assert_eq!(state("hr", "b", r#"{"name":"b"}"#), State::New, "pins are of one server");
    assert_eq!(lock.state(&server("sales"), Kind::Prompt, &definition("b", r#"{"name":"b"}"#)), State::New);
    assert!(lock.knows(&server("sales"), Kind::Prompt) && !lock.knows(&server("hr"), Kind::Tool));
}

#[test]
fn removing_a_pin_leaves_the_first_sight_made_and_forgetting_a_server_does_not() {
    let mut lock = sample();
    assert!(lock.remove(&server("sales"), Kind::Tool, "b"));
    assert!(!lock.remove(&server("sales"), Kind::Tool, "b"));
    assert!(lock.knows(&server("sales"), Kind::Tool));
    assert!(lock.forget(&server("sales")) && !lock.knows(&server("sales"), Kind::Tool));
}

#[test]
fn pinned_tools_come_with_schema_and_claims() {
    let lock = sample();
    let tools: Vec<_> = lock.tools(&server("sales")).collect();
    assert_eq!(tools.iter().map(|tool| tool.name).collect::<Vec<_>>(), ["b", "find"]);
    assert_eq!(tools[0].input_schema, None);
    assert_eq!(tools[1].input_schema, Some(r#"{"properties":{"q":{"type":"string"}},"type":"object"}"#));
    assert_eq!((tools[1].annotations.read_only, tools[1].annotations.open_world), (Some(true), None));
    assert_eq!(lock.tools(&server("hr")).count(), 0);
}

#[test]
fn no_more_is_accepted_than_fits() {
    let mut lock = Lock::default();
    let (sales, now) = (server("sales"), Timestamp::from_secs(0));
    let big = format!("\"{}\"", "a".repeat(limits::DEFINITION_BYTES - 2));
    let big = |index: usize| definition(&format!("t{index}"), &big);
    let fit = limits::DEFINITIONS_BYTES / limits::DEFINITION_BYTES;
    for index in 0..fit {
        lock.accept(&sales, Kind::Tool, &big(index), "ana", now).unwrap();
    }
    assert_eq!(lock.accept(&sales, Kind::Prompt, &big(0), "ana", now), Err(Full::Bytes));
    assert_eq!(lock.accept(&sales, Kind::Tool, &big(0), "ana", now), Ok(()), "in place of itself");
    assert_eq!(lock.accept(&server("hr"), Kind::Tool, &big(0), "", now), Err(Full::By));
}

proptest! {
    #[test]
    fn any_definition_survives_the_lockfile(name in "\\PC{1,20}", text in ".{0,200}", number in -1e9..1e9_f64, by in "[ -~]{1,40}") {
        let value = serde_json::json!({ "name": name, "description": text, "x": { text.clone(): [number, null, true] } });
        let Ok(definition) = Definition::read(&name, value.to_string().as_bytes()) else { return Ok(()) };
        prop_assume!(!name.chars().any(crate::text::is_hidden));
        let mut lock = Lock::default();
        lock.accept(&server("s"), Kind::Tool, &definition, &by, Timestamp::from_millis(1_795_000_000_001)).unwrap();
        let printed = lock.print();
        prop_assert!(!printed.chars().any(|c| c != '\n' && crate::text::is_hidden(c)));
        prop_assert_eq!(Lock::parse(&printed), Ok(lock));
    }

    #[test]
    fn any_text_is_read_without_panic(text in ".{0,300}") {
        let _ = Lock::parse(&text);
    }
}
