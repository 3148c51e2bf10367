//! Properties put to the real solver (`tests/clients/cvc5`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use portunus_policy::{Engine, ServerTools, Source, Tool, TrustGroups, defaults};
use portunus_prove::{Checked, Property, ProveError, Prover, Verdict, World};
use std::path::{Path, PathBuf};
use std::time::Duration;

const QUERY: &str = r#"{"type":"object","required":["sql"],"properties":{"sql":{"type":"string"},"limit":{"type":"integer"}}}"#;

const POLICIES: &str = r#"
@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"hr");
@id("salary") forbid (principal, action == Action::"disclose", resource == Column::"hr/staff.salary")
unless { principal in Group::"hr" };
@id("drop") forbid (principal, action in Action::"call", resource) when { context has sql && context.sql.kinds.contains("drop") };
"#;

fn servers() -> Vec<ServerTools> {
    let tool = |name: &str, schema: Option<&str>| Tool {
        name: name.to_owned(),
        groups: TrustGroups::of_builtin_sql(name).unwrap_or(TrustGroups::CAUTIOUS),
        input_schema: schema.map(str::to_owned),
    };
    vec![ServerTools {
        server: "hr".parse().unwrap(),
        environment: "production".to_owned(),
        owner: "owen".to_owned(),
        classes: Vec::new(),
        tools: vec![tool("read_query", Some(QUERY)), tool("write_query", Some(QUERY)), tool("mail", None)],
    }]
}

fn world(text: &str) -> World {
    let source = Source { path: "main.cedar".to_owned(), text: text.to_owned() };
    let engine = Engine::load(&[defaults::source(), source], &servers())
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    World::new(&engine, &servers()).unwrap()
}

fn solver() -> Option<PathBuf> {
    if std::env::var_os("PORTUNUS_SKIP_CLIENTS").is_some() {
        return None;
    }
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/cvc5"))
}

async fn check(property: &str, policies: &str, than: Option<&str>) -> Vec<Checked> {
    let Some(solver) = solver() else { return Vec::new() };
    let mut prover = Prover::new(solver, Duration::from_secs(60)).await.unwrap();
    let property: Property = serde_saphyr::from_str(property).unwrap();
    let than = than.map(world);
    let mut told = 0;
    let checked =
        prover.check(&property, &world(policies), than.as_ref(), &mut |_, _, _| told += 1).await.unwrap();
    assert!(told >= checked.len());
    checked
}

fn proven(checked: &[Checked]) -> bool {
    checked.iter().all(|one| one.verdict == Verdict::Proven)
}

/// The counter-example as people read it.
fn broken(checked: &[Checked]) -> String {
    let found = checked.iter().find_map(|one| match &one.verdict {
        Verdict::Broken(example) => Some(example.to_string()),
        _ => None,
    });
    found.unwrap_or_else(|| {
        if solver().is_some() { panic!("nothing broke: {checked:?}") } else { String::new() }
    })
}

const SALARY: &str = "
name: no one outside hr can ever see salaries
never: { unless_group: hr, action: disclose, resource: 'Column::\"hr/staff.salary\"' }
";

#[tokio::test]
async fn no_one_outside_a_group_can_ever_see_a_column() {
    assert!(proven(&check(SALARY, POLICIES, None).await));
    // Somebody lets managers see it too.
    let weaker = POLICIES.replace(
        "unless { principal in Group::\"hr\" }",
        "unless { principal in Group::\"hr\" || principal in Group::\"managers\" }",
    );
    let example = broken(&check(SALARY, &weaker, None).await);
    if solver().is_some() {
        assert!(example.contains("managers") && example.contains("disclose"), "{example}");
        assert!(example.contains("default-disclose"), "{example}");
    }
}

#[tokio::test]
async fn what_is_never_permitted_is_proven_for_tools_that_no_server_lists_too() {
    let writes = "{ name: nobody writes, never: { action: write } }";
    assert!(proven(&check(writes, POLICIES, None).await));
    let lax =
        format!("{POLICIES} permit (principal == User::\"ana\", action in Action::\"write\", resource);");
    let checked = check(writes, &lax, None).await;
    if solver().is_some() {
        let unlisted = checked
            .iter()
            .find(|one| one.environment.contains("(unlisted)") && one.environment.starts_with("User"));
        assert!(matches!(unlisted.unwrap().verdict, Verdict::Broken(_)), "{checked:?}");
    }
    let drops = "{ name: no drops, never: { action: call, when: 'context has sql && context.sql.kinds.contains(\"drop\")' } }";
    assert!(proven(&check(drops, &lax, None).await));
}

#[tokio::test]
async fn a_change_that_only_narrows_is_told_from_one_that_widens() {
    let narrows = "{ name: narrows, narrows: { than: old } }";
    let narrower = POLICIES
        .replace("resource == Server::\"hr\");", "resource == Server::\"hr\") when { context.hour > 6 };");
    assert!(proven(&check(narrows, &narrower, Some(POLICIES)).await));
    let example = broken(&check(narrows, POLICIES, Some(&narrower)).await);
    if solver().is_some() {
        assert!(example.contains("read_query") && example.contains("hour = "), "{example}");
    }
    let equivalent = "{ name: same, equivalent: { than: old } }";
    let reworded = POLICIES.replace("action in Action::\"read\"", "action in [Action::\"hr/read_query\"]");
    assert!(proven(&check(equivalent, &reworded, Some(POLICIES)).await));
    broken(&check(equivalent, &narrower, Some(POLICIES)).await);
}

const WRITES: &str = r#"
@id("all") permit (principal in Group::"analysts", action in Action::"hr", resource == Server::"hr");
@id("ask") @approvable("two of group dba") forbid (principal, action in Action::"write", resource) unless { context has approval };
@id("mask") @mask("drop") forbid (principal, action == Action::"disclose", resource == Column::"hr/staff.salary") unless { principal in Group::"hr" };
@id("fresh") @step_up("max_age 300") forbid (principal, action == Action::"hr/mail", resource) when { context.sign_in.age_seconds > 300 };
"#;

#[tokio::test]
async fn an_approver_a_treatment_or_a_step_up_that_changed_is_not_proven_to_narrow() {
    let narrows = "{ name: narrows, narrows: { than: old } }";
    assert!(proven(&check(narrows, WRITES, Some(WRITES)).await));
    for (from, to, named) in [
        ("two of group dba", "owner", Some("ask can be approved by owner")),
        ("@approvable(\"two of group dba\") ", "", None),
        (
            "@id(\"ask\") @approvable(\"two of group dba\")",
            "@id(\"other\") @approvable(\"owner\")",
            Some("ask, which approvals"),
        ),
        ("@mask(\"drop\")", "@mask(\"token\")", Some("mask has token")),
        ("@mask(\"drop\") ", "", Some("mask has no @mask")),
        ("max_age 300", "max_age 86400", Some("@step_up of fresh")),
    ] {
        let changed = WRITES.replace(from, to);
        assert_ne!(changed, WRITES);
        let checked = check(narrows, &changed, Some(WRITES)).await;
        let unknown: Vec<&String> = checked
            .iter()
            .filter_map(|one| match &one.verdict {
                Verdict::Unknown(why) => Some(why),
                _ => None,
            })
            .collect();
        if solver().is_some() {
            match named {
                Some(words) => assert!(unknown.iter().any(|why| why.contains(words)), "{to}: {unknown:?}"),
                None => assert!(proven(&checked), "{to}: {unknown:?}"),
            }
        }
    }
    // Rewritten, but all that can be approved is approved by the same people.
    let broader = WRITES.replace(
        "action in Action::\"write\", resource) unless",
        "action in Action::\"call\", resource) unless",
    );
    assert!(proven(&check(narrows, &broader, Some(WRITES)).await));
    // One of two approvers is gone, so that one person is enough where nobody was.
    let two = format!(
        "{WRITES} @id(\"also\") @approvable(\"owner\") forbid (principal, action == Action::\"hr/write_query\", resource) unless {{ context has approval }};"
    );
    assert!(!proven(&check(narrows, WRITES, Some(&two)).await) || solver().is_none());
}

#[tokio::test]
async fn a_policy_that_may_fail_is_not_what_others_are_compared_with() {
    // Where the old policy overflows it refuses, but Cedar would pass over it: nothing is proven of that.
    let old = format!(
        "{POLICIES} permit (principal, action == Action::\"hr/write_query\", resource) when {{ context.hour + 9223372036854775800 > 0 }};"
    );
    let checked = check("{ name: n, narrows: { than: old } }", POLICIES, Some(&old)).await;
    if solver().is_some() {
        assert!(
            checked
                .iter()
                .any(|one| matches!(&one.verdict, Verdict::Unknown(why) if why.contains("could fail"))),
            "{checked:?}"
        );
    }
}

#[tokio::test]
async fn dead_policies_are_found() {
    assert!(proven(&check("{ name: lives, can_match: read }", POLICIES, None).await));
    let dead = format!(
        "{POLICIES} @id(\"dead\") permit (principal, action == Action::\"hr/read_query\", resource) when {{ context.hour < 3 && context.hour > 5 }};"
    );
    let example = broken(&check("{ name: lives, can_match: dead }", &dead, None).await);
    assert!(solver().is_none() || example.contains("applies to no request at all"), "{example}");
}

#[tokio::test]
async fn what_the_schema_does_not_say_is_unknown_and_never_proven() {
    // `mail` has no input schema: that it `has to` is not false, only not known.
    let policies = format!(
        "{POLICIES} permit (principal, action == Action::\"hr/mail\", resource) when {{ context.arguments has to }};"
    );
    let checked = check("{ name: no mail, never: { action: hr/mail } }", &policies, None).await;
    assert!(!proven(&checked) || solver().is_none(), "{checked:?}");
    // Nor is a member that the input schema does not declare.
    let policies = format!(
        "{POLICIES} permit (principal, action == Action::\"hr/write_query\", resource) when {{ context.arguments has extra }};"
    );
    let checked = check("{ name: no writes, never: { action: hr/write_query } }", &policies, None).await;
    assert!(!proven(&checked) || solver().is_none(), "{checked:?}");
}

/// Tools whose input schemas declare members for which Cedar has no type.
const LOOSE: &str = r##"{"type":"object","properties":{"mode":{"$ref":"#/$defs/mode"},"level":{"type":["string","integer"]},
    "tags":{"type":"array"},"kind":{"enum":["soft","hard"]},"deep":{"type":"object","required":["x"],"properties":{"x":{"type":"integer"}}}},
    "$defs":{"mode":{"type":"string"}}}"##;

fn loose(text: &str) -> World {
    let mut servers = servers();
    for tool in &mut servers[0].tools {
        tool.input_schema = Some(LOOSE.to_owned());
    }
    let source = Source { path: "main.cedar".to_owned(), text: text.to_owned() };
    let engine = Engine::load(&[defaults::source(), source], &servers)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let wrong = engine.warnings().iter().find(|problem| problem.message.contains("never apply"));
    assert!(wrong.is_none(), "{wrong:?}");
    World::new(&engine, &servers).unwrap()
}

#[tokio::test]
async fn a_member_that_cedar_has_no_type_for_is_not_taken_for_absent() {
    let Some(solver) = solver() else { return };
    let mut prover = Prover::new(solver, Duration::from_secs(60)).await.unwrap();
    let property: Property =
        serde_saphyr::from_str("{ name: nobody writes, never: { action: hr/write_query } }").unwrap();
    for (condition, expected) in [
        ("context.arguments has mode && context.arguments.mode == \"force\"", false),
        ("context.arguments has level && context.arguments.level == 3", false),
        ("context.arguments has tags", false),
        ("context.arguments has deep && context.arguments.deep == {x: 1}", false),
        (
            "context.arguments has kind && context.arguments.kind == \"a\" && context.arguments.kind == \"b\"",
            true,
        ),
        (
            "context.arguments has deep && context.arguments.deep has x && context.arguments.deep.x + 1 == context.arguments.deep.x",
            true,
        ),
    ] {
        let text = format!(
            "permit (principal, action == Action::\"hr/write_query\", resource) when {{ {condition} }};"
        );
        let checked = prover.check(&property, &loose(&text), None, &mut |_, _, _| ()).await.unwrap();
        assert_eq!(proven(&checked), expected, "{condition}: {checked:?}");
    }
}

#[tokio::test]
async fn a_property_about_arguments_that_are_not_declared_is_not_vacuously_proven() {
    let lax = format!("{POLICIES} permit (principal, action == Action::\"hr/write_query\", resource);");
    for (condition, expected) in [
        ("context.arguments has force && context.arguments.force == true", false),
        ("context.arguments has limit && context.arguments.limit > 3 && context.arguments.limit < 2", true),
    ] {
        let property = format!("{{ name: n, never: {{ action: hr/write_query, when: '{condition}' }} }}");
        let checked = check(&property, &lax, None).await;
        assert!(solver().is_none() || proven(&checked) == expected, "{condition}: {checked:?}");
    }
}

#[tokio::test]
async fn properties_that_make_no_sense_and_a_missing_solver_are_errors() {
    for bad in ["{ name: a, never: { acton: x } }", "{ name: a }", "{ name: a, always: {} }", "{ never: {} }"]
    {
        assert!(serde_saphyr::from_str::<Property>(bad).is_err(), "{bad}");
    }
    let missing =
        Prover::new(PathBuf::from("/nonexistent/cvc5"), Duration::from_secs(1)).await.err().unwrap();
    assert!(matches!(missing, ProveError::NoSolver { .. }));
    assert!(missing.to_string().contains("--solver"), "{missing}");
    let Some(solver) = solver() else { return };
    let mut prover = Prover::new(solver, Duration::from_secs(60)).await.unwrap();
    for wrong in [
        "{ name: a, never: { action: raed } }",
        "{ name: a, never: { action: disclose, resource: 'Server::\"hr\"' } }",
        "{ name: a, never: { when: '1 +' } }",
        "{ name: a, can_match: nothing }",
    ] {
        let property: Property = serde_saphyr::from_str(wrong).unwrap();
        let checked = prover.check(&property, &world(POLICIES), None, &mut |_, _, _| ()).await;
        assert!(matches!(checked, Err(ProveError::Property(_))), "{wrong}");
    }
}
