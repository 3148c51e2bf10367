//! What values are looked for, and what is done with them.

use portunus_core::limits;
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

/// What is done with a value; a later one is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Treatment {
    /// `email_` and 20 letters: equal values have equal tokens under one key. Give a key per grant.
    Token,
    /// `[email:` and 24 letters `]`: a keyed digest. Give a key that lives longer, so that results can be compared.
    Hash,
    /// The last four digits of a card, account or telephone number, the domain of an e-mail address; for other classes
    /// as [`Treatment::Mask`].
    Partial,
    /// `[email]`.
    Mask,
    /// Nothing is left: a string that is nothing but the value becomes `null` within data and `""` elsewhere.
    Drop,
}

impl Treatment {
    /// The name by which policies call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Hash => "hash",
            Self::Partial => "partial",
            Self::Mask => "mask",
            Self::Drop => "drop",
        }
    }
}

/// A word that is no treatment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no treatment: use one of drop, mask, partial, hash, token")]
pub struct TreatmentError(pub String);

impl FromStr for Treatment {
    type Err = TreatmentError;
    fn from_str(name: &str) -> Result<Self, TreatmentError> {
        let all = [Self::Token, Self::Hash, Self::Partial, Self::Mask, Self::Drop];
        let found = all.into_iter().find(|treatment| treatment.name() == name);
        found.ok_or_else(|| TreatmentError(name.to_owned()))
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
        for treatment in
            [Treatment::Token, Treatment::Hash, Treatment::Partial, Treatment::Mask, Treatment::Drop]
        {
            assert_eq!(treatment.name().parse(), Ok(treatment));
        }
        assert!("redact".parse::<Treatment>().is_err());
    }
}
