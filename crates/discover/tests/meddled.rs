//! Any configuration, however it is written: edits touch their entry alone, can be taken back, and no text makes the
//! readers fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use portunus_core::limits::DISCOVER_DEPTH;
use portunus_discover::rewrite::{self, Edit};
use portunus_discover::tree::{self, TreeError};
use portunus_discover::{Client, Format, read};
use proptest::prelude::*;

/// Blanks and comments as people write them.
fn blank() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\n  ".to_owned()),
        Just("\r\n\t".to_owned()),
        Just(" /* it's, \"so\": { */ ".to_owned()),
        Just(" // a } comment,\n ".to_owned()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ -~äß€😀]{0,12}")
        .unwrap()
        .prop_map(|text| serde_json::to_string(&text).unwrap())
}

/// A member of an entry: of its connection, or something else that must stay.
fn member() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![
        Just("command"),
        Just("args"),
        Just("env"),
        Just("type"),
        Just("headers"),
        Just("disabled"),
        Just("note"),
        Just("timeout"),
    ];
    let value = prop_oneof![
        text(),
        Just("true".to_owned()),
        Just("30".to_owned()),
        (text(), blank()).prop_map(|(text, blank)| format!("[{blank}{text}{blank}]")),
        (text(), blank(), text())
            .prop_map(|(key, blank, text)| format!("{{{blank}{key}{blank}:{text}{blank}}}")),
    ];
    (key, value).prop_map(|(key, value)| (key.to_owned(), value))
}

fn object(members: &[(String, String)], blanks: &[String], trailing: bool) -> String {
    let mut out = String::from("{");
    let mut blanks = blanks.iter().cycle();
    let mut next = || blanks.next().cloned().unwrap_or_default();
    for (index, (key, value)) in members.iter().enumerate() {
        let comma = if index + 1 < members.len() || trailing { "," } else { "" };
        out += &format!("{}\"{key}\"{}:{}{value}{}{comma}", next(), next(), next(), next());
    }
    out + &next() + "}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_entry_in_any_spelling_goes_to_the_edge_and_nothing_else_changes(
        members in proptest::collection::vec(member(), 0..6),
        others in proptest::collection::vec(member(), 0..3),
        blanks in proptest::collection::vec(blank(), 1..9),
        trailing: bool,
        command in text(),
        place in 0_usize..7,
    ) {
        let mut members = members;
        members.insert(place.min(members.len()), ("command".to_owned(), command));
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|(key, _)| seen.insert(key.clone()));
        if !members.iter().any(|(key, value)| key == "command" && value.starts_with('"')) {
            return Ok(());
        }
        let entry = object(&members, &blanks, trailing);
        let other = object(&others.iter().enumerate().map(|(i, (_, value))| (format!("o{i}"), value.clone())).collect::<Vec<_>>(), &blanks, trailing);
        let table = object(&[("a".to_owned(), other.clone()), ("b".to_owned(), entry), ("c".to_owned(), other)], &blanks, trailing);
        let file = object(&[("x".to_owned(), "1".to_owned()), ("mcpServers".to_owned(), table)], &blanks, trailing);
        let reading = read(Client::Cursor, Format::Json, &file);
        prop_assert_eq!(&reading.problem, &None);
        let server = reading.servers.iter().find(|server| server.name == "b").unwrap();
        let edited = rewrite::entry(Client::Cursor, Format::Json, &file, server, &reading.found, "https://e.example/b/mcp").unwrap();
        let (before, after) = (tree::parse(Format::Json, &file).unwrap(), tree::parse(Format::Json, &edited).unwrap());
        let (old, new) = (before.at(&server.path).unwrap(), after.at(&server.path).unwrap());
        prop_assert_eq!(&file[..old.span.start], &edited[..new.span.start]);
        prop_assert_eq!(&file[old.span.end..], &edited[new.span.end..]);
        for (key, value) in &members {
            if ["disabled", "note", "timeout"].contains(&key.as_str()) && reading.found.is_empty() {
                prop_assert!(edited[new.span.clone()].contains(value.as_str()), "{} {}", key, edited);
            }
        }
        prop_assert_eq!(rewrite::revert(&file, &edited, &edited), Some(file));
    }

    #[test]
    fn only_the_given_bytes_are_replaced(text in "[a-zé€😀]{0,40}", cuts in proptest::collection::vec((0_usize..120, 0_usize..9, "[x-z]{0,5}"), 0..5)) {
        let edits: Vec<Edit> = cuts.into_iter().map(|(start, length, text)| Edit { range: start..start + length, text }).collect();
        let mut sorted = edits.clone();
        sorted.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let fits = sorted.iter().all(|e| text.get(e.range.clone()).is_some())
            && sorted.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start);
        let applied = rewrite::apply(&text, edits);
        prop_assert_eq!(applied.is_some(), fits);
        if let Some(applied) = applied {
            let (mut old, mut new) = (0, 0);
            for edit in sorted {
                let kept = edit.range.start - old;
                prop_assert_eq!(&text[old..edit.range.start], &applied[new..new + kept]);
                prop_assert_eq!(&applied[new + kept..new + kept + edit.text.len()], edit.text.as_str());
                (old, new) = (edit.range.end, new + kept + edit.text.len());
            }
            prop_assert_eq!(&text[old..], &applied[new..]);
        }
    }

    #[test]
    fn any_text_is_read_without_panic_and_found_secrets_are_in_it(text in "(\\PC|[\\[\\]{}\",:=#/*$\\\\\n]|token|password|Bearer |ghp_16C7e42F292c6912E7710c838347Ae178B4a|https://a:b@c/?key=d){0,40}") {
        for format in [Format::Json, Format::Toml, Format::Dotenv] {
            let reading = read(Client::Generic, format, &text);
            for found in reading.found {
                prop_assert!(text.get(found.span).is_some());
            }
        }
    }

    #[test]
    fn a_known_secret_is_found_whatever_stands_around_it(before in "[ -~]{0,20}[ :=\"]", after in "[ \",;\n][ -~]{0,20}") {
        let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        // What is called a place to fill in is none.
        let text = format!("{before}{secret}{after}");
        for format in [Format::Json, Format::Toml] {
            let reading = read(Client::Generic, format, &text);
            prop_assume!(reading.problem.is_some());
            prop_assert!(reading.found.iter().any(|found| found.secret.expose().contains(secret)), "{}", text);
        }
    }
}

#[test]
fn what_was_changed_elsewhere_since_is_kept_when_an_edit_is_taken_back() {
    let file = "{\"n\": 1, \"mcpServers\": {\"a\": {\"command\": \"x\", \"env\": {\"T_TOKEN\": \"abc\"}}}, \"z\": 1}";
    let reading = read(Client::Cursor, Format::Json, file);
    let edited =
        rewrite::entry(Client::Cursor, Format::Json, file, &reading.servers[0], &reading.found, "https://e/")
            .unwrap();
    let current = edited.replace("\"n\": 1", "\"n\": 2");
    assert_eq!(rewrite::revert(file, &edited, &current).unwrap(), file.replace("\"n\": 1", "\"n\": 2"));
    // Not when it was changed itself, or is there twice.
    assert_eq!(rewrite::revert(file, &edited, &edited.replace("https://e/", "https://f/")), None);
    assert_eq!(rewrite::revert(file, &edited, &format!("{edited}{edited}")), None);
}

#[test]
fn deep_long_and_broken_texts_end_in_time_with_a_plain_reason() {
    let deep = "[".repeat(100_000);
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(tree::parse(Format::Json, &deep).is_err());
    assert!(tree::parse(Format::Json, &nested(DISCOVER_DEPTH)).is_ok());
    assert_eq!(tree::parse(Format::Json, &nested(DISCOVER_DEPTH + 1)).unwrap_err(), TreeError::Deep);
    assert!(tree::parse(Format::Toml, &format!("a = {deep}")).is_err());
    assert!(tree::parse(Format::Toml, &format!("{}b = 1", "a.".repeat(100_000))).is_err());
    let many = format!("[{}0]", "0,".repeat(1_000_001));
    assert_eq!(tree::parse(Format::Json, &many).unwrap_err(), TreeError::Long);
    // What opens again and again is not read again and again.
    for text in [
        "${".repeat(50_000),
        "://".repeat(50_000),
        "a://b:".repeat(20_000),
        "-----BEGIN PRIVATE KEY-----".repeat(5_000),
    ] {
        let _ = read(Client::Generic, Format::Dotenv, &format!("X_TOKEN={text}"));
        let _ = read(Client::Generic, Format::Json, &format!("{{\"env\": {{\"T_TOKEN\": \"{text}\"}}}}"));
    }
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let reading = read(Client::Cursor, Format::Json, &format!("{}\"{secret}\"", "[".repeat(1000)));
    assert_eq!(reading.found.len(), 1, "a file that is too deep is still searched");
}
