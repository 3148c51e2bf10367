use crate::world::{ANALYSTS_READ, Call, caller, context, engine};
use portunus_core::id::ServerName;
use portunus_core::treatment::Treatment;
use portunus_policy::sql::{self, SqlFacts};
use portunus_policy::{Caps, Choice, Context, Disclosure, Engine, Operation, Past};

#[test]
fn a_disclosure_is_known_by_what_its_policies_look_at_and_by_nothing_else() {
    let sales = ServerName::parse("sales").unwrap();
    let ana = caller("ana", &[], "sales");
    let key = |engine: &Engine, context: &Context<'_>| {
        engine.disclosure_key(&engine.principal(&ana), &sales, context)
    };
    let now = context();
    let later = Context { now: now.now.plus(std::time::Duration::from_millis(1)), ..now };
    let counts = portunus_policy::Counts { calls: [1; 3], ..portunus_policy::Counts::NONE };
    let counted = Past { user: counts, ..Past::default() };
    let labelled = Past { labels: ["private".to_owned()].into(), ..Past::default() };
    let others = [
        ("context.now < datetime(\"2030-01-01\")", later),
        ("context.counters.user.calls_per_day > 5", Context { past: &counted, ..now }),
        ("context.labels.contains(\"private\")", Context { past: &labelled, ..now }),
        ("context.source.isLoopback()", Context { source: "10.9.9.9".parse().unwrap(), ..now }),
        ("context.era == \"legacy\"", Context { era: "other", ..now }),
        ("context.hour < 3", Context { now: now.now.plus(std::time::Duration::from_secs(3600)), ..now }),
    ];
    for (at, (condition, _)) in others.iter().enumerate() {
        for action in ["disclose", "change"] {
            let policy = format!(
                "forbid (principal, action == Action::\"{action}\", resource) when {{ {condition} }};"
            );
            let engine = engine(&policy);
            let before = key(&engine, &now);
            for (other, (_, context)) in others.iter().enumerate() {
                let is_same = key(&engine, context) == before;
                // An hour later it is another moment too.
                assert_eq!(is_same, other != at && (at, other) != (0, 5), "{condition} {other}");
            }
        }
    }
    let (plain, changed) = (engine(""), engine("// changed"));
    assert_ne!(key(&plain, &now), key(&changed, &now), "other policies");
    assert_eq!(key(&plain, &now), key(&plain, &others[1].1));
}

#[test]
fn a_tool_is_seen_when_some_call_of_it_could_be_permitted() {
    let read = "action == Action::\"sales/read_query\", resource";
    for (policies, seen) in [
        (String::new(), false),
        (ANALYSTS_READ.to_owned(), true),
        (format!("permit (principal, {read}) when {{ context.arguments.sql == \"x\" }};"), true),
        (
            format!(
                "permit (principal, {read}) when {{ context.arguments.sql == \"x\" && context.actor == \"ci\" }};"
            ),
            false,
        ),
        (format!("permit (principal, {read}) when {{ context has sql && context.sql.complete }};"), true),
        (
            format!(
                "permit (principal == User::\"bob\", {read}) when {{ context has sql && context.sql.complete }};"
            ),
            false,
        ),
        (
            format!(
                "permit (principal, {read}) unless {{ context.arguments.sql == \"x\" || context.hour == 15 }};"
            ),
            false,
        ),
        (
            format!("{ANALYSTS_READ} forbid (principal, {read}) when {{ context.arguments.sql == \"x\" }};"),
            true,
        ),
        (format!("{ANALYSTS_READ} forbid (principal, {read}) when {{ context.hour == 15 }};"), false),
        (format!("{ANALYSTS_READ} forbid (principal, {read}) unless {{ context has approval }};"), false),
        (
            format!(
                "{ANALYSTS_READ} @approvable(\"owner\") forbid (principal, {read}) unless {{ context has approval }};"
            ),
            true,
        ),
        (
            format!(
                "{ANALYSTS_READ} forbid (principal, {read}) when {{ 9223372036854775807 + context.hour > 0 }};"
            ),
            false,
        ),
    ] {
        assert_eq!(Call::of("read_query").visible(&engine(&policies)), seen, "{policies}");
    }
}

#[test]
fn resources_and_prompts_are_seen_when_they_could_be_read() {
    let engine = engine(
        r#"permit (principal, action == Action::"read_resource", resource == Resource::"sales/x://a");
        permit (principal in Group::"bosses", action == Action::"get_prompt", resource in Server::"sales");"#,
    );
    let seen = |operation| Call { operation, ..Call::of("") }.visible(&engine);
    assert!(seen(Operation::ReadResource("x://a")) && !seen(Operation::ReadResource("x://b")));
    assert!(!seen(Operation::GetPrompt("p")));
    let boss = Call {
        caller: caller("bo", &["bosses"], "sales"),
        operation: Operation::GetPrompt("p"),
        ..Call::of("")
    };
    assert!(boss.visible(&engine));
}

fn whole(engine: &Engine, groups: &[&str]) -> Disclosure {
    let sales = ServerName::parse("sales").unwrap();
    engine.disclosure(&engine.principal(&caller("ana", groups, "sales")), &sales, &context())
}

fn disclosure(engine: &Engine, groups: &[&str]) -> Choice {
    whole(engine, groups).columns
}

fn all_but(exceptions: &[&str]) -> Choice {
    Choice { default: true, exceptions: exceptions.iter().map(ToString::to_string).collect() }
}

fn none_but(exceptions: &[&str]) -> Choice {
    Choice { default: false, ..all_but(exceptions) }
}

#[test]
fn columns_are_shown_unless_a_policy_forbids_them() {
    let engine = engine(
        r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
        forbid (principal, action == Action::"disclose", resource) when { resource == Column::"sales/staff.salary" || resource == Column::"hr/x.y" }
        unless { principal in Group::"hr" };"#,
    );
    assert_eq!(disclosure(&engine, &[]), all_but(&["customers.email", "staff.salary"]));
    assert_eq!(disclosure(&engine, &["hr"]), all_but(&["customers.email"]));
    let hr = ServerName::parse("hr").unwrap();
    let on_hr = engine.disclosure(&engine.principal(&caller("ana", &[], "hr")), &hr, &context());
    assert_eq!(on_hr.columns, all_but(&["x.y"]));
    let foreign = engine.disclosure(&engine.principal(&caller("ana", &[], "sales")), &hr, &context());
    assert_eq!(foreign, Disclosure::nothing(["email", "card"].map(str::to_owned)));
}

#[test]
fn where_nothing_is_shown_by_default_only_what_is_permitted_is() {
    let load = |text: &str| Engine::load(&[crate::world::source(text)], &crate::world::servers()).unwrap();
    assert_eq!(disclosure(&load(""), &[]), none_but(&[]));
    let engine = load(
        r#"permit (principal, action == Action::"disclose", resource == Column::"sales/orders.total");
        permit (principal, action == Action::"disclose", resource) when { resource == Column::"sales/products.price" };
        permit (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");
        forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");
        permit (principal, action == Action::"disclose", resource == Column::"sales/staff.name");"#,
    );
    assert_eq!(disclosure(&engine, &[]), none_but(&["orders.total", "products.price", "staff.name"]));
}

#[test]
fn a_policy_that_fails_shows_nothing() {
    let fails = "9223372036854775807 + context.hour > 0";
    let everywhere =
        format!("forbid (principal, action == Action::\"disclose\", resource) when {{ {fails} }};");
    assert_eq!(disclosure(&engine(&everywhere), &[]), none_but(&[]));
    let at_one = format!(
        "forbid (principal, action == Action::\"disclose\", resource == Column::\"sales/a.b\") when {{ {fails} }};"
    );
    assert_eq!(disclosure(&engine(&at_one), &[]), all_but(&["a.b"]));
}

#[test]
fn a_whole_table_can_be_hidden_and_the_strictest_treatment_counts() {
    let engine = engine(
        r#"forbid (principal, action == Action::"disclose", resource in Table::"sales/staff");
        @mask("token") forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.phone");
        @mask("hash") forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
        @mask("partial") forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
        forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.note");
        @mask("token") forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.note");"#,
    );
    let all = whole(&engine, &[]);
    let hidden = ["customers.email", "customers.note", "customers.phone", "staff.*"];
    assert_eq!(all.columns, all_but(&hidden));
    let treated = [("customers.email", Treatment::Partial), ("customers.phone", Treatment::Token)];
    assert_eq!(all.treated, treated.map(|(name, treatment)| (name.to_owned(), treatment)).into());
}

#[test]
fn data_classes_are_treated_as_policies_say_for_one_server_or_all() {
    let engine = engine(
        r#"@mask("token") forbid (principal, action == Action::"disclose", resource in DataClass::"email") unless { principal in Group::"hr" };
        forbid (principal, action == Action::"disclose", resource == DataClass::"sales/card");"#,
    );
    let of = |groups: &[&str]| whole(&engine, groups).classes;
    let both = [("card".to_owned(), Treatment::Mask), ("email".to_owned(), Treatment::Token)];
    assert_eq!(of(&[]), both.into());
    assert_eq!(of(&["hr"]), [("card".to_owned(), Treatment::Mask)].into());
    assert_eq!(whole(&engine, &[]).columns, all_but(&[]));
    // A policy that says nothing of how does not make another one's treatment milder.
    let both = r#"@mask("drop") forbid (principal, action == Action::"disclose", resource in DataClass::"email");
        forbid (principal, action == Action::"disclose", resource in DataClass::"email");"#;
    let treated = whole(&crate::world::engine(both), &[]).classes;
    assert_eq!(treated, [("email".to_owned(), Treatment::Drop)].into());
}

#[test]
fn tables_may_be_changed_unless_a_policy_forbids_it() {
    let forbids = r#"forbid (principal, action == Action::"change", resource == Table::"sales/audit_log");"#;
    let changes = whole(&engine(forbids), &[]).changes;
    assert_eq!(changes, all_but(&["audit_log"]));
    let objects = |writes: &[&str]| {
        let writes = writes.iter().map(ToString::to_string).collect();
        let facts = SqlFacts { complete: true, writes, ..SqlFacts::default() };
        whole(&engine(forbids), &[]).objection(&facts).is_some()
    };
    assert!(objects(&["audit_log"]) && objects(&["public.audit_log"]) && objects(&["orders", "audit_log"]));
    assert!(!objects(&["orders"]) && !objects(&[]));
    assert!(whole(&engine(forbids), &[]).objection(&SqlFacts::unknown()).is_some());
    assert!(whole(&engine(""), &[]).objection(&SqlFacts::unknown()).is_none());
}

#[test]
fn a_statement_that_reads_a_hidden_column_or_could_is_objected_to() {
    let engine = engine(
        r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.phone");
        forbid (principal, action == Action::"disclose", resource in Table::"sales/public.staff");"#,
    );
    let objects = |columns: &[&str]| {
        let columns_read = columns.iter().map(ToString::to_string).collect();
        let facts = SqlFacts { complete: true, harmless: true, columns_read, ..SqlFacts::default() };
        whole(&engine, &[]).objection(&facts).is_some()
    };
    for hidden in [
        "customers.phone",
        "public.customers.phone",
        "customers.*",
        "staff.name",
        "public.staff.name",
        "staff.*",
    ] {
        assert!(objects(&[hidden]), "{hidden}");
    }
    for shown in ["customers.id", "orders.*", "private.staff.name"] {
        assert!(!objects(&[shown]), "{shown}");
    }
}

#[test]
fn a_statement_that_calls_what_is_not_known_is_objected_to_where_columns_are_hidden() {
    let objection = |policies: &str, text: &str| {
        let engine = engine(policies);
        whole(&engine, &[]).objection(&sql::facts(text, sql::Dialect::Postgres))
    };
    let hides =
        r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.phone");"#;
    for (text, name) in [
        ("SELECT report(id) FROM customers", "`report`"),
        ("UPDATE customers SET city = hr.report(1)", "`hr.report`"),
        ("SELECT relname FROM pg_class", "`pg_class`"),
    ] {
        let why = objection(hides, text).unwrap_or_default();
        assert!(why.contains("not known what it reads") && why.contains(name), "{text}: {why}");
        assert_eq!(objection("", text), None, "{text}");
    }
    for text in ["SELECT lower(city) FROM customers", "UPDATE customers SET city = upper(city)"] {
        assert_eq!(objection(hides, text), None, "{text}");
    }
}

#[test]
fn rows_and_bytes_are_capped_at_what_policies_permit() {
    let sales = ServerName::parse("sales").unwrap();
    let caps = |text: &str, tool: &str| {
        let engine = engine(text);
        let principal = engine.principal(&caller("ana", &[], "sales"));
        engine.caps(&principal, &sales, tool, &context())
    };
    assert_eq!(caps("", "read_query"), Caps::default());
    let rows = r#"forbid (principal, action == Action::"release", resource == Server::"sales") when { context.tool == "read_query" && context.rows > 100 };"#;
    assert_eq!(caps(rows, "read_query"), Caps { rows: Some(100), bytes: None });
    assert_eq!(caps(rows, "list_tables"), Caps::default());
    let bytes =
        r#"forbid (principal, action == Action::"release", resource) when { context.bytes >= 65536 };"#;
    assert_eq!(caps(&format!("{rows}{bytes}"), "read_query"), Caps { rows: Some(100), bytes: Some(65_535) });
    let nothing = r#"forbid (principal, action == Action::"release", resource);"#;
    assert_eq!(caps(nothing, "read_query"), Caps { rows: Some(0), bytes: Some(0) });
    let fails = r#"forbid (principal, action == Action::"release", resource) when { 9223372036854775807 + context.rows > 0 };"#;
    assert_eq!(caps(fails, "read_query").rows, Some(0));
}
