//! JSON as clients read it: with comments, trailing commas and a byte-order mark, which several of them allow.

use crate::tree::{Budget, Member, Node, TreeError, Value, line_of};
use jsonc_parser::ast;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};
use std::ops::Range;
use zeroize::Zeroizing;

const MARK: &str = "\u{feff}";

pub(crate) fn parse(text: &str) -> Result<Node, TreeError> {
    let body = text.strip_prefix(MARK).unwrap_or(text);
    let shift = text.len() - body.len();
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    // The parser's own bound on depth keeps its recursion in check; ours is narrower.
    let parsed = parse_to_ast(body, &collect, &ParseOptions::default()).map_err(|error| {
        if matches!(error.kind(), jsonc_parser::errors::ParseErrorKind::NestingDepthExceeded) {
            return TreeError::Deep;
        }
        TreeError::Syntax("JSON", line_of(body, error.range().start))
    })?;
    let mut budget = Budget::new();
    match parsed.value {
        Some(value) => node(value, shift, 0, &mut budget),
        None => Ok(Node { span: text.len()..text.len(), value: Value::Table(Vec::new()) }),
    }
}

fn node(value: ast::Value<'_>, shift: usize, depth: usize, budget: &mut Budget) -> Result<Node, TreeError> {
    budget.take(depth)?;
    let word = |range, text: &str| Node {
        span: moved(range, shift),
        value: Value::Word(Zeroizing::new(text.to_owned())),
    };
    Ok(match value {
        ast::Value::StringLit(text) => Node {
            span: moved(text.range, shift),
            value: Value::Text(Zeroizing::new(text.value.into_owned())),
        },
        ast::Value::NumberLit(number) => word(number.range, number.value),
        ast::Value::BooleanLit(truth) => word(truth.range, if truth.value { "true" } else { "false" }),
        ast::Value::NullKeyword(null) => word(null.range, "null"),
        ast::Value::Array(array) => {
            let elements = array.elements.into_iter().map(|e| node(e, shift, depth + 1, budget));
            Node { span: moved(array.range, shift), value: Value::List(elements.collect::<Result<_, _>>()?) }
        }
        ast::Value::Object(object) => {
            let mut members = Vec::with_capacity(object.properties.len());
            for property in object.properties {
                let key_span = match &property.name {
                    ast::ObjectPropName::String(text) => text.range,
                    ast::ObjectPropName::Word(word) => word.range,
                };
                let value = node(property.value, shift, depth + 1, budget)?;
                let key = property.name.into_string();
                members.push(Member { key, key_span: moved(key_span, shift), value });
            }
            Node { span: moved(object.range, shift), value: Value::Table(members) }
        }
    })
}

fn moved(range: jsonc_parser::common::Range, shift: usize) -> Range<usize> {
    range.start + shift..range.end + shift
}
