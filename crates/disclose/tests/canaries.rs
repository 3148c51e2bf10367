//! Planted values never pass, wherever they stand and however they are written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::type_complexity,
    missing_docs,
    reason = "tests"
)]

mod common;

use bytes::Bytes;
use common::{canaries, veil};
use portunus_disclose::class::{BUILT_IN, Class, Treatment};
use portunus_disclose::stream::Stream;
use portunus_disclose::veil::Veil;
use portunus_mcp::sse::Splitter;
use serde_json::{Value, json};

const PER_CLASS: usize = 500;

/// Every text that a reader of the message could come to: strings, keys, numbers, JSON in strings, base64 of text.
fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            out.push(text.clone());
            if let Ok(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) =
                serde_json::from_str(text)
            {
                texts(&inner, out);
            }
            let decoded = data_encoding::BASE64
                .decode(text.as_bytes())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            out.extend(decoded);
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(members) => {
            for (key, member) in members {
                out.push(key.clone());
                texts(member, out);
            }
        }
        other => out.push(other.to_string()),
    }
}

fn result(structured: Value, text: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "result": {
        "content": [{ "type": "text", "text": text }], "structuredContent": structured,
    } })
    .to_string()
}

/// Every character as `\uXXXX`.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The messages in which a value is planted, each with the name of the way.
fn plants(value: &str) -> Vec<(&'static str, String)> {
    let data = json!({ "rows": [{ "id": 7, "note": value, "deep": [[{ "x": value }]] }] });
    let once = data.to_string();
    let twice = json!({ "inner": once }).to_string();
    let thrice = Value::from(twice.as_str()).to_string();
    let none = json!({});
    let cell = value.replace('\n', " ");
    let table = format!("| id | what |\n|---|---|\n| 1 | {cell} |\n| 2 | nothing |");
    let in_escapes = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
        escaped(value)
    );
    let inner_escapes = format!(r#"{{"note":"{}"}}"#, escaped(value));
    let blob = data_encoding::BASE64.encode(format!("see {value} there").as_bytes());
    vec![
        ("text", result(none.clone(), &format!("See {value}, please."))),
        ("alone", result(none.clone(), value)),
        ("structured", result(data.clone(), "")),
        ("JSON in text", result(none.clone(), &once)),
        ("JSON lines", result(none.clone(), &format!("{once}\n{once}"))),
        ("doubly encoded", result(none.clone(), &twice)),
        ("triply encoded", result(none.clone(), &thrice)),
        ("JSON within prose", result(none.clone(), &format!("The result is {once}, as asked."))),
        ("key", result(json!({ "counts": { value: 5, "other": 1 } }), "")),
        ("key of JSON in text", result(none.clone(), &json!({ value: [1] }).to_string())),
        ("table", result(none.clone(), &table)),
        ("escapes", in_escapes),
        ("escapes in JSON in text", result(none.clone(), &inner_escapes)),
        ("escapes in JSON within prose", result(none.clone(), &format!("Result: {inner_escapes}!"))),
        ("error", json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -1, "message": format!("no row for {value}"), "data": [value] } }).to_string()),
        ("log", json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": { "m": value } } }).to_string()),
        ("progress", json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "progress": 1, "message": value } }).to_string()),
        ("widget", json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [], "_meta": { "app/data": [value] } } }).to_string()),
        ("resource", json!({ "jsonrpc": "2.0", "id": 1, "result": { "contents": [{ "uri": "x:y", "text": format!("<p>{value}</p>") }] } }).to_string()),
        ("blob", json!({ "jsonrpc": "2.0", "id": 1, "result": { "contents": [{ "uri": "x:y", "blob": blob }] } }).to_string()),
        ("question", json!({ "jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": { "message": format!("Is it {value}?") } }).to_string()),
    ]
}

fn passes(veil: &Veil, message: &str, core: &str) -> Option<String> {
    let screened = veil.screen(message.as_bytes()).unwrap();
    let value: Value = serde_json::from_slice(&screened.body).unwrap();
    let mut all = Vec::new();
    texts(&value, &mut all);
    all.into_iter().find(|text| text.contains(core) || text.contains(&escaped(core)))
}

#[test]
fn no_planted_value_passes_in_any_place_of_a_message() {
    for class in BUILT_IN {
        for (whole, core) in canaries(&class, PER_CLASS) {
            let veil = veil(Treatment::Mask);
            for (way, message) in plants(&whole) {
                let passed = passes(&veil, &message, &core);
                assert_eq!(passed, None, "{class} {way}: {core}");
            }
        }
    }
}

#[test]
fn every_treatment_takes_the_value_away() {
    for treatment in [Treatment::Token, Treatment::Hash, Treatment::Partial, Treatment::Drop] {
        let veil = veil(treatment);
        for class in BUILT_IN {
            for (whole, core) in canaries(&class, 60) {
                for (way, message) in plants(&whole) {
                    assert_eq!(passes(&veil, &message, &core), None, "{class} {way} {treatment:?}: {core}");
                }
            }
        }
    }
}

#[test]
fn no_number_that_is_a_value_passes_as_a_number() {
    let veil = veil(Treatment::Mask);
    let mut random = common::Random(3);
    let mut numbers = Vec::new();
    while numbers.len() < PER_CLASS {
        numbers.push(("n", common::bare_card(&mut random)));
        let (label, value) = common::national_id(&mut random);
        if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0') {
            numbers.push((
                if label.is_empty() {
                    "n"
                } else if label.starts_with('B') {
                    "bsn"
                } else {
                    "ssn"
                },
                value,
            ));
        }
        numbers.push(("phone", format!("49151{}", random.digits(8))));
    }
    for (key, number) in numbers {
        for written in [number.clone(), format!("{number}.0"), format!("-{number}")] {
            let message = format!(r#"{{"id":1,"result":{{"structuredContent":{{"{key}":[{written}]}}}}}}"#);
            assert_eq!(passes(&veil, &message, &number), None, "{key} {written}");
            let text = format!(r#"{{"{key}":{written}}}"#);
            assert_eq!(passes(&veil, &result(json!({}), &text), &number), None, "in text: {key} {written}");
        }
    }
    let exponent = r#"{"id":1,"result":{"structuredContent":{"n":4.111111111111111e15}}}"#;
    assert_eq!(passes(&veil, exponent, "4.1111"), None);
}

#[test]
fn no_planted_value_passes_in_events_whose_stream_is_cut_anywhere() {
    for class in BUILT_IN {
        let veil = veil(Treatment::Mask);
        for (index, (whole, core)) in canaries(&class, PER_CLASS).into_iter().enumerate() {
            let message = result(json!({ "v": whole }), &format!("a {whole} b"));
            let stream =
                format!("id: 1\nevent: message\ndata: {message}\n\n: keep-alive\n\ndata: {message}\n\n");
            let mut splitter = Splitter::new(1 << 20);
            let mut seen = 0;
            for piece in stream.as_bytes().chunks(1 + index % 97) {
                splitter.feed(piece);
                while let Some(event) = splitter.next_event().unwrap() {
                    if let Some(data) = event.data.clone().filter(|data| !data.is_empty()) {
                        let screened = veil.screen(&data).unwrap();
                        let released = event.with_data(Bytes::from(screened.body.into_owned())).raw;
                        let text = String::from_utf8(released.to_vec()).unwrap();
                        let plain = serde_json::from_str::<Value>(text.split("data:").nth(1).unwrap().trim())
                            .unwrap();
                        let mut all = Vec::new();
                        texts(&plain, &mut all);
                        assert!(!all.iter().any(|text| text.contains(&core)), "{class}: {core}");
                        seen += 1;
                    }
                }
            }
            assert_eq!(seen, 2);
        }
    }
}

#[test]
fn no_planted_value_passes_in_plain_text_that_is_cut_at_every_position() {
    for class in BUILT_IN {
        let veil = veil(Treatment::Mask);
        for (whole, core) in canaries(&class, PER_CLASS) {
            let text = format!("x {whole} y\nz");
            let mut first = None;
            for cut in 0..=text.len() {
                let (left, right) = text.as_bytes().split_at(cut);
                let mut stream = Stream::new(veil.clone());
                let mut out = stream.feed(left);
                out.extend(stream.feed(right));
                out.extend(stream.finish().0);
                let shown = String::from_utf8(out).unwrap();
                assert!(!shown.contains(&core), "{class} {cut}: {core} in {shown}");
                assert_eq!(*first.get_or_insert_with(|| shown.clone()), shown, "{class} {cut}");
            }
        }
    }
}

#[test]
fn other_spellings_of_the_same_characters_do_not_help() {
    let wide = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_graphic() { char::from_u32(u32::from(c) + 0xFEE0).unwrap() } else { c })
            .collect()
    };
    let digits_wide = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_digit() { char::from_u32(u32::from(c) + 0xFEE0).unwrap() } else { c })
            .collect()
    };
    let arabic = |text: &str| -> String {
        text.chars().map(|c| c.to_digit(10).map_or(c, |d| char::from_u32(0x660 + d).unwrap())).collect()
    };
    let entity = |text: &str| -> String { text.chars().map(|c| format!("&#{};", u32::from(c))).collect() };
    let percent = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii() && !c.is_ascii_alphanumeric() {
                    format!("%{:02X}", u32::from(c))
                } else {
                    c.to_string()
                }
            })
            .collect()
    };
    let joined = |sign: &'static str| {
        move |text: &str| -> String { text.chars().map(|c| format!("{c}{sign}")).collect() }
    };
    let ways: Vec<(&str, Box<dyn Fn(&str) -> String>)> = vec![
        ("full width", Box::new(wide)),
        ("full-width digits", Box::new(digits_wide)),
        ("Arabic digits", Box::new(arabic)),
        ("entities", Box::new(entity)),
        ("percent", Box::new(percent)),
        ("zero width", Box::new(joined("\u{200b}"))),
        ("soft hyphen", Box::new(joined("\u{ad}"))),
        ("word joiner", Box::new(joined("\u{2060}"))),
    ];
    let veil = veil(Treatment::Mask);
    for class in BUILT_IN.into_iter().filter(|class| *class != Class::Secret) {
        for (whole, _) in canaries(&class, 200) {
            for (name, way) in &ways {
                let text = format!("see {} there", way(&whole));
                let (shown, found) = veil.screen_text(&text);
                assert!(found.contains_key(&class), "{class} {name}: {whole} gives {shown}");
            }
        }
    }
}

#[test]
fn the_same_value_has_the_same_token_in_text_structure_key_and_spelling_and_another_under_another_key() {
    let veil = veil(Treatment::Token);
    let token = |text: &str| veil.screen_text(text).0.into_owned();
    let first = token("ana@example.com");
    assert!(first.starts_with("email_") && first.len() == 26, "{first}");
    assert_eq!(first, token("ANA@Example.com"));
    assert_ne!(first, token("bea@example.com"));
    assert_eq!(token("4111 1111 1111 1111"), token("4111-1111-1111-1111"));
    assert_eq!(token("+49 (0)30 1234567"), token("0049 30 1234567"));
    assert_eq!(token("DE89 3704 0044 0532 0130 00"), token("de89370400440532013000"));
    let message = result(json!({ "ana@example.com": "ana@example.com" }), r#"{"mail":"ana@example.com"}"#);
    let shown = String::from_utf8(veil.screen(message.as_bytes()).unwrap().body.into_owned()).unwrap();
    assert_eq!(shown.matches(&first).count(), 3, "{shown}");
    let rules = portunus_disclose::veil::Rules {
        treatments: [(Class::Email, Treatment::Token)].into(),
        key: Some(portunus_core::secret::Secret::new([8; 32])),
        count_all: false,
    };
    let other = portunus_disclose::veil::Classes::default().veil(&rules).unwrap();
    assert_ne!(other.screen_text("ana@example.com").0, first);
}
