//! What must hold for any message.
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

use common::veil;
use portunus_disclose::class::{Class, Treatment};
use portunus_disclose::rows;
use portunus_disclose::veil::{Classes, PatternError, Rules, RulesError, ScreenError};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;

fn screened(treatment: Treatment, message: &str) -> String {
    String::from_utf8(veil(treatment).screen(message.as_bytes()).unwrap().body.into_owned()).unwrap()
}

#[test]
fn all_other_bytes_stay() {
    let message = r#" { "jsonrpc" : "2.0", "id":"ana@example.com" ,"zeta":1.50e3, "result": {"b":  1.0, "a":"\u00e9\/\n", "mail" :"x ana@example.com\ty\u0041", "n":123456789012345678901234567890, "B":[ ] , "nextCursor":"ana@example.com","_meta":{"progressToken":4111111111111111}, "task":{"taskId":"bea@example.com","note":"bea@example.com"}}}  "#;
    let expected = message
        .replace("x ana@example.com", "x [email]")
        .replace(r#""note":"bea@example.com""#, r#""note":"[email]""#);
    assert_eq!(screened(Treatment::Mask, message), expected);
}

#[test]
fn handles_are_handles_only_in_their_place() {
    let message = json!({ "id": 1, "result": {
        "requestState": "ana@example.com", "structuredContent": { "taskId": "ana@example.com", "id": "ana@example.com" },
        "nextCursor": { "x": "ana@example.com" } } });
    let shown: Value = serde_json::from_str(&screened(Treatment::Mask, &message.to_string())).unwrap();
    assert_eq!(shown["result"]["requestState"], "ana@example.com");
    assert_eq!(shown["result"]["structuredContent"], json!({ "taskId": "[email]", "id": "[email]" }));
    assert_eq!(shown["result"]["nextCursor"]["x"], "[email]");
}

#[test]
fn a_dropped_string_is_null_in_data_and_empty_where_the_protocol_wants_a_string() {
    let message = json!({ "id": 1, "result": {
        "content": [{ "type": "text", "text": "ana@example.com" }, { "type": "text", "text": "{\"a\":\"ana@example.com\",\"b\":4111111111111111}" }],
        "structuredContent": { "a": "ana@example.com", "b": "to ana@example.com", "c": 4111111111111111_u64 } } });
    let shown: Value = serde_json::from_str(&screened(Treatment::Drop, &message.to_string())).unwrap();
    assert_eq!(shown["result"]["structuredContent"], json!({ "a": null, "b": "to ", "c": null }));
    assert_eq!(shown["result"]["content"][0]["text"], "");
    assert_eq!(shown["result"]["content"][1]["text"], r#"{"a":null,"b":null}"#);
}

#[test]
fn keys_that_become_equal_are_told_apart() {
    let message = r#"{"id":1,"result":{"structuredContent":{"a@example.com":1,"[email] 2":0,"b@example.com":{"c@example.com":2},"d@example.com":3}}}"#;
    let shown = screened(Treatment::Mask, message);
    assert!(
        shown.ends_with(r#"{"[email]":1,"[email] 2":0,"[email] 3":{"[email]":2},"[email] 4":3}}}"#),
        "{shown}"
    );
    assert_eq!(screened(Treatment::Mask, &shown), shown);
}

#[test]
fn partial_shows_the_last_four_or_the_domain() {
    let veil = veil(Treatment::Partial);
    for (text, shown) in [
        ("ana@example.com", "***@example.com"),
        ("4111 1111 1111 1111", "***1111"),
        ("DE89 3704 0044 0532 0130 00", "***3000"),
        ("+49 30 1234567", "***4567"),
        ("078-05-1120", "[national_id]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[secret]"),
    ] {
        assert_eq!(veil.screen_text(text).0, shown);
    }
}

#[test]
fn of_values_that_overlap_all_is_treated_by_the_strictest_rule() {
    let rules = Rules {
        treatments: [(Class::Email, Treatment::Partial), (Class::Custom("login".into()), Treatment::Mask)]
            .into(),
        ..Rules::default()
    };
    let classes = Classes::new(&[("login".to_owned(), "login [a-z]+".to_owned())].into()).unwrap();
    let veil = classes.veil(&rules).unwrap();
    assert_eq!(veil.screen_text("the login ana@example.com!").0, "the [login]!");
}

#[test]
fn an_operators_pattern_finds_its_values_in_text_numbers_and_keys() {
    let classes = Classes::new(&[("employee".to_owned(), r"\bE?[0-9]{6}\b".to_owned())].into()).unwrap();
    let rules = Rules {
        treatments: [(Class::Custom("employee".into()), Treatment::Mask)].into(),
        ..Rules::default()
    };
    let veil = classes.veil(&rules).unwrap();
    let message =
        r#"{"id":1,"result":{"structuredContent":{"E123456":"see Ｅ１２３４５６","n":654321,"m":7}}}"#;
    let screened = veil.screen(message.as_bytes()).unwrap();
    let expected =
        r#"{"id":1,"result":{"structuredContent":{"[employee]":"see [employee]","n":"[employee]","m":7}}}"#;
    assert_eq!(std::str::from_utf8(&screened.body).unwrap(), expected);
    assert_eq!(screened.found[&Class::Custom("employee".into())], 3);
}

#[test]
fn patterns_that_could_harm_are_refused() {
    let classes =
        |name: &str, pattern: &str| Classes::new(&[(name.to_owned(), pattern.to_owned())].into()).map(|_| ());
    assert!(matches!(classes("a", "("), Err(PatternError::Invalid { .. })));
    assert!(matches!(classes("a", "x{1000}{1000}{1000}"), Err(PatternError::Invalid { .. })));
    assert!(matches!(classes("A b", "x"), Err(PatternError::Invalid { .. })));
    assert!(matches!(classes("email", "x"), Err(PatternError::BuiltIn(_))));
    assert!(matches!(classes("a", "x*"), Err(PatternError::MatchesNothing(_))));
    assert!(matches!(classes("a", &"x".repeat(1025)), Err(PatternError::TooLong(_))));
    let many = (0..65).map(|n| (format!("c{n}"), "x".to_owned())).collect();
    assert_eq!(Classes::new(&many).map(|_| ()), Err(PatternError::TooMany));
    let rules =
        |class: Class, treatment| Rules { treatments: [(class, treatment)].into(), ..Rules::default() };
    let unknown = Classes::default().veil(&rules(Class::Custom("x".into()), Treatment::Mask)).map(|_| ());
    assert_eq!(unknown, Err(RulesError::UnknownClass("x".to_owned())));
    let no_key = Classes::default().veil(&rules(Class::Email, Treatment::Token)).map(|_| ());
    assert_eq!(no_key, Err(RulesError::NoKey("email".to_owned())));
}

#[test]
fn values_are_counted_without_being_changed() {
    let counting = Classes::default().veil(&Rules { count_all: true, ..Rules::default() }).unwrap();
    let message = result_text("ana@example.com and bea@example.com paid with 4111 1111 1111 1111");
    let screened = counting.screen(message.as_bytes()).unwrap();
    assert!(matches!(screened.body, Cow::Borrowed(_)));
    assert_eq!(screened.found, [(Class::Email, 2), (Class::Card, 1)].into());
    let clear = Classes::default().veil(&Rules::default()).unwrap();
    assert!(clear.is_clear());
    assert_eq!(clear.screen(b"anything \xff").unwrap().body, &b"anything \xff"[..]);
}

#[test]
fn what_is_no_json_is_withheld() {
    let veil = veil(Treatment::Mask);
    for broken in ["", "x", "{", "[1,", "{\"a\"}", "{\"a\":1,}", "{\"a\":1} 2", "\"a", "{1:2}", "[1 2]"] {
        assert!(matches!(veil.screen(broken.as_bytes()), Err(ScreenError::NotJson(_))), "{broken}");
    }
    assert_eq!(veil.screen(b"\"\xff\""), Err(ScreenError::NotUtf8));
    assert_eq!(veil.screen("[".repeat(100_000).as_bytes()), Err(ScreenError::TooDeep));
}

#[test]
fn hostile_texts_take_linear_time() {
    let veil = veil(Treatment::Mask);
    const SMALL: usize = 300;
    let nested = (0..6).fold("ana@example.com".to_owned(), |text, _| json!([text]).to_string());
    let took = |part: &str, size: usize| {
        let text = result_text(&part.repeat((size / part.len()).max(2)));
        // Of the time that this thread had a processor, since other programs run too; often enough for a clock that ticks.
        let (started, mut runs) = (thread_time(), 0);
        while runs < 2 || thread_time() - started < std::time::Duration::from_millis(60) {
            let _ = veil.screen(text.as_bytes()).unwrap();
            runs += 1;
        }
        (thread_time() - started) / runs
    };
    for part in [
        "1 ",
        "@",
        "a@",
        "a@a.",
        "-----BEGIN PRIVATE KEY-----",
        "11 ",
        "0-",
        "eyJ",
        "://a:",
        "password=",
        "\\\\",
        "&#",
        "\u{200b}1",
        "{\"",
        "[\"",
        "%25",
        "A1",
        "DE89 3",
        "(",
        "+1 (",
        nested.as_str(),
    ] {
        // Eight times as much takes eight times as long, not sixty-four times.
        let (small, large) = (took(part, SMALL), took(part, 8 * SMALL));
        let most = small * 24 + std::time::Duration::from_millis(5);
        assert!(large < most, "{part:?}: {small:?}, eight times as much {large:?}");
    }
}

#[test]
fn an_italian_tax_number_is_found_with_its_letters_apart() {
    let veil = veil(Treatment::Mask);
    for text in ["RSSMRA85T10A562S", "RSS MRA 85T10 A562S", "RSSMR A85T10A562S", "R S S M R A85T10A562S"] {
        assert_eq!(veil.screen_text(text).0, "[national_id]", "{text}");
    }
}

#[test]
fn a_value_between_json_texts_is_found() {
    let veil = veil(Treatment::Mask);
    for (text, shown) in [
        ("[] 4111 1111 1111 1111 []", "[] [card] []"),
        ("\"'\"\n4111 1111 1111 1111\n'\"\"'\"", "\"'\"\n[card]\n'\"\"'\""),
        ("{\"a\":1}\n+49 30 1234567\n{\"b\":2}", "{\"a\":1}\n[phone]\n{\"b\":2}"),
        ("{\"a\":\"ana@example.com\"}\n{\"b\":\"x\"}", "{\"a\":\"[email]\"}\n{\"b\":\"x\"}"),
    ] {
        assert_eq!(veil.screen_text(text).0, shown);
    }
}

/// How long this thread has run on a processor (proc_pid_schedstat: the first number, in nanoseconds); where the system does
/// not tell, the time of day.
fn thread_time() -> std::time::Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    nanoseconds.map_or_else(|| START.elapsed(), std::time::Duration::from_nanos)
}

#[test]
fn a_value_that_touches_another_is_found_in_the_first_screening() {
    let veil = veil(Treatment::Mask);
    for (text, shown) in [
        ("ana@example.com+49 30 1234567", "[email][phone]"),
        ("ana@example.com+49 30 1234567+49 30 7654321", "[email][phone][phone]"),
    ] {
        let (once, found) = veil.screen_text(text);
        assert_eq!(once, shown);
        assert_eq!(found.values().sum::<usize>(), shown.matches('[').count(), "{found:?}");
        let message = json!({ "id": 1, "result": { "structuredContent": { text: null } } }).to_string();
        assert!(screened(Treatment::Mask, &message).contains(&format!("{{\"{shown}\":null}}")));
    }
}

#[test]
fn base64_is_read_as_lenient_readers_do_and_stays_base64() {
    let structured = |key: &str, value: &str| {
        let message =
            json!({ "id": 1, "result": { "contents": [{ "uri": "x:y", key: value }] } }).to_string();
        let shown: Value = serde_json::from_str(&screened(Treatment::Mask, &message)).unwrap();
        shown["result"]["contents"][0][key].as_str().unwrap().to_owned()
    };
    let text = "?>~ name;mail\nana;ana@example.com\n";
    let plain = data_encoding::BASE64.encode(text.as_bytes());
    let lines = plain.as_bytes().chunks(20).map(|line| std::str::from_utf8(line).unwrap());
    let shown = text.replace("ana@example.com", "[email]").into_bytes();
    for written in [plain.clone(), lines.collect::<Vec<_>>().join("\r\n")] {
        assert_eq!(data_encoding::BASE64.decode(structured("blob", &written).as_bytes()).unwrap(), shown);
    }
    let bare = structured("blob", plain.trim_end_matches('='));
    assert_eq!(data_encoding::BASE64_NOPAD.decode(bare.as_bytes()).unwrap(), shown);
    let url = structured("data", &data_encoding::BASE64URL_NOPAD.encode(text.as_bytes()));
    assert_eq!(data_encoding::BASE64URL_NOPAD.decode(url.as_bytes()).unwrap(), shown);
    // Latin-1.
    let latin = structured("blob", &data_encoding::BASE64.encode(b"M\xfcller;ana@example.com;x"));
    assert_eq!(data_encoding::BASE64.decode(latin.as_bytes()).unwrap(), b"M\xfcller;[email];x");
    // JSON in base64 starts as a JWT does, and stays base64.
    let json = json!({ "note": "n".repeat(600), "mail": "ana@example.com" }).to_string();
    let blob = structured("blob", &data_encoding::BASE64.encode(json.as_bytes()));
    let read = String::from_utf8(data_encoding::BASE64.decode(blob.as_bytes()).unwrap()).unwrap();
    assert_eq!(read, json.replace("ana@example.com", "[email]"));
    let clean = data_encoding::BASE64.encode("{\"a\":\"b\"}".repeat(60).as_bytes());
    assert_eq!(structured("blob", &clean), clean);
    assert_eq!(structured("cursor", &clean), clean);
    // What is no base64 of text is looked at as it stands; a picture stays.
    for value in ["4111111111111111", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"] {
        assert!(structured("data", value).starts_with('['), "{value}");
    }
    let picture: Vec<u8> = (0..60_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let picture = data_encoding::BASE64.encode(&picture);
    assert_eq!(structured("data", &picture), picture);
}

#[test]
fn under_a_secrets_name_everything_is_hidden_but_in_schemas() {
    for (value, shown) in [
        (json!(1234.5), json!("[secret]")),
        (json!(7), json!("[secret]")),
        (json!(-1e300), json!("[secret]")),
        (json!("ab"), json!("[secret]")),
        (
            json!({ "value": "hunter2", "n": [1.5], "in": { "x": "abc" } }),
            json!({ "value": "[secret]", "n": ["[secret]"], "in": { "x": "[secret]" } }),
        ),
        (json!({ "type": "plain", "set": true }), json!({ "type": "plain", "set": true })),
        (json!(null), json!(null)),
    ] {
        let message =
            json!({ "id": 1, "result": { "structuredContent": { "password": value } } }).to_string();
        let read: Value = serde_json::from_str(&screened(Treatment::Mask, &message)).unwrap();
        assert_eq!(read["result"]["structuredContent"]["password"], shown);
    }
    let schema = json!({ "type": "object", "properties": { "password": { "type": "string", "description": "The new one", "minLength": 8 } } });
    let tools =
        json!({ "id": 1, "result": { "tools": [{ "name": "x", "inputSchema": schema }] } }).to_string();
    assert_eq!(screened(Treatment::Mask, &tools), tools);
}

fn result_text(text: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [{ "type": "text", "text": text }] } })
        .to_string()
}

fn text() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("ana@example.com"),
        Just("4111 1111 1111 1111"),
        Just("+49 30 1234567"),
        Just("DE89370400440532013000"),
        Just("078-05-1120"),
        Just("password=hunter2"),
        Just("4111111111111111"),
        Just("\u{200b}"),
        Just("&#64;"),
        Just("\\u0040"),
        Just("{\"a\":\""),
        Just("\"}"),
        Just("["),
        Just("]"),
        Just("-----BEGIN PRIVATE KEY-----"),
        Just("\n"),
        Just("\\"),
    ];
    let part = prop_oneof![value.prop_map(str::to_owned), "[ -~]{0,12}", ".{0,6}"];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::from(4_111_111_111_111_111_u64)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(), inner.clone()), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

/// The same shape: arrays and objects of the same sizes; where no value was found, the same values.
fn same_shape(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(b, a)| same_shape(b, a))
        }
        (Value::Object(before), Value::Object(after)) => before.len() == after.len(),
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_) | Value::Null) => true,
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn what_is_released_is_json_of_the_same_shape_and_a_second_screening_changes_nothing(value in tree(), pretty in any::<bool>()) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "result": { "structuredContent": value, "content": [value.to_string()] } });
        let raw = if pretty { serde_json::to_string_pretty(&message).unwrap() } else { message.to_string() };
        for treatment in [Treatment::Mask, Treatment::Token, Treatment::Hash, Treatment::Partial, Treatment::Drop] {
            let once = screened(treatment, &raw);
            let read: Value = serde_json::from_str(&once).unwrap();
            prop_assert!(same_shape(&message["result"]["structuredContent"], &read["result"]["structuredContent"]), "{}", once);
            if matches!(treatment, Treatment::Mask) {
                let twice = screened(treatment, &once);
                prop_assert_eq!(twice, once);
            }
        }
    }

    #[test]
    fn a_message_without_values_stays_byte_for_byte(value in tree()) {
        let raw = json!({ "id": 1, "result": value }).to_string();
        let screened = veil(Treatment::Mask).screen(raw.as_bytes()).unwrap();
        prop_assert_eq!(screened.found.is_empty(), matches!(screened.body, Cow::Borrowed(_)));
    }

    #[test]
    fn any_bytes_are_read_without_harm(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let veil = veil(Treatment::Mask);
        let _ = veil.screen(&raw);
        let mut wrapped = br#"{"id":1,"result":"#.to_vec();
        wrapped.extend(&raw);
        wrapped.push(b'}');
        let _ = veil.screen(&wrapped);
        let _ = rows::count(&wrapped);
        let _ = rows::cap(&raw, 1);
    }

    #[test]
    fn rows_that_are_cut_count_no_more_than_the_limit(rows_in in prop::collection::vec(tree(), 0..12), limit in 0_usize..6) {
        let message = json!({ "id": 1, "result": { "structuredContent": { "rows": rows_in }, "content": [{ "type": "text", "text": Value::from(rows_in.clone()).to_string() }] } }).to_string();
        if let Some(capped) = rows::cap(message.as_bytes(), limit) {
            let shown: Value = serde_json::from_slice(&capped.body).unwrap();
            let left = shown["result"]["structuredContent"]["rows"].as_array().unwrap();
            prop_assert_eq!(left, &rows_in[..limit.min(rows_in.len())]);
            let text: Value = serde_json::from_str(shown["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
            prop_assert_eq!(text.as_array().unwrap(), left);
        }
    }
}
