use crate::world::{Call, engine, load};
use portunus_core::id::ServerName;
use portunus_policy::{Decision, Engine, StepUp, View};
use std::time::Duration;

const POLICIES: &str = r#"permit (principal, action in Action::"sales", resource);
@id("scope") @reason("Writing needs sales:write.") @step_up("scope sales:write")
forbid (principal, action in Action::"write", resource) unless { context.scopes.contains("sales:write") };
@id("fresh") @reason("Writing needs a sign-in of the last five minutes.") @step_up("max_age 300")
forbid (principal, action in Action::"write", resource) unless { context.sign_in.age_seconds <= 300 };
@id("drop") @step_up("scope sales:drop; acr phr")
forbid (principal, action == Action::"sales/write_query", resource)
when { context.arguments.sql == "DROP" }
unless { context.scopes.contains("sales:drop") && context.sign_in.acr == "phr" };
"#;

fn lifts(call: &Call<'_>, engine: &Engine) -> Option<StepUp> {
    call.refused(engine).step_up
}

fn write(sql: &str) -> Call<'_> {
    Call::of("write_query").with(sql)
}

#[test]
fn one_refusal_names_everything_that_would_lift_it_and_having_it_lifts_it() {
    let engine = engine(POLICIES);
    let call = write(r#"{"sql":"DROP"}"#);
    let refused = call.refused(&engine);
    assert_eq!(refused.policies, ["drop", "fresh", "scope"]);
    let needed = refused.step_up.unwrap();
    assert_eq!(needed.scopes.iter().map(String::as_str).collect::<Vec<_>>(), ["sales:drop", "sales:write"]);
    assert_eq!((needed.max_age, needed.acr.as_deref()), (Some(300), Some("phr")));

    let mut call = write(r#"{"sql":"DROP"}"#);
    call.caller.scopes.extend(needed.scopes);
    call.caller.sign_in.at = call.context.now;
    call.caller.sign_in.acr = Some("phr".to_owned());
    assert!(call.permitted(&engine));
    assert!(!call.later(Duration::from_secs(301)).permitted(&engine), "a sign-in grows old");
}

#[test]
fn only_what_is_lacking_is_asked_for() {
    let engine = engine(POLICIES);
    let mut call = write(r#"{"sql":"INSERT"}"#);
    call.caller.scopes.push("sales:write".to_owned());
    let needed = lifts(&call, &engine).unwrap();
    assert!(needed.scopes.is_empty() && needed.max_age == Some(300) && needed.needs_sign_in());
    assert!(Call::of("read_query").with(r#"{"sql":"x"}"#).permitted(&engine));
}

#[test]
fn nothing_is_promised_that_would_not_help() {
    let with = |more: &str| engine(&format!("{POLICIES}{more}"));
    // Another forbid stands in the way too.
    let other =
        with(r#"forbid (principal, action in Action::"write", resource) when { principal.name == "ana" };"#);
    assert_eq!(lifts(&write(r#"{"sql":"INSERT"}"#), &other), None);
    // The scope alone does not make the condition false: asking for it would have no end.
    let loops = with(
        r#"@step_up("scope sales:x") forbid (principal, action in Action::"write", resource)
        unless { context.scopes.contains("sales:y") };"#,
    );
    assert_eq!(lifts(&write(r#"{"sql":"INSERT"}"#), &loops), None);
    // Two classes of sign-in at once: no sign-in has both.
    let classes = with(
        r#"@step_up("acr other") forbid (principal, action in Action::"write", resource)
        unless { context.sign_in.acr == "other" };"#,
    );
    assert_eq!(lifts(&write(r#"{"sql":"DROP"}"#), &classes), None);
    // Nothing permits it anyway.
    let none = engine(POLICIES.split_once('\n').unwrap().1);
    assert_eq!(lifts(&write(r#"{"sql":"INSERT"}"#), &none), None);
}

#[test]
fn a_step_up_comes_before_an_approval_and_does_not_replace_it() {
    let both = engine(&format!(
        r#"{POLICIES}@approvable("owner") forbid (principal, action in Action::"write", resource) unless {{ context has approval }};"#
    ));
    let mut call = write(r#"{"sql":"INSERT"}"#);
    assert!(lifts(&call, &both).is_some());
    call.caller.scopes.push("sales:write".to_owned());
    call.caller.sign_in.at = call.context.now;
    assert!(matches!(call.decide(&both), Decision::ApprovalNeeded(_)));
}

#[test]
fn a_tool_stays_visible_and_says_which_scopes_it_always_needs() {
    let engine = engine(POLICIES);
    let call = Call::of("write_query");
    assert!(call.visible(&engine), "who cannot see a tool never asks for its scope");
    let server = ServerName::parse("sales").unwrap();
    let scopes = |call: &Call<'_>| {
        let view = View { server: &server, operation: call.operation, context: call.context };
        engine.scopes_of_tool(&engine.principal(&call.caller), &view).into_iter().collect::<Vec<_>>()
    };
    // Not sales:drop, which depends on the arguments.
    assert_eq!(scopes(&call), ["sales:write"]);
    let mut held = Call::of("write_query");
    held.caller.scopes.push("sales:write".to_owned());
    assert_eq!(scopes(&held), ["sales:write"], "the same for everybody");
    assert!(scopes(&Call::of("read_query")).is_empty());
}

#[test]
fn a_step_up_that_makes_no_sense_is_an_error() {
    for (text, word) in [
        (
            r#"@step_up("scope x") permit (principal, action, resource) when { context.scopes.contains("x") };"#,
            "only a forbid",
        ),
        (
            r#"@step_up("scope x") forbid (principal, action in Action::"write", resource);"#,
            "looks at nothing",
        ),
        (
            r#"@step_up("max_age 60") forbid (principal, action, resource) unless { context.scopes.contains("x") };"#,
            "looks at nothing",
        ),
        (
            r#"@step_up("scope") forbid (principal, action, resource) unless { context.scopes.contains("x") };"#,
            "cannot be read",
        ),
        (
            r#"@step_up("scope x") @approvable("owner") forbid (principal, action in Action::"write", resource)
            unless { context.scopes.contains("x") || context has approval };"#,
            "both @approvable",
        ),
    ] {
        let problems = load(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(word)), "{text}: {problems:?}");
    }
}
