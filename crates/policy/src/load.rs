//! From policy files and servers to an [`Engine`].

use crate::approval::digest;
use crate::check::{self, Checked};
use crate::engine::{Engine, Known};
use crate::looks::Looks;
use crate::model::{ServerTools, Source};
use crate::problem::{Problem, Severity};
use crate::shape::Shape;
use crate::slice::Served;
use crate::source::{self, Rule};
use cedar_policy::Authorizer;
use portunus_core::digest::Digest;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;

impl Engine {
    /// Checks and compiles policies. Exactly these sources count: the defaults are in [`crate::defaults`].
    ///
    /// # Errors
    /// All problems, when at least one is an error.
    pub fn load(sources: &[Source], servers: &[ServerTools]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let servers = check::normalised(servers, &mut problems);
        let shapes = shapes(&servers);
        let rules = source::parse(sources, &mut problems);
        let checked = check::check(sources, &rules, &servers, &shapes, &mut problems);
        problems.sort_by(|a, b| {
            (&a.path, a.line, a.column, &a.message).cmp(&(&b.path, b.line, b.column, &b.message))
        });
        problems.dedup();
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        let mut served = HashMap::new();
        for server in &servers {
            let Some(compiled) = Served::new(server, &rules, &shapes, &checked.named) else {
                problems.push(Problem {
                    severity: Severity::Error,
                    path: "servers".to_owned(),
                    line: 1,
                    column: 1,
                    message: format!("the policies for server `{}` cannot be compiled", server.server),
                    hint: "Look for unusual names of tools.".to_owned(),
                });
                return Err(problems);
            };
            problems.extend(compiled.unusable().map(|(tool, why)| Problem {
                severity: Severity::Warning,
                path: "servers".to_owned(),
                line: 1,
                column: 1,
                message: format!(
                    "calls of `{}/{tool}` are refused: its input schema cannot be used: {why}",
                    server.server
                ),
                hint: String::new(),
            }));
            served.insert(server.server.to_string(), compiled);
        }
        let of_sources = digest_of_sources(sources);
        Ok(Self {
            version: digest_of_all(&of_sources, &servers, &checked),
            sources: of_sources,
            warnings: problems,
            uses_counters: rules.iter().any(|rule| rule.looks.contains(Looks::COUNTERS)),
            known: rules.into_iter().map(|rule| known(sources, rule)).collect(),
            servers: served,
            authorizer: Authorizer::new(),
            evaluations: AtomicU64::new(0),
        })
    }
}

/// The Cedar schema (`.cedarschema`) of these servers' tools, as policies are checked against it: for editors and for other
/// tools that read Cedar. A tool whose input schema is not known has an action that applies to nothing.
#[must_use]
pub fn schema_text(servers: &[ServerTools]) -> String {
    let servers = check::normalised(servers, &mut Vec::new());
    crate::schema::text(&servers, &shapes(&servers), &[])
}

fn shapes(servers: &[ServerTools]) -> BTreeMap<(&str, &str), Shape> {
    let mut shapes = BTreeMap::new();
    for server in servers {
        for tool in &server.tools {
            let shape = tool.input_schema.as_deref().and_then(Shape::of_schema);
            shapes.extend(shape.map(|shape| ((server.server.as_str(), tool.name.as_str()), shape)));
        }
    }
    shapes
}

fn known(sources: &[Source], rule: Rule) -> (String, Known) {
    let path = sources.get(rule.file).map_or_else(String::new, |source| source.path.clone());
    let Rule { policy, id, line, reason, approver, step_up, treatment, .. } = rule;
    (id, Known { policy, path, line, reason, approver, step_up, treatment })
}

fn digest_of_sources(sources: &[Source]) -> Digest {
    let mut parts: Vec<(&str, &str)> = sources.iter().map(|s| (s.path.as_str(), s.text.as_str())).collect();
    parts.sort_unstable();
    let parts: Vec<&[u8]> =
        parts.into_iter().flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()]).collect();
    digest(b"portunus policies 1", &parts)
}

fn digest_of_all(sources: &Digest, servers: &[ServerTools], checked: &Checked) -> Digest {
    let mut parts: Vec<&[u8]> = vec![&sources.0, checked.schema.as_bytes()];
    for server in servers {
        parts.extend([
            server.server.as_str().as_bytes(),
            server.environment.as_bytes(),
            server.owner.as_bytes(),
        ]);
        parts.extend(server.classes.iter().map(String::as_bytes));
        for tool in &server.tools {
            parts.extend([tool.name.as_bytes(), tool.input_schema.as_deref().unwrap_or_default().as_bytes()]);
        }
    }
    digest(b"portunus policy version 1", &parts)
}
