//! The scan against texts no one here wrote, and against other parsers.
#![cfg(test)]

mod common;

use common::texts;
use portunus_mcp::json::{self, Bounds, JsonErrorKind, Kind, Part};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Cases of JSONTestSuite that a parser must accept and this one refuses, with the reason.
const STRICTER: [(&str, &str); 2] = [
    ("y_object_duplicated_key.json", "two parsers may each take another one"),
    ("y_object_duplicated_key_and_value.json", "the same key twice is never meant"),
];
/// Cases that a parser may accept or refuse, and this one accepts: numbers too small for a float are zero everywhere.
const LENIENT: [&str; 2] = ["i_number_double_huge_neg_exp.json", "i_number_real_underflow.json"];

#[test]
fn every_case_of_json_test_suite_has_its_verdict() {
    let Some(cases) = suite() else { return };
    assert!(cases.len() > 300, "only {} cases", cases.len());
    for (name, bytes) in &cases {
        let expected = match name.as_bytes()[0] {
            b'y' => STRICTER.iter().all(|(stricter, _)| stricter != name),
            b'n' => false,
            _ => LENIENT.contains(&name.as_str()),
        };
        let verdict = json::scan(bytes, &Bounds::default());
        assert_eq!(verdict.is_ok(), expected, "{name}: {verdict:?}");
        if let Err(error) = verdict {
            assert!(error.at <= bytes.len(), "{name}: {error:?}");
        }
    }
    for name in STRICTER.iter().map(|(name, _)| *name).chain(LENIENT) {
        assert!(cases.contains_key(name), "{name} is not in the suite");
    }
}

#[test]
fn what_is_accepted_is_read_the_same_by_node_python_and_serde() {
    let generated = texts(700).into_iter().map(String::into_bytes);
    let suite = suite().unwrap_or_default().into_values();
    let accepted: Vec<_> =
        generated.chain(suite).filter(|text| json::scan(text, &Bounds::default()).is_ok()).collect();
    assert!(accepted.len() > 500, "only {} texts accepted", accepted.len());
    let ours: Vec<String> =
        accepted.iter().map(|text| canonical(&serde_json::from_slice(text).unwrap())).collect();
    let scanned: Vec<String> = accepted
        .iter()
        .map(|text| canonical_scan(json::scan(text, &Bounds::default()).unwrap().root()))
        .collect();
    assert_eq!(scanned, ours, "our own view differs from serde's");
    for (program, argument) in
        [("node", include_str!("canonical.js")), ("python3", include_str!("canonical.py"))]
    {
        let flag = if program == "node" { "-e" } else { "-c" };
        let Some(theirs) = run(program, &[flag, argument], &accepted) else {
            eprintln!("skipped: {program} is not installed");
            continue;
        };
        assert_eq!(theirs.len(), ours.len(), "{program}");
        for ((text, ours), theirs) in accepted.iter().zip(&ours).zip(&theirs) {
            assert_eq!(ours, theirs, "{program} reads {:?} differently", String::from_utf8_lossy(text));
        }
    }
}

#[test]
fn a_wrong_text_is_refused_with_its_reason_and_place() {
    use JsonErrorKind as E;
    let deep = "[".repeat(1000);
    let cases: [(&[u8], usize, JsonErrorKind); 22] = [
        (b"", 0, E::Truncated),
        (b" {\"a\":1} {\"a\":2}", 9, E::Trailing),
        (b"{}x", 2, E::Trailing),
        (b"\xEF\xBB\xBF{}", 0, E::ByteOrderMark),
        (b"{\"a\":\"\xC3", 6, E::NotUtf8),
        (b"\"\xC0\xAF\"", 1, E::NotUtf8),
        (b"\"\xED\xA0\x80\"", 1, E::NotUtf8),
        (b"{\"a\":1,\"a\":2}", 7, E::DuplicateKey("a".into())),
        (b"{\"name\":1,\"n\\u0061me\":2}", 10, E::DuplicateKey("name".into())),
        (b"[{\"x\":[{\"k\":1,\"k\":1}]}]", 14, E::DuplicateKey("k".into())),
        (b"{\"name\":1,\"Name\":2}", 10, E::CollidingKeys("Name".into())),
        ("{\"s\":1,\"\u{17F}\":2}".as_bytes(), 7, E::CollidingKeys("\u{17F}".into())),
        ("{\"key\":1,\"\u{212A}ey\":2}".as_bytes(), 9, E::CollidingKeys("\u{212A}ey".into())),
        (br#"{"task":1,"ta\u017Fk":2}"#, 10, E::CollidingKeys("ta\u{17F}k".into())),
        (deep.as_bytes(), 64, E::TooDeep(64)),
        (br#""\uD800""#, 1, E::LoneSurrogate),
        (br#""\uDC00\uD800""#, 1, E::LoneSurrogate),
        (br#""\x41""#, 1, E::Escape),
        (b"\"\x01\"", 1, E::ControlCharacter),
        (b"[9007199254740993]", 1, E::IntegerRange),
        (b"[1e400]", 1, E::FloatRange),
        (b"{a:1}", 1, E::Expected("a key in double quotes")),
    ];
    for (text, at, kind) in cases {
        let error = json::scan(text, &Bounds::default()).unwrap_err();
        assert_eq!((error.at, &error.kind), (at, &kind), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_text_cut_anywhere_is_refused() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é","arguments":{"a":[true,null,-1.5e3,"\n"]}}}"#;
    assert!(json::scan(text.as_bytes(), &Bounds::default()).is_ok());
    for end in 0..text.len() {
        assert!(json::scan(&text.as_bytes()[..end], &Bounds::default()).is_err(), "cut at {end}");
    }
}

#[test]
fn bounds_are_exact() {
    let ok =
        |text: &str, bounds: Bounds| json::scan(text.as_bytes(), &bounds).map(|_| ()).map_err(|e| e.kind);
    let wide = Bounds::default();
    assert_eq!(ok("[[[]]]", Bounds { depth: 3, ..wide }), Ok(()));
    assert_eq!(ok("[[[]]]", Bounds { depth: 2, ..wide }), Err(JsonErrorKind::TooDeep(2)));
    assert_eq!(ok(r#"[1,{"a":2}]"#, Bounds { members: 3, ..wide }), Ok(()));
    assert_eq!(ok(r#"[1,{"a":2}]"#, Bounds { members: 2, ..wide }), Err(JsonErrorKind::TooManyMembers(2)));
    assert_eq!(ok("[12]", Bounds { bytes: 4, ..wide }), Ok(()));
    assert_eq!(ok("[12]", Bounds { bytes: 3, ..wide }), Err(JsonErrorKind::TooLong(3)));
}

#[test]
fn duplicates_are_found_in_objects_of_any_size_and_at_any_place() {
    for size in [2, 15, 16, 17, 18, 40, 1000] {
        let keys: Vec<String> = (0..size).map(|n| format!("key_{n}")).collect();
        let members =
            |keys: &[String]| keys.iter().map(|key| format!("{key:?}:0")).collect::<Vec<_>>().join(",");
        let clean = format!("{{{}}}", members(&keys));
        assert!(json::scan(clean.as_bytes(), &Bounds::default()).is_ok(), "{size}");
        for (from, to) in [(0, size - 1), (size / 2, size - 1), (0, 1)] {
            for (copy, kind) in [
                (keys[from].clone(), JsonErrorKind::DuplicateKey(keys[from].clone())),
                (keys[from].to_uppercase(), JsonErrorKind::CollidingKeys(keys[from].to_uppercase())),
            ] {
                let mut twice = keys.clone();
                twice[to] = copy;
                if from == to {
                    continue;
                }
                let text = format!("{{{}}}", members(&twice));
                let error = json::scan(text.as_bytes(), &Bounds::default()).unwrap_err();
                assert_eq!(error.kind, kind, "{size} {from} {to}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_keys_that_differ_late_take_no_quadratic_time() {
    let prefix = "x".repeat(60);
    let members: Vec<String> = (0..99_999).map(|n| format!("\"{prefix}{n}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let start = std::time::Instant::now();
    assert!(json::scan(text.as_bytes(), &Bounds::default()).is_ok());
    // Comparing each with each would be five thousand million comparisons: minutes, not seconds, even here.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn the_members_of_a_message_are_found_on_the_way() {
    let text = br#"{ "id" : 7, "par\u0061ms" : { "name":"t", "_meta": {"a":[1,{"b":2}]}, "arguments" :{"_meta":{"no":1}} } , "result":{"tools":[]}, "x":{"params":{}} }"#;
    let scan = json::scan(text, &Bounds::default()).unwrap();
    let keys = |part| scan.members(part).map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(Part::Root), ["id", "params", "result", "x"]);
    assert_eq!(keys(Part::Params), ["name", "_meta", "arguments"]);
    assert_eq!(keys(Part::Meta), ["a"]);
    assert_eq!(keys(Part::Result), ["tools"]);
    assert_eq!(scan.get(Part::Root, "id").unwrap().text(), "7");
    assert_eq!(scan.get(Part::Params, "arguments").unwrap().text(), r#"{"_meta":{"no":1}}"#);
    let meta = scan.get(Part::Meta, "a").unwrap();
    assert_eq!(meta.kind(), Kind::Array);
    assert_eq!(meta.elements().map(|element| element.text()).collect::<Vec<_>>(), ["1", r#"{"b":2}"#]);
    assert_eq!(meta.range_in(text).map(|range| &text[range]), Some(&br#"[1,{"b":2}]"#[..]));
    assert_eq!(meta.range_in(b"another text"), None);
}

/// The suite's files by name; `None`, said loudly, without the data.
fn suite() -> Option<BTreeMap<String, Vec<u8>>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("PORTUNUS_TEST_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let folder = root.join(data).join("json-test-suite/test_parsing");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no JSONTestSuite in {} (set PORTUNUS_TEST_DATA)", folder.display());
        return None;
    };
    let read = |file: std::fs::DirEntry| {
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    };
    Some(files.map(|file| read(file.unwrap())).collect())
}

/// Feeds the texts, one in hexadecimal per line, to another parser; `None` when it is not installed.
fn run(program: &str, arguments: &[&str], texts: &[Vec<u8>]) -> Option<Vec<String>> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let input = texts.iter().map(|text| hex(text) + "\n").collect::<String>();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} failed");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// A value in a form that depends on nothing but what was understood: numbers by the bits of their float (zero has one
/// sign), strings by their bytes, objects in the order of their keys' bytes.
fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => canonical_number(number.as_f64().unwrap()),
        Value::String(text) => canonical_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.clone(), canonical(value)));
            canonical_members(members.collect())
        }
    }
}

fn canonical_scan(value: json::Raw<'_>) -> String {
    match value.kind() {
        Kind::Null | Kind::Bool => value.text().into(),
        Kind::Number => canonical_number(value.number().unwrap()),
        Kind::String => canonical_string(&value.string().unwrap()),
        Kind::Array => format!("[{}]", value.elements().map(canonical_scan).collect::<Vec<_>>().join(",")),
        Kind::Object => canonical_members(
            value.members().map(|(key, value)| (key.into_owned(), canonical_scan(value))).collect(),
        ),
    }
}

fn canonical_number(number: f64) -> String {
    format!("{:016x}", (number + 0.0).to_bits())
}

fn canonical_string(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("'{bytes}'")
}

fn canonical_members(members: BTreeMap<String, String>) -> String {
    let members = members.iter().map(|(key, value)| format!("{}:{value}", canonical_string(key)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
