//! What several test programs share.
#![allow(dead_code, reason = "each test program uses some of it")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use portunus_mcp::json::Bounds;
use portunus_mcp::message::{self, Message, Reject};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Headers of a POST, and these.
pub(crate) fn post(more: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let base = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    for (name, value) in base.iter().chain(more) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Reads a body that is a text.
pub(crate) fn read(headers: &HeaderMap, body: &str) -> Result<Message, Reject> {
    message::read(headers, &Bytes::copy_from_slice(body.as_bytes()), &Bounds::default())
}

/// JSON texts, well-formed but for numbers out of range and keys that collide, in many spellings; always the same ones.
pub(crate) fn texts(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let strategy = json_text();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// A JSON text in any spelling of it.
pub(crate) fn json_text() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        string(),
        string()
    ];
    let value = leaf.prop_recursive(5, 48, 6, |inner| {
        let array = (space(), proptest::collection::vec(inner.clone(), 0..6))
            .prop_map(|(space, items)| format!("[{space}{}]", items.join(&format!("{space},"))));
        let member =
            (string(), space(), inner).prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        let object = (space(), proptest::collection::vec(member, 0..6))
            .prop_map(|(space, members)| format!("{{{space}{}{space}}}", members.join(",")));
        prop_oneof![array, object]
    });
    (space(), value, space()).prop_map(|(before, value, after)| format!("{before}{value}{after}")).boxed()
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\n\r]{1,3}"]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,14})",
        "-?(0|[1-9][0-9]{0,17})\\.[0-9]{1,25}",
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?[eE][+-]?[0-9]{1,3}",
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(|number| number.to_string()),
        // Halfway between two floats, where rounding shows.
        any::<u32>().prop_map(|number| format!("{}.{}", 9_007_199_254_740_992_u64 + u64::from(number), "5")),
        Just("5e-324".to_owned()),
        Just("2.4703282292062327208e-324".to_owned()),
        Just("1.7976931348623157e308".to_owned()),
        Just("-0".to_owned()),
        Just("-0.0".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9 _/.:-]{1,12}",
        2 => any::<char>().prop_map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            character if u32::from(character) < 0x20 => format!("\\u{:04X}", u32::from(character)),
            character => character.to_string(),
        }),
        1 => any::<char>().prop_map(|character| {
            character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }),
        1 => prop::sample::select(vec!["\\n", "\\r", "\\t", "\\b", "\\f", "\\/", "\\\\", "\\\"", "\u{2028}", "\u{FEFF}", "__proto__"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}
