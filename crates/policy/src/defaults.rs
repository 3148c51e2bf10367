//! The policies that come with Portunus.

use crate::model::Source;

/// Protocol housekeeping, listings, the showing of results and trial runs for approvers, for every caller that holds a grant; no call, no resource,
/// no prompt.
pub const DEFAULT_POLICIES: &str = r#"// A caller is here because a user agreed to it at the consent page. That alone opens the session and the listings,
// which show only what other policies allow.
@id("default-session")
permit (principal, action in [Action::"session", Action::"list"], resource);

// What a permitted call returns may be shown, unless a policy forbids a column:
//   forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.email");
@id("default-disclose")
permit (principal, action == Action::"disclose", resource);

// Who may call a tool that changes rows may change any table's, unless a policy forbids one:
//   forbid (principal, action == Action::"change", resource == Table::"sales/audit_log");
@id("default-change")
permit (principal, action == Action::"change", resource);

// A result may have any number of rows and bytes within the server's bounds, unless a policy forbids more:
//   forbid (principal, action == Action::"release", resource == Server::"sales") when { context.rows > 100 };
@id("default-release")
permit (principal, action == Action::"release", resource);

// When somebody must approve a write on the built-in SQL server, it may be tried out and rolled back, so that they see how
// many rows it would change. The caller learns nothing of it.
@id("default-estimate")
permit (principal, action == Action::"estimate", resource);
"#;

/// What their file is called.
pub(crate) const PATH: &str = "default.cedar";

/// [`DEFAULT_POLICIES`] as a file for [`crate::Engine::load`].
#[must_use]
pub fn source() -> Source {
    Source { path: PATH.to_owned(), text: DEFAULT_POLICIES.to_owned() }
}

/// Policies to start from, each with its tests. `SERVER` stands for a server's name and `GROUP` for a group's.
pub mod templates {
    /// The names of [`find`].
    pub const NAMES: [&str; 4] = ["read-only", "ask-before-writes", "business-hours", "no-exfiltration"];

    /// Policies and the cases that test them (`*.test.yaml`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Template {
        /// Cedar.
        pub policies: &'static str,
        /// YAML.
        pub tests: &'static str,
    }

    /// The template of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Template> {
        Some(match name {
            "read-only" => {
                Template { policies: READ_ONLY, tests: include_str!("templates/read-only.test.yaml") }
            }
            "ask-before-writes" => Template {
                policies: ASK_BEFORE_WRITES,
                tests: include_str!("templates/ask-before-writes.test.yaml"),
            },
            "business-hours" => Template {
                policies: BUSINESS_HOURS,
                tests: include_str!("templates/business-hours.test.yaml"),
            },
            "no-exfiltration" => Template {
                policies: NO_EXFILTRATION,
                tests: include_str!("templates/no-exfiltration.test.yaml"),
            },
            _ => return None,
        })
    }

    /// A group may use what only reads; SQL must read too, whatever the tool is called.
    pub const READ_ONLY: &str = include_str!("templates/read-only.cedar");

    /// A group may use every tool, but the server's owner must approve what writes.
    pub const ASK_BEFORE_WRITES: &str = include_str!("templates/ask-before-writes.cedar");

    /// No tool is used outside working hours (UTC).
    pub const BUSINESS_HOURS: &str = include_str!("templates/business-hours.cedar");

    /// Once a session has seen both what is private and what is untrusted, nothing leaves it.
    pub const NO_EXFILTRATION: &str = include_str!("templates/no-exfiltration.cedar");

    /// A template for one server and one group.
    #[must_use]
    pub fn fill(
        template: &str,
        server: &portunus_core::id::ServerName,
        group: &portunus_core::id::GroupName,
    ) -> String {
        template.replace("SERVER", server.as_str()).replace("GROUP", group.as_str())
    }
}
