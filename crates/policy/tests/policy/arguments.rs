use crate::world::{Call, engine};
use portunus_policy::{ARGUMENTS_REASON, DEFAULT_REASON};

const READ: &str = "permit (principal, action == Action::\"sales/read_query\", resource)";

fn permitted(condition: &str, arguments: &str) -> bool {
    Call::of("read_query").with(arguments).permitted(&engine(&format!("{READ} when {{ {condition} }};")))
}

#[test]
fn arguments_can_be_asked_in_their_types() {
    for (condition, arguments, holds) in [
        ("context.arguments.sql like \"SELECT *\"", r#"{"sql":"SELECT 1"}"#, true),
        ("context.arguments.sql like \"SELECT *\"", r#"{"sql":"DELETE"}"#, false),
        ("context.arguments has limit && context.arguments.limit <= 100", r#"{"sql":"","limit":100}"#, true),
        ("context.arguments has limit && context.arguments.limit <= 100", r#"{"sql":"","limit":101}"#, false),
        ("context.arguments has limit && context.arguments.limit <= 100", r#"{"sql":""}"#, false),
        ("context.arguments has limit && context.arguments.limit == 5", r#"{"sql":"","limit":5.0}"#, true),
        ("context.arguments has limit && context.arguments.limit == 5", r#"{"sql":"","limit":0.5e1}"#, true),
        (
            "context.arguments has ratio && context.arguments.ratio.lessThan(decimal(\"0.5\"))",
            r#"{"ratio":0.25}"#,
            true,
        ),
        (
            "context.arguments has ratio && context.arguments.ratio.lessThan(decimal(\"0.5\"))",
            r#"{"ratio":0}"#,
            true,
        ),
        (
            "context.arguments has ratio && context.arguments.ratio.lessThan(decimal(\"0.5\"))",
            r#"{"ratio":1}"#,
            false,
        ),
        (
            "context.arguments has tags && [\"a\",\"b\"].containsAll(context.arguments.tags)",
            r#"{"tags":["b","a","a"]}"#,
            true,
        ),
        (
            "context.arguments has tags && [\"a\",\"b\"].containsAll(context.arguments.tags)",
            r#"{"tags":["c"]}"#,
            false,
        ),
        ("context.arguments has force && context.arguments.force", r#"{"force":true}"#, true),
        (
            "context.arguments has options.deep && context.arguments.options.deep > 1",
            r#"{"options":{"deep":2}}"#,
            true,
        ),
        (
            "context.arguments has options.deep && context.arguments.options.deep > 1",
            r#"{"options":{}}"#,
            false,
        ),
    ] {
        assert_eq!(permitted(condition, arguments), holds, "{condition} with {arguments}");
    }
}

#[test]
fn an_argument_that_cedar_cannot_hold_refuses_when_it_is_compared() {
    let limit = |text: &str| format!("{{\"sql\":\"\",\"limit\":{text}}}");
    for number in ["1e300", "9223372036854775808", "null", "-1e19"] {
        let engine = engine(&format!(
            "{READ}; @id(\"cap\") forbid (principal, action == Action::\"sales/read_query\", resource) when {{ context.arguments has limit && context.arguments.limit > 100 }};"
        ));
        let refused = Call::of("read_query").with(&limit(number)).refused(&engine);
        assert_eq!(refused.policies, ["cap"], "{number}");
    }
    // Equal to nothing, and there.
    assert!(permitted("context.arguments has limit && context.arguments.limit != 7", &limit("null")));
    assert!(!permitted("context.arguments has limit && context.arguments.limit == 7", &limit("null")));
    let ratio = "context.arguments has ratio && context.arguments.ratio.lessThan(decimal(\"0.5\"))";
    assert!(!permitted(ratio, r#"{"ratio":0.00001}"#));
}

#[test]
fn arguments_of_another_type_than_the_tool_declares_are_refused() {
    let engine = engine(&format!(
        "{READ}; forbid (principal, action == Action::\"sales/read_query\", resource) when {{ context.arguments has sql && context.arguments.sql like \"*staff*\" }};"
    ));
    assert!(Call::of("read_query").with(r#"{"sql":"SELECT 1"}"#).permitted(&engine));
    for arguments in [
        r#"{"sql":["SELECT * FROM staff"]}"#,
        r#"{"sql":{"a":"staff"}}"#,
        r#"{"sql":1}"#,
        r#"{"sql":"SELECT 1","sql":"SELECT * FROM staff"}"#,
        r#"{"sql":"SELECT 1","\u0073ql":"SELECT * FROM staff"}"#,
        r#"{"sql":"SELECT 1"} {}"#,
        r#"["sql"]"#,
        "\"sql\"",
        "",
        "{",
        "{\"sql\":\"\u{7f}\"}}",
    ] {
        assert_eq!(
            Call::of("read_query").with(arguments).refused(&engine).reasons,
            [ARGUMENTS_REASON],
            "{arguments}"
        );
    }
    let invalid_utf8 = [b"{\"sql\":\"".as_slice(), &[0xff], b"\"}"].concat();
    assert!(std::str::from_utf8(&invalid_utf8).is_err());
}

#[test]
fn an_argument_cannot_pose_as_an_entity_or_an_extension_value() {
    let engine = engine(
        r#"permit (principal, action == Action::"sales/later", resource)
        when { context.arguments.who == User::"owen" || context.arguments.who == ip("10.0.0.1") };"#,
    );
    for who in [
        r#"{"__entity":{"type":"User","id":"owen"}}"#,
        r#"{"type":"User","id":"owen"}"#,
        r#""User::\"owen\"""#,
        r#"{"__extn":{"fn":"ip","arg":"10.0.0.1"}}"#,
        r#"{"__expr":"User::\"owen\""}"#,
        r#""10.0.0.1""#,
    ] {
        let arguments = format!("{{\"who\":{who}}}");
        assert_eq!(Call::of("later").with(&arguments).refused(&engine).reasons, [DEFAULT_REASON], "{who}");
    }
}

#[test]
fn missing_arguments_are_an_empty_object() {
    let engine = engine(&format!("{READ} unless {{ context.arguments has limit }};"));
    assert!(Call::of("read_query").permitted(&engine));
    assert!(Call::of("read_query").with("{}").permitted(&engine));
    assert!(!Call::of("read_query").with(r#"{"limit":1}"#).permitted(&engine));
}

#[test]
fn arguments_that_no_policy_looks_at_are_not_read() {
    let engine = engine(&format!("{READ};"));
    assert!(Call::of("read_query").with(r#"{"sql":1e999}"#).permitted(&engine));
}

#[test]
fn huge_arguments_are_decided_too() {
    let engine = engine(&format!(
        "{READ} when {{ context.arguments has tags && context.arguments.tags.contains(\"t9999\") }};"
    ));
    let tags: Vec<String> = (0..10_000).map(|n| format!("\"t{n}\"")).collect();
    let arguments = format!("{{\"tags\":[{}],\"sql\":\"{}\"}}", tags.join(","), "x".repeat(500_000));
    assert!(Call::of("read_query").with(&arguments).permitted(&engine));
    let deep = format!("{{\"other\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!Call::of("read_query").with(&deep).permitted(&engine));
}

#[test]
fn arguments_are_checked_by_the_tools_own_schema() {
    let engine = engine("");
    let sales = portunus_core::id::ServerName::parse("sales").unwrap();
    let check = |tool: &str, arguments: Option<&str>| {
        engine.check_arguments(&sales, tool, arguments.map(str::as_bytes))
    };
    assert_eq!(check("read_query", Some(r#"{"sql":"SELECT 1","limit":5}"#)), Ok(()));
    assert!(check("read_query", Some(r#"{"sql":5}"#)).unwrap_err().contains("/sql"));
    assert!(check("read_query", None).unwrap_err().contains("required"));
    assert_eq!(check("unknown", Some("{}")), Ok(()));
}
