use crate::world::{ANALYSTS_READ, Call, caller, engine, id, load, server, servers, source, tool};
use portunus_core::server::Actor;
use portunus_policy::sql::{self, Dialect, SqlFacts};
use portunus_policy::{DEFAULT_REASON, Decision, Engine, Operation, TrustGroups};
use std::time::Duration;

const ALL: &str = "permit (principal, action, resource);";

#[test]
fn what_no_policy_permits_is_refused() {
    for engine in [engine(""), Engine::load(&[], &servers()).unwrap(), Engine::load(&[], &[]).unwrap()] {
        for operation in [
            Operation::CallTool("read_query"),
            Operation::CallTool("unheard_of"),
            Operation::ReadResource("file:///etc/passwd"),
            Operation::GetPrompt("p"),
            Operation::Complete("p"),
            Operation::Subscribe("x://y"),
            Operation::Task("t"),
            Operation::Answer,
        ] {
            let refused = Call { operation, ..Call::of("") }.refused(&engine);
            assert_eq!(refused.reasons, [DEFAULT_REASON]);
            assert!(refused.policies.is_empty());
            assert_eq!(refused.decision, id("dec"));
        }
    }
}

#[test]
fn the_defaults_open_the_session_and_the_lists_and_nothing_else() {
    let engine = engine("");
    for operation in [Operation::Session("initialize"), Operation::List("tools/list")] {
        assert!(Call { operation, ..Call::of("") }.permitted(&engine), "{operation:?}");
    }
}

#[test]
fn a_permit_names_what_was_decided() {
    let engine = engine(&format!("@id(\"analysts\") {ANALYSTS_READ}"));
    let Decision::Permit(permit) = Call::of("read_query").decide(&engine) else { panic!() };
    assert_eq!((permit.server().as_str(), permit.action()), ("sales", "sales/read_query"));
    assert_eq!(
        (permit.decision(), permit.policies(), permit.approval()),
        (&id("dec"), &["analysts".to_owned()][..], None)
    );
}

#[test]
fn permits_are_for_the_groups_tools_and_servers_they_name() {
    let engine = engine(ANALYSTS_READ);
    assert!(Call::of("read_query").permitted(&engine));
    assert!(!Call::of("write_query").permitted(&engine));
    assert!(
        !Call { caller: caller("ana", &["analyst"], "sales"), ..Call::of("read_query") }.permitted(&engine)
    );
    let on_hr = Call { caller: caller("ana", &["analysts"], "hr"), server: "hr", ..Call::of("read_query") };
    assert!(!on_hr.permitted(&engine));
}

#[test]
fn a_token_for_one_server_is_refused_at_another() {
    let engine = engine(ALL);
    let call = Call { caller: caller("ana", &[], "hr"), ..Call::of("read_query") };
    assert!(!call.permitted(&engine) && !call.visible(&engine));
    assert!(Call { server: "hr", ..call }.permitted(&engine));
}

#[test]
fn an_unknown_tool_counts_as_writing_destroying_and_reaching_out() {
    for (group, in_it) in [
        ("read", false),
        ("write", true),
        ("destructive", true),
        ("open_world", true),
        ("call", true),
        ("sales", true),
    ] {
        let engine = engine(&format!("permit (principal, action in Action::\"{group}\", resource);"));
        assert_eq!(Call::of("unheard_of").permitted(&engine), in_it, "{group}");
    }
}

#[test]
fn a_forbid_wins_and_its_words_reach_the_client() {
    let engine = engine(&format!(
        "{ALL}
        @id(\"b\") @reason(\"Not on Mondays.\") forbid (principal, action in Action::\"call\", resource) when {{ context.weekday == \"monday\" }};
        @id(\"a\") @reason(\"Afternoons are off.\") forbid (principal, action == Action::\"sales/read_query\", resource) when {{ context.hour == 15 }};
        @id(\"c\") forbid (principal == User::\"ana\", action, resource);
        @id(\"d\") @reason(\"Never said.\") forbid (principal == User::\"bob\", action, resource);"
    ));
    let refused = Call::of("read_query").refused(&engine);
    assert_eq!(refused.reasons, ["Afternoons are off.", "Not on Mondays."]);
    assert_eq!(refused.policies, ["a", "b", "c"]);
}

#[test]
fn a_policy_that_fails_refuses_whether_it_permits_or_forbids() {
    let overflow = "9223372036854775807 + context.hour > 0";
    for failing in ["permit", "forbid"] {
        let engine = engine(&format!(
            "{ALL} @id(\"broken\") @reason(\"never shown?\") {failing} (principal, action in Action::\"call\", resource) when {{ {overflow} }};"
        ));
        let refused = Call::of("read_query").refused(&engine);
        assert_eq!(refused.policies, ["broken"], "{failing}");
        assert!(!Call::of("read_query").visible(&engine), "{failing}");
        // It cannot apply there, so it does no harm there.
        assert!(Call { operation: Operation::Session("ping"), ..Call::of("") }.permitted(&engine));
    }
}

#[test]
fn the_whole_context_can_be_asked() {
    for (condition, holds) in [
        ("context.client like \"https://chatgpt.com/*\"", true),
        ("context.actor == \"assistant\"", true),
        ("context.actor == \"autonomous\"", false),
        ("context.scopes.contains(\"tools\")", true),
        ("context.sign_in.method == \"pwd\" && context.sign_in.age_seconds == 600", true),
        ("context.source.isInRange(ip(\"10.0.0.0/8\"))", true),
        ("context.source.isIpv6()", false),
        ("context.now < datetime(\"2026-11-23T15:04:06Z\") && context.now >= datetime(\"2026-11-23\")", true),
        ("context.hour == 15 && context.weekday == \"monday\"", true),
        ("context.environment == \"production\" && context.era == \"modern\"", true),
        ("context has approval", false),
        ("context has sql", false),
        ("principal.name == \"ana\" && principal in Group::\"analysts\"", true),
        ("resource.owner == User::\"owen\" && resource.environment == \"production\"", true),
        ("resource.owner == principal", false),
        ("action in Action::\"read\" && action in Action::\"sales\" && !(action in Action::\"write\")", true),
    ] {
        let policy = format!(
            "permit (principal, action == Action::\"sales/read_query\", resource) when {{ {condition} }};"
        );
        assert_eq!(Call::of("read_query").permitted(&engine(&policy)), holds, "{condition}");
    }
}

#[test]
fn an_ipv4_address_inside_ipv6_does_not_escape_a_range() {
    let engine = engine(&format!(
        "{ALL} forbid (principal, action, resource) when {{ context.source.isInRange(ip(\"10.0.0.0/8\")) }};"
    ));
    for (source, permitted) in
        [("::ffff:10.1.2.3", false), ("10.1.2.3", false), ("192.0.2.1", true), ("::1", true)]
    {
        let mut call = Call::of("read_query");
        call.context.source = source.parse().unwrap();
        assert_eq!(call.permitted(&engine), permitted, "{source}");
    }
}

#[test]
fn time_passes_for_policies_as_it_does_for_the_caller() {
    let engine = engine(&format!(
        "{ALL} forbid (principal, action in Action::\"call\", resource) when {{ context.sign_in.age_seconds > 3600 }};"
    ));
    assert!(Call::of("read_query").permitted(&engine));
    assert!(!Call::of("read_query").later(Duration::from_secs(3601)).permitted(&engine));
}

#[test]
fn every_other_operation_has_its_action_and_resource() {
    let engine = engine(
        r#"permit (principal, action == Action::"read_resource", resource == Resource::"sales/file:///a");
        permit (principal, action == Action::"subscribe", resource in Server::"sales");
        permit (principal, action == Action::"get_prompt", resource == Prompt::"sales/hello");
        permit (principal, action == Action::"complete", resource) when { context.target == "hello" };
        permit (principal, action == Action::"task", resource) when { context.target like "t-*" };
        permit (principal, action == Action::"answer", resource == Server::"sales");
        forbid (principal, action == Action::"list", resource) when { context.method == "prompts/list" };"#,
    );
    for (operation, permitted) in [
        (Operation::ReadResource("file:///a"), true),
        (Operation::ReadResource("file:///b"), false),
        (Operation::Subscribe("x://any"), true),
        (Operation::GetPrompt("hello"), true),
        (Operation::GetPrompt("Hello"), false),
        (Operation::Complete("hello"), true),
        (Operation::Complete("other"), false),
        (Operation::Task("t-1"), true),
        (Operation::Task("1"), false),
        (Operation::Answer, true),
        (Operation::List("prompts/list"), false),
        (Operation::List("tools/list"), true),
    ] {
        assert_eq!(Call { operation, ..Call::of("") }.permitted(&engine), permitted, "{operation:?}");
    }
}

#[test]
fn a_tool_cannot_pass_for_an_operation_or_for_another_servers_tool() {
    let engine = engine(
        r#"permit (principal, action == Action::"answer", resource);
        permit (principal, action == Action::"hr/mail", resource);
        permit (principal, action in Action::"read", resource);"#,
    );
    for name in ["answer", "read", "call", "../hr/mail", "hr/mail", "sales/read_query", ""] {
        assert!(!Call::of(name).permitted(&engine), "{name}");
    }
}

#[test]
fn sql_that_is_not_understood_refuses_wherever_a_policy_looks_at_it() {
    for condition in [
        "context.sql.reads.contains(\"staff\")",
        "context.sql.reads == [\"staff\"]",
        "[\"staff\"].containsAll(context.sql.reads)",
        "context.sql.writes.contains(\"staff\")",
        "context.sql.functions.contains(\"load_extension\")",
        "context.sql.kinds == [\"drop\"]",
        "!([\"select\"].containsAll(context.sql.kinds))",
    ] {
        let engine = engine(&format!(
            "permit (principal, action == Action::\"sales/read_query\", resource);
            @id(\"looks\") forbid (principal, action == Action::\"sales/read_query\", resource) when {{ context has sql && {condition} }};"
        ));
        let plain = sql::facts("SELECT * FROM orders", Dialect::Sqlite);
        assert!(Call { sql: Some(&plain), ..Call::of("read_query") }.permitted(&engine), "{condition}");
        for unknown in [sql::facts("this is no SQL", Dialect::Sqlite), SqlFacts::unknown()] {
            let refused = Call { sql: Some(&unknown), ..Call::of("read_query") }.refused(&engine);
            assert_eq!(refused.policies, ["looks"], "{condition}");
        }
        assert!(Call::of("read_query").permitted(&engine));
    }
    // The kind of a statement that is not looked into is known all the same.
    let engine = engine(
        "permit (principal, action in Action::\"sales\", resource) when { context has sql && context.sql.kinds == [\"pragma\"] };",
    );
    let pragma = sql::facts("PRAGMA foreign_keys", Dialect::Sqlite);
    assert!(Call { sql: Some(&pragma), ..Call::of("read_query") }.permitted(&engine));
}

#[test]
fn policies_can_ask_whether_sql_was_understood() {
    let engine = engine(
        r#"permit (principal, action in Action::"sales", resource)
        when { context has sql && context.sql.complete && context.sql.kinds == ["select"] && ["orders"].containsAll(context.sql.reads) };"#,
    );
    for (text, permitted) in [
        ("SELECT * FROM orders", true),
        ("SELECT * FROM staff", false),
        ("DELETE FROM orders", false),
        ("PRAGMA x", false),
        ("?!", false),
    ] {
        let facts = sql::facts(text, Dialect::Generic);
        let call = Call { sql: Some(&facts), ..Call::of("read_query") };
        assert_eq!(call.permitted(&engine), permitted, "{text}");
        let failed = matches!(call.decide(&engine), Decision::Refused(r) if !r.policies.is_empty());
        assert!(!failed, "{text}");
    }
}

#[test]
fn policies_can_ask_whether_sql_does_what_it_names_and_nothing_besides() {
    let engine = engine(
        r#"permit (principal, action in Action::"sales", resource)
        when { context has sql && context.sql.harmless && ["orders"].containsAll(context.sql.writes) };"#,
    );
    for (text, permitted) in [
        ("SELECT * FROM staff", true),
        ("UPDATE orders SET total = round(total)", true),
        ("UPDATE staff SET total = 1", false),
        ("UPDATE orders SET total = load_extension('x')", false),
        ("UPDATE orders SET total = unheard_of(1)", false),
        ("?!", false),
    ] {
        let facts = sql::facts(text, Dialect::Sqlite);
        let call = Call { sql: Some(&facts), ..Call::of("read_query") };
        assert_eq!(call.permitted(&engine), permitted, "{text}");
        assert!(!matches!(call.decide(&engine), Decision::Refused(r) if !r.policies.is_empty()), "{text}");
    }
}

#[test]
fn a_principal_of_an_older_engine_decides_by_the_newer_one() {
    let old = engine("");
    let mut moved = servers();
    moved[0].owner = "ana".to_owned();
    let policy =
        "permit (principal, action in Action::\"call\", resource) when { resource.owner == principal };";
    let new = Engine::load(&[source(policy)], &moved).unwrap();
    let call = Call::of("read_query");
    assert!(matches!(call.decide_as(&new, &old.principal(&call.caller)), Decision::Permit(_)));
    // A server that did not exist then.
    let empty = Engine::load(&[], &[]).unwrap();
    assert!(matches!(call.decide_as(&new, &empty.principal(&call.caller)), Decision::Permit(_)));
}

#[test]
fn who_drives_the_client_counts() {
    let engine = engine(&format!(
        "{ALL} forbid (principal, action, resource) unless {{ context.actor == \"assistant\" }};"
    ));
    assert!(Call::of("read_query").permitted(&engine));
    let mut call = Call::of("read_query");
    call.caller.actor = Actor::Autonomous;
    assert!(!call.permitted(&engine));
}

#[test]
fn the_version_changes_with_each_thing_that_decisions_depend_on() {
    let base = engine("").version().to_owned();
    assert_eq!(&base, engine("").version());
    assert_ne!(&base, engine("// a comment").version());
    let mut changes = Vec::new();
    for change in 0..4 {
        let mut servers = servers();
        match change {
            0 => servers[0].owner = "olga".to_owned(),
            1 => servers[0].environment = "test".to_owned(),
            2 => servers[0].tools[0].groups = TrustGroups::CAUTIOUS,
            _ => servers[0].tools.push(tool("new", TrustGroups::READ, None)),
        }
        changes.push(
            *Engine::load(&[portunus_policy::defaults::source(), source("")], &servers).unwrap().version(),
        );
    }
    assert!(!changes.contains(&base));
    changes.dedup();
    assert_eq!(changes.len(), 4);
}

#[test]
fn a_hundred_servers_do_not_hear_of_each_others_policies() {
    let servers: Vec<_> =
        (0..100).map(|n| server(&format!("s{n}"), vec![tool("t", TrustGroups::READ, Some("{}"))])).collect();
    let policies: String = (0..100)
        .map(|n| {
            format!(
                "permit (principal, action == Action::\"s{n}/t\", resource) when {{ context.hour {} 15 }};\n",
                if n == 7 { "==" } else { "!=" }
            )
        })
        .collect();
    let engine = Engine::load(&[source(&policies)], &servers).unwrap();
    for n in [0, 7, 99] {
        let name = format!("s{n}");
        let call = Call { caller: caller("ana", &[], &name), server: &name, ..Call::of("t") };
        assert_eq!(call.permitted(&engine), n == 7);
    }
}

#[test]
fn a_failing_policy_of_another_server_does_no_harm() {
    let engine = engine(&format!(
        "{ALL} forbid (principal, action, resource in Server::\"hr\") when {{ 9223372036854775807 + context.hour > 0 }};"
    ));
    assert!(Call::of("read_query").permitted(&engine));
    let on_hr = Call { caller: caller("ana", &[], "hr"), server: "hr", ..Call::of("read_query") };
    assert!(!on_hr.permitted(&engine));
}

#[test]
fn policies_need_not_be_valid_for_tools_that_are_not_there_yet() {
    let engine = load(
        "permit (principal, action == Action::\"sales/later\", resource) when { context.arguments.n < 3 };",
    )
    .unwrap();
    assert_eq!(engine.warnings().len(), 1);
    assert!(Call::of("later").with("{\"n\":2}").permitted(&engine));
    assert!(!Call::of("later").with("{\"n\":3}").permitted(&engine));
    assert!(!Call::of("later").permitted(&engine));
}

#[test]
fn a_policy_concerns_those_whom_its_principal_names_under_every_engine() {
    let (ana, bo) = (caller("ana", &["analysts", "berlin"], "sales"), caller("bo", &["staff"], "sales"));
    let who = [
        ("principal", true, true),
        ("principal == User::\"ana\"", true, false),
        ("principal in User::\"ana\"", true, false),
        ("principal in Group::\"analysts\"", true, false),
        ("principal in Group::\"staff\"", false, true),
        ("principal is User", true, true),
        ("principal is Workload", false, false),
        ("principal is User in Group::\"berlin\"", true, false),
    ];
    let engines = who.map(|(scope, ..)| engine(&format!("{ALL} forbid ({scope}, action, resource);")));
    // Each caller is prepared once, as the edge does it, and what is kept for one engine must not count under another.
    let [first, ..] = &engines;
    let (ana, bo) = (first.principal(&ana), first.principal(&bo));
    for _ in 0..2 {
        for (engine, (scope, forbids_ana, forbids_bo)) in engines.iter().zip(who) {
            for (principal, forbidden) in [(&ana, forbids_ana), (&bo, forbids_bo)] {
                let decision = Call::of("read_query").decide_as(engine, principal);
                assert_eq!(matches!(decision, Decision::Permit(_)), !forbidden, "{scope}: {decision:?}");
            }
        }
    }
}
