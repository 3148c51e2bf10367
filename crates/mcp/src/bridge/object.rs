//! An object written anew from the members of a scanned one: values byte for byte and in their order.

use crate::json::{Kind, Raw};
use std::borrow::Cow;

/// Members of an object; the values are JSON texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// The members of a scanned object; none of anything else.
    pub(crate) fn of(raw: Raw<'a>) -> Self {
        debug_assert!(raw.kind() == Kind::Object || raw.members().next().is_none(), "others have no members");
        Self(raw.members().map(|(key, value)| (key, Cow::Borrowed(value.text()))).collect())
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }
    /// Replaces the value of a member, or adds it as the last.
    pub(crate) fn set(&mut self, key: &'a str, value: impl Into<Cow<'a, str>>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((Cow::Borrowed(key), value.into())),
        }
    }
    /// The same, unless there is such a member.
    pub(crate) fn set_default(&mut self, key: &'a str, value: &'a str) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }
    /// As JSON.
    pub(crate) fn text(&self) -> String {
        let mut out = String::from("{");
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&super::quoted(key));
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}
