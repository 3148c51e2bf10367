//! What a call needs beyond what its caller holds: `@step_up("scope sales:write; max_age 300")` on a `forbid` says what
//! lifts it. The condition itself stays Cedar's: this only names, for clients, what would make it false.

use std::collections::BTreeSet;

/// What would lift a refusal, all of it together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepUp {
    /// Scopes, those that the caller holds not among them.
    pub scopes: BTreeSet<String>,
    /// A sign-in at most this many seconds old.
    pub max_age: Option<u64>,
    /// A sign-in of this class (OpenID Connect Core section 2, `acr`).
    pub acr: Option<String>,
}

impl StepUp {
    /// Reads an annotation: parts `scope NAME …`, `max_age SECONDS`, `acr CLASS`, separated by `;`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut read = Self::default();
        for part in text.split(';') {
            let mut words = part.split_whitespace();
            let (kind, rest) = (words.next(), words.collect::<Vec<_>>());
            match (kind, rest.as_slice()) {
                (Some("scope"), [_, ..]) if rest.iter().all(|scope| is_scope(scope)) => {
                    read.scopes.extend(rest.iter().map(|scope| (*scope).to_owned()));
                }
                (Some("max_age"), [seconds]) if read.max_age.is_none() => {
                    let seconds =
                        seconds.parse().ok().filter(|seconds| (60..=MAX_AGE_SECONDS).contains(seconds));
                    read.max_age = Some(seconds.ok_or("its max_age must be 60 to 86400 seconds")?);
                }
                (Some("acr"), [class]) if read.acr.is_none() && is_scope(class) => {
                    read.acr = Some((*class).to_owned());
                }
                _ => {
                    return Err(
                        "it must be `scope NAME …`, `max_age SECONDS` or `acr CLASS`, separated by `;`",
                    );
                }
            }
        }
        Ok(read)
    }

    /// Both together; `None` when they ask for two different classes of sign-in, which no one sign-in has.
    pub(crate) fn and(mut self, other: &Self) -> Option<Self> {
        self.scopes.extend(other.scopes.iter().cloned());
        self.max_age = self.max_age.into_iter().chain(other.max_age).min();
        if self.acr.is_some() && other.acr.is_some() && self.acr != other.acr {
            return None;
        }
        self.acr = self.acr.or_else(|| other.acr.clone());
        Some(self)
    }

    /// Whether a new sign-in is needed, not only more scopes.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        self.max_age.is_some() || self.acr.is_some()
    }
}

const MAX_AGE_SECONDS: u64 = 86_400;

/// RFC 6749 section 3.3: visible ASCII without quote and backslash, so that it can stand in a header as it is.
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= portunus_core::limits::SCOPE_BYTES
        && text.bytes().all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_names_scopes_age_and_class() {
        let read = StepUp::parse("scope sales:write sales:admin; max_age 300; acr phr").unwrap();
        assert_eq!(
            read.scopes.iter().map(String::as_str).collect::<Vec<_>>(),
            ["sales:admin", "sales:write"]
        );
        assert_eq!((read.max_age, read.acr.as_deref()), (Some(300), Some("phr")));
        for bad in [
            "",
            "scope",
            "scope \"x\"",
            "scope a\\b",
            "max_age",
            "max_age 59",
            "max_age -1",
            "max_age 86401",
            "max_age 60; max_age 90",
            "acr",
            "acr a b",
            "approval",
            "scope a;",
            "scope é",
        ] {
            assert!(StepUp::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_needs_are_the_stricter_of_both_and_impossible_when_no_sign_in_has_both_classes() {
        let one = StepUp::parse("scope a; max_age 300").unwrap();
        let both = one.clone().and(&StepUp::parse("scope b; max_age 60; acr phr").unwrap()).unwrap();
        assert_eq!(both, StepUp::parse("scope a b; max_age 60; acr phr").unwrap());
        assert_eq!(both.and(&StepUp::parse("acr other").unwrap()), None);
    }
}
