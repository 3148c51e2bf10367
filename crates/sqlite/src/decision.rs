//! What the gateway decided about one call, as its signed assertion says it and this server keeps it.

use crate::mask::Mask;
use crate::treat::Key;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use zeroize::Zeroizing;

/// What a call may do. The default holds nothing back: it is for a server without a gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decision {
    /// `None`: every column is disclosed.
    pub(crate) mask: Option<Mask>,
    /// Of digests and tokens.
    pub(crate) key: Option<Key>,
    /// Tables whose rows may be changed.
    pub(crate) changes: Changes,
    /// The tables that were decided about; `None`: they were not known.
    pub(crate) sql: Option<Tables>,
    /// Most rows in one answer.
    pub(crate) rows: Option<NonZeroUsize>,
    /// Most bytes of values in one answer.
    pub(crate) bytes: Option<NonZeroUsize>,
    /// The write is run and rolled back.
    pub(crate) trial: bool,
}

/// The claims that this server understands beside the registered ones and `tool`. Without a mask nothing is disclosed.
#[derive(Clone, Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    pub(crate) tool: Option<String>,
    #[serde(default = "Mask::nothing")]
    mask: Mask,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    changes: Changes,
    #[serde(default)]
    sql: Option<Tables>,
    #[serde(default)]
    rows: Option<NonZeroUsize>,
    #[serde(default)]
    bytes: Option<NonZeroUsize>,
    #[serde(default)]
    trial: bool,
}

/// Which tables' rows may be changed: by `default`, all but the exceptions, or none but them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    default: bool,
    #[serde(default, deserialize_with = "lower")]
    exceptions: BTreeSet<String>,
}

/// Tables by what is done with them, in ASCII lower case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tables {
    #[serde(default, deserialize_with = "lower")]
    pub(crate) reads: BTreeSet<String>,
    #[serde(default, deserialize_with = "lower")]
    pub(crate) writes: BTreeSet<String>,
}

impl Decision {
    /// From claims. `None` when they cannot be kept: a treatment needs a key and there is none, or it is no key.
    pub(crate) fn from_claims(claims: Claims) -> Option<Self> {
        let key = match claims.key.map(Zeroizing::new) {
            Some(text) => Some(Key::parse(&text)?),
            None if claims.mask.needs_key() => return None,
            None => None,
        };
        Some(Self {
            mask: Some(claims.mask).filter(|mask| !mask.is_open()),
            key,
            changes: claims.changes,
            sql: claims.sql,
            rows: claims.rows,
            bytes: claims.bytes,
            trial: claims.trial,
        })
    }
    /// For a tool that makes its own statements: no tables were decided about.
    pub(crate) fn without_sql(&self) -> Self {
        Self { sql: None, ..self.clone() }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self { default: true, exceptions: BTreeSet::new() }
    }
}

impl Changes {
    /// Whether rows of a table may be changed.
    pub(crate) fn allow(&self, table: &str) -> bool {
        self.exceptions.contains(&table.to_ascii_lowercase()) != self.default
    }
}

impl Tables {
    /// Whether a table was decided about at all.
    pub(crate) fn name(&self, table: &str) -> bool {
        let table = table.to_ascii_lowercase();
        self.reads.contains(&table) || self.writes.contains(&table)
    }
    /// Every name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().chain(&self.writes).map(String::as_str)
    }
}

/// Names of tables, with or without `main.`.
fn lower<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let plain = |name: String| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("main.").map(str::to_owned).unwrap_or(name)
    };
    Ok(names.into_iter().map(plain).collect())
}
