//! The types of a tool's arguments: from its JSON Schema, into Cedar's schema, and to read arguments by.

use crate::schema::quoted;
use portunus_core::limits;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a JSON value must be, as far as Cedar can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not simple enough to say: policies cannot look at it.
    Any,
    Bool,
    Long,
    /// A number that may have a fraction.
    Decimal,
    Text,
    List(Box<Shape>),
    /// Members by name, and whether each must be there. Others may be there too.
    Record(BTreeMap<String, (Shape, bool)>),
}

/// What an input schema says of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member<'s> {
    /// It has a type that Cedar can say.
    Typed(&'s Shape),
    /// It, or an object that it is in, may be there with a type that Cedar cannot say: Cedar's schema leaves it out.
    Untyped,
    /// Nothing.
    Absent,
}

/// Objects within objects that are looked into.
const DEPTH: usize = 8;

impl Shape {
    /// The shape of a tool's arguments; `None` when the schema is not one of an object.
    pub(crate) fn of_schema(schema: &str) -> Option<Self> {
        if schema.len() > limits::INPUT_SCHEMA_BYTES {
            return None;
        }
        match of_object(serde_json::from_str::<Value>(schema).ok()?.as_object()?, DEPTH) {
            Self::Any => Some(Self::Record(BTreeMap::new())),
            shape @ Self::Record(_) => Some(shape),
            _ => None,
        }
    }

    /// What the schema says of the member at this path.
    pub(crate) fn member(&self, path: &[String]) -> Member<'_> {
        let mut at = self;
        for name in path {
            match at {
                Self::Record(members) => match members.get(name) {
                    Some((shape, _)) => at = shape,
                    None => return Member::Absent,
                },
                Self::Any => return Member::Untyped,
                _ => return Member::Absent,
            }
        }
        if at.cedar_type().is_some() { Member::Typed(at) } else { Member::Untyped }
    }

    /// Whether its Cedar type is the whole of what a value may be: an object may have members that no schema names.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Any | Self::Record(_) => false,
            Self::Bool | Self::Long | Self::Decimal | Self::Text => true,
            Self::List(inner) => inner.is_closed(),
        }
    }

    /// The type in Cedar's schema language; `None` when there is none for it.
    pub(crate) fn cedar_type(&self) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Bool => Some("Bool".to_owned()),
            Self::Long => Some("Long".to_owned()),
            Self::Decimal => Some("decimal".to_owned()),
            Self::Text => Some("String".to_owned()),
            Self::List(inner) => Some(format!("Set<{}>", inner.cedar_type()?)),
            Self::Record(members) => {
                let member = |(name, (shape, required)): (&String, &(Self, bool))| {
                    let mark = if *required { "" } else { "?" };
                    shape.cedar_type().map(|of| format!("{}{mark}: {of}", quoted(name)))
                };
                let members: Vec<String> = members.iter().filter_map(member).collect();
                Some(format!("{{ {} }}", members.join(", ")))
            }
        }
    }
}

fn of_value(schema: &Value, depth: usize) -> Shape {
    let Some(object) = schema.as_object() else { return Shape::Any };
    if depth == 0 {
        return Shape::Any;
    }
    // `anyOf: [T, null]` is how many libraries write an optional T.
    if let Some(alternatives) = object.get("anyOf").or_else(|| object.get("oneOf")).and_then(Value::as_array)
    {
        let is_null = |one: &&Value| one.get("type").and_then(Value::as_str) == Some("null");
        let mut others = alternatives.iter().filter(|one| !is_null(one));
        return match (others.next(), others.next()) {
            (Some(only), None) => of_value(only, depth - 1),
            _ => Shape::Any,
        };
    }
    of_object(object, depth)
}

fn of_object(schema: &Map<String, Value>, depth: usize) -> Shape {
    match type_name(schema) {
        Some("boolean") => Shape::Bool,
        Some("integer") => Shape::Long,
        Some("number") => Shape::Decimal,
        Some("string") => Shape::Text,
        Some("array") => match schema.get("items") {
            Some(items) => Shape::List(Box::new(of_value(items, depth - 1))),
            None => Shape::Any,
        },
        Some("object") => match schema.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                let required = |name: &str| {
                    let names = schema.get("required").and_then(Value::as_array);
                    names.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)))
                };
                let member =
                    |(name, of): (&String, &Value)| (name.clone(), (of_value(of, depth - 1), required(name)));
                Shape::Record(properties.iter().map(member).collect())
            }
            None => Shape::Any,
        },
        None if is_choice_of_texts(schema) => Shape::Text,
        _ => Shape::Any,
    }
}

/// `enum` of nothing but texts, without a `type`. Beside `$ref` older drafts of JSON Schema pass over it.
fn is_choice_of_texts(schema: &Map<String, Value>) -> bool {
    let values = schema.get("enum").and_then(Value::as_array);
    !schema.contains_key("type")
        && !schema.contains_key("$ref")
        && values.is_some_and(|values| !values.is_empty() && values.iter().all(Value::is_string))
}

/// `type`, which may list `null` beside the one that counts.
fn type_name(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            others.next().filter(|_| others.next().is_none())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_texts_is_a_text_and_what_cedar_cannot_say_is_told_from_what_is_not_there() {
        let schema = r##"{"type":"object","properties":{"mode":{"enum":["a","b"]},"mixed":{"enum":["a",1]},"none":{"enum":[]},
            "ref":{"$ref":"#/$defs/m","enum":["a"]},"odd":{"type":["string","integer"],"enum":["a"]},
            "deep":{"type":"object","properties":{"x":{"type":"integer"},"y":{}}},"all":{"type":"array","items":{"type":"object","properties":{}}}}}"##;
        let shape = Shape::of_schema(schema).unwrap();
        let at = |path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            match shape.member(&path) {
                Member::Typed(shape) => {
                    if shape.is_closed() {
                        "closed"
                    } else {
                        "open"
                    }
                }
                Member::Untyped => "untyped",
                Member::Absent => "absent",
            }
        };
        for (path, expected) in [
            ("mode", "closed"),
            ("mixed", "untyped"),
            ("none", "untyped"),
            ("ref", "untyped"),
            ("odd", "untyped"),
            ("ref.x", "untyped"),
            ("deep", "open"),
            ("deep.x", "closed"),
            ("deep.y", "untyped"),
            ("deep.z", "absent"),
            ("deep.x.y", "absent"),
            ("all", "open"),
            ("other", "absent"),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn simple_schemas_become_types_and_others_are_left_out() {
        let schema = r#"{"type":"object","required":["sql","tags"],"properties":{
            "sql":{"type":"string"}, "limit":{"type":["integer","null"]}, "ratio":{"anyOf":[{"type":"number"},{"type":"null"}]},
            "tags":{"type":"array","items":{"type":"string"}}, "deep":{"type":"object","properties":{"on":{"type":"boolean"}}},
            "either":{"anyOf":[{"type":"string"},{"type":"integer"}]}, "what":{}, "list":{"type":"array"}, "a \"b\"":{"type":"integer"}}}"#;
        let shape = Shape::of_schema(schema).unwrap();
        assert_eq!(
            shape.cedar_type().unwrap(),
            r#"{ "a \"b\""?: Long, "deep"?: { "on"?: Bool }, "limit"?: Long, "ratio"?: decimal, "sql": String, "tags": Set<String> }"#
        );
        for (schema, expected) in
            [("{}", Some("{  }")), ("[]", None), ("{", None), (r#"{"type":"string"}"#, None)]
        {
            assert_eq!(
                Shape::of_schema(schema).and_then(|s| s.cedar_type()).as_deref(),
                expected,
                "{schema}"
            );
        }
    }
}
