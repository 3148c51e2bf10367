//! Forms and queries (`application/x-www-form-urlencoded`), read strictly: bounded, and no parameter twice
//! (RFC 6749 sections 3.1 and 3.2), so that no two readers can see different values.

use crate::error::{ErrorCode, OAuthError};
use portunus_core::limits;
use std::collections::BTreeMap;

/// The parameters of one request. One that was sent without a value counts as not sent (RFC 6749 section 3.1).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Form(BTreeMap<String, String>);

/// Why a form was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than [`limits::FORM_BYTES`].
    #[error("the form is longer than {} bytes", limits::FORM_BYTES)]
    TooLong,
    /// More than [`limits::FORM_FIELDS`] parameters.
    #[error("the form has more than {} parameters", limits::FORM_FIELDS)]
    TooMany,
    /// A parameter was given twice.
    #[error("a parameter is given twice")]
    Twice,
    /// A value is not UTF-8, or has control characters.
    #[error("a parameter is not plain UTF-8 text")]
    NotText,
}

impl Form {
    /// Reads a query (without its `?`) or a form body.
    ///
    /// # Errors
    /// See [`FormError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > limits::FORM_BYTES {
            return Err(FormError::TooLong);
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            if parameters.len() == limits::FORM_FIELDS {
                return Err(FormError::TooMany);
            }
            // U+FFFD is what invalid UTF-8 is decoded to.
            if [&name, &value].iter().any(|text| text.contains(|c: char| c.is_control() || c == '\u{fffd}')) {
                return Err(FormError::NotText);
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(FormError::Twice);
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    /// The value of a parameter, if it was sent with one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there.
    pub(crate) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::new(ErrorCode::InvalidRequest, format!("`{name}` is missing")))
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl From<FormError> for OAuthError {
    fn from(error: FormError) -> Self {
        Self::new(ErrorCode::InvalidRequest, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_one_way_or_refused() {
        let form = Form::parse(b"a=1&b=%C3%A9+x&empty=&c").unwrap();
        assert_eq!((form.get("a"), form.get("b")), (Some("1"), Some("é x")));
        assert_eq!((form.get("empty"), form.get("c"), form.get("d")), (None, None, None));
        assert_eq!(Form::parse(b"a=1&a=1"), Err(FormError::Twice));
        assert_eq!(Form::parse(b"a=1&%61=2"), Err(FormError::Twice));
        assert_eq!(Form::parse(b"a=&a=2"), Err(FormError::Twice));
        assert_eq!(Form::parse(b"a=%ff"), Err(FormError::NotText));
        assert_eq!(Form::parse(b"a=%0d%0aSet-Cookie"), Err(FormError::NotText));
        assert_eq!(Form::parse(&[b'a'; limits::FORM_BYTES + 1]), Err(FormError::TooLong));
        let many: String = (0..=limits::FORM_FIELDS).map(|n| format!("f{n}=1&")).collect();
        assert_eq!(Form::parse(many.as_bytes()), Err(FormError::TooMany));
    }

    #[test]
    fn a_form_does_not_print_its_values() {
        let form = Form::parse(b"password=hunter2").unwrap();
        assert!(!format!("{form:?}").contains("hunter2"));
    }
}
