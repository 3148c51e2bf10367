use crate::world::{Call, READ_QUERY, engine, server, servers, source, tool};
use portunus_policy::{Decision, Engine, TrustGroups};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![Just("x"), Just("SELECT 1")].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map("\\PC{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_arguments() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("sql".to_owned()),
        Just("limit".to_owned()),
        Just("ratio".to_owned()),
        Just("tags".to_owned()),
        Just("options".to_owned()),
        "\\PC{0,6}",
    ];
    proptest::collection::hash_map(name, any_json(), 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

static LOOKING: LazyLock<Engine> = LazyLock::new(|| {
    engine(
        r#"permit (principal, action == Action::"sales/read_query", resource) when { context.arguments.sql == "x" && context.actor == "assistant" };
        permit (principal, action == Action::"sales/read_query", resource) when { context.arguments has limit && context.arguments.limit < 10 };
        permit (principal, action == Action::"read_resource", resource == Resource::"sales/a");
        permit (principal, action == Action::"sales/later", resource) when { context.arguments has tags };
        forbid (principal, action == Action::"sales/read_query", resource) when { context.arguments has ratio && context.arguments.ratio.lessThan(decimal("0.1")) };"#,
    )
});

proptest! {
    #[test]
    fn arbitrary_arguments_are_decided_without_panic_and_only_what_is_visible_is_permitted(arguments in any_arguments(), known in any::<bool>()) {
        let text = arguments.to_string();
        let call = Call::of(if known { "read_query" } else { "later" }).with(&text);
        if let Decision::Permit(_) = call.decide(&LOOKING) {
            prop_assert!(call.visible(&LOOKING));
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_permit(text in "\\PC{0,40}") {
        prop_assume!(serde_json::from_str::<serde_json::Map<String, Value>>(&text).is_err());
        prop_assert!(!Call::of("read_query").with(&text).permitted(&LOOKING));
    }

    #[test]
    fn names_with_anything_in_them_stay_names(uri in "\\PC{0,30}") {
        let operation = portunus_policy::Operation::ReadResource(&uri);
        prop_assert_eq!(Call { operation, ..Call::of("") }.permitted(&LOOKING), uri == "a");
    }
}

// Loading checks everything, which takes a while.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tool_with_any_schema_leaves_the_policies_loadable(
        name in "\\PC{1,12}",
        schema in prop_oneof![
            any_json().prop_map(|json| json.to_string()),
            proptest::collection::hash_map("\\PC{0,8}", prop_oneof![
                Just(json!({"type": "string"})), Just(json!({"type": ["integer", "null"]})), Just(json!({"type": "array", "items": {"type": "number"}})),
                any_json(),
            ], 0..5).prop_map(|properties| json!({"type": "object", "properties": properties}).to_string()),
        ],
    ) {
        let servers = [server("sales", vec![tool(&name, TrustGroups::READ, Some(&schema)), tool("t", TrustGroups::READ, Some(READ_QUERY))])];
        let engine = Engine::load(&[source("permit (principal, action in Action::\"read\", resource);")], &servers);
        prop_assert!(engine.is_ok(), "{:?}", engine.unwrap_err());
        prop_assert!(Call::of(&name).permitted(&engine.unwrap()));
    }

    #[test]
    fn any_policy_text_is_an_engine_or_problems(text in "[a-z(){}\"=;:., \n/\\\\@]{0,80}") {
        let loaded = Engine::load(&[source(&text)], &servers());
        if let Err(problems) = loaded {
            prop_assert!(!problems.is_empty());
        }
    }
}
