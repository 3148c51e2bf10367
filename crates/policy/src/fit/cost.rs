//! What a schema can cost: how many parts it unfolds into, and how often it comes back to itself. Validators look at each
//! alternative anew, so a few kilobytes of references can mean more work than there is time.

use serde_json::Value;
use std::collections::HashSet;

/// Parts that a schema may unfold into.
const MOST_PARTS: usize = 20_000;
/// Ways through a schema that comes back to itself, over all levels of the arguments.
const MOST_WAYS: f64 = 100_000.0;

/// What a schema demands of arguments so that they can be checked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Levels that arguments may be nested; `None`: as many as a message may.
    pub(crate) depth: Option<usize>,
}

impl Cost {
    /// Of a schema; `None` when it unfolds into too many parts.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let mut unfold = Unfold { root: schema, path: HashSet::new(), parts: 0, returns: 0 };
        unfold.part(schema)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small"
        )]
        let depth = match unfold.returns {
            0 | 1 => None,
            returns => Some((MOST_WAYS.ln() / (returns as f64).ln()) as usize),
        };
        Some(Self { depth })
    }
}

struct Unfold<'s> {
    root: &'s Value,
    /// The references that are being unfolded.
    path: HashSet<&'s str>,
    parts: usize,
    /// References back to what is being unfolded.
    returns: usize,
}

impl<'s> Unfold<'s> {
    fn part(&mut self, schema: &'s Value) -> Option<()> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return None;
        }
        match schema {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value.as_str()) {
                        ("$ref" | "$dynamicRef" | "$recursiveRef", Some(to)) => self.reference(to)?,
                        // Unfolded where they are referred to.
                        ("$defs" | "definitions", _) | ("const" | "enum" | "default" | "examples", _) => {}
                        _ => self.part(value)?,
                    }
                }
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.part(item))?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Some(())
    }

    fn reference(&mut self, to: &'s str) -> Option<()> {
        // What is found by an anchor or an id could be the whole.
        let target = to.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(target) = target.filter(|_| !self.path.contains(to) && to != "#") else {
            self.returns += 1;
            return Some(());
        };
        self.path.insert(to);
        let unfolded = self.part(target);
        self.path.remove(to);
        unfolded
    }
}

/// Levels that a JSON text is nested, as far as brackets tell.
pub(super) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_that_unfold_without_end_are_known_by_their_cost() {
        let mut defs = serde_json::Map::new();
        for n in 0..20 {
            let next = json!({ "$ref": format!("#/$defs/a{}", n + 1) });
            defs.insert(format!("a{n}"), json!({ "anyOf": [next, next] }));
        }
        defs.insert("a20".to_owned(), json!({ "type": "integer" }));
        assert_eq!(Cost::of(&json!({ "$ref": "#/$defs/a0", "$defs": defs })), None);

        let value = json!({ "$ref": "#/$defs/json", "$defs": { "json": { "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "$ref": "#/$defs/json" } },
            { "type": "object", "additionalProperties": { "$ref": "#/$defs/json" } },
        ] } } });
        assert_eq!(Cost::of(&value), Some(Cost { depth: Some(16) }));
        let list = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        assert_eq!(Cost::of(&list), Some(Cost { depth: None }));
        let plain = json!({ "type": "object", "properties": { "sql": { "type": "string" } } });
        assert_eq!(Cost::of(&plain), Some(Cost { depth: None }));
    }

    #[test]
    fn depth_is_that_of_brackets_outside_strings() {
        for (text, levels) in [("{}", 1), (r#"{"a":[[1]]}"#, 3), (r#"{"a":"[[[","b\"[":[]}"#, 2), ("1", 0)] {
            assert_eq!(depth(text.as_bytes()), levels, "{text}");
        }
    }
}
