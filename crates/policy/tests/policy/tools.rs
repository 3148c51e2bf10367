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
    assert!(run_cases(&engine, &cases, now(), &|_, _, _| None).iter().all(|result| result.failure.is_none()));
    let covered = coverage(&engine, &cases, now(), &|_, _, _| None);
    let rows: Vec<(&str, usize, usize, usize)> = covered
        .policies
        .iter()
        .map(|one| (one.id.as_str(), one.line, one.decided, one.near_misses))
        .collect();
    assert_eq!(rows, [("read", 1, 1, 0), ("night", 2, 0, 1), ("salary", 3, 1, 0), ("drop", 4, 0, 0)]);
    assert_eq!((covered.decided, covered.percent()), (2, 50));
}

#[test]
fn a_case_sees_the_sql_of_its_arguments_as_the_edge_does() {
    let engine = engine(
        r#"permit (principal, action in Action::"hr", resource == Server::"hr");
        @id("drop") forbid (principal, action in Action::"call", resource) when { context has sql && context.sql.kinds.contains("drop") };"#,
    );
    let cases = cases(
        r#"[
        {"name":"declared","user":"ana","server":"hr","tool":"mail","arguments":{"body":"DROP TABLE `t`"},"expect":"refuse"},
        {"name":"no sql","user":"ana","server":"hr","tool":"mail","arguments":{"sql":"DROP TABLE t"},"expect":"permit"},
        {"name":"alone","user":"ana","server":"hr","tool":"mail","sql":"DROP TABLE t","expect":"refuse"}
        ]"#,
    );
    // The administrator said that `body` holds SQL, in this dialect.
    let declared = |server: &ServerName, tool: &str, arguments: &[u8]| {
        assert_eq!((server.as_str(), tool), ("hr", "mail"));
        let all: serde_json::Value = serde_json::from_slice(arguments).ok()?;
        Some(facts(all.get("body")?.as_str()?, Dialect::MySql))
    };
    let results = run_cases(&engine, &cases, now(), &declared);
    assert!(results.iter().all(|result| result.failure.is_none()), "{results:?}");
    assert_eq!(coverage(&engine, &cases, now(), &declared).policies[1].decided, 2);
}

fn advice(engine: &Engine, call: &Call<'_>) -> Vec<Suggestion> {
    let server = ServerName::parse(call.server).unwrap();
    let request = Request {
        decision: id("dec"),
        server: &server,
        operation: call.operation,
        arguments: call.arguments.map(str::as_bytes),
        sql: call.sql,
        besides: None,
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
        connection: None,
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
            emergency: None,
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
    let approver = (intent.verdict != Verdict::Refuse).then_some("owner");
    let sql = facts.as_ref();
    replay.add(&Recorded { approver, arguments_whole: whole, sql, sql_known: whole, ..recorded(intent) })
}

/// A record whose arguments are whole and hold no SQL.
fn recorded(intent: &Intent) -> Recorded<'_> {
    let (sql, approver) = (None, None);
    Recorded { intent, arguments_whole: true, sql, sql_known: true, hides_itself: false, approver }
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
fn a_recorded_question_of_a_server_is_decided_again() {
    let engine = engine(
        r#"@id("pages") permit (principal in Group::"analysts", action == Action::"elicit", resource == Server::"sales") when { context.mode == "url" && context.host == "pay.example.com" };
        @id("near") permit (principal, action == Action::"sample", resource == Server::"sales") when { context.source.isInRange(ip("10.0.0.0/8")) };"#,
    );
    let asked = |method: &str, target: Option<&str>| Intent {
        method: method.to_owned(),
        target: target.map(str::to_owned),
        reason: Some("No policy allows the server to ask the client for this.".to_owned()),
        ..intent(Verdict::Refuse, &[], None)
    };
    let page = asked("elicitation/create", Some("pay.example.com"));
    assert_eq!(replayed(&engine, &page), decided(Outcome::Permit, &["pages"]));
    for (method, target) in
        [("elicitation/create", Some("evil.test")), ("elicitation/create", None), ("roots/list", None)]
    {
        assert_eq!(
            replayed(&engine, &asked(method, target)),
            decided(Outcome::Refuse, &[]),
            "{method} {target:?}"
        );
    }
    let sampling = asked("sampling/createMessage", None);
    assert_eq!(replayed(&engine, &sampling), decided(Outcome::Permit, &["near"]));
    // Records of old versions do not say from where.
    let old = Intent { circumstances: None, ..sampling };
    assert_eq!(replayed(&engine, &old), unknown(&["source"]));
    let not_decided = Some("What the server asks of the client could not be decided.".to_owned());
    assert_eq!(replayed(&engine, &Intent { reason: not_decided, ..page }), Replayed::NotByPolicy);
    assert_eq!(replayed(&engine, &asked("request", Some("shell/run"))), Replayed::NotByPolicy);
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
    let again = replay.add(&recorded(&old));
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
        replay.add(&recorded(&free));
    }
    let read = intent(Verdict::Permit, &["x"], Some("{}"));
    replay.add(&recorded(&read));
    let Report { calls, same, flipped, flips, days, .. } = replay.finish();
    assert_eq!((calls, same, flipped, flips.len()), (4, 1, 3, 1));
    assert_eq!((flips[0].count, flips[0].was, flips[0].now), (3, Outcome::Permit, Outcome::Approval));
    let day = &days["2026-11-23"];
    assert_eq!((day.same, day.narrower, day.wider, day.unknown), (1, 3, 0, 0));
}

#[test]
fn a_recorded_approval_counts_only_for_who_had_to_approve_then() {
    let asks = engine(
        r#"@id("all") permit (principal in Group::"analysts", action in Action::"sales", resource == Server::"sales");
        @id("ask") @approvable("two of group dba") forbid (principal, action in Action::"write", resource) unless { context has approval };"#,
    );
    let write = |verdict| Intent {
        target: Some("write_query".to_owned()),
        approval: Some(id("apr")),
        ..intent(verdict, &["ask"], Some("{}"))
    };
    let mut replay = Replay::new(&asks, HashMap::new());
    let (waited, approved) = (write(Verdict::ApprovalNeeded), write(Verdict::Permit));
    let mut again = |intent, approver| replay.add(&Recorded { approver, ..recorded(intent) });
    assert_eq!(again(&waited, Some("two of group dba")), decided(Outcome::Approval, &["ask"]));
    let (was, now, policies) = ("owner".to_owned(), "two of group dba".to_owned(), vec!["ask".to_owned()]);
    assert_eq!(again(&waited, Some("owner")), Replayed::OtherApprover { was, now, policies });
    assert_eq!(again(&approved, Some("two of group dba")), decided(Outcome::Permit, &["all"]));
    assert_eq!(again(&approved, Some("owner")), decided(Outcome::Approval, &["ask"]));
    assert_eq!(again(&approved, None), unknown(&["approver"]));
    let report = replay.finish();
    assert_eq!((report.same, report.flipped, report.unknown), (2, 2, 1));
    let day = &report.days["2026-11-23"];
    assert_eq!((day.approver, day.narrower, day.wider), (1, 1, 0));
    assert!(report.flips.iter().any(|flip| flip.approvers.is_some()));
}

#[test]
fn a_permitted_call_of_which_nothing_may_be_shown_is_not_as_before() {
    let permits = r#"@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");"#;
    let salary =
        r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");"#;
    let audit = r#"forbid (principal, action == Action::"change", resource == Table::"sales/audit");"#;
    let release = r#"forbid (principal, action == Action::"release", resource == Server::"sales")"#;
    let call = |sql: &str| intent(Verdict::Permit, &["read"], Some(&format!("{{\"sql\":\"{sql}\"}}")));
    let as_before = decided(Outcome::Permit, &["read"]);
    for (more, sql, expected) in [
        (salary.to_owned(), "SELECT salary FROM staff", decided(Outcome::Refuse, &["(disclose)"])),
        (salary.to_owned(), "SELECT * FROM staff", decided(Outcome::Refuse, &["(disclose)"])),
        (salary.to_owned(), "SELECT name FROM staff", as_before.clone()),
        (audit.to_owned(), "DELETE FROM audit", decided(Outcome::Refuse, &["(disclose)"])),
        (format!("{release};"), "SELECT 1", decided(Outcome::Refuse, &["(release)"])),
        (
            format!("{release} when {{ context.rows > 0 }};"),
            "SELECT 1",
            decided(Outcome::Refuse, &["(release)"]),
        ),
        (format!("{release} when {{ context.rows > 10 }};"), "SELECT 1", as_before.clone()),
        (
            format!("{release} when {{ context.labels.contains(\"private\") }};"),
            "SELECT 1",
            unknown(&["labels"]),
        ),
        (
            salary.replace(");", ") when { context.labels.contains(\"x\") };"),
            "SELECT 1",
            unknown(&["labels"]),
        ),
    ] {
        let engine = engine(&format!("{permits} {more}"));
        assert_eq!(replayed(&engine, &call(sql)), expected, "{more} {sql}");
    }
    let engine = engine(&format!("{permits} {salary}"));
    let redacted = call("hmac-sha256:00ff");
    assert_eq!(replayed(&engine, &redacted), unknown(&["sql"]));
    // The built-in server hides the column itself.
    let facts = facts("SELECT salary FROM staff", Dialect::Sqlite);
    let star = call("SELECT salary FROM staff");
    let mut replay = Replay::new(&engine, HashMap::new());
    let itself = Recorded { sql: Some(&facts), hides_itself: true, ..recorded(&star) };
    assert_eq!(replay.add(&itself), as_before);
}

#[test]
fn refusals_that_are_not_by_policy_are_not_counted_as_the_same() {
    let engine = engine(
        r#"@id("read") permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
        @id("ask") @approvable("owner") forbid (principal, action in Action::"read", resource) unless { context has approval };"#,
    );
    let refused = |policies: &[&str], reason: &str| Intent {
        reason: Some(reason.to_owned()),
        ..intent(Verdict::Refuse, policies, Some("{}"))
    };
    let actor = refused(&[], "Clients of kind ci may not use this server.");
    let answers = refused(&["ask"], "A call that needs approval cannot carry answers to questions.");
    let mut replay = Replay::new(&engine, HashMap::new());
    for intent in [&actor, &answers] {
        assert_eq!(replay.add(&recorded(intent)), Replayed::NotByPolicy);
    }
    // What may be shown is a matter of policies too.
    let hidden = refused(&[], "`staff.salary` is hidden from you: name the columns you need, without it.");
    assert_eq!(replay.add(&recorded(&hidden)), decided(Outcome::Approval, &["ask"]));
    let report = replay.finish();
    let day = &report.days["2026-11-23"];
    assert_eq!((report.same, report.not_by_policy, day.same, day.not_by_policy, day.wider), (0, 2, 0, 2, 1));
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
        let sql = |_: &ServerName, _: &str, arguments: &[u8]| {
            let all: serde_json::Value = serde_json::from_slice(arguments).ok()?;
            Some(facts(all.get("sql")?.as_str()?, Dialect::Generic))
        };
        let results = run_cases(&engine, &cases, now(), &sql);
        let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
        assert!(failures.is_empty(), "{template}: {failures:#?}");
        assert_eq!(coverage(&engine, &cases, now(), &sql).percent(), 100, "{template}");
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
