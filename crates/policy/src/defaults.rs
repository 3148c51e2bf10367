//! The policies that come with Portunus.

use crate::model::Source;

/// Protocol housekeeping, listings and the showing of results, for every caller that holds a grant; no call, no resource,
/// no prompt.
pub const DEFAULT_POLICIES: &str = r#"// A caller is here because a user agreed to it at the consent page. That alone opens the session and the listings,
// which show only what other policies allow.
@id("default-session")
permit (principal, action in [Action::"session", Action::"list"], resource);

// What a permitted call returns may be shown, unless a policy forbids a column:
//   forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
@id("default-disclose")
permit (principal, action == Action::"disclose", resource);
"#;

/// [`DEFAULT_POLICIES`] as a file for [`crate::Engine::load`].
#[must_use]
pub fn source() -> Source {
    Source { path: "default.cedar".to_owned(), text: DEFAULT_POLICIES.to_owned() }
}
