//! What values are looked for, and what is done with them.

use portunus_core::limits;
/// What is done with a value; `docs/results.md` says what each leaves of one.
pub use portunus_core::treatment::Treatment;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A kind of values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// International bank account numbers (ISO 13616).
    Iban,
    /// Payment card numbers (ISO/IEC 7812).
    Card,
    /// Numbers by which states know people.
    NationalId,
    /// Keys, tokens and passwords.
    Secret,
    /// What an operator's pattern finds.
    Custom(Arc<str>),
}

/// The built-in classes, in the order of their indices.
pub const BUILT_IN: [Class; 6] =
    [Class::Email, Class::Phone, Class::Iban, Class::Card, Class::NationalId, Class::Secret];

impl Class {
    /// The name by which policies and markers call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::NationalId => "national_id",
            Self::Secret => "secret",
            Self::Custom(name) => name,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that cannot be a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a class of values: use 1 to {max} lower-case letters, digits and '_', a letter first",
    max = limits::CLASS_NAME_BYTES
)]
pub struct ClassNameError(pub String);

impl FromStr for Class {
    type Err = ClassNameError;
    /// A built-in class by its name; any other well-formed name is an operator's class.
    fn from_str(name: &str) -> Result<Self, ClassNameError> {
        if let Some(class) = BUILT_IN.iter().find(|class| class.name() == name) {
            return Ok(class.clone());
        }
        let wellformed = name.len() <= limits::CLASS_NAME_BYTES
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if wellformed { Ok(Self::Custom(name.into())) } else { Err(ClassNameError(name.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for class in BUILT_IN {
            assert_eq!(class.name().parse(), Ok(class.clone()));
        }
        assert_eq!("employee_no".parse(), Ok(Class::Custom("employee_no".into())));
        for wrong in ["", "Email", "a b", "_a", "1a", "a".repeat(33).as_str()] {
            assert!(wrong.parse::<Class>().is_err(), "{wrong}");
        }
    }
}
