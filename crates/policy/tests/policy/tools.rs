//! What people use: coverage, advice, the matrix, replays, templates.

use crate::world::{ANALYSTS_READ, Call, caller, context, engine, id, now, server, servers, source, tool};
use portunus_core::caller::SignIn;
use portunus_core::id::{ClientId, GroupName, ServerName, UserName};
use portunus_core::record::{Circumstances, Intent, Verdict};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_policy::advice::{Suggestion, advise, brief};
use portunus_policy::coverage::coverage;
use portunus_policy::defaults::{self, templates};
use portunus_policy::explain::Outcome;
use portunus_policy::matrix::{Who, matrix, principals};
use portunus_policy::replay::{Recorded, Replay, Replayed, Report};
use portunus_policy::sql::{Dialect, facts};
use portunus_policy::testing::{Case, run_cases};
use portunus_policy::{Decision, Engine, Operation, Request, TrustGroups, schema_text};
use std::collections::HashMap;

fn cases(text: &str) -> Vec<Case> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn coverage_names_the_policies_that_no_case_reaches() {
    let engine = engine(
        r#"@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        @id("night") permit (principal, action in Action::"write", resource) when { context.hour < 6 };
        @id("salary") forbid (principal, action == Action::"disclose", resource == Column::"hr/staff.salary");
        @id("drop") forbid (principal, action, resource) when { context has sql && context.sql.kinds.contains("drop") };"#,
    );
    let cases = cases(
        r#"[
        {"name":"a","user":"ana","groups":["analysts"],"server":"sales","tool":"read_query","expect":"permit"},
        {"name":"b","user":"ana","groups":["analysts"],"server":"sales","tool":"write_query","at":"2026-11-23T15:00:00Z","expect":"refuse"},
        {"name":"c","user":"ana","server":"hr","column":"staff.salary","expect":"refuse"},
        {"name":"d","user":"ana","server":"hr","column":"staff.name","expect":"permit"}
        ]"#,
    );
    assert!(run_cases(&engine, &cases, now()).iter().all(|result| result.failure.is_none()));
    let covered = coverage(&engine, &cases, now());
    let rows: Vec<(&str, usize, usize, usize)> = covered
        .policies
        .iter()
        .map(|one| (one.id.as_str(), one.line, one.decided, one.near_misses))
        .collect();
    assert_eq!(rows, [("read", 1, 1, 0), ("night", 2, 0, 1), ("salary", 3, 1, 0), ("drop", 4, 0, 0)]);
    assert_eq!((covered.decided, covered.percent()), (2, 50));
}

fn advice(engine: &Engine, call: &Call<'_>) -> Vec<Suggestion> {
    let server = ServerName::parse(call.server).unwrap();
    let request = Request {
        decision: id("dec"),
        server: &server,
        operation: call.operation,
        arguments: call.arguments.map(str::as_bytes),
        sql: call.sql,
        approval: None,
        context: call.context,
    };
    brief(advise(engine, &engine.principal(&call.caller), &request))
}

fn words(suggestions: &[Suggestion]) -> Vec<String> {
    let one = |suggestion: &Suggestion| {
        let changes: Vec<&str> = suggestion.changes.iter().map(|change| change.text.as_str()).collect();
        let approver = suggestion.approver.as_deref().map_or(String::new(), |by| format!(" + {by}"));
        format!("{}{approver}", changes.join(" & "))
    };
    suggestions.iter().map(one).collect()
}

#[test]
fn advice_is_what_the_engine_then_really_permits() {
    let engine = engine(
        r#"permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        permit (principal in Group::"editors", action in Action::"write", resource == Server::"sales");
        forbid (principal, action == Action::"sales/read_query", resource) when { context.arguments has limit && context.arguments.limit > 100 };
        forbid (principal in Group::"interns", action == Action::"sales/list_tables", resource);
        @approvable("owner") forbid (principal, action in Action::"write", resource) unless { context has approval };
        @step_up("max_age 300") forbid (principal, action in Action::"write", resource) unless { context.sign_in.age_seconds <= 300 };
        forbid (principal, action in Action::"call", resource) when { context.weekday == "tuesday" };"#,
    );
    assert!(advice(&engine, &Call::of("read_query").with(r#"{"sql":"SELECT 1"}"#)).is_empty());

    let limited = advice(&engine, &Call::of("read_query").with(r#"{"sql":"SELECT 1","limit":5000}"#));
    let found = words(&limited);
    assert!(found.contains(&"with the argument limit = 100".to_owned()), "{found:?}");
    assert!(found.contains(&"without the argument limit".to_owned()), "{found:?}");

    let stranger = Call { caller: caller("eve", &[], "sales"), ..Call::of("read_query") };
    assert!(words(&advice(&engine, &stranger)).contains(&"to a member of group analysts".to_owned()));

    let intern = Call { caller: caller("ian", &["analysts", "interns"], "sales"), ..Call::of("list_tables") };
    let found = words(&advice(&engine, &intern));
    assert!(found.contains(&"to somebody who is not in group interns".to_owned()), "{found:?}");

    // Ana signed in ten minutes ago, and her write needs approval besides.
    let writer = Call { caller: caller("ana", &["editors"], "sales"), ..Call::of("write_query") };
    assert_eq!(words(&advice(&engine, &writer)), ["after a fresh sign-in + owner"]);

    // Two changes, when no one is enough.
    let outsider = Call { caller: caller("eve", &[], "sales"), ..Call::of("write_query") };
    let found = words(&advice(&engine, &outsider));
    assert!(
        found.contains(&"to a member of group editors & after a fresh sign-in + owner".to_owned()),
        "{found:?}"
    );

    // Tuesday begins nine hours from now; Monday is fine, so a Tuesday's advice is the first hour of Wednesday.
    let tuesday = Call::of("read_query").later(std::time::Duration::from_secs(12 * 3600));
    let found = words(&advice(&engine, &tuesday));
    assert!(
        found.contains(&"at 2026-11-25T00:00:00.000Z".to_owned())
            || found.iter().any(|one| one.starts_with("at 2026-11-25T00:00:00")),
        "{found:?}"
    );
}

#[test]
fn a_matrix_says_what_holds_whatever_the_call_is() {
    let engine = engine(
        r#"permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        permit (principal in Group::"editors", action == Action::"sales/write_query", resource == Server::"sales")
          when { context.arguments has limit && context.arguments.limit < 10 };
        @approvable("owner") forbid (principal, action in Action::"write", resource) unless { context has approval };
        forbid (principal, action == Action::"disclose", resource == Column::"hr/staff.salary") unless { principal in Group::"hr" };
        permit (principal == Workload::"ci-build", action == Action::"hr/mail", resource) when { context.hour < 6 };
        permit (principal, action == Action::"read_resource", resource == Resource::"sales/logo");"#,
    );
    let made = matrix(&engine, &principals(&engine), now());
    let names: Vec<&str> = made.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["group analysts", "group editors", "group hr", "workload ci-build", "(no group)"]);
    let cell = |who: &str, what: &str| {
        let column = made.columns.iter().position(|column| column.words() == what).expect(what);
        made.rows.iter().find(|row| row.name == who).unwrap().cells[column].words()
    };
    assert_eq!(cell("group analysts", "call sales/read_query"), "permit");
    assert_eq!(cell("(no group)", "call sales/read_query"), "refuse");
    assert_eq!(cell("group editors", "call sales/write_query"), "approval (owner)/refuse: arguments");
    assert_eq!(cell("workload ci-build", "call hr/mail"), "approval (owner)/refuse: hour");
    assert_eq!(cell("group hr", "disclose hr/staff.salary"), "permit");
    assert_eq!(cell("group analysts", "disclose hr/staff.salary"), "refuse");
    assert_eq!(cell("(no group)", "read sales/logo"), "permit");
    assert_eq!(cell("(no group)", "read sales/*"), "refuse");

    let golden = made.golden();
    assert!(made.changes(&golden).is_empty());
    let edited = golden.replacen("refuse", "permit", 1);
    let changes = made.changes(&edited);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((changes[0].was.as_deref(), changes[0].is.as_deref()), (Some("permit"), Some("refuse")));
    let fewer = golden.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(made.changes(&fewer).len(), 1);
    assert_eq!(made.changes(&format!("{golden}x | y | permit\n")).len(), 1);
}

#[test]
fn a_matrix_says_who_must_approve() {
    let policies = |by: &str| {
        format!(
            r#"permit (principal in Group::"analysts", action in Action::"sales", resource == Server::"sales");
            @approvable("{by}") forbid (principal, action == Action::"sales/write_query", resource) unless {{ context has approval }};"#
        )
    };
    let made = |by: &str| {
        let engine = engine(&policies(by));
        matrix(&engine, &principals(&engine), now())
    };
    let (owner, two) = (made("owner"), made("two of group dba"));
    assert!(owner.golden().contains("| approval: owner\n"), "{}", owner.golden());
    let changes = two.changes(&owner.golden());
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].is.as_deref(), Some("approval: two of group dba"));
}

#[test]
fn a_matrix_of_given_principals_has_their_rows() {
    let engine = engine(ANALYSTS_READ);
    let who: Vec<Who> = serde_json::from_str(
        r#"[{"user":"ana","groups":["analysts"]},{"workload":"ci-build"},{"name":"n"}]"#,
    )
    .unwrap();
    let made = matrix(&engine, &who, now());
    let names: Vec<&str> = made.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["user ana", "workload ci-build", "n"]);
    assert!(serde_json::from_str::<Who>(r#"{"usr":"ana"}"#).is_err());
}

fn intent(verdict: Verdict, policies: &[&str], arguments: Option<&str>) -> Intent {
    Intent {
        at: now(),
        decision: id("dec"),
        verdict,
        server: ServerName::parse("sales").unwrap(),
        method: "tools/call".to_owned(),
        target: Some("read_query".to_owned()),
        user: UserName::parse("ana").unwrap(),
        client: ClientId::parse("chat").unwrap(),
        grant: id("grt"),
        arguments_digest: None,
        arguments: arguments.map(str::to_owned),
        policies: policies.iter().map(|one| (*one).to_owned()).collect(),
        reason: policies.is_empty().then(|| "No policy allows this.".to_owned()),
        approval: None,
        credential: None,
        trace: None,
        circumstances: Some(Circumstances {
            groups: vec![GroupName::parse("analysts").unwrap()],
            scopes: vec!["tools".to_owned()],
            actor: Actor::Assistant,
            sign_in: SignIn::new("pwd", Timestamp::from_secs(now().as_secs() - 600)),
            proof: "none".to_owned(),
            certificate: false,
            source: "10.1.2.3".parse().unwrap(),
            environment: "production".to_owned(),
            era: "modern".to_owned(),
        }),
    }
}

fn replayed(engine: &Engine, intent: &Intent) -> Replayed {
    let facts = intent.arguments.as_deref().and_then(|text| {
        let sql = serde_json::from_str::<serde_json::Value>(text).ok()?.get("sql")?.as_str()?.to_owned();
        Some(facts(&sql, Dialect::Sqlite))
    });
    let whole = intent.arguments_digest.is_none()
        && !intent.arguments.as_deref().unwrap_or_default().contains(portunus_policy::replay::REDACTED);
    let mut replay = Replay::new(engine, HashMap::new());
    replay.add(&Recorded { intent, arguments_whole: whole, sql: facts.as_ref(), sql_known: whole })
}

fn unknown(names: &[&str]) -> Replayed {
    Replayed::Unknown(names.iter().map(|one| (*one).to_owned()).collect())
}

fn decided(outcome: Outcome, policies: &[&str]) -> Replayed {
    Replayed::Decided(outcome, policies.iter().map(|one| (*one).to_owned()).collect())
}

#[test]
fn a_recorded_call_is_decided_again_as_the_engine_decides_it() {
    let engine = engine(
        r#"@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        @id("small") forbid (principal, action == Action::"sales/read_query", resource) when { context.arguments has limit && context.arguments.limit > 100 };
        @id("staff") forbid (principal, action in Action::"call", resource) when { context has sql && context.sql.reads.contains("staff") };
        @id("fresh") forbid (principal, action == Action::"sales/list_tables", resource) unless { context.sign_in.age_seconds < 300 };"#,
    );
    let permit = |arguments| intent(Verdict::Permit, &["read"], Some(arguments));
    assert_eq!(replayed(&engine, &permit(r#"{"sql":"SELECT 1"}"#)), decided(Outcome::Permit, &["read"]));
    assert_eq!(
        replayed(&engine, &permit(r#"{"sql":"SELECT 1","limit":500}"#)),
        decided(Outcome::Refuse, &["small"])
    );
    assert_eq!(
        replayed(&engine, &permit(r#"{"sql":"SELECT * FROM staff"}"#)),
        decided(Outcome::Refuse, &["staff"])
    );
    let listing = Intent { target: Some("list_tables".to_owned()), ..permit("{}") };
    assert_eq!(replayed(&engine, &listing), decided(Outcome::Refuse, &["fresh"]));
}

#[test]
fn what_a_record_does_not_hold_makes_a_call_unknown_only_if_it_matters() {
    let engine = engine(
        r#"@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        @id("small") forbid (principal, action == Action::"sales/read_query", resource) when { context.arguments has limit && context.arguments.limit > 100 };
        @id("night") forbid (principal, action == Action::"sales/write_query", resource) when { context.hour < 24 };"#,
    );
    let redacted = intent(Verdict::Permit, &["read"], Some(r#"{"sql":"hmac-sha256:00ff","limit":5}"#));
    assert_eq!(replayed(&engine, &redacted), unknown(&["arguments"]));
    // Nobody may write, whatever the arguments were.
    let write = Intent { target: Some("write_query".to_owned()), ..redacted.clone() };
    assert_eq!(replayed(&engine, &write), decided(Outcome::Refuse, &["night"]));
    // Listing looks at no argument.
    let listing = Intent { target: Some("list_tables".to_owned()), ..redacted };
    assert_eq!(replayed(&engine, &listing), decided(Outcome::Permit, &["read"]));
    // An old record does not hold the groups; somebody may know them.
    let old =
        Intent { circumstances: None, ..intent(Verdict::Permit, &["read"], Some(r#"{"sql":"SELECT 1"}"#)) };
    assert_eq!(replayed(&engine, &old), unknown(&["groups"]));
    let groups = HashMap::from([(old.user.clone(), vec![GroupName::parse("analysts").unwrap()])]);
    let mut replay = Replay::new(&engine, groups);
    let again = replay.add(&Recorded { intent: &old, arguments_whole: true, sql: None, sql_known: true });
    assert_eq!(again, decided(Outcome::Permit, &["read"]));
    // What was refused before policy stays refused.
    let outside = Intent {
        verdict: Verdict::Refuse,
        policies: Vec::new(),
        reason: Some("Clients of kind ci may not use this server.".to_owned()),
        ..old
    };
    assert_eq!(replayed(&engine, &outside), Replayed::NotByPolicy);
}

#[test]
fn approved_calls_are_approved_again_and_flips_are_counted_by_kind() {
    let asks = engine(
        r#"@id("all") permit (principal in Group::"analysts", action in Action::"sales", resource == Server::"sales");
        @id("ask") @approvable("owner") forbid (principal, action in Action::"write", resource) unless { context has approval };"#,
    );
    let write = |verdict, approval| Intent {
        target: Some("write_query".to_owned()),
        approval,
        ..intent(verdict, &["ask"], Some("{}"))
    };
    assert_eq!(replayed(&asks, &write(Verdict::Permit, Some(id("apr")))), decided(Outcome::Permit, &["all"]));
    assert_eq!(replayed(&asks, &write(Verdict::ApprovalNeeded, None)), decided(Outcome::Approval, &["ask"]));
    // A person said no; they are not asked again.
    assert_eq!(replayed(&asks, &write(Verdict::Refuse, None)), decided(Outcome::Refuse, &["ask"]));

    let mut replay = Replay::new(&asks, HashMap::new());
    let free = write(Verdict::Permit, None);
    for _ in 0..3 {
        replay.add(&Recorded { intent: &free, arguments_whole: true, sql: None, sql_known: true });
    }
    let read = intent(Verdict::Permit, &["x"], Some("{}"));
    replay.add(&Recorded { intent: &read, arguments_whole: true, sql: None, sql_known: true });
    let Report { calls, same, flipped, flips, days, .. } = replay.finish();
    assert_eq!((calls, same, flipped, flips.len()), (4, 1, 3, 1));
    assert_eq!((flips[0].count, flips[0].was, flips[0].now), (3, Outcome::Permit, Outcome::Approval));
    let day = &days["2026-11-23"];
    assert_eq!((day.same, day.narrower, day.wider, day.unknown), (1, 3, 0, 0));
}

#[test]
fn the_schema_of_servers_is_one_that_cedar_reads() {
    let text = schema_text(&servers());
    assert!(text.contains("action \"sales/read_query\" in"), "{text}");
    let loaded = Engine::load(
        &[source("permit (principal, action == Action::\"sales/read_query\", resource);")],
        &servers(),
    );
    assert!(loaded.is_ok());
}

#[test]
fn templates_are_valid_and_pass_their_own_tests_which_reach_every_policy() {
    let sql =
        |name: &str| tool(name, TrustGroups::of_builtin_sql(name).unwrap(), Some(crate::world::READ_QUERY));
    let out = TrustGroups { read: true, write: false, destructive: false, open_world: true };
    let sales = server("sales", vec![sql("read_query"), sql("write_query"), tool("send", out, None)]);
    let (name, group) = (ServerName::parse("sales").unwrap(), GroupName::parse("analysts").unwrap());
    for template in templates::NAMES {
        if template == "no-exfiltration" && !schema_text(&servers()).contains("labels") {
            // Sessions have no labels in this version.
            continue;
        }
        let found = templates::find(template).unwrap();
        let policies = templates::fill(found.policies, &name, &group);
        let engine = Engine::load(&[defaults::source(), source(&policies)], std::slice::from_ref(&sales))
            .unwrap_or_else(|problems| panic!("{template}: {problems:?}"));
        assert!(engine.warnings().is_empty(), "{template}: {:?}", engine.warnings());
        let cases: Vec<Case> = serde_saphyr::from_str(&templates::fill(found.tests, &name, &group)).unwrap();
        let with_sql = |case: Case| {
            let sql = case.arguments.as_ref().and_then(|all| all.get("sql")?.as_str().map(str::to_owned));
            Case { sql, ..case }
        };
        let cases: Vec<Case> = cases.into_iter().map(with_sql).collect();
        let results = run_cases(&engine, &cases, now());
        let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
        assert!(failures.is_empty(), "{template}: {failures:#?}");
        assert_eq!(coverage(&engine, &cases, now()).percent(), 100, "{template}");
    }
    assert_eq!(templates::find("other"), None);
}

#[test]
fn a_decision_is_worded_by_its_outcome() {
    let engine = engine(ANALYSTS_READ);
    let decision = Call::of("read_query").decide(&engine);
    assert!(matches!(decision, Decision::Permit(_)));
    assert_eq!(Outcome::of(&decision).as_str(), "permit");
    let _ = (context(), Operation::Answer);
}
