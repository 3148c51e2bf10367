//! What a policy's JSON form says: the context's attributes it reads, its literals, whether it could fail. For the tools
//! that people use; decisions go by `looks`.

use crate::export::Arguments;
use cedar_policy::Policy;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is known of one policy's conditions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookups {
    /// Attributes of the context that are read.
    pub(crate) attributes: BTreeSet<String>,
    /// The context is used as a whole, so that any attribute may matter.
    pub(crate) everything: bool,
}

impl Lookups {
    pub(crate) fn of(policy: &Policy) -> Self {
        let json = policy.to_json().ok();
        match json.as_ref().and_then(|json| json.get("conditions")) {
            Some(conditions) => Self::of_value(conditions),
            None => Self { everything: true, ..Self::default() },
        }
    }

    pub(crate) fn of_value(value: &Value) -> Self {
        let mut found = Self::default();
        found.walk(value);
        found
    }

    /// Whether all that is read is among what is known.
    pub(crate) fn within(&self, known: &BTreeSet<&'static str>) -> bool {
        !self.everything && self.attributes.iter().all(|name| known.contains(name.as_str()))
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) if is_context(members) => self.everything = true,
            Value::Object(members) => {
                for (operator, operand) in members {
                    match of_context(operator, operand) {
                        Some(name) => {
                            self.attributes.insert(name.to_owned());
                        }
                        None => self.walk(operand),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The attribute that `context.x` or `context has x` reads.
fn of_context<'v>(operator: &str, operand: &'v Value) -> Option<&'v str> {
    let on_context = operand.get("left").and_then(Value::as_object).is_some_and(is_context);
    if !on_context || !matches!(operator, "." | "has") {
        return None;
    }
    match operand.get("attr")? {
        Value::String(name) => Some(name),
        Value::Array(path) => path.first()?.as_str(),
        _ => None,
    }
}

fn is_context(members: &Map<String, Value>) -> bool {
    members.get("Var").and_then(Value::as_str) == Some("context")
}

/// Whether evaluating this could fail, even when all it reads has the type that the schema says: arithmetic overflows,
/// texts that are no address, and what is read of a call (its arguments and SQL may lack what was not understood).
pub(crate) fn may_fail(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(may_fail),
        Value::Object(members) => members.iter().any(|(operator, operand)| {
            let of_call = of_context(operator, operand).is_some_and(|name| {
                operator == "." && matches!(name, "arguments" | "sql" | "method" | "target" | "approval")
            });
            let parses = matches!(operator.as_str(), "ip" | "decimal" | "datetime" | "duration")
                && operand.as_array().is_some_and(|of| of.iter().any(|one| one.get("Value").is_none()));
            of_call
                || parses
                || matches!(
                    operator.as_str(),
                    "+" | "-" | "*" | "neg" | "getTag" | "offset" | "durationSince"
                )
                || may_fail(operand)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Gives each literal of an expression.
fn literals(value: &Value, give: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| literals(item, give)),
        Value::Object(members) => {
            for (operator, operand) in members {
                if operator == "Value" { give(operand) } else { literals(operand, give) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where a policy compares something of the context with a literal: the path below `context`, and the literal; `null` where
/// it only asks whether it is there.
pub(crate) fn compared(value: &Value, found: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| compared(item, found)),
        Value::Object(members) => {
            for (operator, operand) in members {
                let sides = match operand {
                    // Methods of decimals and the like have their operands in a list.
                    Value::Array(of) => (of.first(), of.get(1)),
                    _ => (operand.get("left"), operand.get("right")),
                };
                if let ((Some(left), Some(right)), true) = (sides, operator != "." && operator != "has") {
                    for (one, other) in [(left, right), (right, left)] {
                        let Some(path) = context_path(one) else { continue };
                        literals(other, &mut |literal| found.push((path.clone(), literal.clone())));
                    }
                }
                if let ("has", Some(path), Some(name)) =
                    (operator.as_str(), operand.get("left").and_then(context_path), operand.get("attr"))
                    && let Some(name) = name.as_str()
                {
                    let path = path.into_iter().chain([name.to_owned()]).collect();
                    found.push((path, Value::Null));
                }
                compared(operand, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `["arguments", "a"]` for `context.arguments.a`.
fn context_path(value: &Value) -> Option<Vec<String>> {
    let access = value.get(".")?;
    let (left, attribute) = (access.get("left")?, access.get("attr")?.as_str()?);
    let mut path = if left.as_object().is_some_and(is_context) { Vec::new() } else { context_path(left)? };
    path.push(attribute.to_owned());
    Some(path)
}

/// `["a", "b"]` for `context.arguments.a.b`.
fn argument_path(value: &Value) -> Option<Vec<String>> {
    let mut path = context_path(value)?;
    (path.first()? == "arguments").then(|| path.split_off(1))
}

/// How an expression reads a call's arguments.
pub(crate) fn uses_of_arguments(value: &Value, found: &mut Arguments) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| uses_of_arguments(item, found)),
        Value::Object(members) if is_context(members) => (found.read, found.whole) = (true, true),
        Value::Object(members) => {
            for (operator, operand) in members {
                if operator == "has" && of_context(operator, operand).is_some() {
                    // Whether there are arguments is no question: a call has them.
                    continue;
                }
                let below = operand.get("left").and_then(argument_path);
                match (operator.as_str(), below, operand.get("attr")) {
                    ("." | "has", Some(path), Some(Value::String(name))) => {
                        found.read = true;
                        let path: Vec<String> = path.into_iter().chain([name.clone()]).collect();
                        if operator == "." {
                            found.values.push(path.clone());
                        }
                        found.paths.push(path);
                    }
                    ("has", Some(path), Some(Value::Array(names))) => {
                        found.read = true;
                        let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
                        found.paths.push(path.into_iter().chain(names).collect());
                    }
                    (".", None, Some(Value::String(name))) if of_context(operator, operand).is_some() => {
                        // What follows `context.arguments` was seen above; here it stands for itself.
                        let whole = name == "arguments";
                        found.read |= whole;
                        found.whole |= whole;
                    }
                    _ => uses_of_arguments(operand, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(condition: &str) -> Value {
        let text = format!("permit(principal, action, resource) {condition};");
        Policy::parse(None, text).unwrap().to_json().unwrap()
    }

    #[test]
    fn what_a_policy_reads_of_the_context_is_found_by_name() {
        for (condition, attributes, everything) in [
            ("", vec![], false),
            (
                "when { context has sql && context.sql.complete } unless { context.hour < 3 }",
                vec!["hour", "sql"],
                false,
            ),
            ("when { context has sign_in.method }", vec!["sign_in"], false),
            ("when { context == {} }", vec![], true),
            ("when { context[\"labels\"].contains(\"private\") }", vec!["labels"], false),
        ] {
            let found = Lookups::of_value(policy(condition).get("conditions").unwrap());
            let names: Vec<&str> = found.attributes.iter().map(String::as_str).collect();
            assert_eq!((names, found.everything), (attributes, everything), "{condition}");
        }
    }

    #[test]
    fn what_could_fail_is_known() {
        for (condition, fails) in [
            ("when { context.hour < 3 && context.source.isInRange(ip(\"10.0.0.0/8\")) }", false),
            ("when { context.hour + 1 < 3 }", true),
            ("when { ip(context.client).isLoopback() }", true),
            ("when { context.arguments.limit < 3 }", true),
            ("when { context has sql }", false),
        ] {
            assert_eq!(may_fail(policy(condition).get("conditions").unwrap()), fails, "{condition}");
        }
    }

    #[test]
    fn literals_that_arguments_are_compared_with_are_found_with_the_path() {
        let json = policy(
            "when { context.arguments has limit && context.arguments.limit <= 10 && 3 < context.arguments.deep.x \
             && [\"a\", \"b\"].contains(context.arguments.table) && context.arguments.ratio.lessThan(decimal(\"0.5\")) }",
        );
        let mut found = Vec::new();
        compared(json.get("conditions").unwrap(), &mut found);
        let found: Vec<(String, Value)> =
            found.into_iter().map(|(path, literal)| (path.join("."), literal)).collect();
        for expected in [
            ("arguments.limit", json!(null)),
            ("arguments.limit", json!(10)),
            ("arguments.deep.x", json!(3)),
            ("arguments.table", json!("b")),
            ("arguments.ratio", json!("0.5")),
        ] {
            assert!(found.contains(&(expected.0.to_owned(), expected.1.clone())), "{expected:?}: {found:?}");
        }
    }

    #[test]
    fn how_arguments_are_read_is_known() {
        for (condition, read, paths, whole) in [
            ("when { context.hour < 3 }", false, vec![], false),
            (
                "when { context.arguments has limit && context.arguments.deep.x == 1 }",
                true,
                vec!["limit", "deep.x"],
                false,
            ),
            ("when { context.arguments has deep.y }", true, vec!["deep.y"], false),
            ("when { [context.arguments].contains({}) }", true, vec![], true),
            ("when { context == {} }", true, vec![], true),
        ] {
            let mut found = Arguments::default();
            uses_of_arguments(policy(condition).get("conditions").unwrap(), &mut found);
            let named: Vec<String> = found.paths.iter().map(|path| path.join(".")).collect();
            assert_eq!((found.read, found.whole), (read, whole), "{condition}");
            assert_eq!(named, paths, "{condition}");
        }
    }
}
