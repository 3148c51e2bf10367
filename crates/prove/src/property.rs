//! Properties, as they are written beside the policies in `*.proofs.yaml`: a list of these.

use serde::Deserialize;
use std::path::PathBuf;

/// One property.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Property {
    /// What it says, for people.
    pub name: String,
    /// What it claims.
    pub claim: Claim,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// No such request is ever permitted.
    Never(Requests),
    /// Nothing is permitted that the policies of this directory do not permit.
    Narrows(Than),
    /// Exactly the same is permitted as by the policies of this directory.
    Equivalent(Than),
    /// There is a request for which this policy applies: it is not dead.
    CanMatch(String),
    /// This policy never fails, whatever the request.
    NeverFails(String),
}

/// A property as it is written: a name, and exactly one of the claims.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    never: Option<Requests>,
    narrows: Option<Than>,
    equivalent: Option<Than>,
    can_match: Option<String>,
    never_fails: Option<String>,
}

impl TryFrom<Written> for Property {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, never, narrows, equivalent, can_match, never_fails } = written;
        let claims = [
            never.map(Claim::Never),
            narrows.map(Claim::Narrows),
            equivalent.map(Claim::Equivalent),
            can_match.map(Claim::CanMatch),
            never_fails.map(Claim::NeverFails),
        ];
        let mut claims = claims.into_iter().flatten();
        match (claims.next(), claims.next()) {
            (Some(claim), None) => Ok(Self { name, claim }),
            _ => Err(format!(
                "`{name}` must claim exactly one of never, narrows, equivalent, can_match and never_fails"
            )),
        }
    }
}

/// Other policies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Than {
    /// Their directory, from where the configuration's policies are.
    pub than: PathBuf,
}

/// Which requests; what is left out does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Only of callers outside this group.
    #[serde(default)]
    pub unless_group: Option<String>,
    /// Only of callers in this group.
    #[serde(default)]
    pub in_group: Option<String>,
    /// This action (`sales/write_query`, `disclose`) or group of actions (`write`).
    #[serde(default)]
    pub action: Option<String>,
    /// This resource, as Cedar writes it: `Column::"hr/staff.salary"`.
    #[serde(default)]
    pub resource: Option<String>,
    /// Only when this holds: a Cedar expression.
    #[serde(default)]
    pub when: Option<String>,
    /// Only when this does not hold: a Cedar expression.
    #[serde(default)]
    pub unless: Option<String>,
}

impl Requests {
    /// The condition that such a request meets, in Cedar; the action is not in it.
    #[must_use]
    pub fn condition(&self) -> String {
        let quoted = |group: &String| format!("principal in Group::{}", quoted(group));
        let parts = [
            self.unless_group.as_ref().map(|group| format!("!({})", quoted(group))),
            self.in_group.as_ref().map(quoted),
            self.resource.as_ref().map(|resource| format!("resource == {resource}")),
            self.when.as_ref().map(|when| format!("({when})")),
            self.unless.as_ref().map(|unless| format!("!({unless})")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "true".to_owned() } else { parts.join(" && ") }
    }

    /// The type of the resource, if one is named.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.resource.as_deref().and_then(|resource| resource.split_once("::")).map(|(kind, _)| kind.trim())
    }
}

/// A Cedar string literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}
