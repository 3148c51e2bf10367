//! What is wrong with a policy: where, and what to do about it.

use std::fmt;

/// Something wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the policies can be used nevertheless.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Whether a problem stops the policies from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policies are not used.
    Error,
    /// Probably a mistake.
    Warning,
}

/// `path:line:column: message`, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, path, line, column, message, hint } = self;
        let word = if *severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{path}:{line}:{column}: {word}{message}")?;
        if hint.is_empty() { Ok(()) } else { write!(f, "\n  {hint}") }
    }
}
