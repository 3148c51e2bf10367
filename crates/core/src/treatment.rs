//! What happens to a value that may not be shown as it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is shown in place of a value; of two that apply the greater, stricter one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// A word that is the same for the same value within one grant, and tells nothing else.
    Token,
    /// A keyed digest, likewise.
    Hash,
    /// Its last characters, or the part that does not identify anybody.
    Partial,
    /// A marker that names the class of the value.
    Mask,
    /// Nothing.
    Drop,
}

impl Treatment {
    /// Every treatment.
    pub const ALL: [Self; 5] = [Self::Token, Self::Hash, Self::Partial, Self::Mask, Self::Drop];

    /// The word used in policies and assertions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Hash => "hash",
            Self::Partial => "partial",
            Self::Mask => "mask",
            Self::Drop => "drop",
        }
    }
    /// The treatment that this word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|treatment| treatment.as_str() == word)
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
