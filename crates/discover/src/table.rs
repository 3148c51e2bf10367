//! TOML, as Codex reads it.

use crate::tree::{Budget, Member, Node, TreeError, Value, line_of};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

pub(crate) fn parse(text: &str) -> Result<Node, TreeError> {
    // The parser's own bound on depth keeps its recursion in check.
    let parsed = DeTable::parse(text).map_err(|error| {
        TreeError::Syntax("TOML", line_of(text, error.span().map_or(0, |span| span.start)))
    })?;
    let mut budget = Budget::new();
    Ok(Node { span: 0..text.len(), value: members(parsed.get_ref(), text, 0, &mut budget)? })
}

fn members(table: &DeTable<'_>, text: &str, depth: usize, budget: &mut Budget) -> Result<Value, TreeError> {
    let mut members = Vec::with_capacity(table.len());
    for (key, value) in table {
        let value = node(value, text, depth + 1, budget)?;
        members.push(Member { key: key.get_ref().to_string(), key_span: key.span(), value });
    }
    // By name in the parser; here as in the file.
    members.sort_by_key(|member| member.key_span.start);
    Ok(Value::Table(members))
}

fn node(
    value: &Spanned<DeValue<'_>>,
    text: &str,
    depth: usize,
    budget: &mut Budget,
) -> Result<Node, TreeError> {
    budget.take(depth)?;
    let span = value.span();
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(Zeroizing::new(text.to_string())),
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| node(element, text, depth + 1, budget));
            Value::List(elements.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => members(table, text, depth, budget)?,
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Value::Word(Zeroizing::new(text.get(span.clone()).unwrap_or_default().to_owned()))
        }
    };
    Ok(Node { span, value })
}
