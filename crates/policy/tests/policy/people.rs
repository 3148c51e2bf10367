use crate::world::{ANALYSTS_READ, Call, engine, id, now};
use portunus_core::id::{GroupName, ServerName};
use portunus_policy::defaults::templates;
use portunus_policy::explain::{Outcome, explain};
use portunus_policy::testing::{Case, run_cases};
use portunus_policy::{Engine, Request};

fn explained(engine: &Engine, call: &Call<'_>) -> portunus_policy::explain::Explanation {
    let server = ServerName::parse(call.server).unwrap();
    let request = Request {
        decision: id("dec"),
        server: &server,
        operation: call.operation,
        arguments: call.arguments.map(str::as_bytes),
        sql: call.sql,
        besides: None,
        approval: call.approval,
        context: call.context,
    };
    explain(engine, &engine.principal(&call.caller), &request)
}

#[test]
fn an_explanation_names_what_decided_and_what_nearly_did() {
    let engine = engine(&format!(
        "@id(\"read\") {ANALYSTS_READ}
        @id(\"boss\") permit (principal == User::\"boss\", action, resource);
        @id(\"night\") permit (principal, action in Action::\"write\", resource) when {{ context.hour < 6 }};
        @id(\"no\") @reason(\"No.\") forbid (principal, action == Action::\"sales/list_tables\", resource);
        @id(\"bad\") forbid (principal, action == Action::\"sales/later\", resource) when {{ context.arguments.x > 1 }};"
    ));
    let ids = |list: &[portunus_policy::explain::Explained]| {
        list.iter().map(|one| format!("{} {}", one.id, one.note)).collect::<Vec<_>>()
    };

    let read = explained(&engine, &Call::of("read_query"));
    assert_eq!((read.decision, ids(&read.determining)), (Outcome::Permit, vec!["read applies".to_owned()]));
    assert_eq!(ids(&read.near_misses), ["boss it is not about this caller or resource"]);
    assert_eq!(
        (read.determining[0].file.as_str(), read.determining[0].line, read.determining[0].effect),
        ("main.cedar", 1, "permit")
    );
    assert!(read.determining[0].text.contains("Group::\"analysts\""));

    let write = explained(&engine, &Call::of("write_query"));
    assert_eq!((write.decision, write.determining.len()), (Outcome::Refuse, 0));
    assert_eq!(
        ids(&write.near_misses),
        ["boss it is not about this caller or resource", "night its conditions do not hold"]
    );

    let listed = explained(&engine, &Call::of("list_tables"));
    assert_eq!(
        (listed.reasons.as_slice(), ids(&listed.determining)),
        (&["No.".to_owned()][..], vec!["no applies".to_owned()])
    );
    assert_eq!(ids(&listed.near_misses), ["boss it is not about this caller or resource"]);

    let failed = explained(&engine, &Call::of("later"));
    assert_eq!((failed.decision, failed.errors[0].id.as_str()), (Outcome::Refuse, "bad"));
    assert!(failed.errors[0].note.contains("does not have the attribute"), "{:?}", failed.errors);
}

#[test]
fn the_templates_do_what_they_say() {
    let (sales, group) = (ServerName::parse("sales").unwrap(), GroupName::parse("analysts").unwrap());
    let policies: String = [templates::READ_ONLY, templates::ASK_BEFORE_WRITES, templates::BUSINESS_HOURS]
        .map(|template| templates::fill(template, &sales, &group))
        .concat();
    let cases: Vec<Case> = serde_json::from_str(
        r#"[
        {"name":"reads","user":"ana","groups":["analysts"],"server":"sales","tool":"read_query","expect":"permit"},
        {"name":"asks","user":"ana","groups":["analysts"],"server":"sales","tool":"write_query","expect":"approval","reason":"approval"},
        {"name":"writes when approved","user":"ana","groups":["analysts"],"server":"sales","tool":"write_query","approval":true,"expect":"permit"},
        {"name":"others do not","user":"eve","server":"sales","tool":"read_query","expect":"refuse"},
        {"name":"not at night","user":"ana","groups":["analysts"],"server":"sales","tool":"read_query","at":"2026-11-23T22:00:00Z","expect":"refuse","reason":"Monday"},
        {"name":"not on Sunday","user":"ana","groups":["analysts"],"server":"sales","tool":"read_query","at":"2026-11-22T12:00:00Z","expect":"refuse"},
        {"name":"lists","user":"eve","server":"sales","method":"tools/list","expect":"permit"}
        ]"#,
    )
    .unwrap();
    let results = run_cases(&engine(&policies), &cases, now(), &|_, _, _| None);
    let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(results[0].policies, ["sales-business-hours-read", "sales-read-only", "sales-use-tools"]);
}

#[test]
fn a_test_that_does_not_hold_says_what_came_instead() {
    let cases: Vec<Case> = serde_json::from_str(
        r#"[
        {"name":"a","user":"ana","server":"sales","tool":"read_query","expect":"permit"},
        {"name":"b","user":"ana","server":"sales","tool":"read_query","expect":"refuse","reason":"because"},
        {"name":"c","user":"ana","server":"sales","expect":"refuse"},
        {"name":"d","user":"ana","server":"sales","method":"resources/read","expect":"refuse"},
        {"name":"e","user":"ana","server":"sales","method":"ping","at":"noon","expect":"permit"}
        ]"#,
    )
    .unwrap();
    let results = run_cases(&engine(""), &cases, now(), &|_, _, _| None);
    let failures: Vec<String> =
        results.into_iter().map(|result| result.failure.unwrap_or_default()).collect();
    assert_eq!(failures[0], "should be permitted, but is refused: No policy allows this.");
    assert_eq!(failures[1], "the reason should contain `because`, but is: No policy allows this.");
    assert_eq!(failures[2], "a test has either a `tool` or a `method`");
    assert_eq!(failures[3], "this method needs a `target`");
    assert!(failures[4].contains("`noon` is not a moment"));
    assert!(
        serde_json::from_str::<Case>(
            r#"{"name":"a","user":"ana","server":"sales","tol":"x","expect":"permit"}"#
        )
        .is_err()
    );
}
