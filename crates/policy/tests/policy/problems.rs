use crate::world::{load, server, servers, source, tool};
use portunus_policy::{Engine, Severity, TrustGroups};

/// The first problem of a policy text, as people see it.
fn problem(text: &str) -> String {
    match load(text) {
        Ok(engine) => engine.warnings().first().map_or_else(String::new, ToString::to_string),
        Err(problems) => problems[0].to_string(),
    }
}

/// A policy text, where the problem is, and words that say what it is.
const PROBLEMS: &[(&str, &str, &str)] = &[
    ("permit (principal, action, resource", "main.cedar:1:36: ", "unexpected"),
    (
        "// fine\n\npermit (principal, action == Action::\"sales/read_query\", resource)\n  when { context.arguments.limt < 3 };",
        "main.cedar:4:",
        "did you mean `limit`",
    ),
    (
        "permit (principal, action == Action::\"sales/read_query\", resource) when { context.arguments.limit < 3 };",
        "main.cedar:1:",
        "try testing for the attribute's presence with `context.arguments has limit",
    ),
    (
        "permit (principal, action, resource) when { context.cilent == \"x\" };",
        "main.cedar:1:45",
        "did you mean `client`",
    ),
    (
        "permit (principal, action, resource == Server::\"salse\");",
        "main.cedar:1:48",
        "there is no server `salse`\n  Did you mean `sales`?",
    ),
    (
        "permit (principal, action == Action::\"salse/read_query\", resource);",
        "main.cedar:1:",
        "there is no server `salse`",
    ),
    (
        "permit (principal, action == Action::\"sesion\", resource);",
        "main.cedar:1:",
        "there is no action `sesion`\n  Did you mean `session`?",
    ),
    (
        "permit (principal, action == Action::\"sales/read_qeury\", resource);",
        "main.cedar:1:",
        "warning: server `sales` has no tool `read_qeury` (yet)\n  Did you mean `read_query`?",
    ),
    ("permit (principal is Usr, action, resource);", "main.cedar:1:", "Usr"),
    (
        "permit (principal, action, resource == Column::\"sales/email\");",
        "main.cedar:1:",
        "must have the form `server/table.column`",
    ),
    (
        "permit (principal, action, resource == Column::\"sales/T.email\");",
        "main.cedar:1:",
        "must be lower-case",
    ),
    ("permit (principal, action, resource == ?resource);", "main.cedar:1:", "template"),
    (
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
        "main.cedar:2:1",
        "already a policy with the id `a`, at main.cedar:1",
    ),
    (
        "@resaon(\"x\") permit (principal, action, resource);",
        "main.cedar:1:1",
        "warning: the annotation @resaon has no meaning\n  Did you mean @reason?",
    ),
    ("@reason(\"\") forbid (principal, action, resource);", "main.cedar:1:1", "@reason must be"),
    ("@reason(\"a\\u{202e}b\") forbid (principal, action, resource);", "main.cedar:1:1", "@reason must be"),
    ("@reason(\"a\\nb\") forbid (principal, action, resource);", "main.cedar:1:1", "@reason must be"),
    (
        "@approvable(\"owner\") permit (principal, action, resource) when { context has approval };",
        "main.cedar:1:1",
        "only a forbid",
    ),
    (
        "@approvable(\"owner\") forbid (principal, action, resource);",
        "main.cedar:1:1",
        "no approval lifts it\n  Add: unless { context has approval }",
    ),
    (
        "// ask\n@approvable(\"the owner, please\") forbid (principal, action, resource) unless { context has approval };",
        "main.cedar:2:1",
        "@approvable(\"the owner, please\"): it says nobody who could approve\n  Write `owner`, `user NAME`, `group NAME`",
    ),
    (
        "@approvable(\"owner and owner\") forbid (principal, action, resource) unless { context has approval };",
        "main.cedar:1:1",
        "names the same approver twice",
    ),
    (
        "permit (principal == Group::\"a\", action, resource);",
        "main.cedar:1:",
        "warning: this policy can never apply",
    ),
    (
        "forbid (principal, action == Action::\"disclose\", resource in DataClass::\"emial\");",
        "main.cedar:1:",
        "there is no data class `emial`\n  Did you mean `email`?",
    ),
    (
        "@mask(\"tokn\") forbid (principal, action == Action::\"disclose\", resource in DataClass::\"email\");",
        "main.cedar:1:1",
        "there is no treatment `tokn`\n  Did you mean `token`?",
    ),
    (
        "@mask(\"token\") forbid (principal, action in Action::\"read\", resource);",
        "main.cedar:1:1",
        "a @mask belongs to a forbid of Action::\"disclose\"",
    ),
    (
        "@mask(\"token\") permit (principal, action == Action::\"disclose\", resource);",
        "main.cedar:1:1",
        "only a forbid can have a @mask",
    ),
];

#[test]
fn a_problem_says_where_what_and_what_to_do() {
    for (text, place, words) in PROBLEMS {
        let shown = problem(text);
        assert!(shown.starts_with(place) && shown.contains(words), "{text}\n{shown}\n");
    }
}

#[test]
fn errors_stop_and_warnings_do_not() {
    assert!(load("permit (principal, action == Action::\"sales/none\", resource);").is_ok());
    let problems = load("permit (principal, action == Action::\"sales/none\", resource);\npermit (principal, action == Action::\"nope\", resource);\n!;").unwrap_err();
    let severities: Vec<_> = problems.iter().map(|problem| problem.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Error, Severity::Error], "{problems:?}");
}

#[test]
fn servers_that_policies_could_not_tell_apart_are_refused() {
    for names in [["call", "a"], ["session", "a"], ["read", "a"], ["a", "a"]] {
        let servers: Vec<_> = names.iter().map(|name| server(name, Vec::new())).collect();
        assert!(Engine::load(&[], &servers).is_err(), "{names:?}");
    }
}

#[test]
fn of_two_tools_with_one_name_the_more_cautious_view_counts() {
    let mut servers = servers();
    servers[0].tools.push(tool("read_query", TrustGroups::CAUTIOUS, Some("{}")));
    let engine = Engine::load(&[source(crate::world::ANALYSTS_READ)], &servers).unwrap();
    assert!(!crate::world::Call::of("read_query").permitted(&engine));
}

#[test]
fn too_long_policies_are_refused_before_they_are_read() {
    let text = "/".repeat(5 * 1024 * 1024);
    assert!(load(&text).unwrap_err()[0].message.contains("longer than"));
}

#[test]
fn a_policy_cannot_name_the_values_that_cedar_cannot_hold() {
    let text = "permit (principal, action == Action::\"sales/read_query\", resource) when { context.arguments.sql == Opaque::\"null\" };";
    assert!(load(text).is_err());
}

#[test]
fn nothing_is_said_against_policies_about_tools_whose_arguments_are_not_known() {
    let servers = [server("sales", vec![tool("t", TrustGroups::READ, None)])];
    for policy in [
        "permit (principal, action == Action::\"sales/t\", resource) when { context.arguments.any == 1 };",
        "permit (principal, action in Action::\"sales\", resource);",
        "permit (principal, action in Action::\"read\", resource);",
    ] {
        let engine = Engine::load(&[source(policy)], &servers).unwrap();
        assert!(engine.warnings().is_empty(), "{:?}", engine.warnings());
    }
}
