//! The commands, each thin over the crates.

#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod admin;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod connect;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod cred;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod discover;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod pin;
pub(crate) mod policy;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod rewrap;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
pub(crate) mod rotate;
pub(crate) mod sqlite;

use comfy_table::{ContentArrangement, Table, presets};
use std::process::ExitCode;

/// How a command ended: the exit status that scripts rely on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Refused, or a check failed: exit status 1.
    #[error("{0}")]
    Refused(String),
    /// Usage or configuration error: exit status 2.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    pub(crate) fn refused(error: impl std::fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }
    pub(crate) fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<(), Failure>;

/// A table for people.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    table.to_string()
}

/// Text without control characters: what others chose must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}
