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

// Who may call a tool that changes rows may change any table's, unless a policy forbids one:
//   forbid (principal, action == Action::"change", resource == Table::"sales/audit_log");
@id("default-change")
permit (principal, action == Action::"change", resource);

// A result may have any number of rows and bytes within the server's bounds, unless a policy forbids more:
//   forbid (principal, action == Action::"release", resource == Server::"sales") when { context.rows > 100 };
@id("default-release")
permit (principal, action == Action::"release", resource);
"#;

/// [`DEFAULT_POLICIES`] as a file for [`crate::Engine::load`].
#[must_use]
pub fn source() -> Source {
    Source { path: "default.cedar".to_owned(), text: DEFAULT_POLICIES.to_owned() }
}

/// Policies to start from. `SERVER` stands for a server's name and `GROUP` for a group's.
pub mod templates {
    /// A group may use what only reads.
    pub const READ_ONLY: &str = r#"@id("SERVER-read-only")
permit (principal in Group::"GROUP", action in Action::"read", resource == Server::"SERVER");
"#;

    /// A group may use every tool, but the server's owner must approve what writes.
    pub const ASK_BEFORE_WRITES: &str = r#"@id("SERVER-use-tools")
permit (principal in Group::"GROUP", action in Action::"SERVER", resource == Server::"SERVER");

@id("SERVER-ask-before-writes")
@reason("Changes to this server need its owner's approval.")
@approvable("owner")
forbid (principal, action in [Action::"write", Action::"destructive"], resource == Server::"SERVER")
unless { context has approval };
"#;

    /// No tool is used outside working hours (UTC).
    pub const BUSINESS_HOURS: &str = r#"@id("SERVER-business-hours")
@reason("This server can be used from Monday to Friday, 07:00 to 19:00 UTC.")
forbid (principal, action in Action::"call", resource == Server::"SERVER")
when { context.hour < 7 || context.hour >= 19 || ["saturday", "sunday"].contains(context.weekday) };
"#;

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
