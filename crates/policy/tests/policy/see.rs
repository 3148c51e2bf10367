use crate::world::{ANALYSTS_READ, Call, caller, context, engine};
use portunus_core::id::ServerName;
use portunus_policy::{Disclosure, Engine, Operation};

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

fn disclosure(engine: &Engine, groups: &[&str]) -> Disclosure {
    let sales = ServerName::parse("sales").unwrap();
    engine.disclosure(&engine.principal(&caller("ana", groups, "sales")), &sales, &context())
}

fn all_but(exceptions: &[&str]) -> Disclosure {
    Disclosure { default: true, exceptions: exceptions.iter().map(ToString::to_string).collect() }
}

#[test]
fn columns_are_shown_unless_a_policy_forbids_them() {
    let engine = engine(
        r#"forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
        forbid (principal, action == Action::"disclose", resource) when { [Column::"sales/staff.salary", Column::"hr/x.y"].contains(resource) }
        unless { principal in Group::"hr" };"#,
    );
    assert_eq!(disclosure(&engine, &[]), all_but(&["customers.email", "staff.salary"]));
    assert_eq!(disclosure(&engine, &["hr"]), all_but(&["customers.email"]));
    let hr = ServerName::parse("hr").unwrap();
    let on_hr = engine.disclosure(&engine.principal(&caller("ana", &[], "hr")), &hr, &context());
    assert_eq!(on_hr, all_but(&["x.y"]));
    let foreign = engine.disclosure(&engine.principal(&caller("ana", &[], "sales")), &hr, &context());
    assert_eq!(foreign, Disclosure { default: false, exceptions: vec![] });
}

#[test]
fn where_nothing_is_shown_by_default_only_what_is_permitted_is() {
    let load = |text: &str| Engine::load(&[crate::world::source(text)], &crate::world::servers()).unwrap();
    assert_eq!(disclosure(&load(""), &[]), Disclosure { default: false, exceptions: vec![] });
    let engine = load(
        r#"permit (principal, action == Action::"disclose", resource == Column::"sales/orders.total");
        permit (principal, action == Action::"disclose", resource) when { resource == Column::"sales/products.price" };
        permit (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");
        forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");
        permit (principal, action == Action::"disclose", resource == Column::"sales/staff.name");"#,
    );
    let exceptions = ["orders.total", "products.price", "staff.name"].map(str::to_owned).to_vec();
    assert_eq!(disclosure(&engine, &[]), Disclosure { default: false, exceptions });
}

#[test]
fn a_policy_that_fails_shows_nothing() {
    let fails = "9223372036854775807 + context.hour > 0";
    let everywhere =
        format!("forbid (principal, action == Action::\"disclose\", resource) when {{ {fails} }};");
    assert_eq!(disclosure(&engine(&everywhere), &[]), Disclosure { default: false, exceptions: vec![] });
    let at_one = format!(
        "forbid (principal, action == Action::\"disclose\", resource == Column::\"sales/a.b\") when {{ {fails} }};"
    );
    assert_eq!(disclosure(&engine(&at_one), &[]), all_but(&["a.b"]));
}
