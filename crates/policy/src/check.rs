//! Checks policies against the schema and against the servers that exist.

use crate::export::Arguments;
use crate::model::{ServerTools, Source, Tool, TrustGroups};
use crate::names::{TYPES, nearest, server_of};
use crate::problem::{Problem, Severity};
use crate::schema::{self, GROUPS, OPERATIONS, quoted};
use crate::shape::Shape;
use crate::source::{Rule, diagnosed, error, warning};
use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicySet, Schema, ValidationError, ValidationMode,
    ValidationWarning, Validator,
};
use std::collections::{BTreeMap, BTreeSet};

/// The servers with each tool once; of two tools with the same name the more cautious view counts.
pub(crate) fn normalised(servers: &[ServerTools], problems: &mut Vec<Problem>) -> Vec<ServerTools> {
    let mut all: BTreeMap<String, ServerTools> = BTreeMap::new();
    for server in servers {
        let name = server.server.as_str();
        if schema::is_reserved(name) || all.contains_key(name) {
            let (message, hint) = if schema::is_reserved(name) {
                (format!("`{name}` is a word of the policy language"), "Give the server another name.")
            } else {
                (format!("there are two servers named `{name}`"), "Rename one of them.")
            };
            let (path, hint) = ("servers".to_owned(), hint.to_owned());
            problems.push(Problem { severity: Severity::Error, path, line: 1, column: 1, message, hint });
            continue;
        }
        let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
        for tool in &server.tools {
            let merged = tools.get(&tool.name).map_or_else(|| tool.clone(), |other| merge(other, tool));
            tools.insert(tool.name.clone(), merged);
        }
        let tools = tools.into_values().collect();
        all.insert(name.to_owned(), ServerTools { tools, ..server.clone() });
    }
    all.into_values().collect()
}

fn merge(one: &Tool, other: &Tool) -> Tool {
    let (a, b) = (one.groups, other.groups);
    let groups = TrustGroups {
        read: a.read && b.read,
        write: a.write || b.write,
        destructive: a.destructive || b.destructive,
        open_world: a.open_world || b.open_world,
    };
    Tool { name: one.name.clone(), groups, input_schema: None }
}

/// What checking leaves behind.
pub(crate) struct Checked {
    /// The schema as text.
    pub(crate) schema: String,
    /// Tools that policies name and no server has yet: server and tool.
    pub(crate) named: BTreeSet<(String, String)>,
}

/// Checks all policies; what is wrong becomes a problem.
pub(crate) fn check(
    sources: &[Source],
    rules: &[Rule],
    servers: &[ServerTools],
    shapes: &BTreeMap<(&str, &str), Shape>,
    problems: &mut Vec<Problem>,
) -> Checked {
    let mut named = BTreeSet::new();
    for rule in rules {
        if let Some(source) = sources.get(rule.file) {
            check_names(source, rule, servers, &mut named, problems);
        }
    }
    let names: Vec<(&str, &str)> =
        named.iter().map(|(server, tool)| (server.as_str(), tool.as_str())).collect();
    let text = schema::text(servers, shapes, &names);
    match Schema::from_cedarschema_str(&text) {
        Ok((parsed, _)) => {
            let untyped = untyped(servers, shapes, &names);
            validate(sources, rules, &Validator::new(parsed), &untyped, shapes, problems);
        }
        Err(failure) => problems.push(Problem {
            severity: Severity::Error,
            path: "schema".to_owned(),
            line: 1,
            column: 1,
            message: format!("no schema could be made of the servers' tools: {failure}"),
            hint: "Look for a tool with an unusual input schema.".to_owned(),
        }),
    }
    Checked { schema: text, named }
}

/// Whether the servers and actions that a policy names exist.
fn check_names(
    source: &Source,
    rule: &Rule,
    servers: &[ServerTools],
    named: &mut BTreeSet<(String, String)>,
    problems: &mut Vec<Problem>,
) {
    let server_names = || servers.iter().map(|server| server.server.as_str());
    let literals: BTreeSet<EntityUid> = rule.policy.entity_literals().into_iter().collect();
    for literal in &literals {
        let id = literal.id().unescaped();
        let at = place(source, rule, id);
        let within = if *literal.type_name() == TYPES.action {
            let Some((server, tool)) = id.split_once('/') else {
                let known: Vec<&str> =
                    OPERATIONS.iter().map(|(name, ..)| *name).chain(GROUPS).chain(server_names()).collect();
                if !known.contains(&id) {
                    let hint = did_you_mean(id, known, "Tools are actions named `server/tool`.");
                    problems.push(error(source, at, format!("there is no action `{id}`"), &hint));
                }
                continue;
            };
            if let Some(known) = servers.iter().find(|known| known.server.as_str() == server)
                && !known.tools.iter().any(|known| known.name == tool)
            {
                let tools = known.tools.iter().map(|tool| tool.name.as_str());
                let hint = did_you_mean(tool, tools, "The policy is checked once the server lists the tool.");
                let message = format!("server `{server}` has no tool `{tool}` (yet)");
                problems.push(warning(source, at, message, &hint));
                named.insert((server.to_owned(), tool.to_owned()));
            }
            Some(server)
        } else {
            check_form(source, at, literal, problems);
            if *literal.type_name() == TYPES.data_class {
                check_class(source, at, literal, servers, problems);
            }
            server_of(literal)
        };
        if let Some(server) = within.filter(|server| !server_names().any(|known| known == *server)) {
            let hint = did_you_mean(server, server_names(), "Servers are listed in portunus.yaml.");
            problems.push(error(source, at, format!("there is no server `{server}`"), &hint));
        }
    }
}

/// Whether a policy is about this action and says so.
pub(crate) fn names_action(policy: &Policy, name: &str) -> bool {
    let named = |action: &EntityUid| action.id().unescaped() == name;
    match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(action) => named(&action),
        ActionConstraint::In(any) => any.iter().all(named),
    }
}

/// Whether a data class exists: `email` of all servers, or `sales/email` of one.
fn check_class(
    source: &Source,
    at: usize,
    literal: &EntityUid,
    servers: &[ServerTools],
    problems: &mut Vec<Problem>,
) {
    let id = literal.id().unescaped();
    let (server, class) = id.split_once('/').map_or((None, id), |(server, class)| (Some(server), class));
    let of_server = |known: &&ServerTools| server.is_none_or(|server| known.server.as_str() == server);
    let known: BTreeSet<&str> =
        servers.iter().filter(of_server).flat_map(|s| s.classes.iter().map(String::as_str)).collect();
    if !known.is_empty() && !known.contains(class) {
        let hint = did_you_mean(class, known, "Classes of your own are declared under data_classes.");
        problems.push(error(source, at, format!("there is no data class `{class}`"), &hint));
    }
}

/// Whether the id of something that belongs to a server says what it must.
fn check_form(source: &Source, at: usize, literal: &EntityUid, problems: &mut Vec<Problem>) {
    let (kind, id) = (literal.type_name(), literal.id().unescaped());
    let inner = id.split_once('/').map(|(_, inner)| inner).filter(|inner| !inner.is_empty());
    let form = if *kind == TYPES.column {
        let named = inner.and_then(|inner| inner.rsplit_once('.'));
        (!named.is_some_and(|(table, column)| !table.is_empty() && !column.is_empty()))
            .then_some("server/table.column")
    } else if *kind == TYPES.table {
        inner.is_none().then_some("server/table")
    } else if *kind == TYPES.resource {
        inner.is_none().then_some("server/URI")
    } else if *kind == TYPES.prompt {
        inner.is_none().then_some("server/prompt")
    } else {
        None
    };
    if let Some(form) = form {
        problems.push(error(source, at, format!("`{id}` must have the form `{form}`"), ""));
    }
    let sql_name = *kind == TYPES.column || *kind == TYPES.table;
    if sql_name && id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let hint = format!(
            "Write `{}`: names of tables and columns are compared without case.",
            id.to_ascii_lowercase()
        );
        problems.push(error(source, at, format!("`{id}` must be lower-case"), &hint));
    }
}

fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, known).map_or_else(|| otherwise.to_owned(), |meant| format!("Did you mean `{meant}`?"))
}

/// Where a policy writes this id.
fn place(source: &Source, rule: &Rule, id: &str) -> usize {
    let text = source.text.get(rule.offset..).unwrap_or_default();
    rule.offset + text.find(&quoted(id)).unwrap_or(0)
}

/// Tools whose arguments are not known, with all their groups: of policies about them, Cedar cannot tell what they do.
fn untyped(
    servers: &[ServerTools],
    shapes: &BTreeMap<(&str, &str), Shape>,
    named: &[(&str, &str)],
) -> BTreeSet<String> {
    let known =
        servers.iter().flat_map(|server| server.tools.iter().map(|tool| (server.server.as_str(), tool)));
    let unshaped = known.filter(|(server, tool)| !shapes.contains_key(&(*server, tool.name.as_str())));
    let tools = unshaped.map(|(server, tool)| (server, tool.name.as_str(), tool.groups));
    let expected = named.iter().map(|(server, tool)| (*server, *tool, TrustGroups::CAUTIOUS));
    let mut actions = BTreeSet::new();
    for (server, tool, groups) in tools.chain(expected) {
        actions.insert(format!("{server}/{tool}"));
        actions.extend(schema::groups_of(server, groups).into_iter().map(str::to_owned));
    }
    actions
}

fn validate(
    sources: &[Source],
    rules: &[Rule],
    validator: &Validator,
    untyped: &BTreeSet<String>,
    shapes: &BTreeMap<(&str, &str), Shape>,
    problems: &mut Vec<Problem>,
) {
    let by_id: BTreeMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let Ok(all) = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone())) else { return };
    let result = validator.validate(&all, ValidationMode::Strict);
    for failure in result.validation_errors() {
        // Actions have been looked at already, with better words.
        if matches!(failure, ValidationError::UnrecognizedActionId(_)) {
            continue;
        }
        let id: &str = failure.policy_id().as_ref();
        if let Some((rule, source)) = by_id.get(id).and_then(|rule| Some((rule, sources.get(rule.file)?))) {
            problems.push(diagnosed(source, rule.offset, failure, in_words(&failure.to_string(), id)));
        }
    }
    for doubt in result.validation_warnings() {
        let id: &str = doubt.policy_id().as_ref();
        let message = match doubt {
            ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
                "this policy can never apply".to_owned()
            }
            other => in_words(&other.to_string(), id),
        };
        let Some((rule, source)) = by_id.get(id).and_then(|rule| Some((rule, sources.get(rule.file)?)))
        else {
            continue;
        };
        let mut literals = rule.policy.entity_literals().into_iter();
        let waits = literals.any(|literal| untyped.contains(literal.id().unescaped()))
            || (!untyped.is_empty() && rule.policy.action_constraint() == ActionConstraint::Any)
            || reads_untyped(&rule.policy, shapes);
        // What is wrong in the file may well be why.
        let wrong = |problem: &Problem| problem.severity == Severity::Error && problem.path == source.path;
        if !waits && !problems.iter().any(wrong) {
            let problem = diagnosed(source, rule.offset, doubt, message);
            problems.push(Problem { severity: Severity::Warning, ..problem });
        }
    }
}

/// Whether a policy reads arguments that Cedar has no type for. They are not in its schema: it takes them for absent.
fn reads_untyped(policy: &Policy, shapes: &BTreeMap<(&str, &str), Shape>) -> bool {
    let arguments = Arguments::of(policy);
    shapes.values().any(|shape| arguments.reads_untyped(shape))
}

/// Cedar starts each message with the policy's id, which the place makes superfluous.
fn in_words(message: &str, id: &str) -> String {
    message.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or(message).to_owned()
}
