//! A configuration as a tree whose every node knows which bytes of the file it is.

use crate::{Format, dotenv, json, table};
use portunus_core::limits::{DISCOVER_DEPTH, DISCOVER_NODES};
use std::ops::Range;
use zeroize::Zeroizing;

/// A value and its bytes, quotes included.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where in the file.
    pub span: Range<usize>,
    /// What.
    pub value: Value,
}

/// What a node is.
#[derive(Clone)]
pub enum Value {
    /// A text, without quotes and escapes.
    Text(Zeroizing<String>),
    /// A number, a truth value, a date or nothing, as it is written.
    Word(Zeroizing<String>),
    /// Several in order.
    List(Vec<Node>),
    /// Several by name; in doubt a name twice.
    Table(Vec<Member>),
}

/// Shows no texts: they may be secrets.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("[text]"),
            Self::Word(_) => f.write_str("[word]"),
            Self::List(list) => list.fmt(f),
            Self::Table(members) => members.fmt(f),
        }
    }
}

/// A named node.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, without quotes and escapes.
    pub key: String,
    /// Where the name is, quotes included.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The members, when it is a table.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Table(members) => members,
            _ => &[],
        }
    }

    /// The elements, when it is a list.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text, when it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The last member of this name, which is the one that programs take.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().rfind(|member| member.key == key)
    }

    /// The node behind these names.
    #[must_use]
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| Some(&node.member(key)?.value))
    }

    /// Whether two trees say the same, whatever their bytes, but for what lies behind the path.
    #[must_use]
    pub fn same_but(&self, other: &Self, path: &[String]) -> bool {
        match (&self.value, &other.value) {
            (Value::Text(left), Value::Text(right)) | (Value::Word(left), Value::Word(right)) => {
                left == right
            }
            (Value::List(left), Value::List(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| l.same_but(r, NOWHERE))
            }
            (Value::Table(left), Value::Table(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(l, r)| {
                        l.key == r.key
                            && match path.split_first() {
                                Some((first, [])) if *first == l.key => true,
                                Some((first, rest)) if *first == l.key => l.value.same_but(&r.value, rest),
                                _ => l.value.same_but(&r.value, NOWHERE),
                            }
                    })
            }
            _ => false,
        }
    }
}

/// A path that leads to nothing.
const NOWHERE: &[String] = &[];

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Not in the format; the text of the file is not in the message.
    #[error("it is not valid {0}, near line {1}")]
    Syntax(&'static str, usize),
    /// Nested too deeply.
    #[error("it is nested more than {DISCOVER_DEPTH} levels deep")]
    Deep,
    /// Too many values.
    #[error("it has more than {DISCOVER_NODES} values")]
    Long,
}

/// Reads a text.
///
/// # Errors
/// When it is not in the format, or deeper or longer than the bounds.
pub fn parse(format: Format, text: &str) -> Result<Node, TreeError> {
    match format {
        Format::Json => json::parse(text),
        Format::Toml => table::parse(text),
        Format::Dotenv => dotenv::parse(text),
    }
}

/// What is left of the bounds while a tree is built.
pub(crate) struct Budget {
    nodes: usize,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { nodes: DISCOVER_NODES }
    }
    /// Takes one node at this depth.
    pub(crate) fn take(&mut self, depth: usize) -> Result<(), TreeError> {
        if depth > DISCOVER_DEPTH {
            return Err(TreeError::Deep);
        }
        self.nodes = self.nodes.checked_sub(1).ok_or(TreeError::Long)?;
        Ok(())
    }
}

/// The line, from 1, that a byte is on.
#[must_use]
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}
