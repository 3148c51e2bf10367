//! The Cedar schema: Portunus' own entities and actions, and one action per known tool with its arguments typed.

use crate::model::{ServerTools, Tool, TrustGroups};
use crate::shape::Shape;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Actions that are not tools, with the type of resource and the attributes they have besides the common ones.
pub(crate) const OPERATIONS: [(&str, &str, &str); 15] = [
    ("session", "Server", ", method: String"),
    ("list", "Server", ", method: String"),
    ("complete", "Server", ", target: String"),
    ("task", "Server", ", target: String"),
    ("answer", "Server", ""),
    ("estimate", "Server", ", target: String"),
    ("read_resource", "Resource", ""),
    ("subscribe", "Resource", ""),
    ("get_prompt", "Prompt", ""),
    ("disclose", "[Column, DataClass]", ""),
    ("change", "Table", ""),
    ("release", "Server", ", tool: String, rows: Long, bytes: Long"),
    ("sample", "Server", ""),
    ("roots", "Server", ""),
    ("elicit", "Server", ", mode: String, host: String"),
];

/// Groups of tools.
pub(crate) const GROUPS: [&str; 5] = ["call", "read", "write", "destructive", "open_world"];

/// A name that a server cannot have, because an action has it.
pub(crate) fn is_reserved(server: &str) -> bool {
    GROUPS.contains(&server) || OPERATIONS.iter().any(|(name, ..)| *name == server)
}

const ENTITIES: &str = r"entity Group;
entity User in [Group] { name: String };
entity Workload in [Group] { name: String };
entity Server { environment: String, owner: User };
entity Resource in [Server];
entity Prompt in [Server];
entity Table in [Server];
entity Column in [Table, Server];
entity DataClass in [DataClass, Server];
type Counts = {
  calls_per_minute: Long, calls_per_hour: Long, calls_per_day: Long,
  rows_per_minute: Long, rows_per_hour: Long, rows_per_day: Long,
  bytes_per_minute: Long, bytes_per_hour: Long, bytes_per_day: Long,
  refusals_per_minute: Long, refusals_per_hour: Long, refusals_per_day: Long,
};
";

const COMMON: &str = "client: String, actor: String, scopes: Set<String>, \
sign_in: { method: String, age_seconds: Long, acr: String, amr: Set<String> }, source: ipaddr, now: datetime, hour: Long, weekday: String, \
environment: String, era: String, client_proof: String, \
client_certificate?: { dns_names: Set<String>, verified_by: String, thumbprint: String }, labels: Set<String>, \
emergency?: { id: String }, \
counters: { user: Counts, client: Counts, tool: Counts, user_tool: Counts }";

const OF_CALLS: &str = "pin: String, credential?: { age_seconds: Long }, approval?: { by: User, id: String }, \
sql?: { complete: Bool, harmless: Bool, read_only: Bool, statements: Long, kinds: Set<String>, reads: Set<String>, writes: Set<String>, \
functions: Set<String>, columns_read: Set<String>, columns_written: Set<String>, joins: Long, limit?: Long }";

/// The names of the groups that a tool is in, its server's among them.
pub(crate) fn groups_of(server: &str, trust: TrustGroups) -> Vec<&str> {
    let TrustGroups { read, write, destructive, open_world } = trust;
    let mut groups = vec!["call", server];
    for (name, inside) in
        [("read", read), ("write", write), ("destructive", destructive), ("open_world", open_world)]
    {
        if inside {
            groups.push(name);
        }
    }
    groups
}

/// The schema as text. `named` are tools that policies name but no server has (yet): actions that never happen, so that
/// nothing about them is checked.
pub(crate) fn text(
    servers: &[ServerTools],
    shapes: &BTreeMap<(&str, &str), Shape>,
    named: &[(&str, &str)],
) -> String {
    let mut text = ENTITIES.to_owned();
    for group in GROUPS {
        add(&mut text, format_args!("action {group:?};\n"));
    }
    for (name, resource, more) in OPERATIONS {
        let context = format_args!("{{ {COMMON}{more} }}");
        add(
            &mut text,
            format_args!(
                "action {name:?} appliesTo {{ principal: [User, Workload], resource: {resource}, context: {context} }};\n"
            ),
        );
    }
    for server in servers {
        add(&mut text, format_args!("action {:?};\n", server.server.as_str()));
        for tool in &server.tools {
            let shape = shapes.get(&(server.server.as_str(), tool.name.as_str()));
            tool_action(&mut text, server.server.as_str(), tool, shape);
        }
    }
    for (server, tool) in named {
        let tool = Tool { name: (*tool).to_owned(), groups: TrustGroups::CAUTIOUS, input_schema: None };
        tool_action(&mut text, server, &tool, None);
    }
    text
}

fn tool_action(text: &mut String, server: &str, tool: &Tool, shape: Option<&Shape>) {
    let id = quoted(&format!("{server}/{}", tool.name));
    let groups: Vec<String> = groups_of(server, tool.groups).into_iter().map(quoted).collect();
    add(text, format_args!("action {id} in [{}]", groups.join(", ")));
    if let Some(arguments) = shape.and_then(Shape::cedar_type) {
        let context = format_args!("{{ {COMMON}, {OF_CALLS}, arguments: {arguments} }}");
        add(
            text,
            format_args!(
                " appliesTo {{ principal: [User, Workload], resource: Server, context: {context} }}"
            ),
        );
    }
    text.push_str(";\n");
}

/// Writing to a `String` cannot fail.
fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

/// A Cedar string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            ' '..='~' => literal.push(c),
            _ => add(&mut literal, format_args!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}
