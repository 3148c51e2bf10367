//! What of the context a policy looks at, read from its JSON form. Whatever is not plainly `context.x` or `context has x`
//! counts as looking at everything.

use serde_json::{Map, Value, json};

/// A set of context attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looks(u32);

impl Looks {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const CLIENT: Self = Self(1);
    pub(crate) const ACTOR: Self = Self(1 << 1);
    pub(crate) const SCOPES: Self = Self(1 << 2);
    pub(crate) const SIGN_IN: Self = Self(1 << 3);
    pub(crate) const SOURCE: Self = Self(1 << 4);
    pub(crate) const NOW: Self = Self(1 << 5);
    pub(crate) const HOUR: Self = Self(1 << 6);
    pub(crate) const WEEKDAY: Self = Self(1 << 7);
    pub(crate) const ENVIRONMENT: Self = Self(1 << 8);
    pub(crate) const ERA: Self = Self(1 << 9);
    pub(crate) const METHOD: Self = Self(1 << 10);
    pub(crate) const TARGET: Self = Self(1 << 11);
    pub(crate) const ARGUMENTS: Self = Self(1 << 12);
    pub(crate) const SQL: Self = Self(1 << 13);
    pub(crate) const APPROVAL: Self = Self(1 << 14);
    pub(crate) const CLIENT_PROOF: Self = Self(1 << 15);
    pub(crate) const CLIENT_CERTIFICATE: Self = Self(1 << 16);
    pub(crate) const LABELS: Self = Self(1 << 17);
    pub(crate) const COUNTERS: Self = Self(1 << 18);
    pub(crate) const PIN: Self = Self(1 << 19);
    pub(crate) const CREDENTIAL: Self = Self(1 << 20);
    /// What only some operations have: `tool`, `rows`, `bytes`, `mode`, `host`.
    pub(crate) const DETAIL: Self = Self(1 << 21);
    pub(crate) const EMERGENCY: Self = Self(1 << 22);
    pub(crate) const EVERYTHING: Self = Self((1 << 23) - 1);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// An attribute that does not exist has no value to build.
    fn named(attribute: &str) -> Self {
        match attribute {
            "client" => Self::CLIENT,
            "actor" => Self::ACTOR,
            "scopes" => Self::SCOPES,
            "sign_in" => Self::SIGN_IN,
            "source" => Self::SOURCE,
            "now" => Self::NOW,
            "hour" => Self::HOUR,
            "weekday" => Self::WEEKDAY,
            "environment" => Self::ENVIRONMENT,
            "era" => Self::ERA,
            "method" => Self::METHOD,
            "target" => Self::TARGET,
            "arguments" => Self::ARGUMENTS,
            "sql" => Self::SQL,
            "approval" => Self::APPROVAL,
            "client_proof" => Self::CLIENT_PROOF,
            "client_certificate" => Self::CLIENT_CERTIFICATE,
            "labels" => Self::LABELS,
            "counters" => Self::COUNTERS,
            "pin" => Self::PIN,
            "credential" => Self::CREDENTIAL,
            "emergency" => Self::EMERGENCY,
            "tool" | "rows" | "bytes" | "mode" | "host" => Self::DETAIL,
            _ => Self::NOTHING,
        }
    }
}

/// What is not known before a call is made: its arguments, and what will have happened by then.
pub(crate) const OF_THE_CALL: Looks = Looks(
    Looks::ARGUMENTS.0
        | Looks::SQL.0
        | Looks::LABELS.0
        | Looks::COUNTERS.0
        | Looks::PIN.0
        | Looks::CREDENTIAL.0,
);

/// What changes by itself as time goes on, or from one connection of a caller to the next.
pub(crate) const OF_THE_MOMENT: Looks = Looks(
    Looks::NOW.0
        | Looks::HOUR.0
        | Looks::WEEKDAY.0
        | Looks::SIGN_IN.0
        | Looks::SOURCE.0
        | Looks::ENVIRONMENT.0
        | Looks::CLIENT_CERTIFICATE.0
        | Looks::EMERGENCY.0,
);

/// What a policy looks at.
pub(crate) fn of(policy: &Value) -> Looks {
    policy.get("conditions").map_or(Looks::EVERYTHING, of_value)
}

/// Whether a condition of a policy mentions the action.
pub(crate) fn mentions_action(policy: &Value) -> bool {
    fn mentions(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(mentions),
            Value::Object(members) => {
                members.get("Var").and_then(Value::as_str) == Some("action") || members.values().any(mentions)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    policy.get("conditions").is_none_or(mentions)
}

fn of_value(value: &Value) -> Looks {
    match value {
        Value::Array(items) => items.iter().map(of_value).fold(Looks::NOTHING, Looks::and),
        Value::Object(members) if is_context(members) => Looks::EVERYTHING,
        Value::Object(members) => members
            .iter()
            .map(|(operator, operand)| of_member(operator, operand))
            .fold(Looks::NOTHING, Looks::and),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Looks::NOTHING,
    }
}

fn of_member(operator: &str, operand: &Value) -> Looks {
    let on_context = operand.get("left").and_then(Value::as_object).is_some_and(is_context);
    if !on_context || !matches!(operator, "." | "has") {
        return of_value(operand);
    }
    // `context has a.b` has a list, of which the first is the context's own.
    match operand.get("attr") {
        Some(Value::String(attribute)) => Looks::named(attribute),
        Some(Value::Array(path)) => {
            path.first().and_then(Value::as_str).map_or(Looks::EVERYTHING, Looks::named)
        }
        _ => Looks::EVERYTHING,
    }
}

fn is_context(members: &Map<String, Value>) -> bool {
    members.get("Var").and_then(Value::as_str) == Some("context")
}

/// The policy with every condition left out that only a call's arguments can settle, so that a permit holds whenever some
/// arguments could make it hold, and a forbid only when all would. Inside: `None` when nothing of it is left to decide.
/// Outside: `None` when the JSON is not a policy.
#[expect(clippy::option_option, reason = "two questions: could it be read, and is something left")]
pub(crate) fn without_arguments(mut policy: Value, liftable: bool, looks: Looks) -> Option<Option<Value>> {
    let forbids = policy.get("effect")?.as_str()? == "forbid";
    if liftable || (forbids && looks.meets(OF_THE_CALL)) {
        return Some(None);
    }
    if looks.meets(OF_THE_CALL) {
        let conditions = policy.get_mut("conditions")?.as_array_mut()?;
        let mut kept = Vec::new();
        for condition in conditions.drain(..) {
            let kind = condition.get("kind")?.as_str()?.to_owned();
            // `unless { a || b }` is `when { !a && !b }`: each part may be left out on its own.
            let operator = if kind == "when" { "&&" } else { "||" };
            let mut parts = Vec::new();
            known_parts(condition.get("body")?.clone(), operator, &mut parts);
            kept.extend(parts.into_iter().map(|body| json!({ "kind": kind, "body": body })));
        }
        *conditions = kept;
    }
    Some(Some(policy))
}

fn known_parts(body: Value, operator: &str, parts: &mut Vec<Value>) {
    if !of_value(&body).meets(OF_THE_CALL) {
        parts.push(body);
    } else if let Some(sides) = body.get(operator) {
        for side in ["left", "right"] {
            if let Some(part) = sides.get(side) {
                known_parts(part.clone(), operator, parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::Policy;

    fn json(condition: &str) -> Value {
        let text = format!("permit(principal, action, resource) {condition};");
        Policy::parse(None, text).unwrap().to_json().unwrap()
    }

    #[test]
    fn a_policy_looks_at_exactly_the_attributes_it_names() {
        for (condition, looks) in [
            ("", Looks::NOTHING),
            ("when { principal.name == \"context\" }", Looks::NOTHING),
            ("when { context.client == \"c\" }", Looks::CLIENT),
            ("when { context has approval }", Looks::APPROVAL),
            ("when { context has sign_in.method }", Looks::SIGN_IN),
            ("unless { context has sql && context.sql.complete }", Looks::SQL),
            ("when { context[\"hour\"] < 8 || context.arguments.x == 1 }", Looks::HOUR.and(Looks::ARGUMENTS)),
            ("when { [context.era].contains(\"modern\") }", Looks::ERA),
            ("when { {a: context.era}.a == \"modern\" }", Looks::ERA),
            (
                "when { if context.actor == \"ci\" then true else context.now < context.now }",
                Looks::ACTOR.and(Looks::NOW),
            ),
            ("when { context == {} }", Looks::EVERYTHING),
            ("when { [context].contains({}) }", Looks::EVERYTHING),
            ("when { (if true then context else {}).client == \"c\" }", Looks::EVERYTHING),
        ] {
            assert_eq!(of(&json(condition)), looks, "{condition}");
        }
    }

    #[test]
    fn only_the_parts_that_need_arguments_are_left_out() {
        let bodies = |condition: &str| {
            let policy = json(condition);
            let looks = of(&policy);
            let kept = without_arguments(policy, false, looks).unwrap().unwrap();
            Policy::from_json(None, kept).unwrap().to_string()
        };
        let kept =
            bodies("when { context.client == \"c\" && context.arguments.x == 1 && principal.name == \"n\" }");
        assert!(kept.contains("client") && kept.contains("name") && !kept.contains("arguments"), "{kept}");
        let kept = bodies("when { context.client == \"c\" || context.arguments.x == 1 }");
        assert!(!kept.contains("client"), "{kept}");
        let kept = bodies("unless { context.client == \"c\" || context.sql.complete }");
        assert!(kept.contains("client") && !kept.contains("sql"), "{kept}");
    }
}
